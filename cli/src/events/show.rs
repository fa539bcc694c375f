//! `bridge events show`: all that the table knows of one event, and what would be sent for it now.

use std::collections::BTreeMap;
use std::io::{self, Write};

use clap::Args;
use futures_util::future::join_all;
use serde::Serialize;
use serde_json::value::RawValue;
use shared::clock::{Clock, UnixMillis};
use shared::event::{self, AttemptBy, DeliveryState, EventRecord, EventState};
use shared::event_store::listing::EventSummary;
use shared::json::{Document, Kind, Value, write_string};
use shared::message;
use shared::pauses::Pauses;
use shared::resolver::{Resolved, Resolver};
use shared::routes::Routes;

use crate::aws::Target;
use crate::events::list::{Delivery, deliveries};
use crate::events::times::{age, relative, span, written};
use crate::events::{RoutesFile, print, printable};
use crate::failure::Failure;

/// Show one event: its timeline, its deliveries, and the message that would be sent now beside each failure
///
/// Messages are made of the stored body by today's routes file, as a redrive would make them. The body itself is shown only
/// with --body.
#[derive(Args)]
#[command(after_help = EXAMPLES, after_long_help = EXAMPLES)]
pub(crate) struct Show {
    /// The event's key, as `bridge events list` has it: provider#id
    #[arg(value_name = "PK")]
    pk: String,
    /// The stored body, too: what `redact` left of it
    #[arg(long)]
    body: bool,
    /// One JSON object
    #[arg(long)]
    json: bool,
    /// With --table: the customers table, to say whom a message would be about
    #[arg(long, value_name = "NAME", requires = "table")]
    customers_table: Option<String>,
    #[command(flatten)]
    routes: RoutesFile,
    #[command(flatten)]
    target: Target,
}

const EXAMPLES: &str = "Examples:
  bridge events show 'rail#evt_1'                                   quote it: # begins a comment in many shells
  bridge events show 'rail#evt_1' --body                            with the body that messages are made of
  bridge events show 'rail#evt_1' --table events --profile prod     in AWS";

/// An event and what it is to be read beside.
pub(super) struct Report<'e> {
    pub(super) event: &'e EventRecord,
    pub(super) routes: &'e Routes,
    pub(super) customers: &'e Customers,
    pub(super) pauses: &'e Pauses,
    pub(super) now: UnixMillis,
}

/// By the name of the route, the customer of the message that it would make.
pub(super) type Customers = BTreeMap<String, Result<Resolved, event::Failure>>;

/// What one route would send now.
struct Composed<'e> {
    route: &'e str,
    /// `None` when today's routes have no such route.
    to: Option<String>,
    /// Why it was not delivered before; `None` when it was not tried, or was ignored.
    failed: Option<&'e str>,
    /// The message, or why there would be none.
    message: Result<String, String>,
}

/// `--json`.
#[derive(Serialize)]
struct Facts<'e> {
    pk: String,
    provider: &'e str,
    event_id: &'e str,
    event_type: Option<&'e str>,
    occurred_at: String,
    received_at: String,
    state: &'static str,
    attempts: u32,
    next_attempt_at: Option<String>,
    died_at: Option<String>,
    delivered_at: Option<String>,
    expires_at: Option<String>,
    in_hand: bool,
    last_error: Option<&'e str>,
    body_sha256: &'e str,
    deliveries: BTreeMap<&'e str, Delivery<'e>>,
    history: Vec<Tried<'e>>,
    would_send: Vec<WouldSend<'e>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Box<RawValue>>,
}

#[derive(Serialize)]
struct Tried<'e> {
    at: String,
    by: &'static str,
    outcome: &'e str,
    http_status: Option<u16>,
    ms: u64,
}

#[derive(Serialize)]
struct WouldSend<'e> {
    route: &'e str,
    to: Option<String>,
    failed: Option<&'e str>,
    message: Option<Box<RawValue>>,
    problem: Option<String>,
}

