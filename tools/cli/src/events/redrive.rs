//! `bridge events redrive`: another try, for one event or for many.

use std::collections::HashSet;
use std::time::Duration;

use clap::Args;
use indicatif::ProgressBar;
use operator::events::redrive::{Candidates, Progress, RunResult, Verdict, redrive, run, summary};
use operator::words::counted;
use operator::{OperatorError, Parts, Place};
use shared::clock::{Clock, UnixMillis};

use crate::events::arguments::Filters;
use crate::events::list::write_rows;
use crate::routes::file::RoutesFile;
use crate::target::EventsTarget;
use crate::terminal::{self, Table, confirm, interrupted, print};

/// Try events again now: those named, or all that filters choose
///
/// The function `redrive` makes the attempts, with the same idempotency key and `occurredAt` as ever. Of a dead event what is
/// dead is tried, an ignored event goes to the routes that want it today, and a delivered one stays as it is. Events that
/// somebody is delivering at this moment are left alone.
///
/// Filters choose by what is so now; --dry-run counts first. Ctrl-C finishes the events in hand and prints how to go on.
#[derive(Args)]
#[command(after_help = EXAMPLES, after_long_help = EXAMPLES)]
pub(crate) struct Redrive {
    /// These events, as `bridge events list` has them; or else filters
    #[arg(value_name = "PK")]
    keys: Vec<String>,
    /// Count, show ten of them, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// No more than so many events a second
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rate: u32,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    routes: RoutesFile,
    #[command(flatten)]
    filters: Filters,
    #[command(flatten)]
    target: EventsTarget,
    /// In AWS: the function that redrives
    #[arg(long, value_name = "NAME", requires = "table", help_heading = "Where")]
    function: Option<String>,
}

const EXAMPLES: &str = "Examples:
  bridge events redrive 'rail#evt_1'
  bridge events redrive --state dead --workflow kyc --since 2d --dry-run
  bridge events redrive --state dead --error refused --table events --function bridge-redrive --rate 50 --yes";

impl Redrive {
    pub(crate) async fn run(self) -> Result<(), OperatorError> {
        let now = Clock::system().now();
        self.check_choice()?;
        let filter = self.filters.resolve(&self.routes, now)?;
        let parts = Parts { redrive_function: self.function.clone(), ..Parts::default() };
        let place = self.target.open(parts).await?;
        // Before anything is counted: a missing --function is best told at once.
        let function = if self.dry_run { None } else { Some(place.redrive_function()?) };

        let counting = spinner("counting");
        let chosen = match self.keys.is_empty() {
            true => Candidates::by_filter(&place, &filter, now).await,
            false => Candidates::by_keys(&place, &self.keys, now).await,
        };
        counting.finish_and_clear();
        let chosen = chosen?;
        self.check_keys(&chosen, &place)?;
        for (count, reason) in [(chosen.in_hand, "are being delivered now"), (chosen.delivered, "are delivered")] {
            if count > 0 {
                eprintln!("Skipped because they {reason}: {}.", counted(count, "event"));
            }
        }
        let Some(function) = function else {
            return show(&chosen, now);
        };
        if chosen.keys.is_empty() {
            println!("Nothing to redrive at {}.", place.name());
            return Ok(());
        }
        if self.keys.is_empty() && !self.yes {
            let question = format!("Redrive {} of {}?", counted(chosen.keys.len(), "event"), place.name());
            if !confirm(&question, "`--dry-run` shows ten of them, `--yes` goes ahead")? {
                return Ok(());
            }
        }

        let progress = terminal::Progress::of_items(chosen.keys.len());
        let on_progress = |update: Progress<'_>| match update {
            Progress::Done(done, counts) => progress.update(done as u64, &summary(counts)),
            Progress::Stopping => {
                progress.print_above("Finishing the current events. Ctrl-C again leaves them to the function.");
            }
        };
        let invoke = |keys| redrive(&function, keys);
        let result = run(invoke, &chosen.keys, self.rate, interrupted, on_progress).await;
        progress.end();
        println!("{} of {}: {}", result.done, counted(chosen.keys.len(), "event"), summary(&result.counts));
        self.conclude(result, &chosen.keys, now)
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
            eprintln!("Skipped: {error}");
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
    fn conclude(&self, result: RunResult, keys: &[String], now: UnixMillis) -> Result<(), OperatorError> {
        let again = |done: &[String]| go_on(std::env::args().skip(1), &self.times(now), done);
        let how = if self.keys.is_empty() {
            "events that are done by then are not selected again; those that failed and still match are"
        } else {
            "it names only the events that are left"
        };
        let go_on = || format!("continue with: {}\n      {how}", again(&keys[..result.done]));
        match result.verdict {
            Verdict::Complete => Ok(()),
            Verdict::Incomplete { events } => {
                let hint = format!("its log names them, and none is lost. Try again with: {}", again(&[]));
                Err(OperatorError::outside(Verdict::incomplete(events), hint))
            }
            Verdict::Stopped { left } => {
                Err(OperatorError::refused(format!("Stopped with {} left", counted(left, "event")), go_on()))
            }
            Verdict::Failed { error, left } => {
                eprintln!("Stopped with {} left; when the cause is fixed,\n      {}", counted(left, "event"), go_on());
                Err(error)
            }
        }
    }

    /// The spans that were given, as times: the same command later shall mean the same events.
    fn times(&self, now: UnixMillis) -> Vec<(&'static str, String)> {
        self.filters.times(now).into_iter().map(|(flag, at)| (flag, at.to_string())).collect()
    }
}

fn show(chosen: &Candidates, now: UnixMillis) -> Result<(), OperatorError> {
    print(|out| {
        writeln!(out, "{} would be redriven.", counted(chosen.keys.len(), "event"))?;
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

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn spinner(doing: &'static str) -> ProgressBar {
    let spinner = ProgressBar::new_spinner();
    spinner.set_message(doing);
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}

#[cfg(test)]
mod tests;
