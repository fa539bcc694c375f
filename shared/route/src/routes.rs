//! `routes.toml`: which event goes where. JSON Pointers only, no language of our own.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::customer::CustomerAttribute;
use crate::destination::Destination;
use crate::lookup::{Lookup, Place};
use json::{Kind, Pointer, Value};

/// The routes, in the order of the file, what their fields look up, and what is cut from bodies before they are stored.
#[derive(Debug)]
pub struct Routes {
    pub(super) routes: Vec<Route>,
    pub(super) lookups: Vec<Lookup>,
    pub(super) redact: BTreeMap<String, Vec<Pointer>>,
}

/// Each event that a route matches becomes one message.
#[derive(Debug)]
pub struct Route {
    /// Unique; part of the idempotency key, so it must not change while events are pending.
    pub name: String,
    pub provider: String,
    pub destination: Destination,
    /// Returning.AI's `eventType`.
    pub event_type: String,
    /// Where the customer's id may be found, first to last.
    pub customer: Vec<CustomerSource>,
    /// This route delivers only the first event of each customer.
    pub once_per_customer: bool,
    /// The name under which the message carries its idempotency key.
    pub idempotency_field: String,
    pub fields: Vec<Field>,
    pub events: Vec<EventPattern>,
    /// Any of them must hold; none means no condition.
    pub when: Vec<Condition>,
}

/// One way to find out who the customer is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum CustomerSource {
    /// `/pointer`: in the body itself.
    Body(Pointer),
    /// `link:KIND:/pointer`: the customer that the customers table links to `KIND:value`.
    Link { kind: String, pointer: Pointer },
    /// `KIND:/pointer`: the customers table, or else the provider's API.
    Api { kind: String, pointer: Pointer },
}

/// One of the route's own fields of the message.
#[derive(Debug)]
pub struct Field {
    pub name: String,
    pub value: FieldValue,
    /// If false, a message without this field is not sent.
    pub optional: bool,
}

#[derive(Debug)]
pub enum FieldValue {
    /// The first that finds something counts.
    Places(Vec<Place>),
    /// JSON text, the same in every message.
    Constant(String),
    /// An attribute of the customer in the customers table.
    Customer(CustomerAttribute),
}

/// What a routes file may name that is not its own.
#[derive(Clone, Copy, Debug)]
pub enum Known<'k> {
    /// Whatever is written: for routes of providers that do not exist.
    Anything,
    Only {
        providers: &'k [&'k str],
        /// The providers that have an API.
        apis: &'k [&'k str],
        /// What may stand as KIND in a `KIND:/pointer`.
        kinds: &'k [&'k str],
    },
}

/// A name that a provider's section gives to what its bodies hold.
#[derive(Debug)]
pub struct Name {
    pub provider: String,
    pub name: String,
    /// From 1.
    pub line: usize,
    /// All pointers into the body that it stands for. Empty for what is only looked up.
    pub pointers: Vec<Pointer>,
}

/// A problem in a routes file, and its place.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{file}:{line}:{column}: {problem}")]
pub struct RoutesError {
    pub file: String,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    pub problem: String,
    /// What helps, when more is known than where the grammar is described.
    pub suggestion: Option<String>,
}

/// Whether a route wants an event, and if not, the reason.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Fit<'r> {
    Matches,
    OtherProvider,
    OtherType,
    /// Of each of its conditions, the first part that does not hold.
    ConditionFails(Vec<FailedPart<'r>>),
}

/// The text at the first of `pointers` that finds something is none of those that are `accepted`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FailedPart<'r> {
    pub pointers: &'r [Pointer],
    pub accepted: &'r [String],
}

/// Which event types a route wants.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum EventPattern {
    Exactly(String),
    /// In the file with a trailing `*`.
    Prefix(String),
}

/// Each place, whose pointers are tried in order, must hold one of its accepted texts.
pub type Condition = Vec<(Vec<Pointer>, Vec<String>)>;

/// Returning.AI has no documented name for it; a route may choose another.
pub const DEFAULT_IDEMPOTENCY_FIELD: &str = "idempotencyKey";

/// Fields that every message has, and that a route must not set.
pub const RESERVED_FIELDS: [&str; 6] =
    ["eventType", "customerId", "occurredAt", DEFAULT_IDEMPOTENCY_FIELD, "source", "sourceEventType"];

impl RoutesError {
    pub fn hint(&self) -> &str {
        self.suggestion.as_deref().unwrap_or("docs/routes.md describes the keys and what each may hold")
    }

    /// The problem, then its line of the file's `text`, with a caret under the place.
    pub fn with_its_line(&self, text: &str) -> String {
        let line = text.lines().nth(self.line - 1).unwrap_or_default();
        format!("{self}\n  {line}\n  {}^", " ".repeat(self.column - 1))
    }
}

