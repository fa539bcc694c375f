//! Words out: lines and tables on standard output, how far a long run is on standard error, and one question. Nothing else
//! prints, and nothing that is printed acts on the terminal.

use std::cell::Cell;
use std::future::poll_fn;
use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;
use std::task::Poll;
use std::time::Duration;
use std::{fmt, fs};

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use json::{Document, Kind, Value, write_string};
use operator::OperatorError;
use operator::words::escaped;
use serde::Serialize;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

/// Whether the output still has a reader.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reader {
    Open,
    /// It has closed the output (`| head`): no failure.
    Closed,
}

/// Rows whose columns hold their longest cells: none is cut, since keys are for copying.
#[derive(Debug)]
pub(crate) struct Table<const N: usize> {
    widths: [usize; N],
}

/// A bar on a terminal, else a line now and then.
pub(crate) struct Progress {
    bar: ProgressBar,
    unit: Unit,
    printed_at: Cell<Instant>,
}

#[derive(Clone, Copy)]
enum Unit {
    Items,
    Bytes,
}

/// Between two plain lines.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// The first failure of a line on standard output, for the end of the program: it must not stop the work.
static UNPRINTED: OnceLock<io::Error> = OnceLock::new();

/// A line on standard output.
macro_rules! out {
    ($($arg:tt)*) => { $crate::terminal::line_out(format_args!($($arg)*)) };
}

/// A line on standard error.
macro_rules! note {
    ($($arg:tt)*) => { $crate::terminal::line_noted(format_args!($($arg)*)) };
}

pub(crate) use {note, out};

pub(crate) fn line_out(line: fmt::Arguments<'_>) {
    if let Err(error) = to_stdout(&(escaped(&line.to_string()) + "\n")) {
        // A reader that has left (`| head -1`) wants no more of it.
        if error.kind() != io::ErrorKind::BrokenPipe {
            let _ = UNPRINTED.set(error);
        }
    }
}

pub(crate) fn line_noted(line: fmt::Arguments<'_>) {
    // If it does not arrive, there is no one to report that to.
    let _ = io::stderr().lock().write_all((escaped(&line.to_string()) + "\n").as_bytes());
}

/// Lines on standard error: a line feed with two spaces after it comes from this program, since no value can contain one.
pub(crate) fn note_lines(text: &str) {
    for (at, line) in text.split("\n  ").enumerate() {
        let indent = if at == 0 { "" } else { "  " };
        note!("{indent}{line}");
    }
}

/// # Errors
/// A line of the program's is lost: the disk is full.
pub(crate) fn all_is_printed() -> Result<(), OperatorError> {
    UNPRINTED.get().map_or(Ok(()), |error| Err(unprinted(error)))
}

/// Prints lines as one; whether the output still has a reader.
///
/// # Errors
/// They cannot be printed.
pub(crate) fn print(write: impl FnOnce(&mut Lines) -> io::Result<()>) -> Result<Reader, OperatorError> {
    let mut lines = Lines::default();
    match write(&mut lines).and_then(|()| to_stdout(&lines.0)) {
        Ok(()) => Ok(Reader::Open),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Reader::Closed),
        Err(error) => Err(unprinted(&error)),
    }
}

fn to_stdout(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush())
}

fn unprinted(error: &io::Error) -> OperatorError {
    let hint = "free some space where the output goes, and run it again; what is already done stays";
    OperatorError::outside(format!("Cannot print: {error}"), hint)
}

/// Text to print. Whatever a value holds, one `writeln!` makes one line, on which nothing acts on the terminal.
#[derive(Debug, Default)]
pub(crate) struct Lines(pub(crate) String);

impl Lines {
    /// For `write!` and `writeln!`.
    pub(crate) fn write_fmt(&mut self, text: fmt::Arguments<'_>) -> io::Result<()> {
        let text = text.to_string();
        let (line, end) = text.strip_suffix('\n').map_or((text.as_str(), ""), |line| (line, "\n"));
        self.0 += &escaped(line);
        self.0 += end;
        Ok(())
    }
}

/// Print one JSON object per line.
pub(crate) fn write_json(out: &mut Lines, lines: impl IntoIterator<Item = impl Serialize>) -> io::Result<()> {
    for line in lines {
        // Between the tokens of a body that is passed on as it stands; in a string of JSON there are none.
        let json = serde_json::to_string(&line)?.replace(|c: char| c.is_ascii_control(), " ");
        writeln!(out, "{json}")?;
    }
    Ok(())
}

impl<const N: usize> Default for Table<N> {
    fn default() -> Self {
        Self { widths: [0; N] }
    }
}

