//! A routes file, as a person names it and as its mistakes are shown.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use local::binaries::workspace_root;
use operator::OperatorError;
use shared::route::routes::{self, RoutesError};

/// Today's routes.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct RoutesFile {
    /// The routes file that is deployed; without it, the one of this checkout
    #[arg(long, value_name = "FILE")]
    routes: Option<PathBuf>,
}

impl RoutesFile {
    pub(crate) fn read(&self) -> Result<routes::Routes, OperatorError> {
        read(self.routes.as_deref())
    }
}

/// The routes of this file, or of this checkout's.
pub(crate) fn read(path: Option<&Path>) -> Result<routes::Routes, OperatorError> {
    let path = path.map_or_else(|| workspace_root().join("routes.toml"), Path::to_owned);
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let text = fs::read_to_string(&path).map_err(|error| {
        OperatorError::usage(format!("{} cannot be read: {error}", path.display()), "name the file with --routes")
    })?;
    parse(&name, &text)
}

/// The routes of a file, each of a provider that there is.
fn parse(name: &str, text: &str) -> Result<routes::Routes, OperatorError> {
    let routes = providers::parse_routes(name, text).map_err(|error| unsound(&error, text))?;
    let Some(unknown) = routes.providers().into_iter().find(|provider| providers::by_name(provider).is_none()) else {
        return Ok(routes);
    };
    let known: Vec<_> = providers::ALL.iter().map(|provider| provider.name).collect();
    Err(OperatorError::refused(
        format!("{name}: there is no provider `{unknown}`"),
        format!("known: {}", known.join(", ")),
    ))
}

/// The error with its line and a caret under the place.
fn unsound(error: &RoutesError, text: &str) -> OperatorError {
    let line = text.lines().nth(error.line - 1).unwrap_or_default();
    let caret = format!("{}^", " ".repeat(error.column - 1));
    OperatorError::refused(
        format!("{error}\n  {line}\n  {caret}"),
        "the header of routes.toml says what each key may hold",
    )
}
