//! A routes file, as flags name it.

use std::path::PathBuf;

use clap::Args;
use local::binaries::workspace_root;
use operator::OperatorError;
use route::routes::Routes;

/// Today's routes.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct RoutesFile {
    /// The routes file that is deployed [default: routes.toml of this checkout]
    #[arg(long, value_name = "FILE")]
    routes: Option<PathBuf>,
}

impl RoutesFile {
    pub(crate) fn read(&self) -> Result<Routes, OperatorError> {
        self.with_names().map(|file| file.routes)
    }

    pub(crate) fn with_names(&self) -> Result<route::reader::RoutesFile, OperatorError> {
        let path = self.routes.clone().unwrap_or_else(|| workspace_root().join("routes.toml"));
        operator::routes::read(&path)
    }
}
