//! `bridge workflows`: stop delivering to one workflow or incoming webhook for a while, without losing or ageing its events.

use std::collections::BTreeMap;
use std::io::{self, Write};

use clap::{Args, Subcommand};
use operator::{OperatorError, Parts};
use serde::Serialize;
use shared::clock::{Clock, UnixMillis};
use shared::record::destination::Destination;
use shared::record::event::DispatchState;
use shared::record::pauses::{self, Pauses};
use shared::record::store::EventStore;
use shared::record::store::error::StoreError;
use shared::route::routes::Routes;

use crate::events::{Filter, RoutesFile, Selection, age, known_destination, print};
use crate::target::EventsTarget;

/// The workflows and incoming webhooks that routes deliver to: list them, pause and resume one
#[derive(Args)]
pub(crate) struct Workflows {
    #[command(subcommand)]
    verb: WorkflowsVerb,
}

#[derive(Subcommand)]
enum WorkflowsVerb {
    List(List),
    Pause(Pause),
    Resume(Resume),
}

/// List every workflow and incoming webhook that the routes file names, and whether it is paused
#[derive(Args)]
#[command(after_help = LIST_EXAMPLES, after_long_help = LIST_EXAMPLES)]
struct List {
    /// Count the pending messages to each, too; reads every pending event
    #[arg(long)]
    count: bool,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    routes: RoutesFile,
    #[command(flatten)]
    target: EventsTarget,
}

/// Deliver nothing to a workflow until it is resumed
///
/// Its events are received, recorded and acknowledged as ever. They wait, and neither age nor use up attempts.
#[derive(Args)]
#[command(after_help = PAUSE_EXAMPLES, after_long_help = PAUSE_EXAMPLES)]
struct Pause {
    /// The workflow, as routes.toml has it; an incoming webhook as incoming-webhook:NAME
    name: String,
    #[command(flatten)]
    routes: RoutesFile,
    #[command(flatten)]
    target: EventsTarget,
}

/// Deliver to a workflow again, what has waited first of all
#[derive(Args)]
#[command(after_help = RESUME_EXAMPLES, after_long_help = RESUME_EXAMPLES)]
struct Resume {
    /// The workflow, as routes.toml has it; an incoming webhook as incoming-webhook:NAME
    name: String,
    #[command(flatten)]
    routes: RoutesFile,
    #[command(flatten)]
    target: EventsTarget,
}

const LIST_EXAMPLES: &str = "Examples:
  bridge workflows list
  bridge workflows list --count                                 with the messages that wait for each
  bridge workflows list --json --table events --profile prod    in AWS, for a script";

const PAUSE_EXAMPLES: &str = "Examples:
  bridge workflows pause kyc
  bridge workflows pause kyc --table events --profile prod    in AWS
  bridge events list --workflow kyc                           what waits for it";

const RESUME_EXAMPLES: &str = "Examples:
  bridge workflows resume kyc
  bridge workflows resume kyc --table events --profile prod    in AWS
  bridge events redrive --workflow kyc --dry-run               what a redrive at once would send";

/// A function reads the switches when it is called and has not done so for this long.
const NOTICED_WITHIN: &str = "functions notice within 30 s";

/// A workflow on one line of `--json`.
#[derive(Serialize)]
struct Line<'w> {
    /// Or `incoming-webhook:NAME`.
    workflow: String,
    paused: bool,
    #[serde(skip)]
    paused_at: Option<UnixMillis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    paused_since: Option<String>,
    routes: Vec<&'w str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pending: Option<usize>,
}

impl Workflows {
    pub(crate) async fn run(self) -> Result<(), OperatorError> {
        let now = Clock::system().now();
        match self.verb {
            WorkflowsVerb::List(list) => list.run(now).await,
            WorkflowsVerb::Pause(pause) => {
                let destination = known_destination(&pause.routes.read()?, &pause.name)?;
                let place = pause.target.open(Parts::default()).await?;
                let said = switch_off(&place.events()?, &destination, now).await;
                println!("{}", said.map_err(|error| place.store_error(&error))?);
                Ok(())
            }
            WorkflowsVerb::Resume(resume) => {
                let destination = known_destination(&resume.routes.read()?, &resume.name)?;
                let place = resume.target.open(Parts::default()).await?;
                let said = switch_on(&place.events()?, &destination, now).await;
                println!("{}", said.map_err(|error| place.store_error(&error))?);
                Ok(())
            }
        }
    }
}

