//! The routes file: whether it is sound, and what it makes of a body.

use std::fs;
use std::path::Path;

use route::routes::Routes;

use crate::OperatorError;

pub mod preview;

/// Reads the routes of a file.
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
    providers::parse_routes(name, text).map_err(|error| OperatorError::refused(error.with_its_line(text), error.hint()))
}
