//! Rail's subscriptions and the signing secret, kept in step against stand-ins of Rail's API and of Secrets Manager.
#![expect(clippy::unwrap_used, reason = "a test that unwraps fails where it should")]

mod rail_subscriptions {
    pub(crate) mod errors;
    pub(crate) mod fixture;
    pub(crate) mod kills;
    pub(crate) mod rotate;
    pub(crate) mod sync;
    pub(crate) mod writers;
}
