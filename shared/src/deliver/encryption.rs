//! How a message to an incoming webhook is encrypted (`docs/contracts/returning-ai.md`): AES-256, in a body that the secret lays
//! out.

use aes::Aes256;
use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeEncrypt, KeyIvInit};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use reqwest::header::HeaderValue;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::{Map, Value, json};

use crate::outside::secrets::{Fields, printable_name};

/// Mode, key and layout of one incoming webhook.
pub(super) struct Encryption {
    mode: Mode,
    key: [u8; 32],
    body: Layout,
}

/// A body to send.
pub(super) struct Sealed {
    pub(super) body: Bytes,
    pub(super) content_type: HeaderValue,
}

#[derive(Clone, Copy)]
enum Mode {
    Gcm,
    /// Padded as PKCS#7 says.
    Cbc,
}

/// A JSON value whose texts have placeholders.
enum Layout {
    Text(Vec<Piece>),
    List(Vec<Layout>),
    Object(Vec<(String, Layout)>),
    Other(Value),
}

enum Piece {
    Literal(String),
    Placeholder(&'static [Part], Encoding),
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Part {
    Iv,
    Ciphertext,
    /// GCM's alone.
    Tag,
}

#[derive(Clone, Copy)]
enum Encoding {
    Base64,
    Hex,
}

/// What one encryption gives.
struct Parts {
    iv: Vec<u8>,
    ciphertext: Vec<u8>,
    tag: Vec<u8>,
}

const PLACEHOLDERS: [(&str, &[Part]); 6] = [
    ("iv", &[Part::Iv]),
    ("ciphertext", &[Part::Ciphertext]),
    ("tag", &[Part::Tag]),
    ("ciphertext+tag", &[Part::Ciphertext, Part::Tag]),
    ("iv+ciphertext", &[Part::Iv, Part::Ciphertext]),
    ("iv+ciphertext+tag", &[Part::Iv, Part::Ciphertext, Part::Tag]),
];

const KEY: &str = "a key of 32 bytes";
const MODE: &str = "\"gcm\" or \"cbc\"";
const PLACEHOLDER: &str = "{iv:..}, {ciphertext:..}, {tag:..}, {ciphertext+tag:..}, {iv+ciphertext:..} or {iv+ciphertext+tag:..}, each with \
                           base64 or hex";
const CBC_IV_LEN: usize = 16;

static JSON: HeaderValue = HeaderValue::from_static("application/json");
static TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

impl Encryption {
    /// Reads the object `encryption` of an incoming webhook.
    pub(super) fn read(fields: &Fields<'_>) -> Option<Self> {
        // A misspelled `body` would send every message in a layout that nobody can read.
        if let Some(unknown) = fields.names().find(|name| !["mode", "key", "body"].contains(name)) {
            return fields.problem(unknown, "nothing beside `mode`, `key` and `body`");
        }
        let mode = match fields.is_given("mode") {
            true => fields.one_of("mode", [("gcm", Mode::Gcm), ("cbc", Mode::Cbc)], MODE),
            false => fields.problem("mode", MODE),
        };
        let key = fields.text("key", KEY).and_then(|key| match key.as_bytes().try_into() {
            Ok(key) => Some(key),
            Err(_) => fields.problem("key", KEY),
        });
        let mode = mode?;
        let body = match fields.value("body") {
            Some(body) => Layout::read(fields, "body", body),
            None => Layout::read(fields, "body", &mode.default_body()),
        }?;
        let uses = |part| body.uses(part);
        let expected = match mode {
            _ if !uses(Part::Iv) => "a layout with the `iv`",
            _ if !uses(Part::Ciphertext) => "a layout with the `ciphertext`",
            Mode::Gcm if !uses(Part::Tag) => "a layout with the `tag`, without which gcm cannot be decrypted",
            Mode::Cbc if uses(Part::Tag) => "a layout without `tag`: cbc has none",
            _ => return Some(Self { mode, key: key?, body }),
        };
        fields.problem("body", expected)
    }

    /// The body that holds `message`, under an IV of its own. `None` when the system has no randomness.
    pub(super) fn seal(&self, message: &[u8]) -> Option<Sealed> {
        let parts = match self.mode {
            Mode::Gcm => gcm(&self.key, random()?, message)?,
            Mode::Cbc => cbc(&self.key, random()?, message),
        };
        Some(match &self.body {
            Layout::Text(text) => Sealed { body: print(text, &parts).into(), content_type: TEXT.clone() },
            body => Sealed { body: body.fill(&parts).to_string().into(), content_type: JSON.clone() },
        })
    }
}

impl Mode {
    /// A guess: Returning.AI's sample is not public.
    fn default_body(self) -> Value {
        match self {
            Self::Gcm => json!({ "iv": "{iv:base64}", "data": "{ciphertext+tag:base64}" }),
            Self::Cbc => json!({ "iv": "{iv:base64}", "data": "{ciphertext:base64}" }),
        }
    }
}

fn gcm(key: &[u8; 32], iv: [u8; NONCE_LEN], message: &[u8]) -> Option<Parts> {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).ok()?);
    let mut ciphertext = message.to_vec();
    let nonce = Nonce::assume_unique_for_key(iv);
    let tag = key.seal_in_place_separate_tag(nonce, Aad::empty(), &mut ciphertext).ok()?;
    Some(Parts { iv: iv.to_vec(), ciphertext, tag: tag.as_ref().to_vec() })
}

