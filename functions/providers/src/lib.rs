//! All providers, and the routes that say where their events go.

use route::reader::RoutesFile;
use route::routes::{Routes, RoutesError};
use routes::known;
use shared::customer::provider_api::Lookup;
use shared::receive::provider::Provider;

/// Every provider. Whatever walks the providers walks this list.
pub static ALL: &[&Provider] = &[&rail::RAIL, &rillis::RILLIS];

pub fn by_name(name: &str) -> Option<&'static Provider> {
    ALL.iter().copied().find(|provider| provider.name == name)
}

/// All that the providers' APIs can be asked.
pub fn lookups() -> impl Iterator<Item = &'static Lookup> {
    ALL.iter().filter_map(|provider| provider.api.as_ref()).flat_map(|api| api.lookups)
}

/// The routes that are compiled into the functions.
pub fn routes() -> Routes {
    routes::compiled()
}

/// Reads and checks a routes file, which may name nothing but what the providers have; `file` is its name for errors.
///
/// # Errors
/// The first thing wrong, with line and column.
pub fn parse_routes_file(file: &str, text: &str) -> Result<RoutesFile, RoutesError> {
    RoutesFile::parse(file, text, known::KNOWN)
}

/// The routes of such a file.
///
/// # Errors
/// As [`parse_routes_file`].
pub fn parse_routes(file: &str, text: &str) -> Result<Routes, RoutesError> {
    parse_routes_file(file, text).map(|file| file.routes)
}

#[cfg(test)]
mod tests;
