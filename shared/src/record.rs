//! The event, its pure transitions, and the conditional writes that make them durable.

pub mod event;
pub mod failure;
pub mod key;
pub mod pauses;
pub mod retry_plan;
pub mod store;
