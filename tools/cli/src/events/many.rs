//! Events to act on, named or chosen by filters: counted and confirmed first, then worked through at a rate.

use std::collections::HashSet;
use std::time::Duration;

use clap::Args;
use indicatif::ProgressBar;
use operator::events::candidates::{Action, Candidates};
use operator::events::filter::Filter;
use operator::events::run::{Progress, RunResult, Tally, Verdict, run};
use operator::words::counted;
use operator::{OperatorError, Parts, Place};
use shared::clock::{Clock, UnixMillis};
use shared::record::event::EventState;

use crate::events::arguments::Filters;
use crate::events::list::write_rows;
use crate::routes::file::RoutesFile;
use crate::target::EventsTarget;
use crate::terminal::{self, Table, confirm, interrupted, note, note_lines, out, print, quoted};

#[derive(Args)]
pub(super) struct Many {
    /// Keys of events, as `bridge events list` prints them; without keys, use filters
    #[arg(value_name = "PK")]
    keys: Vec<String>,
    /// Count the events, show ten of them, and change nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Do not ask for confirmation
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    routes: RoutesFile,
    #[command(flatten)]
    filters: Filters,
    #[command(flatten)]
    target: EventsTarget,
}

/// Which events are meant, where, and as of when.
pub(super) struct Scope {
    pub(super) place: Place,
    filter: Filter,
    now: UnixMillis,
}

impl Many {
    /// Without a filter by state, `states` are meant.
    pub(super) async fn scope(&self, states: &[EventState], parts: Parts) -> Result<Scope, OperatorError> {
        let now = Clock::system().now();
        self.check_choice()?;
        let filter = self.filters.resolve(states, &self.routes, now)?;
        Ok(Scope { place: self.target.open(parts).await?, filter, now })
    }

    /// Counts the events, says what is left alone and why, and asks; the keys, or `None` if there is nothing to do. `remark`
    /// is for the person who decides.
    pub(super) async fn choose(
        &self,
        action: Action,
        scope: &Scope,
        remark: Option<&str>,
    ) -> Result<Option<Vec<String>>, OperatorError> {
        let Scope { place, filter, now } = scope;
        let store = place.events()?;
        let counting = spinner("counting");
        let chosen = match self.keys.is_empty() {
            true => Candidates::by_filter(&store, filter, action, *now).await,
            false => Candidates::by_keys(&store, &self.keys, action, *now).await,
        };
        counting.finish_and_clear();
        let chosen = chosen.map_err(|error| place.store_error(&error))?;
        self.check_keys(&chosen, place)?;
        for sentence in chosen.skipped() {
            note!("{sentence}");
        }
        if self.dry_run {
            show(&chosen, action, remark, *now)?;
            return Ok(None);
        }
        if chosen.keys.is_empty() {
            out!("Nothing to {} at {}.", action.name(), place.name());
            return Ok(None);
        }
        if let Some(remark) = remark {
            note!("{remark}");
        }
        if self.keys.is_empty() && !self.yes {
            let verb = if action == Action::Redrive { "Redrive" } else { "Dismiss" };
            let question = format!("{verb} {} of {}?", counted(chosen.keys.len(), "event"), place.name());
            if !confirm(&question, "`--dry-run` shows ten of them, `--yes` goes ahead")? {
                return Ok(None);
            }
        }
        Ok(Some(chosen.keys))
    }

