//! The live events of a deployed table, which does not push its changes: the sparse index is polled while the page is open,
//! and changed events are looked up.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use futures_util::future::try_join;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use operator::Place;
use shared::clock::{Clock, UnixSeconds};
use shared::config::DEFAULT_DUE_PARTS;
use shared::record::event::{dead_parts, pending_parts};
use shared::record::store::error::StoreError;
use shared::record::store::index::{IndexRange, SHORT_PAGE};
use shared::record::store::{EventStore, MAX_BATCH};
use tokio::time::sleep;

use crate::board::{Board, MAX_ROWS};

/// What was read of the index, and what of it is on the board.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// The keys that were looked up, and those that had no room, each with the `next_attempt_at` that the index had of it.
    known: HashMap<String, UnixSeconds>,
    /// The errors of items that cannot be read, by key.
    unreadable: BTreeMap<String, String>,
    /// The key after which the lookup of rows that left the index continues.
    after: String,
    /// It was read once as far as it is read at all.
    is_complete: bool,
}

/// One reading of the index.
pub(super) struct IndexReading {
    /// Alternately the latest dead and the next due events: what an operator needs first.
    pub(super) keys: Vec<(String, UnixSeconds)>,
    /// The index has more.
    pub(super) more: bool,
}

/// How often the index is read while the page is open; less often if it is long.
pub(super) const READ_EVERY: Duration = Duration::from_secs(2);

/// With more keys the pause grows in proportion, so that reading costs at most about 25 units per second.
const KEYS_PER_PAUSE: u32 = 5_000;

/// How often consecutive failures double the pause.
const DOUBLINGS: u32 = 3;

/// How many events of each part are read: the latest dead and the next due ones. Keys are spread evenly over the parts
/// that hold any, so that these are enough for all rows.
const PART_KEYS: usize = 2 * MAX_ROWS / DEFAULT_DUE_PARTS as usize;

/// The first reading takes this many keys of each part: together a few screens.
const FIRST_KEYS: usize = 32;

/// Concurrent queries, and concurrent lookups.
const CALLS_AT_ONCE: usize = 8;

/// Rows that are no longer in the part of the index that is read are looked up in turn, this many per reading.
const OUT_OF_SIGHT_PER_READING: usize = MAX_BATCH;

/// Puts the pending and dead events of the table onto `board`, and their changes, while the page is open. Does not end.
pub(super) async fn follow(place: &Place, store: &EventStore, board: &Board, every: Duration) {
    let mut index = Index::default();
    let mut failures = 0;
    loop {
        board.until_viewed().await;
        let pause = match index.look(store, board).await {
            Ok(keys) => {
                failures = 0;
                board.set_trouble(index.trouble());
                every.max(every * keys / KEYS_PER_PAUSE)
            }
            Err(error) => {
                let failure = place.store_error(&error);
                board.set_trouble(Some(format!("{}. Hint: {}", failure.problem(), failure.hint())));
                failures += 1;
                every * 2_u32.pow(failures.min(DOUBLINGS))
            }
        };
        sleep(pause).await;
    }
}

impl Index {
    /// Reads the index, and looks up what has changed. Returns how many keys were read.
    pub(super) async fn look(&mut self, store: &EventStore, board: &Board) -> Result<u32, StoreError> {
        if !self.is_complete {
            // A little of each part: the first rows are shown while the rest of a long index is read.
            let beginning = IndexReading::read(store, FIRST_KEYS).await?;
            self.take(store, board, &beginning).await?;
            self.is_complete = !beginning.more;
            if self.is_complete {
                return Ok(beginning.count());
            }
        }
        let seen = IndexReading::read(store, PART_KEYS).await?;
        self.take(store, board, &seen).await?;
        self.is_complete = true;
        Ok(seen.count())
    }

    pub(super) async fn take(
        &mut self,
        store: &EventStore,
        board: &Board,
        seen: &IndexReading,
    ) -> Result<(), StoreError> {
        board.set_more(seen.more || seen.keys.len() > MAX_ROWS);
        let in_index: HashSet<&str> = seen.keys.iter().map(|(pk, _)| pk.as_str()).collect();
        let listed: HashSet<String> = board.open_keys().into_iter().collect();
        self.known.retain(|pk, _| in_index.contains(pk.as_str()) || listed.contains(pk));
        self.unreadable.retain(|pk, _| in_index.contains(pk.as_str()));

        // What has left the index has ended, or is beyond the part that is read.
        let (left, mut out_of_sight): (Vec<_>, Vec<_>) = listed
            .iter()
            .filter(|pk| !in_index.contains(pk.as_str()))
            .cloned()
            .partition(|pk| self.known.contains_key(pk));
        out_of_sight.sort_unstable();
        let at = out_of_sight.partition_point(|pk| *pk <= self.after);
        out_of_sight.rotate_left(at);
        out_of_sight.truncate(OUT_OF_SIGHT_PER_READING);
        if let Some(last) = out_of_sight.last() {
            self.after.clone_from(last);
        }
        let mut asked: Vec<_> = left.into_iter().chain(out_of_sight).map(|pk| (pk, None)).collect();

        let mut room = MAX_ROWS.saturating_sub(listed.len());
        for (pk, at) in &seen.keys {
            let (is_listed, known) = (listed.contains(pk), self.known.get(pk));
            let is_shown = is_listed || self.unreadable.contains_key(pk);
            let wanted = match known {
                // It is unchanged; there may have been no room for it so far.
                Some(known) if known == at => !is_shown && room > 0,
                Some(_) => true,
                // Without room, an event of a long index is not listed until it changes.
                None => room > 0 || self.is_complete,
            };
            if wanted {
                room = room.saturating_sub(usize::from(!is_listed));
                asked.push((pk.clone(), Some(*at)));
            } else if known.is_none() {
                self.known.insert(pk.clone(), *at);
            }
        }
        // The rest follows in the next reading.
        asked.truncate(MAX_ROWS);
        self.look_up(store, board, &asked).await
    }

