//! The message that a route makes of an event.

use std::borrow::Cow;

use crate::customer::reference::Customer;
use crate::deliver::resolver::MessageCustomer;
use crate::record::event::{EventRecord, Fetched};
use crate::record::failure::{DispatchFailure, FailureCode};
use json::{Value, write_string};
use route::credentials;
use route::customer::CustomerAttribute;
use route::lookup::Place;
use route::routes::{FieldValue, Route, present};

/// Composes the JSON for Returning.AI: the six members every message has, then the route's own fields.
///
/// Values are copied as the provider wrote them, so that amounts keep their digits; null counts as absent. Members named like
/// credentials are cut from objects and arrays. `fetched` has what look-ups gave.
///
/// # Errors
/// `mapping_failed`, which is permanent, with the pointer, when a required field is absent; `customer_incomplete`, which is
/// transient, when the customers table does not have it yet.
pub fn compose(
    event: &EventRecord,
    body: Value<'_>,
    route: &Route,
    customer: &MessageCustomer,
    fetched: &Fetched,
) -> Result<String, DispatchFailure> {
    let mut message = String::with_capacity(512);
    let mut member = |name: &str, value: &mut dyn FnMut(&mut String)| {
        message.push(if message.is_empty() { '{' } else { ',' });
        write_string(&mut message, name);
        message.push(':');
        value(&mut message);
    };
    member("eventType", &mut |out| write_string(out, &route.event_type));
    member("customerId", &mut |out| write_string(out, &customer.customer_id));
    member("occurredAt", &mut |out| write_string(out, &event.occurred_at.to_string()));
    member(&route.idempotency_field, &mut |out| write_string(out, &event.idempotency_key(&route.name)));
    member("source", &mut |out| write_string(out, &event.provider));
    member("sourceEventType", &mut |out| write_string(out, event.event_type.as_deref().unwrap_or_default()));

    for field in &route.fields {
        let found = match &field.value {
            FieldValue::Places(places) => match fetched.get(&field.name) {
                Some(value) => value.as_deref().map(Cow::Borrowed),
                None => value_at(body, places),
            },
            FieldValue::Constant(json) => Some(Cow::Borrowed(json.as_str())),
            FieldValue::Customer(attribute) => {
                customer.record.as_ref().and_then(|record| attribute_of(record, *attribute)).map(Cow::Owned)
            }
        };
        match found {
            Some(json) => member(&field.name, &mut |out| out.push_str(&json)),
            None if field.optional => {}
            None => return Err(absent(&field.value)),
        }
    }
    message.push('}');
    Ok(message)
}

/// The first value of the body that is present and not null, as it was sent.
fn value_at<'b>(body: Value<'b>, places: &[Place]) -> Option<Cow<'b, str>> {
    let pointers = places.iter().filter_map(|place| match place {
        Place::Body(pointer) => Some(pointer),
        Place::Lookup { .. } => None,
    });
    present(body, pointers).map(credentials::cut_from)
}

/// As JSON; `None` when the record does not have it.
fn attribute_of(record: &Customer, attribute: CustomerAttribute) -> Option<String> {
    let mut json = String::new();
    match attribute {
        CustomerAttribute::Email => write_string(&mut json, record.email.as_deref()?),
        CustomerAttribute::FirstName => write_string(&mut json, record.first_name.as_deref()?),
        CustomerAttribute::LastName => write_string(&mut json, record.last_name.as_deref()?),
        CustomerAttribute::TradingAccounts if record.trading_accounts.is_empty() => return None,
        CustomerAttribute::TradingAccounts => {
            for login in &record.trading_accounts {
                json.push(if json.is_empty() { '[' } else { ',' });
                write_string(&mut json, login);
            }
            json.push(']');
        }
    }
    Some(json)
}

fn absent(value: &FieldValue) -> DispatchFailure {
    match value {
        FieldValue::Customer(_) => FailureCode::CustomerIncomplete.into(),
        FieldValue::Places(places) => {
            DispatchFailure { pointer: places.first().map(ToString::to_string), ..FailureCode::MappingFailed.into() }
        }
        FieldValue::Constant(_) => FailureCode::MappingFailed.into(),
    }
}

#[cfg(test)]
mod tests;