impl Show {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let routes = self.routes.read()?;
        let bridge = self.target.open().await?;
        let read = bridge.store.read(&self.pk).await.map_err(|error| bridge.failure(&error))?;
        let Some(event) = read else {
            return Err(Failure::usage(
                format!("{} has no event `{}`", bridge.name(), self.pk),
                "a key is provider#id, quoted in the shell; `bridge events list` has those that wait or are dead",
            ));
        };
        let pauses = bridge.store.pauses(routes.destinations()).await.map_err(|error| bridge.failure(&error))?;
        let resolver = bridge.resolver(self.customers_table.as_deref());
        let customers = customers(&resolver, &routes, &event).await;
        let now = Clock::system().now();
        let report = Report { event: &event, routes: &routes, customers: &customers, pauses: &pauses, now };
        print(|out| match self.json {
            true => report.write_json(out, self.body),
            false => report.write(out, self.body),
        })?;
        Ok(())
    }
}

/// As the body and the customers table say, without asking a provider.
pub(super) async fn customers(resolver: &Resolver, routes: &Routes, event: &EventRecord) -> Customers {
    let Ok(document) = Document::parse(event.body.as_bytes()) else { return BTreeMap::new() };
    let of_provider = routes.all().iter().filter(|route| route.provider == event.provider);
    let resolved = of_provider.map(|route| async {
        let customer = resolver.resolve(route, document.root()).await;
        (route.name.clone(), customer)
    });
    join_all(resolved).await.into_iter().collect()
}

