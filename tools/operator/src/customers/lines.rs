//! The lines of an import: a CSV file read one line at a time, each a row to write or a place and a reason.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::io::{self, BufRead, BufReader, Read};
use std::rc::Rc;

use csv::{ByteRecord, ReaderBuilder, Trim};
use shared::clock::UnixMillis;
use shared::customer::reference::{Customer, CustomerRef, CustomerRefError};

use crate::words::is_invisible;

/// The lines of a file, read once from the first to the last. Holds one line and a buffer, however long the file is.
pub struct Lines<R> {
    reader: csv::Reader<MeteredReader<R>>,
    columns: Vec<Column>,
    record: ByteRecord,
    meter: Rc<Meter>,
    /// Routes that `once` may name.
    once_routes: BTreeSet<String>,
    ended: bool,
}

/// One line: who it is, and what that customer has had already.
#[derive(Debug, Eq, PartialEq)]
pub struct Row {
    pub reference: CustomerRef,
    pub customer: Customer,
    /// Names of routes, each once.
    pub once: BTreeSet<String>,
}

/// A line that is not written.
#[derive(Debug, Eq, PartialEq)]
pub struct BadLine {
    /// From 1, which is the header: where the line begins in the file.
    pub line: u64,
    pub reason: Reason,
}

/// Why a line is not written. Says nothing of what is in it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Reason {
    #[error("{found} cells, the header has {expected}")]
    Cells { found: usize, expected: usize },
    #[error("{0}: not UTF-8")]
    NotUtf8(&'static str),
    #[error("ref: {0}")]
    Ref(CustomerRefError),
    #[error(
        "{0}: contains a no-break space, an invisible character, or white space at its start or end; no event would match it"
    )]
    Unseen(&'static str),
    #[error("customer_id: empty")]
    CustomerIdEmpty,
    #[error("customer_id: longer than {MAX_CUSTOMER_ID_BYTES} bytes, or with control characters")]
    CustomerId,
    #[error("once: names a route that is not in the routes file, or has no once_per")]
    Once,
    #[error("longer than {} KiB: a quote may be left open. Nothing after it was read", MAX_LINE_BYTES / 1024)]
    TooLong,
}

