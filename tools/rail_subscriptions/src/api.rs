//! The calls of Rail's API that this takes: list, create, delete.

use std::fmt;
use std::time::Duration;

use reqwest::Method;
use reqwest::header::{HeaderName, HeaderValue};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use shared::customer::api_client::{ApiCall, ApiClient};
use shared::customer::provider_api::ProviderApi;
use shared::outside::http::Answer;

use crate::error::{Doing, Error, RailError, Why};
use crate::plan::CallbackUrl;

/// Rail's API, with the scopes that the client was made for.
pub struct RailApi {
    client: ApiClient,
    /// Before the second try of a call; doubled before each further one.
    first_pause: Duration,
}

/// A subscription as Rail lists it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Subscription {
    pub id: String,
    pub event_type: String,
    pub callback_url: String,
    /// Rail's pages do not agree on whether the list shows it.
    pub key: Option<Key>,
}

/// What Rail says it has created, now or whenever the same idempotency id was first sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Created {
    pub id: String,
    pub key: Key,
}

/// A `signature_verification_key`. It goes from Rail into the secret and nowhere else.
#[derive(Clone, Eq, PartialEq)]
pub struct Key(String);

/// A call is made at most so many times, as long as what fails may pass.
const TRIES: u32 = 4;

/// Whoever is to wait longer than this is told so instead.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A list that goes on for longer is going round in circles.
const MOST_PAGES: usize = 1_000;

const PATH: [&str; 2] = ["v1", "subscriptions"];

impl RailApi {
    /// What is known of Rail's API here. Reading takes less than changing.
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

    /// All subscriptions that are there, of whatever URL.
    ///
    /// # Errors
    /// A page is not to be had: better no list than half of one.
    pub async fn list(&self) -> Result<Vec<Subscription>, Error> {
        let unreadable = || RailError { doing: Doing::Listing, why: Why::Unreadable };
        let mut found = Vec::new();
        let mut query: Option<String> = None;
        for _ in 0..MOST_PAGES {
            let call = ApiCall { method: Method::GET, path: &PATH, query: query.as_deref(), header: None, body: None };
            let answer = self.call(Doing::Listing, &call).await?;
            let page: Value = serde_json::from_slice(&answer.body).map_err(|_| unreadable())?;
            let listed = page.pointer("/data/subscriptions").and_then(Value::as_array).ok_or_else(unreadable)?;
            for listed in listed.iter().filter(|listed| listed["status"] != "DELETED") {
                found.push(Subscription::read(listed).ok_or_else(unreadable)?);
            }
            let next = page.pointer("/links/next").and_then(Value::as_str).filter(|next| !next.is_empty());
            let Some(next) = next else {
                return Ok(found);
            };
            // Only the query of the link is followed: a token goes to no address but the one in the secret.
            let next = next.split_once('?').map(|(_, query)| query.split('#').next().unwrap_or_default().to_owned());
            if next.is_none() || next == query {
                return Err(unreadable().into());
            }
            query = next;
        }
        Err(unreadable().into())
    }

    /// Creates a subscription, or says what it said when this generation of it was created before.
    ///
    /// # Errors
    /// [`Why::Refused`] when Rail does not want it: an event type that it does not know, for example.
    pub async fn create(&self, event_type: &str, url: &CallbackUrl, generation: u32) -> Result<Created, Error> {
        let doing = || Doing::Creating(event_type.to_owned());
        let id = idempotency_id(url, event_type, generation);
        let header = HeaderValue::try_from(id).ok().map(|id| (HeaderName::from_static("x-l2f-idempotency-id"), id));
        let body = json!({ "event_type": event_type, "callback_url": url.as_str() });
        let call = ApiCall { method: Method::POST, path: &PATH, query: None, header, body: Some(&body) };
        let answer = self.call(doing(), &call).await?;
        let answer: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let text = |pointer| answer.pointer(pointer).and_then(Value::as_str).and_then(sound);
        match (text("/data/id"), text("/data/signature_verification_key")) {
            (Some(id), Some(key)) => Ok(Created { id, key: Key(key) }),
            _ => Err(RailError { doing: doing(), why: Why::Unreadable }.into()),
        }
    }

