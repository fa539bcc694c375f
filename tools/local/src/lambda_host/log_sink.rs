//! The log lines of functions: kept for tests, and passed on as they arrive.

use std::collections::VecDeque;
use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::records::Timeout;

/// Collects the newest lines of one or more functions. Clones share them.
#[derive(Clone)]
pub struct LogSink(Arc<Sink>);

struct Sink {
    newest: watch::Sender<VecDeque<String>>,
    pass_on: Option<Box<PassOn>>,
}

type PassOn = dyn Fn(&str) + Send + Sync;

impl Default for LogSink {
    fn default() -> Self {
        Self::with(None)
    }
}

impl LogSink {
    /// Also calls this with every line, from the thread that reads it.
    pub fn passing_on(each_line: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self::with(Some(Box::new(each_line)))
    }

    /// Also appends every line to a file.
    ///
    /// # Errors
    /// The file cannot be opened for writing.
    pub fn to_file(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self::passing_on(move |line| {
            // One write per line: several functions may share the file. A full disk must not stop them.
            let _ = (&file).write_all(format!("{line}\n").as_bytes());
        }))
    }

    /// The newest lines, oldest of them first; at most 10,000 are kept.
    pub fn lines(&self) -> Vec<String> {
        self.0.newest.borrow().iter().cloned().collect()
    }

    pub fn contains(&self, text: &str) -> bool {
        self.0.newest.borrow().iter().any(|line| line.contains(text))
    }

    /// Forgets the lines so far.
    pub fn clear(&self) {
        self.0.newest.send_modify(VecDeque::clear);
    }

    /// Returns once a line contains `text`.
    ///
    /// # Errors
    /// None did within `bound`.
    pub async fn wait_for(&self, text: &str, bound: Duration) -> Result<(), Timeout> {
        self.wait_until(|lines| lines.iter().any(|line| line.contains(text)), bound).await
    }

    /// Returns once `reached` is true of the newest lines: a line arrives here a moment after it is written.
    ///
    /// # Errors
    /// It did not within `bound`.
    pub async fn wait_until(
        &self,
        reached: impl Fn(&VecDeque<String>) -> bool,
        bound: Duration,
    ) -> Result<(), Timeout> {
        let mut changes = self.0.newest.subscribe();
        let reached = changes.wait_for(|lines| reached(lines));
        match tokio::time::timeout(bound, reached).await {
            Ok(_) => Ok(()),
            Err(_) => Err(Timeout { bound }),
        }
    }

    pub(super) fn push(&self, line: String) {
        if let Some(pass_on) = &self.0.pass_on {
            pass_on(&line);
        }
        self.0.newest.send_modify(|lines| {
            if lines.len() == KEPT_LINES {
                lines.pop_front();
            }
            lines.push_back(line);
        });
    }

    fn with(pass_on: Option<Box<PassOn>>) -> Self {
        Self(Arc::new(Sink { newest: watch::Sender::default(), pass_on }))
    }
}

impl fmt::Debug for LogSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogSink").finish_non_exhaustive()
    }
}

const KEPT_LINES: usize = 10_000;
