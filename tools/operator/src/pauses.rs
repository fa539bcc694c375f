//! Workflows that a person has paused: their events are recorded and wait.

use std::collections::BTreeMap;

use shared::clock::UnixMillis;
use shared::record::destination::Destination;
use shared::record::event::DispatchState;
use shared::record::pauses::{self, Pauses};
use shared::record::store::EventStore;
use shared::record::store::error::StoreError;
use shared::route::routes::Routes;

use crate::events::filter::Filter;
use crate::events::selection::Selection;
use crate::times::age;

/// A workflow or incoming webhook that routes deliver to.
#[derive(Debug)]
pub struct WorkflowStatus<'r> {
    pub destination: &'r Destination,
    pub paused_since: Option<UnixMillis>,
    /// The names of the routes that deliver to it.
    pub routes: Vec<&'r str>,
    /// Messages that wait for it, where they were counted.
    pub pending: Option<usize>,
}

/// A function that is called reads the pauses again after this long.
const NOTICED_WITHIN: &str = "functions notice within 30 s";

/// All of them, in the order of their names.
pub fn statuses<'r>(
    routes: &'r Routes,
    pauses: &Pauses,
    pending: Option<&BTreeMap<Destination, usize>>,
) -> Vec<WorkflowStatus<'r>> {
    let status = |destination| WorkflowStatus {
        destination,
        paused_since: paused_since(pauses, destination),
        routes: routes
            .all()
            .iter()
            .filter(|route| route.destination == *destination)
            .map(|route| route.name.as_str())
            .collect(),
        pending: pending.map(|counts| counts.get(destination).copied().unwrap_or_default()),
    };
    routes.destinations().into_iter().map(status).collect()
}

pub fn paused_since(pauses: &Pauses, destination: &Destination) -> Option<UnixMillis> {
    pauses.0.get(destination)?.last().filter(|pause| pause.to.is_none()).map(|pause| pause.from)
}

/// Pauses a destination; what that means, in a sentence.
///
/// # Errors
/// The table cannot be read or written.
pub async fn pause(store: &EventStore, destination: &Destination, now: UnixMillis) -> Result<String, StoreError> {
    let before = store.pauses([destination]).await?;
    let spans = before.0.get(destination).map_or(&[][..], Vec::as_slice);
    let Some(after) = pauses::pause(spans, now) else {
        let since = paused_since(&before, destination).unwrap_or(now);
        return Ok(format!("{destination} is already paused, since {since}."));
    };
    store.write_pauses(destination, &after).await?;
    Ok(format!(
        "{destination} is paused: {NOTICED_WITHIN}. Its events wait; `bridge workflows resume {destination}` ends it."
    ))
}

/// Resumes a destination; what that means, in a sentence.
///
/// # Errors
/// The table cannot be read or written.
pub async fn resume(store: &EventStore, destination: &Destination, now: UnixMillis) -> Result<String, StoreError> {
    let before = store.pauses([destination]).await?;
    let spans = before.0.get(destination).map_or(&[][..], Vec::as_slice);
    let Some(after) = pauses::resume(spans, now) else {
        return Ok(format!("{destination} is not paused."));
    };
    let paused = paused_since(&before, destination).map(|at| age(at, now)).unwrap_or_default();
    store.write_pauses(destination, &after).await?;
    Ok(format!("{destination} is resumed after {paused}: {NOTICED_WITHIN}, and redrive sends what has waited."))
}

/// How many messages wait for each destination; reads every pending event.
///
/// # Errors
/// The table cannot be read.
pub async fn pending_messages(store: &EventStore, routes: &Routes) -> Result<BTreeMap<Destination, usize>, StoreError> {
    let filter = Filter::pending();
    let mut selection = Selection::new(store, &filter);
    let mut counts = BTreeMap::new();
    loop {
        let events = selection.next().await?;
        if events.is_empty() {
            return Ok(counts);
        }
        let deliveries = events.iter().flat_map(|event| &event.deliveries);
        for (route, _) in deliveries.filter(|(_, delivery)| delivery.state == DispatchState::Pending) {
            if let Some(route) = routes.by_name(route) {
                *counts.entry(route.destination.clone()).or_default() += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests;
