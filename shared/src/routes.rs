//! `routes.toml`: which event goes where. JSON Pointers only, no language of our own.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::json::{Pointer, Value};

/// The routes, in the order of the file, and what is cut from bodies before they are stored.
#[derive(Debug)]
pub struct Routes {
    routes: Vec<Route>,
    redact: BTreeMap<String, Vec<Pointer>>,
}

/// One `[[route]]`: each event that it matches becomes one message.
#[derive(Debug)]
pub struct Route {
    /// Unique; part of the idempotency key, so it must not change while events are pending.
    pub name: String,
    pub provider: String,
    /// Name of the workflow in the secret `RETURNING_AI_SECRET_ID`.
    pub workflow: String,
    /// Returning.AI's `eventType`.
    pub event_type: String,
    /// Where the customer's id may be, first to last.
    pub customer: Vec<Pointer>,
    pub fields: Vec<Field>,
    events: Vec<EventPattern>,
    /// Any of them must hold; none means no condition.
    when: Vec<Condition>,
}

/// One of the route's own fields of the message.
#[derive(Debug)]
pub struct Field {
    pub name: String,
    /// The first that finds something counts.
    pub pointers: Vec<Pointer>,
    /// False makes the delivery dead when nothing is found.
    pub optional: bool,
}

/// What is wrong with a routes file, and where.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{file}:{line}:{column}: {problem}")]
pub struct RoutesError {
    pub file: String,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    pub problem: String,
}

#[derive(Debug)]
enum EventPattern {
    Exactly(String),
    Prefix(String),
}

/// Each pointer must find one of its accepted texts.
type Condition = Vec<(Pointer, Vec<String>)>;

/// Fields that every message has, and that a route must not set.
pub const RESERVED_FIELDS: [&str; 6] =
    ["eventType", "customerId", "occurredAt", "idempotencyKey", "source", "sourceEventType"];

/// A name that holds one of these, whatever its case and separators, is taken for a credential.
const CREDENTIAL_WORDS: [&str; 9] =
    ["password", "passwd", "passphrase", "secret", "apikey", "accesskey", "privatekey", "token", "credential"];

impl Routes {
    /// Reads and checks a routes file; `file` is its name for errors.
    ///
    /// # Errors
    /// The first thing wrong, with line and column.
    pub fn parse(file: &str, text: &str) -> Result<Self, RoutesError> {
        let reader = Reader { file, text };
        let document = DeTable::parse(text)
            .map_err(|error| reader.error(error.span().unwrap_or(0..0), error.message().to_owned()))?;
        reader.routes(document.get_ref(), document.span())
    }

    /// The routes that want an event, in the order of the file.
    pub fn matching<'r>(
        &'r self,
        provider: &'r str,
        event_type: &'r str,
        event: Value<'r>,
    ) -> impl Iterator<Item = &'r Route> {
        self.routes.iter().filter(move |route| {
            route.provider == provider
                && route.events.iter().any(|pattern| pattern.fits(event_type))
                && (route.when.is_empty() || route.when.iter().any(|condition| holds(condition, event)))
        })
    }

    /// Whether a route is meant for events of this type, whatever their content.
    pub fn names(&self, provider: &str, event_type: &str) -> bool {
        let mut of_provider = self.routes.iter().filter(|route| route.provider == provider);
        of_provider.any(|route| route.events.iter().any(|pattern| pattern.fits(event_type)))
    }

    pub fn named(&self, name: &str) -> Option<&Route> {
        self.routes.iter().find(|route| route.name == name)
    }

    pub fn all(&self) -> &[Route] {
        &self.routes
    }

    /// Every workflow that a route delivers to, once.
    pub fn workflows(&self) -> Vec<&str> {
        let names: BTreeSet<&str> = self.routes.iter().map(|route| route.workflow.as_str()).collect();
        names.into_iter().collect()
    }

    /// What is cut from this provider's bodies before they are stored.
    pub fn redacted(&self, provider: &str) -> &[Pointer] {
        self.redact.get(provider).map_or(&[], Vec::as_slice)
    }

    /// Every provider that the file names.
    pub fn providers(&self) -> BTreeSet<&str> {
        self.routes.iter().map(|route| route.provider.as_str()).chain(self.redact.keys().map(String::as_str)).collect()
    }
}

