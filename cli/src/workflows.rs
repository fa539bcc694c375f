//! `bridge workflows`: stop delivering to one workflow for a while, without losing or ageing its events.

use std::collections::BTreeMap;
use std::io::{self, Write};

use clap::{Args, Subcommand};
use serde::Serialize;
use shared::clock::{Clock, UnixMillis};
use shared::event::DeliveryState;
use shared::event_store::{EventStore, StoreError};
use shared::pauses::{self, Pauses};
use shared::routes::Routes;

use crate::aws::{Bridge, Target};
use crate::events::{Filter, RoutesFile, Selection, age, known_workflow, print};
use crate::failure::Failure;

/// The workflows that routes deliver to: list them, pause and resume one
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

/// List every workflow that the routes file names, and whether it is paused
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
    target: Target,
}

/// Deliver nothing to a workflow until it is resumed
///
/// Its events are received, recorded and acknowledged as ever. They wait, and neither age nor use up attempts.
#[derive(Args)]
#[command(after_help = PAUSE_EXAMPLES, after_long_help = PAUSE_EXAMPLES)]
struct Pause {
    /// The workflow, as routes.toml has it
    name: String,
    #[command(flatten)]
    routes: RoutesFile,
    #[command(flatten)]
    target: Target,
}

/// Deliver to a workflow again, what has waited first of all
#[derive(Args)]
#[command(after_help = RESUME_EXAMPLES, after_long_help = RESUME_EXAMPLES)]
struct Resume {
    /// The workflow, as routes.toml has it
    name: String,
    #[command(flatten)]
    routes: RoutesFile,
    #[command(flatten)]
    target: Target,
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
    workflow: &'w str,
    paused: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    paused_since: Option<String>,
    routes: Vec<&'w str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pending: Option<usize>,
}

impl Workflows {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let now = Clock::system().now();
        match self.verb {
            WorkflowsVerb::List(list) => list.run(now).await,
            WorkflowsVerb::Pause(pause) => {
                let bridge = open(&pause.target, &pause.routes, &pause.name).await?;
                let said = switch_off(&bridge.store, &pause.name, now).await;
                println!("{}", said.map_err(|error| bridge.failure(&error))?);
                Ok(())
            }
            WorkflowsVerb::Resume(resume) => {
                let bridge = open(&resume.target, &resume.routes, &resume.name).await?;
                let said = switch_on(&bridge.store, &resume.name, now).await;
                println!("{}", said.map_err(|error| bridge.failure(&error))?);
                Ok(())
            }
        }
    }
}

async fn open(target: &Target, routes: &RoutesFile, workflow: &str) -> Result<Bridge, Failure> {
    known_workflow(&routes.read()?, workflow)?;
    target.open().await
}

impl List {
    async fn run(self, now: UnixMillis) -> Result<(), Failure> {
        let routes = self.routes.read()?;
        let bridge = self.target.open().await?;
        let pauses = bridge.store.pauses(&routes.workflows()).await.map_err(|error| bridge.failure(&error))?;
        let counts = if self.count {
            Some(pending_messages(&bridge.store, &routes).await.map_err(|error| bridge.failure(&error))?)
        } else {
            None
        };
        let lines = lines(&routes, &pauses, counts.as_ref());
        print(|out| match self.json {
            true => write_json(out, &lines),
            false => write(out, &lines, &pauses, now),
        })?;
        Ok(())
    }
}

fn lines<'w>(routes: &'w Routes, pauses: &Pauses, counts: Option<&BTreeMap<String, usize>>) -> Vec<Line<'w>> {
    routes
        .workflows()
        .into_iter()
        .map(|workflow| Line {
            workflow,
            paused: pauses.is_paused(workflow),
            paused_since: paused_since(pauses, workflow).map(|at| at.to_string()),
            routes: routes.all().iter().filter(|it| it.workflow == workflow).map(|it| it.name.as_str()).collect(),
            pending: counts.map(|counts| counts.get(workflow).copied().unwrap_or_default()),
        })
        .collect()
}

fn write(out: &mut dyn Write, lines: &[Line<'_>], pauses: &Pauses, now: UnixMillis) -> io::Result<()> {
    let width = lines.iter().map(|line| line.workflow.chars().count()).max().unwrap_or_default().max("WORKFLOW".len());
    let counted = lines.iter().any(|line| line.pending.is_some());
    let pending = |text: &str| if counted { format!("  {text:>7}") } else { String::new() };
    writeln!(out, "{:<width$}{}  STATE", "WORKFLOW", pending("PENDING"))?;
    for line in lines {
        let state = match paused_since(pauses, line.workflow) {
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

fn paused_since(pauses: &Pauses, workflow: &str) -> Option<UnixMillis> {
    pauses.0.get(workflow)?.last().filter(|pause| pause.to.is_none()).map(|pause| pause.from)
}

/// Pauses a workflow, and says what that means.
async fn switch_off(store: &EventStore, workflow: &str, now: UnixMillis) -> Result<String, StoreError> {
    let before = store.pauses(&[workflow]).await?;
    let spans = before.0.get(workflow).map_or(&[][..], Vec::as_slice);
    let Some(after) = pauses::pause(spans, now) else {
        let since = paused_since(&before, workflow).unwrap_or(now);
        return Ok(format!("{workflow} is paused already, since {since}."));
    };
    store.write_pauses(workflow, &after).await?;
    Ok(format!(
        "{workflow} is paused: {NOTICED_WITHIN}. Its events wait; `bridge workflows resume {workflow}` ends it."
    ))
}

/// Resumes a workflow, and says what that means.
async fn switch_on(store: &EventStore, workflow: &str, now: UnixMillis) -> Result<String, StoreError> {
    let before = store.pauses(&[workflow]).await?;
    let spans = before.0.get(workflow).map_or(&[][..], Vec::as_slice);
    let Some(after) = pauses::resume(spans, now) else {
        return Ok(format!("{workflow} is not paused."));
    };
    let paused = paused_since(&before, workflow).map(|at| age(at, now)).unwrap_or_default();
    store.write_pauses(workflow, &after).await?;
    Ok(format!("{workflow} delivers again, after {paused}: {NOTICED_WITHIN}, and redrive sends what has waited."))
}

/// How many messages wait for each workflow.
async fn pending_messages(store: &EventStore, routes: &Routes) -> Result<BTreeMap<String, usize>, StoreError> {
    let filter = Filter::pending();
    let mut selection = Selection::new(store, &filter);
    let mut counts = BTreeMap::new();
    loop {
        let events = selection.next().await?;
        if events.is_empty() {
            return Ok(counts);
        }
        let deliveries = events.iter().flat_map(|event| &event.deliveries);
        for (route, _) in deliveries.filter(|(_, delivery)| delivery.state == DeliveryState::Pending) {
            if let Some(route) = routes.named(route) {
                *counts.entry(route.workflow.clone()).or_default() += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests;
