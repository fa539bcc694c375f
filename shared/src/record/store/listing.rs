//! Reading many events for an operator: those of known keys, or all by a scan.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::clock::{UnixMillis, UnixSeconds};
use crate::record::event::{Attempt, DISMISSED, Dispatch, EventRecord, EventState, is_in_hand};
use crate::record::key;
use crate::record::store::EventStore;
use crate::record::store::error::StoreError;
use crate::record::store::index::Cursor;
use crate::record::store::item::{Item, deliveries_from, history_from, integer, pk_of, record_of, string};

/// An event without its body and the details of its attempts: what a list shows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EventSummary {
    pub pk: String,
    /// `None` when the envelope is unreadable.
    pub event_type: Option<String>,
    pub received_at: UnixMillis,
    pub state: EventState,
    pub attempts: u32,
    /// As of [`EventRecord::next_attempt_at`].
    pub next_attempt_at: Option<UnixSeconds>,
    pub last_error: Option<String>,
    /// By the name of the route.
    pub deliveries: BTreeMap<String, Dispatch>,
    /// How many attempts its history has.
    pub outcomes: usize,
}

/// Events in the table's own order, and the start of the next page.
#[derive(Debug)]
pub struct ScanPage {
    /// A malformed item is an error of its own.
    pub events: Vec<Result<EventSummary, StoreError>>,
    pub next: Option<Cursor>,
}

/// The attributes of an [`EventSummary`]; `state` is a reserved word of DynamoDB.
const SUMMARY: &str = "pk, event_type, received_at, #state, attempts, next_attempt_at, last_error, deliveries, history";

impl EventSummary {
    /// Whether somebody is delivering it at this moment.
    pub fn is_in_hand(&self, now: UnixMillis) -> bool {
        is_in_hand(self.state, self.next_attempt_at, &self.deliveries, now)
    }

    pub fn provider(&self) -> &str {
        key::event_parts(&self.pk).map_or("", |(provider, _)| provider)
    }
}

impl From<&EventRecord> for EventSummary {
    fn from(event: &EventRecord) -> Self {
        Self {
            pk: event.pk(),
            event_type: event.event_type.clone(),
            received_at: event.received_at,
            state: event.state,
            attempts: event.attempts,
            next_attempt_at: event.next_attempt_at,
            last_error: event.last_error.clone(),
            deliveries: event.deliveries.clone(),
            outcomes: attempts_in(&event.history),
        }
    }
}

impl EventStore {
    /// These events, read consistently, in the order asked for. Missing ones are omitted, and a malformed item is an error of
    /// its own.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn summaries(&self, pks: &[String]) -> Result<Vec<Result<EventSummary, StoreError>>, StoreError> {
        // DynamoDB rejects a call that names a key twice.
        let distinct: Vec<&String> = pks.iter().collect::<BTreeSet<_>>().into_iter().collect();
        let items = self
            .items(&distinct, |keys| {
                keys.projection_expression(SUMMARY).expression_attribute_names("#state", "state").consistent_read(true)
            })
            .await?;
        let mut found: HashMap<_, _> = items.iter().map(|item| (pk_of(item), summary_of(item))).collect();
        Ok(pks.iter().filter_map(|pk| found.remove(pk)).collect())
    }

    /// As [`summaries`](Self::summaries), but whole records, in no order.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn records(&self, pks: &[String]) -> Result<Vec<Result<EventRecord, StoreError>>, StoreError> {
        let distinct: Vec<&String> = pks.iter().collect::<BTreeSet<_>>().into_iter().collect();
        let items = self.items(&distinct, |keys| keys.consistent_read(true)).await?;
        Ok(items.iter().map(|item| record_of(&pk_of(item), item)).collect())
    }

    /// A page of all events in one of these states. Each call reads up to 1 MB of the table, however few of them match.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn scan(&self, states: &[EventState], from: Option<&Cursor>) -> Result<ScanPage, StoreError> {
        let mut scan = self
            .client
            .scan()
            .table_name(&self.table)
            .projection_expression(SUMMARY)
            .expression_attribute_names("#state", "state")
            .set_exclusive_start_key(from.map(|cursor| cursor.0.clone()));
        let mut wanted = Vec::new();
        for (at, state) in states.iter().enumerate() {
            scan = scan.expression_attribute_values(format!(":s{at}"), string(state.name()));
            wanted.push(format!(":s{at}"));
        }
        let output = scan
            // Pauses and claims share the table and have no state.
            .filter_expression(format!("#state IN ({})", wanted.join(", ")))
            .send()
            .await
            .map_err(|error| self.unavailable(&error))?;
        let events = output.items().iter().map(summary_of).collect();
        Ok(ScanPage { events, next: output.last_evaluated_key.map(Cursor) })
    }
}

/// A dismissal stands in the history, and is no attempt.
fn attempts_in(history: &[Attempt]) -> usize {
    history.iter().filter(|attempt| attempt.outcome != DISMISSED).count()
}

fn summary_of(item: &Item) -> Result<EventSummary, StoreError> {
    let text = |name: &'static str| item.get(name).and_then(|value| value.as_s().ok()).cloned();
    let pk = pk_of(item);
    let unreadable = |attribute| StoreError::Unreadable { pk: pk.clone(), attribute };
    let state = text("state").as_deref().and_then(EventState::from_name);
    let attempts = integer(item, "attempts").and_then(|attempts| attempts.try_into().ok());
    Ok(EventSummary {
        event_type: text("event_type"),
        received_at: integer(item, "received_at").map(UnixMillis).ok_or_else(|| unreadable("received_at"))?,
        state: state.ok_or_else(|| unreadable("state"))?,
        attempts: attempts.ok_or_else(|| unreadable("attempts"))?,
        next_attempt_at: integer(item, "next_attempt_at").map(UnixSeconds),
        last_error: text("last_error"),
        deliveries: deliveries_from(item).ok_or_else(|| unreadable("deliveries"))?,
        outcomes: attempts_in(&history_from(item).ok_or_else(|| unreadable("history"))?),
        pk,
    })
}
