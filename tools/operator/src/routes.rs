//! The routes file: whether it is sound, and what it makes of a body.

use std::fs;
use std::path::Path;

use route::routes::{Routes, RoutesError};

use crate::OperatorError;

pub mod preview;

/// Reads the routes of a file, each of a provider that there is.
///
/// # Errors
/// It cannot be read, or is not sound: the first thing wrong, with its line and a caret under the place.
pub fn read(path: &Path) -> Result<Routes, OperatorError> {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let text = fs::read_to_string(path).map_err(|error| {
        OperatorError::usage(format!("{} cannot be read: {error}", path.display()), "name the file with `--routes`")
    })?;
    parse(&name, &text)
}

fn parse(name: &str, text: &str) -> Result<Routes, OperatorError> {
    let routes = providers::parse_routes(name, text)
        .map_err(|error| OperatorError::refused(error.with_its_line(text), RoutesError::HINT))?;
    let Some(unknown) = routes.providers().into_iter().find(|provider| providers::by_name(provider).is_none()) else {
        return Ok(routes);
    };
    let known: Vec<_> = providers::ALL.iter().map(|provider| provider.name).collect();
    Err(OperatorError::refused(
        format!("{name}: unknown provider `{unknown}`"),
        format!("known providers: {}", known.join(", ")),
    ))
}
