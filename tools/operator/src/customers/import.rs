//! A CSV file into the customers table.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use route::routes::Routes;
use serde::Serialize;
use shared::clock::{Clock, UnixMillis};
use shared::customer::reference::{Customer, CustomerRef};
use shared::customer::table::{Customers, MAX_BATCH};
use shared::record::store::EventStore;
use shared::record::store::error::StoreError;
use shared::record::store::once::ClaimOutcome;
use tokio::task::JoinSet;

use super::lines::{BadLine, HeaderError, Lines, Row, column_names};
use crate::{OperatorError, Place};

/// Concurrent batches: what a new on-demand table takes without throttling.
const IN_FLIGHT: usize = 16;

/// Concurrent claims per batch.
const CLAIMS_IN_FLIGHT: usize = 4;

/// How often a claim is made that the table is too busy for, and the first wait before that; it doubles.
const CLAIM_TRIES: u32 = 6;
const CLAIM_WAIT: Duration = Duration::from_millis(200);

/// Ctrl-C is looked for every so many lines, and whenever a batch waits for another.
const LINES_BETWEEN_LOOKS: u64 = 256;

/// Whose claims these are: no event's key.
const OWNER: &str = "import";

/// The result of the lines so far.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Counts {
    /// Without the header.
    pub lines: u64,
    pub written: u64,
    /// A later line of the same batch has the same ref.
    pub replaced: u64,
    /// Notes that a customer has had what happens once, now or by an earlier import.
    pub once_noted: u64,
    /// An event was there first, and keeps it.
    pub once_taken: u64,
    pub bad: u64,
}

/// How far an import is.
pub enum Progress<'c> {
    /// So many bytes of the file are read.
    Read(u64, &'c Counts),
    /// It was interrupted, and waits for the batches in hand.
    Stopping,
}

/// How an import ended.
#[derive(Debug)]
pub enum Ending {
    Complete,
    Interrupted,
    Unreadable(io::Error),
    Failed(StoreError),
}

/// Where lines go.
#[derive(Clone, Debug)]
pub struct Tables {
    pub customers: Customers,
    /// Where the file has a column `once`.
    pub events: Option<EventStore>,
}

/// Rows that go in one call, each ref once.
#[derive(Default)]
struct Batch {
    rows: Vec<(CustomerRef, Customer)>,
    at: HashMap<CustomerRef, usize>,
    /// Route and customer.
    claims: BTreeSet<(String, String)>,
}

/// The result of a batch.
struct BatchResult {
    rows: Vec<(CustomerRef, Customer)>,
    noted: u64,
    taken: u64,
}

impl Tables {
    /// # Errors
    /// A table is not named.
    pub fn of(place: &Place, has_once: bool) -> Result<Self, OperatorError> {
        let events = if has_once { Some(place.events()?) } else { None };
        Ok(Self { customers: place.customers()?, events })
    }
}

/// Names of the routes that `once` may name.
pub fn once_routes(routes: &Routes) -> BTreeSet<String> {
    routes.all().iter().filter(|route| route.once_per_customer).map(|route| route.name.clone()).collect()
}

/// Opens a file of customers; its size in bytes, too.
///
/// # Errors
/// It cannot be read, or its header is not one.
pub fn open(path: &Path) -> Result<(Lines<File>, u64), OperatorError> {
    let unreadable = |error: io::Error| {
        OperatorError::usage(format!("{} cannot be read: {error}", path.display()), "name a CSV file")
    };
    let file = File::open(path).map_err(unreadable)?;
    let bytes = file.metadata().map_err(unreadable)?.len();
    let lines = Lines::open(file).map_err(|error| match error {
        HeaderError::Read(error) => unreadable(error),
        error => {
            let hint = format!("the first line has the columns' names, separated by commas: {}", column_names());
            OperatorError::usage(format!("{}: {error}", path.display()), hint)
        }
    })?;
    Ok((lines, bytes))
}

/// Writes a whole file, all of whose lines must be good.
///
/// # Errors
/// One is not, or a table cannot be written.
pub async fn import_file(path: &Path, routes: &Routes, place: &Place) -> Result<(), OperatorError> {
    let mut lines = open(path)?.0.with_once_routes(once_routes(routes));
    let tables = Tables::of(place, true)?;
    let never = async || std::future::pending().await;
    let (counts, ending) = import(&mut lines, Some(&tables), Clock::system().now(), never, |_| {}, |_| {}).await;
    ending.result(&counts, Some(place))
}

