//! What every function of the bridge shares; it names no provider.
//!
//! Data flows one way, and so do the modules:
//!
//! | step | module |
//! |---|---|
//! | what API Gateway hands over | [`api_gateway`] |
//! | bytes to [`verification::VerifiedEvent`] | [`verification`], [`signing_keys`], [`json`] |
//! | which routes want it | [`routes`] |
//! | the durable record and its states | [`event`], [`event_store`] |
//! | the answer, and what goes on after it | [`receiver`], [`after_ack`] |
//! | whose customer a provider's id is | [`customers`] |
//! | what waits, and who tries again | [`pauses`], [`redrive`], [`backlog`] |
//! | what is told of all this | [`telemetry`], [`metrics`] |
//! | the message and its way to Returning.AI | [`message`], [`delivery`], [`retry_plan`], [`returning_ai`] |
//!
//! Each outside system has one door: DynamoDB is [`event_store`] and [`customers`], a table each, Secrets Manager is
//! [`secrets`], Returning.AI is [`returning_ai`], and all go through the one client of [`http`]. The environment is read
//! by [`config`] alone, the clock by [`clock`] alone.

pub mod after_ack;
pub mod api_gateway;
pub mod aws;
pub mod backlog;
pub mod clock;
pub mod config;
pub mod customers;
pub mod delivery;
pub mod event;
pub mod event_store;
pub mod function;
pub mod http;
pub mod json;
pub mod message;
pub mod metrics;
pub mod pauses;
pub mod provider_api;
pub mod receiver;
pub mod redrive;
pub mod resolver;
pub mod retry_plan;
pub mod returning_ai;
pub mod routes;
pub mod secrets;
pub mod signing_keys;
pub mod telemetry;
mod token_slot;
pub mod verification;

#[cfg(test)]
mod testing;
