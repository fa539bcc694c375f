//! The bridge's own code, many lives of it in one process on a paused clock (`docs/simulation.md`).
//!
//! The receivers, the deliverer, redrive and the operator's library run as they are. Their HTTP client ends in this process:
//! in a table with DynamoDB's conditions, in a Secrets Manager, a Returning.AI and an API of a provider, all with faults. A
//! seed draws a life; the same seed gives the same life.

pub mod actors;
pub mod check;
pub mod environment;
pub mod faults;
pub mod invocation;
pub mod life;
pub mod outage;
pub mod outside;
pub mod plan;
pub mod process;
pub mod routes;
pub mod secrets;
pub mod sending;
pub mod strangers;
pub mod table;
pub mod tables;
pub mod time;
pub mod world;

/// Invariants that the code does not keep yet, each with the reason: they are not told.
pub const LATER: &[(&str, &str)] = &[];
