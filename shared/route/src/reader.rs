//! Reads a routes file and checks it; every problem has its place.

mod fields;
mod sections;
mod values;

use std::collections::BTreeMap;
use std::ops::Range;

use toml::de::{DeTable, DeValue};

use crate::destination::Destination;
use crate::lookup::Lookup;
use crate::reader::sections::Section;
use crate::reader::values::{Item, Reader, is_name};
use crate::routes::{
    Condition, CustomerSource, DEFAULT_IDEMPOTENCY_FIELD, EventPattern, Known, Name, RESERVED_FIELDS, Route, Routes,
    RoutesError,
};

/// A routes file that is sound.
#[derive(Debug)]
pub struct RoutesFile {
    pub routes: Routes,
    /// The names of all providers' sections.
    pub names: Vec<Name>,
}

impl RoutesFile {
    /// Reads and checks a routes file; `file` is its name for errors.
    ///
    /// # Errors
    /// The first problem, with line and column.
    pub fn parse(file: &str, text: &str, known: Known<'_>) -> Result<Self, RoutesError> {
        let reader = Reader { file, text, known };
        let document = DeTable::parse(text)
            .map_err(|error| reader.error(error.span().unwrap_or(0..0), error.message().to_owned()))?;
        reader.file(document.get_ref(), document.span())
    }
}

impl Routes {
    /// As [`RoutesFile::parse`].
    ///
    /// # Errors
    /// The first problem, with line and column.
    pub fn parse(file: &str, text: &str, known: Known<'_>) -> Result<Self, RoutesError> {
        RoutesFile::parse(file, text, known).map(|file| file.routes)
    }
}

const ROUTE_KEYS: [&str; 9] = [
    "events",
    "when",
    "workflow",
    "incoming_webhook",
    "event_type",
    "customer",
    "once_per",
    "idempotency_field",
    "fields",
];

impl<'i> Reader<'i> {
    fn file(&self, file: &DeTable<'i>, whole: Range<usize>) -> Result<RoutesFile, RoutesError> {
        if let Known::Only { providers, .. } = self.known {
            self.known_keys(file, &[&["redact", "route"], providers].concat())?;
        }
        let mut redact = BTreeMap::new();
        if let Some(item) = file.get("redact") {
            let table = self.table(item, "redact")?;
            if let Known::Only { providers, .. } = self.known {
                self.known_keys(table, providers)?;
            }
            for (provider, pointers) in table.iter() {
                redact.insert(provider.get_ref().to_string(), self.pointers(pointers, "redact")?);
            }
        }

        let mut routes: Vec<(Range<usize>, Route)> = Vec::new();
        let mut names = Vec::new();
        let mut lookups = Vec::new();
        let mut sections = BTreeMap::new();
        for (key, item) in file.iter().filter(|(key, _)| !["redact", "route"].contains(&key.get_ref().as_ref())) {
            let provider = key.get_ref().to_string();
            let table = self.table(item, &provider)?;
            self.known_keys(table, &["names", "lookups", "routes"])?;
            let mut section = Section::new(&provider, &redact);
            names.extend(self.section(table, &mut section)?);
            if let Some(item) = table.get("routes") {
                for (key, item) in self.table(item, "routes")?.iter() {
                    let table = self.table(item, key.get_ref())?;
                    self.known_keys(table, &ROUTE_KEYS)?;
                    let name = key.get_ref().to_string();
                    routes.push((key.span(), self.route(name, key.span(), table, key.span(), &section)?));
                }
            }
            lookups.extend(section.lookups.iter().cloned());
            sections.insert(section.provider.clone(), section);
        }

        for entry in self.route_entries(file)? {
            let (table, span) = (self.table(entry, "route")?, entry.span());
            self.known_keys(table, &[&["name", "provider"], &ROUTE_KEYS[..]].concat())?;
            let provider = self.required(table, "provider", &span)?;
            self.known_provider(&provider, self.required_item(table, "provider", &span)?)?;
            let name = self.required(table, "name", &span)?;
            let name_span = self.required_item(table, "name", &span)?.span();
            let section = sections.entry(provider).or_insert_with_key(|provider| Section::new(provider, &redact));
            routes.push((name_span.clone(), self.route(name, name_span, table, span, section)?));
        }

        routes.sort_by_key(|(span, _)| span.start);
        for (at, (span, route)) in routes.iter().enumerate() {
            if routes[..at].iter().any(|(_, earlier)| earlier.name == route.name) {
                return Err(self.error(span.clone(), format!("another route is already named `{}`", route.name)));
            }
        }
        if routes.is_empty() {
            return Err(self.error(whole, "expected at least one route".to_owned()));
        }
        let routes: Vec<Route> = routes.into_iter().map(|(_, route)| route).collect();
        // What no field uses need not be compiled.
        lookups.retain(|lookup: &Lookup| {
            routes.iter().any(|route| route.provider == lookup.provider && route.uses(&lookup.name))
        });
        Ok(RoutesFile { routes: Routes { routes, lookups, redact }, names })
    }