    /// Works through them, and prints the result.
    pub(super) async fn run<T: Tally, I: Future<Output = Result<T, OperatorError>>>(
        &self,
        scope: &Scope,
        keys: &[String],
        rate: u32,
        stopping: &str,
        invoke: impl FnMut(Vec<String>) -> I,
    ) -> Result<(), OperatorError> {
        let progress = terminal::Progress::of_items(keys.len());
        let on_progress = |update: Progress<'_, T>| match update {
            Progress::Done(done, counts) => progress.update(done as u64, &counts.summary()),
            Progress::Stopping => progress.print_above(stopping),
        };
        let result = run(invoke, keys, rate, interrupted, on_progress).await;
        progress.end();
        out!("{} of {}: {}", result.done, counted(keys.len(), "event"), result.counts.summary());
        self.conclude(result, keys, scope.now)
    }

    fn check_choice(&self) -> Result<(), OperatorError> {
        match (self.keys.is_empty(), self.filters.is_empty()) {
            (true, true) => Err(OperatorError::usage(
                "No events selected",
                "name keys, or filter with `--state dead`, `--workflow NAME`, `--error CODE`, ...; `--dry-run` counts first",
            )),
            (false, false) => {
                Err(OperatorError::usage("Both keys and filters are given", "name events, or select them by filters"))
            }
            _ => Ok(()),
        }
    }

    /// Each key must be that of an event that can be read.
    fn check_keys(&self, chosen: &Candidates, place: &Place) -> Result<(), OperatorError> {
        if let (false, Some(error)) = (self.keys.is_empty(), chosen.unreadable.first()) {
            return Err(place.store_error(error));
        }
        for error in &chosen.unreadable {
            note!("Skipped: {error}");
        }
        match chosen.missing.is_empty() {
            true => Ok(()),
            false => Err(OperatorError::usage(
                format!("No event {} in {}", chosen.missing.join(", "), place.name()),
                "a key is provider#id, quoted in the shell; nothing was changed",
            )),
        }
    }

    /// What the run came to, with the command that goes on where something is left.
    fn conclude<T>(&self, result: RunResult<T>, keys: &[String], now: UnixMillis) -> Result<(), OperatorError> {
        let again = |done: &[String]| go_on(std::env::args().skip(1), &self.times(now), done);
        let how = if self.keys.is_empty() {
            "events that were delivered are not selected again; events that failed and still match the filters are"
        } else {
            "it names only the events that are left"
        };
        let go_on = || format!("continue with: {}\n      {how}", again(&keys[..result.done]));
        match result.verdict {
            Verdict::Complete => Ok(()),
            Verdict::Incomplete { events } => {
                let hint = format!("none of them is lost. Try again with: {}", again(&[]));
                Err(OperatorError::outside(Verdict::incomplete(events), hint))
            }
            Verdict::Stopped { left } => {
                Err(OperatorError::refused(format!("Stopped with {} left", counted(left, "event")), go_on()))
            }
            Verdict::Failed { error, left } => {
                note_lines(&format!(
                    "Stopped with {} left; when the cause is fixed,\n      {}",
                    counted(left, "event"),
                    go_on()
                ));
                Err(error)
            }
        }
    }

    /// The spans that were given, as times: the same command later shall mean the same events.
    fn times(&self, now: UnixMillis) -> Vec<(&'static str, String)> {
        self.filters.times(now).into_iter().map(|(flag, at)| (flag, at.to_string())).collect()
    }
}

fn show(chosen: &Candidates, action: Action, remark: Option<&str>, now: UnixMillis) -> Result<(), OperatorError> {
    let done = if action == Action::Redrive { "redriven" } else { "dismissed" };
    print(|out| {
        writeln!(out, "{} would be {done}.", counted(chosen.keys.len(), "event"))?;
        if let Some(remark) = remark {
            writeln!(out, "{remark}")?;
        }
        if chosen.sample.is_empty() {
            return Ok(());
        }
        if chosen.sample.len() < chosen.keys.len() {
            writeln!(out, "The first {}:", chosen.sample.len())?;
        }
        write_rows(out, &mut Table::default(), true, &chosen.sample, now)
    })?;
    Ok(())
}

/// The command that goes on: the one that was given, without the keys that are done, and with times for spans.
pub(super) fn go_on(words: impl Iterator<Item = String>, times: &[(&str, String)], done: &[String]) -> String {
    let done: HashSet<&str> = done.iter().map(String::as_str).collect();
    let mut command = vec!["bridge".to_owned()];
    let mut value = None;
    for word in words {
        if let Some(at) = value.take() {
            command.push(at);
            continue;
        }
        let (flag, has_value) = word.split_once('=').map_or((word.as_str(), false), |(flag, _)| (flag, true));
        match times.iter().find(|(name, _)| *name == flag) {
            Some((_, at)) if has_value => command.push(format!("{flag}={at}")),
            Some((_, at)) => {
                command.push(flag.to_owned());
                value = Some(at.clone());
            }
            None if done.contains(word.as_str()) => {}
            None => command.push(quoted(&word)),
        }
    }
    command.join(" ")
}

fn spinner(doing: &'static str) -> ProgressBar {
    let spinner = ProgressBar::new_spinner();
    spinner.set_message(doing);
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}

#[cfg(test)]
mod tests;
