//! The outcomes of the events that went through the storm, from what the table and Returning.AI's stand-in hold.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::event::{Interruption, Outgoing};
use crate::aws::Strike;
use crate::returning_ai::{Fault, Message};

/// What is known once all work is done.
pub(super) struct Evidence<'e> {
    pub(super) items: Vec<Value>,
    /// All calls to Returning.AI, accepted or not, in order.
    pub(super) calls: Vec<Message>,
    pub(super) interruptions: &'e [Interruption],
    pub(super) strikes: Vec<Strike>,
}

/// The result, in events unless it says otherwise; lists are of events' keys.
#[derive(Debug, Default)]
pub struct Tally {
    pub sent: usize,
    pub acknowledged: usize,
    /// Of these, those that had to be sent again for it.
    pub acknowledged_late: usize,
    pub delivered: usize,
    /// Rejected permanently.
    pub dead: usize,
    /// Acknowledged, and neither delivered nor dead, with what the table says instead.
    pub lost: Vec<(String, String)>,
    /// Not acknowledged, although everything works.
    pub refused: Vec<String>,
    /// Deliveries of a route with `once_per` that another event of the customer's had used.
    pub skipped: usize,
    /// Route and customer that should have had one event at most, and had several.
    pub not_once: BTreeSet<String>,
    /// Some message has another key, another `occurredAt` or anything else that differs from the others of its delivery.
    pub inconsistent: BTreeSet<String>,
    pub messages: usize,
    pub calls: usize,
    /// Messages beyond the first of their key, by what made us send another.
    pub duplicates: BTreeMap<Cause, usize>,
    /// Such messages that nothing accounts for.
    pub unexplained: Vec<String>,
    /// Processes killed at work, by function.
    pub killed: BTreeMap<&'static str, usize>,
    /// Calls to DynamoDB that a fault struck.
    pub table_faults: usize,
}

/// What fell between Returning.AI's answer and our settling.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Cause {
    /// Its answer did not come through, or not whole.
    Answer,
    /// The process was killed.
    Killed,
    /// The settling write met a fault.
    Settling,
}

/// A signal takes time, and bytes on the wire arrive after their sender has died.
const SLACK: Duration = Duration::from_secs(1);

impl Tally {
    pub(super) fn of(events: &[Outgoing], once: &BTreeSet<String>, evidence: &Evidence<'_>) -> Self {
        let items: BTreeMap<&str, &Value> =
            evidence.items.iter().filter_map(|item| Some((item.get("pk")?.as_str()?, item))).collect();
        let mut by_key: BTreeMap<&str, Vec<&Message>> = BTreeMap::new();
        for call in &evidence.calls {
            by_key.entry(idempotency_key(call)).or_default().push(call);
        }

        let mut winners: BTreeMap<String, &str> = BTreeMap::new();

        let mut tally = Self {
            sent: events.len(),
            calls: evidence.calls.len(),
            table_faults: evidence.strikes.len(),
            ..Self::default()
        };
        for interruption in evidence.interruptions {
            *tally.killed.entry(interruption.function).or_default() += 1;
        }
        for Outgoing { event, times_sent, acknowledged, .. } in events {
            let item = items.get(event.pk.as_str()).copied();
            let (mut arrived, mut dead) = (true, false);
            for route in &event.routes {
                let key = format!("{}/{route}", event.pk.replacen('#', ":", 1));
                let calls = by_key.remove(key.as_str()).unwrap_or_default();
                tally.count_messages(&event.pk, &calls, evidence);
                let state = item.map_or(&Value::Null, |item| &item["deliveries"][route]["state"]);
                if once.contains(route) && calls.is_empty() && state == "skipped" {
                    tally.skipped += 1;
                    continue;
                }
                arrived &= calls.iter().any(|call| call.accepted);
                dead |= state == "dead";
                if once.contains(route)
                    && let Some(call) = calls.first()
                {
                    let customer = call.body.get("customerId").and_then(Value::as_str).unwrap_or_default();
                    let of_customer = format!("{route} of {customer}");
                    if winners.insert(of_customer.clone(), &event.pk).is_some() {
                        tally.not_once.insert(of_customer);
                    }
                }
            }
            if !acknowledged {
                tally.refused.push(event.pk.clone());
                continue;
            }
            tally.acknowledged += 1;
            tally.acknowledged_late += usize::from(*times_sent > 1);
            match (arrived, dead, item.map(|item| &item["state"])) {
                (_, true, _) => tally.dead += 1,
                (true, _, Some(state)) if state == "delivered" => tally.delivered += 1,
                _ => tally.lost.push((event.pk.clone(), described(item, arrived))),
            }
        }
        // Messages of no event that was sent, or of a route that does not want it.
        tally.inconsistent.extend(by_key.into_keys().map(str::to_owned));
        tally
    }

