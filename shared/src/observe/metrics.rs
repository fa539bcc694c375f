//! What the functions count and measure (`docs/metrics.md`), and who counts it.
//!
//! CloudWatch takes the figures from lines on standard output in its embedded metric format ([`Meter::write`]). Nothing is
//! sent anywhere, and nothing is formatted before the provider has its answer.

use std::borrow::Cow;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::clock::Clock;
use crate::deliver::attempt::Attempted;
use crate::observe::telemetry;
use crate::receive::receiver::{Answer, Receipt};
use crate::receive::signing_keys::KeyVersion;
use crate::receive::verification::Refusal;
use crate::record::event::{DeliveryState, EventRecord, EventState};
use crate::record::store::Settled;
use crate::redrive::backlog::Backlog;
use crate::redrive::run::Counts;

mod lines;

/// One row of the table. Only this module makes one, so that nothing is emitted that is not in [`ALL`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Metric {
    pub name: &'static str,
    pub unit: Unit,
    pub by: By,
    /// What it is told apart by, besides the sum for the function.
    pub dimension: Option<Dimension>,
    pub meaning: &'static str,
    sealed: Sealed,
}

/// Only in this module.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Sealed;

/// CloudWatch's units, as far as they are used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unit {
    Count,
    Milliseconds,
    Seconds,
}

/// Which functions emit a metric.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum By {
    Receivers,
    Redrive,
    All,
}

/// A dimension besides [`FUNCTION_NAME`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Dimension {
    /// A stable code of `docs/logging.md`.
    Code,
    /// The spelling that a signature is over.
    Form,
}

/// Where CloudWatch keeps them.
pub const NAMESPACE: &str = "Bridge";

/// The dimension that every metric has.
pub const FUNCTION_NAME: &str = "FunctionName";

macro_rules! table {
    ($($id:ident: $name:literal, $unit:ident, $by:ident, $dimension:expr, $meaning:literal;)*) => {
        $(
            #[doc = $meaning]
            pub const $id: Metric = Metric {
                name: $name,
                unit: Unit::$unit,
                by: By::$by,
                dimension: $dimension,
                meaning: $meaning,
                sealed: Sealed,
            };
        )*

        /// Every metric there is.
        pub const ALL: &[Metric] = &[$($id),*];
    };
}

const BY_CODE: Option<Dimension> = Some(Dimension::Code);
const BY_FORM: Option<Dimension> = Some(Dimension::Form);

table! {
    RECEIVED: "Received", Count, Receivers, None, "requests that reached the function";
    REFUSED: "Refused", Count, Receivers, BY_CODE, "of these, answered 400, 401, 404, 405 or 413";
    UNAVAILABLE: "Unavailable", Count, Receivers, BY_CODE, "of these, answered 503: the provider has to send again";
    DUPLICATE: "Duplicate", Count, Receivers, None, "of these, events that were recorded before";
    CONFLICTING_DUPLICATE: "ConflictingDuplicate", Count, Receivers, None,
        "of the duplicates, those with another body than the first";
    IGNORED: "Ignored", Count, Receivers, None, "of these, new events that no route wants";
    UNKNOWN_EVENT_TYPE: "UnknownEventType", Count, Receivers, None,
        "new events whose type no route's `events` names, or whose envelope does not read";
    ACCEPTED_BY_PREVIOUS_KEY: "AcceptedByPreviousKey", Count, Receivers, None,
        "acknowledged events that only the secret's previous version verifies";
    VERIFIED: "Verified", Count, Receivers, BY_FORM, "deliveries whose signature fits";
    ACK_LATENCY: "AckLatency", Milliseconds, Receivers, None, "from the event's arrival in the function to the answer";
    COLD_START: "ColdStart", Count, All, None, "invocations that were the first of their process";
    DELIVERED: "Delivered", Count, All, None, "deliveries to a route's destination that succeeded and were settled so";
    SKIPPED: "Skipped", Count, All, None,
        "deliveries that were left out because the route's `once_per` was used by another event";
    DEAD: "Dead", Count, All, None,
        "deliveries given up for good, and events dead on arrival because their envelope does not read";
    FAILED: "Failed", Count, All, BY_CODE, "attempts at a route that failed, whether another one follows or not";
    DELIVERY_LATENCY: "DeliveryLatency", Milliseconds, All, None, "one attempt at an event, over all its routes";
    AGE_AT_DELIVERY: "AgeAtDelivery", Milliseconds, All, None, "from receipt to delivered, for each route";
    PENDING_EVENTS: "PendingEvents", Count, Redrive, None,
        "events with a delivery still to be made, as the run found them";
    OLDEST_PENDING_AGE: "OldestPendingAge", Seconds, Redrive, None, "time since the receipt of the oldest of these";
    DEAD_EVENTS: "DeadEvents", Count, Redrive, None, "events that need a person, as the run found them";
    REDRIVE_INCOMPLETE: "RedriveIncomplete", Count, Redrive, None,
        "runs that left due events: time ran out, or the table did not do what was asked";
}

