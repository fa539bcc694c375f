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
/// The first line names the columns, in any order: ref and customer_id; and, where wanted, email, first_name, last_name,
/// trading_accounts and once. Several logins, or several routes, have a `;` between them. What the table says of a ref is
/// replaced as a whole; of several lines with one ref the last counts. A name in `once` is that of a route with once_per which
/// this customer has had already, before the bridge was there.
///
/// Bad lines are told by their numbers and left out, and the exit code is 3. The same file may be imported again, whole or
/// mended, whatever became of it the first time.
#[derive(Args)]
#[command(after_help = EXAMPLES, after_long_help = EXAMPLES)]
pub(super) struct Import {
    /// The file, in UTF-8, with a comma between cells
    #[arg(value_name = "FILE.csv")]
    file: PathBuf,
    /// Read and check every line, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// One JSON object a line: each bad line, all of them, and then what became of the file
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    routes: RoutesFile,
    #[command(flatten)]
    target: CustomersTarget,
    /// In AWS: the events table, where the file has a column `once`
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
