//! How far a long run is: a bar on a terminal, else a line now and then. On standard error, both.

use std::cell::Cell;
use std::fmt;
use std::time::Duration;

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use tokio::time::Instant;

pub(crate) struct Progress {
    bar: ProgressBar,
    unit: Unit,
    told_at: Cell<Instant>,
}

#[derive(Clone, Copy)]
enum Unit {
    Items,
    Bytes,
}

/// Between two plain lines.
const TELL_EVERY: Duration = Duration::from_secs(5);

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
        Self { bar, unit, told_at: Cell::new(Instant::now()) }
    }

    /// So much is done, and this is what has come of it.
    pub(crate) fn tell(&self, done: u64, come_of_it: &impl fmt::Display) {
        self.bar.set_message(come_of_it.to_string());
        self.bar.set_position(done);
        if self.bar.is_hidden() && self.told_at.get().elapsed() >= TELL_EVERY {
            self.told_at.set(Instant::now());
            let total = self.bar.length().unwrap_or_default();
            match self.unit {
                Unit::Items => eprintln!("{done} of {total}: {come_of_it}"),
                Unit::Bytes => eprintln!("{} of {}: {come_of_it}", HumanBytes(done), HumanBytes(total)),
            }
        }
    }

    /// A line above the bar.
    pub(crate) fn say(&self, line: &str) {
        self.bar.suspend(|| eprintln!("{line}"));
    }

    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
    }
}
