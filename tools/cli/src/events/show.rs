//! `bridge events show`: all that the table knows of one event, and what would be sent for it now.

use std::collections::BTreeMap;
use std::io;

use clap::Args;
use operator::events::report::{Moment, MomentKind, Report, RouteMessage, Which, customers};
use operator::routes::preview::raw;
use operator::times::{age, relative, written};
use operator::{OperatorError, Parts};
use serde::Serialize;
use serde_json::value::RawValue;
use shared::clock::{Clock, UnixMillis};
use shared::record::event::EventState;

use crate::events::list::{Delivery, deliveries};
use crate::routes::file::RoutesFile;
use crate::target::EventsTarget;
use crate::terminal::{self, Lines, print, write_members};

/// Show one event: its timeline, its routes, and for each failure the message that would be sent now
///
/// Messages are made from the stored body and the current routes file, as in a redrive. The body is shown only
/// with --body.
#[derive(Args)]
#[command(after_help = EXAMPLES, after_long_help = EXAMPLES)]
pub(crate) struct Show {
    /// The event's key, as `bridge events list` prints it: provider#id
    #[arg(value_name = "PK")]
    pk: String,
    /// Also show the stored body, without what `redact` removed
    #[arg(long)]
    body: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// With --table: the customers table, to show the customer of a message
    #[arg(long, value_name = "NAME", requires = "table")]
    customers_table: Option<String>,
    #[command(flatten)]
    routes: RoutesFile,
    #[command(flatten)]
    target: EventsTarget,
}

const EXAMPLES: &str = "Examples:
  bridge events show 'rail#evt_1'                                   quote it: # begins a comment in many shells
  bridge events show 'rail#evt_1' --body                            with the body that messages are made from
  bridge events show 'rail#evt_1' --table events --profile prod     in AWS";

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
    history: Vec<AttemptLine<'e>>,
    would_send: Vec<WouldSend<'e>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Box<RawValue>>,
}

#[derive(Serialize)]
struct AttemptLine<'e> {
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
    pub(crate) async fn run(self) -> Result<(), OperatorError> {
        let routes = self.routes.read()?;
        let place = self.target.open(Parts { customers_table: self.customers_table, ..Parts::default() }).await?;
        let store = place.events()?;
        let failed = |error| place.store_error(&error);
        let read = store.read(&self.pk).await.map_err(failed)?;
        let Some(event) = read else {
            return Err(OperatorError::usage(
                format!("{} has no event `{}`", place.name(), self.pk),
                "a key is provider#id, quoted in the shell; `bridge events list` has those that wait or are dead",
            ));
        };
        let pauses = store.pauses(routes.destinations()).await.map_err(failed)?;
        let customers = customers(&place.resolver(), &routes, &event).await;
        let now = Clock::system().now();
        let report = Report { event: &event, routes: &routes, customers: &customers, pauses: &pauses, now };
        print(|out| match self.json {
            true => write_json(out, &report, self.body),
            false => write(out, &report, self.body),
        })?;
        Ok(())
    }
}

pub(super) fn write(out: &mut Lines, report: &Report<'_>, body: bool) -> io::Result<()> {
    let event = report.event;
    writeln!(out, "{}", event.pk())?;
    writeln!(out)?;
    let event_type = event.event_type.as_deref().unwrap_or("(unreadable)");
    writeln!(out, "  type        {event_type}")?;
    writeln!(out, "  state       {}", report.state())?;
    writeln!(out, "  attempts    {}", event.attempts)?;
    if let Some(error) = &event.last_error {
        writeln!(out, "  last error  {error}")?;
    }
    if let Some(meaning) = report.meaning() {
        writeln!(out, "              {meaning}")?;
    }
    writeln!(out, "  occurred    {}", event.occurred_at)?;
    let ago = age(event.received_at, report.now);
    writeln!(out, "  received    {}, {ago} ago", event.received_at)?;
    let kept =
        event.expires_at.map_or_else(|| "until the work on it ends".to_owned(), |at| format!("until {}", written(at)));
    writeln!(out, "  kept        {kept}")?;
    writeln!(out, "  body        {} bytes stored; {} as received", event.body.len(), event.body_sha256)?;

    writeln!(out)?;
    writeln!(out, "Timeline")?;
    for moment in report.timeline() {
        write_moment(out, &moment, report.now)?;
    }
    write_deliveries(out, report)?;
    for message in report.messages(Which::Open) {
        write_message(out, &message)?;
    }
    if body {
        writeln!(out)?;
        writeln!(out, "Stored body")?;
        for line in event.body.lines() {
            writeln!(out, "{line}")?;
        }
    }
    Ok(())
}

fn write_moment(out: &mut Lines, moment: &Moment, now: UnixMillis) -> io::Result<()> {
    let Moment { at, kind, what, remark } = moment;
    match kind {
        MomentKind::Next | MomentKind::Dead => {
            writeln!(out, "  {at}  {what}, {}{remark}", relative(at.seconds(), now))
        }
        _ => writeln!(out, "  {at}  {what}"),
    }
}

fn write_deliveries(out: &mut Lines, report: &Report<'_>) -> io::Result<()> {
    let event = report.event;
    writeln!(out)?;
    writeln!(out, "Routes")?;
    if event.deliveries.is_empty() {
        return writeln!(out, "  none");
    }
    let width = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or_default();
    let routes = width(&mut event.deliveries.keys().map(|route| route.chars().count()));
    let named = |route: &str| match report.routes.by_name(route) {
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
        writeln!(out, "{}", line.trim_end())?;
        for note in report.notes(route, delivery) {
            writeln!(out, "    {note}")?;
        }
    }
    Ok(())
}

pub(super) fn write_json(out: &mut Lines, report: &Report<'_>, body: bool) -> io::Result<()> {
    let event = report.event;
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
        expires_at: event.expires_at.map(written),
        in_hand: report.is_in_hand(),
        last_error: event.last_error.as_deref(),
        body_sha256: &event.body_sha256,
        deliveries: deliveries(&event.deliveries),
        history: event
            .history
            .iter()
            .map(|attempt| AttemptLine {
                at: attempt.at.to_string(),
                by: attempt.by.name(),
                outcome: &attempt.outcome,
                http_status: attempt.http_status,
                ms: attempt.ms,
            })
            .collect(),
        would_send: report.messages(Which::Open).into_iter().map(WouldSend::from).collect(),
        // Raw, so that numbers keep their digits.
        body: body.then(|| RawValue::from_string(event.body.clone())).transpose()?,
    };
    terminal::write_json(out, [facts])
}

/// Why it was not delivered before; `None` when it was not tried, or was ignored.
fn failed<'e>(message: &RouteMessage<'e>) -> Option<&'e str> {
    message.delivery?.code.as_deref()
}

fn write_message(out: &mut Lines, message: &RouteMessage<'_>) -> io::Result<()> {
    let to = message.to.as_ref().map(|to| format!(" to {to}")).unwrap_or_default();
    let failed = failed(message).map(|code| format!(" (last error: {code})")).unwrap_or_default();
    writeln!(out)?;
    writeln!(out, "Message of route {}{to}, as it would be sent now{failed}", message.route)?;
    match &message.message {
        Ok(message) => write_members(out, message),
        Err(problem) => writeln!(out, "  nothing: {problem}"),
    }
}

impl<'e> From<RouteMessage<'e>> for WouldSend<'e> {
    fn from(message: RouteMessage<'e>) -> Self {
        let failed = failed(&message);
        let RouteMessage { route, to, message, .. } = message;
        let (message, problem) = raw(message);
        Self { route, to, failed, message, problem }
    }
}
