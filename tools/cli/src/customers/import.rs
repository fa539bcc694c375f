//! `bridge customers import`: a CSV file into the customers table.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use clap::Args;
use futures_util::{StreamExt, TryStreamExt, stream};
use operator::{OperatorError, Place};
use serde::Serialize;
use shared::clock::{Clock, UnixMillis};
use shared::customer::reference::{Customer, CustomerRef};
use shared::customer::table::{Customers, MAX_BATCH};
use shared::record::store::EventStore;
use shared::record::store::error::StoreError;
use shared::record::store::once::ClaimOutcome;
use shared::route::routes::Routes;
use tokio::task::JoinSet;

use super::lines::{Bad, HeaderError, Lines, Row, column_names};
use crate::events::{RoutesFile, interrupted, print};
use crate::progress::Progress;
use crate::target::CustomersTarget;

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

/// So many batches are on their way at once, which is what a new on-demand table takes without turning calls away.
const IN_FLIGHT: usize = 16;

/// So many claims of one batch are.
const CLAIMS_IN_FLIGHT: usize = 4;

/// How often a claim is made that the table is too busy for, and the first wait before that; it doubles.
const CLAIM_TRIES: u32 = 6;
const CLAIM_WAIT: Duration = Duration::from_millis(200);

/// Bad lines that are shown; the rest is counted.
const MOST_SHOWN: u64 = 50;

/// Ctrl-C is looked for every so many lines, and whenever a batch waits for another.
const LINES_BETWEEN_LOOKS: u64 = 256;

/// Said when Ctrl-C is pressed.
const FINISHING: &str =
    "Finishing the batches in hand. Ctrl-C once more leaves them; either way the import may be run again.";

/// Whose claims these are: no event's key.
const OWNER: &str = "import";

/// What became of the lines so far.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub(super) struct Counts {
    /// Without the header.
    pub(super) lines: u64,
    pub(super) written: u64,
    /// A later line of the same batch has the same ref.
    pub(super) replaced: u64,
    /// Notes that a customer has had what happens once, now or by an earlier import.
    pub(super) once_noted: u64,
    /// An event was there first, and keeps it.
    pub(super) once_taken: u64,
    pub(super) bad: u64,
}

/// How an import ended.
#[derive(Debug)]
pub(super) enum Ended {
    All,
    Interrupted,
    Unreadable(io::Error),
    Failed(StoreError),
}

/// Where lines go.
#[derive(Clone, Debug)]
pub(super) struct Tables {
    pub(super) customers: Customers,
    /// Where the file has a column `once`.
    pub(super) events: Option<EventStore>,
}

/// Rows that go in one call, each ref once.
#[derive(Default)]
struct Batch {
    rows: Vec<(CustomerRef, Customer)>,
    at: HashMap<CustomerRef, usize>,
    /// Route and customer.
    claims: BTreeSet<(String, String)>,
}

/// What became of a batch.
struct Written {
    rows: Vec<(CustomerRef, Customer)>,
    noted: u64,
    taken: u64,
}

impl Import {
    pub(super) async fn run(self) -> Result<(), OperatorError> {
        let now = Clock::system().now();
        let (mut lines, bytes) = self.open()?;
        if lines.has_once() {
            lines = lines.with_once_routes(once_routes(&self.routes.read()?));
        }
        let place = if self.dry_run { None } else { Some(self.target.open(self.table.as_deref()).await?) };
        let tables = place.as_ref().map(|place| Tables::of(place, lines.has_once())).transpose()?;

        let progress = Progress::of_bytes(bytes);
        let mut shown = 0;
        let on_bad = |bad: &Bad| match self.json {
            true => {
                let line = serde_json::json!({ "line": bad.line, "problem": bad.reason.to_string() });
                // Whoever closes the output wants no more of it; the import goes on.
                let _ = print(|out| writeln!(out, "{line}"));
            }
            false if shown < MOST_SHOWN => {
                shown += 1;
                progress.say(&format!("line {}: {}", bad.line, bad.reason));
            }
            false => {}
        };
        let (counts, ended) = import(&mut lines, tables.as_ref(), now, interrupted, on_bad, &progress).await;
        progress.end();
        if counts.bad > shown && !self.json {
            eprintln!("and {} more; --json tells them all", counts.bad - shown);
        }
        self.tell(&counts, place.as_ref())?;
        conclude(&counts, ended, place.as_ref())
    }

    fn open(&self) -> Result<(Lines<File>, u64), OperatorError> {
        let unreadable = |error: io::Error| {
            OperatorError::usage(format!("{} cannot be read: {error}", self.file.display()), "name a CSV file")
        };
        let file = File::open(&self.file).map_err(unreadable)?;
        let bytes = file.metadata().map_err(unreadable)?.len();
        let lines = Lines::open(file).map_err(|error| match error {
            HeaderError::Read(error) => unreadable(error),
            error => {
                let hint = format!("the first line has the columns' names, with commas: {}", column_names());
                OperatorError::usage(format!("{}: {error}", self.file.display()), hint)
            }
        })?;
        Ok((lines, bytes))
    }

