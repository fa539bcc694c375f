//! The one door to the events table: two writes, each with the condition that makes it safe.

use std::collections::HashMap;
use std::io::{Read, Write};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;

use crate::event::{Attempt, EventRecord, EventState, RouteDelivery};
use crate::secrets::sdk_reason;

/// The events table.
#[derive(Clone, Debug)]
pub struct EventStore {
    client: Client,
    table: String,
}

/// What recording an event came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Recorded {
    /// It is in the table now, by this invocation.
    New,
    /// It was there already; `same_body` is false when the same id came with another body.
    Duplicate { same_body: bool },
}

/// What settling an attempt came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Settled {
    Written,
    /// The lease had run out and somebody else has made a newer attempt: theirs counts.
    Superseded,
}

/// Why the table did not take a write.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum StoreError {
    /// DynamoDB's code, or how the call failed. Worth another try by whoever sent the event.
    #[error("table `{table}` cannot be written: {reason}")]
    Unavailable { table: String, reason: String },
    /// No item can hold this body, deflated or not.
    #[error("the body takes {stored_bytes} bytes in the table; {MAX_STORED_BODY_BYTES} fit")]
    TooLarge { stored_bytes: usize },
}

/// DynamoDB's limit for an item is 400 KiB; 20 KiB are left for the other attributes at their longest.
pub const MAX_STORED_BODY_BYTES: usize = 380 * 1024;

/// Shorter bodies are stored as they are: a write costs the same up to 1 KiB, and deflating takes longer than the rest.
const DEFLATE_FROM_BYTES: usize = 1024;

impl EventStore {
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    /// Writes a new event, unless its key is taken: one call either way.
    ///
    /// A write that took effect although its answer was lost is recognised when it is repeated, by `recorded_by`.
    ///
    /// # Errors
    /// When DynamoDB does not take it, or no item can hold it; nothing is durable then, so it must not be acknowledged.
    pub async fn record(&self, event: &EventRecord) -> Result<Recorded, StoreError> {
        let item = item_of(event)?;
        let result = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(pk)")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        let Err(error) = result else {
            return Ok(Recorded::New);
        };
        let Some(PutItemError::ConditionalCheckFailedException(taken)) = error.as_service_error() else {
            return Err(self.unavailable(&error));
        };
        let holds = |name: &str, value: &str| {
            taken.item().and_then(|item| item.get(name)).is_some_and(|held| held.as_s().is_ok_and(|s| s == value))
        };
        if holds("recorded_by", &event.recorded_by) {
            return Ok(Recorded::New);
        }
        Ok(Recorded::Duplicate { same_body: holds("body_sha256", &event.body_sha256) })
    }

    /// Writes what an attempt came to, provided that no newer attempt was made.
    ///
    /// # Errors
    /// When DynamoDB does not take it; the lease runs out then, and redrive makes the next attempt.
    pub async fn settle(&self, after: &EventRecord) -> Result<Settled, StoreError> {
        let mut set = vec!["#state = :state", "deliveries = :deliveries", "history = :history"];
        let mut remove = Vec::new();
        let mut values = HashMap::from([
            (":pending".to_owned(), string(EventState::Pending.name())),
            (":attempts".to_owned(), number(after.attempts)),
            (":state".to_owned(), string(after.state.name())),
            (":deliveries".to_owned(), deliveries_of(after)),
            (":history".to_owned(), history_of(after)),
        ]);
        let optional = [
            ("due", "due = :due", after.due().map(string)),
            ("next_attempt_at", "next_attempt_at = :next", after.next_attempt_at.map(|at| number(at.0))),
            ("last_error", "last_error = :error", after.last_error.as_deref().map(string)),
            ("delivered_at", "delivered_at = :delivered", after.delivered_at.map(|at| number(at.0))),
            ("expires_at", "expires_at = :expires", after.expires_at().map(|at| number(at.0))),
        ];
        for (name, assignment, value) in optional {
            match (value, assignment.split_once(" = ")) {
                (Some(value), Some((_, placeholder))) => {
                    set.push(assignment);
                    values.insert(placeholder.to_owned(), value);
                }
                _ => remove.push(name),
            }
        }
        let mut expression = format!("SET {}", set.join(", "));
        if !remove.is_empty() {
            expression = format!("{expression} REMOVE {}", remove.join(", "));
        }

        let result = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("pk", string(after.pk()))
            .update_expression(expression)
            .condition_expression("#state = :pending AND attempts = :attempts")
            .expression_attribute_names("#state", "state")
            .set_expression_attribute_values(Some(values))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        let Err(error) = result else {
            return Ok(Settled::Written);
        };
        let Some(UpdateItemError::ConditionalCheckFailedException(held)) = error.as_service_error() else {
            return Err(self.unavailable(&error));
        };
        // Nobody but the holder of this attempt settles it: if the count is ours, so is the write, and its answer was lost.
        let attempts =
            held.item().and_then(|item| item.get("attempts")).and_then(|n| n.as_n().ok()?.parse::<u32>().ok());
        Ok(if attempts == Some(after.attempts) { Settled::Written } else { Settled::Superseded })
    }

    fn unavailable<E, R>(&self, error: &SdkError<E, R>) -> StoreError
    where
        E: aws_sdk_dynamodb::error::ProvideErrorMetadata,
    {
        StoreError::Unavailable { table: self.table.clone(), reason: sdk_reason(error) }
    }
}