impl Report<'_> {
    pub(super) fn write(&self, out: &mut dyn Write, body: bool) -> io::Result<()> {
        let event = self.event;
        writeln!(out, "{}", printable(&event.pk()))?;
        writeln!(out)?;
        let event_type = event.event_type.as_deref().map_or_else(|| "(unreadable)".to_owned(), printable);
        writeln!(out, "  type        {event_type}")?;
        writeln!(out, "  state       {}", self.state())?;
        writeln!(out, "  attempts    {}", event.attempts)?;
        if let Some(error) = &event.last_error {
            writeln!(out, "  last error  {error}")?;
        }
        writeln!(out, "  occurred    {}", event.occurred_at)?;
        let ago = age(event.received_at, self.now);
        writeln!(out, "  received    {}, {ago} ago", event.received_at)?;
        let kept =
            event.expires_at().map_or_else(|| "until it is redriven".to_owned(), |at| format!("until {}", written(at)));
        writeln!(out, "  kept        {kept}")?;
        writeln!(out, "  body        {} bytes stored; {} as received", event.body.len(), event.body_sha256)?;

        writeln!(out, "\nTimeline")?;
        for (at, what) in self.timeline() {
            writeln!(out, "  {at}  {what}")?;
        }
        self.write_deliveries(out)?;
        for composed in self.composed() {
            composed.write(out)?;
        }
        if body {
            writeln!(out, "\nStored body")?;
            writeln!(out, "{}", event.body)?;
        }
        Ok(())
    }

    fn state(&self) -> String {
        let event = self.event;
        match (event.state, event.next_attempt_at) {
            (EventState::Pending, _) if self.is_all_paused() => "pending: what it waits for is paused".to_owned(),
            (EventState::Pending, Some(_)) if self.is_in_hand() => "pending, being delivered".to_owned(),
            (EventState::Pending, Some(at)) if event.is_due(self.now) => {
                format!("pending, due {}", relative(at, self.now))
            }
            (EventState::Pending, Some(at)) => format!("pending, next attempt {}", relative(at, self.now)),
            (EventState::Dead, _) => "dead: needs a person".to_owned(),
            (EventState::Ignored, _) => "ignored: no route wanted it".to_owned(),
            (state, _) => state.name().to_owned(),
        }
    }

    /// What happened when, oldest first, and what is to come.
    fn timeline(&self) -> Vec<(String, String)> {
        let event = self.event;
        let lag = span(event.received_at.since(event.occurred_at));
        let mut lines = vec![(event.received_at.to_string(), format!("received, {lag} after it occurred"))];
        for attempt in &event.history {
            let by = match attempt.by {
                AttemptBy::First => "the receiving function",
                AttemptBy::Redrive => "redrive",
                AttemptBy::Manual => "redrive, by an operator",
            };
            let status = attempt.http_status.map(|status| format!(", HTTP {status}")).unwrap_or_default();
            let what = format!("attempt of {by}: {}{status}, {} ms", attempt.outcome, attempt.ms);
            lines.push((attempt.at.to_string(), what));
        }
        if let Some(at) = event.delivered_at.filter(|_| event.state == EventState::Delivered) {
            lines.push((at.to_string(), "delivered".to_owned()));
        }
        let Some(at) = event.next_attempt_at else { return lines };
        let told = relative(at, self.now);
        let open = EventSummary::from(event).outcomes < event.attempts as usize;
        lines.push((
            written(at),
            match event.state {
                EventState::Dead => format!("dead, {told}"),
                _ if open && self.is_all_paused() => format!("lease, {told}; paused, so nobody takes it over"),
                _ if self.is_in_hand() => format!("lease of the attempt under way ends, {told}"),
                _ if open && event.is_due(self.now) => {
                    format!("lease of an attempt without an outcome ended, {told}; redrive takes it over")
                }
                _ if self.is_all_paused() => format!("next attempt, {told}, once its workflow is resumed"),
                _ => format!("next attempt, {told}"),
            },
        ));
        lines
    }

    fn is_in_hand(&self) -> bool {
        EventSummary::from(self.event).is_in_hand(self.now)
    }

    /// Whether every destination that is still to hear of it is paused.
    fn is_all_paused(&self) -> bool {
        let mut routes = self.event.pending_routes().filter_map(|route| self.routes.named(route)).peekable();
        routes.peek().is_some() && routes.all(|route| self.pauses.is_paused(&route.destination))
    }

    fn write_deliveries(&self, out: &mut dyn Write) -> io::Result<()> {
        let event = self.event;
        writeln!(out, "\nDeliveries")?;
        if event.deliveries.is_empty() {
            return writeln!(out, "  none");
        }
        let width = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or_default();
        let routes = width(&mut event.deliveries.keys().map(|route| route.chars().count()));
        let named = |route: &str| match self.routes.named(route) {
            Some(route) => route.destination.to_string(),
            None => "(no such route today)".to_owned(),
        };
        let destinations = width(&mut event.deliveries.keys().map(|route| named(route).chars().count()));
        for (route, delivery) in &event.deliveries {
            let to = named(route);
            let mut line = format!("  {route:<routes$} → {to:<destinations$}  {:<9}", delivery.state.name());
            if let Some(at) = delivery.at {
                line = format!("{line}  {at}");
            }
            if let Some(code) = &delivery.code {
                line = format!("{line}  {code}");
            }
            let destination = self.routes.named(route).map(|route| &route.destination);
            if is_open(delivery.state) && destination.is_some_and(|destination| self.pauses.is_paused(destination)) {
                line = format!("{line}  (paused)");
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }

    /// What a redrive would send: for each route that is not done, or, if it was ignored, for each that wants it today.
    fn composed(&self) -> Vec<Composed<'_>> {
        let event = self.event;
        let document = Document::parse(event.body.as_bytes());
        let compose = |route: &str| {
            let document = document.as_ref().map_err(|_| "the stored body does not read".to_owned())?;
            let route = self.routes.named(route).ok_or_else(|| "today's routes file has no such route".to_owned())?;
            let customer =
                self.customers.get(&route.name).ok_or_else(|| "its customer was not looked up".to_owned())?;
            let customer = customer.as_ref().map_err(event::Failure::summary)?;
            message::compose(event, document.root(), route, customer).map_err(|failure| failure.summary())
        };
        let to = |route: &str| self.routes.named(route).map(|route| route.destination.to_string());
        if event.state == EventState::Ignored {
            let Ok(document) = &document else { return Vec::new() };
            let event_type = event.event_type.as_deref().unwrap_or_default();
            let wanting = self.routes.matching(&event.provider, event_type, document.root());
            let wanting: Vec<&str> = wanting.map(|route| route.name.as_str()).collect();
            let routes = self.routes.all().iter().map(|route| route.name.as_str());
            return routes
                .filter(|route| wanting.contains(route))
                .map(|route| Composed { route, to: to(route), failed: None, message: compose(route) })
                .collect();
        }
        event
            .deliveries
            .iter()
            .filter(|(_, delivery)| is_open(delivery.state))
            .map(|(route, delivery)| Composed {
                route,
                to: to(route),
                failed: delivery.code.as_deref(),
                message: compose(route),
            })
            .collect()
    }

    pub(super) fn write_json(&self, out: &mut dyn Write, body: bool) -> io::Result<()> {
        let event = self.event;
        let at = |state| event.next_attempt_at.filter(|_| event.state == state).map(written);
        let facts = Facts {
            pk: event.pk(),
            provider: &event.provider,
            event_id: &event.event_id,
            event_type: event.event_type.as_deref(),
            occurred_at: event.occurred_at.to_string(),
            received_at: event.received_at.to_string(),
            state: event.state.name(),
            attempts: event.attempts,
            next_attempt_at: at(EventState::Pending),
            died_at: at(EventState::Dead),
            delivered_at: event.delivered_at.map(|at| at.to_string()),
            expires_at: event.expires_at().map(written),
            in_hand: self.is_in_hand(),
            last_error: event.last_error.as_deref(),
            body_sha256: &event.body_sha256,
            deliveries: deliveries(&event.deliveries),
            history: event
                .history
                .iter()
                .map(|attempt| Tried {
                    at: attempt.at.to_string(),
                    by: attempt.by.name(),
                    outcome: &attempt.outcome,
                    http_status: attempt.http_status,
                    ms: attempt.ms,
                })
                .collect(),
            would_send: self.composed().into_iter().map(WouldSend::from).collect(),
            // Raw, so that numbers keep their digits.
            body: body.then(|| RawValue::from_string(event.body.clone())).transpose()?,
        };
        serde_json::to_writer(&mut *out, &facts)?;
        writeln!(out)
    }
}

