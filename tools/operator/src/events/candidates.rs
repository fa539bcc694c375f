//! The events that an operator acts on: of those they select, the ones that the action applies to.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use shared::clock::UnixMillis;
use shared::record::event::EventState;
use shared::record::store::EventStore;
use shared::record::store::error::StoreError;
use shared::record::store::listing::EventSummary;

use crate::events::filter::Filter;
use crate::events::selection::Selection;
use crate::words::counted;

/// What an operator does with events.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Action {
    /// Has them delivered.
    Redrive,
    /// Closes dead ones.
    Dismiss,
}

/// Events to act on.
#[derive(Debug, Default)]
pub struct Candidates {
    pub keys: Vec<String>,
    /// The first of them.
    pub sample: Vec<EventSummary>,
    /// How many are left alone, by the reason.
    skipped: BTreeMap<&'static str, usize>,
    /// Keys that the table does not have.
    pub missing: Vec<String>,
    /// Items that could not be read.
    pub unreadable: Vec<StoreError>,
}

/// How many of many are shown.
const SAMPLE: usize = 10;

impl Action {
    pub fn name(self) -> &'static str {
        match self {
            Self::Redrive => "redrive",
            Self::Dismiss => "dismiss",
        }
    }

    /// Why an event is left alone.
    fn skips(self, event: &EventSummary, now: UnixMillis) -> Option<&'static str> {
        match (self, event.state) {
            (Self::Redrive, _) if event.is_in_hand(now) => Some("being delivered now"),
            (_, EventState::Delivered) => Some("already delivered"),
            (Self::Redrive, _) | (Self::Dismiss, EventState::Dead) => None,
            (Self::Dismiss, EventState::Pending) => Some("pending, not dead"),
            (Self::Dismiss, EventState::Ignored) => Some("ignored, not dead"),
            (Self::Dismiss, EventState::Dismissed) => Some("already dismissed"),
        }
    }
}

impl Candidates {
    /// All that fit. Keys are small; only those are kept.
    ///
    /// # Errors
    /// The table cannot be read.
    pub async fn by_filter(
        store: &EventStore,
        filter: &Filter,
        action: Action,
        now: UnixMillis,
    ) -> Result<Self, StoreError> {
        let mut selection = Selection::new(store, filter);
        let mut chosen = Self::default();
        // An event that moves within the index while it is read may come twice.
        let mut seen = HashSet::new();
        loop {
            let events = selection.next().await?;
            if events.is_empty() {
                chosen.unreadable = selection.unreadable;
                return Ok(chosen);
            }
            for event in events {
                if seen.insert(event.pk.clone()) {
                    chosen.add(event, action, now);
                }
            }
        }
    }

    /// The events of these keys.
    ///
    /// # Errors
    /// The table cannot be read.
    pub async fn by_keys(
        store: &EventStore,
        keys: &[String],
        action: Action,
        now: UnixMillis,
    ) -> Result<Self, StoreError> {
        let mut missing = BTreeSet::new();
        let distinct: Vec<String> = keys.iter().filter(|key| missing.insert((*key).clone())).cloned().collect();
        let mut chosen = Self::default();
        for event in store.summaries(&distinct).await? {
            match event {
                Ok(event) => {
                    missing.remove(&event.pk);
                    chosen.add(event, action, now);
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

    /// A sentence for each reason for which events are left alone.
    pub fn skipped(&self) -> impl Iterator<Item = String> {
        self.skipped.iter().map(|(why, count)| format!("Skipped {}: {why}.", counted(*count, "event")))
    }

    fn add(&mut self, event: EventSummary, action: Action, now: UnixMillis) {
        if let Some(why) = action.skips(&event, now) {
            *self.skipped.entry(why).or_default() += 1;
            return;
        }
        self.keys.push(event.pk.clone());
        if self.sample.len() < SAMPLE {
            self.sample.push(event);
        }
    }
}

#[cfg(test)]
mod tests;
