//! A route in words.

use json::Pointer;
use route::destination::Destination;
use route::lookup::Place;
use route::routes::{EventPattern, Field, FieldValue, Route};

/// Which events a route wants, where it delivers to, and what its message holds, as one sentence.
pub fn in_words(route: &Route) -> String {
    let patterns: Vec<_> = route.events.iter().map(pattern).collect();
    let mut words = patterns.join(" or ");
    if !route.when.is_empty() {
        let conditions: Vec<_> = route.when.iter().map(|condition| self::condition(condition)).collect();
        words.push_str(&format!(" ({})", conditions.join("; or ")));
    }
    if route.once_per_customer {
        words = format!("first {words} of each customer");
    }
    let destination = match &route.destination {
        Destination::Workflow(name) => format!("workflow {name}"),
        Destination::IncomingWebhook(name) => format!("incoming webhook {name}"),
    };
    words.push_str(&format!(" → {destination}, as {}", route.event_type));
    if !route.fields.is_empty() {
        let fields: Vec<_> = route.fields.iter().map(field).collect();
        words.push_str(&format!(" with {}", fields.join(", ")));
    }
    words
}

fn pattern(pattern: &EventPattern) -> String {
    match pattern {
        EventPattern::Exactly(name) => name.clone(),
        EventPattern::Prefix(prefix) => format!("{prefix}*"),
    }
}

/// Each place is called by the last name on the way to it, which is enough to recognise it.
fn condition(condition: &[(Vec<Pointer>, Vec<String>)]) -> String {
    let part = |(pointers, accepted): &(Vec<Pointer>, Vec<String>)| {
        let name = pointers.first().and_then(|pointer| pointer.tokens().last()).unwrap_or_default();
        format!("{name} {}", accepted.join(" or "))
    };
    condition.iter().map(part).collect::<Vec<_>>().join(" and ")
}

fn field(field: &Field) -> String {
    let mark = if field.optional { "?" } else { "" };
    let source = match &field.value {
        FieldValue::Places(places) => {
            let lookup = places.iter().find_map(|place| match place {
                Place::Lookup { lookup, .. } => Some(lookup),
                Place::Body(_) => None,
            });
            lookup.map_or(String::new(), |lookup| format!(" (look-up {lookup})"))
        }
        FieldValue::Constant(json) => format!(" = {json}"),
        FieldValue::Customer(_) => " (customers table)".to_owned(),
    };
    format!("{}{mark}{source}", field.name)
}

#[cfg(test)]
mod tests;
