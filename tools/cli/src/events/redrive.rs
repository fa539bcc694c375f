//! `bridge events redrive`: another try, for one event or for many.

use std::collections::{BTreeSet, HashSet};
use std::pin::pin;
use std::time::Duration;

use clap::Args;
use indicatif::ProgressBar;
use operator::redrive_function::RedriveFunction;
use operator::{OperatorError, Parts, Place};
use shared::clock::{Clock, UnixMillis};
use shared::record::store::listing::EventSummary;
use shared::redrive::contract::Counts;
use tokio::time::Instant;

use crate::ask;
use crate::events::filter::{Filter, Filters};
use crate::events::list::Table;
use crate::events::selection::Selection;
use crate::events::{RoutesFile, print};
use crate::progress::Progress;
use crate::target::EventsTarget;

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

/// Keys per call: the function works on so many at a time, so that all of a call are begun at once and in time.
const MOST_PER_CALL: u32 = 32;

/// How many of many `--dry-run` shows.
const SAMPLE: usize = 10;

/// What is to be tried.
#[derive(Debug, Default)]
pub(crate) struct Chosen {
    pub(crate) keys: Vec<String>,
    /// The first of them.
    pub(crate) sample: Vec<EventSummary>,
    /// Fit, and are left alone.
    pub(crate) in_hand: usize,
}

/// How a run over the keys ended.
#[derive(Debug)]
pub(crate) struct Driven {
    pub(crate) done: usize,
    pub(crate) counts: Counts,
    pub(crate) ended: Ended,
}

#[derive(Debug)]
pub(crate) enum Ended {
    All,
    Interrupted,
    Failed(OperatorError),
}

/// What a run tells of itself as it goes on.
pub(crate) enum Told<'c> {
    Done(usize, &'c Counts),
    /// It was interrupted, and waits for the call in hand.
    Finishing,
}

impl Redrive {
    pub(crate) async fn run(self) -> Result<(), OperatorError> {
        let now = Clock::system().now();
        self.check_choice()?;
        let filter = self.filters.resolve(&self.routes, now)?;
        let parts = Parts { redrive_function: self.function.clone(), ..Parts::default() };
        let place = self.target.open(parts).await?;
        // Before anything is counted: a missing --function is best told at once.
        let function = if self.dry_run { None } else { Some(place.redrive_function()?) };

        let chosen = if self.keys.is_empty() {
            let counting = spinner("counting");
            let chosen = choose(&place, &filter, now).await;
            counting.finish_and_clear();
            chosen?
        } else {
            named(&place, &self.keys, now).await?
        };
        if chosen.in_hand > 0 {
            eprintln!("Left alone, since somebody is delivering it at this moment: {}.", events(chosen.in_hand));
        }
        let Some(function) = function else {
            return chosen.show(now);
        };
        if chosen.keys.is_empty() {
            println!("Nothing to redrive at {}.", place.name());
            return Ok(());
        }
        if self.keys.is_empty() && !self.yes && !agreed(&chosen, &place)? {
            println!("Nothing was done.");
            return Ok(());
        }

        let progress = Progress::of_items(chosen.keys.len());
        let tell = |told: Told<'_>| match told {
            Told::Done(done, counts) => progress.tell(done as u64, &in_words(counts)),
            Told::Finishing => {
                progress.say("Finishing the events in hand. Ctrl-C once more leaves them to the function.");
            }
        };
        let invoke = |keys| try_again(&function, keys);
        let driven = drive(invoke, &chosen.keys, self.rate, interrupted, tell).await;
        progress.end();
        println!("{} of {} events: {}", driven.done, chosen.keys.len(), in_words(&driven.counts));
        self.conclude(driven, &chosen.keys, now)
    }

    fn check_choice(&self) -> Result<(), OperatorError> {
        match (self.keys.is_empty(), self.filters.is_empty()) {
            (true, true) => Err(OperatorError::usage(
                "which events is not said",
                "name some, or choose: --state dead, --workflow NAME, --error CODE, ...; --dry-run counts first",
            )),
            (false, false) => {
                Err(OperatorError::usage("both keys and filters are given", "name events, or choose them by filters"))
            }
            _ => Ok(()),
        }
    }

    /// What the run came to as an exit code, with how to go on where something is left.
    fn conclude(&self, driven: Driven, keys: &[String], now: UnixMillis) -> Result<(), OperatorError> {
        let again = |done: &[String]| go_on(std::env::args().skip(1), &self.times(now), done);
        let (done, left) = keys.split_at(driven.done);
        let how = if self.keys.is_empty() {
            "what is done by then is not chosen again; what was tried in vain and still fits is"
        } else {
            "only what is left is named"
        };
        let go_on = || format!("go on with: {}\n      {how}", again(done));
        let unclear = driven.counts.troubled as usize + not_begun(&driven.counts, driven.done);
        match driven.ended {
            Ended::Failed(failure) => {
                eprintln!("Stopped with {} left; once it is mended,\n      {}", left.len(), go_on());
                Err(failure)
            }
            Ended::Interrupted => Err(OperatorError::refused(format!("stopped with {} left", left.len()), go_on())),
            Ended::All if unclear > 0 => Err(OperatorError::outside(
                format!("the function could not do its part for {unclear} of the events"),
                format!("its log names them, and nothing of them is lost. Once more: {}", again(&[])),
            )),
            Ended::All => Ok(()),
        }
    }

    /// The spans that were given, as times: the same command later shall mean the same events.
    fn times(&self, now: UnixMillis) -> Vec<(&'static str, String)> {
        self.filters.times(now).into_iter().map(|(flag, at)| (flag, at.to_string())).collect()
    }
}