impl List {
    async fn run(self, now: UnixMillis) -> Result<(), OperatorError> {
        let routes = self.routes.read()?;
        let place = self.target.open(Parts::default()).await?;
        let store = place.events()?;
        let pauses = store.pauses(routes.destinations()).await.map_err(|error| place.store_error(&error))?;
        let counts = if self.count {
            Some(pending_messages(&store, &routes).await.map_err(|error| place.store_error(&error))?)
        } else {
            None
        };
        let lines = lines(&routes, &pauses, counts.as_ref());
        print(|out| match self.json {
            true => write_json(out, &lines),
            false => write(out, &lines, now),
        })?;
        Ok(())
    }
}

fn lines<'w>(routes: &'w Routes, pauses: &Pauses, counts: Option<&BTreeMap<Destination, usize>>) -> Vec<Line<'w>> {
    let to = |it: &Destination| {
        let routes = routes.all().iter().filter(|route| route.destination == *it);
        routes.map(|route| route.name.as_str()).collect()
    };
    routes
        .destinations()
        .into_iter()
        .map(|destination| Line {
            workflow: destination.to_string(),
            paused: pauses.is_paused(destination),
            paused_at: paused_since(pauses, destination),
            paused_since: paused_since(pauses, destination).map(|at| at.to_string()),
            routes: to(destination),
            pending: counts.map(|counts| counts.get(destination).copied().unwrap_or_default()),
        })
        .collect()
}

fn write(out: &mut dyn Write, lines: &[Line<'_>], now: UnixMillis) -> io::Result<()> {
    let width = lines.iter().map(|line| line.workflow.chars().count()).max().unwrap_or_default().max("WORKFLOW".len());
    let counted = lines.iter().any(|line| line.pending.is_some());
    let pending = |text: &str| if counted { format!("  {text:>7}") } else { String::new() };
    writeln!(out, "{:<width$}{}  STATE", "WORKFLOW", pending("PENDING"))?;
    for line in lines {
        let state = match line.paused_at {
            Some(at) => format!("paused since {at}, for {}", age(at, now)),
            None => "delivering".to_owned(),
        };
        let count = pending(&line.pending.unwrap_or_default().to_string());
        writeln!(out, "{:<width$}{count}  {state}", line.workflow)?;
    }
    Ok(())
}

fn write_json(out: &mut dyn Write, lines: &[Line<'_>]) -> io::Result<()> {
    for line in lines {
        serde_json::to_writer(&mut *out, line)?;
        writeln!(out)?;
    }
    Ok(())
}

pub(crate) fn paused_since(pauses: &Pauses, destination: &Destination) -> Option<UnixMillis> {
    pauses.0.get(destination)?.last().filter(|pause| pause.to.is_none()).map(|pause| pause.from)
}

/// Pauses a destination, and says what that means.
pub(crate) async fn switch_off(
    store: &EventStore,
    destination: &Destination,
    now: UnixMillis,
) -> Result<String, StoreError> {
    let before = store.pauses([destination]).await?;
    let spans = before.0.get(destination).map_or(&[][..], Vec::as_slice);
    let Some(after) = pauses::pause(spans, now) else {
        let since = paused_since(&before, destination).unwrap_or(now);
        return Ok(format!("{destination} is paused already, since {since}."));
    };
    store.write_pauses(destination, &after).await?;
    Ok(format!(
        "{destination} is paused: {NOTICED_WITHIN}. Its events wait; `bridge workflows resume {destination}` ends it."
    ))
}

/// Resumes a destination, and says what that means.
pub(crate) async fn switch_on(
    store: &EventStore,
    destination: &Destination,
    now: UnixMillis,
) -> Result<String, StoreError> {
    let before = store.pauses([destination]).await?;
    let spans = before.0.get(destination).map_or(&[][..], Vec::as_slice);
    let Some(after) = pauses::resume(spans, now) else {
        return Ok(format!("{destination} is not paused."));
    };
    let paused = paused_since(&before, destination).map(|at| age(at, now)).unwrap_or_default();
    store.write_pauses(destination, &after).await?;
    Ok(format!("{destination} delivers again, after {paused}: {NOTICED_WITHIN}, and redrive sends what has waited."))
}

/// How many messages wait for each destination.
async fn pending_messages(store: &EventStore, routes: &Routes) -> Result<BTreeMap<Destination, usize>, StoreError> {
    let filter = Filter::pending();
    let mut selection = Selection::new(store, &filter);
    let mut counts = BTreeMap::new();
    loop {
        let events = selection.next().await?;
        if events.is_empty() {
            return Ok(counts);
        }
        let deliveries = events.iter().flat_map(|event| &event.deliveries);
        for (route, _) in deliveries.filter(|(_, delivery)| delivery.state == DispatchState::Pending) {
            if let Some(route) = routes.by_name(route) {
                *counts.entry(route.destination.clone()).or_default() += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests;
