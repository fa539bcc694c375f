//! A cache for one short-lived token: fetched once however many wait for it, and dropped before it expires.

use std::time::Duration;

use json::Value;
use reqwest::header::HeaderValue;
use tokio::sync::Mutex;

use crate::clock::{Clock, UnixMillis};

/// Empty until the token is first needed.
#[derive(Default)]
pub(crate) struct TokenSlot(Mutex<Option<Token>>);

/// A token as a header's value, and when to stop using it.
pub(crate) struct Token {
    value: HeaderValue,
    pub(crate) ends_at: UnixMillis,
}

/// Tokens are dropped this long before they expire, so that none expires on the way.
const TOKEN_MARGIN: Duration = Duration::from_secs(30);

impl Token {
    /// A token that was given `now` and expires after as many seconds as its `answer` says, as a number or as text, else after
    /// `default_life_s`. It is not shown by `Debug`.
    pub(crate) fn given(
        mut value: HeaderValue,
        answer: Option<Value<'_>>,
        default_life_s: u64,
        now: UnixMillis,
    ) -> Self {
        value.set_sensitive(true);
        let seconds: Option<f64> = answer.and_then(|life| life.text_or_digits()?.trim().parse().ok());
        let life_s = seconds.filter(|life| life.is_finite() && *life >= 0.0).map_or(default_life_s, |life| life as u64);
        let life = Duration::from_secs(life_s).saturating_sub(TOKEN_MARGIN);
        Self { value, ends_at: now.plus(life) }
    }
}

/// Whether this may be a token: anything else came from bytes that could not be read.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.is_ascii()
}

impl TokenSlot {
    /// The live token, or the result of `fetch`; concurrent callers wait for it.
    ///
    /// # Errors
    /// Those of `fetch`; the next caller fetches again.
    pub(crate) async fn live<E>(
        &self,
        clock: Clock,
        fetch: impl Future<Output = Result<Token, E>>,
    ) -> Result<HeaderValue, E> {
        let mut token = self.0.lock().await;
        if let Some(token) = token.as_ref().filter(|token| clock.now() < token.ends_at) {
            return Ok(token.value.clone());
        }
        let fresh = fetch.await?;
        let value = fresh.value.clone();
        *token = Some(fresh);
        Ok(value)
    }

    /// Drops the token that was refused, unless it has been replaced meanwhile.
    pub(crate) async fn drop_refused(&self, refused: &HeaderValue) {
        let mut token = self.0.lock().await;
        if token.as_ref().is_some_and(|token| token.value == *refused) {
            *token = None;
        }
    }
}
