//! What a function is invoked with: whatever it is, it is read, and `lambda_http` converts what is let through.
//!
//! The input is an event, or else the lines of an HTTP request that API Gateway would make one of.

#![no_main]

use lambda_http::Request;
use lambda_http::http::HeaderName;
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use shared::clock::UnixMillis;
use shared::receive::door::GatewayEvent;
use shared::receive::receipt::Answer;
use shared::receive::signing_keys::KeySet;
use shared::receive::verification::{Delivery, verify};

fuzz_target!(|input: &[u8]| {
    let made = made_of(&String::from_utf8_lossy(input)).map(|event| event.to_string());
    let event = made.as_ref().map_or(input, String::as_bytes);
    let Ok(keys) = KeySet::parse(r#"{"keys":{"a":"a key of ours"}}"#) else { return };
    for provider in providers::ALL {
        // Lambda hands over nothing that is no JSON.
        let Ok(read) = serde_json::from_slice::<GatewayEvent>(event) else { return };
        let (request, refusal) = read.admit(provider);
        let request = Request::from(request);
        match refusal {
            Some(answer) => {
                assert!(matches!(answer, Answer::NotFound | Answer::MethodNotAllowed | Answer::BadRequest), "{answer:?}");
                assert!(answer != Answer::BadRequest || made.is_none() || is_odd(event), "{}", event.escape_ascii());
            }
            None => {
                let delivery = Delivery { headers: request.headers(), body: request.body() };
                let verdict = verify(provider, delivery, &keys, UnixMillis(1_747_253_577_000));
                assert!(verdict.is_err(), "{} takes it", provider.name);
            }
        }
    }
});

/// `POST /webhooks/rail 2`, then headers, then the body; the number is the payload format, negative when the body is base64.
fn made_of(input: &str) -> Option<Value> {
    let (first, rest) = input.split_once('\n')?;
    let (method, first) = first.split_once(' ')?;
    let (path, format) = first.rsplit_once(' ')?;
    let format: i8 = format.parse().ok()?;
    let (headers, body) = rest.split_once("\n\n").unwrap_or((rest, ""));
    let headers: serde_json::Map<_, _> =
        headers.lines().filter_map(|line| line.split_once(": ")).map(|(name, value)| (name.to_owned(), json!(value))).collect();
    Some(match format.unsigned_abs() {
        2 => json!({
            "version": "2.0", "rawPath": path, "headers": headers, "body": body, "isBase64Encoded": format < 0,
            "requestContext": { "http": { "method": method, "path": path }, "stage": "$default" },
        }),
        1 => json!({
            "path": path, "httpMethod": method, "headers": headers, "body": body, "isBase64Encoded": format < 0,
            "requestContext": { "httpMethod": method, "stage": "prod" },
        }),
        _ => return None,
    })
}

/// What a client cannot send by HTTP, or API Gateway would have encoded, or is no host.
fn is_odd(event: &[u8]) -> bool {
    let event: Value = serde_json::from_slice(event).unwrap_or_default();
    let headers = event["headers"].as_object();
    let is_odd = |(name, value): (&String, &Value)| {
        name.eq_ignore_ascii_case("host")
            || HeaderName::try_from(name).is_err()
            || value.as_str().is_none_or(|value| value.chars().any(|c| c.is_control() && c != '\t'))
    };
    event["isBase64Encoded"] == true || headers.is_none_or(|headers| headers.iter().any(is_odd))
}
