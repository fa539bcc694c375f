//! `bridge dev` while it keeps running: redrive every few seconds, and the events that wait for it.

use std::collections::BTreeMap;
use std::time::Duration;

use local::stack::{REDRIVE, Stack};
use operator::OperatorError;
use operator::error::with_causes;
use serde::Deserialize;
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::redrive::contract::Counts;
use tokio::time::sleep;

use crate::terminal::out;

/// More often than EventBridge in AWS, so that a retry is seen soon after it is due.
pub(super) const REDRIVE_EVERY: Duration = Duration::from_secs(5);

/// How often the table is read. An event that is delivered at its first attempt is seen at most once.
const READ_EVERY: Duration = Duration::from_millis(500);

/// Of more changes than this at a time, as after an outage, only the number is printed.
const PRINTED_AT_ONCE: usize = 20;

/// The pending events at the last reading, by key.
#[derive(Default)]
struct Snapshot(BTreeMap<String, PendingEvent>);

struct PendingEvent {
    next_attempt_at: u64,
    /// Printed when it is seen for the second time: an event that is being worked on changes before that.
    printed: bool,
    /// It was printed at some time, so its end is printed, too.
    known: bool,
}

/// Runs until it is dropped, unless the table cannot be read.
pub(super) async fn watch(stack: &Stack) -> Result<(), OperatorError> {
    tokio::select! {
        () = redrive(stack) => Ok(()),
        failed = print_changes(stack) => failed,
    }
}

/// One line per run that did something.
async fn redrive(stack: &Stack) {
    loop {
        sleep(REDRIVE_EVERY).await;
        // A person has stopped it on the page.
        if stack.function(REDRIVE).is_none_or(|redrive| !redrive.is_on()) {
            continue;
        }
        match stack.redrive(json!({})).await {
            Ok(counts) => {
                if let Some(line) = summary(&counts) {
                    out!("{line}");
                }
            }
            Err(error) => out!("redrive failed: {}", with_causes(&error)),
        }
    }
}

/// What a run of redrive did; `None` if nothing.
pub(super) fn summary(counts: &Value) -> Option<String> {
    let counts = Counts::deserialize(counts).unwrap_or_default();
    let all = [
        (counts.delivered, "delivered"),
        (counts.retried, "will be retried"),
        (counts.dead, "dead"),
        (counts.troubled, "cannot be read or written"),
    ];
    let did: Vec<_> =
        all.into_iter().filter(|(count, _)| *count > 0).map(|(count, words)| format!("{count} {words}")).collect();
    (!did.is_empty()).then(|| format!("redrive: {} due: {}", counts.found, did.join(", ")))
}

/// Prints a line when an event starts to wait, when it waits for something else, and when it no longer waits.
async fn print_changes(stack: &Stack) -> Result<(), OperatorError> {
    let mut snapshot = Snapshot::default();
    loop {
        let pending = stack.dynamodb.pending().map_err(|error| {
            OperatorError::outside(with_causes(&error), "the embedded table must be readable: report this as a bug")
        })?;
        let changed = snapshot.changes(pending);
        for pk in changed.iter().take(PRINTED_AT_ONCE) {
            if let Some(item) = stack.dynamodb.item(pk) {
                out!("{pk} {}", line(&item, Clock::system().now().seconds().0));
            }
        }
        if changed.len() > PRINTED_AT_ONCE {
            out!("... and {} more events", changed.len() - PRINTED_AT_ONCE);
        }
        sleep(READ_EVERY).await;
    }
}

impl Snapshot {
    /// Takes what is pending now; returns the keys of the events to print.
    fn changes(&mut self, pending: Vec<(String, u64)>) -> Vec<String> {
        let mut changed = Vec::new();
        let mut before = std::mem::take(&mut self.0);
        for (pk, next_attempt_at) in pending {
            let seen = before.remove(&pk);
            let as_before = seen.as_ref().is_some_and(|seen| seen.next_attempt_at == next_attempt_at);
            if as_before && seen.as_ref().is_some_and(|seen| !seen.printed) {
                changed.push(pk.clone());
            }
            let known = as_before || seen.is_some_and(|seen| seen.known);
            self.0.insert(pk, PendingEvent { next_attempt_at, printed: as_before, known });
        }
        // An event that was seen only once was delivered at its first attempt.
        changed.extend(before.into_iter().filter(|(_, seen)| seen.known).map(|(pk, _)| pk));
        changed
    }
}

/// The state of an event in words.
fn line(item: &Value, now_s: u64) -> String {
    let text = |name: &str| item.get(name).and_then(Value::as_str);
    let state = text("state").unwrap_or("unknown state");
    if state != "pending" {
        return match text("last_error") {
            Some(error) => format!("{state}: {error}"),
            None => state.to_owned(),
        };
    }
    let wait = match item.get("next_attempt_at").and_then(Value::as_u64).unwrap_or_default().saturating_sub(now_s) {
        0 => "is due".to_owned(),
        seconds => format!("in {seconds} s"),
    };
    match text("last_error") {
        Some(error) => format!("pending: {error}; next attempt {wait}"),
        None => format!("pending: an attempt has started and has no outcome yet; next attempt {wait}"),
    }
}

#[cfg(test)]
mod tests;
