//! The keys a provider's signatures are checked with.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_secretsmanager::Client;
use futures_util::future::join;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};

use crate::clock::Clock;
use crate::outside::secrets::{self, CachedSecret, Problem, SIGNING_COOL_DOWN, SecretError};

/// The provider's signing keys, each version of the secret kept as [`CachedSecret`] keeps it. The previous one is read when no
/// key of the current one fits.
pub struct SigningKeys {
    current: CachedSecret<Keys>,
    previous: CachedSecret<Keys>,
    /// The newest set that was put together of them.
    newest: Mutex<Option<Arc<KeySet>>>,
}

/// Why a signature cannot be judged.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum KeysError {
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// It may be by a key that is not available: never refused, which some senders take as final.
    #[error("no usable key matches, and {0}")]
    Incomplete(String),
}

/// Every key that counts: those of the secret's current version, then those only its previous version holds.
pub struct KeySet {
    keys: Vec<SigningKey>,
    /// How many of them, from the first on, were tried already.
    tried: usize,
    current: Arc<Keys>,
    /// `None` while it is not known.
    previous: Option<Arc<Keys>>,
}

/// The keys of one version of the secret.
struct Keys {
    texts: Vec<String>,
    /// An entry that is neither usable nor the template's placeholder.
    left_out: Option<Problem>,
}

#[derive(Clone)]
struct SigningKey {
    text: String,
    /// Keyed once, so that each check costs the message alone.
    keyed: Hmac<Sha256>,
    previous: bool,
}

/// What a forged body costs is bounded for as many keys: each is tried over all of it, at least once.
pub const MAX_KEYS: usize = 100;

/// Which version of the secret holds a key that fits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum KeyVersion {
    Current,
    /// Only the version before: the provider has not switched yet.
    Previous,
}

impl SigningKeys {
    pub fn new(client: Client, id: String, clock: Clock) -> Self {
        let (same_client, same_id) = (client.clone(), id.clone());
        let current = CachedSecret::new(same_client, same_id, clock, Keys::parse);
        let previous = CachedSecret::new(client, id, clock, Keys::parse_previous).previous();
        Self {
            current: current.cooling_down(SIGNING_COOL_DOWN),
            previous: previous.cooling_down(SIGNING_COOL_DOWN),
            newest: Mutex::default(),
        }
    }

    /// The cached keys, if they are not too old: no I/O.
    pub fn fresh(&self) -> Option<Arc<KeySet>> {
        Some(self.put_together(self.current.fresh()?, self.previous.fresh()))
    }

    /// The keys: cached, or read again when they are old, or the old ones when they cannot be read.
    ///
    /// # Errors
    /// Only when they were never read.
    pub async fn value(&self) -> Result<Arc<KeySet>, KeysError> {
        Ok(self.put_together(self.current.value().await?, self.previous.fresh()))
    }

    /// Keys to try when none of `tried` fits: newer ones, then those of the previous version.
    ///
    /// # Errors
    /// There are none, but a key that fits may exist all the same.
    pub async fn more(&self, tried: &KeySet) -> Result<Option<KeySet>, KeysError> {
        let newer = self.current.newer_than(&tried.current).await;
        let current = newer.as_ref().ok().cloned().flatten().unwrap_or_else(|| Arc::clone(&tried.current));
        let with_newer = self.put_together(Arc::clone(&current), self.previous.fresh());
        if let Some(more) = tried.and(&with_newer) {
            return Ok(Some(more));
        }
        let previous = self.previous.value().await;
        let known = previous.as_ref().ok().cloned();
        if let Some(more) = tried.and(&self.put_together(Arc::clone(&current), known)) {
            return Ok(Some(more));
        }
        newer?;
        if let Some(problem) = &current.left_out {
            return Err(KeysError::Incomplete(format!("an entry is left out: {problem}")));
        }
        match previous {
            Err(error) if error.may_pass() => Err(KeysError::Incomplete(format!("of the previous version: {error}"))),
            _ => Ok(None),
        }
    }

    /// Reads the keys again if they will be old soon; used after an answer.
    pub async fn refresh_ahead(&self) {
        join(self.current.refresh_ahead(), self.previous.refresh_ahead()).await;
    }

    /// As [`CachedSecret::take_left_out`], of the current version.
    pub fn take_left_out(&self) -> u64 {
        self.current.take_left_out()
    }

    fn put_together(&self, current: Arc<Keys>, previous: Option<Arc<Keys>>) -> Arc<KeySet> {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let has_changed = newest.as_ref().is_some_and(|newest| !Arc::ptr_eq(&newest.current, &current));
        if has_changed {
            // Another version is the previous one now.
            self.previous.forget();
        }
        let previous = previous.filter(|_| !has_changed);
        let address = |keys: &Option<Arc<Keys>>| keys.as_ref().map(Arc::as_ptr);
        match &*newest {
            Some(newest) if !has_changed && address(&newest.previous) == address(&previous) => Arc::clone(newest),
            _ => Arc::clone(newest.insert(Arc::new(KeySet::of(current, previous)))),
        }
    }
}