fn item_of(event: &EventRecord) -> Result<HashMap<String, AttributeValue>, StoreError> {
    let (body, body_encoding) = stored_body(event.body.as_bytes());
    if body.len() > MAX_STORED_BODY_BYTES {
        return Err(StoreError::TooLarge { stored_bytes: body.len() });
    }
    let attributes = [
        ("pk", Some(string(event.pk()))),
        ("provider", Some(string(&event.provider))),
        ("event_type", event.event_type.as_deref().map(string)),
        ("occurred_at", Some(number(event.occurred_at.0))),
        ("received_at", Some(number(event.received_at.0))),
        ("state", Some(string(event.state.name()))),
        ("attempts", Some(number(event.attempts))),
        ("next_attempt_at", event.next_attempt_at.map(|at| number(at.0))),
        ("due", event.due().map(string)),
        ("body", Some(AttributeValue::B(Blob::new(body)))),
        ("body_encoding", Some(string(body_encoding))),
        ("body_sha256", Some(string(&event.body_sha256))),
        ("recorded_by", Some(string(&event.recorded_by))),
        ("last_error", event.last_error.as_deref().map(string)),
        ("history", Some(history_of(event))),
        ("deliveries", Some(deliveries_of(event))),
        ("expires_at", event.expires_at().map(|at| number(at.0))),
    ];
    Ok(attributes.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect())
}

/// The bytes to store, and what `body_encoding` says of them: `identity`, or `deflate` (zlib's format, as in HTTP).
fn stored_body(body: &[u8]) -> (Vec<u8>, &'static str) {
    if body.len() >= DEFLATE_FROM_BYTES {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        let deflated = encoder.write_all(body).and_then(|()| encoder.finish());
        if let Ok(deflated) = deflated
            && deflated.len() < body.len()
        {
            return (deflated, "deflate");
        }
    }
    (body.to_vec(), "identity")
}

/// What `stored_body` stored; `None` when the attributes do not fit together.
pub fn body_from_stored(stored: &[u8], body_encoding: &str) -> Option<String> {
    match body_encoding {
        "identity" => String::from_utf8(stored.to_vec()).ok(),
        "deflate" => {
            let mut text = String::new();
            ZlibDecoder::new(stored).read_to_string(&mut text).ok().map(|_| text)
        }
        _ => None,
    }
}

fn deliveries_of(event: &EventRecord) -> AttributeValue {
    let map = event.deliveries.iter().map(|(route, delivery)| (route.clone(), delivery_of(delivery))).collect();
    AttributeValue::M(map)
}

fn delivery_of(delivery: &RouteDelivery) -> AttributeValue {
    map([
        ("state", Some(string(delivery.state.name()))),
        ("code", delivery.code.as_deref().map(string)),
        ("at", delivery.at.map(|at| number(at.0))),
    ])
}

fn history_of(event: &EventRecord) -> AttributeValue {
    AttributeValue::L(event.history.iter().map(attempt_of).collect())
}

fn attempt_of(attempt: &Attempt) -> AttributeValue {
    map([
        ("at", Some(number(attempt.at.0))),
        ("by", Some(string(attempt.by.name()))),
        ("outcome", Some(string(&attempt.outcome))),
        ("http_status", attempt.http_status.map(number)),
        ("ms", Some(number(attempt.ms))),
    ])
}

fn map<const N: usize>(entries: [(&str, Option<AttributeValue>); N]) -> AttributeValue {
    AttributeValue::M(entries.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect())
}

fn string(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

fn number(value: impl Into<u64>) -> AttributeValue {
    AttributeValue::N(value.into().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, expected: &str) {
        let (stored, encoding) = stored_body(body.as_bytes());
        assert_eq!(encoding, expected);
        assert!(stored.len() <= body.len());
        assert_eq!(body_from_stored(&stored, encoding).as_deref(), Some(body));
    }

    #[test]
    fn a_long_body_is_deflated_and_reads_back_as_it_was() {
        check("{}", "identity");
        check(&"{\"a\":1}".repeat(1000), "deflate");
    }

    #[test]
    fn a_body_that_deflating_would_lengthen_is_stored_as_it_is() {
        let mut rng = fastrand::Rng::with_seed(1);
        check(&std::iter::repeat_with(|| char::from(rng.u8(1..128))).take(2000).collect::<String>(), "deflate");
        let (stored, encoding) = stored_body(&std::iter::repeat_with(|| rng.u8(..)).take(2000).collect::<Vec<_>>());
        assert_eq!((stored.len(), encoding), (2000, "identity"));
    }

    #[test]
    fn an_unknown_encoding_or_a_broken_body_reads_as_nothing() {
        assert_eq!(body_from_stored(b"{}", "br"), None);
        assert_eq!(body_from_stored(b"{}", "deflate"), None);
        assert_eq!(body_from_stored(b"\xff", "identity"), None);
    }
}
