//! One attempt at an event: its customer, its message, the handshake and the POST to Returning.AI.

mod answer;
pub mod attempt;
mod encryption;
mod lookups;
pub mod message;
pub mod pauses;
pub mod resolver;
pub mod returning_ai;
pub mod webhooks;
