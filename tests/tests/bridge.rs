//! The bridge from end to end: the real function binaries behind the local Lambda host and API Gateway, an embedded
//! DynamoDB, stand-ins for Secrets Manager and Returning.AI. One module per question.
#![expect(clippy::unwrap_used, reason = "a test that unwraps fails where it should")]

mod bridge {
    pub(crate) mod answers;
    pub(crate) mod any_input;
    pub(crate) mod arm64;
    pub(crate) mod calls;
    pub(crate) mod copies;
    pub(crate) mod crashes;
    pub(crate) mod customer_routes;
    pub(crate) mod customers;
    pub(crate) mod deliveries;
    pub(crate) mod documents;
    pub(crate) mod examples;
    pub(crate) mod fixture;
    pub(crate) mod gateway_events;
    pub(crate) mod glossary;
    pub(crate) mod invariants;
    pub(crate) mod keys_and_forms;
    pub(crate) mod kills;
    pub(crate) mod logs;
    pub(crate) mod metrics;
    pub(crate) mod pauses;
    pub(crate) mod redrive;
    pub(crate) mod scale;
    pub(crate) mod shares;
    pub(crate) mod slow_neighbours;
    pub(crate) mod soak;
    pub(crate) mod subscriptions;
    pub(crate) mod template;
    pub(crate) mod unavailable;
}
