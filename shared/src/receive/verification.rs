//! From bytes to a [`VerifiedEvent`], or to the reason why not.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use crate::clock::{UnixMillis, UnixSeconds};
use crate::receive::door::Headers;
use crate::receive::signing_keys::{KeySet, KeyVersion};
use json::{Document, Kind, Value};

/// What a provider promises: where its signature is, what it is over, and where the envelope's fields are.
///
/// Constants and pure functions; the promise itself is written down in `docs/contracts/`.
pub trait Provider: Send + Sync + 'static {
    /// As in `routes.toml` and in the events table.
    const NAME: &'static str;
    /// Where deliveries are posted.
    const PATH: &'static str;
    const SIGNATURE_HEADER: &'static str;
    const TIMESTAMP_HEADER: &'static str;
    /// What the signature may be over, in the order they are tried.
    const FORMS: &'static [Form];

    /// Reads the envelope of a signed JSON object; what is absent or of the wrong kind is `None`.
    fn envelope(event: Value<'_>) -> Envelope;
}

/// One way to spell the signed text.
#[derive(Debug)]
pub struct Form {
    /// Stable: it stands in log lines and metrics.
    pub name: &'static str,
    /// How the text is made from the JSON that was received; the bytes as received when there is no such function.
    pub spell: Option<fn(Value<'_>) -> String>,
}

/// The fields every provider's events have in some place.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Envelope {
    pub event_id: Option<String>,
    pub event_type: Option<String>,
    pub occurred_at: Option<UnixMillis>,
}

/// One HTTP attempt of a provider's: nothing of it is believed yet.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    pub headers: &'a Headers,
    pub body: &'a [u8],
}

/// An event whose signature was checked. Only [`verify`] makes one.
#[derive(Debug)]
pub struct VerifiedEvent<'a> {
    signed: Cow<'a, str>,
    form: &'static str,
    key_version: KeyVersion,
    signed_at: UnixSeconds,
    envelope: Envelope,
    body_sha256: [u8; 32],
}

/// Why a delivery was refused.
///
/// Answered with one fixed body per status, whatever the variant; the difference is for logs, metrics and tests, as
/// [`code`](Self::code). Holds nothing that the sender wrote.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refusal {
    #[error("header `{0}` is absent")]
    HeaderMissing(&'static str),
    #[error("header `{name}` is not {expected}")]
    HeaderMalformed { name: &'static str, expected: &'static str },
    #[error("signed {skew_s} s away from our clock; {TOLERANCE_S} s are allowed")]
    OutsideTolerance { skew_s: u64 },
    #[error("no signing key gives this signature")]
    SignatureMismatch,
    /// The signature fits, so this is the provider's own mistake: answered 400, not 401.
    #[error("the signed body is not a JSON object")]
    BodyNotAnObject,
}

/// How far a signature's time may be from ours, either way. Both providers recommend five minutes.
pub const TOLERANCE_S: u64 = 300;

/// A longer id does not fit into the table's key (2,048 bytes) with room to spare; the digest takes its place.
const MAX_EVENT_ID_BYTES: usize = 1024;

/// Documented types have at most 45 characters.
const MAX_EVENT_TYPE_BYTES: usize = 256;

impl Refusal {
    /// Stable once shipped.
    pub fn code(self) -> &'static str {
        match self {
            Self::HeaderMissing(_) => "header_missing",
            Self::HeaderMalformed { .. } => "header_malformed",
            Self::OutsideTolerance { .. } => "outside_tolerance",
            Self::SignatureMismatch => "signature_mismatch",
            Self::BodyNotAnObject => "body_not_an_object",
        }
    }
}

/// Checks a delivery of the provider `P`.
///
/// # Errors
/// The first reason to refuse it, headers before signature before body.
pub fn verify<'a, P: Provider>(
    delivery: Delivery<'a>,
    keys: &KeySet,
    now: UnixMillis,
) -> Result<VerifiedEvent<'a>, Refusal> {
    let claim = Claim::read::<P>(delivery.headers, now)?;
    let received = Document::parse(delivery.body).ok();

    let (form, signed, key_version) = P::FORMS
        .iter()
        .find_map(|form| {
            let text = match form.spell {
                None => Cow::Borrowed(delivery.body),
                Some(spell) => Cow::Owned(spell(received.as_ref()?.root()).into_bytes()),
            };
            let key_version = keys.matching(claim.signed_at_text, &text, &claim.signature)?;
            Some((form.name, text, key_version))
        })
        .ok_or(Refusal::SignatureMismatch)?;

    // From here on only what was signed is read, not what was received: they may differ in more than white space.
    let signed = match signed {
        Cow::Borrowed(bytes) => str::from_utf8(bytes).ok().map(Cow::Borrowed),
        Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
    };
    let signed = signed.ok_or(Refusal::BodyNotAnObject)?;
    let envelope = match Document::parse(signed.as_bytes()) {
        Ok(document) if matches!(document.root().kind(), Kind::Object) => P::envelope(document.root()),
        _ => return Err(Refusal::BodyNotAnObject),
    };
    Ok(VerifiedEvent {
        signed,
        form,
        key_version,
        signed_at: claim.signed_at,
        envelope,
        body_sha256: Sha256::digest(delivery.body).into(),
    })
}

