//! `bridge routes`: is the file sound, and what would it make of a body?

pub(crate) mod file;
pub(crate) mod preview;

use clap::{Args, Subcommand};
use local::binaries::workspace_root;
use operator::OperatorError;
use operator::routes::unfilled_names;
use operator::routes::words::in_words;
use operator::words::counted;
use route::routes::{Name, Route};

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

/// Check a routes file, and say each route in words
///
/// A mistake is shown with its line. A name that no sample body of events/ fills is a warning.
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
        let file = self.routes.with_names()?;
        let row = |it: &Route| [it.name.clone(), it.provider.clone(), in_words(it)];
        let rows: Vec<_> = file.routes.all().iter().map(row).collect();
        print(|out| Table::default().write(out, &rows))?;
        for Name { provider, name, line, .. } in unfilled_names(&file, &workspace_root().join("events"))? {
            out!(
                "warning: line {line}: no sample of events/{provider} fills `{name}`. hint: correct its pointers, or add a sample"
            );
        }
        out!("{}, no mistake", counted(rows.len(), "route"));
        Ok(())
    }
}
