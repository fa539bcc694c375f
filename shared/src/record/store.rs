//! The one door to the events table: each write has the condition that makes it safe.

pub mod error;
pub mod index;
pub mod item;
pub mod listing;
pub mod once;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::builders::KeysAndAttributesBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes, ReturnValuesOnConditionCheckFailure};
use tokio::time::{Instant, sleep};

use crate::config::DEFAULT_DUE_PARTS;
use crate::outside::aws::repeat;
use crate::record::event::{EventRecord, EventState};
use crate::record::key;
use crate::record::pauses::{Pause, PauseReading, Pauses};
use crate::record::store::error::StoreError;
use crate::record::store::item::{
    Item, body_of, changing, fetched_of, integer, item_of, map, number, pauses_of, pk_of, record_of, string,
};
use route::destination::Destination;

/// The events table.
#[derive(Clone, Debug)]
pub struct EventStore {
    client: Client,
    table: String,
    due_parts: u8,
}

/// The outcome of recording an event.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum RecordOutcome {
    /// This invocation has written it.
    New,
    /// Its key is taken by this.
    Duplicate(RecordedEvent),
}

/// What the table holds under the key of an event that was to be recorded.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RecordedEvent {
    pub event_type: Option<String>,
    /// Its body, if it came in other bytes; empty when it cannot be read.
    pub other_body: Option<String>,
}

/// The outcome of settling an attempt.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SettleOutcome {
    Written,
    /// The lease had run out and there is a newer attempt, which counts.
    Superseded,
    /// There is no such item any more: a record with work left was deleted.
    Gone,
}

/// The outcome of taking an event over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TakeOverOutcome {
    /// The event is ours until the new lease ends.
    Ours,
    /// Another deliverer was quicker, or the event has been settled.
    Lost,
}

/// How many keys one `BatchGetItem` takes.
pub const MAX_BATCH: usize = 100;

/// The pause before missing items are asked for again, and how often in a row that may return nothing.
const BEFORE_ASKING_AGAIN: Duration = Duration::from_millis(100);
const PARTIAL_TRIES: u32 = 10;

