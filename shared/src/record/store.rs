//! The one door to the events table: each write has the condition that makes it safe.

pub mod listing;
pub mod once;

use std::collections::{BTreeMap, HashMap};
use std::io::{Read, Write};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::query::QueryOutput;
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::builders::KeysAndAttributesBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes, ReturnValuesOnConditionCheckFailure, Select};
use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use tokio::time::sleep;

use crate::clock::{UnixMillis, UnixSeconds};
use crate::outside::secrets::sdk_reason;
use crate::record::event::{Attempt, AttemptBy, DeliveryState, EventRecord, EventState, RouteDelivery};
use crate::record::pauses::{Pause, Pauses};
use crate::route::routes::Destination;

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

/// What taking an event over came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TakenOver {
    /// The event is ours until the new lease ends.
    Ours,
    /// Somebody else was quicker, or it is settled by now.
    Lost,
}

/// Some of the events that are due, and where the next page begins.
#[derive(Debug)]
pub struct DuePage {
    pub pks: Vec<String>,
    next: Option<HashMap<String, AttributeValue>>,
}

/// Why the table did not do what was asked.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum StoreError {
    /// DynamoDB's code, or how the call failed. Worth another try by whoever sent the event.
    #[error("table `{table}` cannot be used: {reason}")]
    Unavailable { table: String, reason: String },
    /// An item lacks this attribute, or has it in another shape: somebody else wrote it.
    #[error("item `{pk}`: `{attribute}` does not read")]
    Unreadable { pk: String, attribute: &'static str },
    /// No item can hold this body, deflated or not.
    #[error("the body takes {stored_bytes} bytes in the table; {MAX_STORED_BODY_BYTES} fit")]
    TooLarge { stored_bytes: usize },
}

impl StoreError {
    /// A call to this table failed.
    pub(crate) fn unavailable<E: ProvideErrorMetadata, R>(table: &str, error: &SdkError<E, R>) -> Self {
        Self::Unavailable { table: table.to_owned(), reason: sdk_reason(error) }
    }

    /// Stable once shipped.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unavailable { .. } => "table_unavailable",
            Self::Unreadable { .. } => "item_unreadable",
            Self::TooLarge { .. } => "too_large",
        }
    }

    /// Whether DynamoDB is too busy at the moment, or slow, or has an error of its own: the same call may do after a wait.
    pub fn is_busy(&self) -> bool {
        let Self::Unavailable { reason, .. } = self else {
            return false;
        };
        let turned_away = ["ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded"];
        let troubled = ["InternalServerError", "ServiceUnavailable", crate::outside::secrets::NO_ANSWER];
        turned_away.iter().chain(&troubled).any(|busy| busy == reason)
    }
}

/// The sparse index over what is pending or dead: `due`, then `next_attempt_at`; keys only.
pub const DUE_INDEX: &str = "due-index";

/// How many keys are read at a time: some 10 kB, and a second's work for redrive.
pub const DUE_PAGE: i32 = 256;

/// How many keys one `BatchGetItem` takes.
pub const MAX_BATCH: usize = 100;

/// Before what was left out of an answer is asked for again; and how often in a row that may bring nothing.
const BEFORE_ASKING_AGAIN: Duration = Duration::from_millis(100);
const PARTIAL_TRIES: u32 = 10;