impl EventPattern {
    fn fits(&self, event_type: &str) -> bool {
        match self {
            Self::Exactly(name) => name == event_type,
            Self::Prefix(prefix) => event_type.starts_with(prefix.as_str()),
        }
    }
}

fn holds(condition: &Condition, event: Value<'_>) -> bool {
    condition.iter().all(|(pointer, accepted)| {
        event.at(pointer).and_then(Value::text).is_some_and(|text| accepted.iter().any(|value| *value == *text))
    })
}

type Item<'i> = Spanned<DeValue<'i>>;

/// Walks the parsed file; every check names the place it is about.
struct Reader<'i> {
    file: &'i str,
    text: &'i str,
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
            Some((item, None)) => return Err(self.expected(item, "route", "written [[route]]")),
            _ => return Err(self.error(whole, "at least one [[route]] expected".to_owned())),
        };
        let mut routes: Vec<Route> = Vec::new();
        for entry in entries.iter() {
            let table = self.table(entry, "route")?;
            let route = self.route(table, entry.span(), &redact)?;
            if routes.iter().any(|earlier| earlier.name == route.name) {
                let span = table.get("name").map_or(entry.span(), Spanned::span);
                return Err(self.error(span, format!("a route named `{}` stands above already", route.name)));
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
            &["name", "provider", "events", "when", "workflow", "event_type", "customer", "fields"],
        )?;
        let required = |key: &str| {
            table.get(key).ok_or_else(|| self.error(span.clone(), format!("`{key}` is missing from this route")))
        };
        let provider = self.string(required("provider")?, "provider")?;
        let hidden = redact.get(&provider).map_or(&[][..], Vec::as_slice);

        let name_item = required("name")?;
        let name = self.string(name_item, "name")?;
        if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
            return Err(self.expected(name_item, "name", "made of letters, digits, `-` and `_`"));
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
        let customer = self.pointers(customer_item, "customer")?;
        self.may_be_sent("`customer`", &customer, customer_item.span(), hidden)?;
        let fields = match table.get("fields") {
            Some(item) => self
                .table(item, "fields")?
                .iter()
                .map(|(key, item)| self.field(key, item, hidden))
                .collect::<Result<_, _>>()?,
            None => Vec::new(),
        };
        Ok(Route {
            name,
            provider,
            workflow: self.string(required("workflow")?, "workflow")?,
            event_type: self.string(required("event_type")?, "event_type")?,
            customer,
            fields,
            events,
            when,
        })
    }

    fn event_pattern(&self, item: &Item<'i>) -> Result<EventPattern, RoutesError> {
        let text = self.string(item, "events")?;
        match text.strip_suffix('*') {
            Some(prefix) if !prefix.contains('*') => Ok(EventPattern::Prefix(prefix.to_owned())),
            None if !text.contains('*') => Ok(EventPattern::Exactly(text)),
            _ => Err(self.expected(item, "events", "an event type, or the beginning of one and a `*`")),
        }
    }

    /// One table, all of which must hold, or a list of such tables, any of which must.
    fn conditions(&self, item: &Item<'i>) -> Result<Vec<Condition>, RoutesError> {
        match item.get_ref() {
            DeValue::Array(_) => self.list(item, "when")?.into_iter().map(|table| self.condition(table)).collect(),
            _ => Ok(vec![self.condition(item)?]),
        }
    }

    /// Not empty: a condition that always holds is one that somebody forgot to write.
    fn condition(&self, item: &Item<'i>) -> Result<Condition, RoutesError> {
        let table = self.table(item, "when")?;
        if table.is_empty() {
            return Err(self.expected(item, "when", "a table that is not empty"));
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
        key: &Spanned<std::borrow::Cow<'i, str>>,
        item: &Item<'i>,
        redacted: &[Pointer],
    ) -> Result<Field, RoutesError> {
        let name = key.get_ref().to_string();
        if RESERVED_FIELDS.contains(&name.as_str()) {
            return Err(self.error(key.span(), format!("`{name}` is in every message already; choose another name")));
        }
        let (source, optional) = match item.get_ref() {
            DeValue::Table(table) => {
                self.known_keys(table, &["pointer", "optional"])?;
                let source = table
                    .get("pointer")
                    .ok_or_else(|| self.error(item.span(), format!("field `{name}`: `pointer` is missing")))?;
                let optional = match table.get("optional") {
                    Some(flag) => {
                        flag.get_ref().as_bool().ok_or_else(|| self.expected(flag, "optional", "true or false"))?
                    }
                    None => false,
                };
                (source, optional)
            }
            _ => (item, false),
        };
        let pointers = self.pointers(source, &name)?;

        if looks_like_a_credential(&name) {
            return Err(self.error(key.span(), format!("field `{name}` looks like a credential; it must not be sent")));
        }
        self.may_be_sent(&format!("field `{name}`"), &pointers, key.span(), redacted)?;
        Ok(Field { name, pointers, optional })
    }

    /// What leaves for Returning.AI is no credential, and is still there after redaction.
    fn may_be_sent(
        &self,
        what: &str,
        pointers: &[Pointer],
        span: Range<usize>,
        redacted: &[Pointer],
    ) -> Result<(), RoutesError> {
        if let Some(pointer) = pointers.iter().find(|pointer| leads_to_a_credential(pointer)) {
            let problem = format!("{what}: `{pointer}` looks like a credential; it must not be sent");
            return Err(self.error(span, problem));
        }
        if let Some(cut) = redacted.iter().find(|cut| pointers.iter().any(|pointer| is_within(pointer, cut))) {
            return Err(self.error(span, format!("{what} lies in `{cut}`, which [redact] cuts away")));
        }
        Ok(())
    }

    /// One pointer or a list of them.
    fn pointers(&self, item: &Item<'i>, key: &str) -> Result<Vec<Pointer>, RoutesError> {
        let items = match item.get_ref() {
            DeValue::String(_) => vec![item],
            _ => self.list(item, key)?,
        };
        items
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

    fn known_keys(&self, table: &DeTable<'i>, known: &[&str]) -> Result<(), RoutesError> {
        match table.keys().find(|key| !known.contains(&key.get_ref().as_ref())) {
            None => Ok(()),
            Some(key) => Err(self
                .error(key.span(), format!("`{}` is not known here; known are {}", key.get_ref(), known.join(", ")))),
        }
    }

    fn table<'t>(&self, item: &'t Item<'i>, key: &str) -> Result<&'t DeTable<'i>, RoutesError> {
        item.get_ref().as_table().ok_or_else(|| self.expected(item, key, "a table"))
    }

    /// A list that is not empty.
    fn list<'t>(&self, item: &'t Item<'i>, key: &str) -> Result<Vec<&'t Item<'i>>, RoutesError> {
        let list: Vec<_> = item.get_ref().as_array().map(|array| array.iter().collect()).unwrap_or_default();
        if list.is_empty() { Err(self.expected(item, key, "a list that is not empty")) } else { Ok(list) }
    }

    /// A string that is not empty.
    fn string(&self, item: &Item<'i>, key: &str) -> Result<String, RoutesError> {
        let text = item.get_ref().as_str().filter(|text| !text.is_empty());
        text.map(str::to_owned).ok_or_else(|| self.expected(item, key, "a string that is not empty"))
    }

    fn expected(&self, item: &Item<'i>, key: &str, expected: &str) -> RoutesError {
        self.error(item.span(), format!("`{key}`: {expected} expected"))
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

fn looks_like_a_credential(name: &str) -> bool {
    let plain: String = name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    CREDENTIAL_WORDS.iter().any(|word| plain.contains(word))
}

fn leads_to_a_credential(pointer: &Pointer) -> bool {
    pointer.tokens().any(looks_like_a_credential)
}

/// True when `pointer` names what `cut` names, or something inside it.
fn is_within(pointer: &Pointer, cut: &Pointer) -> bool {
    pointer.as_str().strip_prefix(cut.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests;
