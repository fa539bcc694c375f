//! A delivery as a provider would send it: read from files, signed, or checked.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use hmac::{Hmac, KeyInit, Mac};
use json::{Document, Value};
use local::stack::{RAIL_SAMPLE_KEY, RILLIS_SAMPLE_KEY};
use operator::OperatorError;
use rail::Rail;
use rillis::Rillis;
use sha2::Sha256;
use shared::clock::{Clock, UnixMillis, UnixSeconds};
use shared::outside::secrets::Versions;
use shared::receive::door::Headers;
use shared::receive::signing_keys::KeySet;
use shared::receive::verification::{self, Delivery, Envelope, Form, Provider, Refusal, hex};

/// Who sends.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Sender {
    Rail,
    Rillis,
}

/// What of a provider's contract the command line needs.
pub(crate) struct Contract {
    pub(crate) path: &'static str,
    pub(crate) signature_header: &'static str,
    pub(crate) timestamp_header: &'static str,
    pub(crate) forms: &'static [Form],
    pub(crate) sample_key: &'static str,
}

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

impl Sender {
    pub(crate) fn contract(self) -> Contract {
        match self {
            Self::Rail => Contract::of::<Rail>(RAIL_SAMPLE_KEY),
            Self::Rillis => Contract::of::<Rillis>(RILLIS_SAMPLE_KEY),
        }
    }

    /// What the provider's envelope says, of a body that nobody has signed.
    pub(crate) fn envelope(self, event: Value<'_>) -> Envelope {
        match self {
            Self::Rail => Rail::envelope(event),
            Self::Rillis => Rillis::envelope(event),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rail => Rail::NAME,
            Self::Rillis => Rillis::NAME,
        }
    }

    /// The sender whose folder of `events/` this is.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::value_variants().iter().copied().find(|sender| sender.name() == name)
    }

    pub(crate) fn verify(
        self,
        headers: &Headers,
        body: &[u8],
        keys: &[&str],
        now: UnixMillis,
    ) -> Result<Accepted, Refusal> {
        match self {
            Self::Rail => verify::<Rail>(headers, body, keys, now),
            Self::Rillis => verify::<Rillis>(headers, body, keys, now),
        }
    }

    /// The provider that this one could be taken for.
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Rail => Self::Rillis,
            Self::Rillis => Self::Rail,
        }
    }

    /// The two headers of a delivery signed now, as the provider signs: over the first of its forms.
    pub(crate) fn signed_headers(self, body: &[u8], key: &str) -> Result<[(&'static str, String); 2], OperatorError> {
        self.headers_signed_at(Clock::system().now().seconds(), body, key)
    }

    /// As [`signed_headers`](Self::signed_headers), at another time.
    pub(crate) fn headers_signed_at(
        self,
        signed_at: UnixSeconds,
        body: &[u8],
        key: &str,
    ) -> Result<[(&'static str, String); 2], OperatorError> {
        let contract = self.contract();
        let signed_at = signed_at.0.to_string();
        let text = contract.forms.first().map_or(Ok(body.to_vec()), |form| spelled(form, body))?;
        Ok([
            (contract.signature_header, signature(key, &signed_message(&signed_at, &text))?),
            (contract.timestamp_header, signed_at),
        ])
    }
}

impl Contract {
    fn of<P: Provider>(sample_key: &'static str) -> Self {
        Self {
            path: P::PATH,
            signature_header: P::SIGNATURE_HEADER,
            timestamp_header: P::TIMESTAMP_HEADER,
            forms: P::FORMS,
            sample_key,
        }
    }
}

impl KeySource {
    /// The key, without the newline that editors put at a file's end.
    pub(crate) fn read(&self, sender: Sender) -> Result<String, OperatorError> {
        let Some(path) = &self.key_file else {
            return Ok(sender.contract().sample_key.to_owned());
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

fn verify<P: Provider>(headers: &Headers, body: &[u8], keys: &[&str], now: UnixMillis) -> Result<Accepted, Refusal> {
    let keys: BTreeMap<String, &str> = keys.iter().enumerate().map(|(at, key)| (at.to_string(), *key)).collect();
    let secret = serde_json::json!({ "keys": keys }).to_string();
    let keys = KeySet::parse(&Versions { current: secret, previous: None })
        .expect("a secret that was just put together is sound");
    let verified = verification::verify::<P>(Delivery { headers, body }, &keys, now)?;
    Ok(Accepted {
        form: verified.form(),
        event_id: verified.event_id().into_owned(),
        event_type: verified.event_type().map(str::to_owned),
        occurred_at: verified.occurred_at(),
    })
}

/// A body as one of a provider's forms has it.
pub(crate) fn spelled(form: &Form, body: &[u8]) -> Result<Vec<u8>, OperatorError> {
    let Some(spell) = form.spell else {
        return Ok(body.to_vec());
    };
    let document = Document::parse(body).map_err(|error| {
        OperatorError::usage(format!("the body is {error}"), "the provider signs JSON; check the file")
    })?;
    Ok(spell(document.root()).into_bytes())
}

/// `{signed_at}.{text}`: what the HMAC is over.
pub(crate) fn signed_message(signed_at: &str, text: &[u8]) -> Vec<u8> {
    [signed_at.as_bytes(), b".", text].concat()
}

fn signature(key: &str, message: &[u8]) -> Result<String, OperatorError> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes())
        .map_err(|_| OperatorError::usage("the signing key is not usable", "take it from the provider as it is"))?;
    mac.update(message);
    Ok(hex(&mac.finalize().into_bytes()))
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
