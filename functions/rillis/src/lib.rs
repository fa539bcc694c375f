//! Rillis's contract (`docs/contracts/rillis.md`): where its signature is, what it is over, and how its envelope reads.

pub mod canonical_json;

use json::{Kind, Value};
use shared::clock::UnixMillis;
use shared::receive::verification::{Envelope, Form, Provider};

/// KYC: flows, identity verification, onboarding forms.
pub struct Rillis;

impl Provider for Rillis {
    const NAME: &'static str = "rillis";
    const PATH: &'static str = "/webhooks/rillis";
    const SIGNATURE_HEADER: &'static str = "x-signature";
    const TIMESTAMP_HEADER: &'static str = "x-timestamp";
    const FORMS: &'static [Form] = &[
        Form { name: "rebuilt", spell: Some(canonical_json::rebuilt) },
        Form { name: "built", spell: Some(canonical_json::built) },
        Form { name: "raw", spell: None },
    ];

    fn envelope(event: Value<'_>) -> Envelope {
        Envelope {
            event_id: event.get("id").and_then(|id| match id.kind() {
                Kind::Number(digits) => Some(digits.to_owned()),
                _ => id.text().map(Into::into),
            }),
            event_type: event.get("type").and_then(Value::text).map(Into::into),
            occurred_at: event.get("timestamp").and_then(|at| match at.kind() {
                Kind::Number(digits) => UnixMillis::from_millis_literal(digits),
                _ => None,
            }),
        }
    }
}

#[cfg(test)]
mod tests;
