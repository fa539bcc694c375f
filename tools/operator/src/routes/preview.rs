//! The messages that a body would become, and why a route makes none. No outside system is asked.

use std::path::Path;

use json::{Document, Value};
use route::lookup::Place;
use route::routes::{CustomerSource, Field, FieldValue, Fit, Route, Routes, present};
use serde::Serialize;
use serde_json::value::RawValue;
use shared::clock::Clock;
use shared::customer::reference::Customer;
use shared::deliver::message;
use shared::deliver::resolver::{MessageCustomer, id_at};
use shared::receive::provider::{Envelope, Provider};
use shared::record::event::{EventRecord, Fetched};
use shared::record::failure::FailureCode;

use crate::OperatorError;
use crate::events::report::why_not;

/// A body as an event, and what each route would make of it.
#[derive(Debug)]
pub struct Preview<'r> {
    /// As it would be recorded now: redacted.
    pub event: EventRecord,
    pub routes: Vec<RoutePreview<'r>>,
}

/// What one route would make of an event.
#[derive(Debug, Serialize)]
pub struct RoutePreview<'r> {
    pub route: &'r str,
    pub to: String,
    pub matches: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why_not: Option<String>,
    /// In the order in which they would be tried, up to the one that the body settles.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub customer: Vec<String>,
    pub once_per_customer: bool,
    /// In the order of the message.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldPreview>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Where one of the route's own fields has its value from.
#[derive(Debug, Serialize)]
pub struct FieldPreview {
    pub field: String,
    pub optional: bool,
    pub from: String,
}

impl<'r> Preview<'r> {
    /// Of a body of `provider`, or of the one whose envelope it has; `file` is where the body comes from.
    ///
    /// # Errors
    /// The body is not JSON, or no provider was given and its envelope does not tell.
    pub fn new(
        body: &[u8],
        file: &Path,
        provider: Option<&'static Provider>,
        routes: &'r Routes,
    ) -> Result<Self, OperatorError> {
        let document = Document::parse(body).map_err(|error| {
            OperatorError::usage(
                format!("{}: {error}", file.display()),
                "a body is a JSON object, as the provider sends it",
            )
        })?;
        let provider = provider.map_or_else(|| provider_of(&document, file), Ok)?;
        let event = event(provider, &document, routes);
        let redacted = Document::parse(event.body.as_bytes())
            .map_err(|error| OperatorError::outside(format!("the redacted body: {error}"), "report this as a bug"))?;
        let previews =
            routes.all().iter().map(|route| RoutePreview::new(route, &event, document.root(), redacted.root()));
        let routes = previews.collect();
        Ok(Self { event, routes })
    }
}

impl<'r> RoutePreview<'r> {
    /// Routes are matched on the body as received; messages are made of what redaction leaves of it.
    fn new(route: &'r Route, event: &EventRecord, received: Value<'_>, redacted: Value<'_>) -> Self {
        let event_type = event.event_type.as_deref().unwrap_or_default();
        let why_not = match route.fit(&event.provider, event_type, received) {
            Fit::OtherProvider => Some(format!("for events of {}", route.provider)),
            fit => why_not(&fit, event_type),
        };
        let mut preview = Self {
            route: &route.name,
            to: route.destination.to_string(),
            matches: why_not.is_none(),
            why_not,
            customer: Vec::new(),
            once_per_customer: route.once_per_customer,
            fields: Vec::new(),
            message: None,
            problem: None,
        };
        if preview.matches {
            let (lookups, customer) = customer(route, redacted);
            let message = match customer {
                Some(customer) => {
                    message::compose(event, redacted, route, &customer, &Fetched::new()).map_err(|it| it.summary())
                }
                None => Err(FailureCode::CustomerUnknown.code().to_owned()),
            };
            preview.customer = lookups;
            preview.fields = route.fields.iter().map(|field| FieldPreview::new(field, redacted)).collect();
            (preview.message, preview.problem) = raw(message);
        }
        preview
    }
}

impl FieldPreview {
    fn new(field: &Field, body: Value<'_>) -> Self {
        let from = match &field.value {
            FieldValue::Places(places) => place(places, body),
            FieldValue::Constant(_) => "a constant".to_owned(),
            FieldValue::Customer(attribute) => format!("{} of the customers table", attribute.name()),
        };
        Self { field: field.name.clone(), optional: field.optional, from }
    }
}