/// What one invocation counted and measured.
#[derive(Debug, Default)]
pub struct Measured {
    entries: Vec<Entry>,
    /// Gauges that are lower bounds in this invocation.
    at_least: Vec<&'static str>,
}

#[derive(Debug)]
struct Entry {
    metric: Metric,
    /// The value of the metric's own dimension.
    label: Option<Cow<'static, str>>,
    /// One sum of counts, or each of the durations.
    values: Vec<f64>,
}

/// Writes what was measured.
#[derive(Debug)]
pub struct Meter {
    function_name: String,
    clock: Clock,
    cold: AtomicBool,
    /// Where the lines go.
    to: fn(&str),
}

impl Unit {
    /// As CloudWatch spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Count => "Count",
            Self::Milliseconds => "Milliseconds",
            Self::Seconds => "Seconds",
        }
    }
}

impl Dimension {
    pub fn name(self) -> &'static str {
        match self {
            Self::Code => "Code",
            Self::Form => "Form",
        }
    }
}

impl Meter {
    /// Of the process that runs as `function_name`; the lines go `to` where CloudWatch reads them.
    pub fn new(function_name: String, clock: Clock, to: fn(&str)) -> Self {
        Self { function_name, clock, cold: AtomicBool::new(true), to }
    }

    /// Writes the lines of an invocation, whatever `LOG_LEVEL` says.
    pub fn write(&self, measured: Measured) {
        (self.to)(&self.text(measured));
    }

    /// The same, in one go with the line that `log` logs.
    pub fn write_behind(&self, log: impl FnOnce(), measured: Measured) {
        if let Some(unwritten) = telemetry::in_one_go(self.text(measured), log) {
            (self.to)(&unwritten);
        }
    }

    fn text(&self, mut measured: Measured) -> String {
        if self.cold.swap(false, Ordering::Relaxed) {
            measured.count(COLD_START, 1);
        }
        lines::text(&measured, &self.function_name, self.clock.now(), telemetry::invocation().as_ref())
    }
}

