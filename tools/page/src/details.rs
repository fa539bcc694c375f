//! One event, with all details.

use axum::Json;
use axum::response::{IntoResponse, Response};
use json::Document;
use operator::events::report::{Customers, Moment, MomentKind, Report, RouteMessage, Which, customers};
use operator::routes::preview::customer;
use operator::times::written;
use route::routes::Routes;
use serde::Serialize;
use serde_json::Value;
use shared::clock::Clock;
use shared::deliver::resolver::Resolver;
use shared::outside::http::CallTime;
use shared::record::event::EventRecord;
use shared::record::store::listing::EventSummary;

use crate::board::{Line, ListedEvent};
use crate::problem::Problem;
use crate::{Page, indent};

#[derive(Serialize)]
pub(crate) struct EventDetails<'e> {
    row: Line<'e>,
    customer: Option<String>,
    occurred: u64,
    #[serde(rename = "deliveredAt")]
    delivered_at: Option<u64>,
    kept: String,
    meaning: Option<String>,
    #[serde(rename = "bodyBytes")]
    body_bytes: usize,
    #[serde(rename = "bodySha256")]
    body_sha256: &'e str,
    timeline: Vec<MomentLine>,
    messages: Vec<MessageLine<'e>>,
    silent: Vec<SilentRoute<'e>>,
    body: String,
}

#[derive(Serialize)]
struct MomentLine {
    at: u64,
    kind: &'static str,
    ok: Option<bool>,
    what: String,
}

#[derive(Serialize)]
struct MessageLine<'e> {
    route: &'e str,
    to: Option<String>,
    state: Option<&'static str>,
    code: Option<&'e str>,
    at: Option<u64>,
    notes: Vec<String>,
    message: Option<String>,
    problem: Option<String>,
    /// How the customer is found, source by source.
    customer: Vec<String>,
}

#[derive(Serialize)]
struct SilentRoute<'e> {
    route: &'e str,
    why: String,
}

impl Page {
    /// The details of one event.
    pub(super) async fn details(&self, pk: &str) -> Result<Response, Problem> {
        let read = self.store.read(pk).await.map_err(|error| self.place.store_error(&error))?;
        let event = read.ok_or_else(|| {
            Problem::not_found("No such event", "a key is `provider#id`; a delivered event is removed after 90 days")
        })?;
        let pauses = self.pauses();
        let customers = customers(&self.resolver, &self.routes, &event).await;
        let now = Clock::system().now();
        let report = Report { event: &event, routes: &self.routes, customers: &customers, pauses: &pauses, now };
        let listed = self.board.listed(pk);
        let row = ListedEvent {
            ack_ms: listed.and_then(|listed| listed.ack_ms),
            ..ListedEvent::of(EventSummary::from(&event))
        };
        let details = EventDetails {
            row: row.line(&self.routes, now),
            customer: customer_of(&event, &customers),
            occurred: event.occurred_at.0,
            delivered_at: event.delivered_at.map(|at| at.0),
            kept: event
                .expires_at
                .map_or_else(|| "until the work on it ends".to_owned(), |at| format!("until {}", written(at))),
            meaning: report.meaning(),
            body_bytes: event.body.len(),
            body_sha256: &event.body_sha256,
            timeline: report.timeline().into_iter().map(MomentLine::from).collect(),
            messages: report.messages(Which::All).into_iter().map(|it| message(it, &report)).collect(),
            silent: report.silent().into_iter().map(|(route, why)| SilentRoute { route, why }).collect(),
            body: indent::indented(&event.body),
        };
        Ok(Json(details).into_response())
    }

    /// The customers of these events, as far as they are known without asking a provider.
    pub(super) async fn customers(&self, keys: &[String]) -> Result<Value, Problem> {
        let events = self.store.records(keys).await.map_err(|error| self.place.store_error(&error))?;
        let mut found = serde_json::Map::new();
        for event in events.into_iter().flatten() {
            let customer = first_customer(&self.resolver, &self.routes, &event).await;
            found.insert(event.pk(), customer.into());
        }
        Ok(Value::Object(found))
    }
}

/// The customer by the first of its routes that finds one.
async fn first_customer(resolver: &Resolver, routes: &Routes, event: &EventRecord) -> Option<String> {
    let document = Document::parse(event.body.as_bytes()).ok()?;
    let mut asked = Vec::new();
    for route in routes.all().iter().filter(|route| route.provider == event.provider) {
        let is_its = event.deliveries.is_empty() || event.deliveries.contains_key(&route.name);
        if !is_its || asked.contains(&&route.customer) {
            continue;
        }
        asked.push(&route.customer);
        if let Ok(customer) = resolver.resolve(route, document.root(), CallTime::of_a_person()).await {
            return Some(customer.customer_id);
        }
    }
    None
}

fn customer_of(event: &EventRecord, customers: &Customers) -> Option<String> {
    let mut its =
        customers.iter().filter(|(route, _)| event.deliveries.is_empty() || event.deliveries.contains_key(*route));
    its.find_map(|(_, customer)| Some(customer.as_ref().ok()?.customer_id.clone()))
}

fn message<'e>(composed: RouteMessage<'e>, report: &Report<'_>) -> MessageLine<'e> {
    let RouteMessage { route, to, delivery, message } = composed;
    let (message, problem) = match message {
        Ok(message) => (Some(indent::indented(&message)), None),
        Err(problem) => (None, Some(problem)),
    };
    let document = Document::parse(report.event.body.as_bytes());
    let customer = match (report.routes.by_name(route), document) {
        (Some(route), Ok(document)) => customer(route, document.root()).0,
        _ => Vec::new(),
    };
    MessageLine {
        route,
        to,
        state: delivery.map(|delivery| delivery.state.name()),
        code: delivery.and_then(|delivery| delivery.code.as_deref()),
        at: delivery.and_then(|delivery| delivery.at).map(|at| at.0),
        notes: delivery.map(|delivery| report.notes(route, delivery)).unwrap_or_default(),
        message,
        problem,
        customer,
    }
}

impl From<Moment> for MomentLine {
    fn from(moment: Moment) -> Self {
        let (kind, ok) = match moment.kind {
            MomentKind::Received => ("received", None),
            MomentKind::Attempt { succeeded } => ("attempt", Some(succeeded)),
            MomentKind::Delivered => ("delivered", Some(true)),
            MomentKind::Dead => ("dead", Some(false)),
            MomentKind::Dismissed => ("dismissed", None),
            MomentKind::Next => ("next", None),
        };
        Self { at: moment.at.0, kind, ok, what: moment.what + moment.remark }
    }
}
