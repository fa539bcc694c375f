//! An event as an item of the table, and back.

use std::collections::{BTreeMap, HashMap};
use std::io::{Read, Write};

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;

use crate::clock::{UnixMillis, UnixSeconds};
use crate::record::event::{Attempt, AttemptBy, Dispatch, DispatchState, EventRecord, EventState, Fetched};
use crate::record::key;
use crate::record::pauses::Pause;
use crate::record::store::error::{MAX_STORED_BODY_BYTES, StoreError};

pub(crate) type Item = HashMap<String, AttributeValue>;

/// Shorter bodies are stored as they are: a write costs the same up to 1 KiB, and deflating takes more time than all else.
const DEFLATE_FROM_BYTES: usize = 1024;

pub(crate) fn item_of(event: &EventRecord, due_parts: u8) -> Result<HashMap<String, AttributeValue>, StoreError> {
    let (body, body_encoding) = stored_body(event.body.as_bytes());
    if body.len() > MAX_STORED_BODY_BYTES {
        return Err(StoreError::TooLarge { stored_bytes: body.len() });
    }
    let fixed = [
        ("pk", Some(string(event.pk()))),
        ("provider", Some(string(&event.provider))),
        ("event_type", event.event_type.as_deref().map(string)),
        ("occurred_at", Some(number(event.occurred_at.0))),
        ("received_at", Some(number(event.received_at.0))),
        ("body", Some(AttributeValue::B(Blob::new(body)))),
        ("body_encoding", Some(string(body_encoding))),
        ("body_sha256", Some(string(&event.body_sha256))),
    ];
    let attributes = fixed.into_iter().chain(changing(event, due_parts));
    Ok(attributes.filter_map(|(name, value)| Some((name.to_owned(), value?))).collect())
}

