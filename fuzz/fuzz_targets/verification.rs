//! Every provider's verification: what no key of ours signed is never an event, and what one signed always is.
//!
//! The input is a body, and in front of it, if it begins with `x-`, headers as HTTP has them.

#![no_main]

use std::sync::LazyLock;

use hmac::{Hmac, KeyInit, Mac};
use json::{Document, Kind};
use lambda_http::http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use sha2::Sha256;
use shared::clock::UnixMillis;
use shared::receive::provider::Provider;
use shared::receive::signing_keys::KeySet;
use shared::receive::verification::{Delivery, Refusal, hex, signed_message, verify};

const NOW: UnixMillis = UnixMillis(1_747_253_577_000);
static KEYS: LazyLock<KeySet> =
    LazyLock::new(|| KeySet::parse(r#"{"keys":{"a":"a key of ours","b":"another"}}"#).expect("it holds keys"));

fuzz_target!(|input: &[u8]| {
    let (headers, body) = headers_and_body(input);
    for provider in providers::ALL {
        let forged = signed(provider, "no key of ours", body);
        for headers in [&headers, &forged] {
            let verdict = verify(provider, Delivery { headers, body }, &KEYS, NOW);
            assert!(verdict.is_err(), "{} takes it", provider.name);
        }
        for form in provider.forms {
            let Ok(text) = form.text(body) else { continue };
            let headers = signed(provider, "another", &text);
            match verify(provider, Delivery { headers: &headers, body }, &KEYS, NOW) {
                Ok(event) => {
                    assert_eq!(event.signed_text().as_bytes(), text, "{}", form.name);
                    let _ = (event.event_id(), event.event_type(), event.occurred_at());
                }
                Err(Refusal::BodyNotAnObject) => {
                    let is_object = |document: Document<'_>| document.root().kind() == Kind::Object;
                    assert!(!Document::parse(body).is_ok_and(is_object), "{}", form.name);
                }
                Err(Refusal::SignatureMismatch { form_left_out: true }) => assert!(text.len() > 200_000),
                Err(refusal) => panic!("{} {}: {refusal}", provider.name, form.name),
            }
        }
    }
});

fn headers_and_body(input: &[u8]) -> (HeaderMap, &[u8]) {
    let mut headers = HeaderMap::new();
    let mut rest = input;
    while rest.starts_with(b"x-")
        && let Some(end) = rest.iter().position(|byte| *byte == b'\n')
    {
        let (line, body) = (&rest[..end], &rest[end + 1..]);
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (name, value) = (HeaderName::from_bytes(&line[..colon]), HeaderValue::from_bytes(&line[end.min(colon + 1)..]));
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
        rest = body;
    }
    (headers, rest)
}

fn signed(provider: &Provider, key: &str, text: &[u8]) -> HeaderMap {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("any length will do");
    mac.update(&signed_message(&NOW.seconds().0.to_string(), text));
    let headers = provider.headers(NOW.seconds(), &hex(&mac.finalize().into_bytes()));
    let header = |(name, value): (&'static str, String)| (HeaderName::from_static(name), value.parse().expect("ASCII"));
    headers.into_iter().map(header).collect()
}
