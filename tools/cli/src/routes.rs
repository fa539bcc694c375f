//! `bridge routes`: is the file sound, and what would it make of a body?

pub(crate) mod file;
pub(crate) mod preview;

use clap::{Args, Subcommand};
use operator::OperatorError;
use operator::words::counted;
use route::routes::Route;

use crate::routes::file::RoutesFile;
use crate::terminal::{Table, out, print};

/// The file that says which event goes where
#[derive(Args)]
pub(crate) struct Routes {
    #[command(subcommand)]
    verb: RoutesVerb,
}

#[derive(Subcommand)]
enum RoutesVerb {
    Check(Check),
    Preview(preview::Preview),
}

/// Check a routes file: it parses, and every route can be followed
#[derive(Args)]
#[command(after_help = EXAMPLES)]
struct Check {
    #[command(flatten)]
    routes: RoutesFile,
}

const EXAMPLES: &str = "Examples:
  bridge routes check
  bridge routes check --routes new-routes.toml
  bridge routes check && cargo lambda build --release --arm64";

impl Routes {
    pub(crate) fn run(self) -> Result<(), OperatorError> {
        match self.verb {
            RoutesVerb::Check(check) => check.run(),
            RoutesVerb::Preview(preview) => preview.run(),
        }
    }
}

impl Check {
    fn run(self) -> Result<(), OperatorError> {
        let routes = self.routes.read()?;
        let row = |it: &Route| [it.name.clone(), format!("{} → {} ({})", it.provider, it.destination, it.event_type)];
        let rows: Vec<_> = routes.all().iter().map(row).collect();
        print(|out| Table::default().write(out, &rows))?;
        out!("{}, sound", counted(rows.len(), "route"));
        Ok(())
    }
}
