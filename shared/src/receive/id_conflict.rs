//! Two facts under one event id.

use json::{Document, Order, Pointer};

use crate::receive::provider::Provider;
use crate::record::event::EventRecord;
use crate::record::store::RecordedEvent;

/// Why a delivery is no duplicate although its event id is recorded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum IdConflict {
    /// Its type is another one: it is an event of its own, and is delivered.
    AnotherType,
    /// It happened at another time, and says something else: a person has to compare the two.
    AnotherTime,
}

impl IdConflict {
    /// Compares `event` with what its id stands for. `None` for a duplicate: providers spell anew what they resend, and stamp
    /// it anew, so neither another spelling nor another time alone makes another fact.
    pub fn between(provider: &Provider, recorded: &RecordedEvent, event: &EventRecord) -> Option<Self> {
        if recorded.event_type != event.event_type {
            return Some(Self::AnotherType);
        }
        let recorded = Document::of(recorded.other_body.as_deref()?).ok()?;
        let received = Document::of(&*event.body).ok()?;
        // The record's `occurred_at` may be when it was signed, which differs from one resend to the next.
        let times = [&recorded, &received].map(|document| provider.read_envelope(document.root()).occurred_at);
        let [Some(then), Some(now)] = times else { return None };
        let [recorded, received] = [&recorded, &received].map(|document| without_time(provider, document));
        (then != now && recorded != received).then_some(Self::AnotherTime)
    }
}

/// The event without its time: the same text for the same values, however they are spelled and ordered.
fn without_time(provider: &Provider, event: &Document<'_>) -> Option<String> {
    let time = Pointer::parse(&format!("/{}", provider.envelope.occurred_at)).ok()?;
    Document::of(event.without(&[time])).ok()?.root().print(Order::Sorted, usize::MAX)
}

#[cfg(test)]
mod tests;
