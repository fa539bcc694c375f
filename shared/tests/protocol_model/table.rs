//! The events table as `shared::record::store::EventStore` uses it: conditions and written attributes, write by write.
//!
//! DynamoDB wants its conditions as text, so they are mirrored here, each with the method it is the mirror of.

use shared::record::event::{EventRecord, EventState};

use crate::Flaw;

/// An item: what reads back as a record, and the attribute that only the index reads.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) event: EventRecord,
    pub(crate) due: Option<String>,
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

/// `EventStore::settle`: `#state = :was AND attempts = :attempts AND taken_by = :taken_by`.
pub(crate) fn may_settle(held: &EventRecord, after: &EventRecord, flaw: Option<Flaw>) -> bool {
    let is_own = held.attempts == after.attempts && held.taken_by == after.taken_by;
    held.state == EventState::Pending && (is_own || flaw == Some(Flaw::SettleOfAnyAttempt))
}

/// Any number would do: every part is read.
const DUE_PARTS: u8 = 8;

/// `item_of`: the whole item.
pub(crate) fn recorded(event: &EventRecord) -> Item {
    Item { event: event.clone(), due: event.due(DUE_PARTS) }
}

/// `EventStore::change`: sets or removes every attribute that ever changes.
pub(crate) fn changed(held: &Item, after: &EventRecord, flaw: Option<Flaw>) -> Item {
    let fixed = &held.event;
    Item {
        event: EventRecord {
            occurred_at: fixed.occurred_at,
            received_at: fixed.received_at,
            body: fixed.body.clone(),
            body_sha256: fixed.body_sha256.clone(),
            ..after.clone()
        },
        due: after.due(DUE_PARTS).filter(|_| flaw != Some(Flaw::SettleLeavesTheIndex)),
    }
}
