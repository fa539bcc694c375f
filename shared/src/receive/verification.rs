//! From bytes to a [`VerifiedEvent`], or to the reason why not.

use std::borrow::Cow;
use std::cell::OnceCell;

use http::HeaderMap;
use sha2::{Digest, Sha256};

use crate::clock::{UnixMillis, UnixSeconds};
use crate::config::DEFAULT_MAX_BODY_BYTES;
use crate::receive::provider::{Envelope, Form, HeaderPart, Provider};
use crate::receive::signing_keys::{KeySet, KeyVersion};
use json::{Document, Kind, Order};

/// One HTTP attempt of a provider's: nothing of it is believed yet.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    pub headers: &'a HeaderMap,
    pub body: &'a [u8],
}

/// An event whose signature was checked. Only [`verify`] makes one.
#[derive(Debug)]
pub struct VerifiedEvent<'a> {
    /// Of the text that was signed.
    document: Document<'a>,
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
    #[error("{0} is absent")]
    HeaderMissing(HeaderPart),
    #[error("{part} is not {expected}")]
    HeaderMalformed { part: HeaderPart, expected: &'static str },
    #[error("the timestamp differs by {skew_s} s from the time of the check; at most {TOLERANCE_S} s are allowed")]
    OutsideTolerance { skew_s: u64 },
    #[error("the signature matches no signing key{}", if *.form_left_out { "; a form was not tried" } else { "" })]
    SignatureMismatch {
        /// A form was not tried: with this many keys the body is too long for it.
        form_left_out: bool,
    },
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
            Self::SignatureMismatch { .. } => "signature_mismatch",
            Self::BodyNotAnObject => "body_not_an_object",
        }
    }
}

/// What is hashed for one delivery, over all keys and forms: some 20 ms on a core with SHA instructions. A stranger decides how
/// long a body is, and the operator how many keys there are.
const MAX_HASHED_BYTES: usize = 20_000_000;

/// Up to how many bytes a body is tried in each of `forms` with this many keys, its texts being as long as itself.
pub fn longest_in_every_form(forms: usize, keys: usize) -> usize {
    DEFAULT_MAX_BODY_BYTES.min(MAX_HASHED_BYTES / (forms * keys).max(1))
}

/// Checks a delivery of this provider's.
///
/// # Errors
/// The first reason to refuse it, headers before signature before body.
pub fn verify<'a>(
    provider: &Provider,
    delivery: Delivery<'a>,
    keys: &KeySet,
    now: UnixMillis,
) -> Result<VerifiedEvent<'a>, Refusal> {
    let claim = Claim::read(provider, delivery.headers, now)?;
    // From here on only what was signed is read, not what was received: they may differ in more than white space.
    let (form, text, key_version) = find_text(provider.forms, delivery.body, keys.tried_in_all(), |text| {
        keys.matching(claim.signed_at_text, text, &claim.signature)
    })
    .map_err(|form_left_out| Refusal::SignatureMismatch { form_left_out })?;
    let document = match text {
        Some(text) => Document::of(text),
        None => Document::parse(delivery.body),
    };
    let document = document.map_err(|_| Refusal::BodyNotAnObject)?;
    if document.root().kind() != Kind::Object {
        return Err(Refusal::BodyNotAnObject);
    }
    Ok(VerifiedEvent {
        envelope: provider.read_envelope(document.root()),
        document,
        form,
        key_version,
        signed_at: claim.signed_at,
        body_sha256: Sha256::digest(delivery.body).into(),
    })
}

/// The first text that `fits`, with the name of the form that gave it; `None` stands for the body as received. A text that was
/// tried is not tried again.
///
/// # Errors
/// None fits. True when a form was left out because its text is longer than any body that is accepted (`1e20` is printed with 21
/// digits), or because all `keys` together would hash too much. The first form that gives a text is tried with any number of
/// keys.
fn find_text<T>(
    forms: &[Form],
    body: &[u8],
    keys: usize,
    mut fits: impl FnMut(&[u8]) -> Option<T>,
) -> Result<(&'static str, Option<String>, T), bool> {
    // Parsed once, and only if a form that prints it is tried.
    let document = OnceCell::new();
    let mut printed: Vec<Order> = Vec::new();
    let mut tried: Vec<Option<String>> = Vec::new();
    let mut form_left_out = false;
    for form in forms {
        let hashed_bytes = tried.iter().map(|text| bytes_of(text, body).len()).sum();
        let max_bytes = match tried.is_empty() {
            true => DEFAULT_MAX_BODY_BYTES.max(body.len()),
            false => DEFAULT_MAX_BODY_BYTES.min((MAX_HASHED_BYTES / keys.max(1)).saturating_sub(hashed_bytes)),
        };
        let text = match form.spelling {
            None => Some(None),
            Some(order) => {
                let Ok(document) = document.get_or_init(|| Document::parse(body)) else { continue };
                // What was too long in an earlier order is not printed again either.
                if printed.iter().any(|earlier| document.root().prints_alike(*earlier, order)) {
                    continue;
                }
                printed.push(order);
                #[cfg(test)]
                tests::PRINTED.set(tests::PRINTED.get() + usize::from(max_bytes > 0));
                let text = (max_bytes > 0).then(|| document.root().print(order, max_bytes));
                text.flatten().map(Some)
            }
        };
        let Some(text) = text.filter(|text| bytes_of(text, body).len() <= max_bytes) else {
            form_left_out = true;
            continue;
        };
        if tried.iter().any(|earlier| bytes_of(earlier, body) == bytes_of(&text, body)) {
            continue;
        }
        if let Some(fit) = fits(bytes_of(&text, body)) {
            return Ok((form.name, text, fit));
        }
        tried.push(text);
    }
    Err(form_left_out)
}

