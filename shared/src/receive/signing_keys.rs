//! The keys a provider's signatures are checked with.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};

use crate::outside::secrets::{self, CachedSecret, Problem, Versions};

/// The provider's signing keys, kept as [`CachedSecret`] keeps them.
pub type SigningKeys = CachedSecret<KeySet>;

/// Every key that counts: those of the secret's current version, then those only its previous version holds.
pub struct KeySet {
    keys: Vec<SigningKey>,
}

struct SigningKey {
    /// Keyed once, so that each check costs the message alone.
    keyed: Hmac<Sha256>,
    previous: bool,
}

/// Which version of the secret holds a key that fits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum KeyVersion {
    Current,
    /// Only the version before: the provider has not switched yet.
    Previous,
}

impl KeySet {
    /// Reads `{"keys": {"<label>": "<key>"}}`, both versions.
    ///
    /// # Errors
    /// Names the first field of the current version that is wrong.
    pub fn parse(versions: &Versions) -> Result<Self, Problem> {
        let (keys, problems) = Self::read(versions);
        Problem::first(problems).map(|()| keys)
    }

    /// The keys that can be used, and all problems of the current version.
    ///
    /// A previous version with any problem is left out: it is the placeholder that the secret was made with.
    pub fn read(versions: &Versions) -> (Self, Vec<Problem>) {
        let (current, problems) = keys_of(&versions.current);
        let previous = versions.previous.as_deref().map(keys_of).filter(|(_, problems)| problems.is_empty());
        let previous = previous.map(|(keys, _)| keys).unwrap_or_default();

        let only_previous = previous.iter().filter(|key| !current.contains(key)).map(|key| (key, true));
        let all = current.iter().map(|key| (key, false)).chain(only_previous);
        // HMAC accepts keys of any length, so none is left out here.
        let keyed = all.filter_map(|(key, previous)| {
            Some(SigningKey { keyed: Hmac::new_from_slice(key.as_bytes()).ok()?, previous })
        });
        (Self { keys: keyed.collect() }, problems)
    }

    /// Which keys, if any, give `signature` over `{signed_at}.{text}`. Every key is tried and every byte compared, so the
    /// time tells neither how much of a signature is right nor which key fits.
    pub fn matching(&self, signed_at: &str, text: &[u8], signature: &[u8; 32]) -> Option<KeyVersion> {
        let (mut current, mut previous) = (Choice::from(0), Choice::from(0));
        for key in &self.keys {
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

fn keys_of(secret: &str) -> (Vec<String>, Vec<Problem>) {
    secrets::read(secret, |fields| {
        let expected = "an object of at least one label and key";
        let Some(keys) = fields.object("keys", expected) else {
            return Vec::new();
        };
        if keys.names().next().is_none() {
            fields.problem::<()>("keys", expected);
        }
        keys.names().filter_map(|label| keys.text(label, "a non-empty string")).map(str::to_owned).collect()
    })
}

#[cfg(test)]
mod tests;
