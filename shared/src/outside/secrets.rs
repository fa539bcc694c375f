//! The one door to Secrets Manager, and the cache in front of it.

mod fields;

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::SdkError;
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;

use crate::clock::{Clock, UnixMillis};
use crate::outside::aws::{NO_ANSWER, may_pass, sdk_reason};

pub(crate) use self::fields::{Fields, read};
pub use self::fields::{PLACEHOLDER, Problem, printable_name, without_byte_order_mark};

/// Why a secret is not available. Names the secret and the field, never a value.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SecretError {
    /// Secrets Manager refused or did not answer; `reason` is its error code, or how the call failed. `may_pass` when the same
    /// call may succeed a moment later.
    #[error("secret `{id}` cannot be read: {reason}")]
    Unreachable { id: String, reason: String, may_pass: bool },
    /// It was read, and its content is not usable.
    #[error("secret `{id}`: {problem}")]
    Malformed { id: String, problem: Problem },
}

impl SecretError {
    /// Stable once shipped.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "secret_unreachable",
            Self::Malformed { .. } => "secret_malformed",
        }
    }

    /// Whether the same read may succeed a moment later.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Unreachable { may_pass: true, .. })
    }
}

/// One version of a secret, parsed and cached: the current one, unless it is [`previous`](Self::previous).
///
/// Read again when it is older than [`MAX_AGE`]; while that fails, the cached value is used. However many ask at once, one
/// call is made, and after a call none is made until it has cooled down, so that a flood of bad signatures cannot become a flood
/// of calls. An entry that cannot be used is left out, logged and counted, and the others go on.
pub struct CachedSecret<T> {
    client: Client,
    id: String,
    parse: Parse<T>,
    clock: Clock,
    stage: &'static str,
    /// The shortest and the longest time from one call to the next.
    cool_down: [Duration; 2],
    kept: Mutex<CacheState<T>>,
    one_at_a_time: tokio::sync::Mutex<()>,
}

/// Makes of a secret's text what can be used, if anything can, and all problems.
pub type Parse<T> = fn(&str) -> (Option<T>, Vec<Problem>);

struct CacheState<T> {
    value: Option<Arc<T>>,
    /// What `value` was made of.
    text: String,
    read_at: Option<UnixMillis>,
    /// When Secrets Manager was last asked, and whether it answered.
    asked: Option<(UnixMillis, Result<(), SecretError>)>,
    /// Calls in a row that failed, or were made for a newer value and found none.
    in_vain: u32,
    /// Reads that left something out and were not counted yet.
    left_out: u64,
}

/// Secrets are re-read after five minutes: how long a revoked key may still work.
pub const MAX_AGE: Duration = Duration::from_secs(300);

/// At most one extra read in ten seconds, whatever arrives.
pub const COOL_DOWN: Duration = Duration::from_secs(10);

/// The same of signing keys: one that was just added is refused for so long at most, unless such reads were in vain.
pub const SIGNING_COOL_DOWN: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(30)];

/// From this age on a secret is re-read after an answer was given, so that no delivery has to wait for it.
const REFRESH_AHEAD_AGE: Duration = Duration::from_secs(240);

const CURRENT: &str = "AWSCURRENT";
const PREVIOUS: &str = "AWSPREVIOUS";

impl<T> CachedSecret<T> {
    pub fn new(client: Client, id: String, clock: Clock, parse: Parse<T>) -> Self {
        Self {
            client,
            id,
            parse,
            clock,
            stage: CURRENT,
            cool_down: [COOL_DOWN; 2],
            kept: Mutex::default(),
            one_at_a_time: tokio::sync::Mutex::default(),
        }
    }

    /// The same with other times from one call to the next: twice the time before while calls are in vain.
    pub fn cooling_down(self, [shortest, longest]: [Duration; 2]) -> Self {
        Self { cool_down: [shortest, longest], ..self }
    }

    /// The version before the current one; its text is empty until the secret is changed.
    pub fn previous(self) -> Self {
        Self { stage: PREVIOUS, ..self }
    }

    /// The cached value, if it is not too old: no I/O.
    pub fn fresh(&self) -> Option<Arc<T>> {
        let kept = self.kept();
        let age = self.clock.now().since(kept.read_at?);
        kept.value.clone().filter(|_| age < MAX_AGE)
    }

    /// The secret: cached, or read again when it is old, or the old one when it cannot be read.
    ///
    /// # Errors
    /// Only when it was never read.
    pub async fn value(&self) -> Result<Arc<T>, SecretError> {
        if let Some(value) = self.fresh() {
            return Ok(value);
        }
        let _turn = self.one_at_a_time.lock().await;
        if let Some(value) = self.fresh() {
            return Ok(value);
        }
        // An old value that could not be refreshed a moment ago is used without asking each time. Without a current one there is no
        // answer but 503, so it is asked for; without a previous one there is.
        let is_missing = self.stage == CURRENT && self.kept().value.is_none();
        if is_missing || !self.cools_down() {
            self.read(false).await;
        }
        let kept = self.kept();
        match (&kept.value, &kept.asked) {
            (Some(value), _) => Ok(Arc::clone(value)),
            (None, Some((_, Err(error)))) => Err(error.clone()),
            (None, _) => Err(self.unreachable("it has not been read".to_owned(), true)),
        }
    }

