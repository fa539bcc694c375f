//! One door per outside system: HTTP, AWS, secrets.

pub mod aws;
pub mod http;
pub mod secrets;
pub mod token_slot;
