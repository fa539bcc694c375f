//! A delivery as a provider would send it: read from files, signed, or checked.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use http::{HeaderMap, HeaderName};
use json::SyntaxError;
use local::delivery::SignedHeaders;
use local::stack::sample_key;
use operator::OperatorError;
use shared::clock::{Clock, UnixMillis};
use shared::outside::secrets::Versions;
use shared::receive::provider::Provider;
use shared::receive::signing_keys::KeySet;
use shared::receive::verification::{self, Delivery, Refusal};

/// Where a signing key comes from.
#[derive(Args)]
pub(crate) struct KeySource {
    /// File with the signing key; without it, the sample key of `bridge dev`
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

/// What a delivery turned out to be.
pub(crate) struct Accepted {
    pub(crate) form: &'static str,
    pub(crate) event_id: String,
    pub(crate) event_type: Option<String>,
    pub(crate) occurred_at: UnixMillis,
}

/// An argument that names a provider.
pub(crate) fn provider_parser() -> impl TypedValueParser<Value = &'static Provider> {
    let names = PossibleValuesParser::new(providers::ALL.iter().map(|provider| provider.name));
    names.try_map(|name| providers::by_name(&name).ok_or("no such provider"))
}

/// The headers of a delivery signed now, as its provider signs.
pub(crate) fn signed_headers(provider: &Provider, body: &[u8], key: &str) -> Result<SignedHeaders, OperatorError> {
    let now = Clock::system().now().seconds();
    local::delivery::signed_headers(provider, now, body, key).map_err(|error| not_json(&error))
}

pub(crate) fn not_json(error: &SyntaxError) -> OperatorError {
    OperatorError::usage(format!("the body is {error}"), "the provider signs JSON; check the file")
}

/// The body with another event id.
pub(crate) fn with_fresh_id(
    provider: &Provider,
    body: &[u8],
    rng: &mut fastrand::Rng,
) -> Result<Vec<u8>, OperatorError> {
    let name = provider.envelope.event_id;
    let no_id =
        || OperatorError::usage(format!("the body has no `{name}` to renew"), "leave --fresh out for this body");
    local::delivery::with_fresh_id(provider, body, rng).ok_or_else(no_id)
}

impl KeySource {
    /// The key, without the newline that editors put at a file's end.
    pub(crate) fn read(&self, provider: &Provider) -> Result<String, OperatorError> {
        let Some(path) = &self.key_file else {
            return Ok(sample_key(provider.name));
        };
        let key = read_file(path)?;
        let key = String::from_utf8(key).map_err(|_| {
            OperatorError::usage(format!("{} is not text", path.display()), "a signing key is one line of text")
        })?;
        let key = key.trim_end_matches(['\r', '\n']);
        if key.is_empty() {
            return Err(OperatorError::usage(format!("{} is empty", path.display()), "put the signing key into it"));
        }
        Ok(key.to_owned())
    }
}

/// What the bridge would make of a delivery, with these keys in the provider's secret.
pub(crate) fn verify(
    provider: &Provider,
    headers: &HeaderMap,
    body: &[u8],
    keys: &[&str],
    now: UnixMillis,
) -> Result<Accepted, Refusal> {
    let keys: BTreeMap<String, &str> = keys.iter().enumerate().map(|(at, key)| (at.to_string(), *key)).collect();
    let secret = serde_json::json!({ "keys": keys }).to_string();
    let keys = KeySet::parse(&Versions { current: secret, previous: None })
        .expect("a secret that was just put together is sound");
    let verified = verification::verify(provider, Delivery { headers, body }, &keys, now)?;
    Ok(Accepted {
        form: verified.form(),
        event_id: verified.event_id().into_owned(),
        event_type: verified.event_type().map(str::to_owned),
        occurred_at: verified.occurred_at(),
    })
}

/// Headers as HTTP has them; what is none is left out.
pub(crate) fn header_map<'a>(headers: impl Iterator<Item = (&'a str, &'a str)>) -> HeaderMap {
    headers.filter_map(|(name, value)| Some((name.parse::<HeaderName>().ok()?, value.parse().ok()?))).collect()
}

/// A file's bytes, or standard input's for `-`.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>, OperatorError> {
    let read = if path == Path::new("-") {
        let mut bytes = Vec::new();
        io::stdin().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        fs::read(path)
    };
    read.map_err(|error| {
        OperatorError::usage(
            format!("{} cannot be read: {error}", path.display()),
            "name a file, or - for standard input",
        )
    })
}
