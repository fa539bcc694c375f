//! The fields of a route's message.

use std::ops::Range;

use json::{Document, write_string};
use toml::de::{DeTable, DeValue};

use super::sections::{Section, Source};
use super::values::{Item, Reader};
use crate::credentials;
use crate::customer::CustomerAttribute;
use crate::lookup::Place;
use crate::routes::{Field, FieldValue, RESERVED_FIELDS, RoutesError};

impl<'i> Reader<'i> {
    /// A list of names and tables, or one table. The message has its fields in the order of their names.
    pub(super) fn fields<'t>(
        &self,
        item: &'t Item<'i>,
        idempotency_field: &str,
        section: &Section,
    ) -> Result<Vec<Field>, RoutesError> {
        let in_table = |table: &'t DeTable<'i>| {
            table.iter().map(|(key, item)| (key.get_ref().to_string(), key.span(), Some(item)))
        };
        let written: Vec<(String, Range<usize>, Option<&Item<'i>>)> = match item.get_ref() {
            DeValue::Table(table) => in_table(table).collect(),
            DeValue::Array(_) => {
                let mut written = Vec::new();
                for item in self.list(item, "fields")? {
                    match item.get_ref() {
                        DeValue::Table(table) => written.extend(in_table(table)),
                        _ => written.push((self.string(item, "fields")?, item.span(), None)),
                    }
                }
                written
            }
            _ => return Err(self.expected(item, "fields", "a list of names, or a table")),
        };
        let mut fields: Vec<Field> = Vec::new();
        for (name, span, item) in written {
            let field = self.field(&name, &span, item, idempotency_field, section)?;
            if fields.iter().any(|earlier| earlier.name == field.name) {
                return Err(self.error(span, format!("field `{}` stands twice in this route", field.name)));
            }
            fields.push(field);
        }
        fields.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(fields)
    }

    /// A name with a `?` behind it is that of an optional field; without an `item`, the field holds what its name stands for.
    fn field(
        &self,
        marked_name: &str,
        span: &Range<usize>,
        item: Option<&Item<'i>>,
        idempotency_field: &str,
        section: &Section,
    ) -> Result<Field, RoutesError> {
        let (name, marked) = marked_name.strip_suffix('?').map_or((marked_name, false), |name| (name, true));
        if name.is_empty() {
            return Err(self.error(span.clone(), "`fields`: expected a name before the `?`".to_owned()));
        }
        if RESERVED_FIELDS.contains(&name) || name == idempotency_field {
            return Err(self.error(span.clone(), format!("every message already has `{name}`; choose another name")));
        }
        let (value, optional) = match item {
            None => {
                let sources = self.named(name, span.clone(), "`fields`", section)?.to_vec();
                (self.places(sources, name, span)?, marked)
            }
            Some(item) => match item.get_ref() {
                DeValue::Table(table) => self.field_table(name, table, item, marked, section)?,
                _ => (self.places(self.sources(item, name, section)?, name, &item.span())?, marked),
            },
        };
        if marked && matches!(value, FieldValue::Constant(_)) {
            let problem = format!("field `{name}` is a constant and never absent; remove the `?`");
            return Err(self.error(span.clone(), problem));
        }
        if credentials::is_named(name) {
            return Err(
                self.error(span.clone(), format!("field `{name}` looks like a credential; it must not be sent"))
            );
        }
        if let FieldValue::Places(places) = &value {
            let pointers = places.iter().map(Place::pointer);
            self.may_be_sent(&format!("field `{name}`"), pointers, span.clone(), &section.hidden)?;
        }
        Ok(Field { name: name.to_owned(), value, optional })
    }

    fn places(&self, sources: Vec<Source>, name: &str, span: &Range<usize>) -> Result<FieldValue, RoutesError> {
        let places: Option<Vec<_>> = sources.into_iter().map(Source::place).collect();
        places.map(FieldValue::Places).ok_or_else(|| {
            let problem =
                format!("field `{name}`: this tells who the customer is, which every message says as `customerId`");
            self.error(span.clone(), problem)
        })
    }

    /// `{ pointer = .. }`, `{ const = .. }` or `{ customer = .. }`, and whether it may be absent.
    fn field_table(
        &self,
        name: &str,
        table: &DeTable<'i>,
        item: &Item<'i>,
        marked: bool,
        section: &Section,
    ) -> Result<(FieldValue, bool), RoutesError> {
        let known = match marked {
            true => &["pointer", "const", "customer"][..],
            false => &["pointer", "const", "customer", "optional"],
        };
        let value = match (table.get("pointer"), table.get("const"), table.get("customer")) {
            (Some(pointers), None, None) => {
                self.places(self.sources(pointers, name, section)?, name, &pointers.span())?
            }
            (None, Some(constant), None) => {
                self.known_keys(table, &["const"])?;
                FieldValue::Constant(self.constant(constant)?)
            }
            (None, None, Some(attribute)) => FieldValue::Customer(self.customer_attribute(attribute)?),
            (None, None, None) => {
                self.known_keys(table, known)?;
                let problem = format!("field `{name}`: `pointer`, `const` or `customer` is missing");
                return Err(self.error(item.span(), problem));
            }
            _ => {
                let problem = format!("field `{name}`: expected one of `pointer`, `const` and `customer`");
                return Err(self.error(item.span(), problem));
            }
        };
        self.known_keys(table, known)?;
        let optional = match table.get("optional") {
            Some(flag) => flag.get_ref().as_bool().ok_or_else(|| self.expected(flag, "optional", "true or false"))?,
            None => marked,
        };
        Ok((value, optional))
    }

    /// The constant as JSON text, a number with the digits of the file.
    fn constant(&self, item: &Item<'i>) -> Result<String, RoutesError> {
        let number = |text: &str| Document::parse(text.as_bytes()).is_ok().then(|| text.to_owned());
        let json = match item.get_ref() {
            DeValue::String(text) => {
                let mut json = String::new();
                write_string(&mut json, text);
                Some(json)
            }
            DeValue::Boolean(flag) => Some(flag.to_string()),
            DeValue::Integer(integer) if integer.radix() == 10 => number(integer.as_str()),
            DeValue::Float(float) => number(float.as_str()),
            _ => None,
        };
        json.ok_or_else(|| self.expected(item, "const", "a string, a JSON number, true or false"))
    }

    fn customer_attribute(&self, item: &Item<'i>) -> Result<CustomerAttribute, RoutesError> {
        let text = item.get_ref().as_str();
        CustomerAttribute::ALL.into_iter().find(|attribute| text == Some(attribute.name())).ok_or_else(|| {
            self.expected(item, "customer", "\"email\", \"first_name\", \"last_name\" or \"trading_accounts\"")
        })
    }
}