/// Switches share the table; no provider is called `workflow` or `incoming-webhook`.
const PAUSED_WORKFLOW: &str = "workflow#";
const PAUSED_INCOMING_WEBHOOK: &str = "incoming-webhook#";

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

    /// The event of this key as it is now, whoever has just written it.
    ///
    /// # Errors
    /// When DynamoDB does not answer, or the item is not one of ours.
    pub async fn read(&self, pk: &str) -> Result<Option<EventRecord>, StoreError> {
        let output = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("pk", string(pk))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| self.unavailable(&error))?;
        output.item.map(|item| record_of(pk, &item)).transpose()
    }

    /// Events under one hash key of the index whose time has come, oldest first, a page at a time.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn due(&self, due: &str, now: UnixSeconds, after: Option<&DuePage>) -> Result<DuePage, StoreError> {
        let output = self.query_due(due, now, after.and_then(|page| page.next.clone())).await?;
        let pks = output.items().iter().filter_map(|item| item.get("pk")?.as_s().ok().cloned()).collect();
        Ok(DuePage { pks, next: output.last_evaluated_key })
    }

    /// How many events are under one hash key of the index, due or not, and whether there are more than were counted.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn count(&self, due: &str, at_most: u32) -> Result<(u64, bool), StoreError> {
        let asked = self.part(due).select(Select::Count).limit(i32::try_from(at_most).unwrap_or(i32::MAX));
        let output = asked.send().await.map_err(|error| self.unavailable(&error))?;
        Ok((u64::try_from(output.count()).unwrap_or_default(), output.last_evaluated_key.is_some()))
    }

    /// The keys at one end of a hash key of the index: those with the soonest next attempt, or with the latest.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn end_of(&self, due: &str, soonest: bool, at_most: u32) -> Result<Vec<String>, StoreError> {
        let asked = self.part(due).scan_index_forward(soonest).limit(i32::try_from(at_most).unwrap_or(i32::MAX));
        let output = asked.send().await.map_err(|error| self.unavailable(&error))?;
        Ok(output.items().iter().filter_map(|item| item.get("pk")?.as_s().ok().cloned()).collect())
    }

    /// All that is under one hash key of the index.
    fn part(&self, due: &str) -> QueryFluentBuilder {
        self.client
            .query()
            .table_name(&self.table)
            .index_name(DUE_INDEX)
            .key_condition_expression("due = :due")
            .expression_attribute_values(":due", string(due))
    }

    /// Takes an event over: writes `after`, provided that the item is still as `before` was read.
    ///
    /// # Errors
    /// When DynamoDB does not take it.
    pub async fn take_over(&self, before: &EventRecord, after: &EventRecord) -> Result<TakenOver, StoreError> {
        let mut update = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("pk", string(after.pk()))
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":was", string(before.state.name()))
            .expression_attribute_values(":made", number(before.attempts))
            .expression_attribute_values(":state", string(after.state.name()))
            .expression_attribute_values(":attempts", number(after.attempts))
            .expression_attribute_values(":deliveries", deliveries_of(after));
        // An ignored event has no time that it is due at.
        let unchanged = match before.next_attempt_at {
            Some(at) => {
                update = update.expression_attribute_values(":seen", number(at.0));
                "next_attempt_at = :seen"
            }
            None => "attribute_not_exists(next_attempt_at)",
        };
        let mut set = "SET #state = :state, attempts = :attempts, deliveries = :deliveries".to_owned();
        let due = [
            ("due = :due", after.due().map(string)),
            ("next_attempt_at = :next", after.next_attempt_at.map(|at| number(at.0))),
            ("expires_at = :expires", after.expires_at().map(|at| number(at.0))),
        ];
        for (assignment, value) in due {
            if let (Some(value), Some((_, placeholder))) = (value, assignment.split_once(" = ")) {
                set = format!("{set}, {assignment}");
                update = update.expression_attribute_values(placeholder, value);
            }
        }
        let result = update
            .update_expression(set)
            .condition_expression(format!("#state = :was AND attempts = :made AND {unchanged}"))
            .send()
            .await;
        let Err(error) = result else {
            return Ok(TakenOver::Ours);
        };
        match error.as_service_error() {
            Some(UpdateItemError::ConditionalCheckFailedException(_)) => Ok(TakenOver::Lost),
            _ => Err(self.unavailable(&error)),
        }
    }

    /// When each of these destinations was paused.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn pauses(&self, destinations: impl IntoIterator<Item = &Destination>) -> Result<Pauses, StoreError> {
        let mut pauses = Pauses::default();
        let by_pk: HashMap<String, &Destination> =
            destinations.into_iter().map(|destination| (pause_pk(destination), destination)).collect();
        for item in self.items(&by_pk.keys().collect::<Vec<_>>(), |keys| keys).await? {
            let pk = item.get("pk").and_then(|pk| pk.as_s().ok()).map_or("", String::as_str);
            let Some(destination) = by_pk.get(pk) else { continue };
            let read =
                pauses_of(&item).ok_or_else(|| StoreError::Unreadable { pk: pk.to_owned(), attribute: "pauses" })?;
            pauses.0.insert((*destination).clone(), read);
        }
        Ok(pauses)
    }

    /// Writes when a destination was paused, whatever was there: the newest switch counts.
    ///
    /// # Errors
    /// When DynamoDB does not take it.
    pub async fn write_pauses(&self, destination: &Destination, pauses: &[Pause]) -> Result<(), StoreError> {
        let list = pauses
            .iter()
            .map(|pause| map([("from", Some(number(pause.from.0))), ("to", pause.to.map(|to| number(to.0)))]));
        self.client
            .put_item()
            .table_name(&self.table)
            .item("pk", string(pause_pk(destination)))
            .item("pauses", AttributeValue::L(list.collect()))
            .send()
            .await
            .map_err(|error| self.unavailable(&error))?;
        Ok(())
    }

    /// The items of these keys, in no order; `asked` says which attributes, and how consistently.
    ///
    /// A throttled table answers in part, and 16 MB at most: what is missing is asked for again, and never left out.
    async fn items(
        &self,
        distinct_pks: &[&String],
        asked: fn(KeysAndAttributesBuilder) -> KeysAndAttributesBuilder,
    ) -> Result<Vec<Item>, StoreError> {
        let mut items = Vec::with_capacity(distinct_pks.len());
        for some in distinct_pks.chunks(MAX_BATCH) {
            let keys = some.iter().map(|pk| HashMap::from([("pk".to_owned(), string(*pk))])).collect();
            let keys = asked(KeysAndAttributes::builder().set_keys(Some(keys))).build();
            let mut left = Some(keys.map_err(|_| StoreError::Unreadable { pk: String::new(), attribute: "pk" })?);
            let mut tries = 0;
            while let Some(keys) = left.take() {
                let call = self.client.batch_get_item().request_items(&self.table, keys).send().await;
                let output = call.map_err(|error| self.unavailable(&error))?;
                let found = output.responses.unwrap_or_default().into_values().flatten();
                let before = items.len();
                items.extend(found);
                left = output.unprocessed_keys.and_then(|mut left| left.remove(&self.table));
                if left.is_some() {
                    tries = if items.len() > before { 0 } else { tries + 1 };
                    if tries == PARTIAL_TRIES {
                        let reason = "answers in part".to_owned();
                        return Err(StoreError::Unavailable { table: self.table.clone(), reason });
                    }
                    sleep(BEFORE_ASKING_AGAIN).await;
                }
            }
        }
        Ok(items)
    }

    /// A page of the index under one hash key, up to and with `until`, soonest first.
    async fn query_due(
        &self,
        due: &str,
        until: UnixSeconds,
        start: Option<HashMap<String, AttributeValue>>,
    ) -> Result<QueryOutput, StoreError> {
        self.client
            .query()
            .table_name(&self.table)
            .index_name(DUE_INDEX)
            .key_condition_expression("due = :due AND next_attempt_at <= :until")
            .expression_attribute_values(":due", string(due))
            .expression_attribute_values(":until", number(until.0))
            .limit(DUE_PAGE)
            .set_exclusive_start_key(start)
            .send()
            .await
            .map_err(|error| self.unavailable(&error))
    }

    fn unavailable<E, R>(&self, error: &SdkError<E, R>) -> StoreError
    where
        E: ProvideErrorMetadata,
    {
        StoreError::unavailable(&self.table, error)
    }
}

