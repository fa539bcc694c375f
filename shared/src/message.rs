//! The message that a route makes of an event.

use crate::event::{EventRecord, Failure};
use crate::json::{Kind, Value, write_string};
use crate::routes::Route;

/// Composes the JSON for Returning.AI: the six members every message has, then the route's own fields.
///
/// Values are copied as the provider wrote them, so that amounts keep their digits; null counts as absent.
///
/// # Errors
/// `customer_unknown`, which passes once the customer is known; `mapping_failed` for good, with the pointer, when a
/// required field is absent.
pub fn compose(event: &EventRecord, body: Value<'_>, route: &Route) -> Result<String, Failure> {
    let customer = route
        .customer
        .iter()
        .find_map(|pointer| customer_id(body.at(pointer)?))
        .ok_or_else(|| Failure::passing("customer_unknown"))?;

    let mut message = String::with_capacity(512);
    let mut member = |name: &str, value: &mut dyn FnMut(&mut String)| {
        message.push(if message.is_empty() { '{' } else { ',' });
        write_string(&mut message, name);
        message.push(':');
        value(&mut message);
    };
    member("eventType", &mut |out| write_string(out, &route.event_type));
    member("customerId", &mut |out| out.push_str(&customer));
    member("occurredAt", &mut |out| write_string(out, &event.occurred_at.to_string()));
    member("idempotencyKey", &mut |out| write_string(out, &event.idempotency_key(&route.name)));
    member("source", &mut |out| write_string(out, &event.provider));
    member("sourceEventType", &mut |out| write_string(out, event.event_type.as_deref().unwrap_or_default()));

    for field in &route.fields {
        let present = |value: &Value<'_>| !matches!(value.kind(), Kind::Null);
        let found = field.pointers.iter().filter_map(|pointer| body.at(pointer)).find(present);
        match found {
            Some(value) => member(&field.name, &mut |out| out.push_str(value.source())),
            None if field.optional => {}
            None => {
                return Err(Failure {
                    pointer: field.pointers.first().map(ToString::to_string),
                    for_good: true,
                    ..Failure::passing("mapping_failed")
                });
            }
        }
    }
    message.push('}');
    Ok(message)
}

/// A customer's id as JSON text: always a string, since ids are compared and not counted.
fn customer_id(value: Value<'_>) -> Option<String> {
    match value.kind() {
        Kind::String if value.text().is_some_and(|text| !text.is_empty()) => Some(value.source().to_owned()),
        Kind::Number(digits) => Some(format!("\"{digits}\"")),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
