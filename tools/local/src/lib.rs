//! The bridge on one machine: the real function binaries behind a Lambda host and an API Gateway, with an embedded
//! DynamoDB and stand-ins for Secrets Manager, Rail's API and Returning.AI.
//!
//! `bridge dev`, the end-to-end tests and the benches run on it. Everything listens on loopback, and every outside
//! system can be made to fail by script ([`faults`]).

pub mod aws;
pub mod binaries;
pub mod delivery;
pub mod dynamodb;
pub mod faults;
pub mod front;
pub mod gateway;
pub mod http_client;
pub mod invoke_api;
pub mod lambda_host;
pub mod rail_api;
pub mod records;
pub mod returning_ai;
pub mod samples;
pub mod secrets_manager;
pub mod stack;
pub mod storm;
#[cfg(test)]
mod testing;

/// 128 bits that nobody can guess, in hexadecimal.
pub(crate) fn unguessable() -> std::io::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}

/// A version 4 UUID, as request ids and version ids are.
pub(crate) fn random_uuid() -> String {
    uuid::Builder::from_random_bytes(fastrand::u128(..).to_ne_bytes()).into_uuid().to_string()
}