impl Composed<'_> {
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let to = self.to.as_ref().map(|to| format!(" to {to}")).unwrap_or_default();
        let failed = self.failed.map(|code| format!(", which failed: {code}")).unwrap_or_default();
        writeln!(out, "\nWould be sent now by {}{to}{failed}", self.route)?;
        match &self.message {
            Ok(message) => write_members(out, message),
            Err(problem) => writeln!(out, "  nothing: {problem}"),
        }
    }
}

impl<'e> From<Composed<'e>> for WouldSend<'e> {
    fn from(composed: Composed<'e>) -> Self {
        let Composed { route, to, failed, message } = composed;
        let (message, problem) = match message.map(RawValue::from_string) {
            Ok(Ok(message)) => (Some(message), None),
            Ok(Err(_)) => (None, Some("the message is not JSON".to_owned())),
            Err(problem) => (None, Some(problem)),
        };
        Self { route, to, failed, message, problem }
    }
}

fn is_open(state: DeliveryState) -> bool {
    matches!(state, DeliveryState::Pending | DeliveryState::Dead)
}

/// A JSON object, a member a line, every value as it stands.
pub(crate) fn write_members(out: &mut dyn Write, json: &str) -> io::Result<()> {
    let Ok(document) = Document::parse(json.as_bytes()) else {
        return writeln!(out, "  {json}");
    };
    let members: Vec<_> = document.root().members().collect();
    for (at, member) in members.iter().enumerate() {
        let mut key = String::new();
        write_string(&mut key, &member.key.text().unwrap_or_default());
        let open = if at == 0 { "{" } else { " " };
        let close = if at + 1 == members.len() { " }" } else { "," };
        writeln!(out, "  {open} {key}: {}{close}", on_one_line(member.value))?;
    }
    Ok(())
}

/// A nested value of a provider's may be spread over lines.
fn on_one_line(value: Value<'_>) -> String {
    match value.kind() {
        Kind::Array | Kind::Object => value.source().split_whitespace().collect::<Vec<_>>().join(" "),
        _ => value.source().to_owned(),
    }
}
