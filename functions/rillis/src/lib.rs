//! What Rillis promises (`docs/contracts/rillis.md`). KYC: flows, identity verification, onboarding forms.

use json::Order;
use shared::receive::provider::{EnvelopeMembers, Form, HeaderPart, Provider};

pub static RILLIS: Provider = Provider {
    name: "rillis",
    signature: HeaderPart::Whole("x-signature"),
    signed_at: HeaderPart::Whole("x-timestamp"),
    // It signs its payload "with keys sorted recursively, stringified", and leaves open how. JavaScript programs do it in two
    // ways that differ for integer-like keys and for `__proto__`.
    forms: &[
        Form { name: "rebuilt", spelling: Some(Order::SortedAndAssigned) },
        Form { name: "built", spelling: Some(Order::Sorted) },
        Form { name: "raw", spelling: None },
    ],
    envelope: EnvelopeMembers { event_id: "id", event_type: "type", occurred_at: "timestamp" },
    api: None,
};

#[cfg(test)]
mod tests;
