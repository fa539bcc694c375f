//! The events table as `shared::record::store::EventStore` uses it: conditions and written attributes, write by write.
//!
//! DynamoDB wants its conditions as text, so they are mirrored here, each with the method it is the mirror of.

use shared::clock::UnixSeconds;
use shared::record::event::{EventRecord, EventState};

use crate::Flaw;

/// An item: what reads back as a record, and the attributes that only the index and the TTL read.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) event: EventRecord,
    pub(crate) due: Option<String>,
    pub(crate) expires_at: Option<UnixSeconds>,
}

/// `EventStore::record`: `attribute_not_exists(pk)`.
pub(crate) fn may_record(held: Option<&Item>, flaw: Option<Flaw>) -> bool {
    held.is_none() || flaw == Some(Flaw::RecordOverwrites)
}

/// `EventStore::take_over`: `#state = :was AND attempts = :made AND next_attempt_at = :seen`; `attribute_not_exists` where
/// there was no such time.
pub(crate) fn may_take_over(held: &EventRecord, before: &EventRecord, flaw: Option<Flaw>) -> bool {
    held.state == before.state
        && (held.attempts == before.attempts || flaw == Some(Flaw::TakeOverOfAnyAttempt))
        && (held.next_attempt_at == before.next_attempt_at
            || matches!(flaw, Some(Flaw::TakeOverOfAnyAttempt | Flaw::TakeOverAtAnyTime)))
}

/// `EventStore::settle`: `#state = :pending AND attempts = :attempts`.
pub(crate) fn may_settle(held: &EventRecord, after: &EventRecord, flaw: Option<Flaw>) -> bool {
    held.state == EventState::Pending && (held.attempts == after.attempts || flaw == Some(Flaw::SettleOfAnyAttempt))
}

/// `item_of`: the whole item. A new record has no `delivered_at`.
pub(crate) fn recorded(event: &EventRecord) -> Item {
    Item {
        event: EventRecord { delivered_at: None, ..event.clone() },
        due: event.due(),
        expires_at: event.expires_at(),
    }
}

/// Sets state, attempts and deliveries; index and TTL attributes only where there is a value. Removes nothing.
pub(crate) fn taken_over(held: &Item, after: &EventRecord) -> Item {
    Item {
        event: EventRecord {
            state: after.state,
            attempts: after.attempts,
            deliveries: after.deliveries.clone(),
            next_attempt_at: after.next_attempt_at.or(held.event.next_attempt_at),
            ..held.event.clone()
        },
        due: after.due().or_else(|| held.due.clone()),
        expires_at: after.expires_at().or(held.expires_at),
    }
}

/// Sets or removes everything that an attempt changes, and leaves `attempts` as it is.
pub(crate) fn settled(held: &Item, after: &EventRecord, flaw: Option<Flaw>) -> Item {
    Item {
        event: EventRecord {
            state: after.state,
            deliveries: after.deliveries.clone(),
            history: after.history.clone(),
            next_attempt_at: after.next_attempt_at,
            last_error: after.last_error.clone(),
            delivered_at: after.delivered_at,
            ..held.event.clone()
        },
        due: after.due().filter(|_| flaw != Some(Flaw::SettleLeavesTheIndex)),
        expires_at: after.expires_at(),
    }
}