impl Routes {
    /// The routes that want an event, in the order of the file.
    pub fn matching<'r>(
        &'r self,
        provider: &'r str,
        event_type: &'r str,
        event: Value<'r>,
    ) -> impl Iterator<Item = &'r Route> {
        self.routes.iter().filter(move |route| route.wants(provider, event_type, event))
    }

    /// Whether a route is meant for events of this type, whatever their content.
    pub fn knows_type(&self, provider: &str, event_type: &str) -> bool {
        let mut of_provider = self.routes.iter().filter(|route| route.provider == provider);
        of_provider.any(|route| route.events.iter().any(|pattern| pattern.fits(event_type)))
    }

    pub fn by_name(&self, name: &str) -> Option<&Route> {
        self.routes.iter().find(|route| route.name == name)
    }

    pub fn all(&self) -> &[Route] {
        &self.routes
    }

    /// Where a route delivers to; `None` for a route that does not exist.
    pub fn destination(&self, name: &str) -> Option<&Destination> {
        self.by_name(name).map(|route| &route.destination)
    }

    /// All that routes deliver to, each once.
    pub fn destinations(&self) -> BTreeSet<&Destination> {
        self.routes.iter().map(|route| &route.destination).collect()
    }

    /// The names of the workflows that a route delivers to, each once.
    pub fn workflows(&self) -> Vec<String> {
        let name = |destination: &Destination| match destination {
            Destination::Workflow(name) => Some(name.clone()),
            Destination::IncomingWebhook(_) => None,
        };
        self.destinations().into_iter().filter_map(name).collect()
    }

    /// The names of the incoming webhooks that a route delivers to, each once.
    pub fn incoming_webhooks(&self) -> Vec<String> {
        let name = |destination: &Destination| match destination {
            Destination::IncomingWebhook(name) => Some(name.clone()),
            Destination::Workflow(_) => None,
        };
        self.destinations().into_iter().filter_map(name).collect()
    }

    /// The look-up that a field of this provider's routes names.
    pub fn lookup(&self, provider: &str, name: &str) -> Option<&Lookup> {
        self.lookups.iter().find(|lookup| lookup.provider == provider && lookup.name == name)
    }

    /// What is cut from this provider's bodies before they are stored.
    pub fn redacted(&self, provider: &str) -> &[Pointer] {
        self.redact.get(provider).map_or(&[], Vec::as_slice)
    }

    /// Which event types of a provider any route wants, each pattern once.
    pub fn patterns(&self, provider: &str) -> BTreeSet<&EventPattern> {
        self.routes.iter().filter(|route| route.provider == provider).flat_map(|route| &route.events).collect()
    }

    /// Every provider that the file names.
    pub fn providers(&self) -> BTreeSet<&str> {
        self.routes.iter().map(|route| route.provider.as_str()).chain(self.redact.keys().map(String::as_str)).collect()
    }
}

impl Route {
    fn wants(&self, provider: &str, event_type: &str, event: Value<'_>) -> bool {
        self.provider == provider
            && self.names_type(event_type)
            && (self.when.is_empty() || self.when.iter().any(|condition| failed_part(condition, event).is_none()))
    }

    /// As [`Routes::matching`] decides, with the reason.
    pub fn fit(&self, provider: &str, event_type: &str, event: Value<'_>) -> Fit<'_> {
        if self.wants(provider, event_type, event) {
            return Fit::Matches;
        }
        match () {
            () if self.provider != provider => Fit::OtherProvider,
            () if !self.names_type(event_type) => Fit::OtherType,
            () => Fit::ConditionFails(self.when.iter().filter_map(|condition| failed_part(condition, event)).collect()),
        }
    }

    /// Whether a field's value may stand in the answer of this look-up.
    pub fn uses(&self, lookup: &str) -> bool {
        self.fields.iter().any(|field| field.lookups().any(|it| it == lookup))
    }

    /// Whether a message without what this look-up gives is not sent.
    pub fn requires(&self, lookup: &str) -> bool {
        self.fields.iter().any(|field| !field.optional && field.lookups().any(|it| it == lookup))
    }

    fn names_type(&self, event_type: &str) -> bool {
        self.events.iter().any(|pattern| pattern.fits(event_type))
    }
}

impl Field {
    /// The look-ups whose answers may have its value.
    pub fn lookups(&self) -> impl Iterator<Item = &str> {
        let places = match &self.value {
            FieldValue::Places(places) => places.as_slice(),
            FieldValue::Constant(_) | FieldValue::Customer(_) => &[],
        };
        places.iter().filter_map(|place| match place {
            Place::Lookup { lookup, .. } => Some(lookup.as_str()),
            Place::Body(_) => None,
        })
    }
}

impl EventPattern {
    pub fn fits(&self, event_type: &str) -> bool {
        match self {
            Self::Exactly(name) => name == event_type,
            Self::Prefix(prefix) => event_type.starts_with(prefix.as_str()),
        }
    }
}

fn failed_part<'c>(condition: &'c Condition, event: Value<'_>) -> Option<FailedPart<'c>> {
    let holds = |pointers: &[Pointer], accepted: &[String]| {
        let text = present(event, pointers.iter()).and_then(Value::text);
        text.is_some_and(|text| accepted.iter().any(|value| *value == *text))
    };
    let (pointers, accepted) = condition.iter().find(|(pointers, accepted)| !holds(pointers, accepted))?;
    Some(FailedPart { pointers, accepted })
}

/// The first value that stands in `body` and is not null.
pub fn present<'b, 'p>(body: Value<'b>, mut pointers: impl Iterator<Item = &'p Pointer>) -> Option<Value<'b>> {
    pointers.find_map(|pointer| body.at(pointer).filter(|value| !matches!(value.kind(), Kind::Null)))
}

/// As in the file.
impl fmt::Display for CustomerSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Body(pointer) => write!(f, "{pointer}"),
            Self::Link { kind, pointer } => write!(f, "link:{kind}:{pointer}"),
            Self::Api { kind, pointer } => write!(f, "{kind}:{pointer}"),
        }
    }
}

impl CustomerSource {
    pub fn pointer(&self) -> &Pointer {
        match self {
            Self::Body(pointer) | Self::Link { pointer, .. } | Self::Api { pointer, .. } => pointer,
        }
    }
}

#[cfg(test)]
mod tests;