fn bytes_of<'b>(text: &'b Option<String>, body: &'b [u8]) -> &'b [u8] {
    text.as_ref().map_or(body, String::as_bytes)
}

/// Whether the headers alone are reason to refuse; asked before any key is fetched.
///
/// # Errors
/// As [`verify`], for the headers.
pub fn refuse_by_headers(provider: &Provider, headers: &HeaderMap, now: UnixMillis) -> Result<(), Refusal> {
    Claim::read(provider, headers, now).map(|_| ())
}

/// What the headers say, well-formed and recent, and not yet believed.
struct Claim<'h> {
    signed_at_text: &'h str,
    signed_at: UnixSeconds,
    signature: [u8; 32],
}

impl<'h> Claim<'h> {
    fn read(provider: &Provider, headers: &'h HeaderMap, now: UnixMillis) -> Result<Self, Refusal> {
        let signature_text = only_value(headers, provider.signature)?;
        let signed_at_text = only_value(headers, provider.signed_at)?;

        let malformed = |part, expected| Refusal::HeaderMalformed { part, expected };
        let signature =
            signature_bytes(signature_text).ok_or_else(|| malformed(provider.signature, "64 hexadecimal digits"))?;
        let signed_at =
            unix_seconds(signed_at_text).ok_or_else(|| malformed(provider.signed_at, "a count of seconds"))?;

        let skew_s = now.seconds().0.abs_diff(signed_at.0);
        if skew_s > TOLERANCE_S {
            return Err(Refusal::OutsideTolerance { skew_s });
        }
        Ok(Self { signed_at_text, signed_at, signature })
    }
}

/// What occurs twice is refused: which of the two was signed is anybody's guess.
fn only_value(headers: &HeaderMap, part: HeaderPart) -> Result<&str, Refusal> {
    match part.values(headers)[..] {
        [] => Err(Refusal::HeaderMissing(part)),
        [value] => Ok(value),
        _ => Err(Refusal::HeaderMalformed { part, expected: "there exactly once" }),
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

/// `{signed_at}.{text}`: what the HMAC is over.
pub fn signed_message(signed_at: &str, text: &[u8]) -> Vec<u8> {
    [signed_at.as_bytes(), b".", text].concat()
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|b| [b >> 4, b & 15]).map(|nibble| char::from(DIGITS[usize::from(nibble)])).collect()
}

impl VerifiedEvent<'_> {
    /// The text that was signed: all that is read, stored and forwarded comes from it.
    pub fn signed_text(&self) -> &str {
        self.document.text()
    }

    /// The signed text as JSON: an object.
    pub fn document(&self) -> &Document<'_> {
        &self.document
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
            _ => Cow::Owned(self.digest_id()),
        }
    }

    /// The id of an event that has none of its own: `sha256:` and the digest of the signed text.
    pub fn digest_id(&self) -> String {
        format!("sha256:{}", hex(&Sha256::digest(self.signed_text().as_bytes())))
    }

    /// `None` for an envelope we do not understand: no type, or one of no sensible length.
    pub fn event_type(&self) -> Option<&str> {
        self.envelope.event_type.as_deref().filter(|event_type| (1..=MAX_EVENT_TYPE_BYTES).contains(&event_type.len()))
    }

    /// When it happened, by the provider; when it was signed, if the envelope does not tell.
    pub fn occurred_at(&self) -> UnixMillis {
        self.envelope.occurred_at.unwrap_or(UnixMillis(self.signed_at.0.saturating_mul(1000)))
    }

    /// Whether the envelope has no time that can be read.
    pub fn is_dated_by_its_signature(&self) -> bool {
        self.envelope.occurred_at.is_none()
    }

    /// Of the bytes as received: tells a redelivery from a changed event with the same id.
    pub fn body_sha256(&self) -> &[u8; 32] {
        &self.body_sha256
    }
}

#[cfg(test)]
mod tests;