impl Ending {
    /// # Errors
    /// Not every line was written.
    pub fn result(self, counts: &Counts, place: Option<&Place>) -> Result<(), OperatorError> {
        match (self, place) {
            (Self::Complete, _) if counts.bad == 0 => Ok(()),
            (Self::Complete, _) => Err(OperatorError::refused(
                format!("{} of {} lines are bad", counts.bad, counts.lines),
                "correct them and import the file again, whole or only those lines",
            )),
            (Self::Interrupted, _) => Err(OperatorError::refused(
                format!("Stopped after {} lines", counts.lines),
                "run it again: a line may be written twice",
            )),
            (Self::Unreadable(error), _) => Err(OperatorError::outside(
                format!("The file cannot be read any further: {error}"),
                "check the disk that it is on",
            )),
            (Self::Failed(error), Some(place)) => Err(place.store_error(&error)),
            (Self::Failed(error), None) => Err(OperatorError::outside(error, "run it again")),
        }
    }
}

/// Reads all lines and writes the good ones, batch by batch, until a batch fails or `interrupted` returns. Then the batches that
/// are on their way are waited for, unless it returns a second time.
///
/// Without tables nothing is written. `on_bad` receives each line that is skipped.
pub async fn import<R: Read>(
    lines: &mut Lines<R>,
    tables: Option<&Tables>,
    now: UnixMillis,
    interrupted: impl AsyncFn(),
    mut on_bad: impl FnMut(&BadLine),
    on_progress: impl Fn(Progress<'_>),
) -> (Counts, Ending) {
    let mut writer = Writer { tables, tasks: JoinSet::new(), refs: HashSet::new(), counts: Counts::default() };
    let mut stop = pin!(interrupted());
    let mut batch = Batch::default();
    let ending = loop {
        if writer.counts.lines.is_multiple_of(LINES_BETWEEN_LOOKS) {
            on_progress(Progress::Read(lines.position(), &writer.counts));
            tokio::select! {
                biased;
                () = &mut stop => break Ending::Interrupted,
                () = tokio::task::yield_now() => {}
            }
        }
        match lines.next(now) {
            Ok(Some(line)) => {
                writer.counts.lines += 1;
                match line {
                    Ok(row) => writer.counts.replaced += u64::from(batch.add(row)),
                    Err(bad) => {
                        writer.counts.bad += 1;
                        on_bad(&bad);
                    }
                }
                if batch.rows.len() < MAX_BATCH {
                    continue;
                }
                let full = std::mem::take(&mut batch);
                tokio::select! {
                    biased;
                    () = &mut stop => break Ending::Interrupted,
                    begun = writer.begin(full) => if let Err(error) = begun {
                        break Ending::Failed(error);
                    },
                }
            }
            Ok(None) => {
                break match writer.begin(std::mem::take(&mut batch)).await {
                    Ok(()) => Ending::Complete,
                    Err(error) => Ending::Failed(error),
                };
            }
            Err(error) => break Ending::Unreadable(error),
        }
    };
    let mut pressed = matches!(ending, Ending::Interrupted);
    if pressed {
        on_progress(Progress::Stopping);
        stop.set(interrupted());
    }
    let mut finished = Ok(());
    while !writer.tasks.is_empty() {
        tokio::select! {
            biased;
            one = writer.end_one() => finished = finished.and(one),
            () = &mut stop => {
                if pressed {
                    return (writer.counts, Ending::Interrupted);
                }
                pressed = true;
                on_progress(Progress::Stopping);
                stop.set(interrupted());
            }
        }
    }
    match (ending, finished) {
        (Ending::Complete, Err(error)) => (writer.counts, Ending::Failed(error)),
        (ending, _) => (writer.counts, ending),
    }
}

/// The batches that are on their way.
struct Writer<'t> {
    tables: Option<&'t Tables>,
    tasks: JoinSet<Result<BatchResult, StoreError>>,
    /// The refs of these batches: a later line with one of them must not overtake the earlier one.
    refs: HashSet<CustomerRef>,
    counts: Counts,
}

impl Writer<'_> {
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
async fn write(tables: Tables, batch: Batch) -> Result<BatchResult, StoreError> {
    let mut written = BatchResult { rows: batch.rows, noted: 0, taken: 0 };
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
        match events.claim_once(route, customer, OWNER, UnixMillis(0), Clock::system().now()).await {
            Err(error) if error.is_busy() => tokio::time::sleep(wait).await,
            claimed => return claimed,
        }
        wait *= 2;
    }
    events.claim_once(route, customer, OWNER, UnixMillis(0), Clock::system().now()).await
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
            (self.once_taken, "not noted, because an event already has the claim"),
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
