//! One door per outside system: HTTP, AWS, secrets.

pub mod aws;
pub(crate) mod cool_off;
pub mod http;
pub mod secrets;
pub mod token_slot;
