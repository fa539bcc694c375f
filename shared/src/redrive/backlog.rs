//! How much waits, and since when: what redrive finds at the beginning of a run.
//!
//! The index holds keys and the times of the next attempts, in that order. So counting is cheap, and the age of what waits
//! has to be read from the events. Both are bounded; what is only a lower bound says so.

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
    /// There are more: a part of them reached [`COUNTED_PER_PART`].
    pub pending_at_least: bool,
    /// How long ago the oldest pending event was received; zero when none is pending.
    pub oldest_pending: Duration,
    /// There may be older ones: only [`READ_FOR_AGE`] were looked at.
    pub oldest_at_least: bool,
    pub dead: u64,
    pub dead_at_least: bool,
}

/// How many events of one hash key of the index are counted: some 40,000 pending and 5,000 dead ones in all. That is 350 kB
/// of index for one key, or 45 read units.
pub const COUNTED_PER_PART: u32 = 5_000;

/// How many pending events are read for their age: one `BatchGetItem`. If there are more, those at both ends of the index:
/// with the latest next attempts, since the longest waits are the oldest events' (but for the jitter), and with the soonest,
/// since what is held back for a workflow stays due.
pub const READ_FOR_AGE: u32 = 100;

/// Of each end of each part, when not all can be read.
const READ_PER_END: u32 = READ_FOR_AGE / SHARDS as u32 / 2;

/// The run itself must not wait longer for its figures.
const TIME: Duration = Duration::from_secs(2);

impl Backlog {
    /// Looks it up; `None`, and a line that says why, when the table does not answer in time.
    pub async fn measure(store: &EventStore, now: UnixMillis, by: Instant) -> Option<Self> {
        let by = by.min(Instant::now() + TIME);
        match timeout_at(by, Self::read(store, now)).await {
            Ok(Ok(backlog)) => return Some(backlog),
            Ok(Err(error)) => tracing::error!(error = %error, "the backlog cannot be measured"),
            Err(_) => tracing::warn!("the backlog could not be measured in time"),
        }
        None
    }

    /// One call after the other: on a function that has slept, each one at a time would cost a connection.
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
        // The index may be a moment behind, and an item that does not read has no age.
        let events = store.summaries(&pks).await?;
        let pending = events.iter().flatten().filter(|event| event.state == EventState::Pending);
        let oldest = pending.map(|event| now.since(event.received_at)).max();
        backlog.oldest_pending = oldest.unwrap_or_default();
        backlog.oldest_at_least = !all_fit;
        Ok(backlog)
    }
}
