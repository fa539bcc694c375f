//! The events that a filter means, read a page at a time.

use std::collections::VecDeque;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use shared::clock::UnixSeconds;
use shared::record::event::{EventState, dead_parts, pending_parts};
use shared::record::store::EventStore;
use shared::record::store::MAX_BATCH;
use shared::record::store::error::StoreError;
use shared::record::store::index::{Cursor, IndexRange, SHORT_PAGE};
use shared::record::store::listing::EventSummary;

use crate::events::filter::Filter;

/// Pending events come first, the next attempt first; then dead ones, the longest dead first. With delivered or ignored
/// events among them, all come in the table's own order, which is none.
pub struct Selection<'s> {
    store: &'s EventStore,
    filter: &'s Filter,
    source: Source,
    /// Items that did not read, for a word at the end.
    pub unreadable: Vec<StoreError>,
}

enum Source {
    /// Groups of the index's partitions, one group after the other; within a group by time.
    Index(VecDeque<Vec<Partition>>),
    Scan(Place),
}

/// What lies under one hash key of the index.
struct Partition {
    due: String,
    keys: VecDeque<(String, UnixSeconds)>,
    place: Place,
}

/// Concurrent queries: most of the index's parts are empty.
const QUERIES_AT_ONCE: usize = 16;

enum Place {
    Begin,
    At(Cursor),
    End,
}

impl<'s> Selection<'s> {
    pub fn new(store: &'s EventStore, filter: &'s Filter) -> Self {
        let source = if filter.is_indexed() {
            let mut groups = VecDeque::new();
            if filter.states().contains(&EventState::Pending) {
                groups.push_back(pending_parts().map(Partition::new).collect());
            }
            if filter.states().contains(&EventState::Dead) {
                groups.push_back(dead_parts().map(Partition::new).collect());
            }
            Source::Index(groups)
        } else {
            Source::Scan(Place::Begin)
        };
        Self { store, filter, source, unreadable: Vec::new() }
    }

    /// Some more of them; none when there are no more.
    pub async fn next(&mut self) -> Result<Vec<EventSummary>, StoreError> {
        loop {
            let read = match &mut self.source {
                Source::Index(groups) => {
                    let keys = next_keys(self.store, self.filter, groups).await?;
                    if keys.is_empty() {
                        return Ok(Vec::new());
                    }
                    self.store.summaries(&keys).await?
                }
                Source::Scan(Place::End) => return Ok(Vec::new()),
                Source::Scan(place) => {
                    let page = self.store.scan(self.filter.states(), place.cursor()).await?;
                    *place = Place::after(page.next);
                    page.events
                }
            };
            let mut events = Vec::new();
            for event in read {
                match event {
                    // The index may be a moment behind: what the item says counts.
                    Ok(event) if self.filter.fits(&event) => events.push(event),
                    Ok(_) => {}
                    Err(error) => self.unreadable.push(error),
                }
            }
            if !events.is_empty() {
                return Ok(events);
            }
        }
    }
}

/// The next keys in the order of time, as many as one call can read the events of; none at the end.
async fn next_keys(
    store: &EventStore,
    filter: &Filter,
    groups: &mut VecDeque<Vec<Partition>>,
) -> Result<Vec<String>, StoreError> {
    let mut keys = Vec::new();
    while keys.len() < MAX_BATCH
        && let Some(group) = groups.front_mut()
    {
        let filled = group.iter_mut().map(|partition| partition.fill(store, filter));
        stream::iter(filled).buffer_unordered(QUERIES_AT_ONCE).try_collect::<()>().await?;
        let soonest = group
            .iter_mut()
            .filter(|partition| !partition.keys.is_empty())
            .min_by_key(|partition| partition.keys.front().map(|(_, at)| *at));
        match soonest.and_then(|partition| partition.keys.pop_front()) {
            Some((pk, _)) => keys.push(pk),
            None => {
                groups.pop_front();
            }
        }
    }
    Ok(keys)
}

impl Partition {
    fn new(due: String) -> Self {
        Self { due, keys: VecDeque::new(), place: Place::Begin }
    }

    /// Reads on until a key is at hand, or there is none left.
    async fn fill(&mut self, store: &EventStore, filter: &Filter) -> Result<(), StoreError> {
        while self.keys.is_empty() && !matches!(self.place, Place::End) {
            let page =
                store.indexed(&self.due, IndexRange::SoonestFirst, Some(SHORT_PAGE), self.place.cursor()).await?;
            self.place = Place::after(page.next);
            let fitting = page.entries.into_iter().filter(|entry| filter.fits_key(&entry.pk));
            self.keys.extend(fitting.map(|entry| (entry.pk, entry.next_attempt_at)));
        }
        Ok(())
    }
}

impl Place {
    fn after(next: Option<Cursor>) -> Self {
        next.map_or(Self::End, Self::At)
    }

    fn cursor(&self) -> Option<&Cursor> {
        match self {
            Self::At(cursor) => Some(cursor),
            Self::Begin | Self::End => None,
        }
    }
}

#[cfg(test)]
mod tests;
