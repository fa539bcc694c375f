//! Rail's contract (`docs/contracts/rail.md`): where its signature is, what it is over, and how its envelope reads.

use json::{Kind, Value};
use shared::clock::UnixMillis;
use shared::receive::verification::{Envelope, Form, Provider};

/// Payments: accounts, transactions, applications, withdrawals.
pub struct Rail;

impl Provider for Rail {
    const NAME: &'static str = "rail";
    const PATH: &'static str = "/webhooks/rail";
    const SIGNATURE_HEADER: &'static str = "x-rail-signature";
    const TIMESTAMP_HEADER: &'static str = "x-rail-timestamp";
    /// Rail's samples sign the bytes in Python and `JSON.stringify` of the parsed body in Node: both are accepted.
    const FORMS: &'static [Form] =
        &[Form { name: "raw", spell: None }, Form { name: "stringified", spell: Some(stringified) }];

    fn envelope(event: Value<'_>) -> Envelope {
        let text = |name: &str| event.get(name)?.text();
        Envelope {
            event_id: event.get("event_id").and_then(|id| match id.kind() {
                Kind::Number(digits) => Some(digits.to_owned()),
                _ => id.text().map(Into::into),
            }),
            event_type: text("event_type").map(Into::into),
            occurred_at: text("event_date").and_then(|date| UnixMillis::from_rfc3339(&date)),
        }
    }
}

/// What Rail's Node sample signs: the body parsed and printed again, keys in received order.
fn stringified(event: Value<'_>) -> String {
    event.stringify()
}

#[cfg(test)]
mod tests;
