//! Another try for many events: which, how fast, and what it came to.

use std::collections::{BTreeSet, HashSet};
use std::pin::pin;
use std::time::Duration;

use shared::clock::UnixMillis;
use shared::record::event::EventState;
use shared::record::store::error::StoreError;
use shared::record::store::listing::EventSummary;
use shared::redrive::contract::Counts;
use tokio::time::Instant;

use crate::events::filter::Filter;
use crate::events::selection::Selection;
use crate::redrive_function::RedriveFunction;
use crate::words::counted;
use crate::{OperatorError, Place};

/// Events to redrive.
#[derive(Debug, Default)]
pub struct Candidates {
    pub keys: Vec<String>,
    /// The first of them.
    pub sample: Vec<EventSummary>,
    /// Left alone: another attempt is under way.
    pub in_hand: usize,
    /// Left alone: they are delivered.
    pub delivered: usize,
    /// Keys that the table does not have.
    pub missing: Vec<String>,
    /// Items that could not be read.
    pub unreadable: Vec<StoreError>,
}

/// What has become of a run so far.
#[derive(Debug)]
pub struct RunResult {
    pub done: usize,
    pub counts: Counts,
    pub verdict: Verdict,
}

/// What a run came to, wherever it is shown.
#[derive(Debug)]
pub enum Verdict {
    /// The function has tried every event, with whatever result.
    Complete,
    /// The person who started the run has stopped it; so many events are left.
    Stopped { left: usize },
    /// The function could not read or write so many of the events, or had no time for them.
    Incomplete { events: usize },
    /// A call failed; so many events are left.
    Failed { error: OperatorError, left: usize },
}

/// How far a run is.
pub enum Progress<'c> {
    Done(usize, &'c Counts),
    /// It was interrupted, and waits for the call in hand.
    Stopping,
}

/// Keys per call: the function works on so many at a time, so that all of a call are started at once and in time.
const MAX_KEYS_PER_CALL: u32 = 32;

/// How many of many are shown.
const SAMPLE: usize = 10;

impl Candidates {
    /// All that fit. Keys are small; only those are kept.
    ///
    /// # Errors
    /// The table cannot be read.
    pub async fn by_filter(place: &Place, filter: &Filter, now: UnixMillis) -> Result<Self, OperatorError> {
        let store = place.events()?;
        let mut selection = Selection::new(&store, filter);
        let mut chosen = Self::default();
        // An event that moves within the index while it is read may come twice.
        let mut seen = HashSet::new();
        loop {
            let events = selection.next().await.map_err(|error| place.store_error(&error))?;
            if events.is_empty() {
                chosen.unreadable = selection.unreadable;
                return Ok(chosen);
            }
            for event in events {
                if seen.insert(event.pk.clone()) {
                    chosen.add(event, now);
                }
            }
        }
    }

    /// The events of these keys.
    ///
    /// # Errors
    /// The table cannot be read.
    pub async fn by_keys(place: &Place, keys: &[String], now: UnixMillis) -> Result<Self, OperatorError> {
        let mut missing = BTreeSet::new();
        let distinct: Vec<String> = keys.iter().filter(|key| missing.insert((*key).clone())).cloned().collect();
        let mut chosen = Self::default();
        for event in place.events()?.summaries(&distinct).await.map_err(|error| place.store_error(&error))? {
            match event {
                Ok(event) => {
                    missing.remove(&event.pk);
                    chosen.add(event, now);
                }
                Err(error) => {
                    if let StoreError::Unreadable { pk, .. } = &error {
                        missing.remove(pk);
                    }
                    chosen.unreadable.push(error);
                }
            }
        }
        chosen.missing = missing.into_iter().collect();
        Ok(chosen)
    }

    fn add(&mut self, event: EventSummary, now: UnixMillis) {
        if event.is_in_hand(now) {
            self.in_hand += 1;
        } else if event.state == EventState::Delivered {
            self.delivered += 1;
        } else {
            self.keys.push(event.pk.clone());
            if self.sample.len() < SAMPLE {
                self.sample.push(event);
            }
        }
    }
}