/// Whether the headers alone are reason to refuse; asked before any key is fetched.
///
/// # Errors
/// As [`verify`], for the headers.
pub fn refuse_by_headers<P: Provider>(headers: &Headers, now: UnixMillis) -> Result<(), Refusal> {
    Claim::read::<P>(headers, now).map(|_| ())
}

/// What the headers say, well-formed and recent, and not yet believed.
struct Claim<'h> {
    signed_at_text: &'h str,
    signed_at: UnixSeconds,
    signature: [u8; 32],
}

impl<'h> Claim<'h> {
    fn read<P: Provider>(headers: &'h Headers, now: UnixMillis) -> Result<Self, Refusal> {
        let signature_text = only_value(headers, P::SIGNATURE_HEADER)?;
        let signed_at_text = only_value(headers, P::TIMESTAMP_HEADER)?;

        let signature = signature_bytes(signature_text)
            .ok_or(Refusal::HeaderMalformed { name: P::SIGNATURE_HEADER, expected: "64 hexadecimal digits" })?;
        let signed_at = unix_seconds(signed_at_text)
            .ok_or(Refusal::HeaderMalformed { name: P::TIMESTAMP_HEADER, expected: "a count of seconds" })?;

        let skew_s = now.seconds().0.abs_diff(signed_at.0);
        if skew_s > TOLERANCE_S {
            return Err(Refusal::OutsideTolerance { skew_s });
        }
        Ok(Self { signed_at_text, signed_at, signature })
    }
}

/// A header that occurs twice is refused: which of the two was signed is anybody's guess.
fn only_value<'h>(headers: &'h Headers, name: &'static str) -> Result<&'h str, Refusal> {
    let mut values = headers.all(name);
    match (values.next(), values.next()) {
        (None, _) => Err(Refusal::HeaderMissing(name)),
        (Some(value), None) => Ok(value),
        (Some(_), Some(_)) => Err(Refusal::HeaderMalformed { name, expected: "there exactly once" }),
    }
}

/// Digits only: `str::parse` would also take a sign.
fn unix_seconds(text: &str) -> Option<UnixSeconds> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits).map(UnixSeconds)
}

/// A SHA-256 HMAC in hexadecimal, of either case, without a prefix.
pub fn signature_bytes(hex: &str) -> Option<[u8; 32]> {
    let digits: &[u8; 64] = hex.as_bytes().try_into().ok()?;
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let (high, low) = (char::from(pair[0]).to_digit(16)?, char::from(pair[1]).to_digit(16)?);
        *byte = u8::try_from(high << 4 | low).ok()?;
    }
    Some(bytes)
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|b| [b >> 4, b & 15]).map(|nibble| char::from(DIGITS[usize::from(nibble)])).collect()
}

impl VerifiedEvent<'_> {
    /// The text that was signed: all that is read, stored and forwarded comes from it.
    pub fn signed_text(&self) -> &str {
        &self.signed
    }

    /// The signed text as JSON: an object.
    pub fn document(&self) -> Document<'_> {
        Document::parse(self.signed.as_bytes()).expect("verify has parsed this very text")
    }

    /// Name of the [`Form`] that the signature is over.
    pub fn form(&self) -> &'static str {
        self.form
    }

    pub fn key_version(&self) -> KeyVersion {
        self.key_version
    }

    /// The provider's id of the event, or `sha256:` and the digest of the signed text where it gave none that is usable:
    /// absent, empty, or longer than 1,024 bytes.
    pub fn event_id(&self) -> Cow<'_, str> {
        match &self.envelope.event_id {
            Some(id) if !id.is_empty() && id.len() <= MAX_EVENT_ID_BYTES => Cow::Borrowed(id),
            _ => Cow::Owned(format!("sha256:{}", hex(&Sha256::digest(self.signed.as_bytes())))),
        }
    }

    /// `None` for an envelope we do not understand: no type, or one of no sensible length.
    pub fn event_type(&self) -> Option<&str> {
        self.envelope.event_type.as_deref().filter(|event_type| (1..=MAX_EVENT_TYPE_BYTES).contains(&event_type.len()))
    }

    /// When it happened, by the provider; when it was signed, if the envelope does not tell.
    pub fn occurred_at(&self) -> UnixMillis {
        self.envelope.occurred_at.unwrap_or(UnixMillis(self.signed_at.0.saturating_mul(1000)))
    }

    /// Of the bytes as received: tells a redelivery from a changed event with the same id.
    pub fn body_sha256(&self) -> &[u8; 32] {
        &self.body_sha256
    }
}

#[cfg(test)]
mod tests;
