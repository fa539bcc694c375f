//! Reads a routes file and checks it; every problem has its place.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::credentials;
use crate::customer::{CustomerAttribute, is_kind};
use crate::destination::Destination;
use crate::routes::{
    Condition, CustomerSource, DEFAULT_IDEMPOTENCY_FIELD, EventPattern, Field, FieldValue, LookupKinds,
    RESERVED_FIELDS, Route, Routes, RoutesError,
};
use json::{Document, Pointer, write_string};

impl Routes {
    /// Reads and checks a routes file; `file` is its name for errors.
    ///
    /// # Errors
    /// The first problem, with line and column.
    pub fn parse(file: &str, text: &str, kinds: LookupKinds<'_>) -> Result<Self, RoutesError> {
        let reader = Reader { file, text, kinds };
        let document = DeTable::parse(text)
            .map_err(|error| reader.error(error.span().unwrap_or(0..0), error.message().to_owned()))?;
        reader.routes(document.get_ref(), document.span())
    }
}

type Item<'i> = Spanned<DeValue<'i>>;

/// Walks the parsed file.
struct Reader<'i> {
    file: &'i str,
    text: &'i str,
    kinds: LookupKinds<'i>,
}

impl<'i> Reader<'i> {
    fn routes(&self, file: &DeTable<'i>, whole: Range<usize>) -> Result<Routes, RoutesError> {
        self.known_keys(file, &["redact", "route"])?;
        let mut redact = BTreeMap::new();
        if let Some(item) = file.get("redact") {
            for (provider, pointers) in self.table(item, "redact")?.iter() {
                redact.insert(provider.get_ref().to_string(), self.pointers(pointers, "redact")?);
            }
        }
        let entries = match file.get("route").map(|item| (item, item.get_ref().as_array())) {
            Some((_, Some(entries))) if !entries.is_empty() => entries,
            Some((item, None)) => return Err(self.expected(item, "route", "it to be written [[route]]")),
            _ => return Err(self.error(whole, "expected at least one [[route]]".to_owned())),
        };
        let mut routes: Vec<Route> = Vec::new();
        for entry in entries.iter() {
            let table = self.table(entry, "route")?;
            let route = self.route(table, entry.span(), &redact)?;
            if routes.iter().any(|earlier| earlier.name == route.name) {
                let span = table.get("name").map_or(entry.span(), Spanned::span);
                return Err(self.error(span, format!("another route is already named `{}`", route.name)));
            }
            routes.push(route);
        }
        Ok(Routes { routes, redact })
    }