/// Has the function try these events again.
///
/// # Errors
/// It cannot be called, or its answer is not that of a redrive function.
pub async fn redrive(function: &RedriveFunction, keys: Vec<String>) -> Result<Counts, OperatorError> {
    let answer = function.invoke(serde_json::json!({ "keys": keys }).to_string()).await?;
    serde_json::from_slice(&answer).map_err(|_| {
        OperatorError::outside(
            "The function's answer cannot be parsed",
            "check that `--function` names the redrive function",
        )
    })
}

/// Calls `invoke` with some keys at a time, at most `rate` a second, until all are done, a call fails, or `interrupted`
/// returns: then the call in hand is waited for, unless it returns a second time.
pub async fn run<I: Future<Output = Result<Counts, OperatorError>>, S: Future<Output = ()>>(
    mut invoke: impl FnMut(Vec<String>) -> I,
    keys: &[String],
    rate: u32,
    interrupted: impl Fn() -> S,
    progress: impl Fn(Progress<'_>),
) -> RunResult {
    let per_call = rate.clamp(1, MAX_KEYS_PER_CALL);
    let pause = Duration::from_secs(1) * per_call / rate.max(1);
    let (mut done, mut counts) = (0, Counts::default());
    let stopped = |done, counts| RunResult { done, counts, verdict: Verdict::Stopped { left: keys.len() - done } };
    let mut stop = pin!(interrupted());
    let mut next = Instant::now();
    for some in keys.chunks(per_call as usize) {
        tokio::select! {
            biased;
            () = &mut stop => return stopped(done, counts),
            () = tokio::time::sleep_until(next) => {}
        }
        next = Instant::now() + pause;
        let mut call = pin!(invoke(some.to_vec()));
        let (answer, stopping) = tokio::select! {
            biased;
            answer = &mut call => (answer, false),
            () = &mut stop => {
                progress(Progress::Stopping);
                tokio::select! {
                    biased;
                    answer = &mut call => (answer, true),
                    () = interrupted() => return stopped(done, counts),
                }
            }
        };
        match answer {
            Ok(answer) => counts += answer,
            Err(error) => {
                return RunResult { done, counts, verdict: Verdict::Failed { error, left: keys.len() - done } };
            }
        }
        done += some.len();
        progress(Progress::Done(done, &counts));
        if stopping && done < keys.len() {
            return stopped(done, counts);
        }
    }
    let events = counts.troubled as usize + done.saturating_sub(processed(&counts));
    let verdict = if events == 0 { Verdict::Complete } else { Verdict::Incomplete { events } };
    RunResult { done, counts, verdict }
}

impl Verdict {
    /// `Incomplete` in a sentence.
    pub fn incomplete(events: usize) -> String {
        format!(
            "The function could not process {}: it could not read or write them, or its time ran out",
            counted(events, "event")
        )
    }
}

/// What there is any of, `8 delivered, 2 failed and scheduled again`.
pub fn summary(counts: &Counts) -> String {
    let parts = [
        (counts.delivered, "delivered"),
        (counts.retried, "failed and scheduled again"),
        (counts.dead, "dead"),
        (counts.lost, "taken by another attempt"),
        (counts.held_back, "held back (workflow paused, or failing too often)"),
        (counts.nothing_to_do, "with nothing to deliver"),
        (counts.troubled, "not readable or writable"),
    ];
    let parts: Vec<_> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    if parts.is_empty() { "nothing yet".to_owned() } else { parts.join(", ") }
}

/// Of how many events the function has told what became of them.
fn processed(counts: &Counts) -> usize {
    let Counts { delivered, retried, dead, lost, held_back, nothing_to_do, troubled, .. } = counts;
    (delivered + retried + dead + lost + held_back + nothing_to_do + troubled) as usize
}

#[cfg(test)]
mod tests;
