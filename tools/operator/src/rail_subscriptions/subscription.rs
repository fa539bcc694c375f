//! The nouns of Rail's subscriptions, below those that read and change them.

use std::fmt;

use json::Value;
use reqwest::Url;
use shared::outside::http::{SAFE_URL, is_safe_url};
use shared::outside::secrets::Problem;

/// A subscription as Rail lists it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Subscription {
    pub id: String,
    pub event_type: String,
    pub callback_url: String,
    /// Rail's pages do not agree on whether the list shows it.
    pub key: Option<Key>,
}

/// The subscription of a creation, which Rail reports again whenever the same idempotency id is sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NewSubscription {
    pub id: String,
    pub key: Key,
}

/// A `signature_verification_key`. It goes from Rail into the secret and nowhere else.
#[derive(Clone, Eq, PartialEq)]
pub struct Key(String);

/// What the secret remembers of a key's subscription.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Registration {
    pub event_type: String,
    /// 0 for a subscription that a person created.
    pub generation: u32,
}

/// The URL that Rail delivers to: https, or http on this machine. Spelled as the URL standard spells it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CallbackUrl(Url);

impl Subscription {
    /// Reads an entry of Rail's list.
    pub(crate) fn read(entry: Value<'_>) -> Option<Self> {
        let text = |field: &str| sound_text(entry, field);
        Some(Self {
            id: text("id")?,
            event_type: text("event_type")?,
            callback_url: text("callback_url")?,
            key: text("signature_verification_key").map(Key),
        })
    }
}

impl NewSubscription {
    /// Reads the answer to a creation.
    pub(crate) fn read(answer: Value<'_>) -> Option<Self> {
        let data = answer.get("data")?;
        Some(Self { id: sound_text(data, "id")?, key: Key(sound_text(data, "signature_verification_key")?) })
    }
}

/// Text that can be an id, a type or a key: not empty, and nothing that a terminal would act on.
fn sound_text(object: Value<'_>, field: &str) -> Option<String> {
    let text = object.get(field)?.text()?;
    Some(text.into_owned()).filter(|text| !text.is_empty() && !text.chars().any(char::is_control))
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

impl CallbackUrl {
    /// # Errors
    /// Rail would not deliver to this URL.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let url = Url::parse(text).ok().filter(is_safe_url);
        let is_bare = |url: &Url| url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
        let url = url.filter(is_bare);
        url.map(Self).ok_or_else(|| Problem { field: "callback URL".to_owned(), expected: SAFE_URL })
    }

    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether `text` is another spelling of this URL.
    pub fn is(&self, text: &str) -> bool {
        Url::parse(text).is_ok_and(|url| url == self.0)
    }
}

impl fmt::Display for CallbackUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests;
