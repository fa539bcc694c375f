//! `routes.toml` as it is compiled into the functions, and the providers' APIs that it may ask.

use shared::customer::provider_api::ProviderApi;

mod rail_api;

/// The file at the top of the workspace.
pub const TEXT: &str = include_str!("../../routes.toml");

/// All APIs that a `customer` of the file may name.
pub const APIS: &[ProviderApi] = &[rail_api::API];

#[cfg(test)]
mod tests;
