//! The redrive function's input and output.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// The request of the schedule or an operator: `{}`, `{"shards": [0, 1]}` or `{"keys": ["{provider}#{event id}"]}`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Request {
    /// Which parts of the pending events, so that several schedules can share the work; all by default. Who has part 0
    /// measures the backlog of all.
    pub shards: Option<Vec<u8>>,
    /// These events now, whatever their state.
    pub keys: Option<Vec<String>>,
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
