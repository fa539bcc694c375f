//! Closing dead events that a person has looked at.

use std::ops::AddAssign;

use futures_util::future::join_all;
use shared::clock::{Clock, UnixMillis};
use shared::record::event::EventState;
use shared::record::store::error::StoreError;
use shared::record::store::{EventStore, TakeOverOutcome};

use crate::OperatorError;
use crate::events::run::Tally;
use crate::place::Place;
use crate::words::summary;

/// The result of a dismissal of events.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Dismissals {
    pub dismissed: u32,
    /// Redriven or dismissed by another program meanwhile, or removed.
    pub changed: u32,
    /// Malformed items.
    pub troubled: u32,
}

/// What an operator must know before they dismiss.
pub const CLAIMS_STAY: &str =
    "Claims of `once_per` stay: a one-time message that a dismissed event has claimed counts as used for its customer.";

/// So many a second leave the table's capacity to the functions.
pub const DISMISSALS_A_SECOND: u32 = 200;

/// A reason is a sentence, and has to fit the item beside the body.
const MAX_REASON_CHARS: usize = 500;

/// The reason as it is kept; `None` if it has no text.
///
/// # Errors
/// It is too long.
pub fn reason(text: &str) -> Result<Option<String>, OperatorError> {
    let text = text.trim();
    if text.chars().count() > MAX_REASON_CHARS {
        let hint = format!("at most {MAX_REASON_CHARS} characters: name the ticket that has the rest");
        return Err(OperatorError::usage("The reason is too long", hint));
    }
    Ok(Some(text.to_owned()).filter(|text| !text.is_empty()))
}

/// Dismisses, of the events at a place, those that are dead.
///
/// # Errors
/// As [`dismiss`].
pub async fn dismiss_at(place: &Place, keys: &[String], reason: Option<&str>) -> Result<Dismissals, OperatorError> {
    let dismissed = dismiss(&place.events()?, keys, reason, Clock::system().now()).await;
    dismissed.map_err(|error| place.store_error(&error))
}

/// Dismisses those of these events that are dead.
///
/// # Errors
/// The table does not answer; some of the events may be dismissed.
pub async fn dismiss(
    store: &EventStore,
    keys: &[String],
    reason: Option<&str>,
    now: UnixMillis,
) -> Result<Dismissals, StoreError> {
    let mut counts = Dismissals::default();
    for dismissed in join_all(keys.iter().map(|pk| dismiss_one(store, pk, reason, now))).await {
        match dismissed {
            Ok(true) => counts.dismissed += 1,
            Ok(false) => counts.changed += 1,
            Err(StoreError::Unreadable { .. }) => counts.troubled += 1,
            Err(error) => return Err(error),
        }
    }
    Ok(counts)
}

/// Whether it was dismissed.
async fn dismiss_one(store: &EventStore, pk: &str, reason: Option<&str>, now: UnixMillis) -> Result<bool, StoreError> {
    let Some(before) = store.read(pk).await? else { return Ok(false) };
    let Some(after) = before.dismiss(reason.map(str::to_owned), now) else { return Ok(false) };
    if store.take_over(&before, &after).await? == TakeOverOutcome::Ours {
        return Ok(true);
    }
    // A write whose answer was lost is repeated, and the second one finds what the first one wrote.
    let held = store.read(pk).await?;
    Ok(held.is_some_and(|held| held.state == EventState::Dismissed && held.history == after.history))
}

impl AddAssign for Dismissals {
    fn add_assign(&mut self, more: Self) {
        let Self { dismissed, changed, troubled } = more;
        self.dismissed += dismissed;
        self.changed += changed;
        self.troubled += troubled;
    }
}

impl Tally for Dismissals {
    fn summary(&self) -> String {
        summary(&[
            (self.dismissed, "dismissed"),
            (self.changed, "no longer dead"),
            (self.troubled, "not readable or writable"),
        ])
    }

    fn unprocessed(&self, _done: usize) -> usize {
        self.troubled as usize
    }
}

#[cfg(test)]
mod tests;
