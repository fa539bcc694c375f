//! A delivery as a provider would send it: read from files, or signed.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use json::SyntaxError;
use local::delivery::SignedHeaders;
use local::samples::PlayError;
use local::stack::sample_key;
use operator::OperatorError;
use operator::copied_key::slips;
use operator::error::with_causes;
use shared::clock::Clock;
use shared::receive::provider::Provider;

use crate::terminal::note;

/// Where a signing key comes from.
#[derive(Args)]
pub(crate) struct KeySource {
    /// File with the signing key [default: the sample key of `bridge dev`]
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
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

fn not_json(error: &SyntaxError) -> OperatorError {
    OperatorError::usage(format!("the body is {error}"), "the provider signs JSON; check the file")
}

/// The body with another event id.
pub(crate) fn with_fresh_id(
    provider: &Provider,
    body: &[u8],
    rng: &mut fastrand::Rng,
) -> Result<Vec<u8>, OperatorError> {
    let name = provider.envelope.event_id;
    let no_id = || OperatorError::usage(format!("the body has no `{name}` to renew"), "omit `--fresh` for this body");
    local::delivery::with_fresh_id(provider, body, rng).ok_or_else(no_id)
}

/// Why a sample has no outcome.
pub(crate) fn unplayed(error: &PlayError) -> OperatorError {
    OperatorError::outside(with_causes(error), "a sample is JSON, and the local gateway must answer")
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
        let key = key.trim_start_matches('\u{feff}').trim_end_matches(['\r', '\n']);
        for slip in slips(key) {
            note!("note: the key in {} {}", path.display(), slip.kind.says());
        }
        if key.is_empty() {
            return Err(OperatorError::usage(format!("{} is empty", path.display()), "put the signing key into it"));
        }
        Ok(key.to_owned())
    }
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
