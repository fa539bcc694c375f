use lambda_http::Request;

use super::*;
use crate::receive::provider::{EnvelopeMembers, HeaderPart};

static PROVIDER: Provider = Provider {
    name: "x",
    signature: HeaderPart::Whole("x-signature"),
    signed_at: HeaderPart::Whole("x-timestamp"),
    forms: &[],
    envelope: EnvelopeMembers { event_id: "id", event_type: "type", occurred_at: "at" },
    api: None,
};

/// What the receiver gets of an event, or what it is answered without one.
#[track_caller]
fn admit(event: impl AsRef<str>) -> Result<Request, Answer> {
    let event: GatewayEvent = serde_json::from_str(event.as_ref()).unwrap();
    let (request, refusal) = event.admit(&PROVIDER);
    // Whatever the answer, the adapter gets to see it.
    let request = Request::from(request);
    refusal.map_or(Ok(request), Err)
}

fn http_api() -> Value {
    json!({
        "version": "2.0", "routeKey": "POST /webhooks/x", "rawPath": "/webhooks/x", "rawQueryString": "",
        "headers": { "x-signature": "ab", "host": "example.com:443" },
        "requestContext": { "http": { "method": "POST", "path": "/webhooks/x" }, "stage": "$default", "domainName": "a.b" },
        "body": "{\"a\":1}", "isBase64Encoded": false,
    })
}

fn rest_api() -> Value {
    json!({
        "path": "/webhooks/x", "httpMethod": "POST", "headers": { "X-Signature": "b" },
        "multiValueHeaders": { "X-Signature": ["a", "b"], "Host": ["example.com"] },
        "requestContext": { "stage": "prod", "httpMethod": "POST" },
        "body": "e30=", "isBase64Encoded": true,
    })
}

/// The event with other members.
fn with(mut event: Value, changes: &Value) -> String {
    for (pointer, value) in changes.as_object().unwrap() {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        event.pointer_mut(parent).unwrap()[name] = value.clone();
    }
    event.to_string()
}

fn values<'r>(request: &'r Request, name: &str) -> Vec<&'r [u8]> {
    request.headers().get_all(name).iter().map(HeaderValue::as_bytes).collect()
}

#[test]
fn an_http_api_event_gives_headers_and_body() {
    let request = admit(http_api().to_string()).unwrap();
    assert_eq!(values(&request, "X-Signature"), [b"ab"]);
    assert_eq!(request.body().as_ref(), b"{\"a\":1}");
}

#[test]
fn a_rest_api_event_keeps_repeated_headers_apart() {
    let request = admit(rest_api().to_string()).unwrap();
    assert_eq!(values(&request, "x-signature"), [b"a", b"b"]);
    assert_eq!(request.body().as_ref(), b"{}");
    // What has no values of several is read from the others.
    let request = admit(with(rest_api(), &json!({ "/multiValueHeaders": {} }))).unwrap();
    assert_eq!(values(&request, "x-signature"), [b"b"]);
}

#[test]
fn an_event_of_any_size_is_read_alike() {
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(MAX_UNCOUNTED_BYTES));
    for event in [http_api(), rest_api()] {
        let request = admit(with(event, &json!({ "/body": long, "/isBase64Encoded": false }))).unwrap();
        assert_eq!(request.body().as_ref(), long.as_bytes());
        assert!(!values(&request, "x-signature").is_empty());
    }
}