/// Where Lambda takes lines from.
pub fn to_stdout(text: &str) {
    // Nobody is left to be told that standard output is gone.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

impl Measured {
    /// Of one delivery of a provider's. `type_is_known` says whether a route names the event's type.
    pub fn of_delivery(receipt: &Receipt, attempted: Option<&Attempted>, type_is_known: bool) -> Self {
        let mut measured = Self::default();
        measured.count(RECEIVED, 1);
        match receipt.answer {
            Answer::Accepted => {}
            Answer::Duplicate => measured.count(DUPLICATE, 1),
            Answer::Ignored => measured.count(IGNORED, 1),
            Answer::Unavailable => {
                measured.count_by(UNAVAILABLE, receipt.trouble.as_ref().map_or("unknown", |trouble| trouble.code));
            }
            refused => measured.count_by(REFUSED, receipt.refusal.map_or(refused.name(), Refusal::code)),
        }
        if receipt.conflicting {
            measured.count(CONFLICTING_DUPLICATE, 1);
        }
        if let Some(form) = receipt.signed_form {
            measured.count_by(VERIFIED, form);
        }
        if receipt.key_version == Some(KeyVersion::Previous) && receipt.answer.is_acknowledgement() {
            measured.count(ACCEPTED_BY_PREVIOUS_KEY, 1);
        }
        measured.duration(ACK_LATENCY, receipt.ack.as_micros() as f64 / 1000.0);

        let is_new = matches!(receipt.answer, Answer::Accepted | Answer::Ignored);
        let Some(event) = receipt.event.as_ref().filter(|_| is_new) else {
            return measured;
        };
        if !type_is_known {
            measured.count(UNKNOWN_EVENT_TYPE, 1);
        }
        if event.state == EventState::Dead {
            measured.count(DEAD, 1);
        }
        if let Some(Attempted::Made { after, settled }) = attempted {
            // The first attempt is at all routes but those that are paused, and these have no outcome yet.
            let written = matches!(settled, Ok(Settled::Written));
            measured.attempt(event, after, |_| true, written);
        }
        measured
    }

    /// Of one attempt at the event `before`. What was delivered and could not be settled is delivered again, and counts then.
    pub fn attempt(
        &mut self,
        before: &EventRecord,
        after: &EventRecord,
        was_tried: impl Fn(&str) -> bool,
        settled: bool,
    ) {
        if let Some(attempt) = after.history.last() {
            self.duration(DELIVERY_LATENCY, attempt.ms as f64);
        }
        for (route, delivery) in &after.deliveries {
            if let Some(code) = delivery.code.as_deref().filter(|_| was_tried(route)) {
                // Codes are a closed set; the status or pointer behind one is not.
                let code = code.split(' ').next().unwrap_or(code);
                match delivery.state {
                    DeliveryState::Pending | DeliveryState::Dead => self.count_by(FAILED, code.to_owned()),
                    DeliveryState::Delivered | DeliveryState::Skipped => {}
                }
            }
            let was_pending = before.deliveries.get(route).is_none_or(|was| was.state == DeliveryState::Pending);
            match delivery.state {
                _ if !was_pending || !settled => {}
                DeliveryState::Pending => {}
                DeliveryState::Delivered => {
                    self.count(DELIVERED, 1);
                    let at = delivery.at.unwrap_or(before.received_at);
                    self.duration(AGE_AT_DELIVERY, at.since(before.received_at).as_millis() as f64);
                }
                DeliveryState::Skipped => self.count(SKIPPED, 1),
                DeliveryState::Dead => self.count(DEAD, 1),
            }
        }
    }

    /// What a run of redrive found, unless it was not asked, and what the run came to.
    pub fn run(&mut self, backlog: Option<&Backlog>, counts: &Counts) {
        if let Some(backlog) = backlog {
            let gauges = [
                (PENDING_EVENTS, backlog.pending, backlog.pending_at_least),
                (OLDEST_PENDING_AGE, backlog.oldest_pending.as_secs(), backlog.oldest_at_least),
                (DEAD_EVENTS, backlog.dead, backlog.dead_at_least),
            ];
            for (metric, value, is_bound) in gauges {
                self.count(metric, value);
                self.at_least.extend(is_bound.then_some(metric.name));
            }
        }
        if !counts.complete || counts.troubled > 0 {
            self.count(REDRIVE_INCOMPLETE, 1);
        }
    }

    fn count(&mut self, metric: Metric, by: u64) {
        self.entry(metric, None).add(by as f64);
    }

    fn count_by(&mut self, metric: Metric, label: impl Into<Cow<'static, str>>) {
        self.entry(metric, Some(label.into())).add(1.0);
    }

    fn duration(&mut self, metric: Metric, value: f64) {
        self.entry(metric, None).values.push(value);
    }

    fn entry(&mut self, metric: Metric, label: Option<Cow<'static, str>>) -> &mut Entry {
        debug_assert_eq!(metric.dimension.is_some(), label.is_some(), "{}", metric.name);
        let known = self.entries.iter().position(|entry| entry.metric.name == metric.name && entry.label == label);
        let at = known.unwrap_or_else(|| {
            self.entries.push(Entry { metric, label, values: Vec::new() });
            self.entries.len() - 1
        });
        &mut self.entries[at]
    }
}

impl Entry {
    fn add(&mut self, count: f64) {
        match self.values.first_mut() {
            Some(sum) => *sum += count,
            None => self.values.push(count),
        }
    }
}

#[cfg(test)]
mod tests;