    /// A newer value than `seen`, reading the secret once more unless it was just read.
    ///
    /// # Errors
    /// When the last try to read it failed: whether there is a newer value is unknown.
    pub async fn newer_than(&self, seen: &Arc<T>) -> Result<Option<Arc<T>>, SecretError> {
        let _turn = self.one_at_a_time.lock().await;
        let unchanged = self.kept().value.as_ref().is_none_or(|value| Arc::ptr_eq(value, seen));
        if unchanged && !self.cools_down() {
            self.read(true).await;
        }
        let kept = self.kept();
        match (&kept.value, &kept.asked) {
            (Some(value), _) if !Arc::ptr_eq(value, seen) => Ok(Some(Arc::clone(value))),
            (_, Some((_, Err(error)))) => Err(error.clone()),
            _ => Ok(None),
        }
    }

    /// Reads the secret again if it will be old soon; used after an answer.
    pub async fn refresh_ahead(&self) {
        let old = self.kept().read_at.is_some_and(|at| self.clock.now().since(at) >= REFRESH_AHEAD_AGE);
        if old
            && let Ok(_turn) = self.one_at_a_time.try_lock()
            && !self.cools_down()
        {
            self.read(false).await;
        }
    }

    /// Drops what was read, so that it is read again when it is needed.
    pub fn forget(&self) {
        let mut kept = self.kept();
        *kept = CacheState { left_out: kept.left_out, ..CacheState::default() };
    }

    /// How many reads left out an entry since this was last asked.
    pub fn take_left_out(&self) -> u64 {
        mem::take(&mut self.kept().left_out)
    }

    fn cools_down(&self) -> bool {
        let [shortest, longest] = self.cool_down;
        let kept = self.kept();
        let wait = shortest.saturating_mul(1 << kept.in_vain.min(16)).min(longest);
        kept.asked.as_ref().is_some_and(|(at, _)| self.clock.now().since(*at) < wait)
    }

    /// Reads the secret and caches it. A value of which nothing can be used does not replace one that can, and one that has not
    /// changed stays the same.
    async fn read(&self, for_a_newer_one: bool) {
        // What is cut off had no answer.
        let asked_at = self.clock.now();
        self.kept().asked = Some((asked_at, Err(self.unreachable(NO_ANSWER.to_owned(), true))));
        let result = self.text().await.and_then(|text| {
            let (value, problems) = (self.parse)(&text);
            match (value, problems.first()) {
                (Some(value), _) => Ok((text, value, problems)),
                (None, Some(problem)) => Err(SecretError::Malformed { id: self.id.clone(), problem: problem.clone() }),
                (None, None) => Err(self.unreachable("it holds nothing".to_owned(), false)),
            }
        });
        let now = self.clock.now();
        let mut kept = self.kept();
        kept.asked = Some((now, result.as_ref().map(|_| ()).map_err(Clone::clone)));
        let version = self.stage;
        let (text, value, problems) = match result {
            Ok(read) => read,
            Err(error) => {
                tracing::error!(version, error = %error, "a secret cannot be used; the value read before stays in use");
                kept.in_vain = kept.in_vain.saturating_add(1);
                return;
            }
        };
        for problem in &problems {
            tracing::error!(secret = self.id, version, error = %problem, "an entry of a secret is left out");
        }
        kept.left_out += u64::from(!problems.is_empty());
        kept.read_at = Some(now);
        if kept.value.is_none() || kept.text != text {
            kept.value = Some(Arc::new(value));
            kept.text = text;
            kept.in_vain = 0;
        } else if for_a_newer_one {
            kept.in_vain = kept.in_vain.saturating_add(1);
        }
    }

    async fn text(&self) -> Result<String, SecretError> {
        match self.client.get_secret_value().secret_id(&self.id).version_stage(self.stage).send().await {
            Ok(output) => output.secret_string.ok_or_else(|| self.unreachable("it has no text".to_owned(), false)),
            // It appears with the first change.
            Err(SdkError::ServiceError(error))
                if matches!(error.err(), GetSecretValueError::ResourceNotFoundException(_))
                    && self.stage == PREVIOUS =>
            {
                Ok(String::new())
            }
            Err(error) => Err(self.unreachable(sdk_reason(&error), may_pass(&error))),
        }
    }

    fn unreachable(&self, reason: String, may_pass: bool) -> SecretError {
        SecretError::Unreachable { id: self.id.clone(), reason, may_pass }
    }

    fn kept(&self) -> MutexGuard<'_, CacheState<T>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Default for CacheState<T> {
    fn default() -> Self {
        Self { value: None, text: String::new(), read_at: None, asked: None, in_vain: 0, left_out: 0 }
    }
}

#[cfg(test)]
mod tests;
