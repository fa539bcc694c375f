//! Workflows that a person has paused: their events are recorded and wait.

use std::collections::BTreeMap;

use route::destination::Destination;
use route::routes::Routes;
use shared::clock::UnixMillis;
use shared::record::event::DispatchState;
use shared::record::pauses::{self, Pause, PauseStatus, Pauses, unknown_until};
use shared::record::store::EventStore;
use shared::record::store::error::StoreError;

use crate::events::filter::Filter;
use crate::events::selection::Selection;
use crate::times::age;

/// A workflow or incoming webhook that routes deliver to.
#[derive(Debug)]
pub struct WorkflowStatus<'r> {
    pub destination: &'r Destination,
    pub status: PauseStatus,
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
        status: pauses.status(destination),
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

/// Pauses a destination; what that means, in a sentence. Pauses that are malformed are overwritten.
///
/// # Errors
/// The table cannot be read or written.
pub async fn pause(store: &EventStore, destination: &Destination, now: UnixMillis) -> Result<String, StoreError> {
    change(store, destination, |status, before| match status {
        PauseStatus::Paused { since } => Err(format!("{destination} is already paused, since {since}.")),
        PauseStatus::Delivering | PauseStatus::Unreadable => Ok((
            pauses::pause(&before.unwrap_or_else(|| vec![unknown_until(now)]), now),
            format!(
                "{destination} is paused: {NOTICED_WITHIN}. Its events wait; `bridge workflows resume {destination}` ends it."
            ),
        )),
    })
    .await
}

/// Resumes a destination; what that means, in a sentence. Pauses that are malformed are overwritten.
///
/// # Errors
/// The table cannot be read or written.
pub async fn resume(store: &EventStore, destination: &Destination, now: UnixMillis) -> Result<String, StoreError> {
    change(store, destination, |status, before| {
        let resumed = match status {
            PauseStatus::Delivering => return Err(format!("{destination} is not paused.")),
            PauseStatus::Paused { since } => format!("is resumed after {}", age(since, now)),
            PauseStatus::Unreadable => "is resumed (its pauses could not be read, and are overwritten)".to_owned(),
        };
        Ok((
            pauses::resume(&before.unwrap_or_else(|| vec![unknown_until(now)]), now),
            format!("{destination} {resumed}: {NOTICED_WITHIN}, and redrive sends what has waited."),
        ))
    })
    .await
}

/// Writes what `decide` makes of the pauses (`None` when they are malformed), and gives its sentence; a refusal is the sentence
/// alone. Decides again if another program has changed them meanwhile.
async fn change(
    store: &EventStore,
    destination: &Destination,
    decide: impl Fn(PauseStatus, Option<Vec<Pause>>) -> Result<(Vec<Pause>, String), String>,
) -> Result<String, StoreError> {
    loop {
        let read = store.pauses([destination]).await?;
        let before = read.known(destination);
        match decide(read.status(destination), before.map(<[Pause]>::to_vec)) {
            Err(sentence) => return Ok(sentence),
            Ok((after, sentence)) if store.write_pauses(destination, before, &after).await? => return Ok(sentence),
            Ok(_) => {}
        }
    }
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
