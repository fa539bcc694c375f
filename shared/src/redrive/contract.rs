//! The redrive function's input and output.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

use crate::record::event::PENDING_PARTS;

/// The request of the schedule or an operator: `{}`, `{"share": [0, 4]}` or `{"keys": ["{provider}#{event id}"]}`.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Fields")]
pub enum Request {
    /// What is due in these parts of the index.
    Due(Share),
    /// These events now, whatever their state.
    Keys(Vec<String>),
}

/// What one of several schedules has to do: the parts of the index whose number modulo `of` is `number`. Share 0 measures the
/// backlog of all parts.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(try_from = "[u8; 2]")]
pub struct Share {
    number: u8,
    of: u8,
}

/// Why a request is refused. It is never taken for all work or for none.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RequestError {
    #[error(
        "no share [{number}, {of}]; hint: the second number is how many shares there are, 1 to 64, the first one which of them, from 0"
    )]
    NoSuchShare { number: u8, of: u8 },
    #[error("both `share` and `keys`; hint: a schedule names its share, a person names keys")]
    ShareAndKeys,
}

/// The request as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    share: Option<Share>,
    keys: Option<Vec<String>>,
}

/// The result of a run, or the sum of several, in events. Counts that another version of the function omits read as zero.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Counts {
    /// Due, or asked for.
    pub found: u32,
    pub delivered: u32,
    /// Failed, with a retry planned.
    pub retried: u32,
    pub dead: u32,
    /// Taken over by another deliverer, or settled meanwhile.
    pub lost: u32,
    /// Unchanged: their destinations are paused, or failed too often in this run.
    pub held_back: u32,
    /// Unchanged: nothing to deliver, or no such event.
    pub nothing_to_do: u32,
    /// The table did not answer, or an item is malformed.
    pub troubled: u32,
    /// False when time ran out before all due events were processed.
    pub complete: bool,
}

impl TryFrom<Fields> for Request {
    type Error = RequestError;

    fn try_from(fields: Fields) -> Result<Self, RequestError> {
        match fields {
            Fields { share, keys: None } => Ok(Self::Due(share.unwrap_or(Share::ALL))),
            Fields { share: None, keys: Some(keys) } => Ok(Self::Keys(keys)),
            Fields { share: Some(_), keys: Some(_) } => Err(RequestError::ShareAndKeys),
        }
    }
}

impl TryFrom<[u8; 2]> for Share {
    type Error = RequestError;

    fn try_from([number, of]: [u8; 2]) -> Result<Self, RequestError> {
        match number < of && of <= PENDING_PARTS {
            true => Ok(Self { number, of }),
            false => Err(RequestError::NoSuchShare { number, of }),
        }
    }
}

impl Share {
    /// All parts.
    pub const ALL: Self = Self { number: 0, of: 1 };

    pub fn number(self) -> u8 {
        self.number
    }

    /// Whether it counts what waits in all parts.
    pub fn measures(self) -> bool {
        self.number == 0
    }

    /// The numbers of its parts.
    pub fn parts(self) -> impl Iterator<Item = u8> {
        (self.number..PENDING_PARTS).step_by(usize::from(self.of))
    }
}

/// The counts of no run, which left nothing.
impl Default for Counts {
    fn default() -> Self {
        Self {
            found: 0,
            delivered: 0,
            retried: 0,
            dead: 0,
            lost: 0,
            held_back: 0,
            nothing_to_do: 0,
            troubled: 0,
            complete: true,
        }
    }
}

impl Counts {
    /// Counts events that were found and left unchanged.
    pub fn hold_back(&mut self, events: u32) {
        self.found += events;
        self.held_back += events;
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, more: Self) {
        let Self { found, delivered, retried, dead, lost, held_back, nothing_to_do, troubled, complete } = more;
        self.found += found;
        self.delivered += delivered;
        self.retried += retried;
        self.dead += dead;
        self.lost += lost;
        self.held_back += held_back;
        self.nothing_to_do += nothing_to_do;
        self.troubled += troubled;
        self.complete &= complete;
    }
}

#[cfg(test)]
mod tests;