/// Why there are no lines.
#[derive(Debug, thiserror::Error)]
pub enum HeaderError {
    #[error("the file has no header row")]
    Missing,
    #[error("there is no column `{0}`")]
    Unknown(String),
    #[error("column `{0}` occurs twice")]
    Twice(&'static str),
    #[error("column `{0}` is missing")]
    Required(&'static str),
    #[error("the file cannot be read")]
    Read(#[source] io::Error),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Column {
    Ref,
    CustomerId,
    Email,
    FirstName,
    LastName,
    TradingAccounts,
    Once,
}

/// No line of ours comes near; what does has lost the end of a quoted cell, which would swallow the rest of the file.
const MAX_LINE_BYTES: usize = 64 * 1024;

/// `once#{route}#{customer_id}` is a key, and a key holds 2048 bytes.
pub const MAX_CUSTOMER_ID_BYTES: usize = 1024;

impl Column {
    const ALL: [Self; 7] =
        [Self::Ref, Self::CustomerId, Self::Email, Self::FirstName, Self::LastName, Self::TradingAccounts, Self::Once];

    fn name(self) -> &'static str {
        match self {
            Self::Ref => "ref",
            Self::CustomerId => "customer_id",
            Self::Email => "email",
            Self::FirstName => "first_name",
            Self::LastName => "last_name",
            Self::TradingAccounts => "trading_accounts",
            Self::Once => "once",
        }
    }
}

/// The names of all columns there may be.
pub fn column_names() -> String {
    Column::ALL.map(Column::name).join(", ")
}

impl<R: Read> Lines<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// The header is not one, and names the column that is wrong.
    pub fn open(file: R) -> Result<Self, HeaderError> {
        let meter = Rc::new(Meter::default());
        let file = MeteredReader { inner: BufReader::new(file), meter: Rc::clone(&meter), last: None };
        let mut reader = ReaderBuilder::new().flexible(true).trim(Trim::All).from_reader(file);
        meter.grant();
        let header = reader.byte_headers().map_err(|error| HeaderError::Read(io_error(error)))?.clone();
        if header.is_empty() {
            return Err(HeaderError::Missing);
        }
        let mut columns = Vec::with_capacity(header.len());
        for name in &header {
            let column = Column::ALL.into_iter().find(|column| column.name().as_bytes() == name);
            let column = column.ok_or_else(|| HeaderError::Unknown(readable(name)))?;
            if columns.contains(&column) {
                return Err(HeaderError::Twice(column.name()));
            }
            columns.push(column);
        }
        for required in [Column::Ref, Column::CustomerId] {
            if !columns.contains(&required) {
                return Err(HeaderError::Required(required.name()));
            }
        }
        Ok(Self { reader, columns, record: ByteRecord::new(), meter, once_routes: BTreeSet::new(), ended: false })
    }

    pub fn has_once(&self) -> bool {
        self.columns.contains(&Column::Once)
    }

    /// The routes that `once` may name; none unless this is said.
    pub fn with_once_routes(self, once_routes: BTreeSet<String>) -> Self {
        Self { once_routes, ..self }
    }

    /// How many bytes of the file are behind us.
    pub fn position(&self) -> u64 {
        self.reader.position().byte()
    }

    /// The next line, as it is to be written `now`, or why it is not. `None` at the end.
    ///
    /// # Errors
    /// The file cannot be read any further.
    pub fn next(&mut self, now: UnixMillis) -> io::Result<Option<Result<Row, BadLine>>> {
        if self.ended {
            return Ok(None);
        }
        self.meter.grant();
        let read = self.reader.read_byte_record(&mut self.record);
        let line = self.meter.began.get();
        match read {
            Ok(true) => Ok(Some(self.row(now).map_err(|reason| BadLine { line, reason }))),
            Ok(false) => Ok(None),
            Err(_) if self.meter.left.get() == 0 => {
                self.ended = true;
                Ok(Some(Err(BadLine { line, reason: Reason::TooLong })))
            }
            Err(error) => Err(io_error(error)),
        }
    }

    fn row(&self, now: UnixMillis) -> Result<Row, Reason> {
        if self.record.len() != self.columns.len() {
            return Err(Reason::Cells { found: self.record.len(), expected: self.columns.len() });
        }
        let text = |wanted: Column| {
            let cell = self.columns.iter().position(|column| *column == wanted).map_or(&[][..], |at| &self.record[at]);
            std::str::from_utf8(cell).map(str::trim).map_err(|_| Reason::NotUtf8(wanted.name()))
        };
        let optional = |wanted| Ok(Some(text(wanted)?.to_owned()).filter(|text| !text.is_empty()));
        let list = |wanted| {
            let parts = text(wanted)?.split(';').map(str::trim);
            Ok(parts.filter(|part| !part.is_empty()).map(str::to_owned))
        };

        let reference = reference(text(Column::Ref)?)?;
        let customer = Customer {
            email: optional(Column::Email)?,
            first_name: optional(Column::FirstName)?,
            last_name: optional(Column::LastName)?,
            trading_accounts: list(Column::TradingAccounts)?.collect(),
            ..Customer::new(customer_id(text(Column::CustomerId)?)?, now)
        };
        let once: BTreeSet<String> = list(Column::Once)?.collect();
        if !once.is_subset(&self.once_routes) {
            return Err(Reason::Once);
        }
        Ok(Row { reference, customer, once })
    }
}

/// A reference that an event's can equal.
///
/// # Errors
/// It is none, or contains invisible characters.
pub fn reference(text: &str) -> Result<CustomerRef, Reason> {
    let reference = CustomerRef::parse(text).map_err(Reason::Ref)?;
    let value = text.split_once(':').map_or(text, |(_, value)| value);
    if value.trim() != value || value.contains(is_unseen) {
        return Err(Reason::Unseen(Column::Ref.name()));
    }
    Ok(reference)
}

/// Not an ASCII space, and looks like one or like nothing.
fn is_unseen(c: char) -> bool {
    is_invisible(c) || (c.is_whitespace() && c != ' ')
}

/// An id that messages and keys can carry.
pub fn customer_id(text: &str) -> Result<&str, Reason> {
    if text.is_empty() {
        return Err(Reason::CustomerIdEmpty);
    }
    if text.len() > MAX_CUSTOMER_ID_BYTES || text.chars().any(char::is_control) {
        return Err(Reason::CustomerId);
    }
    if text.trim() != text || text.contains(is_unseen) {
        return Err(Reason::Unseen(Column::CustomerId.name()));
    }
    Ok(text)
}

/// A file that is given out line by line, so that it is known which of them a row is made of: the parser counts the blank lines
/// before a row as the row's. Only so many bytes are given out until more are granted.
struct MeteredReader<R> {
    inner: BufReader<R>,
    meter: Rc<Meter>,
    /// What the last piece that was given out ended with.
    last: Option<u8>,
}

#[derive(Default)]
struct Meter {
    /// Bytes that may still be given out.
    left: Cell<usize>,
    /// Lines that were given out.
    lines: Cell<u64>,
    /// The first of them since the last grant that is not blank; 0 when there is none.
    began: Cell<u64>,
}

impl Meter {
    /// For one more row.
    fn grant(&self) {
        self.left.set(MAX_LINE_BYTES);
        self.began.set(0);
    }
}

impl<R: Read> Read for MeteredReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.meter.left.get();
        if left == 0 {
            return Err(io::Error::other("a line is too long"));
        }
        let ready = self.inner.fill_buf()?;
        let ready = &ready[..ready.len().min(left).min(buffer.len())];
        // A carriage return alone ends a line as well, which the parser takes for the end of a row.
        let ends_late = self.last == Some(b'\r') && ready.first() == Some(&b'\n');
        let piece = match ready.iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
            Some(end) if ready[end..].starts_with(b"\r\n") => &ready[..end + 2],
            Some(end) => &ready[..=end],
            None => ready,
        };
        let begins = matches!(self.last, None | Some(b'\r' | b'\n')) && !ends_late;
        if begins && !piece.is_empty() {
            self.meter.lines.set(self.meter.lines.get() + 1);
        }
        let is_blank = piece.iter().all(|byte| matches!(byte, b'\r' | b'\n'));
        if self.meter.began.get() == 0 && !is_blank {
            self.meter.began.set(self.meter.lines.get());
        }
        buffer[..piece.len()].copy_from_slice(piece);
        let read = piece.len();
        self.last = piece.last().copied().or(self.last);
        self.inner.consume(read);
        self.meter.left.set(left - read);
        Ok(read)
    }
}

fn io_error(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        kind => io::Error::new(io::ErrorKind::InvalidData, format!("{kind:?}")),
    }
}

/// A column's name as a terminal shall see it: a header may be anything.
fn readable(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name);
    let text: String = text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect();
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests;
