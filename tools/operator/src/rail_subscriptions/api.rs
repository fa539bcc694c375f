//! The calls of Rail's API that subscriptions need: list, create, delete.

use std::borrow::Cow;
use std::time::Duration;

use json::{Document, Kind, Value};
use reqwest::Method;
use reqwest::header::{HeaderName, HeaderValue};
use serde_json::json;
use sha2::{Digest, Sha256};
use shared::customer::api_client::{ApiCall, ApiClient};
use shared::customer::provider_api::ProviderApi;
use shared::outside::http::{CallTime, HttpAnswer};
use uuid::Builder;

use crate::rail_subscriptions::error::{Cause, Error, Operation, RailError};
use crate::rail_subscriptions::subscription::{CallbackUrl, NewSubscription, Subscription};

/// Rail's API, with the scopes that the client was made for.
pub struct RailApi {
    client: ApiClient,
    /// Before the second try of a call; doubled before each further one.
    first_pause: Duration,
}

/// Calls are tried at most four times, and only while the failure is transient.
const TRIES: u32 = 4;

/// A longer wait is reported instead: an operator can run the verb again.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A longer list has links that lead back.
const MOST_PAGES: usize = 1_000;

const PATH: [&str; 2] = ["v1", "subscriptions"];

impl RailApi {
    /// Reading needs fewer scopes than changing.
    pub const READING: ProviderApi = ProviderApi { secret_variable: "", scope: "subscriptions:read", lookups: &[] };
    pub const CHANGING: ProviderApi =
        ProviderApi { secret_variable: "", scope: "subscriptions:read subscriptions:write", lookups: &[] };

    pub fn new(client: ApiClient) -> Self {
        Self { client, first_pause: Duration::from_secs(1) }
    }

    /// The same, with another pause before a second try.
    pub fn with_first_pause(self, first_pause: Duration) -> Self {
        Self { first_pause, ..self }
    }

    /// All subscriptions, of every URL.
    ///
    /// # Errors
    /// A page is not available: half a list would lead to wrong steps.
    pub async fn list(&self) -> Result<Vec<Subscription>, Error> {
        let unreadable = || RailError { operation: Operation::List, cause: Cause::Unreadable };
        let mut found = Vec::new();
        let mut query: Option<String> = None;
        for _ in 0..MOST_PAGES {
            let call = ApiCall { method: Method::GET, path: &PATH, query: query.as_deref(), header: None, body: None };
            let answer = self.call(Operation::List, &call).await?;
            let page = Document::of(answer.text()).map_err(|_| unreadable())?;
            let entries = page.root().get("data").and_then(|data| data.get("subscriptions"));
            let entries = entries.filter(|entries| entries.kind() == Kind::Array).ok_or_else(unreadable)?;
            for entry in entries.elements() {
                if entry.get("status").and_then(Value::text).is_none_or(|status| status != "DELETED") {
                    found.push(Subscription::read(entry).ok_or_else(unreadable)?);
                }
            }
            let Some(next) = next_page(page.root()).ok_or_else(unreadable)? else {
                return Ok(found);
            };
            // Only the query of the link is used: a token goes to no address but the one in the secret.
            let next = next.split_once('?').map(|(_, query)| query.split('#').next().unwrap_or_default().to_owned());
            if next.is_none() || next == query {
                return Err(unreadable().into());
            }
            query = next;
        }
        Err(unreadable().into())
    }

    /// Creates a subscription. If this generation of it was created before, Rail repeats its answer of then.
    ///
    /// # Errors
    /// [`Cause::Rejected`] when Rail does not accept it: an event type that it does not know, for example.
    pub async fn create(&self, event_type: &str, url: &CallbackUrl, generation: u32) -> Result<NewSubscription, Error> {
        let operation = || Operation::Create(event_type.to_owned());
        let id = idempotency_id(url, event_type, generation);
        let header = HeaderValue::try_from(id).ok().map(|id| (HeaderName::from_static("x-l2f-idempotency-id"), id));
        let body = json!({ "event_type": event_type, "callback_url": url.as_str() });
        let call = ApiCall { method: Method::POST, path: &PATH, query: None, header, body: Some(&body) };
        let answer = self.call(operation(), &call).await?;
        let created = Document::of(answer.text()).ok().and_then(|answer| NewSubscription::read(answer.root()));
        created.ok_or_else(|| RailError { operation: operation(), cause: Cause::Unreadable }.into())
    }

