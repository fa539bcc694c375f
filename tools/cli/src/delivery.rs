//! A delivery as a provider would send it: read from files, or signed.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use json::SyntaxError;
use local::binaries::workspace_root;
use local::delivery::{SignedHeaders, key_of};
use local::samples::PlayError;
use local::stack::{sample_key, usable_key};
use operator::copied_key::slips;
use operator::dev_file::DevFile;
use operator::error::with_causes;
use operator::network::http;
use operator::{OperatorError, Place};
use serde_json::Value;
use shared::clock::Clock;
use shared::outside::secrets::without_byte_order_mark;
use shared::receive::provider::Provider;

use crate::terminal::note;

/// Where `bridge dev` is unless told otherwise.
const DEFAULT_URL: &str = "http://127.0.0.1:9000";

/// Where a signing key comes from.
#[derive(Args)]
pub(crate) struct KeySource {
    /// File with the signing key [default: a key of the `bridge dev` that runs at the URL, or the sample key]
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

/// An argument that names a provider.
pub(crate) fn provider_parser() -> impl TypedValueParser<Value = &'static Provider> {
    let names = PossibleValuesParser::new(providers::ALL.iter().map(|provider| provider.name));
    names.try_map(|name| providers::by_name(&name).ok_or("no such provider"))
}

/// The URL that was given, or that of the bridge that `bridge dev` runs here.
pub(crate) fn bridge_url(given: Option<&str>) -> String {
    let running = || DevFile::read(&workspace_root()).ok().flatten().map(|dev| dev.gateway_url);
    let url = given.map(str::to_owned).or_else(running);
    url.map_or_else(|| DEFAULT_URL.to_owned(), |url| url.trim_end_matches('/').to_owned())
}

/// The headers of a delivery signed now, as its provider signs.
pub(crate) fn signed_headers(provider: &Provider, body: &[u8], key: &str) -> Result<SignedHeaders, OperatorError> {
    let now = Clock::system().now().seconds();
    local::delivery::signed_headers(provider, now, body, key).map_err(|error| not_json(&error))
}

fn not_json(error: &SyntaxError) -> OperatorError {
    OperatorError::usage(
        format!("The body is not JSON (error at byte {})", error.offset),
        "the provider signs JSON; check the file",
    )
}

/// The body with another event id.
pub(crate) fn with_fresh_id(
    provider: &Provider,
    body: &[u8],
    rng: &mut fastrand::Rng,
) -> Result<Vec<u8>, OperatorError> {
    let name = provider.envelope.event_id;
    let no_id = || {
        OperatorError::usage(
            format!("Missing `{name}` in the body: `--fresh` has nothing to replace"),
            "omit `--fresh` for this body",
        )
    };
    local::delivery::with_fresh_id(provider, body, rng).ok_or_else(no_id)
}

/// By this key the other verbs know the event.
pub(crate) fn note_new_event(provider: &Provider, body: &[u8]) {
    if let Some(key) = key_of(provider, body) {
        note!("New event: {key}");
    }
}

/// Why a sample has no outcome.
pub(crate) fn unplayed(error: &PlayError) -> OperatorError {
    OperatorError::outside(with_causes(error), "a sample is JSON, and the local gateway must answer")
}

impl KeySource {
    /// The key for deliveries to `url`, without the newline that editors put at a file's end.
    pub(crate) async fn read(&self, provider: &Provider, url: &str) -> Result<String, OperatorError> {
        let Some(path) = &self.key_file else {
            let running = DevFile::read(&workspace_root()).ok().flatten();
            let place = running
                .filter(|dev| is_at(dev, url))
                .map(|dev| http().map(|http| Place::local(&dev, http)))
                .transpose()?;
            let key = match &place {
                Some(place) => key_at(place, provider).await,
                None => None,
            };
            return Ok(key.unwrap_or_else(|| sample_key(provider.name)));
        };
        let key = read_file(path)?;
        let key = String::from_utf8(key).map_err(|_| {
            OperatorError::usage(format!("{} is not text", path.display()), "a signing key is one line of text")
        })?;
        let key = without_byte_order_mark(&key).trim_end_matches(['\r', '\n']);
        for slip in slips(key) {
            note!("note: the key in {} {}", path.display(), slip.kind.says());
        }
        if key.is_empty() {
            return Err(OperatorError::usage(format!("{} is empty", path.display()), "put the signing key into it"));
        }
        Ok(key.to_owned())
    }
}

/// Whether a URL leads to this bridge: more than one can run here.
fn is_at(dev: &DevFile, url: &str) -> bool {
    let url = url.replacen("://localhost:", "://127.0.0.1:", 1);
    let ours = [Some(&dev.gateway_url), dev.webhook_port_url.as_ref()].into_iter().flatten();
    ours.filter_map(|ours| url.strip_prefix(ours.as_str())).any(|path| path.is_empty() || path.starts_with('/'))
}

/// A key that the bridge at this place accepts. In a sandbox it has no sample key.
async fn key_at(place: &Place, provider: &Provider) -> Option<String> {
    let id = place.parts.signing_secrets.get(provider.name)?;
    let read = place.secrets_manager.get_secret_value().secret_id(id).send().await.ok()?;
    usable_key(&serde_json::from_str::<Value>(without_byte_order_mark(read.secret_string()?)).ok()?)
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
            "name a file, or `-` for standard input",
        )
    })
}

#[cfg(test)]
mod tests;
