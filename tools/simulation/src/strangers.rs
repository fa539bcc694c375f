//! Requests that no function may believe.

use fastrand::Rng;
use shared::config::DEFAULT_MAX_BODY_BYTES;
use shared::receive::provider::Provider;
use shared::receive::receipt::Answer;

use crate::secrets::signing_key;
use crate::sending::{self, Request};
use crate::time::{DAY, MINUTE, now_ms};

/// A request of a stranger, or of a provider that makes a mistake.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Bad {
    Unsigned,
    /// A digit of the signature is missing.
    Cut,
    /// Signed by the provider, and sent again later.
    Stale,
    /// Signed with a key that nobody has given out.
    Forged,
    /// Signed by the provider, and above the limit.
    Large,
    LargeAndUnsigned,
    /// Signed by the provider, and no JSON object.
    NoObject,
}

impl Bad {
    pub const ALL: [Self; 7] =
        [Self::Unsigned, Self::Cut, Self::Stale, Self::Forged, Self::Large, Self::LargeAndUnsigned, Self::NoObject];

    /// How it is answered, and as what it is counted.
    pub fn refused_as(self) -> (Answer, &'static str) {
        match self {
            Self::Unsigned => (Answer::Unauthorized, "header_missing"),
            Self::Cut => (Answer::Unauthorized, "header_malformed"),
            Self::Stale => (Answer::Unauthorized, "outside_tolerance"),
            Self::Forged => (Answer::Unauthorized, "signature_mismatch"),
            Self::Large => (Answer::TooLarge, "too_large"),
            Self::LargeAndUnsigned => (Answer::TooLarge, "header_missing"),
            Self::NoObject => (Answer::BadRequest, "body_not_an_object"),
        }
    }

    /// It is refused for its headers or its size, before any key is needed.
    pub fn needs_no_key(self) -> bool {
        !matches!(self, Self::Forged | Self::NoObject)
    }

    /// The request, made of a body that the provider sends.
    pub fn request(self, provider: &Provider, key_version: u32, body: &str, rare: &mut Rng) -> Option<Request> {
        let key = match self {
            Self::Forged => "a guess".to_owned(),
            _ => signing_key(key_version),
        };
        let body = match self {
            Self::Large | Self::LargeAndUnsigned => body.to_owned() + &" ".repeat(DEFAULT_MAX_BODY_BYTES),
            Self::NoObject => ["[1]", "null", "{", ""][rare.usize(..4)].to_owned(),
            _ => body.to_owned(),
        };
        let signed_at_ms = match self {
            Self::Stale if rare.bool() => now_ms() + 6 * MINUTE + rare.u64(..DAY),
            Self::Stale => now_ms() - 6 * MINUTE - rare.u64(..DAY),
            _ => now_ms(),
        };
        let mut request = sending::signed(provider, &key, signed_at_ms, body)?;
        let header = provider.signature.header();
        match self {
            Self::Unsigned | Self::LargeAndUnsigned => drop(request.headers_mut().remove(header)),
            Self::Cut => {
                let text = request.headers().get(header)?.to_str().ok()?;
                let cut = text[..text.len() - 1].parse().ok()?;
                request.headers_mut().insert(header, cut);
            }
            _ => {}
        }
        Some(request)
    }
}
