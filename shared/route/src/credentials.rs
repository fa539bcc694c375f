//! What looks like a credential is never sent to Returning.AI.

use std::borrow::Cow;

use json::{Pointer, Value};

/// A name that contains one of these, whatever its case and separators, counts as a credential.
const CREDENTIAL_WORDS: [&str; 12] = [
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "pwd",
    "mtpass",
    "secret",
    "apikey",
    "accesskey",
    "privatekey",
    "token",
    "credential",
];

/// Whether a name is that of a credential: `mt_password`, `MT-Password` and `mtPassword` are.
pub fn is_named(name: &str) -> bool {
    let plain: String = name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    CREDENTIAL_WORDS.iter().any(|word| plain.contains(word))
}

/// Whether a pointer leads to, or through, something that is named like a credential.
pub fn is_on_the_way_of(pointer: &Pointer) -> bool {
    pointer.tokens().any(|token| is_named(&token))
}

/// The value as it was sent, or without its members that are named like credentials, however deep they are.
pub fn cut_from(value: Value<'_>) -> Cow<'_, str> {
    // A key with a lone surrogate cannot be compared, so it is cut.
    value.source_without(|key| key.text().is_none_or(|name| is_named(&name)))
}