    fn tell(&self, counts: &Counts, place: Option<&Place>) -> Result<(), OperatorError> {
        let whereto = place.map_or_else(|| "nothing was written".to_owned(), Place::name);
        print(|out| match self.json {
            true => {
                serde_json::to_writer(&mut *out, counts)?;
                writeln!(out)
            }
            false => writeln!(out, "{counts}; {whereto}"),
        })?;
        Ok(())
    }
}

fn conclude(counts: &Counts, ended: Ended, place: Option<&Place>) -> Result<(), OperatorError> {
    const AGAIN: &str = "What is written stays, and the same import may be run again.";
    match (ended, place) {
        (Ended::Interrupted, _) => Err(OperatorError::refused(
            format!("stopped after {} lines", counts.lines),
            "run it again: what is written already is written once more, which does no harm",
        )),
        (Ended::Unreadable(error), _) => {
            eprintln!("{AGAIN}");
            Err(OperatorError::outside(
                format!("the file cannot be read any further: {error}"),
                "is its disk still there?",
            ))
        }
        (Ended::Failed(error), Some(place)) => {
            eprintln!("{AGAIN}");
            Err(place.store_error(&error))
        }
        (Ended::Failed(error), None) => Err(OperatorError::outside(error, AGAIN)),
        (Ended::All, _) if counts.bad > 0 => Err(OperatorError::refused(
            format!("bad lines: {} of {}", counts.bad, counts.lines),
            "mend them and import the file again, whole or only those lines",
        )),
        (Ended::All, _) => Ok(()),
    }
}

impl Tables {
    fn of(place: &Place, has_once: bool) -> Result<Self, OperatorError> {
        let events = if has_once { Some(place.events()?) } else { None };
        Ok(Self { customers: place.customers()?, events })
    }
}

/// Names of the routes that `once` may name.
pub(super) fn once_routes(routes: &Routes) -> BTreeSet<String> {
    routes.all().iter().filter(|route| route.once_per_customer).map(|route| route.name.clone()).collect()
}

/// The customers of a file of this checkout, all of whose lines must be good.
pub(crate) async fn import_samples(path: &Path, routes: &Routes, place: &Place) -> Result<(), OperatorError> {
    let unusable = |what: &dyn fmt::Display| {
        OperatorError::usage(format!("{}: {what}", path.display()), "run it inside a checkout of the bridge")
    };
    let file = File::open(path).map_err(|error| unusable(&error))?;
    let mut lines = Lines::open(file).map_err(|error| unusable(&error))?.with_once_routes(once_routes(routes));
    let tables = Tables::of(place, true)?;
    let now = Clock::system().now();
    let never = async || std::future::pending().await;
    let progress = Progress::of_bytes(0);
    let (counts, ended) = import(&mut lines, Some(&tables), now, never, |_| {}, &progress).await;
    progress.end();
    conclude(&counts, ended, Some(place))
}

/// Reads all lines and writes the good ones, batch by batch, until a batch fails or `interrupted` returns. Then the batches that
/// are on their way are waited for, unless it returns a second time.
///
/// Without tables nothing is written. `on_bad` is told of each line that is left out.
pub(super) async fn import<R: Read>(
    lines: &mut Lines<R>,
    tables: Option<&Tables>,
    now: UnixMillis,
    interrupted: impl AsyncFn(),
    mut on_bad: impl FnMut(&Bad),
    progress: &Progress,
) -> (Counts, Ended) {
    let mut writing = Writing { tables, tasks: JoinSet::new(), refs: HashSet::new(), counts: Counts::default() };
    let mut stop = pin!(interrupted());
    let mut batch = Batch::default();
    let ended = loop {
        if writing.counts.lines.is_multiple_of(LINES_BETWEEN_LOOKS) {
            progress.tell(lines.position(), &writing.counts);
            tokio::select! {
                biased;
                () = &mut stop => break Ended::Interrupted,
                () = tokio::task::yield_now() => {}
            }
        }
        match lines.next(now) {
            Ok(Some(line)) => {
                writing.counts.lines += 1;
                match line {
                    Ok(row) => writing.counts.replaced += u64::from(batch.add(row)),
                    Err(bad) => {
                        writing.counts.bad += 1;
                        on_bad(&bad);
                    }
                }
                if batch.rows.len() < MAX_BATCH {
                    continue;
                }
                let full = std::mem::take(&mut batch);
                tokio::select! {
                    biased;
                    () = &mut stop => break Ended::Interrupted,
                    begun = writing.begin(full) => if let Err(error) = begun {
                        break Ended::Failed(error);
                    },
                }
            }
            Ok(None) => {
                break match writing.begin(std::mem::take(&mut batch)).await {
                    Ok(()) => Ended::All,
                    Err(error) => Ended::Failed(error),
                };
            }
            Err(error) => break Ended::Unreadable(error),
        }
    };
    let mut pressed = matches!(ended, Ended::Interrupted);
    if pressed {
        progress.say(FINISHING);
        stop.set(interrupted());
    }
    let mut finished = Ok(());
    while !writing.tasks.is_empty() {
        tokio::select! {
            biased;
            one = writing.end_one() => finished = finished.and(one),
            () = &mut stop => {
                if pressed {
                    return (writing.counts, Ended::Interrupted);
                }
                pressed = true;
                progress.say(FINISHING);
                stop.set(interrupted());
            }
        }
    }
    match (ended, finished) {
        (Ended::All, Err(error)) => (writing.counts, Ended::Failed(error)),
        (ended, _) => (writing.counts, ended),
    }
}

