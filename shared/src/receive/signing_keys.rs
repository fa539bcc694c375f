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
mod tests {
    use super::*;

    fn versions(current: &str, previous: Option<&str>) -> Versions {
        Versions { current: current.to_owned(), previous: previous.map(str::to_owned) }
    }

    #[track_caller]
    fn problem(secret: &str) -> String {
        KeySet::parse(&versions(secret, None)).expect_err(secret).to_string()
    }

    #[test]
    fn a_bad_secret_names_the_field_and_what_was_expected() {
        assert_eq!(problem("not json"), "the secret: a JSON object expected");
        assert_eq!(problem("{}"), "keys: an object of at least one label and key expected");
        assert_eq!(problem(r#"{"keys":{}}"#), "keys: an object of at least one label and key expected");
        assert_eq!(problem(r#"{"keys":{"sub_1":7}}"#), "keys.sub_1: a non-empty string expected");
        assert_eq!(problem(r#"{"keys":{"sub_1":""}}"#), "keys.sub_1: a non-empty string expected");
    }

    #[test]
    fn every_problem_is_found_and_a_key_in_the_place_of_its_label_is_not_shown() {
        let secret = r#"{"keys":{"a":"REPLACE-ME","b":"sample","c":7,"whsec_hunter2":""}}"#;
        let (keys, problems) = KeySet::read(&versions(secret, None));
        assert_eq!(format!("{keys:?}"), "KeySet(1 keys)");
        let fields: Vec<(&str, bool)> = problems.iter().map(|it| (it.field.as_str(), it.is_placeholder())).collect();
        assert_eq!(fields, [("keys.a", true), ("keys.c", false), ("keys.(a name that looks like a key)", false)]);
    }

    #[test]
    fn a_placeholder_is_no_key_wherever_it_stands() {
        let expected = "keys.sub_2: the real value in place of REPLACE-ME expected";
        assert_eq!(problem(r#"{"keys":{"sub_1":"sample","sub_2":"REPLACE-ME"}}"#), expected);
        assert_eq!(problem(r#"{"keys":{"sub_2":"REPLACE-ME with the key"}}"#), expected);
    }

    /// `printf '1747253577.{}' | openssl dgst -sha256 -hmac sample`
    const SIGNATURE: &str = "e45227ccf95dbb7cc4507ecdb997c38ad457bc936c8a1fa38d14a1e3bd75f288";

    #[track_caller]
    fn check(current: &str, previous: Option<&str>, expected: Option<KeyVersion>) {
        let keys = KeySet::parse(&versions(current, previous)).unwrap();
        let signature = crate::receive::verification::signature_bytes(SIGNATURE).unwrap();
        assert_eq!(keys.matching("1747253577", b"{}", &signature), expected);
    }

    #[test]
    fn a_key_of_either_version_fits_and_the_current_one_wins() {
        let (with, without) = (r#"{"keys":{"a":"other","b":"sample"}}"#, r#"{"keys":{"a":"other"}}"#);
        check(with, None, Some(KeyVersion::Current));
        check(without, Some(with), Some(KeyVersion::Previous));
        check(with, Some(with), Some(KeyVersion::Current));
        check(without, Some(without), None);
    }

    /// A key that fits does not end the search, and one that does not fit takes nothing back.
    #[test]
    fn all_keys_are_tried_wherever_the_one_that_fits_stands() {
        let key = |text: &str, previous| SigningKey { keyed: Hmac::new_from_slice(text.as_bytes()).unwrap(), previous };
        let signature = crate::receive::verification::signature_bytes(SIGNATURE).unwrap();
        for at in 0..=4 {
            let keys = (0..4).map(|n| key(&format!("other {n}"), n % 2 == 1)).collect();
            let mut keys = KeySet { keys };
            keys.keys.insert(at, key("sample", true));
            assert_eq!(keys.matching("1747253577", b"{}", &signature), Some(KeyVersion::Previous), "{at}");
            keys.keys.insert(at + 1, key("sample", false));
            assert_eq!(keys.matching("1747253577", b"{}", &signature), Some(KeyVersion::Current), "{at}");
        }
    }

    #[test]
    fn what_stands_beside_the_keys_is_of_no_concern() {
        let secret =
            r#"{"keys":{"b":"sample"},"subscriptions":{"b":{"event_type":"OPENED"}},"generations":{"OPENED":2}}"#;
        check(secret, None, Some(KeyVersion::Current));
    }

    #[test]
    fn a_previous_version_that_does_not_read_is_left_out() {
        check(r#"{"keys":{"b":"sample"}}"#, Some("not json"), Some(KeyVersion::Current));
        check(r#"{"keys":{"b":"sample"}}"#, Some(r#"{"keys":{"b":"REPLACE-ME"}}"#), Some(KeyVersion::Current));
    }
}
