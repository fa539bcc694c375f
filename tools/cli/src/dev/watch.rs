//! `bridge dev` while it stays up: redrive every few seconds, and what waits for it.

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

/// EventBridge's stand-in runs oftener than EventBridge, so that a retry is seen soon after it is due.
pub(super) const REDRIVE_EVERY: Duration = Duration::from_secs(5);

/// How often the table is looked at. An event that is delivered at its first attempt is seen at most once.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Of more changes than this at a time, as after an outage, only the number is told.
const TOLD_AT_ONCE: usize = 20;

/// The pending events that were seen, by key.
#[derive(Default)]
struct PendingEvents(BTreeMap<String, PendingEvent>);

struct PendingEvent {
    next_attempt_at: u64,
    /// What waits is told when it is seen for the second time: what is being worked on changes before that.
    told: bool,
    /// It was told at some time, so its end must be, too.
    known: bool,
}

/// Goes on until it is dropped, unless the table cannot be read.
pub(super) async fn watch(stack: &Stack) -> Result<(), OperatorError> {
    tokio::select! {
        () = redrive(stack) => Ok(()),
        failed = look(stack) => failed,
    }
}

/// One line per run that did something.
async fn redrive(stack: &Stack) {
    loop {
        sleep(REDRIVE_EVERY).await;
        // Somebody at the page sees how it is without it.
        if stack.function(REDRIVE).is_none_or(|redrive| !redrive.is_on()) {
            continue;
        }
        match stack.redrive(json!({})).await {
            Ok(counts) => {
                if let Some(line) = summary(&counts) {
                    println!("{line}");
                }
            }
            Err(error) => println!("redrive failed: {}", with_causes(&error)),
        }
    }
}

/// What a run did; `None` when that is nothing.
pub(super) fn summary(counts: &Value) -> Option<String> {
    let counts = Counts::deserialize(counts).unwrap_or_default();
    let said = [
        (counts.delivered, "delivered"),
        (counts.retried, "to be tried again"),
        (counts.dead, "dead"),
        (counts.troubled, "not readable or not writable"),
    ];
    let did: Vec<_> =
        said.into_iter().filter(|(count, _)| *count > 0).map(|(count, words)| format!("{count} {words}")).collect();
    (!did.is_empty()).then(|| format!("redrive: {} due: {}", counts.found, did.join(", ")))
}

/// One line when an event begins to wait, when it waits for something else, and when it waits no longer.
async fn look(stack: &Stack) -> Result<(), OperatorError> {
    let mut watched = PendingEvents::default();
    loop {
        let pending = stack.dynamodb.pending().map_err(|error| {
            OperatorError::outside(with_causes(&error), "report this as a bug: the embedded table must be readable")
        })?;
        let changed = watched.changes(pending);
        for pk in changed.iter().take(TOLD_AT_ONCE) {
            if let Some(item) = stack.dynamodb.item(pk) {
                println!("{pk} {}", line(&item, Clock::system().now().seconds().0));
            }
        }
        if changed.len() > TOLD_AT_ONCE {
            println!("... and {} more events", changed.len() - TOLD_AT_ONCE);
        }
        sleep(LOOK_EVERY).await;
    }
}

impl PendingEvents {
    /// Takes note of what is pending now; returns the keys of which there is something to tell.
    fn changes(&mut self, pending: Vec<(String, u64)>) -> Vec<String> {
        let mut changed = Vec::new();
        let mut before = std::mem::take(&mut self.0);
        for (pk, next_attempt_at) in pending {
            let seen = before.remove(&pk);
            let as_before = seen.as_ref().is_some_and(|seen| seen.next_attempt_at == next_attempt_at);
            if as_before && seen.as_ref().is_some_and(|seen| !seen.told) {
                changed.push(pk.clone());
            }
            let known = as_before || seen.is_some_and(|seen| seen.known);
            self.0.insert(pk, PendingEvent { next_attempt_at, told: as_before, known });
        }
        // What was seen only once was on its way through.
        changed.extend(before.into_iter().filter(|(_, seen)| seen.known).map(|(pk, _)| pk));
        changed
    }
}

/// What there is to say of an event now.
fn line(item: &Value, now_s: u64) -> String {
    let text = |name: &str| item.get(name).and_then(Value::as_str);
    let state = text("state").unwrap_or("of no known state");
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
        None => format!("pending: an attempt was begun and has no outcome yet; next attempt {wait}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(item: &Value, expected: &str) {
        assert_eq!(line(item, 1000), expected);
    }

    #[test]
    fn an_event_is_told_with_what_it_waits_for() {
        check(
            &json!({ "state": "pending", "last_error": "server_error 500", "next_attempt_at": 1042 }),
            "pending: server_error 500; next attempt in 42 s",
        );
        check(
            &json!({ "state": "pending", "last_error": "timeout", "next_attempt_at": 999 }),
            "pending: timeout; next attempt is due",
        );
        check(
            &json!({ "state": "pending", "next_attempt_at": 1060 }),
            "pending: an attempt was begun and has no outcome yet; next attempt in 60 s",
        );
        check(&json!({ "state": "delivered" }), "delivered");
        check(&json!({ "state": "dead", "last_error": "refused 422" }), "dead: refused 422");
    }

    #[test]
    fn what_waits_is_told_once_per_change_and_what_passes_through_is_not() {
        let mut watched = PendingEvents::default();
        let mut look = |pending: &[(&str, u64)]| {
            watched.changes(pending.iter().map(|(pk, at)| ((*pk).to_owned(), *at)).collect()).join(" ")
        };
        assert_eq!(look(&[("a", 60), ("b", 60)]), "");
        assert_eq!(look(&[("a", 60)]), "a");
        assert_eq!(look(&[("a", 60)]), "");
        assert_eq!(look(&[("a", 90)]), "");
        assert_eq!(look(&[("a", 90)]), "a");
        assert_eq!(look(&[("a", 99)]), "");
        assert_eq!(look(&[]), "a");
        assert_eq!(look(&[]), "");
    }

    #[test]
    fn a_run_is_told_only_if_it_did_something() {
        assert_eq!(summary(&json!({ "found": 0, "delivered": 0, "complete": true })), None);
        assert_eq!(summary(&json!({ "found": 3, "held_back": 3 })), None);
        let counts = json!({ "found": 3, "delivered": 2, "retried": 1, "dead": 0 });
        assert_eq!(summary(&counts).as_deref(), Some("redrive: 3 due: 2 delivered, 1 to be tried again"));
    }
}
