//! What Rail promises (`docs/contracts/rail.md`). Payments: accounts, transactions, applications, withdrawals.

use json::Order;
use shared::customer::provider_api::{Lookup, ProviderApi};
use shared::receive::provider::{EnvelopeMembers, Form, HeaderPart, Provider};

pub static RAIL: Provider = Provider {
    name: "rail",
    signature: HeaderPart::Whole("x-rail-signature"),
    signed_at: HeaderPart::Whole("x-rail-timestamp"),
    // Rail's samples sign the bytes in Python and `JSON.stringify` of the parsed body in Node: both are accepted.
    forms: &[Form { name: "raw", spelling: None }, Form { name: "stringified", spelling: Some(Order::Received) }],
    envelope: EnvelopeMembers { event_id: "event_id", event_type: "event_type", occurred_at: "event_date" },
    // `customer_id` is the broker's own reference: the id that Rail was given when the customer was registered.
    api: Some(ProviderApi {
        secret_variable: "RAIL_API_SECRET_ID",
        scope: "accounts:read applications:read",
        lookups: &[
            Lookup { kind: "rail-account", path: "/v1/accounts/deposits/", answer: "/data/customer_id" },
            Lookup { kind: "rail-application", path: "/v1/applications/", answer: "/data/customer_id" },
        ],
    }),
};

#[cfg(test)]
mod tests;