/// All that fit, without what is being delivered. Keys are small; only those are kept.
pub(super) async fn choose(place: &Place, filter: &Filter, now: UnixMillis) -> Result<Chosen, OperatorError> {
    let store = place.events()?;
    let mut selection = Selection::new(&store, filter);
    let mut chosen = Chosen::default();
    // An event that moves within the index while it is read may come twice.
    let mut seen = HashSet::new();
    loop {
        let events = selection.next().await.map_err(|error| place.store_error(&error))?;
        if events.is_empty() {
            break;
        }
        for event in events {
            if seen.insert(event.pk.clone()) {
                chosen.add(event, now);
            }
        }
    }
    for error in &selection.unreadable {
        eprintln!("left out: {error}");
    }
    Ok(chosen)
}

/// The events of these keys, each of which must be there.
pub(super) async fn named(place: &Place, keys: &[String], now: UnixMillis) -> Result<Chosen, OperatorError> {
    let mut distinct = Vec::new();
    for key in keys {
        if !distinct.contains(key) {
            distinct.push(key.clone());
        }
    }
    let mut chosen = Chosen::default();
    let mut missing: BTreeSet<&str> = distinct.iter().map(String::as_str).collect();
    for event in place.events()?.summaries(&distinct).await.map_err(|error| place.store_error(&error))? {
        let event = event.map_err(|error| place.store_error(&error))?;
        missing.remove(event.pk.as_str());
        chosen.add(event, now);
    }
    if missing.is_empty() {
        return Ok(chosen);
    }
    let missing: Vec<&str> = missing.into_iter().collect();
    Err(OperatorError::usage(
        format!("{} has no event {}", place.name(), missing.join(", ")),
        "a key is provider#id, quoted in the shell; nothing was done",
    ))
}

impl Chosen {
    fn add(&mut self, event: EventSummary, now: UnixMillis) {
        if event.is_in_hand(now) {
            self.in_hand += 1;
            return;
        }
        self.keys.push(event.pk.clone());
        if self.sample.len() < SAMPLE {
            self.sample.push(event);
        }
    }

    fn show(&self, now: UnixMillis) -> Result<(), OperatorError> {
        print(|out| {
            writeln!(out, "{} would be redriven.", events(self.keys.len()))?;
            if self.sample.is_empty() {
                return Ok(());
            }
            if self.sample.len() < self.keys.len() {
                writeln!(out, "The first {}:", self.sample.len())?;
            }
            Table::default().write(out, false, &self.sample, now)
        })?;
        Ok(())
    }
}

