//! What redrive is asked for, and what it answers: the function's input and output.

use serde::{Deserialize, Serialize};

/// What the schedule or an operator asks for: `{}`, `{"shards": [0, 1]}` or `{"keys": ["{provider}#{event id}"]}`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Request {
    /// Which parts of the pending events, so that several schedules can share the work; all unless said.
    pub shards: Option<Vec<u8>>,
    /// These events now, whatever their state.
    pub keys: Option<Vec<String>>,
}

/// What a run came to, in events.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Counts {
    /// Were due, or were asked for.
    pub found: u32,
    pub delivered: u32,
    /// Failed, and are planned again.
    pub retried: u32,
    pub dead: u32,
    /// Were taken by somebody else, or settled meanwhile.
    pub lost: u32,
    /// Left as they were: their destinations are paused, or fail too often in this run.
    pub held_back: u32,
    /// Left as they were: there is nothing to deliver, or no such event.
    pub nothing_to_do: u32,
    /// The table did not answer, or an item did not read.
    pub troubled: u32,
    /// False when time ran out before everything due was looked at.
    pub complete: bool,
}
