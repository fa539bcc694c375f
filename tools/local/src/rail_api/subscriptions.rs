//! Subscriptions as Rail's pages describe them: one per event type, each with a key of its own.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use serde_json::{Value, json};

use super::answers::{API_PREFIX, Refusal, query};
use crate::front::{JSON, json_response};

/// An existing subscription.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Subscription {
    pub id: String,
    pub event_type: String,
    pub callback_url: String,
    pub key: String,
}

#[derive(Debug)]
pub(super) struct Subscriptions {
    pub(super) live: Vec<Subscription>,
    /// The answer to each `x-l2f-idempotency-id`, without expiry.
    saved: HashMap<String, Value>,
    pub(super) refused_types: BTreeSet<String>,
    pub(super) page_size: usize,
    /// The OpenAPI description's list shows keys, the guide's does not.
    pub(super) list_shows_keys: bool,
    /// No page says whether a second one of the same type and URL is refused.
    pub(super) refuses_duplicates: bool,
}

impl Default for Subscriptions {
    fn default() -> Self {
        Self {
            live: Vec::new(),
            saved: HashMap::new(),
            refused_types: BTreeSet::new(),
            page_size: 25,
            list_shows_keys: true,
            refuses_duplicates: false,
        }
    }
}

impl Subscriptions {
    /// A new one with a new key.
    pub(super) fn add(&mut self, event_type: &str, callback_url: &str) -> Subscription {
        let added = Subscription {
            id: format!("sub_{:016x}", fastrand::u64(..)),
            event_type: event_type.to_owned(),
            callback_url: callback_url.to_owned(),
            key: format!("whsec_sample_{:032x}_do_not_use", fastrand::u128(..)),
        };
        self.live.push(added.clone());
        added
    }

    pub(super) fn create(&mut self, request: &Request<Bytes>) -> Result<Response<Bytes>, Refusal> {
        let refused = |code, description| Err(Refusal(StatusCode::BAD_REQUEST, code, description));
        let idempotency_id = request.headers().get("x-l2f-idempotency-id").and_then(|id| id.to_str().ok());
        if let Some(saved) = idempotency_id.and_then(|id| self.saved.get(id)) {
            return Ok(json_response(StatusCode::OK, JSON, saved));
        }
        let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
        let (Some(event_type), Some(callback_url)) = (body["event_type"].as_str(), body["callback_url"].as_str())
        else {
            return refused("INVALID_REQUEST", "event_type and callback_url are wanted");
        };
        if self.refused_types.contains(event_type) || !FAMILIES.iter().any(|family| event_type.starts_with(family)) {
            return refused("INVALID_EVENT_TYPE", "there is no such event type");
        }
        if !callback_url.starts_with("https://") && !callback_url.starts_with("http://127.0.0.1") {
            return refused("INVALID_CALLBACK_URL", "an https URL is wanted");
        }
        let same = |known: &Subscription| known.event_type == event_type && known.callback_url == callback_url;
        if self.refuses_duplicates && self.live.iter().any(same) {
            return refused("DUPLICATE_SUBSCRIPTION", "there is one of this type and URL");
        }
        let answer = json!({ "data": self.add(event_type, callback_url).shown(true) });
        if let Some(id) = idempotency_id {
            self.saved.insert(id.to_owned(), answer.clone());
        }
        Ok(json_response(StatusCode::OK, JSON, &answer))
    }

    pub(super) fn list(&self, request: &Request<Bytes>) -> Response<Bytes> {
        let pages = self.live.len().div_ceil(self.page_size).max(1);
        let page = query(request, "page").and_then(|page| page.parse().ok()).unwrap_or(1).clamp(1, pages);
        let shown = self.live.iter().skip((page - 1) * self.page_size).take(self.page_size);
        let link = |page: usize| format!("{API_PREFIX}/v1/subscriptions?page={page}");
        let body = json!({
            "data": { "subscriptions": shown.map(|it| it.shown(self.list_shows_keys)).collect::<Vec<_>>() },
            "links": {
                "self": link(page),
                "first": link(1),
                "prev": (page > 1).then(|| link(page - 1)),
                "next": (page < pages).then(|| link(page + 1)),
                "last": link(pages),
            },
        });
        json_response(StatusCode::OK, JSON, &body)
    }

    pub(super) fn read(&self, id: &str) -> Result<Response<Bytes>, Refusal> {
        let found = self.live.iter().find(|known| known.id == id).ok_or(NO_SUCH)?;
        Ok(json_response(StatusCode::OK, JSON, &json!({ "data": found.shown(false) })))
    }

    pub(super) fn delete(&mut self, id: &str) -> Result<Response<Bytes>, Refusal> {
        let at = self.live.iter().position(|known| known.id == id).ok_or(NO_SUCH)?;
        self.live.remove(at);
        Ok(json_response(StatusCode::OK, JSON, &json!({ "data": { "id": id, "status": "DELETED" } })))
    }
}

impl Subscription {
    fn shown(&self, with_key: bool) -> Value {
        let mut shown = json!({
            "id": self.id,
            "event_type": self.event_type,
            "callback_url": self.callback_url,
            "status": "ACTIVE",
        });
        if with_key {
            shown["signature_verification_key"] = json!(self.key);
        }
        shown
    }
}

const NO_SUCH: Refusal = Refusal(StatusCode::NOT_FOUND, "NOT_FOUND", "there is no such id");

/// The prefixes of the event types in both of Rail's lists.
const FAMILIES: [&str; 8] =
    ["ACCOUNT_", "APPLICATION_", "COUNTERPARTY_", "CUSTOMER_", "DEPOSIT_", "EXCHANGE_", "TRANSACTION_", "WITHDRAWAL_"];
