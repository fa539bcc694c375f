//! What became of the events that went through the storm, from what the table and Returning.AI's stand-in hold.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use local::aws::Strike;
use local::returning_ai::{Fault, Message};
use local::stack::FUNCTIONS;
use serde_json::Value;

use super::{Interruption, Outgoing};

/// What is known once everything is settled.
pub(super) struct Evidence<'e> {
    pub(super) items: Vec<Value>,
    /// All calls to Returning.AI, accepted or not, in order.
    pub(super) calls: Vec<Message>,
    pub(super) interruptions: &'e [Interruption],
    pub(super) strikes: Vec<Strike>,
}

/// The result, in events unless it says otherwise; lists are of events' keys.
#[derive(Debug, Default)]
pub(super) struct Tally {
    sent: usize,
    acknowledged: usize,
    /// Of these, those that had to be sent again for it.
    acknowledged_late: usize,
    delivered: usize,
    /// Refused for good.
    dead: usize,
    /// Acknowledged, and neither delivered nor dead, with what the table says instead.
    lost: Vec<(String, String)>,
    /// Not acknowledged, although everything works.
    refused: Vec<String>,
    /// Deliveries of a route with `once_per` that another event of the customer's had used.
    skipped: usize,
    /// Route and customer that should have had one event at most, and had several.
    not_once: BTreeSet<String>,
    /// Some message has another key, another `occurredAt` or anything else that differs from the others of its delivery.
    inconsistent: BTreeSet<String>,
    messages: usize,
    calls: usize,
    /// Messages beyond the first of their key, by what made us send another.
    duplicates: BTreeMap<Why, usize>,
    unexplained: Vec<String>,
}

/// What fell between Returning.AI's answer and our settling.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Why {
    /// Its answer did not come through, or not whole.
    Answer,
    /// The process was killed.
    Killed,
    /// The settling write met a fault.
    Settling,
}

/// A signal takes its time, and what is on the wire arrives after the death of its sender.
const SLACK: Duration = Duration::from_secs(1);

impl Tally {
    pub(super) fn of(events: &[Outgoing], evidence: &Evidence<'_>) -> Self {
        let items: BTreeMap<&str, &Value> =
            evidence.items.iter().filter_map(|item| Some((item.get("pk")?.as_str()?, item))).collect();
        let mut by_key: BTreeMap<&str, Vec<&Message>> = BTreeMap::new();
        for call in &evidence.calls {
            by_key.entry(idempotency_key(call)).or_default().push(call);
        }

        let once: BTreeSet<&str> =
            events.iter().flat_map(|event| &event.sample.expected.skips).map(String::as_str).collect();
        let mut winners: BTreeMap<String, &str> = BTreeMap::new();

        let mut tally = Self { sent: events.len(), calls: evidence.calls.len(), ..Self::default() };
        for event in events {
            let item = items.get(event.pk.as_str()).copied();
            let (mut arrived, mut dead) = (true, false);
            let expected = &event.sample.expected;
            for route in expected.delivers.keys().chain(&expected.skips) {
                let key = format!("{}/{route}", event.pk.replacen('#', ":", 1));
                let calls = by_key.remove(key.as_str()).unwrap_or_default();
                tally.look_at_messages(&event.pk, &calls, evidence);
                let state = item.map_or(&Value::Null, |item| &item["deliveries"][route]["state"]);
                if once.contains(route.as_str()) && calls.is_empty() && state == "skipped" {
                    tally.skipped += 1;
                    continue;
                }
                arrived &= calls.iter().any(|call| call.accepted);
                dead |= state == "dead";
                if once.contains(route.as_str())
                    && let Some(call) = calls.first()
                {
                    let customer = call.body.get("customerId").and_then(Value::as_str).unwrap_or_default();
                    let of_customer = format!("{route} of {customer}");
                    if winners.insert(of_customer.clone(), &event.pk).is_some() {
                        tally.not_once.insert(of_customer);
                    }
                }
            }
            if !event.acknowledged {
                tally.refused.push(event.pk.clone());
                continue;
            }
            tally.acknowledged += 1;
            tally.acknowledged_late += usize::from(event.times_sent > 1);
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
    fn look_at_messages(&mut self, pk: &str, calls: &[&Message], evidence: &Evidence<'_>) {
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

    pub(super) fn print(&self, evidence: &Evidence<'_>, took: Duration) {
        let line = |name: &str, count: usize, remark: &str| println!("{name:<14}{count:>7}  {remark}");
        let killed = |function: &str| evidence.interruptions.iter().filter(|one| one.function == function).count();
        let by_function: Vec<_> = FUNCTIONS.iter().map(|name| format!("{} {name}", killed(name))).collect();
        let why = |why: Why| self.duplicates.get(&why).copied().unwrap_or_default();
        let explained: usize = self.duplicates.values().sum();
        let explained_by = format!(
            "{} answer spoiled, {} process killed, {} outcome not written, {} unexplained",
            why(Why::Answer),
            why(Why::Killed),
            why(Why::Settling),
            self.unexplained.len(),
        );
        println!();
        line("acknowledged", self.acknowledged, &format!("of {}; {} not at once", self.sent, self.acknowledged_late));
        line("delivered", self.delivered, "");
        line("dead", self.dead, "refused for good");
        line("skipped", self.skipped, "deliveries whose customer has had one by this route");
        line("lost", self.lost.len(), "");
        line("messages", self.messages, &format!("accepted by Returning.AI, in {} calls", self.calls));
        line("duplicates", explained + self.unexplained.len(), &explained_by);
        line(
            "inconsistent",
            self.inconsistent.len(),
            "idempotency key, occurredAt and all else the same on every call",
        );
        line("killed", evidence.interruptions.len(), &by_function.join(", "));
        line("table faults", evidence.strikes.len(), &format!("in {:.0} s", took.as_secs_f64()));
        for (pk, described) in &self.lost {
            println!("✗ lost: {pk}: {described}");
        }
        for (what, pks) in [("not acknowledged", &self.refused), ("sent again without need", &self.unexplained)] {
            for pk in pks {
                println!("✗ {what}: {pk}");
            }
        }
        for pk in &self.inconsistent {
            println!("✗ inconsistent: {pk}");
        }
        for of_customer in &self.not_once {
            println!("✗ not once: {of_customer}");
        }
    }

    /// # Errors
    /// What is wrong, with the events' keys.
    pub(super) fn verdict(&self) -> Result<(), String> {
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
    fn why_again(&self, pk: &str, message: &Message, again: &Message) -> Option<Why> {
        let accepted_at = message.received_at;
        if matches!(message.fault, Some(Fault::ResetAfterAccept | Fault::GarbageBody)) {
            return Some(Why::Answer);
        }
        let killed = |one: &Interruption| {
            let fits = one.pk.as_deref().is_none_or(|its| its == pk);
            fits && one.since <= accepted_at && accepted_at <= one.at + SLACK
        };
        if self.interruptions.iter().any(killed) {
            return Some(Why::Killed);
        }
        let between = |at: SystemTime| accepted_at <= at && at <= again.received_at;
        let struck = self.strikes.iter().any(|strike| between(strike.at) && settles(strike, pk));
        struck.then_some(Why::Settling)
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
