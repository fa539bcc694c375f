//! An action on many events: some at a time, at a rate, until it is done or stopped, and what it came to.

use std::ops::AddAssign;
use std::pin::pin;
use std::time::Duration;

use tokio::time::Instant;

use crate::OperatorError;
use crate::words::counted;

/// What has become of the events of an action.
pub trait Tally: AddAssign + Default {
    /// What there is any of, `8 delivered, 2 failed and scheduled again`.
    fn summary(&self) -> String;

    /// How many of so many events it does not tell an outcome of.
    fn unprocessed(&self, done: usize) -> usize;
}

/// What has become of a run so far.
#[derive(Debug)]
pub struct RunResult<T> {
    pub done: usize,
    pub counts: T,
    pub verdict: Verdict,
}

/// What a run came to, wherever it is shown.
#[derive(Debug)]
pub enum Verdict {
    /// Every event was processed, with whatever result.
    Complete,
    /// The person who started the run has stopped it; so many events are left.
    Stopped { left: usize },
    /// So many of the events could not be read or written, or there was no time for them.
    Incomplete { events: usize },
    /// A call failed; so many events are left.
    Failed { error: OperatorError, left: usize },
}

/// How far a run is.
pub enum Progress<'c, T> {
    Done(usize, &'c T),
    /// It was interrupted, and waits for the call in hand.
    Stopping,
}

/// Keys per call: the function works on so many at a time, so that all of a call are started at once and in time.
const MAX_KEYS_PER_CALL: u32 = 32;

/// Calls `invoke` with some keys at a time, at most `rate` a second, until all are done, a call fails, or `interrupted`
/// returns: then the call in hand is waited for, unless it returns a second time.
pub async fn run<T: Tally, I: Future<Output = Result<T, OperatorError>>, S: Future<Output = ()>>(
    mut invoke: impl FnMut(Vec<String>) -> I,
    keys: &[String],
    rate: u32,
    interrupted: impl Fn() -> S,
    progress: impl Fn(Progress<'_, T>),
) -> RunResult<T> {
    let per_call = rate.clamp(1, MAX_KEYS_PER_CALL);
    let pause = Duration::from_secs(1) * per_call / rate.max(1);
    let (mut done, mut counts) = (0, T::default());
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
    let events = counts.unprocessed(done);
    let verdict = if events == 0 { Verdict::Complete } else { Verdict::Incomplete { events } };
    RunResult { done, counts, verdict }
}

impl Verdict {
    /// `Incomplete` in a sentence.
    pub fn incomplete(events: usize) -> String {
        format!("{} could not be processed: not readable or writable, or time ran out", counted(events, "event"))
    }
}

#[cfg(test)]
mod tests;