#[test]
fn what_is_no_delivery_is_answered_by_its_path_then_its_method_then_the_rest() {
    let strange = json!({ "/headers/x": "\u{0}", "/headers/host": "a b{}", "/body": "%", "/isBase64Encoded": true });
    for (event, path, method) in
        [(http_api(), "/rawPath", "/requestContext/http/method"), (rest_api(), "/path", "/httpMethod")]
    {
        let event = |path_value: &str, method_value: &str, further: &Value| {
            let mut changes = further.clone();
            changes[path] = json!(path_value);
            changes[method] = json!(method_value);
            admit(with(event.clone(), &changes)).map(|_| ())
        };
        let nothing = json!({});
        for (path, method, further, expected) in [
            ("/webhooks/x", "POST", &nothing, Ok(())),
            ("/prod/webhooks/x", "POST", &nothing, Ok(())),
            ("/webhooks/x/", "POST", &nothing, Err(Answer::NotFound)),
            ("/webhooks/other", "GET", &strange, Err(Answer::NotFound)),
            ("/webhooks/x", "GET", &nothing, Err(Answer::MethodNotAllowed)),
            ("/webhooks/x", "post", &strange, Err(Answer::MethodNotAllowed)),
            ("/webhooks/x", "PÖ ST", &strange, Err(Answer::MethodNotAllowed)),
            ("/webhooks/x", "POST", &strange, Err(Answer::BadRequest)),
        ] {
            assert_eq!(event(path, method, further), expected, "{method} {path} {further}");
        }
    }
}

/// Each alone makes `lambda_http` panic, or refuse the event as an error of the function.
#[test]
fn what_lambda_http_cannot_convert_is_a_bad_request() {
    for event in [http_api(), rest_api()] {
        let event = with(event, &json!({ "/multiValueHeaders": null }));
        for changes in [
            json!({ "/headers/host": "a b{}" }),
            json!({ "/headers/host": "[::1" }),
            json!({ "/headers/host": ["example.com", "a b"] }),
            json!({ "/body": "%%", "/isBase64Encoded": true }),
            json!({ "/headers/x": "a\u{1}b" }),
            json!({ "/headers/x": "\u{7f}" }),
            json!({ "/headers/x-signature": "ab\n" }),
            json!({ "/headers/x": "a\r\nb: c" }),
            json!({ "/headers/x": 7 }),
            json!({ "/headers": [] }),
            json!({ "/body": {} }),
            json!({ "/isBase64Encoded": "true" }),
        ] {
            let event = with(serde_json::from_str(&event).unwrap(), &changes);
            assert_eq!(admit(event).map(|_| ()), Err(Answer::BadRequest), "{changes}");
        }
    }
    let mut many = http_api();
    for n in 0..=MAX_HEADER_NAMES {
        many["headers"][format!("x-{n}")] = json!("");
    }
    assert_eq!(admit(many.to_string()).map(|_| ()), Err(Answer::BadRequest));
}

#[test]
fn what_the_bridge_does_not_need_is_of_no_concern() {
    for event in [http_api(), rest_api()] {
        let event = with(event, &json!({ "/isBase64Encoded": null, "/body": "{}" }));
        for changes in [
            json!({ "/headers/host": "" }),
            json!({ "/headers/x-forwarded-proto": "://" }),
            json!({ "/headers/x": null }),
            json!({ "/headers/": "no name" }),
            json!({ "/headers/naïve name": "" }),
            json!({ "/requestContext/stage": "a b[" , "/requestContext/domainName": "a b" }),
            json!({ "/requestContext/timeEpoch": null, "/requestContext/requestTimeEpoch": "soon" }),
            json!({ "/rawQueryString": "é <\n", "/queryStringParameters": 7 }),
            json!({ "/version": 2, "/stageVariables": "none" }),
        ] {
            let event = with(serde_json::from_str(&event).unwrap(), &changes);
            assert!(admit(event).is_ok(), "{changes}");
        }
    }
}

#[test]
fn what_is_no_http_event_has_no_path_of_ours() {
    for event in ["{}", "null", "7", "-1e400", "\"/webhooks/x\"", "[]", r#"["/webhooks/x"]"#, r#"{"rawPath":{}}"#] {
        assert_eq!(admit(event).map(|_| ()), Err(Answer::NotFound), "{event}");
    }
    for event in [&b"\xff"[..], b"\"\xff\"", b"{"] {
        let event = GatewayEvent::deserialize(&mut serde_json::Deserializer::from_slice(event)).unwrap();
        assert_eq!(event.admit(&PROVIDER).1, Some(Answer::NotFound));
    }
}