    /// The routes that stand outside the providers' sections.
    fn route_entries<'t>(&self, file: &'t DeTable<'i>) -> Result<&'t [Item<'i>], RoutesError> {
        let Some(item) = file.get("route") else { return Ok(&[]) };
        let entries = item.get_ref().as_array();
        entries.map(|entries| &entries[..]).ok_or_else(|| self.expected(item, "route", "it to be written [[route]]"))
    }

    /// `span` is where a key that is missing is reported.
    fn route(
        &self,
        name: String,
        name_span: Range<usize>,
        table: &DeTable<'i>,
        span: Range<usize>,
        section: &Section,
    ) -> Result<Route, RoutesError> {
        if !is_name(&name) {
            return Err(self.error(name_span, "`name`: expected letters, digits, `-` and `_` only".to_owned()));
        }
        let events = self.one_or_more(self.required_item(table, "events", &span)?, "events")?;
        let events = events.into_iter().map(|item| self.event_pattern(item)).collect::<Result<_, _>>()?;
        let when = match table.get("when") {
            Some(item) => self.conditions(item, section)?,
            None => Vec::new(),
        };
        let customer = self.customer(table.get("customer"), &span, section)?;
        let idempotency_field = match table.get("idempotency_field") {
            Some(item) => self.idempotency_field(item)?,
            None => DEFAULT_IDEMPOTENCY_FIELD.to_owned(),
        };
        let fields = match table.get("fields") {
            Some(item) => self.fields(item, &idempotency_field, section)?,
            None => Vec::new(),
        };
        Ok(Route {
            name,
            provider: section.provider.clone(),
            destination: self.destination(table, span.clone())?,
            event_type: self.required(table, "event_type", &span)?,
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

    fn event_pattern(&self, item: &Item<'i>) -> Result<EventPattern, RoutesError> {
        let text = self.string(item, "events")?;
        match text.strip_suffix('*') {
            Some(prefix) if !prefix.contains('*') => Ok(EventPattern::Prefix(prefix.to_owned())),
            None if !text.contains('*') => Ok(EventPattern::Exactly(text)),
            _ => Err(self.expected(item, "events", "an event type, or a prefix followed by `*`")),
        }
    }

    /// One table, all of which must hold, or a list of such tables, any of which must.
    fn conditions(&self, item: &Item<'i>, section: &Section) -> Result<Vec<Condition>, RoutesError> {
        match item.get_ref() {
            DeValue::Array(_) => {
                self.list(item, "when")?.into_iter().map(|table| self.condition(table, section)).collect()
            }
            _ => Ok(vec![self.condition(item, section)?]),
        }
    }

    /// Not empty: a condition that always holds is a mistake.
    fn condition(&self, item: &Item<'i>, section: &Section) -> Result<Condition, RoutesError> {
        let table = self.table(item, "when")?;
        if table.is_empty() {
            return Err(self.expected(item, "when", "a non-empty table"));
        }
        table
            .iter()
            .map(|(key, accepted)| {
                let pointers = self.body_pointers(key.get_ref(), key.span(), "`when`", section)?;
                let accepted = self.one_or_more(accepted, "when")?;
                let accepted = accepted.into_iter().map(|item| self.string(item, "when")).collect::<Result<_, _>>()?;
                Ok((pointers, accepted))
            })
            .collect()
    }

    /// One source or a list of them; unless said, what the provider's name `customer` stands for.
    fn customer(
        &self,
        item: Option<&Item<'i>>,
        span: &Range<usize>,
        section: &Section,
    ) -> Result<Vec<CustomerSource>, RoutesError> {
        let (sources, span) = match (item, section.names.get("customer")) {
            (Some(item), _) => (self.sources(item, "customer", section)?, item.span()),
            (None, Some(sources)) => (sources.clone(), span.clone()),
            (None, None) => {
                return Err(self.error(span.clone(), "`customer` is missing from this route".to_owned()));
            }
        };
        let sources = sources
            .into_iter()
            .map(|source| source.customer().ok_or_else(|| self.error(span.clone(), CUSTOMER_IS_NOT_FETCHED.to_owned())))
            .collect::<Result<Vec<_>, _>>()?;
        self.may_be_sent("`customer`", sources.iter().map(CustomerSource::pointer), span, &section.hidden)?;
        Ok(sources)
    }
}

const CUSTOMER_IS_NOT_FETCHED: &str = "`customer`: a look-up cannot tell who the customer is; expected a name, \"/pointer\", \
                                       \"link:KIND:/pointer\" or \"KIND:/pointer\"";

#[cfg(test)]
mod tests;
