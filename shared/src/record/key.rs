//! The keys of the events table, which events, pauses and claims share.
//!
//! `template.yaml` allows a function only keys that begin as those that it needs; a test compares the two.

use route::destination::Destination;

/// What the keys of items begin with that are no events: no provider has such a name.
pub const NO_PROVIDERS: [&str; 3] = [WORKFLOW, INCOMING_WEBHOOK, ONCE];

const WORKFLOW: &str = "workflow";
const INCOMING_WEBHOOK: &str = "incoming-webhook";
const ONCE: &str = "once";

/// Of an event.
pub fn event(provider: &str, event_id: &str) -> String {
    key(provider, event_id)
}

/// Provider and id of an event's key.
pub fn event_parts(pk: &str) -> Option<(&str, &str)> {
    pk.split_once('#')
}

/// Of a destination's pauses.
pub fn pauses(destination: &Destination) -> String {
    match destination {
        Destination::Workflow(name) => key(WORKFLOW, name),
        Destination::IncomingWebhook(name) => key(INCOMING_WEBHOOK, name),
    }
}

/// Of a customer's use of a route's `once_per`.
pub fn claim(route: &str, customer: &str) -> String {
    key(ONCE, &format!("{route}#{customer}"))
}

fn key(first: &str, rest: &str) -> String {
    format!("{first}#{rest}")
}