fn agreed(chosen: &Chosen, place: &Place) -> Result<bool, OperatorError> {
    let count = events(chosen.keys.len());
    ask::agreed(&format!("Redrive {count} of {}?", place.name()), || {
        OperatorError::usage(
            format!("{count} would be redriven, and nobody is here to be asked; nothing was done"),
            "--dry-run shows ten of them, --yes goes ahead",
        )
    })
}

/// Has the function try these events again.
pub(crate) async fn try_again(function: &RedriveFunction, keys: Vec<String>) -> Result<Counts, OperatorError> {
    let said = function.invoke(serde_json::json!({ "keys": keys }).to_string()).await?;
    serde_json::from_slice(&said).map_err(|_| {
        OperatorError::outside("the function's answer does not read", "is --function the one that redrives?")
    })
}

/// Calls `invoke` with some keys at a time, at most `rate` a second, until all are done, a call fails, or `interrupted`
/// returns: then the call in hand is waited for, unless it returns a second time.
pub(crate) async fn drive<I: Future<Output = Result<Counts, OperatorError>>, S: Future<Output = ()>>(
    mut invoke: impl FnMut(Vec<String>) -> I,
    keys: &[String],
    rate: u32,
    interrupted: impl Fn() -> S,
    tell: impl Fn(Told<'_>),
) -> Driven {
    let per_call = rate.clamp(1, MOST_PER_CALL);
    let pause = Duration::from_secs(1) * per_call / rate.max(1);
    let mut driven = Driven { done: 0, counts: Counts::default(), ended: Ended::All };
    let mut stop = pin!(interrupted());
    let mut next = Instant::now();
    for some in keys.chunks(per_call as usize) {
        tokio::select! {
            biased;
            () = &mut stop => return Driven { ended: Ended::Interrupted, ..driven },
            () = tokio::time::sleep_until(next) => {}
        }
        next = Instant::now() + pause;
        let mut call = pin!(invoke(some.to_vec()));
        let (said, stopping) = tokio::select! {
            biased;
            said = &mut call => (said, false),
            () = &mut stop => {
                tell(Told::Finishing);
                tokio::select! {
                    biased;
                    said = &mut call => (said, true),
                    () = interrupted() => return Driven { ended: Ended::Interrupted, ..driven },
                }
            }
        };
        match said {
            Ok(said) => driven.counts += said,
            Err(failure) => return Driven { ended: Ended::Failed(failure), ..driven },
        }
        driven.done += some.len();
        tell(Told::Done(driven.done, &driven.counts));
        if stopping && driven.done < keys.len() {
            return Driven { ended: Ended::Interrupted, ..driven };
        }
    }
    driven
}

/// Returns when Ctrl-C is pressed.
pub(crate) async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        // Ctrl-C cannot be caught here; it ends the program as it always did.
        std::future::pending::<()>().await;
    }
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

/// How many of those asked for the function says nothing of: its time ran out.
pub(crate) fn not_begun(counts: &Counts, asked: usize) -> usize {
    asked.saturating_sub(counts.found as usize)
}

/// What there is any of, `8 delivered, 2 failed and planned again`.
pub(crate) fn in_words(counts: &Counts) -> String {
    let parts = [
        (counts.delivered, "delivered"),
        (counts.retried, "failed and planned again"),
        (counts.dead, "dead"),
        (counts.lost, "taken by somebody else"),
        (counts.held_back, "held back (workflow paused, or failing too often)"),
        (counts.nothing_to_do, "with nothing to deliver"),
        (counts.troubled, "not readable or writable"),
    ];
    let told: Vec<_> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    if told.is_empty() { "nothing yet".to_owned() } else { told.join(", ") }
}