/// The first place that has a value, as far as the body shows.
fn place(places: &[Place], body: Value<'_>) -> String {
    let settles = |place: &&Place| match place {
        Place::Body(pointer) => present(body, [pointer].into_iter()).is_some(),
        Place::Lookup { .. } => true,
    };
    match places.iter().find(settles) {
        Some(Place::Body(pointer)) => pointer.to_string(),
        Some(Place::Lookup { lookup, pointer }) => format!("{pointer} of look-up {lookup}"),
        None => "not in the body".to_owned(),
    }
}

/// A message that keeps its digits in JSON, or why there is none.
pub fn raw(message: Result<String, String>) -> (Option<Box<RawValue>>, Option<String>) {
    match message.map(RawValue::from_string) {
        Ok(Ok(message)) => (Some(message), None),
        Ok(Err(_)) => (None, Some("the message is not JSON".to_owned())),
        Err(problem) => (None, Some(problem)),
    }
}

/// The provider that reads most of its envelope here; of several, the one that the file's folder is named after.
fn provider_of(document: &Document<'_>, file: &Path) -> Result<&'static Provider, OperatorError> {
    let members_read = |provider: &Provider| {
        let Envelope { event_id, event_type, occurred_at } = provider.read_envelope(document.root());
        event_type.map_or(0, |_| 1 + usize::from(event_id.is_some()) + usize::from(occurred_at.is_some()))
    };
    let most = providers::ALL.iter().copied().map(members_read).max().unwrap_or_default();
    let fitting: Vec<&'static Provider> =
        providers::ALL.iter().copied().filter(|provider| most > 0 && members_read(provider) == most).collect();
    let folder = file.parent().and_then(Path::file_name);
    let named = fitting.iter().find(|provider| folder.is_some_and(|folder| folder == provider.name));
    match (&fitting[..], named) {
        ([only], _) | (_, Some(only)) => Ok(only),
        _ => Err(OperatorError::usage(
            "Cannot recognise the provider of this body",
            format!("pass `--provider {}`", providers::ALL[0].name),
        )),
    }
}

fn event(provider: &Provider, document: &Document<'_>, routes: &Routes) -> EventRecord {
    let now = Clock::system().now();
    let envelope = provider.read_envelope(document.root());
    EventRecord::received(
        provider.name,
        envelope.event_id.unwrap_or_else(|| "(sha256 of the body)".to_owned()),
        envelope.event_type,
        envelope.occurred_at.unwrap_or(now),
        now,
        document.without(routes.redacted(provider.name)).into_owned(),
    )
}

/// How a route would find the customer of a body, by what the body holds, and a placeholder for that customer.
pub fn customer(route: &Route, body: Value<'_>) -> (Vec<String>, Option<MessageCustomer>) {
    let mut lookups = Vec::new();
    let mut found: Option<String> = None;
    for source in &route.customer {
        let Some(id) = id_at(body, source.pointer()) else { continue };
        let (asked, reference) = match source {
            CustomerSource::Body(_) => {
                lookups.push(format!("{source}: {id}"));
                return (lookups, Some(placeholder(found.unwrap_or(id))));
            }
            CustomerSource::Link { kind, .. } => ("the customers table".to_owned(), format!("{kind}:{id}")),
            CustomerSource::Api { kind, .. } => {
                let lookup = providers::lookups().find(|lookup| lookup.kind == kind);
                let path = lookup.map_or("", |lookup| lookup.path);
                (format!("the customers table, then GET {path}{id}"), format!("{kind}:{id}"))
            }
        };
        lookups.push(format!("{source}: {reference} is looked up in {asked}"));
        found.get_or_insert(format!("(the customer of {reference})"));
    }
    if lookups.is_empty() {
        let sources: Vec<_> = route.customer.iter().map(ToString::to_string).collect();
        lookups.push(format!("not in the body: {}", sources.join(", ")));
    }
    (lookups, found.map(placeholder))
}

/// What a route would look its customer up by, as far as the body shows: `KIND:id`.
pub fn references(route: &Route, body: Value<'_>) -> Vec<String> {
    let reference = |source: &CustomerSource| match source {
        CustomerSource::Body(_) => None,
        CustomerSource::Link { kind, pointer } | CustomerSource::Api { kind, pointer } => {
            Some(format!("{kind}:{}", id_at(body, pointer)?))
        }
    };
    route.customer.iter().filter_map(reference).collect()
}

fn placeholder(customer_id: String) -> MessageCustomer {
    let record = Customer {
        email: Some("(email)".to_owned()),
        first_name: Some("(first name)".to_owned()),
        last_name: Some("(last name)".to_owned()),
        trading_accounts: vec!["(trading account)".to_owned()],
        ..Customer::new(&customer_id, Clock::system().now())
    };
    MessageCustomer { customer_id, record: Some(record) }
}

#[cfg(test)]
mod tests;
