//! `bridge events list`: a line per event.

use std::collections::BTreeMap;
use std::io;

use clap::Args;
use operator::events::selection::Selection;
use operator::times::{age, relative, written};
use operator::{OperatorError, Parts};
use serde::Serialize;
use shared::clock::{Clock, UnixMillis};
use shared::record::event::{Dispatch, EventState};
use shared::record::store::listing::EventSummary;

use crate::events::arguments::Filters;
use crate::routes::file::RoutesFile;
use crate::target::EventsTarget;
use crate::terminal::{self, Lines, Reader, Table, note, print};

/// List events: the pending ones, next attempt first, then the dead ones
///
/// Pending and dead events are in an index. The others are not: --state delivered, ignored and dismissed read the
/// whole table, page by page, until --limit is reached.
#[derive(Args)]
#[command(after_help = EXAMPLES, after_long_help = EXAMPLES)]
pub(crate) struct List {
    /// List at most this many events
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Print one JSON object per line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    routes: RoutesFile,
    #[command(flatten)]
    filters: Filters,
    #[command(flatten)]
    target: EventsTarget,
}

const EXAMPLES: &str = "Examples:
  bridge events list                                                     pending and dead events on this machine
  bridge events list --state dead --error mapping_failed --since 2d
  bridge events list --workflow kyc --json --table events --profile prod  in AWS, for a script";

/// An event on one line of `--json`.
#[derive(Serialize)]
struct Line<'e> {
    pk: &'e str,
    provider: &'e str,
    event_type: Option<&'e str>,
    received_at: String,
    state: &'static str,
    attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_attempt_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    died_at: Option<String>,
    in_hand: bool,
    last_error: Option<&'e str>,
    deliveries: BTreeMap<&'e str, Delivery<'e>>,
}

/// The delivery of an event by one route, for `--json`.
#[derive(Serialize)]
pub(super) struct Delivery<'e> {
    state: &'static str,
    code: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<String>,
}

const TITLES: [&str; 7] = ["EVENT", "TYPE", "STATE", "ATTEMPTS", "NEXT ATTEMPT", "LAST ERROR", "AGE"];

impl List {
    pub(crate) async fn run(self) -> Result<(), OperatorError> {
        let now = Clock::system().now();
        let filter = self.filters.resolve(&[], &self.routes, now)?;
        let place = self.target.open(Parts::default()).await?;
        let store = place.events()?;
        let mut selection = Selection::new(&store, &filter);
        let mut table = Table::default();
        let mut left = self.limit as usize;
        while left > 0 {
            let mut events = selection.next().await.map_err(|error| place.store_error(&error))?;
            if events.is_empty() {
                break;
            }
            events.truncate(left);
            let first = left == self.limit as usize;
            left -= events.len();
            let printed = print(|out| match self.json {
                true => write_json(out, &events, now),
                false => write_rows(out, &mut table, first, &events, now),
            })?;
            if printed == Reader::Closed {
                return Ok(());
            }
        }
        for error in &selection.unreadable {
            note!("Skipped: {error}");
        }
        if left == self.limit as usize && !self.json {
            let states: Vec<_> = filter.states().iter().map(|state| state.name()).collect();
            note!("No {} event matches in {}.", states.join(" or "), place.name());
        }
        if left == 0 {
            note!(
                "Listed the first {} events; there may be more. hint: pass `--limit {}`",
                self.limit,
                self.limit.saturating_mul(10)
            );
        }
        Ok(())
    }
}

pub(super) fn write_json(out: &mut Lines, events: &[EventSummary], now: UnixMillis) -> io::Result<()> {
    let line = |event| Line::of(event, now);
    terminal::write_json(out, events.iter().map(line))
}

impl<'e> Line<'e> {
    fn of(event: &'e EventSummary, now: UnixMillis) -> Self {
        let at = |state| event.next_attempt_at.filter(|_| event.state == state).map(written);
        Self {
            pk: &event.pk,
            provider: event.provider(),
            event_type: event.event_type.as_deref(),
            received_at: event.received_at.to_string(),
            state: event.state.name(),
            attempts: event.attempts,
            next_attempt_at: at(EventState::Pending),
            died_at: at(EventState::Dead),
            in_hand: event.is_in_hand(now),
            last_error: event.last_error.as_deref(),
            deliveries: deliveries(&event.deliveries),
        }
    }
}

pub(super) fn deliveries(deliveries: &BTreeMap<String, Dispatch>) -> BTreeMap<&str, Delivery<'_>> {
    let delivery = |delivery: &Dispatch| delivery.at.map(|at| at.to_string());
    deliveries
        .iter()
        .map(|(route, it)| {
            (route.as_str(), Delivery { state: it.state.name(), code: it.code.as_deref(), at: delivery(it) })
        })
        .collect()
}

/// Writes a row an event, and the titles over the `first` ones.
pub(super) fn write_rows(
    out: &mut Lines,
    table: &mut Table<7>,
    first: bool,
    events: &[EventSummary],
    now: UnixMillis,
) -> io::Result<()> {
    let titles = first.then(|| TITLES.map(str::to_owned));
    let rows: Vec<_> = titles.into_iter().chain(events.iter().map(|event| row(event, now))).collect();
    table.write(out, &rows)
}

fn row(event: &EventSummary, now: UnixMillis) -> [String; 7] {
    let next = match (event.state, event.next_attempt_at) {
        (EventState::Pending, Some(_)) if event.is_in_hand(now) => "in hand".to_owned(),
        (EventState::Pending, Some(at)) if at <= now.seconds() => format!("due {}", relative(at, now)),
        (EventState::Pending, Some(at)) => relative(at, now),
        _ => "–".to_owned(),
    };
    [
        event.pk.clone(),
        event.event_type.as_deref().unwrap_or("(unreadable)").to_owned(),
        event.state.name().to_owned(),
        event.attempts.to_string(),
        next,
        event.last_error.clone().unwrap_or_else(|| "–".to_owned()),
        age(event.received_at, now),
    ]
}