/// The attributes that later writes change; `None` for one that the item must not have.
pub(crate) fn changing(event: &EventRecord, due_parts: u8) -> [(&'static str, Option<AttributeValue>); 13] {
    let waits_for = (event.state == EventState::Pending).then(|| {
        let entries = event.waits_for().into_iter().map(|(entry, at)| (entry, number(at.0)));
        AttributeValue::M(entries.collect())
    });
    [
        ("state", Some(string(event.state.name()))),
        ("attempts", Some(number(event.attempts))),
        ("next_attempt_at", event.next_attempt_at.map(|at| number(at.0))),
        ("revived_at", event.revived_at.map(|at| number(at.0))),
        ("waits_for", waits_for),
        ("taken_by", Some(string(&event.taken_by))),
        ("unsettled", (event.unsettled > 0).then(|| number(event.unsettled))),
        ("due", event.due(due_parts).map(string)),
        ("last_error", event.last_error.as_deref().map(string)),
        ("history", Some(AttributeValue::L(event.history.iter().map(attempt_of).collect()))),
        ("deliveries", Some(deliveries_of(event))),
        ("delivered_at", event.delivered_at.map(|at| number(at.0))),
        ("expires_at", event.expires_at.map(|at| number(at.0))),
    ]
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

/// The inverse of `stored_body`; `None` when the bytes are not of this encoding.
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

/// The body of an event's item; `None` when there is none that can be read.
pub(crate) fn body_of(item: &Item) -> Option<String> {
    body_from_stored(item.get("body")?.as_b().ok()?.as_ref(), item.get("body_encoding")?.as_s().ok()?)
}

fn deliveries_of(event: &EventRecord) -> AttributeValue {
    let map = event.deliveries.iter().map(|(route, delivery)| (route.clone(), delivery_of(delivery))).collect();
    AttributeValue::M(map)
}

fn delivery_of(delivery: &Dispatch) -> AttributeValue {
    map([
        ("state", Some(string(delivery.state.name()))),
        ("code", delivery.code.as_deref().map(string)),
        ("at", delivery.at.map(|at| number(at.0))),
        ("attempts", (delivery.attempts > 0).then(|| number(delivery.attempts))),
        ("next_attempt_at", delivery.next_attempt_at.map(|at| number(at.0))),
    ])
}

fn attempt_of(attempt: &Attempt) -> AttributeValue {
    map([
        ("at", Some(number(attempt.at.0))),
        ("by", Some(string(attempt.by.name()))),
        ("outcome", Some(string(&attempt.outcome))),
        ("http_status", attempt.http_status.map(number)),
        ("ms", Some(number(attempt.ms))),
        ("reason", attempt.reason.as_deref().map(string)),
    ])
}

/// `None` before anything was fetched.
pub(crate) fn fetched_of(event: &EventRecord) -> Option<AttributeValue> {
    let value = |json: &Option<String>| json.as_ref().map_or(AttributeValue::Null(true), string);
    let fields = |fetched: &Fetched| {
        AttributeValue::M(fetched.iter().map(|(field, json)| (field.clone(), value(json))).collect())
    };
    let routes = || event.fetched.iter().map(|(route, fetched)| (route.clone(), fields(fetched)));
    (!event.fetched.is_empty()).then(|| AttributeValue::M(routes().collect()))
}

fn fetched_from(item: &Item) -> Option<BTreeMap<String, Fetched>> {
    let Some(routes) = item.get("fetched") else { return Some(BTreeMap::new()) };
    let value = |value: &AttributeValue| match value {
        AttributeValue::Null(_) => Some(None),
        value => Some(Some(value.as_s().ok()?.clone())),
    };
    let fields = |fetched: &AttributeValue| {
        let fields = fetched.as_m().ok()?.iter();
        fields.map(|(field, json)| Some((field.clone(), value(json)?))).collect::<Option<Fetched>>()
    };
    routes.as_m().ok()?.iter().map(|(route, fetched)| Some((route.clone(), fields(fetched)?))).collect()
}

/// Reads an item back; the inverse of `item_of`.
pub fn record_of(pk: &str, item: &Item) -> Result<EventRecord, StoreError> {
    let unreadable = |attribute| StoreError::Unreadable { pk: pk.to_owned(), attribute };
    let text = |name: &'static str| item.get(name).and_then(|value| value.as_s().ok()).cloned();
    let required = |name: &'static str| text(name).ok_or_else(|| unreadable(name));
    let millis = |name: &'static str| integer(item, name).map(UnixMillis);
    let count = |name: &str| integer(item, name).and_then(|n| n.try_into().ok());

    let (provider, event_id) = key::event_parts(pk).ok_or_else(|| unreadable("pk"))?;
    Ok(EventRecord {
        provider: provider.to_owned(),
        event_id: event_id.to_owned(),
        event_type: text("event_type"),
        occurred_at: millis("occurred_at").ok_or_else(|| unreadable("occurred_at"))?,
        received_at: millis("received_at").ok_or_else(|| unreadable("received_at"))?,
        state: EventState::from_name(&required("state")?).ok_or_else(|| unreadable("state"))?,
        attempts: count("attempts").ok_or_else(|| unreadable("attempts"))?,
        next_attempt_at: integer(item, "next_attempt_at").map(UnixSeconds),
        revived_at: millis("revived_at"),
        unsettled: count("unsettled").unwrap_or_default(),
        body: body_of(item).ok_or_else(|| unreadable("body"))?,
        body_sha256: required("body_sha256")?,
        taken_by: text("taken_by").unwrap_or_default(),
        last_error: text("last_error"),
        history: history_from(item).ok_or_else(|| unreadable("history"))?,
        deliveries: deliveries_from(item).ok_or_else(|| unreadable("deliveries"))?,
        fetched: fetched_from(item).ok_or_else(|| unreadable("fetched"))?,
        delivered_at: millis("delivered_at"),
        expires_at: integer(item, "expires_at").map(UnixSeconds),
    })
}

pub(crate) fn integer(item: &Item, name: &str) -> Option<u64> {
    item.get(name)?.as_n().ok()?.parse().ok()
}

pub(crate) fn history_from(item: &Item) -> Option<Vec<Attempt>> {
    let attempts = item.get("history").map_or(Some(&[][..]), |list| list.as_l().ok().map(Vec::as_slice))?;
    attempts.iter().map(|attempt| attempt_from(attempt.as_m().ok()?)).collect()
}

fn attempt_from(attempt: &Item) -> Option<Attempt> {
    Some(Attempt {
        at: UnixMillis(integer(attempt, "at")?),
        by: AttemptBy::from_name(attempt.get("by")?.as_s().ok()?)?,
        outcome: attempt.get("outcome")?.as_s().ok()?.clone(),
        http_status: integer(attempt, "http_status").and_then(|status| status.try_into().ok()),
        ms: integer(attempt, "ms")?,
        reason: attempt.get("reason").and_then(|reason| reason.as_s().ok()).cloned(),
    })
}

pub(crate) fn deliveries_from(item: &Item) -> Option<BTreeMap<String, Dispatch>> {
    let deliveries = item.get("deliveries")?.as_m().ok()?;
    deliveries
        .iter()
        .map(|(route, delivery)| {
            let delivery = delivery.as_m().ok()?;
            let state = DispatchState::from_name(delivery.get("state")?.as_s().ok()?)?;
            let code = delivery.get("code").and_then(|code| code.as_s().ok()).cloned();
            let dispatch = Dispatch {
                state,
                code,
                at: integer(delivery, "at").map(UnixMillis),
                attempts: integer(delivery, "attempts").and_then(|n| n.try_into().ok()).unwrap_or_default(),
                next_attempt_at: integer(delivery, "next_attempt_at").map(UnixSeconds),
            };
            Some((route.clone(), dispatch))
        })
        .collect()
}

/// `None` when the item is malformed, also in an end of a pause that cannot be read.
pub(crate) fn pauses_of(item: &Item) -> Option<Vec<Pause>> {
    let pauses = item.get("pauses")?.as_l().ok()?;
    pauses
        .iter()
        .map(|pause| {
            let pause = pause.as_m().ok()?;
            let to = match pause.get("to") {
                Some(_) => Some(UnixMillis(integer(pause, "to")?)),
                None => None,
            };
            Some(Pause { from: UnixMillis(integer(pause, "from")?), to })
        })
        .collect()
}

pub(crate) fn pk_of(item: &Item) -> String {
    item.get("pk").and_then(|pk| pk.as_s().ok()).cloned().unwrap_or_default()
}

pub(crate) fn map<const N: usize>(entries: [(&str, Option<AttributeValue>); N]) -> AttributeValue {
    AttributeValue::M(entries.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect())
}

pub(crate) fn string(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

pub(crate) fn number(value: impl Into<u64>) -> AttributeValue {
    AttributeValue::N(value.into().to_string())
}

#[cfg(test)]
mod tests;
