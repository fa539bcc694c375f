//! How many events wait, and for how long, at the start of a redrive run.
//!
//! The index is sorted by the times of the next attempts. So counting is cheap, but the age of waiting events has to be read
//! from the events. Both are bounded; a figure that is only a lower bound is marked.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::clock::UnixMillis;
use crate::record::event::{DUE_DEAD, EventState, SHARDS, shard_name};
use crate::record::store::EventStore;
use crate::record::store::error::StoreError;
use crate::record::store::index::IndexRange;

/// The events that are pending and dead.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Backlog {
    pub pending: u64,
    /// There are more: a part of the index reached [`COUNTED_PER_PART`].
    pub pending_at_least: bool,
    /// How long ago the oldest pending event was received; zero when none is pending.
    pub oldest_pending: Duration,
    /// There may be older ones: only [`READ_FOR_AGE`] were read.
    pub oldest_at_least: bool,
    pub dead: u64,
    pub dead_at_least: bool,
}

/// How many events of one part of the index are counted: about 40,000 pending and 5,000 dead ones in all. That is 350 kB of
/// index for one part, or 45 read units.
pub const COUNTED_PER_PART: u32 = 5_000;

/// How many pending events are read for their age: one `BatchGetItem`. If there are more, those at both ends of the index:
/// the latest next attempts, since the oldest events have the longest waits (apart from the jitter), and the soonest, since
/// events held back for a workflow stay due.
pub const READ_FOR_AGE: u32 = 100;

/// How many are read at each end of each part when not all can be.
const READ_PER_END: u32 = READ_FOR_AGE / SHARDS as u32 / 2;

/// The longest that a run waits for its figures.
const TIME: Duration = Duration::from_secs(2);

impl Backlog {
    /// Reads the index; `None`, and a log line with the reason, when the table does not answer in time.
    pub async fn measure(store: &EventStore, now: UnixMillis, by: Instant) -> Option<Self> {
        let by = by.min(Instant::now() + TIME);
        match timeout_at(by, Self::read(store, now)).await {
            Ok(Ok(backlog)) => return Some(backlog),
            Ok(Err(error)) => tracing::error!(error = %error, "the backlog cannot be measured"),
            Err(_) => tracing::warn!("the backlog could not be measured in time"),
        }
        None
    }

    /// One call after the other: concurrent calls of a function that has slept would each open a connection.
    async fn read(store: &EventStore, now: UnixMillis) -> Result<Self, StoreError> {
        let mut backlog = Self::default();
        (backlog.dead, backlog.dead_at_least) = store.count(DUE_DEAD, COUNTED_PER_PART).await?;
        let mut waiting = Vec::new();
        for shard in (0..SHARDS).map(shard_name) {
            let (count, at_least) = store.count(&shard, COUNTED_PER_PART).await?;
            backlog.pending += count;
            backlog.pending_at_least |= at_least;
            if count > 0 {
                waiting.push(shard);
            }
        }

        let all_fit = backlog.pending <= u64::from(READ_FOR_AGE);
        let ends = match all_fit {
            true => &[(IndexRange::SoonestFirst, READ_FOR_AGE)][..],
            false => &[(IndexRange::SoonestFirst, READ_PER_END), (IndexRange::LatestFirst, READ_PER_END)],
        };
        let mut pks = Vec::new();
        for shard in &waiting {
            for (range, at_most) in ends {
                let page = store.indexed(shard, *range, *at_most, None).await?;
                pks.extend(page.keys.into_iter().map(|(pk, _)| pk));
            }
        }
        // The index may lag behind, and a malformed item has no age.
        let events = store.summaries(&pks).await?;
        let pending = events.iter().flatten().filter(|event| event.state == EventState::Pending);
        let oldest = pending.map(|event| now.since(event.received_at)).max();
        backlog.oldest_pending = oldest.unwrap_or_default();
        backlog.oldest_at_least = !all_fit;
        Ok(backlog)
    }
}
