//! What the bridge makes of a captured delivery: accepted, or refused, and why.

use std::collections::BTreeMap;
use std::fmt;

use http::{HeaderMap, HeaderName};
use serde_json::Value;
use shared::clock::UnixMillis;
use shared::outside::secrets::without_byte_order_mark;
use shared::receive::provider::Provider;
use shared::receive::signing_keys::KeySet;
use shared::receive::verification::{self, Delivery, Refusal, signed_message};

use crate::OperatorError;

pub mod explain;

/// What was captured, and when it is to be judged.
pub struct Capture<'c> {
    pub provider: &'static Provider,
    pub headers: &'c HeaderMap,
    pub body: &'c [u8],
    pub now: UnixMillis,
    /// Whether `now` was given, and is not the time of day.
    pub as_of: bool,
}

/// What an accepted delivery is.
#[derive(Debug)]
pub struct Accepted {
    pub form: &'static str,
    pub event_id: String,
    pub event_type: Option<String>,
    pub occurred_at: UnixMillis,
}

/// A key to try. Shown by its label alone.
pub struct CandidateKey {
    /// Where it comes from: `rail.key`, `sub_1 in keys.json`.
    pub label: String,
    pub key: String,
    pub of: KeyOrigin,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum KeyOrigin {
    /// One that the bridge is thought to have for this provider.
    Provider,
    OtherProvider,
    /// Of `bridge dev`, when other keys were given.
    Sample,
}

impl Capture<'_> {
    /// What the bridge would answer, with these keys in the provider's secret.
    ///
    /// # Errors
    /// It would refuse the delivery.
    pub fn check(&self, keys: &[&str]) -> Result<Accepted, Refusal> {
        let keys: BTreeMap<String, &str> = keys.iter().enumerate().map(|(at, key)| (at.to_string(), *key)).collect();
        let secret = serde_json::json!({ "keys": keys }).to_string();
        let keys = KeySet::parse(&secret).expect("a secret that was just put together is sound");
        let delivery = Delivery { headers: self.headers, body: self.body };
        let verified = verification::verify(self.provider, delivery, &keys, self.now)?;
        Ok(Accepted {
            form: verified.form(),
            event_id: verified.event_id().into_owned(),
            event_type: verified.event_type().map(str::to_owned),
            occurred_at: verified.occurred_at(),
        })
    }

    /// The bytes that the HMAC is over, by the name of each form; `None` where the body must be JSON and is not. The signer
    /// can compare them with its own.
    pub fn signed_messages(&self) -> Vec<(&'static str, Option<Vec<u8>>)> {
        let signed_at = self.provider.signed_at.values(self.headers).first().copied().unwrap_or_default();
        let message = |text: Vec<u8>| signed_message(signed_at, &text);
        self.provider.forms.iter().map(|form| (form.name, form.text(self.body).ok().map(message))).collect()
    }
}

impl fmt::Debug for CandidateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CandidateKey({})", self.label)
    }
}

/// The providers that this one could be taken for.
pub fn others(provider: &Provider) -> impl Iterator<Item = &'static Provider> {
    providers::ALL.iter().copied().filter(|other| other.name != provider.name)
}

/// Headers as HTTP has them; what is none is left out.
pub fn header_map<'a>(headers: impl Iterator<Item = (&'a str, &'a str)>) -> HeaderMap {
    headers.filter_map(|(name, value)| Some((name.parse::<HeaderName>().ok()?, value.parse().ok()?))).collect()
}

/// Reads `name: value` lines; tolerates curl's `> ` and `< `, and passes over the request line. Or JSON: an object of names and
/// values, or an event of API Gateway's, which has one.
pub fn parse_headers(text: &[u8]) -> HeaderMap {
    let text = String::from_utf8_lossy(text);
    let text = text.trim_start_matches('\u{feff}');
    if let Ok(Value::Object(whole)) = serde_json::from_str(text) {
        // Of a REST API's event this one has every value.
        let held = ["multiValueHeaders", "headers"].iter().find_map(|name| whole.get(*name)?.as_object());
        return header_map(held.unwrap_or(&whole).iter().flat_map(|(name, value)| {
            let values = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
            values.iter().filter_map(|value| Some((name.as_str(), value.as_str()?.trim())))
        }));
    }
    let lines = text.lines().filter_map(|line| line.trim_start_matches(['>', '<', ' ']).split_once(':'));
    header_map(lines.map(|(name, value)| (name.trim(), value.trim())))
}

/// The key that a file is, or all keys of the secret that it holds; `name` is the file's.
///
/// # Errors
/// There is none.
pub fn parse_keys(name: &str, file: &[u8], of: KeyOrigin) -> Result<Vec<CandidateKey>, OperatorError> {
    let text = str::from_utf8(file)
        .map_err(|_| OperatorError::usage(format!("{name} is not text"), "a signing key is one line of text"))?;
    let text = without_byte_order_mark(text);
    let secret = serde_json::from_str::<Value>(text).ok();
    let keys: Vec<CandidateKey> = match secret.as_ref().and_then(|secret| secret.get("keys")?.as_object()) {
        Some(keys) => keys
            .iter()
            .filter_map(|(label, key)| Some((label, key.as_str().filter(|key| !key.is_empty())?)))
            .map(|(label, key)| CandidateKey { label: format!("{label} in {name}"), key: key.to_owned(), of })
            .collect(),
        // Without the newline that editors put at a file's end.
        None => {
            let key = text.trim_end_matches(['\r', '\n']).to_owned();
            if key.is_empty() { Vec::new() } else { vec![CandidateKey { label: name.to_owned(), key, of }] }
        }
    };
    if keys.is_empty() {
        let hint = "put the signing key into it, or the secret: {\"keys\": {\"<label>\": \"<key>\"}}";
        return Err(OperatorError::usage(format!("{name} holds no key"), hint));
    }
    Ok(keys)
}

/// A refusal, and what to do about it.
pub fn refused(refusal: Refusal) -> OperatorError {
    let hint = match refusal {
        Refusal::HeaderMissing(_) => "capture all headers; a proxy on the way may have dropped some",
        Refusal::HeaderMalformed { .. } => "the header must be there once, as the provider writes it",
        Refusal::OutsideTolerance { .. } => {
            "for an old capture pass `--at` with the time it was received; else set the clock"
        }
        Refusal::SignatureMismatch { form_left_out: true } => {
            "the body is too long to be tried in every form with this many keys; pass fewer with `--key-file`"
        }
        Refusal::SignatureMismatch { form_left_out: false } => {
            "the lines above say what was found; pass more keys with `--key-file` and `--other-key-file`"
        }
        Refusal::BodyNotAnObject => "the signature is right; ask the provider what it sent",
    };
    OperatorError::refused(refusal, hint)
}

#[cfg(test)]
mod tests;
