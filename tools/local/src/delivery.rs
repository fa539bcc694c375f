//! Deliveries as providers send them: signed, and of events with ids of their own.

use std::fmt::Write;

use fastrand::Rng;
use hmac::{Hmac, KeyInit, Mac};
use json::{Document, Kind, SyntaxError};
use sha2::Sha256;
use shared::clock::UnixSeconds;
use shared::receive::provider::Provider;
use shared::receive::verification::{hex, signed_message};
use shared::record::key;

/// Header names and values.
pub type SignedHeaders = Vec<(&'static str, String)>;

/// The headers of a delivery as the provider signs it: over the first of its forms.
///
/// # Errors
/// The provider signs JSON, and the body is none.
pub fn signed_headers(
    provider: &Provider,
    signed_at: UnixSeconds,
    body: &[u8],
    key: &str,
) -> Result<SignedHeaders, SyntaxError> {
    let text = provider.forms.first().map_or(Ok(body.to_vec()), |form| form.text(body))?;
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(&signed_message(&signed_at.0.to_string(), &text));
    Ok(provider.headers(signed_at, &hex(&mac.finalize().into_bytes())))
}

/// The key of a body's event in the table, without a check of its signature; `None` if it has no id.
pub fn key_of(provider: &Provider, body: &[u8]) -> Option<String> {
    let document = Document::parse(body).ok()?;
    let id = provider.read_envelope(document.root()).event_id?;
    Some(key::event(provider.name, &id))
}

/// The body with another event id of the same look; everything else keeps its bytes. `None` if it has no id.
pub fn with_fresh_id(provider: &Provider, body: &[u8], rng: &mut Rng) -> Option<Vec<u8>> {
    let text = str::from_utf8(body).ok()?;
    let document = Document::parse(body).ok()?;
    let id = document.root().get(provider.envelope.event_id)?;
    let fresh = match id.kind() {
        // Of as many digits as a JavaScript number keeps.
        Kind::Number(_) => rng.u64(10_u64.pow(14)..10_u64.pow(15)).to_string(),
        Kind::String => format!("\"{}\"", fresh_text(&id.text()?, rng)),
        _ => return None,
    };
    // The slice lies in the text itself, so its place is the distance between the two.
    let old = id.source();
    let at = old.as_ptr().addr() - text.as_ptr().addr();
    Some([&text[..at], &fresh, &text[at + old.len()..]].concat().into_bytes())
}

/// The part up to the last underscore stays: `evt_`. As many hexadecimal digits follow as before, and enough to be unique.
fn fresh_text(id: &str, rng: &mut Rng) -> String {
    let (kept, rest) = id.split_at(id.rfind('_').map_or(0, |at| at + 1));
    let mut fresh = kept.to_owned();
    for _ in 0..rest.len().max(16) {
        let _ = write!(fresh, "{:x}", rng.u8(..16));
    }
    fresh
}

#[cfg(test)]
mod tests;
