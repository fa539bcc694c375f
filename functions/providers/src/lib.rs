//! All providers, and the routes that say where their events go.

use shared::customer::provider_api::Lookup;
use shared::receive::provider::Provider;
use shared::route::routes::{LookupKinds, Routes, RoutesError};

/// Every provider. Whatever walks the providers walks this list.
pub static ALL: &[&Provider] = &[&rail::RAIL, &rillis::RILLIS];

/// `routes.toml`, the file at the top of the workspace, as it is compiled into the functions.
pub const ROUTES: &str = include_str!("../../../routes.toml");

pub fn by_name(name: &str) -> Option<&'static Provider> {
    ALL.iter().copied().find(|provider| provider.name == name)
}

/// All that the providers' APIs can be asked.
pub fn lookups() -> impl Iterator<Item = &'static Lookup> {
    ALL.iter().filter_map(|provider| provider.api.as_ref()).flat_map(|api| api.lookups)
}

/// The routes as they are compiled in.
///
/// # Errors
/// As [`parse_routes`].
pub fn routes() -> Result<Routes, RoutesError> {
    parse_routes("routes.toml", ROUTES)
}

/// Reads and checks a routes file, which may ask no API but those of the providers; `file` is its name for errors.
///
/// # Errors
/// The first thing wrong, with line and column.
pub fn parse_routes(file: &str, text: &str) -> Result<Routes, RoutesError> {
    let kinds: Vec<&str> = lookups().map(|lookup| lookup.kind).collect();
    Routes::parse(file, text, LookupKinds::OneOf(&kinds))
}

#[cfg(test)]
mod tests;
