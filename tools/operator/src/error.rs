//! Why an operator did not get what they asked for, and what helps.

use std::fmt;

/// What is wrong, in one sentence, and what to do about it.
#[derive(Debug)]
pub struct OperatorError {
    kind: ErrorKind,
    problem: String,
    hint: String,
}

/// Who has to do something.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ErrorKind {
    /// The person who asked: a value or a file is not usable.
    Usage,
    /// It was examined and is not good: a delivery, a routes file, an event that did not end as it should.
    Refused,
    /// An outside system, or this machine, did not do its part.
    Outside,
}

impl OperatorError {
    pub fn usage(problem: impl fmt::Display, hint: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Usage, &problem, &hint)
    }

    pub fn refused(problem: impl fmt::Display, hint: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Refused, &problem, &hint)
    }

    pub fn outside(problem: impl fmt::Display, hint: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Outside, &problem, &hint)
    }

    fn new(kind: ErrorKind, problem: &dyn fmt::Display, hint: &dyn fmt::Display) -> Self {
        Self { kind, problem: problem.to_string(), hint: hint.to_string() }
    }

    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    pub fn problem(&self) -> &str {
        &self.problem
    }

    pub fn hint(&self) -> &str {
        &self.hint
    }
}

/// Both lines, as a terminal shows them.
impl fmt::Display for OperatorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}\nhint: {}", self.problem, self.hint)
    }
}

/// An error and its causes on one line; library errors keep the telling part in the cause.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// What helps when AWS does not answer, or does not accept who asks.
pub(crate) fn reach_hint(reason: &str) -> &'static str {
    match reason {
        "UnrecognizedClientException"
        | "ExpiredTokenException"
        | "InvalidSignatureException"
        | "ExpiredToken"
        | "InvalidClientTokenId"
        | "SignatureDoesNotMatch" => "AWS rejected the credentials: log in again, or pass another `--profile`",
        _ => "try again; check that AWS is reachable and the region is right",
    }
}