impl EventStore {
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table, due_parts: DEFAULT_DUE_PARTS }
    }

    /// The same, spreading pending events over so many parts of the index.
    pub fn spreading_over(self, due_parts: u8) -> Self {
        Self { due_parts, ..self }
    }

    /// Writes a new event, unless its key is taken: one call either way, repeated `until` then while the table is throttled,
    /// fails, or does not answer.
    ///
    /// A repeated write whose first answer was lost recognises itself by `taken_by`.
    ///
    /// # Errors
    /// When DynamoDB rejects it, or no item can hold it: nothing is durable then, so it must not be acknowledged.
    pub async fn record(&self, event: &EventRecord, until: Instant) -> Result<RecordOutcome, StoreError> {
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item_of(event, self.due_parts)?))
            .condition_expression("attribute_not_exists(pk)")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let result = repeat(until, || put.clone().send()).await;
        let Err(error) = result else {
            return Ok(RecordOutcome::New);
        };
        let Some(PutItemError::ConditionalCheckFailedException(taken)) = error.as_service_error() else {
            return Err(self.unavailable(&error));
        };
        if taken.item().is_some_and(|item| is_taken_by(item, event)) {
            return Ok(RecordOutcome::New);
        }
        let same_body = taken.item().is_some_and(|item| holds(item, "body_sha256", &event.body_sha256));
        let other_body = (!same_body).then(|| taken.item().and_then(body_of).unwrap_or_default());
        let event_type = match taken.item() {
            Some(item) => item.get("event_type").and_then(|event_type| event_type.as_s().ok()).cloned(),
            // Never so, since the item is asked for; nothing is known to differ then.
            None => event.event_type.clone(),
        };
        Ok(RecordOutcome::Duplicate(RecordedEvent { event_type, other_body }))
    }

    /// Writes the result of an attempt, unless a newer attempt was made.
    ///
    /// # Errors
    /// When DynamoDB rejects it; the lease runs out then, and redrive makes the next attempt.
    pub async fn settle(&self, after: &EventRecord) -> Result<SettleOutcome, StoreError> {
        let result = self
            .change(after)
            .condition_expression("#state = :was AND attempts = :attempts AND taken_by = :taken_by")
            .expression_attribute_values(":was", string(EventState::Pending.name()))
            .send()
            .await;
        let Err(error) = result else {
            return Ok(SettleOutcome::Written);
        };
        let Some(UpdateItemError::ConditionalCheckFailedException(held)) = error.as_service_error() else {
            return Err(self.unavailable(&error));
        };
        Ok(match held.item() {
            None => SettleOutcome::Gone,
            // Only its holder settles an attempt: this write has taken effect before, and its answer was lost.
            Some(item) if is_taken_by(item, after) => SettleOutcome::Written,
            Some(_) => SettleOutcome::Superseded,
        })
    }

    /// The event of this key, read consistently.
    ///
    /// # Errors
    /// When DynamoDB does not answer, or the item is malformed.
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

    /// Takes an event over, gives it up or dismisses it: writes `after`, if the item is still as `before` was read.
    ///
    /// # Errors
    /// When DynamoDB rejects it.
    pub async fn take_over(&self, before: &EventRecord, after: &EventRecord) -> Result<TakeOverOutcome, StoreError> {
        let mut update = self
            .change(after)
            .expression_attribute_values(":was", string(before.state.name()))
            .expression_attribute_values(":made", number(before.attempts));
        // An ignored event has no next attempt.
        let unchanged = match before.next_attempt_at {
            Some(at) => {
                update = update.expression_attribute_values(":seen", number(at.0));
                "next_attempt_at = :seen"
            }
            None => "attribute_not_exists(next_attempt_at)",
        };
        let condition = format!("#state = :was AND attempts = :made AND {unchanged}");
        let Err(error) = update.condition_expression(condition).send().await else {
            return Ok(TakeOverOutcome::Ours);
        };
        match error.as_service_error() {
            Some(UpdateItemError::ConditionalCheckFailedException(held)) => {
                // An attempt is taken once: this write has taken effect before, and its answer was lost.
                let ours = after.attempts > before.attempts && held.item().is_some_and(|item| is_taken_by(item, after));
                Ok(if ours { TakeOverOutcome::Ours } else { TakeOverOutcome::Lost })
            }
            _ => Err(self.unavailable(&error)),
        }
    }

    /// An update that gives the item all attributes of `after` that ever change.
    fn change(&self, after: &EventRecord) -> UpdateItemFluentBuilder {
        let mut update = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("pk", string(after.pk()))
            .expression_attribute_names("#state", "state")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let (mut set, mut remove) = (String::new(), String::new());
        for (name, value) in changing(after, self.due_parts) {
            // `state` is a reserved word of DynamoDB.
            let escaped = if name == "state" { "#state" } else { name };
            match value {
                Some(value) => {
                    set += &format!("{}{escaped} = :{name}", if set.is_empty() { "SET " } else { ", " });
                    update = update.expression_attribute_values(format!(":{name}"), value);
                }
                None => remove += &format!("{}{escaped}", if remove.is_empty() { " REMOVE " } else { ", " }),
            }
        }
        // Once fetched, values stay.
        if let Some(fetched) = fetched_of(after) {
            set += ", fetched = :fetched";
            update = update.expression_attribute_values(":fetched", fetched);
        }
        update.update_expression(set + &remove)
    }

    /// What the table says of each of these destinations' pauses, read consistently; those that it does not answer for are
    /// left out.
    ///
    /// # Errors
    /// When DynamoDB answers for none.
    pub async fn pauses(&self, destinations: impl IntoIterator<Item = &Destination>) -> Result<Pauses, StoreError> {
        let by_pk: HashMap<String, &Destination> =
            destinations.into_iter().map(|destination| (key::pauses(destination), destination)).collect();
        let (mut pauses, mut failure) = (Pauses::default(), None);
        for some in by_pk.keys().collect::<Vec<_>>().chunks(MAX_BATCH) {
            let (items, unread) = match self.batch(some, |keys| keys.consistent_read(true)).await {
                Ok(answer) => answer,
                Err(error) => {
                    failure = Some(error);
                    continue;
                }
            };
            if !unread.is_empty() {
                failure = Some(self.in_part());
            }
            let items: HashMap<String, Item> = items.into_iter().map(|item| (pk_of(&item), item)).collect();
            for pk in some.iter().filter(|pk| !unread.contains(**pk)) {
                let reading = match items.get(*pk).map(pauses_of) {
                    None => PauseReading::Known(Vec::new()),
                    Some(Some(read)) => PauseReading::Known(read),
                    Some(None) => PauseReading::Malformed,
                };
                pauses.0.insert(by_pk[*pk].clone(), reading);
            }
        }
        match failure {
            Some(error) if pauses.0.is_empty() => Err(error),
            _ => Ok(pauses),
        }
    }

    /// Writes the pauses of a destination, unless they are no longer as `before` has them: then it is false. Without `before`
    /// it overwrites what is there.
    ///
    /// # Errors
    /// When DynamoDB rejects it.
    pub async fn write_pauses(
        &self,
        destination: &Destination,
        before: Option<&[Pause]>,
        after: &[Pause],
    ) -> Result<bool, StoreError> {
        let mut put = self
            .client
            .put_item()
            .table_name(&self.table)
            .item("pk", string(key::pauses(destination)))
            .item("pauses", list_of(after))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        if let Some(before) = before {
            let unchanged =
                if before.is_empty() { "attribute_not_exists(pk) OR pauses = :before" } else { "pauses = :before" };
            put = put.condition_expression(unchanged).expression_attribute_values(":before", list_of(before));
        }
        let Err(error) = put.send().await else {
            return Ok(true);
        };
        match error.as_service_error() {
            // What is there is what was to be written: this write has taken effect before, and its answer was lost.
            Some(PutItemError::ConditionalCheckFailedException(held)) => {
                Ok(held.item().and_then(pauses_of).is_some_and(|held| held == after))
            }
            _ => Err(self.unavailable(&error)),
        }
    }

    /// The items of these keys, in no order; `asked` sets the attributes and the consistency.
    async fn items(
        &self,
        distinct_pks: &[&String],
        asked: fn(KeysAndAttributesBuilder) -> KeysAndAttributesBuilder,
    ) -> Result<Vec<Item>, StoreError> {
        let mut items = Vec::with_capacity(distinct_pks.len());
        for some in distinct_pks.chunks(MAX_BATCH) {
            let (found, unread) = self.batch(some, asked).await?;
            if !unread.is_empty() {
                return Err(self.in_part());
            }
            items.extend(found);
        }
        Ok(items)
    }

    /// The items of up to [`MAX_BATCH`] keys, and the keys that DynamoDB did not answer for.
    ///
    /// A throttled table answers in part, and one answer holds at most 16 MB: missing items are asked for again.
    async fn batch(
        &self,
        distinct_pks: &[&String],
        asked: fn(KeysAndAttributesBuilder) -> KeysAndAttributesBuilder,
    ) -> Result<(Vec<Item>, HashSet<String>), StoreError> {
        let keys = distinct_pks.iter().map(|pk| HashMap::from([("pk".to_owned(), string(*pk))])).collect();
        let keys = asked(KeysAndAttributes::builder().set_keys(Some(keys))).build();
        let mut left = keys.map_err(|_| StoreError::Unreadable { pk: String::new(), attribute: "pk" })?;
        let (mut items, mut tries) = (Vec::with_capacity(distinct_pks.len()), 0);
        loop {
            let before = items.len();
            match self.client.batch_get_item().request_items(&self.table, left.clone()).send().await {
                Ok(output) => {
                    items.extend(output.responses.unwrap_or_default().into_values().flatten());
                    match output.unprocessed_keys.and_then(|mut left| left.remove(&self.table)) {
                        Some(unprocessed) => left = unprocessed,
                        None => return Ok((items, HashSet::new())),
                    }
                }
                Err(error) if items.is_empty() => return Err(self.unavailable(&error)),
                Err(_) => return Ok((items, left.keys().iter().map(pk_of).collect())),
            }
            tries = if items.len() > before { 0 } else { tries + 1 };
            if tries == PARTIAL_TRIES {
                return Ok((items, left.keys().iter().map(pk_of).collect()));
            }
            sleep(BEFORE_ASKING_AGAIN).await;
        }
    }

    fn in_part(&self) -> StoreError {
        StoreError::Unavailable { table: self.table.clone(), reason: "answers in part".to_owned() }
    }

    fn unavailable<E, R>(&self, error: &SdkError<E, R>) -> StoreError
    where
        E: ProvideErrorMetadata,
    {
        StoreError::unavailable(&self.table, error)
    }
}

/// Whether the item is as this attempt left it.
fn is_taken_by(item: &Item, event: &EventRecord) -> bool {
    holds(item, "taken_by", &event.taken_by) && integer(item, "attempts") == Some(event.attempts.into())
}

fn list_of(pauses: &[Pause]) -> AttributeValue {
    let pause = |pause: &Pause| map([("from", Some(number(pause.from.0))), ("to", pause.to.map(|to| number(to.0)))]);
    AttributeValue::L(pauses.iter().map(pause).collect())
}

fn holds(item: &Item, name: &str, value: &str) -> bool {
    item.get(name).is_some_and(|held| held.as_s().is_ok_and(|held| held == value))
}
