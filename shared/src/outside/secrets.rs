//! The one door to Secrets Manager, and the cache in front of it.

mod fields;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::SdkError;
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
use futures_util::future::join;

use crate::clock::{Clock, UnixMillis};
use crate::outside::aws::sdk_reason;

pub(crate) use self::fields::{Fields, read};
pub use self::fields::{PLACEHOLDER, Problem, printable_name};

/// A secret's two live versions: `AWSCURRENT`, and `AWSPREVIOUS` once the secret has been changed.
#[derive(Clone, Eq, PartialEq)]
pub struct Versions {
    pub current: String,
    pub previous: Option<String>,
}

impl fmt::Debug for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Versions(..)")
    }
}

/// Why a secret is not available. Names the secret and the field, never a value.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SecretError {
    /// Secrets Manager refused or did not answer; `reason` is its error code, or how the call failed.
    #[error("secret `{id}` cannot be read: {reason}")]
    Unreachable { id: String, reason: String },
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
}

/// One secret, parsed and cached.
///
/// Read again when it is older than [`MAX_AGE`]; while that fails, the cached value is used. However many ask at once, one
/// call is made, and after a call none is made for [`COOL_DOWN`], so that a flood of bad signatures cannot become a flood of
/// calls.
pub struct CachedSecret<T> {
    client: Client,
    id: String,
    parse: fn(&Versions) -> Result<T, Problem>,
    clock: Clock,
    previous_counts: bool,
    kept: Mutex<CacheState<T>>,
    one_at_a_time: tokio::sync::Mutex<()>,
}

struct CacheState<T> {
    value: Option<Arc<T>>,
    read_at: Option<UnixMillis>,
    /// When Secrets Manager was last asked, and whether it answered.
    asked: Option<(UnixMillis, Result<(), SecretError>)>,
}

/// Secrets are re-read after five minutes: how long a revoked key may still work.
pub const MAX_AGE: Duration = Duration::from_secs(300);

/// At most one extra read in ten seconds, whatever arrives.
pub const COOL_DOWN: Duration = Duration::from_secs(10);

/// From this age on a secret is re-read after an answer was given, so that no delivery has to wait for it.
const REFRESH_AHEAD_AGE: Duration = Duration::from_secs(240);

impl<T> CachedSecret<T> {
    pub fn new(client: Client, id: String, clock: Clock, parse: fn(&Versions) -> Result<T, Problem>) -> Self {
        Self {
            client,
            id,
            parse,
            clock,
            previous_counts: true,
            kept: Mutex::new(CacheState { value: None, read_at: None, asked: None }),
            one_at_a_time: tokio::sync::Mutex::new(()),
        }
    }

    /// The same without the previous version: one call to read it instead of two.
    pub fn current_only(self) -> Self {
        Self { previous_counts: false, ..self }
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
        // An old value that could not be refreshed a moment ago is used without asking each time.
        if self.kept().value.is_none() || !self.cooling_down() {
            self.read().await;
        }
        let kept = self.kept();
        match (&kept.value, &kept.asked) {
            (Some(value), _) => Ok(Arc::clone(value)),
            (None, Some((_, Err(error)))) => Err(error.clone()),
            (None, _) => Err(self.unreachable("it has not been read".to_owned())),
        }
    }

    /// A newer value than `seen`, reading the secret once more unless it was just read.
    ///
    /// # Errors
    /// When the last try to read it failed: whether there is a newer value is unknown.
    pub async fn newer_than(&self, seen: &Arc<T>) -> Result<Option<Arc<T>>, SecretError> {
        let _turn = self.one_at_a_time.lock().await;
        let unchanged = self.kept().value.as_ref().is_none_or(|value| Arc::ptr_eq(value, seen));
        if unchanged && !self.cooling_down() {
            self.read().await;
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
            && !self.cooling_down()
        {
            self.read().await;
        }
    }

    fn cooling_down(&self) -> bool {
        self.kept().asked.as_ref().is_some_and(|(at, _)| self.clock.now().since(*at) < COOL_DOWN)
    }

    /// Reads the secret and caches it. A malformed value does not replace a usable one.
    async fn read(&self) {
        let result = match self.versions().await {
            Ok(versions) => (self.parse)(&versions)
                .map(Arc::new)
                .map_err(|problem| SecretError::Malformed { id: self.id.clone(), problem }),
            Err(error) => Err(error),
        };
        if let Err(error) = &result {
            tracing::error!(error = %error, "a secret cannot be used; the value read before stays in use");
        }
        let now = self.clock.now();
        let mut kept = self.kept();
        kept.asked = Some((now, result.as_ref().map(|_| ()).map_err(Clone::clone)));
        if let Ok(value) = result {
            kept.value = Some(value);
            kept.read_at = Some(now);
        }
    }

    async fn versions(&self) -> Result<Versions, SecretError> {
        let previous = async {
            match self.previous_counts {
                true => self.version("AWSPREVIOUS").await,
                false => Ok(None),
            }
        };
        let (current, previous) = join(self.version("AWSCURRENT"), previous).await;
        let current = current?.ok_or_else(|| self.unreachable("it has no text".to_owned()))?;
        Ok(Versions { current, previous: previous? })
    }

    /// `None` when the secret has no such version; `AWSPREVIOUS` appears with the first change.
    async fn version(&self, stage: &str) -> Result<Option<String>, SecretError> {
        match self.client.get_secret_value().secret_id(&self.id).version_stage(stage).send().await {
            Ok(output) => Ok(output.secret_string),
            Err(SdkError::ServiceError(error))
                if matches!(error.err(), GetSecretValueError::ResourceNotFoundException(_))
                    && stage == "AWSPREVIOUS" =>
            {
                Ok(None)
            }
            Err(error) => Err(self.unreachable(sdk_reason(&error))),
        }
    }

    fn unreachable(&self, reason: String) -> SecretError {
        SecretError::Unreachable { id: self.id.clone(), reason }
    }

    fn kept(&self) -> MutexGuard<'_, CacheState<T>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