fn events(count: usize) -> String {
    if count == 1 { "1 event".to_owned() } else { format!("{count} events") }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use tokio::sync::Notify;

    use std::cell::Cell;

    use super::*;

    fn keys(count: usize) -> Vec<String> {
        (1..=count).map(|n| format!("rail#evt_{n}")).collect()
    }

    async fn never() {
        std::future::pending::<()>().await;
    }

    fn all_delivered(some: &[String]) -> Counts {
        let count = u32::try_from(some.len()).unwrap();
        Counts { found: count, delivered: count, ..Counts::default() }
    }

    #[tokio::test]
    async fn keys_go_in_small_calls_at_the_rate_asked_for() {
        for (rate, calls_expected, least_ms) in [(200, vec![32, 32, 6], 320), (20, vec![20, 5], 1000)] {
            let calls = RefCell::new(Vec::new());
            let invoke = async |some: Vec<String>| {
                calls.borrow_mut().push(some.len());
                Ok(all_delivered(&some))
            };
            let keys = keys(calls_expected.iter().sum());
            let began = Instant::now();
            let driven = drive(invoke, &keys, rate, never, |_| {}).await;
            assert_eq!((driven.done, driven.counts.delivered as usize), (keys.len(), keys.len()));
            assert_eq!(*calls.borrow(), calls_expected);
            assert!(began.elapsed().as_millis() >= least_ms, "{:?}", began.elapsed());
        }
    }

    /// Interrupted during the second call, as often as `times` says.
    async fn interrupted_in_the_second_call(times: usize) -> Driven {
        let (calls, listens) = (Cell::new(0), Cell::new(0));
        let second_call = Notify::new();
        let invoke = async |some: Vec<String>| {
            calls.set(calls.get() + 1);
            if calls.get() == 2 {
                second_call.notify_one();
                tokio::task::yield_now().await;
                if times > 1 {
                    never().await;
                }
            }
            Ok(all_delivered(&some))
        };
        let interrupted = async || {
            listens.set(listens.get() + 1);
            match listens.get() {
                1 => second_call.notified().await,
                listen if listen > times => never().await,
                _ => {}
            }
        };
        drive(invoke, &keys(96), 1000, interrupted, |_| {}).await
    }

    #[tokio::test]
    async fn an_interrupt_finishes_the_call_in_hand_and_stops() {
        let driven = interrupted_in_the_second_call(1).await;
        assert_eq!((driven.done, driven.counts.delivered), (64, 64));
        assert!(matches!(driven.ended, Ended::Interrupted), "{driven:?}");
    }

    #[tokio::test]
    async fn a_second_interrupt_leaves_the_call_in_hand() {
        let driven = interrupted_in_the_second_call(2).await;
        assert_eq!((driven.done, driven.counts.delivered), (32, 32));
        assert!(matches!(driven.ended, Ended::Interrupted), "{driven:?}");
    }

    #[tokio::test]
    async fn a_call_that_fails_ends_the_run_with_what_was_done() {
        let calls = Cell::new(0);
        let invoke = async |some: Vec<String>| {
            calls.set(calls.get() + 1);
            if calls.get() == 2 { Err(OperatorError::outside("down", "wait")) } else { Ok(all_delivered(&some)) }
        };
        let driven = drive(invoke, &keys(96), 1000, never, |_| {}).await;
        assert_eq!(driven.done, 32);
        assert!(matches!(driven.ended, Ended::Failed(_)), "{driven:?}");
    }

    #[track_caller]
    fn check_go_on(given: &str, done: usize, expected: &str) {
        let times = [("--since", "2025-02-05T17:37:51.042Z".to_owned())];
        let words = given.split(' ').map(str::to_owned);
        assert_eq!(go_on(words, &times, &keys(done)), expected);
    }

    #[test]
    fn going_on_means_the_same_events_without_those_that_are_done() {
        check_go_on(
            "events redrive --state dead --since 2h --type FLOW_* --yes",
            0,
            "bridge events redrive --state dead --since 2025-02-05T17:37:51.042Z --type 'FLOW_*' --yes",
        );
        check_go_on("events redrive --since=2h", 0, "bridge events redrive --since=2025-02-05T17:37:51.042Z");
        check_go_on("events redrive rail#evt_1 rail#evt_2 rail#evt_3", 2, "bridge events redrive 'rail#evt_3'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }

    #[test]
    fn counts_say_what_there_is_any_of() {
        let mut counts = Counts { found: 9, delivered: 8, held_back: 1, ..Counts::default() };
        counts += Counts { found: 3, delivered: 1, troubled: 2, ..Counts::default() };
        let expected = "9 delivered, 1 held back (workflow paused, or failing too often), 2 not readable or writable";
        assert_eq!(in_words(&counts), expected);
        assert_eq!(not_begun(&counts, 15), 3);
        assert_eq!(in_words(&Counts::default()), "nothing yet");
    }
}