/// The batches that are on their way.
struct Writing<'t> {
    tables: Option<&'t Tables>,
    tasks: JoinSet<Result<Written, StoreError>>,
    /// Theirs: a later line with one of these must not overtake the earlier one.
    refs: HashSet<CustomerRef>,
    counts: Counts,
}

impl Writing<'_> {
    /// Sends a batch on its way, as soon as there is room and no other batch has one of its refs.
    async fn begin(&mut self, batch: Batch) -> Result<(), StoreError> {
        let Some(tables) = self.tables else {
            return Ok(());
        };
        while self.tasks.len() >= IN_FLIGHT || batch.rows.iter().any(|(reference, _)| self.refs.contains(reference)) {
            self.end_one().await?;
        }
        self.refs.extend(batch.rows.iter().map(|(reference, _)| reference.clone()));
        self.tasks.spawn(write(tables.clone(), batch));
        Ok(())
    }

    /// Waits for one of them.
    async fn end_one(&mut self) -> Result<(), StoreError> {
        let Some(ended) = self.tasks.join_next().await else {
            return Ok(());
        };
        let written = ended.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?;
        for (reference, _) in &written.rows {
            self.refs.remove(reference);
        }
        self.counts.written += written.rows.len() as u64;
        self.counts.once_noted += written.noted;
        self.counts.once_taken += written.taken;
        Ok(())
    }
}

/// Writes a batch. Claims first: an event that waits for one of these links must not find the link and the claim still free.
async fn write(tables: Tables, batch: Batch) -> Result<Written, StoreError> {
    let mut written = Written { rows: batch.rows, noted: 0, taken: 0 };
    if let Some(events) = &tables.events {
        let claims = batch.claims.into_iter().map(|(route, customer)| {
            let events = events.clone();
            async move { claim(&events, &route, &customer).await }
        });
        let claims: Vec<ClaimOutcome> = stream::iter(claims).buffer_unordered(CLAIMS_IN_FLIGHT).try_collect().await?;
        written.noted = claims.iter().filter(|claimed| **claimed == ClaimOutcome::Ours).count() as u64;
        written.taken = claims.len() as u64 - written.noted;
    }
    tables.customers.write_batch(&written.rows).await?;
    Ok(written)
}

async fn claim(events: &EventStore, route: &str, customer: &str) -> Result<ClaimOutcome, StoreError> {
    let mut wait = CLAIM_WAIT;
    for _ in 1..CLAIM_TRIES {
        match events.claim_once(route, customer, OWNER, Clock::system().now()).await {
            Err(error) if error.is_busy() => tokio::time::sleep(wait).await,
            claimed => return claimed,
        }
        wait *= 2;
    }
    events.claim_once(route, customer, OWNER, Clock::system().now()).await
}

impl Batch {
    /// True when the row takes the place of an earlier one: DynamoDB refuses a batch with a key in it twice.
    fn add(&mut self, row: Row) -> bool {
        let customer_id = &row.customer.customer_id;
        self.claims.extend(row.once.into_iter().map(|route| (route, customer_id.clone())));
        match self.at.get(&row.reference) {
            Some(at) => {
                self.rows[*at].1 = row.customer;
                true
            }
            None => {
                self.at.insert(row.reference.clone(), self.rows.len());
                self.rows.push((row.reference, row.customer));
                false
            }
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} lines", self.lines)?;
        let of_them = [
            (self.bad, "bad"),
            (self.written, "written"),
            (self.replaced, "replaced by a later line"),
            (self.once_noted, "noted in `once`"),
            (self.once_taken, "not noted, since an event was first"),
        ];
        for (count, what) in of_them {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
