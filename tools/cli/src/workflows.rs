//! `bridge workflows`: stop delivering to one workflow or incoming webhook for a while, without losing or ageing its events.

use std::io;

use clap::{Args, Subcommand};
use operator::events::filter::known_destination;
use operator::pauses::{self, WorkflowStatus, pending_messages, statuses};
use operator::times::age;
use operator::{OperatorError, Parts};
use serde::Serialize;
use shared::clock::{Clock, UnixMillis};
use shared::record::pauses::PauseStatus;

use crate::routes::file::RoutesFile;
use crate::target::EventsTarget;
use crate::terminal::{self, Lines, out, print, write_table};

/// The workflows and incoming webhooks of the routes: list, pause, resume
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
    /// Also count the pending messages of each; reads every pending event
    #[arg(long)]
    count: bool,
    /// Print one JSON object per line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    routes: RoutesFile,
    #[command(flatten)]
    target: EventsTarget,
}

/// Stop deliveries to a workflow until it is resumed
///
/// Its events are still received, recorded and acknowledged. They wait, do not age, and use no attempts.
#[derive(Args)]
#[command(after_help = PAUSE_EXAMPLES, after_long_help = PAUSE_EXAMPLES)]
struct Pause {
    /// Name of the workflow in routes.toml; for an incoming webhook, incoming-webhook:NAME
    name: String,
    #[command(flatten)]
    routes: RoutesFile,
    #[command(flatten)]
    target: EventsTarget,
}

/// Deliver to a workflow again, starting with the events that have waited
#[derive(Args)]
#[command(after_help = RESUME_EXAMPLES, after_long_help = RESUME_EXAMPLES)]
struct Resume {
    /// Name of the workflow in routes.toml; for an incoming webhook, incoming-webhook:NAME
    name: String,
    #[command(flatten)]
    routes: RoutesFile,
    #[command(flatten)]
    target: EventsTarget,
}

const LIST_EXAMPLES: &str = "Examples:
  bridge workflows list
  bridge workflows list --count                                 with the number of pending messages
  bridge workflows list --json --table events --profile prod    in AWS, for a script";

const PAUSE_EXAMPLES: &str = "Examples:
  bridge workflows pause kyc
  bridge workflows pause kyc --table events --profile prod    in AWS
  bridge events list --workflow kyc                           its pending events";

const RESUME_EXAMPLES: &str = "Examples:
  bridge workflows resume kyc
  bridge workflows resume kyc --table events --profile prod    in AWS
  bridge events redrive --workflow kyc --dry-run               the messages that a redrive would send now";

/// A workflow on one line of `--json`.
#[derive(Serialize)]
struct Line<'w> {
    /// Or `incoming-webhook:NAME`.
    workflow: String,
    /// `null` when its pauses cannot be read.
    paused: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    paused_since: Option<String>,
    routes: &'w [&'w str],
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
                let sentence = pauses::pause(&place.events()?, &destination, now).await;
                out!("{}", sentence.map_err(|error| place.store_error(&error))?);
                Ok(())
            }
            WorkflowsVerb::Resume(resume) => {
                let destination = known_destination(&resume.routes.read()?, &resume.name)?;
                let place = resume.target.open(Parts::default()).await?;
                let sentence = pauses::resume(&place.events()?, &destination, now).await;
                out!("{}", sentence.map_err(|error| place.store_error(&error))?);
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
        let statuses = statuses(&routes, &pauses, counts.as_ref());
        print(|out| match self.json {
            true => terminal::write_json(out, statuses.iter().map(line)),
            false => write(out, &statuses, now),
        })?;
        Ok(())
    }
}

fn line<'w>(status: &'w WorkflowStatus<'_>) -> Line<'w> {
    let (paused, paused_since) = match status.status {
        PauseStatus::Delivering => (Some(false), None),
        PauseStatus::Paused { since } => (Some(true), Some(since.to_string())),
        PauseStatus::Unreadable => (None, None),
    };
    Line {
        workflow: status.destination.to_string(),
        paused,
        paused_since,
        routes: &status.routes,
        pending: status.pending,
    }
}

fn write(out: &mut Lines, statuses: &[WorkflowStatus<'_>], now: UnixMillis) -> io::Result<()> {
    let state = |it: &WorkflowStatus<'_>| match it.status {
        PauseStatus::Delivering => "delivering".to_owned(),
        PauseStatus::Paused { since } => format!("paused since {since}, for {}", age(since, now)),
        PauseStatus::Unreadable => {
            format!("unreadable: nothing is sent. hint: `bridge workflows resume {0}` or `pause {0}`", it.destination)
        }
    };
    if statuses.iter().all(|it| it.pending.is_none()) {
        let row = |it: &WorkflowStatus<'_>| [it.destination.to_string(), state(it)];
        return write_table(out, ["WORKFLOW", "STATE"], statuses.iter().map(row));
    }
    let pending = |it: &WorkflowStatus<'_>| it.pending.unwrap_or_default().to_string();
    let row = |it: &WorkflowStatus<'_>| [it.destination.to_string(), pending(it), state(it)];
    write_table(out, ["WORKFLOW", "PENDING", "STATE"], statuses.iter().map(row))
}

#[cfg(test)]
mod tests;