    /// Deletes a subscription. If Rail has none of this id, there is nothing to do.
    ///
    /// # Errors
    /// The subscription may still exist.
    pub async fn delete(&self, id: &str) -> Result<(), Error> {
        // The URL standard reads these as "here" and "above", which would be the list.
        if id.is_empty() || id == "." || id == ".." {
            return Ok(());
        }
        let path = [PATH[0], PATH[1], id];
        let call = ApiCall { method: Method::DELETE, path: &path, query: None, header: None, body: None };
        match self.call(Operation::Delete(id.to_owned()), &call).await {
            Ok(_) | Err(RailError { cause: Cause::NotFound, .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the secret of Rail's API can be used.
    ///
    /// # Errors
    /// Names the secret and the field.
    pub async fn check_account(&self) -> Result<(), Error> {
        Ok(self.client.check_account().await?)
    }

    /// The answer, if its status is 2xx. Transient failures are tried again a few times.
    async fn call(&self, operation: Operation, call: &ApiCall<'_>) -> Result<HttpAnswer, RailError> {
        let mut pause = self.first_pause;
        for tries in 1.. {
            let cause = match self.client.call(call, CallTime::of_a_person()).await {
                Ok(answer) if answer.status.is_success() => return Ok(answer),
                Ok(answer) => cause(&answer),
                Err(failure) => Cause::from(failure),
            };
            let wait = cause.retry_after(pause).filter(|wait| tries < TRIES && *wait <= LONGEST_PAUSE);
            let Some(wait) = wait else {
                return Err(RailError { operation, cause });
            };
            tokio::time::sleep(wait).await;
            pause *= 2;
        }
        unreachable!("the last try returns")
    }
}

/// The same for the same URL, type and generation, on every machine and at every time: a UUID of version 8.
fn idempotency_id(url: &CallbackUrl, event_type: &str, generation: u32) -> String {
    let digest = Sha256::digest(format!("rail subscription\n{}\n{event_type}\n{generation}", url.as_str()));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    Builder::from_custom_bytes(bytes).into_uuid().to_string()
}

fn cause(answer: &HttpAnswer) -> Cause {
    let status = answer.status.as_u16();
    match status {
        403 => Cause::Forbidden,
        404 => Cause::NotFound,
        429 => Cause::Throttled { retry_after: answer.retry_after },
        400..=499 => Cause::Rejected { status, code: error_code(answer) },
        // The API does not redirect, so this is another server.
        300..=399 => Cause::Unreadable,
        _ => Cause::ServerError(status),
    }
}

/// Rail's own code of the first error, if it looks like one. Nothing else that Rail writes is repeated.
fn error_code(answer: &HttpAnswer) -> Option<String> {
    let body = Document::of(answer.text()).ok()?;
    let code = body.root().get("errors")?.elements().next()?.get("code")?.text()?;
    let is_code = (1..=64).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
    is_code.then(|| code.into_owned())
}

/// The link to the next page of a list, if there is one; `None` where that cannot be read.
fn next_page<'d>(page: Value<'d>) -> Option<Option<Cow<'d, str>>> {
    let is_given = |value: &Value<'d>| value.kind() != Kind::Null;
    let Some(links) = page.get("links").filter(is_given) else { return Some(None) };
    match links.get("next").filter(is_given) {
        Some(next) => Some(Some(next.text()?).filter(|next| !next.is_empty())),
        None => (links.kind() == Kind::Object).then_some(None),
    }
}

#[cfg(test)]
mod tests;
