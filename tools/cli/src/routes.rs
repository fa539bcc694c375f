//! `bridge routes`: is the file sound, and what would it make of a body?

pub(crate) mod file;
pub(crate) mod preview;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use operator::OperatorError;

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
    /// The file; without it, the one of this checkout
    #[arg(long, value_name = "FILE")]
    routes: Option<PathBuf>,
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
        let routes = file::read(self.routes.as_deref())?;
        for route in routes.all() {
            println!("{:<28} {} → {} ({})", route.name, route.provider, route.destination, route.event_type);
        }
        println!("{} routes, sound", routes.all().len());
        Ok(())
    }
}
