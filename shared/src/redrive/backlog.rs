//! How many events wait, and for how long, at the start of a redrive run; and in which parts of the index something is due.
//!
//! All from the index: by one call while it is short, else by at most three queries of each part. A figure that is only a lower
//! bound is marked.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use tokio::time::{Instant, timeout_at};

use crate::clock::UnixMillis;
use crate::deliver::attempt::Run;
use crate::record::event::{dead_parts, pending_parts};
use crate::record::store::EventStore;
use crate::record::store::error::StoreError;
use crate::record::store::index::{IndexEntry, IndexRange, SHORT_PAGE};
use crate::redrive::contract::Share;

/// The events that are pending and dead.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Backlog {
    pub pending: u64,
    /// There are more: a part of the index has more than are counted.
    pub pending_at_least: bool,
    /// How long the oldest pending event has waited, without the time in which it was to wait; zero when none is pending or
    /// all wait for destinations that are paused.
    pub oldest_pending: Duration,
    /// There may be older ones, between the entries that were read; those that are due are seen when the run reads them.
    pub oldest_at_least: bool,
    pub dead: u64,
    pub dead_at_least: bool,
    /// The parts of the index in which something is due.
    pub due_parts: HashSet<String>,
}

/// How many events of one part of the index are counted.
pub const COUNTED_PER_PART: u32 = 5_000;

/// So many events, pending and dead together, are read by one call: about 80 kB.
const SHORT_INDEX: u32 = 500;

/// Most parts are empty, so that the time is that of the way there and back. More at once would open more connections than they
/// save: a function that has slept has none.
const QUERIES_AT_ONCE: usize = 4;

/// The longest that a run waits for its figures.
const TIME: Duration = Duration::from_secs(2);

/// What the index says of one part of the pending events.
struct Part {
    name: String,
    entries: Vec<IndexEntry>,
    pending: u64,
    pending_at_least: bool,
    /// Its ends alone were looked at.
    has_more: bool,
}

impl Backlog {
    /// Reads the index. `None` when it is long and another share measures it; and, with a log line of the reason, when the table
    /// does not answer in time.
    pub async fn measure(
        store: &EventStore,
        run: &Run<'_>,
        share: Share,
        now: UnixMillis,
        by: Instant,
    ) -> Option<Self> {
        let by = by.min(Instant::now() + TIME);
        match timeout_at(by, Self::read(store, run, share, now)).await {
            Ok(Ok(backlog)) => return backlog,
            Ok(Err(error)) => tracing::error!(error = %error, "the backlog cannot be measured"),
            Err(_) => tracing::warn!("the backlog could not be measured in time"),
        }
        None
    }

    async fn read(
        store: &EventStore,
        run: &Run<'_>,
        share: Share,
        now: UnixMillis,
    ) -> Result<Option<Self>, StoreError> {
        let mut backlog = Self::default();
        if let Some(entries) = store.short_index(SHORT_INDEX).await? {
            for (part, entry) in entries {
                match part.starts_with('d') {
                    true => backlog.dead += 1,
                    false => backlog.add(Part::whole(part, vec![entry]), run, now),
                }
            }
            return Ok(Some(backlog));
        }
        if !share.measures() {
            return Ok(None);
        }
        let dead = dead_parts().map(|part| async move { store.count(&part, COUNTED_PER_PART).await });
        let mut dead = stream::iter(dead).buffer_unordered(QUERIES_AT_ONCE);
        while let Some((count, at_least)) = dead.try_next().await? {
            backlog.dead += count;
            backlog.dead_at_least |= at_least;
        }
        let pending = pending_parts().map(|part| Part::read(store, part));
        let mut pending = stream::iter(pending).buffer_unordered(QUERIES_AT_ONCE);
        while let Some(part) = pending.try_next().await? {
            backlog.add(part, run, now);
        }
        Ok(Some(backlog))
    }

    fn add(&mut self, part: Part, run: &Run<'_>, now: UnixMillis) {
        let Part { name, entries, pending, pending_at_least, has_more } = part;
        self.pending += pending;
        self.pending_at_least |= pending_at_least;
        let oldest = entries.iter().filter_map(|entry| run.waiting_time(entry, now)).max();
        self.oldest_pending = self.oldest_pending.max(oldest.unwrap_or_default());
        self.oldest_at_least |= has_more;
        if entries.iter().any(|entry| entry.next_attempt_at <= now.seconds()) {
            self.due_parts.insert(name);
        }
    }
}

impl Part {
    async fn read(store: &EventStore, name: String) -> Result<Self, StoreError> {
        let soonest = store.indexed(&name, IndexRange::SoonestFirst, Some(SHORT_PAGE), None).await?;
        let mut entries = soonest.entries;
        if soonest.next.is_none() {
            return Ok(Self::whole(name, entries));
        }
        let (pending, pending_at_least) = store.count(&name, COUNTED_PER_PART).await?;
        // Apart from the jitter, the oldest events have the longest waits.
        entries.extend(store.indexed(&name, IndexRange::LatestFirst, Some(SHORT_PAGE), None).await?.entries);
        Ok(Self { name, entries, pending, pending_at_least, has_more: true })
    }

    /// All its entries, or some of them beside others.
    fn whole(name: String, entries: Vec<IndexEntry>) -> Self {
        Self { name, pending: entries.len() as u64, entries, pending_at_least: false, has_more: false }
    }
}