impl DuePage {
    /// True when no page follows.
    pub fn is_last(&self) -> bool {
        self.next.is_none()
    }
}

fn pause_pk(destination: &Destination) -> String {
    match destination {
        Destination::Workflow(name) => format!("{PAUSED_WORKFLOW}{name}"),
        Destination::IncomingWebhook(name) => format!("{PAUSED_INCOMING_WEBHOOK}{name}"),
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

/// Reads an item back; the inverse of `item_of`.
pub fn record_of(pk: &str, item: &Item) -> Result<EventRecord, StoreError> {
    let unreadable = |attribute| StoreError::Unreadable { pk: pk.to_owned(), attribute };
    let text = |name: &'static str| item.get(name).and_then(|value| value.as_s().ok()).cloned();
    let required = |name: &'static str| text(name).ok_or_else(|| unreadable(name));
    let millis = |name: &'static str| integer(item, name).map(UnixMillis);

    let body = item.get("body").and_then(|body| body.as_b().ok());
    let body = body.and_then(|body| body_from_stored(body.as_ref(), &text("body_encoding")?));
    let (provider, event_id) = pk.split_once('#').ok_or_else(|| unreadable("pk"))?;
    Ok(EventRecord {
        provider: provider.to_owned(),
        event_id: event_id.to_owned(),
        event_type: text("event_type"),
        occurred_at: millis("occurred_at").ok_or_else(|| unreadable("occurred_at"))?,
        received_at: millis("received_at").ok_or_else(|| unreadable("received_at"))?,
        state: EventState::named(&required("state")?).ok_or_else(|| unreadable("state"))?,
        attempts: integer(item, "attempts").and_then(|n| n.try_into().ok()).ok_or_else(|| unreadable("attempts"))?,
        next_attempt_at: integer(item, "next_attempt_at").map(UnixSeconds),
        body: body.ok_or_else(|| unreadable("body"))?,
        body_sha256: required("body_sha256")?,
        recorded_by: text("recorded_by").unwrap_or_default(),
        last_error: text("last_error"),
        history: history_from(item).ok_or_else(|| unreadable("history"))?,
        deliveries: deliveries_from(item).ok_or_else(|| unreadable("deliveries"))?,
        delivered_at: millis("delivered_at"),
    })
}

type Item = HashMap<String, AttributeValue>;

fn integer(item: &Item, name: &str) -> Option<u64> {
    item.get(name)?.as_n().ok()?.parse().ok()
}

fn history_from(item: &Item) -> Option<Vec<Attempt>> {
    let attempts = item.get("history").map_or(Some(&[][..]), |list| list.as_l().ok().map(Vec::as_slice))?;
    attempts.iter().map(|attempt| attempt_from(attempt.as_m().ok()?)).collect()
}

fn attempt_from(attempt: &Item) -> Option<Attempt> {
    Some(Attempt {
        at: UnixMillis(integer(attempt, "at")?),
        by: AttemptBy::named(attempt.get("by")?.as_s().ok()?)?,
        outcome: attempt.get("outcome")?.as_s().ok()?.clone(),
        http_status: integer(attempt, "http_status").and_then(|status| status.try_into().ok()),
        ms: integer(attempt, "ms")?,
    })
}

fn deliveries_from(item: &Item) -> Option<BTreeMap<String, RouteDelivery>> {
    let deliveries = item.get("deliveries")?.as_m().ok()?;
    deliveries
        .iter()
        .map(|(route, delivery)| {
            let delivery = delivery.as_m().ok()?;
            let state = DeliveryState::named(delivery.get("state")?.as_s().ok()?)?;
            let code = delivery.get("code").and_then(|code| code.as_s().ok()).cloned();
            Some((route.clone(), RouteDelivery { state, code, at: integer(delivery, "at").map(UnixMillis) }))
        })
        .collect()
}

fn pauses_of(item: &Item) -> Option<Vec<Pause>> {
    let pauses = item.get("pauses")?.as_l().ok()?;
    pauses
        .iter()
        .map(|pause| {
            let pause = pause.as_m().ok()?;
            Some(Pause { from: UnixMillis(integer(pause, "from")?), to: integer(pause, "to").map(UnixMillis) })
        })
        .collect()
}

fn map<const N: usize>(entries: [(&str, Option<AttributeValue>); N]) -> AttributeValue {
    AttributeValue::M(entries.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect())
}

pub(crate) fn string(text: impl Into<String>) -> AttributeValue {
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
