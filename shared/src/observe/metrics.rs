//! The table of metrics: what the functions count and measure (`docs/metrics.md`).
//!
//! The other rooms decide what is counted; this one has the names. Nothing is sent anywhere, and nothing is formatted before
//! the provider has its answer.

use std::borrow::Cow;
use std::collections::BTreeMap;

/// One row of the table.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Metric {
    pub name: &'static str,
    pub unit: Unit,
    pub by: By,
    /// The dimension besides the function's name.
    pub dimension: Option<Dimension>,
    pub means: Means,
    pub meaning: &'static str,
}

/// Whether a person has to hear of a metric. A test holds the alarms of `template.yaml` to it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Means {
    /// An event was lost, was given up, waits too long or is at risk: alarms tell it, of every function that emits it.
    Harm,
    /// Ordinary work, or what a metric that means harm tells as well.
    Work,
}

/// The units of CloudWatch that are used.
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
    /// A workflow, `incoming-webhook:NAME`, or `api:PROVIDER`.
    Destination,
    /// The spelling that a signature is over.
    Form,
    /// Which of the schedules that share redrive's work, from 0.
    Share,
}

/// Where CloudWatch keeps them.
pub const NAMESPACE: &str = "Bridge";

/// The dimension that every metric has.
pub const FUNCTION_NAME: &str = "FunctionName";

macro_rules! table {
    ($($id:ident: $name:literal, $unit:ident, $by:ident, $dimension:expr, $means:ident, $meaning:literal;)*) => {
        $(
            #[doc = $meaning]
            pub const $id: Metric = Metric {
                name: $name,
                unit: Unit::$unit,
                by: By::$by,
                dimension: $dimension,
                means: Means::$means,
                meaning: $meaning,
            };
        )*

        /// Every metric there is.
        pub const ALL: &[Metric] = &[$($id),*];
    };
}

const BY_CODE: Option<Dimension> = Some(Dimension::Code);
const BY_DESTINATION: Option<Dimension> = Some(Dimension::Destination);
const BY_FORM: Option<Dimension> = Some(Dimension::Form);
const BY_SHARE: Option<Dimension> = Some(Dimension::Share);

table! {
    RECEIVED: "Received", Count, Receivers, None, Work, "requests that reached the function";
    REFUSED: "Refused", Count, Receivers, BY_CODE, Harm, "of these, answered 400, 401, 404, 405 or 413";
    TOO_LARGE: "TooLarge", Count, Receivers, None, Harm,
        "of these, bodies above the limit whose headers are well-formed and fresh: their signature was not looked at";
    SIGNED_AND_REFUSED: "SignedAndRefused", Count, Receivers, None, Harm,
        "of these, those whose signature matches: a body that is no JSON object, or an event that no item can hold";
    UNAVAILABLE: "Unavailable", Count, Receivers, BY_CODE, Harm, "of these, answered 503: the provider has to send again";
    DUPLICATE: "Duplicate", Count, Receivers, None, Work, "of these, events that were recorded before";
    CONFLICTING_DUPLICATE: "ConflictingDuplicate", Count, Receivers, None, Work,
        "of the duplicates, those with another body than the first";
    ID_CONFLICT: "IdConflict", Count, Receivers, None, Harm,
        "new events whose id another fact has: of another type, or at another time and with another body";
    IGNORED: "Ignored", Count, Receivers, None, Work, "of these, new events that no route matches";
    UNKNOWN_EVENT_TYPE: "UnknownEventType", Count, Receivers, None, Harm,
        "new events whose type no route's `events` names, or whose envelope is unreadable";
    DATED_BY_SIGNATURE: "DatedBySignature", Count, Receivers, None, Work,
        "new events without a time that can be read: `occurredAt` is when they were signed";
    ACCEPTED_BY_PREVIOUS_KEY: "AcceptedByPreviousKey", Count, Receivers, None, Harm,
        "acknowledged events that only the secret's previous version verifies";
    VERIFICATION_BOUND: "VerificationBound", Count, Receivers, BY_CODE, Work,
        "deliveries for which more than 100 keys were tried, or that no key matches although a form was left out for its size";
    VERIFIED: "Verified", Count, Receivers, BY_FORM, Work, "deliveries whose signature matches";
    ACK_LATENCY: "AckLatency", Milliseconds, Receivers, None, Work, "from the event's arrival in the function to the answer";
    COLD_START: "ColdStart", Count, All, None, Work, "invocations that were the first of their process";
    SECRET_ENTRY_LEFT_OUT: "SecretEntryLeftOut", Count, All, None, Harm,
        "reads of the signing keys or the workflows that left out an entry because it cannot be used";
    DELIVERED: "Delivered", Count, All, None, Work, "messages that a route's destination accepted, once this is settled";
    SKIPPED: "Skipped", Count, All, None, Work,
        "messages that were not sent because the route's `once_per` was used by another event";
    DEAD: "Dead", Count, All, None, Harm,
        "messages that were given up permanently, and events dead on arrival because their envelope is unreadable";
    DEAD_WITHOUT_CUSTOMER: "DeadWithoutCustomer", Count, All, None, Harm,
        "messages that were given up, and are not in `Dead`, because the customer was unknown or incomplete for 72 hours";
    EVENT_GONE: "EventGone", Count, All, None, Harm,
        "attempts whose outcome no item holds: the record was deleted while it had work left";
    FAILED: "Failed", Count, All, BY_CODE, Work, "attempts at a route that failed, whether another one follows or not";
    DISPATCH_FAILED: "DispatchFailed", Count, All, BY_DESTINATION, Harm,
        "of these, those that another system is to blame for: the destination, or the provider's own API";
    COOLING_OFF: "CoolingOff", Count, Receivers, None, Work,
        "routes that a first attempt left to redrive, because the destination or the provider's API was slow a moment ago";
    PAUSES_UNREADABLE: "PausesUnreadable", Count, All, None, Harm,
        "routes that a first attempt left, and destinations that a redrive run held, because their pauses cannot be read";
    DELIVERY_LATENCY: "DeliveryLatency", Milliseconds, All, None, Work, "one attempt at an event, over all its routes";
    AGE_AT_DELIVERY: "AgeAtDelivery", Milliseconds, All, None, Work, "from receipt to delivered, for each route";
    REDRIVE_RUNS: "RedriveRuns", Count, Redrive, BY_SHARE, Work, "runs of a schedule that completed";
    PENDING_EVENTS: "PendingEvents", Count, Redrive, None, Work,
        "events with a message still to be delivered, at the start of the run";
    OLDEST_PENDING_AGE: "OldestPendingAge", Seconds, Redrive, None, Harm, "time since the receipt of the oldest of these that waits neither for its customer nor for a paused workflow";
    DEAD_EVENTS: "DeadEvents", Count, Redrive, None, Work, "events that need an operator, at the start of the run";
    REDRIVE_INCOMPLETE: "RedriveIncomplete", Count, Redrive, None, Harm,
        "runs that left due events: time ran out, or the table failed";
}

