//! How many events wait, and for how long, at the start of a redrive run.
//!
//! All from the index, at most two pages of each part; a figure that is only a lower bound is marked.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::clock::UnixMillis;
use crate::deliver::attempt::Run;
use crate::record::event::{dead_parts, pending_parts};
use crate::record::store::EventStore;
use crate::record::store::error::StoreError;
use crate::record::store::index::IndexRange;

/// The events that are pending and dead.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Backlog {
    pub pending: u64,
    /// There are more: a part of the index has more than one page of them.
    pub pending_at_least: bool,
    /// How long the oldest pending event has waited, without the time in which it was to wait; zero when none is pending or
    /// all wait for destinations that are paused.
    pub oldest_pending: Duration,
    /// There may be older ones, between the pages that were read.
    pub oldest_at_least: bool,
    pub dead: u64,
    pub dead_at_least: bool,
    /// The parts of the index in which nothing is due.
    pub idle_parts: Vec<String>,
}

/// How many dead events of one part of the index are counted: about 40,000 in all.
pub const COUNTED_PER_PART: u32 = 5_000;

/// The longest that a run waits for its figures.
const TIME: Duration = Duration::from_secs(2);

impl Backlog {
    /// Reads the index; `None`, and a log line with the reason, when the table does not answer in time.
    pub async fn measure(store: &EventStore, run: &Run<'_>, now: UnixMillis, by: Instant) -> Option<Self> {
        let by = by.min(Instant::now() + TIME);
        match timeout_at(by, Self::read(store, run, now)).await {
            Ok(Ok(backlog)) => return Some(backlog),
            Ok(Err(error)) => tracing::error!(error = %error, "the backlog cannot be measured"),
            Err(_) => tracing::warn!("the backlog could not be measured in time"),
        }
        None
    }

    /// One call after the other: concurrent calls of a function that has slept would each open a connection.
    async fn read(store: &EventStore, run: &Run<'_>, now: UnixMillis) -> Result<Self, StoreError> {
        let mut backlog = Self::default();
        for part in dead_parts() {
            let (count, at_least) = store.count(&part, COUNTED_PER_PART).await?;
            backlog.dead += count;
            backlog.dead_at_least |= at_least;
        }
        for part in pending_parts() {
            let page = store.indexed(&part, IndexRange::SoonestFirst, None, None).await?;
            backlog.pending += page.entries.len() as u64;
            let mut entries = page.entries;
            if entries.first().is_none_or(|soonest| soonest.next_attempt_at > now.seconds()) {
                backlog.idle_parts.push(part.clone());
            }
            if page.next.is_some() {
                (backlog.pending_at_least, backlog.oldest_at_least) = (true, true);
                // Apart from the jitter, the oldest events have the longest waits.
                entries.extend(store.indexed(&part, IndexRange::LatestFirst, None, None).await?.entries);
            }
            let oldest = entries.iter().filter_map(|entry| run.waiting_time(entry, now)).max();
            backlog.oldest_pending = backlog.oldest_pending.max(oldest.unwrap_or_default());
        }
        Ok(backlog)
    }
}