    /// Reads these events and puts them onto the board, each batch as soon as it is read.
    async fn look_up(
        &mut self,
        store: &EventStore,
        board: &Board,
        asked: &[(String, Option<UnixSeconds>)],
    ) -> Result<(), StoreError> {
        // The first screen must not wait for the rest.
        let (first, rest) = asked.split_at(asked.len().min(FIRST_KEYS));
        let batches: Vec<Vec<_>> = first.chunks(MAX_BATCH).chain(rest.chunks(MAX_BATCH)).map(<[_]>::to_vec).collect();
        let mut calls = batches.into_iter().map(|batch| async move {
            let keys: Vec<String> = batch.iter().map(|(pk, _)| pk.clone()).collect();
            (batch, store.summaries(&keys).await)
        });
        let first = stream::iter(calls.next()).buffer_unordered(1);
        let mut answers = first.chain(stream::iter(calls).buffer_unordered(CALLS_AT_ONCE));
        while let Some((batch, answer)) = answers.next().await {
            let now = Clock::system().now();
            for event in answer? {
                match event {
                    Ok(event) => {
                        self.unreadable.remove(&event.pk);
                        board.put(event, now);
                    }
                    Err(StoreError::Unreadable { pk, attribute }) => {
                        let error = StoreError::Unreadable { pk: pk.clone(), attribute };
                        self.unreadable.insert(pk, error.to_string());
                    }
                    Err(error) => return Err(error),
                }
            }
            for (pk, at) in batch {
                match at {
                    Some(at) => self.known.insert(pk, at),
                    None => self.known.remove(&pk),
                };
            }
        }
        Ok(())
    }

    /// The items that cannot be listed, in words.
    fn trouble(&self) -> Option<String> {
        let (_, first) = self.unreadable.first_key_value()?;
        let others = match self.unreadable.len() - 1 {
            0 => String::new(),
            others => format!(", and so do {others} more"),
        };
        Some(format!("{first}{others}. Hint: another program wrote or changed it; inspect it in the DynamoDB console"))
    }
}

impl IndexReading {
    async fn read(store: &EventStore, part_keys: usize) -> Result<Self, StoreError> {
        let pending = pending_parts().map(|due| part(store, due, IndexRange::SoonestFirst, part_keys));
        let dead = dead_parts().map(|due| part(store, due, IndexRange::LatestFirst, part_keys));
        let (dead, pending) = try_join(
            stream::iter(dead).buffer_unordered(CALLS_AT_ONCE).try_collect::<Vec<_>>(),
            stream::iter(pending).buffer_unordered(CALLS_AT_ONCE).try_collect::<Vec<_>>(),
        )
        .await?;
        let more = dead.iter().chain(&pending).any(|part| part.more);
        let keys = |parts: Vec<Self>| parts.into_iter().flat_map(|part| part.keys);
        let (mut dead, mut pending): (Vec<_>, Vec<_>) = (keys(dead).collect(), keys(pending).collect());
        dead.sort_by_key(|(_, at)| Reverse(*at));
        pending.sort_by_key(|(_, at)| *at);
        Ok(Self { keys: alternate(dead, pending), more })
    }

    fn count(&self) -> u32 {
        u32::try_from(self.keys.len()).unwrap_or(u32::MAX)
    }
}

/// The keys under one hash key of the index, from one end, in whole pages until there are `enough`.
async fn part(store: &EventStore, due: String, range: IndexRange, enough: usize) -> Result<IndexReading, StoreError> {
    let at_most = u32::try_from(enough).unwrap_or(SHORT_PAGE).min(SHORT_PAGE);
    let mut keys = Vec::new();
    let mut from = None;
    loop {
        let page = store.indexed(&due, range, Some(at_most), from.as_ref()).await?;
        keys.extend(page.entries.into_iter().map(|entry| (entry.pk, entry.next_attempt_at)));
        from = page.next;
        if from.is_none() || keys.len() >= enough {
            return Ok(IndexReading { keys, more: from.is_some() });
        }
    }
}

/// Alternates between both as long as both have items, then takes the rest.
fn alternate<T>(some: Vec<T>, others: Vec<T>) -> Vec<T> {
    let mut mixed = Vec::with_capacity(some.len() + others.len());
    let (mut some, mut others) = (some.into_iter(), others.into_iter());
    loop {
        let before = mixed.len();
        mixed.extend(some.next());
        mixed.extend(others.next());
        if mixed.len() == before {
            return mixed;
        }
    }
}
