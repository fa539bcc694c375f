//! One check and its result, as a person and `--json` read it.

#[cfg(test)]
use std::fmt;

use serde::Serialize;

#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Line {
    pub verdict: Verdict,
    pub check: String,
    pub says: String,
    /// What to do; `None` if the verdict is `ok`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Ok,
    /// It works, and a person should look.
    Warn,
    /// Events do not get through, or soon will not.
    Fail,
}

impl Line {
    pub(super) fn ok(check: impl Into<String>, says: impl Into<String>) -> Self {
        Self { verdict: Verdict::Ok, check: check.into(), says: says.into(), hint: None }
    }

    pub(super) fn warn(check: impl Into<String>, says: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { verdict: Verdict::Warn, check: check.into(), says: says.into(), hint: Some(hint.into()) }
    }

    pub(super) fn fail(check: impl Into<String>, says: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { verdict: Verdict::Fail, check: check.into(), says: says.into(), hint: Some(hint.into()) }
    }
}

impl Verdict {
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// `fail  due-index: ...`, with what to do on a line of its own.
#[cfg(test)]
impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<4}  {}: {}", self.verdict.name(), self.check, self.says)?;
        match &self.hint {
            Some(hint) => write!(f, "\n      → {hint}"),
            None => Ok(()),
        }
    }
}

/// The hint for a call that AWS denies.
pub(super) fn requires(actions: &[&str], resource: &str) -> String {
    let word = if actions.len() == 1 { "permission" } else { "permissions" };
    let actions: Vec<String> = actions.iter().map(|action| format!("`{action}`")).collect();
    format!("Requires {word} {} on {resource}", actions.join(", "))
}