impl<const N: usize> Table<N> {
    /// Writes rows, in columns at least as wide as those of the rows before.
    pub(crate) fn write(&mut self, out: &mut Lines, rows: &[[String; N]]) -> io::Result<()> {
        // A cell is as wide as what is printed of it.
        let rows: Vec<[String; N]> = rows.iter().map(|row| row.each_ref().map(|cell| escaped(cell))).collect();
        for row in &rows {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for row in &rows {
            let cells: Vec<_> = row.iter().zip(&self.widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            writeln!(out, "{}", cells.join("  ").trim_end())?;
        }
        Ok(())
    }
}

/// One table under its titles.
pub(crate) fn write_table<const N: usize>(
    out: &mut Lines,
    titles: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> io::Result<()> {
    let rows: Vec<_> = std::iter::once(titles.map(str::to_owned)).chain(rows).collect();
    Table::default().write(out, &rows)
}

/// A JSON object, a member a line, every value as it stands.
pub(crate) fn write_members(out: &mut Lines, json: &str) -> io::Result<()> {
    let Ok(document) = Document::parse(json.as_bytes()) else {
        return writeln!(out, "  {json}");
    };
    let members: Vec<_> = document.root().members().collect();
    for (at, member) in members.iter().enumerate() {
        let mut key = String::new();
        write_string(&mut key, &member.key.text().unwrap_or_default());
        let open = if at == 0 { "{" } else { " " };
        let close = if at + 1 == members.len() { " }" } else { "," };
        writeln!(out, "  {open} {key}: {}{close}", on_one_line(member.value))?;
    }
    Ok(())
}

/// A nested value of a provider's may be spread over lines.
fn on_one_line(value: Value<'_>) -> String {
    match value.kind() {
        Kind::Array | Kind::Object => value.source().split_whitespace().collect::<Vec<_>>().join(" "),
        _ => value.source().to_owned(),
    }
}

/// A word as a shell takes it.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Asks at the terminal; true for yes.
///
/// # Errors
/// There is no terminal to ask at.
pub(crate) fn confirm(question: &str, hint: &str) -> Result<bool, OperatorError> {
    if !io::stdin().is_terminal() {
        return Err(OperatorError::usage("Cannot ask for confirmation: not a terminal. Nothing was changed.", hint));
    }
    let asked = io::stderr().lock().write_all(format!("{} [y/N] ", escaped(question)).as_bytes());
    let mut answer = String::new();
    let read = asked.and_then(|()| io::stdin().read_line(&mut answer));
    let agreed = read.is_ok() && matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes");
    if !agreed {
        out!("Nothing was changed.");
    }
    Ok(agreed)
}

/// Returns when a person or the system ends the program: by Ctrl-C, Ctrl-\\, `kill`, or with the terminal.
pub(crate) async fn interrupted() {
    let kinds = [SignalKind::interrupt(), SignalKind::quit(), SignalKind::terminate(), SignalKind::hangup()];
    let kinds = kinds.into_iter().filter(|kind| *kind != SignalKind::hangup() || !outlives_the_terminal());
    // One that cannot be caught ends the program as it always did.
    let mut signals: Vec<Signal> = kinds.filter_map(|kind| signal(kind).ok()).collect();
    poll_fn(|context| match signals.iter_mut().any(|signal| signal.poll_recv(context).is_ready()) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
}

/// Whether `nohup` has started it, which ignores SIGHUP. Catching the signal would end that.
fn outlives_the_terminal() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    ignored.is_some_and(|signals| signals & 1 << (SignalKind::hangup().as_raw_value() - 1) != 0)
}

impl Progress {
    pub(crate) fn of_items(total: usize) -> Self {
        Self::new(total as u64, Unit::Items, "{bar:30} {pos}/{len} [{elapsed}, {eta} left] {wide_msg}")
    }

    pub(crate) fn of_bytes(total: u64) -> Self {
        Self::new(total, Unit::Bytes, "{bar:30} {bytes}/{total_bytes} [{elapsed}, {eta} left] {wide_msg}")
    }

    fn new(total: u64, unit: Unit, template: &str) -> Self {
        // Does not draw at all when standard error is no terminal.
        let bar = ProgressBar::new(total);
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.tick();
        Self { bar, unit, printed_at: Cell::new(Instant::now()) }
    }

    /// So much is done, and this is what has come of it.
    pub(crate) fn update(&self, done: u64, result: &impl fmt::Display) {
        self.bar.set_message(result.to_string());
        self.bar.set_position(done);
        if self.bar.is_hidden() && self.printed_at.get().elapsed() >= LINE_EVERY {
            self.printed_at.set(Instant::now());
            let total = self.bar.length().unwrap_or_default();
            match self.unit {
                Unit::Items => note!("{done} of {total}: {result}"),
                Unit::Bytes => note!("{} of {}: {result}", HumanBytes(done), HumanBytes(total)),
            }
        }
    }

    /// A line above the bar.
    pub(crate) fn print_above(&self, line: &str) {
        self.bar.suspend(|| note!("{line}"));
    }

    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
    }
}
