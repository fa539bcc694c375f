//! `bridge customers import`: a CSV file into the customers table.

use std::path::PathBuf;

use clap::Args;
use operator::customers::import::{Ending, Progress, Tables, import, once_routes, open};
use operator::customers::lines::BadLine;
use operator::{OperatorError, Place};
use shared::clock::Clock;

use crate::routes::file::RoutesFile;
use crate::target::CustomersTarget;
use crate::terminal::{self, interrupted, note, out, print};

/// Write the lines of a CSV file into the customers table
///
/// The first line names the columns, in any order: ref and customer_id; optional: email, first_name, last_name,
/// trading_accounts and once. Put `;` between several logins or several routes. A line replaces the whole entry of its ref; of
/// several lines with one ref the last one counts. `once` names routes with once_per whose message this customer has already
/// had, before the bridge existed.
///
/// Bad lines are reported by their numbers and skipped, and the exit code is 3. You can import the same file again at any time,
/// whole or corrected.
#[derive(Args)]
#[command(after_help = EXAMPLES, after_long_help = EXAMPLES)]
pub(super) struct Import {
    /// The file, in UTF-8, with a comma between cells
    #[arg(value_name = "FILE.csv")]
    file: PathBuf,
    /// Check every line, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object per line: every bad line, then the result of the import
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    routes: RoutesFile,
    #[command(flatten)]
    target: CustomersTarget,
    /// In AWS: the events table; required if the file has a column `once`
    #[arg(long, value_name = "NAME", requires = "customers_table", help_heading = "Where")]
    table: Option<String>,
}

const EXAMPLES: &str = "Examples:
  bridge customers import customers.csv --dry-run                               is every line good?
  bridge customers import customers.csv
  bridge customers import customers.csv --customers-table customers --table events --profile prod";

/// Bad lines that are shown; the rest is counted.
const MAX_SHOWN: u64 = 50;

const STOPPING: &str =
    "Finishing the current batches. Ctrl-C again abandons them. Either way the import can be run again.";

impl Import {
    pub(super) async fn run(self) -> Result<(), OperatorError> {
        let now = Clock::system().now();
        let (mut lines, bytes) = open(&self.file)?;
        if lines.has_once() {
            lines = lines.with_once_routes(once_routes(&self.routes.read()?));
        }
        let place = if self.dry_run { None } else { Some(self.target.open(self.table.as_deref()).await?) };
        let tables = place.as_ref().map(|place| Tables::of(place, lines.has_once())).transpose()?;

        let progress = terminal::Progress::of_bytes(bytes);
        let mut shown = 0;
        let on_bad = |bad: &BadLine| match self.json {
            true => {
                let line = serde_json::json!({ "line": bad.line, "problem": bad.reason.to_string() });
                out!("{line}");
            }
            false if shown < MAX_SHOWN => {
                shown += 1;
                progress.print_above(&format!("line {}: {}", bad.line, bad.reason));
            }
            false => {}
        };
        let on_progress = |update: Progress<'_>| match update {
            Progress::Read(bytes, counts) => progress.update(bytes, counts),
            Progress::Stopping => progress.print_above(STOPPING),
        };
        let (counts, ending) = import(&mut lines, tables.as_ref(), now, interrupted, on_bad, on_progress).await;
        progress.end();
        if counts.bad > shown && !self.json {
            note!("and {} more; `--json` prints them all", counts.bad - shown);
        }
        let whereto = place.as_ref().map_or_else(|| "nothing was written".to_owned(), Place::name);
        print(|out| match self.json {
            true => terminal::write_json(out, [counts]),
            false => writeln!(out, "{counts}; {whereto}"),
        })?;
        if matches!(ending, Ending::Unreadable(_) | Ending::Failed(_)) {
            note!("What was written stays. The same import can be run again.");
        }
        ending.result(&counts, place.as_ref())
    }
}
