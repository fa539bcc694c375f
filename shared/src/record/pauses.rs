//! Destinations that an operator has paused: their events wait, and neither age nor use up attempts.

use std::collections::HashMap;
use std::time::Duration;

use crate::clock::UnixMillis;
use crate::record::retry_plan::MAX_AGE;
use route::destination::Destination;

/// What was read of each destination's pauses. A destination that has no entry could not be read.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Pauses(pub HashMap<Destination, PauseReading>);

/// What the table said of one destination's pauses.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PauseReading {
    /// Oldest first; empty for a destination that was never paused.
    Known(Vec<Pause>),
    /// Another program wrote the item: whether the destination is paused is unknown until an operator overwrites it.
    Malformed,
}

/// A span in which nothing is sent to a destination; `to` is `None` while it lasts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Pause {
    pub from: UnixMillis,
    pub to: Option<UnixMillis>,
}

/// Whether messages are sent to a destination.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PauseStatus {
    Delivering,
    Paused {
        since: UnixMillis,
    },
    /// Nothing is sent until it is known whether the destination is paused.
    Unreadable,
}

/// How many pauses of a destination are remembered one by one: some 4 kB, which cost a function one read unit.
pub const MAX_PAUSES: usize = 100;

impl Pauses {
    pub fn status(&self, destination: &Destination) -> PauseStatus {
        match self.known(destination) {
            Some(pauses) => match pauses.iter().find(|pause| pause.to.is_none()) {
                Some(pause) => PauseStatus::Paused { since: pause.from },
                None => PauseStatus::Delivering,
            },
            None => PauseStatus::Unreadable,
        }
    }

    pub fn is_paused(&self, destination: &Destination) -> bool {
        matches!(self.status(destination), PauseStatus::Paused { .. })
    }

    /// The pauses of a destination, oldest first; `None` when they could not be read.
    pub fn known(&self, destination: &Destination) -> Option<&[Pause]> {
        match self.0.get(destination)? {
            PauseReading::Known(pauses) => Some(pauses),
            PauseReading::Malformed => None,
        }
    }

    /// The time since `since` in which `destination` was not paused, as far as that is known.
    pub fn age(&self, destination: &Destination, since: UnixMillis, now: UnixMillis) -> Duration {
        age(self.known(destination).unwrap_or_default(), since, now)
    }
}

/// The time from `since` to `now` that is in none of the pauses, which are in the order of their beginnings.
fn age(pauses: &[Pause], since: UnixMillis, now: UnixMillis) -> Duration {
    let (mut paused, mut counted_until) = (Duration::ZERO, since);
    for pause in pauses {
        let to = pause.to.unwrap_or(now).min(now);
        paused += to.since(pause.from.max(counted_until));
        counted_until = counted_until.max(to);
    }
    now.since(since).saturating_sub(paused)
}

/// The pauses of a destination after it was paused `now`; unchanged when it is paused already.
pub fn pause(pauses: &[Pause], now: UnixMillis) -> Vec<Pause> {
    let mut after = pauses.to_vec();
    if pauses.iter().all(|pause| pause.to.is_some()) {
        after.push(Pause { from: now, to: None });
    }
    remembered(after, now)
}

/// The pauses of a destination after it was resumed `now`; unchanged when it is not paused.
pub fn resume(pauses: &[Pause], now: UnixMillis) -> Vec<Pause> {
    let after = pauses.iter().map(|pause| Pause { to: pause.to.or(Some(now)), ..*pause });
    remembered(after.collect(), now)
}

/// What stands in place of pauses that cannot be read. Nothing was sent for an unknown time, so none of it may count as age.
pub fn unknown_until(now: UnixMillis) -> Pause {
    let longest = u64::try_from(MAX_AGE.as_millis()).unwrap_or(u64::MAX);
    Pause { from: UnixMillis(now.0.saturating_sub(longest)), to: Some(now) }
}

/// The pauses that still matter to some event's age, at most [`MAX_PAUSES`].
///
/// A pause is dropped once its destination has been open for [`MAX_AGE`] since: an event that is older than its end is over
/// the age with it or without it. If too many are left, the two with the shortest time between them become one, and that time
/// counts as paused. So an event is never older than it would be with all of them, only younger, by the sum of those times.
fn remembered(mut pauses: Vec<Pause>, now: UnixMillis) -> Vec<Pause> {
    pauses.sort_by_key(|pause| pause.from);
    let all = pauses.clone();
    pauses.retain(|pause| pause.to.is_none_or(|to| age(&all, to, now) < MAX_AGE));
    while pauses.len() > MAX_PAUSES {
        let open_before = |at: usize| pauses[at].from.since(pauses[at - 1].to.unwrap_or(now));
        let Some(shortest) = (1..pauses.len()).min_by_key(|at| open_before(*at)) else { break };
        let merged = pauses.remove(shortest);
        let before = &mut pauses[shortest - 1];
        before.to = before.to.zip(merged.to).map(|(one, other)| one.max(other));
    }
    pauses
}

#[cfg(test)]
mod tests;
