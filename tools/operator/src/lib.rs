//! All that an operator can do with a bridge, on this machine or in AWS: plain values in, facts and errors out.
//!
//! The command line and the page ask with it and say what came of it. It prints nothing.

mod aws_call;
pub mod cloudformation;
pub mod copied_key;
pub mod customers;
pub mod dev_file;
pub mod doctor;
pub mod error;
pub mod events;
pub mod network;
pub mod parts;
pub mod pauses;
pub mod place;
pub mod rail_subscriptions;
pub mod redrive_function;
pub mod routes;
pub mod runbook;
pub mod sandbox;
#[cfg(test)]
mod testing;
pub mod times;
pub mod verify;
pub mod words;

pub use self::error::OperatorError;
pub use self::parts::{Parts, Target};
pub use self::place::Place;
