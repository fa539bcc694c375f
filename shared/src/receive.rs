//! From bytes to an answer: the door, verification, the record, and what the provider is told.

pub mod door;
pub mod id_conflict;
pub mod log;
pub mod provider;
pub mod receipt;
pub mod receiver;
pub mod signing_keys;
pub mod verification;
