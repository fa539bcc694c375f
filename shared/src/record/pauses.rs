//! Destinations that an operator has paused: their events wait, and neither age nor use up attempts.

use std::collections::HashMap;
use std::time::Duration;

use crate::clock::UnixMillis;
use crate::record::destination::Destination;

/// The pauses of each destination, oldest first. A destination that was never paused has no entry.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Pauses(pub HashMap<Destination, Vec<Pause>>);

/// A span in which nothing is sent to a destination; `to` is `None` while it lasts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Pause {
    pub from: UnixMillis,
    pub to: Option<UnixMillis>,
}

/// How many pauses of a destination are kept; older ones precede every pending event.
pub const MAX_PAUSES: usize = 20;

impl Pauses {
    pub fn is_paused(&self, destination: &Destination) -> bool {
        self.0.get(destination).and_then(|pauses| pauses.last()).is_some_and(|pause| pause.to.is_none())
    }

    /// The time since `since` in which `destination` was not paused.
    pub fn age(&self, destination: &Destination, since: UnixMillis, now: UnixMillis) -> Duration {
        let pauses = self.0.get(destination).map_or(&[][..], Vec::as_slice);
        let paused = pauses.iter().map(|pause| pause.to.unwrap_or(now).min(now).since(pause.from.max(since)));
        now.since(since).saturating_sub(paused.sum())
    }
}

/// The pauses of a destination after it was paused `now`; `None` when it is paused already.
pub fn pause(pauses: &[Pause], now: UnixMillis) -> Option<Vec<Pause>> {
    if pauses.last().is_some_and(|pause| pause.to.is_none()) {
        return None;
    }
    let forgotten = (pauses.len() + 1).saturating_sub(MAX_PAUSES);
    let mut after = pauses[forgotten..].to_vec();
    after.push(Pause { from: now, to: None });
    Some(after)
}

/// The pauses of a destination after it was resumed `now`; `None` when it is not paused.
pub fn resume(pauses: &[Pause], now: UnixMillis) -> Option<Vec<Pause>> {
    let mut after = pauses.to_vec();
    let last = after.last_mut().filter(|pause| pause.to.is_none())?;
    last.to = Some(now);
    Some(after)
}

#[cfg(test)]
mod tests;
