//! The pauses as a function knows them: a cache that outlives a table that cannot be read for a while.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::timeout;

use crate::clock::{Clock, UnixMillis};
use crate::record::pauses::{PauseReading, Pauses};
use crate::record::store::EventStore;
use route::destination::Destination;

/// What was last read of each destination's pauses.
#[derive(Default)]
pub struct PauseCache {
    kept: Mutex<Kept>,
    one_at_a_time: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Kept {
    readings: HashMap<Destination, (PauseReading, UnixMillis)>,
    /// When the table was last asked and did not tell of all destinations.
    failed_at: Option<UnixMillis>,
}

/// A pause takes effect in every function within this time.
const READ_EVERY: Duration = Duration::from_secs(30);

/// What cannot be read is asked for again after this time.
const ASK_AGAIN: Duration = Duration::from_secs(10);

/// What was read counts this long while it cannot be read again.
const COUNTS_FOR: Duration = Duration::from_secs(300);

/// The longest that an attempt waits for pauses: two calls, of which the first hangs.
const READ_TIME: Duration = Duration::from_secs(2);

impl PauseCache {
    /// Reads the pauses of those destinations that are not known as of the last 30 s, unless that failed within the last 10 s.
    pub async fn refresh(&self, store: &EventStore, destinations: &BTreeSet<&Destination>, clock: Clock) {
        if self.to_read(destinations, clock.now()).is_empty() {
            return;
        }
        let _turn = self.one_at_a_time.lock().await;
        let to_read = self.to_read(destinations, clock.now());
        if to_read.is_empty() {
            return;
        }
        let read = timeout(READ_TIME, store.pauses(to_read.iter().copied())).await;
        let now = clock.now();
        let read = match read {
            Ok(Ok(pauses)) => pauses,
            Ok(Err(error)) => {
                tracing::error!(error = %error, "the pauses cannot be read");
                Pauses::default()
            }
            Err(_) => {
                tracing::error!("the pauses could not be read in time");
                Pauses::default()
            }
        };
        let unknown: Vec<String> =
            to_read.iter().filter(|to| read.known(to).is_none()).map(ToString::to_string).collect();
        if !read.0.is_empty() && !unknown.is_empty() {
            tracing::error!(workflows = unknown.join(" "), "the pauses of some workflows cannot be read");
        }
        let mut kept = self.kept();
        kept.failed_at = (!unknown.is_empty()).then_some(now);
        kept.readings.extend(read.0.into_iter().map(|(destination, reading)| (destination, (reading, now))));
    }

    /// Lets the next [`refresh`](Self::refresh) ask, however short a time ago the table was silent.
    pub fn forget_failure(&self) {
        self.kept().failed_at = None;
    }

    /// What counts `now`: what was read within the last 5 minutes.
    pub fn as_of(&self, now: UnixMillis) -> Pauses {
        let kept = self.kept();
        let counts = kept.readings.iter().filter(|(_, (_, read_at))| now.since(*read_at) < COUNTS_FOR);
        Pauses(counts.map(|(destination, (reading, _))| (destination.clone(), reading.clone())).collect())
    }

    fn to_read<'d>(&self, destinations: &BTreeSet<&'d Destination>, now: UnixMillis) -> Vec<&'d Destination> {
        let kept = self.kept();
        if kept.failed_at.is_some_and(|at| now.since(at) < ASK_AGAIN) {
            return Vec::new();
        }
        let is_fresh = |destination: &&Destination| match kept.readings.get(*destination) {
            Some((PauseReading::Known(_), read_at)) => now.since(*read_at) < READ_EVERY,
            Some((PauseReading::Malformed, _)) | None => false,
        };
        destinations.iter().copied().filter(|destination| !is_fresh(destination)).collect()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