/// What one invocation counted and measured.
#[derive(Debug, Default)]
pub struct Measurements {
    pub(crate) entries: Vec<Entry>,
    /// Names of the gauges that are lower bounds in this invocation.
    pub(crate) at_least: Vec<&'static str>,
}

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) metric: Metric,
    /// The value of the metric's own dimension.
    pub(crate) label: Option<Cow<'static, str>>,
    /// One sum of counts, or each of the durations.
    pub(crate) values: Vec<f64>,
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
    pub const ALL: [Self; 4] = [Self::Code, Self::Destination, Self::Form, Self::Share];

    pub fn name(self) -> &'static str {
        match self {
            Self::Code => "Code",
            Self::Destination => "Destination",
            Self::Form => "Form",
            Self::Share => "Share",
        }
    }
}

impl Measurements {
    /// Adds to a sum.
    pub fn count(&mut self, metric: Metric, by: u64) {
        self.entry(metric, None).add(by as f64);
    }

    /// The same of what is mostly nothing: then the line is shorter without it.
    pub fn count_any(&mut self, metric: Metric, by: u64) {
        if by > 0 {
            self.count(metric, by);
        }
    }

    /// Adds one to the sum for this value of the metric's dimension.
    pub fn count_by(&mut self, metric: Metric, label: impl Into<Cow<'static, str>>) {
        self.entry(metric, Some(label.into())).add(1.0);
    }

    /// Adds one duration, in the metric's unit.
    pub fn duration(&mut self, metric: Metric, value: f64) {
        self.entry(metric, None).values.push(value);
    }

    /// Sets a gauge; `is_at_least` when the value is a lower bound.
    pub fn gauge(&mut self, metric: Metric, value: u64, is_at_least: bool) {
        self.count(metric, value);
        self.at_least.extend(is_at_least.then_some(metric.name));
    }

    /// The sum of all values of a metric, over every value of its dimension.
    pub fn sum(&self, metric: Metric) -> f64 {
        let of_metric = self.entries.iter().filter(|entry| entry.metric.name == metric.name);
        of_metric.flat_map(|entry| &entry.values).sum()
    }

    /// The sum for each value of the metric's dimension.
    pub fn by_label(&self, metric: Metric) -> BTreeMap<&str, f64> {
        let of_metric = self.entries.iter().filter(|entry| entry.metric.name == metric.name);
        of_metric.filter_map(|entry| Some((entry.label.as_deref()?, entry.values.iter().sum()))).collect()
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