    fn route(
        &self,
        table: &DeTable<'i>,
        span: Range<usize>,
        redact: &BTreeMap<String, Vec<Pointer>>,
    ) -> Result<Route, RoutesError> {
        self.known_keys(
            table,
            &[
                "name",
                "provider",
                "events",
                "when",
                "workflow",
                "incoming_webhook",
                "event_type",
                "customer",
                "once_per",
                "idempotency_field",
                "fields",
            ],
        )?;
        let required = |key: &str| {
            table.get(key).ok_or_else(|| self.error(span.clone(), format!("`{key}` is missing from this route")))
        };
        let provider = self.string(required("provider")?, "provider")?;
        let hidden = redact.get(&provider).map_or(&[][..], Vec::as_slice);

        let name_item = required("name")?;
        let name = self.string(name_item, "name")?;
        if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
            return Err(self.expected(name_item, "name", "letters, digits, `-` and `_` only"));
        }
        let mut events = Vec::new();
        for item in self.list(required("events")?, "events")? {
            events.push(self.event_pattern(item)?);
        }
        let when = match table.get("when") {
            Some(item) => self.conditions(item)?,
            None => Vec::new(),
        };
        let customer_item = required("customer")?;
        let customer = self.customer(customer_item)?;
        self.may_be_sent("`customer`", customer.iter().map(CustomerSource::pointer), customer_item.span(), hidden)?;
        let idempotency_field = match table.get("idempotency_field") {
            Some(item) => self.idempotency_field(item)?,
            None => DEFAULT_IDEMPOTENCY_FIELD.to_owned(),
        };
        let fields = match table.get("fields") {
            Some(item) => self
                .table(item, "fields")?
                .iter()
                .map(|(key, item)| self.field(key, item, &idempotency_field, hidden))
                .collect::<Result<_, _>>()?,
            None => Vec::new(),
        };
        Ok(Route {
            name,
            provider,
            destination: self.destination(table, span.clone())?,
            event_type: self.string(required("event_type")?, "event_type")?,
            customer,
            once_per_customer: table.get("once_per").map(|item| self.once_per(item)).transpose()?.is_some(),
            idempotency_field,
            fields,
            events,
            when,
        })
    }

    fn destination(&self, table: &DeTable<'i>, span: Range<usize>) -> Result<Destination, RoutesError> {
        match (table.get("workflow"), table.get("incoming_webhook")) {
            (Some(item), None) => Ok(Destination::Workflow(self.string(item, "workflow")?)),
            (None, Some(item)) => Ok(Destination::IncomingWebhook(self.string(item, "incoming_webhook")?)),
            (None, None) => {
                Err(self.error(span, "`workflow` or `incoming_webhook` is missing from this route".to_owned()))
            }
            (Some(_), Some(item)) => Err(self.error(
                item.span(),
                "this route has a `workflow` already; to deliver to both, write two routes".to_owned(),
            )),
        }
    }

    /// `customerId` is the only value; it is written out so that a reader of the file sees what counts.
    fn once_per(&self, item: &Item<'i>) -> Result<(), RoutesError> {
        let text = item.get_ref().as_str();
        text.filter(|text| *text == "customerId")
            .map(|_| ())
            .ok_or_else(|| self.expected(item, "once_per", "\"customerId\""))
    }

    fn idempotency_field(&self, item: &Item<'i>) -> Result<String, RoutesError> {
        let name = self.string(item, "idempotency_field")?;
        if name != DEFAULT_IDEMPOTENCY_FIELD && RESERVED_FIELDS.contains(&name.as_str()) {
            return Err(self.error(item.span(), format!("`{name}` is a reserved name; choose another one")));
        }
        Ok(name)
    }

    /// One source or a list of them.
    fn customer(&self, item: &Item<'i>) -> Result<Vec<CustomerSource>, RoutesError> {
        let sources = self.one_or_more(item, "customer")?;
        sources.into_iter().map(|item| self.customer_source(item)).collect()
    }

    fn customer_source(&self, item: &Item<'i>) -> Result<CustomerSource, RoutesError> {
        let text = self.string(item, "customer")?;
        let no_source = || {
            let expected = "\"/pointer\", \"link:KIND:/pointer\" or \"KIND:/pointer\"";
            self.expected(item, "customer", expected)
        };
        let Some(slash) = text.find('/') else { return Err(no_source()) };
        let (before, pointer) = text.split_at(slash);
        let pointer =
            Pointer::parse(pointer).map_err(|error| self.error(item.span(), format!("`customer`: {error}")))?;
        if before.is_empty() {
            return Ok(CustomerSource::Body(pointer));
        }
        let kind = before.strip_suffix(':').ok_or_else(no_source)?;
        let (is_link, kind) = kind.strip_prefix("link:").map_or((false, kind), |kind| (true, kind));
        if kind == "link" || !is_kind(kind) {
            return Err(no_source());
        }
        let kind = kind.to_owned();
        if is_link {
            return Ok(CustomerSource::Link { kind, pointer });
        }
        match self.kinds {
            LookupKinds::OneOf(known) if !known.contains(&kind.as_str()) => {
                let problem = format!("`customer`: no API answers `{kind}:`; expected one of {}", known.join(", "));
                Err(self.error(item.span(), problem))
            }
            _ => Ok(CustomerSource::Api { kind, pointer }),
        }
    }

    fn event_pattern(&self, item: &Item<'i>) -> Result<EventPattern, RoutesError> {
        let text = self.string(item, "events")?;
        match text.strip_suffix('*') {
            Some(prefix) if !prefix.contains('*') => Ok(EventPattern::Prefix(prefix.to_owned())),
            None if !text.contains('*') => Ok(EventPattern::Exactly(text)),
            _ => Err(self.expected(item, "events", "an event type, or a prefix followed by `*`")),
        }
    }

    /// One table, all of which must hold, or a list of such tables, any of which must.
    fn conditions(&self, item: &Item<'i>) -> Result<Vec<Condition>, RoutesError> {
        match item.get_ref() {
            DeValue::Array(_) => self.list(item, "when")?.into_iter().map(|table| self.condition(table)).collect(),
            _ => Ok(vec![self.condition(item)?]),
        }
    }

    /// Not empty: a condition that always holds is a mistake.
    fn condition(&self, item: &Item<'i>) -> Result<Condition, RoutesError> {
        let table = self.table(item, "when")?;
        if table.is_empty() {
            return Err(self.expected(item, "when", "a non-empty table"));
        }
        table
            .iter()
            .map(|(key, accepted)| {
                let pointer = Pointer::parse(key.get_ref())
                    .map_err(|error| self.error(key.span(), format!("`when`: {error}")))?;
                let accepted = self.list(accepted, "when")?;
                let accepted = accepted.into_iter().map(|item| self.string(item, "when")).collect::<Result<_, _>>()?;
                Ok((pointer, accepted))
            })
            .collect()
    }

    fn field(
        &self,
        key: &Spanned<Cow<'i, str>>,
        item: &Item<'i>,
        idempotency_field: &str,
        redacted: &[Pointer],
    ) -> Result<Field, RoutesError> {
        let name = key.get_ref().to_string();
        if RESERVED_FIELDS.contains(&name.as_str()) || name == idempotency_field {
            return Err(self.error(key.span(), format!("every message already has `{name}`; choose another name")));
        }
        let (value, optional) = match item.get_ref() {
            DeValue::Table(table) => self.field_table(&name, table, item)?,
            _ => (FieldValue::Body(self.pointers(item, &name)?), false),
        };

        if credentials::is_named(&name) {
            return Err(self.error(key.span(), format!("field `{name}` looks like a credential; it must not be sent")));
        }
        if let FieldValue::Body(pointers) = &value {
            self.may_be_sent(&format!("field `{name}`"), pointers.iter(), key.span(), redacted)?;
        }
        Ok(Field { name, value, optional })
    }

    /// `{ pointer = .. }`, `{ const = .. }` or `{ customer = .. }`, and whether it may be absent.
    fn field_table(&self, name: &str, table: &DeTable<'i>, item: &Item<'i>) -> Result<(FieldValue, bool), RoutesError> {
        let value = match (table.get("pointer"), table.get("const"), table.get("customer")) {
            (Some(pointers), None, None) => FieldValue::Body(self.pointers(pointers, name)?),
            (None, Some(constant), None) => {
                self.known_keys(table, &["const"])?;
                FieldValue::Constant(self.constant(constant)?)
            }
            (None, None, Some(attribute)) => FieldValue::Customer(self.customer_attribute(attribute)?),
            (None, None, None) => {
                self.known_keys(table, &["pointer", "const", "customer", "optional"])?;
                let problem = format!("field `{name}`: `pointer`, `const` or `customer` is missing");
                return Err(self.error(item.span(), problem));
            }
            _ => {
                let problem = format!("field `{name}`: expected one of `pointer`, `const` and `customer`");
                return Err(self.error(item.span(), problem));
            }
        };
        self.known_keys(table, &["pointer", "const", "customer", "optional"])?;
        let optional = match table.get("optional") {
            Some(flag) => flag.get_ref().as_bool().ok_or_else(|| self.expected(flag, "optional", "true or false"))?,
            None => false,
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

    /// A value that is sent must not be a credential, and must still exist after redaction.
    fn may_be_sent<'p>(
        &self,
        what: &str,
        mut pointers: impl Iterator<Item = &'p Pointer> + Clone,
        span: Range<usize>,
        redacted: &[Pointer],
    ) -> Result<(), RoutesError> {
        if let Some(pointer) = pointers.clone().find(|pointer| credentials::is_on_the_way_of(pointer)) {
            let problem = format!("{what}: `{pointer}` looks like a credential; it must not be sent");
            return Err(self.error(span, problem));
        }
        let within = |pointer: &Pointer| redacted.iter().find(|cut| is_within(pointer, cut));
        if let Some(cut) = pointers.find_map(within) {
            return Err(self.error(span, format!("{what} is inside `{cut}`, which [redact] removes")));
        }
        Ok(())
    }

    /// One pointer or a list of them.
    fn pointers(&self, item: &Item<'i>, key: &str) -> Result<Vec<Pointer>, RoutesError> {
        self.one_or_more(item, key)?
            .into_iter()
            .map(|item| {
                let text = self.string(item, key)?;
                Pointer::parse(&text)
                    .ok()
                    .filter(|_| !text.is_empty())
                    .ok_or_else(|| self.expected(item, key, "a JSON Pointer such as \"/data/user_id\""))
            })
            .collect()
    }

    fn one_or_more<'t>(&self, item: &'t Item<'i>, key: &str) -> Result<Vec<&'t Item<'i>>, RoutesError> {
        match item.get_ref() {
            DeValue::String(_) => Ok(vec![item]),
            _ => self.list(item, key),
        }
    }

    fn known_keys(&self, table: &DeTable<'i>, known: &[&str]) -> Result<(), RoutesError> {
        match table.keys().find(|key| !known.contains(&key.get_ref().as_ref())) {
            None => Ok(()),
            Some(key) => Err(self
                .error(key.span(), format!("unknown key `{}`; expected one of {}", key.get_ref(), known.join(", ")))),
        }
    }

    fn table<'t>(&self, item: &'t Item<'i>, key: &str) -> Result<&'t DeTable<'i>, RoutesError> {
        item.get_ref().as_table().ok_or_else(|| self.expected(item, key, "a table"))
    }

    /// A list that is not empty.
    fn list<'t>(&self, item: &'t Item<'i>, key: &str) -> Result<Vec<&'t Item<'i>>, RoutesError> {
        let list: Vec<_> = item.get_ref().as_array().map(|array| array.iter().collect()).unwrap_or_default();
        if list.is_empty() { Err(self.expected(item, key, "a non-empty list")) } else { Ok(list) }
    }

    /// A string that is not empty.
    fn string(&self, item: &Item<'i>, key: &str) -> Result<String, RoutesError> {
        let text = item.get_ref().as_str().filter(|text| !text.is_empty());
        text.map(str::to_owned).ok_or_else(|| self.expected(item, key, "a non-empty string"))
    }

    fn expected(&self, item: &Item<'i>, key: &str, expected: &str) -> RoutesError {
        self.error(item.span(), format!("`{key}`: expected {expected}"))
    }

    fn error(&self, span: Range<usize>, problem: String) -> RoutesError {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        RoutesError {
            file: self.file.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            problem,
        }
    }
}

/// True when `pointer` names what `cut` names, or something inside it.
fn is_within(pointer: &Pointer, cut: &Pointer) -> bool {
    pointer.as_str().strip_prefix(cut.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
