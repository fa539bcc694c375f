//! Another try for events: the function makes it.

use shared::redrive::contract::Counts;

use crate::OperatorError;
use crate::events::run::Tally;
use crate::redrive_function::RedriveFunction;
use crate::words::summary;

/// Has the function try these events again.
///
/// # Errors
/// It cannot be called, or its answer is not that of a redrive function.
pub async fn redrive(function: &RedriveFunction, keys: Vec<String>) -> Result<Counts, OperatorError> {
    let answer = function.invoke(serde_json::json!({ "keys": keys }).to_string()).await?;
    serde_json::from_slice(&answer).map_err(|_| {
        OperatorError::outside(
            "The function's answer cannot be parsed",
            "check that `--function` names the redrive function",
        )
    })
}

impl Tally for Counts {
    fn summary(&self) -> String {
        summary(&[
            (self.delivered, "delivered"),
            (self.retried, "failed and scheduled again"),
            (self.dead, "dead"),
            (self.lost, "taken by another attempt"),
            (self.held_back, "held back (workflow paused, or failing too often)"),
            (self.nothing_to_do, "with nothing to deliver"),
            (self.troubled, "not readable or writable"),
        ])
    }

    fn unprocessed(&self, done: usize) -> usize {
        let Self { delivered, retried, dead, lost, held_back, nothing_to_do, .. } = self;
        done.saturating_sub((delivered + retried + dead + lost + held_back + nothing_to_do) as usize)
    }
}

#[cfg(test)]
mod tests;
