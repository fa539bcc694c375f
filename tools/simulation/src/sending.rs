//! Requests as providers send them.

use hmac::{Hmac, KeyInit, Mac};
use lambda_http::Body;
use sha2::Sha256;
use shared::clock::UnixSeconds;
use shared::receive::provider::Provider;
use shared::receive::verification::hex;

pub type Request = http::Request<Body>;

/// A delivery of this body, signed at that time.
pub fn signed(provider: &Provider, key: &str, signed_at_ms: u64, body: String) -> Option<Request> {
    let signed_at = UnixSeconds(signed_at_ms / 1000);
    let mut mac: Hmac<Sha256> = Hmac::new_from_slice(key.as_bytes()).ok()?;
    mac.update(signed_at.0.to_string().as_bytes());
    mac.update(b".");
    mac.update(body.as_bytes());
    let signature = hex(&mac.finalize().into_bytes());
    let mut request = http::Request::builder().method("POST").uri(provider.path());
    for (name, value) in provider.headers(signed_at, &signature) {
        request = request.header(name, value);
    }
    request.body(Body::from(body)).ok()
}