fn cbc(key: &[u8; 32], iv: [u8; CBC_IV_LEN], message: &[u8]) -> Parts {
    let cipher = cbc::Encryptor::<Aes256>::new(key.into(), &iv.into());
    Parts { iv: iv.to_vec(), ciphertext: cipher.encrypt_padded_vec::<Pkcs7>(message), tag: Vec::new() }
}

impl Layout {
    /// `path` is told with a text whose placeholders are wrong.
    fn read(fields: &Fields<'_>, path: &str, value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => match pieces(text) {
                Some(pieces) => Some(Self::Text(pieces)),
                None => fields.problem(path, PLACEHOLDER),
            },
            Value::Array(values) => {
                let read = |(at, value)| Self::read(fields, &format!("{path}.{at}"), value);
                values.iter().enumerate().map(read).collect::<Option<_>>().map(Self::List)
            }
            Value::Object(values) => {
                let read = |(name, value): (&String, _)| {
                    let layout = Self::read(fields, &format!("{path}.{}", printable_name(name)), value)?;
                    Some((name.clone(), layout))
                };
                values.iter().map(read).collect::<Option<_>>().map(Self::Object)
            }
            other => Some(Self::Other(other.clone())),
        }
    }

    fn uses(&self, part: Part) -> bool {
        match self {
            Self::Text(pieces) => {
                pieces.iter().any(|piece| matches!(piece, Piece::Placeholder(parts, _) if parts.contains(&part)))
            }
            Self::List(all) => all.iter().any(|layout| layout.uses(part)),
            Self::Object(all) => all.iter().any(|(_, layout)| layout.uses(part)),
            Self::Other(_) => false,
        }
    }

    fn fill(&self, parts: &Parts) -> Value {
        match self {
            Self::Text(pieces) => Value::String(print(pieces, parts)),
            Self::List(all) => Value::Array(all.iter().map(|layout| layout.fill(parts)).collect()),
            Self::Object(all) => {
                let fill = |(name, layout): &(String, Self)| (name.clone(), layout.fill(parts));
                Value::Object(all.iter().map(fill).collect::<Map<_, _>>())
            }
            Self::Other(value) => value.clone(),
        }
    }
}

impl Parts {
    fn get(&self, part: Part) -> &[u8] {
        match part {
            Part::Iv => &self.iv,
            Part::Ciphertext => &self.ciphertext,
            Part::Tag => &self.tag,
        }
    }
}

/// `None` when a placeholder is unknown or does not end.
fn pieces(mut text: &str) -> Option<Vec<Piece>> {
    let mut pieces = Vec::new();
    while let Some((before, after)) = text.split_once('{') {
        let (placeholder, after) = after.split_once('}')?;
        let (name, encoding) = placeholder.split_once(':')?;
        let (_, parts) = PLACEHOLDERS.into_iter().find(|(known, _)| *known == name)?;
        let encoding = match encoding {
            "base64" => Encoding::Base64,
            "hex" => Encoding::Hex,
            _ => return None,
        };
        pieces.extend([Piece::Literal(before.to_owned()), Piece::Placeholder(parts, encoding)]);
        text = after;
    }
    pieces.push(Piece::Literal(text.to_owned()));
    Some(pieces)
}

fn print(pieces: &[Piece], parts: &Parts) -> String {
    let print = |piece: &Piece| match piece {
        Piece::Literal(text) => text.clone(),
        Piece::Placeholder(placed, encoding) => {
            let bytes: Vec<u8> = placed.iter().flat_map(|part| parts.get(*part)).copied().collect();
            match encoding {
                Encoding::Base64 => STANDARD.encode(bytes),
                Encoding::Hex => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
            }
        }
    };
    pieces.iter().map(print).collect()
}

fn random<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests;
