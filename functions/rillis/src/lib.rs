//! What Rillis promises (`docs/contracts/rillis.md`). KYC: flows, identity verification, onboarding forms.

pub mod canonical_json;

use shared::receive::provider::{EnvelopeMembers, Form, HeaderPart, Provider};

pub static RILLIS: Provider = Provider {
    name: "rillis",
    signature: HeaderPart::Whole("x-signature"),
    signed_at: HeaderPart::Whole("x-timestamp"),
    forms: &[
        Form { name: "rebuilt", spell: Some(canonical_json::rebuilt) },
        Form { name: "built", spell: Some(canonical_json::built) },
        Form { name: "raw", spell: None },
    ],
    envelope: EnvelopeMembers { event_id: "id", event_type: "type", occurred_at: "timestamp" },
    api: None,
};

#[cfg(test)]
mod tests;
