//! The routes file: whether it is sound, and what it makes of a body.

use std::path::Path;
use std::{fs, io};

use json::Document;
use route::reader::RoutesFile;
use route::routes::{Name, present};

use crate::OperatorError;

pub mod preview;
pub mod words;

/// Reads a routes file.
///
/// # Errors
/// It cannot be read, or is not sound: the first thing wrong, with its line and a caret under the place.
pub fn read(path: &Path) -> Result<RoutesFile, OperatorError> {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let text = fs::read_to_string(path).map_err(|error| {
        OperatorError::usage(format!("{} cannot be read: {error}", path.display()), "name the file with `--routes`")
    })?;
    parse(&name, &text)
}

fn parse(name: &str, text: &str) -> Result<RoutesFile, OperatorError> {
    providers::parse_routes_file(name, text)
        .map_err(|error| OperatorError::refused(error.with_its_line(text), error.hint()))
}

/// The names that no sample body fills: a pointer may be misspelt. `samples` has a folder for each provider; without one, nothing
/// is known of that provider's names.
///
/// # Errors
/// A sample cannot be read, or is not JSON.
pub fn unfilled_names<'f>(file: &'f RoutesFile, samples: &Path) -> Result<Vec<&'f Name>, OperatorError> {
    let mut unfilled: Vec<&Name> = file.names.iter().filter(|name| !name.pointers.is_empty()).collect();
    for provider in providers::ALL.iter().map(|provider| provider.name) {
        let bodies = bodies(&samples.join(provider))?;
        if bodies.is_empty() {
            unfilled.retain(|name| name.provider != provider);
        }
        for body in &bodies {
            let document = Document::of(body).map_err(|error| {
                OperatorError::usage(
                    format!("a sample of {provider} is not JSON: {error}"),
                    "correct or remove the file",
                )
            })?;
            let redacted = document.without(file.routes.redacted(provider));
            let Some(document) = Document::of(&*redacted).ok() else { continue };
            unfilled
                .retain(|name| name.provider != provider || present(document.root(), name.pointers.iter()).is_none());
        }
    }
    Ok(unfilled)
}

/// The JSON files of a folder; none if there is no such folder.
fn bodies(folder: &Path) -> Result<Vec<String>, OperatorError> {
    let unreadable = |path: &Path, error: io::Error| {
        OperatorError::usage(format!("{} cannot be read: {error}", path.display()), "correct or remove the file")
    };
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|error| unreadable(folder, error))?,
    };
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>();
    let paths = paths.map_err(|error| unreadable(folder, error))?.into_iter();
    let bodies = paths.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    bodies.map(|path| fs::read_to_string(&path).map_err(|error| unreadable(&path, error))).collect()
}

#[cfg(test)]
mod tests;