    /// Deletes a subscription; one that is gone already is fine.
    ///
    /// # Errors
    /// It may be there still.
    pub async fn delete(&self, id: &str) -> Result<(), Error> {
        // What the URL standard takes for "here" and "above" would name the list.
        if id.is_empty() || id == "." || id == ".." {
            return Ok(());
        }
        let path = [PATH[0], PATH[1], id];
        let call = ApiCall { method: Method::DELETE, path: &path, query: None, header: None, body: None };
        match self.call(Doing::Deleting(id.to_owned()), &call).await {
            Ok(_) | Err(RailError { why: Why::NotFound, .. }) => Ok(()),
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

    /// The answer, if it is a good one; what may pass is tried again a few times.
    async fn call(&self, doing: Doing, call: &ApiCall<'_>) -> Result<Answer, RailError> {
        let mut pause = self.first_pause;
        for tries in 1.. {
            let why = match self.client.call(call).await {
                Ok(answer) if answer.status.is_success() => return Ok(answer),
                Ok(answer) => why(&answer),
                Err(failure) => Why::from(failure),
            };
            let wait = match why.passes() {
                Some(asked) if tries < TRIES => asked.unwrap_or(pause),
                _ => return Err(RailError { doing, why }),
            };
            if wait > LONGEST_PAUSE {
                return Err(RailError { doing, why });
            }
            tokio::time::sleep(wait).await;
            pause *= 2;
        }
        unreachable!("the last try returns")
    }
}

/// The same for the same URL, type and generation, whoever asks and whenever: in the form of a UUID.
fn idempotency_id(url: &CallbackUrl, event_type: &str, generation: u32) -> String {
    let digest = Sha256::digest(format!("rail subscription\n{}\n{event_type}\n{generation}", url.as_str()));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    // Version 8, RFC 9562: made by a rule of our own.
    bytes[6] = (bytes[6] & 0x0f) | 0x80;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

fn why(answer: &Answer) -> Why {
    let status = answer.status.as_u16();
    match status {
        403 => Why::Forbidden,
        404 => Why::NotFound,
        429 => Why::Throttled { retry_after: answer.retry_after },
        400..=499 => Why::Refused { status, code: error_code(answer) },
        // Whatever answers so is not the API.
        300..=399 => Why::Unreadable,
        _ => Why::Failed(status),
    }
}

/// Rail's own code of the first error, if it looks like one: nothing else that Rail writes is passed on.
fn error_code(answer: &Answer) -> Option<String> {
    let body: Value = serde_json::from_slice(&answer.body).ok()?;
    let code = body.pointer("/errors/0/code")?.as_str()?;
    let is_code = (1..=64).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
    is_code.then(|| code.to_owned())
}

/// Text that can be an id, a type, a key: not empty, and nothing that a terminal would act on.
fn sound(text: &str) -> Option<String> {
    (!text.is_empty() && !text.chars().any(char::is_control)).then(|| text.to_owned())
}

impl Subscription {
    fn read(listed: &Value) -> Option<Self> {
        let text = |field: &str| listed[field].as_str().and_then(sound);
        Some(Self {
            id: text("id")?,
            event_type: text("event_type")?,
            callback_url: text("callback_url")?,
            key: text("signature_verification_key").map(Key),
        })
    }
}

impl Key {
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    #[cfg(test)]
    pub(crate) fn sample(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(url: &str, event_type: &str, generation: u32) -> String {
        idempotency_id(&CallbackUrl::parse(url).unwrap(), event_type, generation)
    }

    /// `printf 'rail subscription\nhttps://example.com/webhooks/rail\nACCOUNT_OPEN\n1' | sha256sum`
    #[test]
    fn an_idempotency_id_depends_on_url_type_and_generation_alone() {
        let url = "https://example.com/webhooks/rail";
        assert_eq!(id(url, "ACCOUNT_OPEN", 1), "ff8d148f-c38c-808c-bee7-743d4330e796");
        assert_eq!(id("HTTPS://EXAMPLE.com:443/webhooks/rail", "ACCOUNT_OPEN", 1), id(url, "ACCOUNT_OPEN", 1));
        let others =
            [id(url, "ACCOUNT_OPEN", 2), id(url, "ACCOUNT_CLOSED", 1), id("https://example.com/", "ACCOUNT_OPEN", 1)];
        for (n, other) in others.iter().enumerate() {
            assert!(*other != id(url, "ACCOUNT_OPEN", 1) && !others[..n].contains(other), "{other}");
        }
    }

    #[test]
    fn a_key_is_not_shown() {
        assert_eq!(format!("{:?}", Key::sample("hunter2")), "Key(..)");
    }
}
