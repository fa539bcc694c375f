//! How a verb fails: what was wrong, what helps, and the exit code.

use std::fmt;
use std::process::ExitCode;

/// Printed as two lines, `error:` and `hint:`.
#[derive(Debug)]
pub(crate) struct Failure {
    kind: Kind,
    problem: String,
    hint: String,
}

/// The exit codes of the public contract; 0 is success, and 1 a bug (a panic).
#[derive(Clone, Copy, Debug)]
enum Kind {
    Usage = 2,
    Refused = 3,
    Outside = 4,
}

impl Failure {
    /// Something on the command line, or in a file that it names, is not usable.
    pub(crate) fn usage(problem: impl fmt::Display, hint: impl fmt::Display) -> Self {
        Self::new(Kind::Usage, &problem, &hint)
    }

    /// It was looked at and is not good: a delivery, a routes file, an event that did not end as it should.
    pub(crate) fn refused(problem: impl fmt::Display, hint: impl fmt::Display) -> Self {
        Self::new(Kind::Refused, &problem, &hint)
    }

    /// An outside system, or this machine, did not do its part.
    pub(crate) fn outside(problem: impl fmt::Display, hint: impl fmt::Display) -> Self {
        Self::new(Kind::Outside, &problem, &hint)
    }

    fn new(kind: Kind, problem: &dyn fmt::Display, hint: &dyn fmt::Display) -> Self {
        Self { kind, problem: problem.to_string(), hint: hint.to_string() }
    }

    pub(crate) fn problem(&self) -> &str {
        &self.problem
    }

    pub(crate) fn hint(&self) -> &str {
        &self.hint
    }

    /// Whether somebody else than whoever asked has to do something.
    pub(crate) fn is_outside(&self) -> bool {
        matches!(self.kind, Kind::Outside)
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.kind as u8)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}\nhint: {}", self.problem, self.hint)
    }
}

/// An error and its causes on one line; library errors keep the telling part in the cause.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