impl KeysError {
    /// Stable once shipped.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Secret(error) => error.code(),
            Self::Incomplete(_) => "keys_incomplete",
        }
    }
}

impl Keys {
    /// Reads `{"keys": {"<label>": "<key>"}}`.
    fn parse(secret: &str) -> (Option<Self>, Vec<Problem>) {
        let (texts, problems) = secrets::read(secret, |fields| {
            let expected = "an object of at least one label and key";
            let Some(keys) = fields.object("keys", expected) else {
                return Vec::new();
            };
            if keys.names().next().is_none() {
                fields.problem::<()>("keys", expected);
            }
            keys.names().filter_map(|label| keys.text(label, "a non-empty string")).map(str::to_owned).collect()
        });
        let left_out = problems.iter().find(|problem| !problem.is_placeholder()).cloned();
        ((!texts.is_empty()).then_some(Self { texts, left_out }), problems)
    }

    /// The same of the previous version, which may be absent, or what the secret was made with: what is wrong in it was mended
    /// by the current one.
    fn parse_previous(secret: &str) -> (Option<Self>, Vec<Problem>) {
        let (keys, _) = Self::parse(secret);
        (Some(keys.unwrap_or(Self { texts: Vec::new(), left_out: None })), Vec::new())
    }
}

impl KeySet {
    /// The keys of a secret's text.
    ///
    /// # Errors
    /// Names the first field that is wrong, if no key can be used.
    pub fn parse(secret: &str) -> Result<Self, Problem> {
        Self::parse_with_previous(secret, "")
    }

    /// The same with those of the version before.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_with_previous(secret: &str, previous: &str) -> Result<Self, Problem> {
        let (keys, mut problems) = Keys::parse(secret);
        let keys = keys.ok_or_else(|| problems.swap_remove(0))?;
        Ok(Self::of(Arc::new(keys), Keys::parse_previous(previous).0.map(Arc::new)))
    }

    /// All that is wrong with a secret's text.
    pub fn problems(secret: &str) -> Vec<Problem> {
        Keys::parse(secret).1
    }

    fn of(current: Arc<Keys>, previous: Option<Arc<Keys>>) -> Self {
        let mut set = Self { keys: Vec::new(), tried: 0, current, previous };
        let of_current = set.current.texts.iter().map(|text| (text.clone(), false));
        let of_previous = set.previous.iter().flat_map(|keys| &keys.texts).map(|text| (text.clone(), true));
        let all: Vec<_> = of_current.chain(of_previous).collect();
        for (text, previous) in all {
            // HMAC accepts keys of any length. A key under two labels is tried once.
            if !set.holds(&text)
                && let Ok(keyed) = Hmac::new_from_slice(text.as_bytes())
            {
                set.keys.push(SigningKey { text, keyed, previous });
            }
        }
        set
    }

    /// These keys, which were tried, and those of `others` that are not among them; `None` when all are.
    fn and(&self, others: &Self) -> Option<Self> {
        let is_new = |key: &&SigningKey| !self.holds(&key.text);
        let keys: Vec<_> = self.keys.iter().chain(others.keys.iter().filter(is_new)).cloned().collect();
        let (current, previous) = (Arc::clone(&others.current), others.previous.clone());
        (keys.len() > self.keys.len()).then(|| Self { keys, tried: self.keys.len(), current, previous })
    }

    /// How many keys one delivery is checked with, those included that were tried before: what that may cost depends on it.
    pub fn tried_in_all(&self) -> usize {
        self.keys.len()
    }

    fn holds(&self, text: &str) -> bool {
        self.keys.iter().any(|key| key.text == text)
    }

    /// Which of the keys that were not tried, if any, give `signature` over `{signed_at}.{text}`. Every one is tried and every byte
    /// compared, so the time tells neither how much of a signature is right nor which key fits.
    pub fn matching(&self, signed_at: &str, text: &[u8], signature: &[u8; 32]) -> Option<KeyVersion> {
        #[cfg(test)]
        tests::HASHED_BYTES.set(tests::HASHED_BYTES.get() + self.keys[self.tried..].len() * text.len());
        let (mut current, mut previous) = (Choice::from(0), Choice::from(0));
        for key in &self.keys[self.tried..] {
            let mut mac = key.keyed.clone();
            mac.update(signed_at.as_bytes());
            mac.update(b".");
            mac.update(text);
            let fits = mac.finalize().into_bytes().ct_eq(signature);
            let is_previous = Choice::from(u8::from(key.previous));
            current |= fits & !is_previous;
            previous |= fits & is_previous;
        }
        if current.into() {
            return Some(KeyVersion::Current);
        }
        bool::from(previous).then_some(KeyVersion::Previous)
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeySet({} keys)", self.keys.len())
    }
}

#[cfg(test)]
pub(crate) mod tests;
