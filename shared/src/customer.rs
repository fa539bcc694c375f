//! Whose customer a provider's id is: the customers table, and the provider's own API.

pub mod api_client;
pub mod provider_api;
pub mod reference;
pub mod table;