    /// All calls of one delivery, in order.
    fn count_messages(&mut self, pk: &str, calls: &[&Message], evidence: &Evidence<'_>) {
        // The same bytes hold the same idempotency key, the same `occurredAt`, the same everything.
        if calls.iter().any(|call| call.raw != calls[0].raw || call.body["occurredAt"].as_str().is_none()) {
            self.inconsistent.insert(pk.to_owned());
        }
        let accepted: Vec<_> = calls.iter().filter(|call| call.accepted).collect();
        self.messages += accepted.len();
        for pair in accepted.windows(2) {
            match evidence.why_again(pk, pair[0], pair[1]) {
                Some(why) => *self.duplicates.entry(why).or_default() += 1,
                None => self.unexplained.push(pk.to_owned()),
            }
        }
    }

    /// # Errors
    /// The faults that were found, with the keys of their events.
    pub fn verdict(&self) -> Result<(), String> {
        let lost: Vec<_> = self.lost.iter().map(|(pk, _)| pk.as_str()).collect();
        let refused: Vec<_> = self.refused.iter().map(String::as_str).collect();
        let inconsistent: Vec<_> = self.inconsistent.iter().map(String::as_str).collect();
        let not_once = self.not_once.iter().map(String::as_str).collect();
        let problems =
            [("lost", lost), ("not acknowledged", refused), ("inconsistent", inconsistent), ("not once", not_once)];
        let problems: Vec<_> = problems
            .into_iter()
            .filter(|(_, pks)| !pks.is_empty())
            .map(|(what, pks)| format!("{} {what}: {}", pks.len(), pks.join(", ")))
            .collect();
        if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) }
    }
}

impl Evidence<'_> {
    /// Why a message that Returning.AI had accepted was sent `again`.
    fn why_again(&self, pk: &str, message: &Message, again: &Message) -> Option<Cause> {
        let accepted_at = message.received_at;
        if matches!(message.fault, Some(Fault::ResetAfterAccept | Fault::GarbageBody)) {
            return Some(Cause::Answer);
        }
        let killed = |one: &Interruption| {
            let fits = one.pk.as_deref().is_none_or(|its| its == pk);
            fits && one.since <= accepted_at && accepted_at <= one.at + SLACK
        };
        if self.interruptions.iter().any(killed) {
            return Some(Cause::Killed);
        }
        let between = |at: SystemTime| accepted_at <= at && at <= again.received_at;
        let struck = self.strikes.iter().any(|strike| between(strike.at) && settles(strike, pk));
        struck.then_some(Cause::Settling)
    }
}

/// Whether a call is the write that settles an attempt at this event.
fn settles(strike: &Strike, pk: &str) -> bool {
    let call: Value = serde_json::from_slice(&strike.request).unwrap_or_default();
    strike.operation == "UpdateItem"
        && call["Key"]["pk"]["S"] == pk
        && call["UpdateExpression"].as_str().is_some_and(|expression| expression.contains("history"))
}

fn idempotency_key(message: &Message) -> &str {
    message.body.get("idempotencyKey").and_then(Value::as_str).unwrap_or("(a message without idempotencyKey)")
}

/// What a person needs to find out why an event was lost.
fn described(item: Option<&Value>, arrived: bool) -> String {
    let Some(item) = item else {
        return "not in the table".to_owned();
    };
    let words = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let outcomes = item["history"].as_array().into_iter().flatten().map(|attempt| words(&attempt["outcome"]));
    format!(
        "{} after attempt {}, last error {}, outcomes [{}], {}",
        words(&item["state"]),
        item["attempts"],
        words(&item["last_error"]),
        outcomes.collect::<Vec<_>>().join(", "),
        if arrived { "Returning.AI has it" } else { "Returning.AI does not have it" },
    )
}

#[cfg(test)]
mod tests;
