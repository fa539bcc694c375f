//! Every kind of event that API Gateway makes, and whatever a stranger can make it put in there.

use local::gateway::events::{
    HttpRequest, function_url_event, http_api_event, http_response, rest_api_event, with_base64_body,
};
use serde_json::{Value, json};

use crate::bridge::fixture::*;

type MakesEvent = fn(&HttpRequest) -> Value;

const FORMATS: [(&str, MakesEvent); 3] =
    [("http-api", http_api_event), ("function-url", function_url_event), ("rest-api", rest_api_event)];

fn request(delivery: &Delivery) -> HttpRequest {
    let path = format!("/webhooks/{}", delivery.provider);
    HttpRequest::post(&path, delivery.headers.clone(), delivery.body.clone())
}

#[tokio::test]
async fn every_payload_format_is_read_with_its_body_in_base64_or_not() {
    let bridge = Bridge::start().await;
    for provider in RECEIVERS {
        for (name, event) in FORMATS {
            let plain = event(&request(&Delivery::signed(provider, wanted(provider, name))));
            let again = event(&request(&Delivery::signed(provider, wanted(provider, name))));
            assert_eq!(plain["isBase64Encoded"], false);
            assert_eq!(bridge.invoke(provider, &plain).await, owned(ACCEPTED), "{provider} {name}");
            let in_base64 = with_base64_body(again);
            assert_eq!(in_base64["isBase64Encoded"], true);
            assert_eq!(bridge.invoke(provider, &in_base64).await, owned(DUPLICATE), "{provider} {name}");
        }
    }
    bridge.settled().await;
    assert_eq!(bridge.messages().len(), FORMATS.len() * RECEIVERS.len());
}

#[tokio::test]
async fn a_stage_or_a_custom_domain_s_mapping_may_precede_the_path() {
    let bridge = Bridge::start().await;
    for (n, path) in ["/prod/webhooks/rail", "/v1/bridge/webhooks/rail"].into_iter().enumerate() {
        let delivery = Delivery::signed(RAIL, withdrawal(&n.to_string()));
        let request = HttpRequest::post(path, delivery.headers, delivery.body);
        assert_eq!(bridge.invoke(RAIL, &http_api_event(&request)).await, owned(ACCEPTED), "{path}");
    }
}

#[tokio::test]
async fn header_names_are_read_without_regard_to_case() {
    let bridge = Bridge::start().await;
    let mut delivery = Delivery::signed(RAIL, withdrawal("e1"));
    for (name, _) in &mut delivery.headers {
        *name = name.to_uppercase();
    }
    assert_eq!(bridge.invoke(RAIL, &rest_api_event(&request(&delivery))).await, owned(ACCEPTED));
}

#[tokio::test]
async fn a_signature_or_time_that_comes_twice_is_refused_in_every_format() {
    let bridge = Bridge::start().await;
    for provider in RECEIVERS {
        let (signature, time) = signed_parts(provider);
        let good = Delivery::signed(provider, wanted(provider, "e1"));
        let (hex, now) = (good.signature().to_owned(), now_s().to_string());
        for twice in [good.clone().and(signature, &hex), good.clone().and(time, &now), good.and(signature, "")] {
            for (name, event) in FORMATS {
                let answer = bridge.invoke(provider, &event(&request(&twice))).await;
                bridge.settled().await;
                assert_eq!(answer, owned(UNAUTHORIZED), "{provider} {name}");
                assert_eq!(bridge.last_line().await["refusal"], "header_malformed");
            }
        }
    }
}

/// Nothing of it may end in a function error, which API Gateway answers 500.
#[tokio::test]
async fn whatever_a_stranger_makes_of_the_event_is_answered_by_the_same_process() {
    let bridge = Bridge::with(one_process).await;
    let delivery = Delivery::signed(RAIL, withdrawal("e1"));
    let plain = request(&delivery);
    let mut events = Vec::new();
    for (_, event) in FORMATS {
        for path in ["", "//", "webhooks/rail", "/webhooks/rail?x=é", "/%%%", "/a b\u{0}\u{7f}é💥", "http://[::1", "*"]
        {
            events.push(event(&HttpRequest { path: path.to_owned(), ..plain.clone() }));
        }
        for method in ["", "post", "PÖST", "A B", "\n"] {
            events.push(event(&HttpRequest { method: method.to_owned(), ..plain.clone() }));
        }
        for (name, value) in [
            ("host", "a b:99999/é"),
            ("host", ""),
            ("x-forwarded-proto", "://"),
            ("x-forwarded-for", "💥\u{0}"),
            ("x-rail-timestamp", "１７００００００００"),
            ("x-rail-signature", "é"),
            ("content-type", "\u{7f}\r\nx: y"),
            ("cookie", "a=é; =;;"),
            ("naïve name", "é"),
            ("", ""),
        ] {
            let mut changed = plain.clone();
            changed.headers.insert(0, (name.to_owned(), value.to_owned()));
            events.push(event(&changed));
        }
        events.push(event(&HttpRequest { query: "a=%zz&é=💥&&=&".to_owned(), ..plain.clone() }));
        let whole = event(&plain);
        for field in whole.as_object().unwrap().keys() {
            let mut changed = whole.clone();
            changed[field] = Value::Null;
            events.push(changed.clone());
            changed.as_object_mut().unwrap().remove(field);
            events.push(changed);
        }
        let mut null_header = whole.clone();
        null_header["headers"]["x-rail-signature"] = Value::Null;
        events.push(null_header);
        let mut null_context = whole.clone();
        null_context["requestContext"] = json!({ "http": null, "authorizer": { "lambda": null } });
        events.push(null_context);
        let mut not_base64 = whole.clone();
        not_base64["isBase64Encoded"] = json!(true);
        events.push(not_base64);
    }
    events.extend([
        json!({}),
        json!({ "version": "2.0" }),
        json!({ "headers": {}, "multiValueHeaders": { "a": null } }),
    ]);
    for event in events {
        let (status, body) = bridge.invoke(RAIL, &event).await;
        let known = [
            (200, ACCEPTED.1),
            (200, DUPLICATE.1),
            BAD_REQUEST,
            UNAUTHORIZED,
            (404, r#"{"error":"not_found"}"#),
            (405, r#"{"error":"method_not_allowed"}"#),
        ];
        assert!(known.contains(&(status, body.as_str())), "{status} {body}: {event}");
    }
    bridge.settled().await;
    assert_eq!(bridge.function(RAIL).pids().len(), 1);
    assert_eq!(bridge.function(RAIL).cold_starts().len(), 1);
}

/// What a signed delivery is answered when its event is strange in one way: as an HTTP API's (or function URL's), as a REST API's.
type Row = (&'static str, fn(&mut Value), [u16; 2]);

const STRANGE: &[Row] = &[
    // The path.
    ("no path", |event| without(event, &["rawPath", "path"]), [404, 404]),
    ("path of null", |event| path(event, &Value::Null), [404, 404]),
    ("path of another type", |event| path(event, &json!(["/webhooks/rail"])), [404, 404]),
    ("empty path", |event| path(event, &json!("")), [404, 404]),
    ("path of slashes", |event| path(event, &json!("//")), [404, 404]),
    ("path without its slash", |event| path(event, &json!("webhooks/rail")), [404, 404]),
    ("path with a query", |event| path(event, &json!("/webhooks/rail?x=é")), [404, 404]),
    ("path of percent signs", |event| path(event, &json!("/%%%")), [404, 404]),
    ("path with control characters", |event| path(event, &json!("/a b\u{0}\u{7f}é💥")), [404, 404]),
    ("path that is a URL", |event| path(event, &json!("http://[::1")), [404, 404]),
    ("path of an asterisk", |event| path(event, &json!("*")), [404, 404]),
    ("path of 100,000 characters", |event| path(event, &json!("/x".repeat(50_000))), [404, 404]),
    ("ours behind odd characters", |event| path(event, &json!("/a b\u{0}\\\"<é💥/webhooks/rail")), [200, 200]),
    ("ours behind a port", |event| path(event, &json!(":99999/webhooks/rail")), [200, 200]),
    ("ours behind a broken IPv6 address", |event| path(event, &json!("[::1/webhooks/rail")), [200, 200]),
    ("ours behind 100,000 characters", |event| path(event, &json!("/x".repeat(50_000) + "/webhooks/rail")), [200, 200]),
    ("a stage with odd characters", |event| event["requestContext"]["stage"] = json!("a b[\u{0}é"), [200, 200]),
    // The method.
    ("empty method", |event| method(event, &json!("")), [405, 405]),
    ("method in lower case", |event| method(event, &json!("post")), [405, 405]),
    ("method with an umlaut", |event| method(event, &json!("PÖST")), [405, 405]),
    ("method with a space", |event| method(event, &json!("A B")), [405, 405]),
    ("method of a line end", |event| method(event, &json!("\n")), [405, 405]),
    ("method of null", |event| method(event, &Value::Null), [405, 405]),
    ("method of another type", |event| method(event, &json!(7)), [405, 405]),
    // The headers.
    ("host with a space and braces", |event| header(event, "host", json!("a b{}")), [400, 400]),
    ("host with a port beyond all", |event| header(event, "host", json!("a b:99999/é")), [400, 400]),
    ("host of a broken IPv6 address", |event| header(event, "host", json!("[::1")), [400, 400]),
    ("host with bad punycode", |event| header(event, "host", json!("xn--a")), [200, 200]),
    ("host that counts too far", |event| header(event, "host", json!("1.2.3.400")), [200, 200]),
    ("empty host", |event| header(event, "host", json!("")), [200, 200]),
    ("two hosts", |event| header(event, "host", json!(["a", "b"])), [200, 200]),
    ("domain name with a space", |event| event["requestContext"]["domainName"] = json!("a b"), [200, 200]),
    ("scheme that is none", |event| header(event, "x-forwarded-proto", json!("://")), [200, 200]),
    ("scheme of another protocol", |event| header(event, "x-forwarded-proto", json!("data")), [200, 200]),
    ("control character in a header", |event| header(event, "x-forwarded-for", json!("💥\u{0}")), [400, 400]),
    ("line end in a header", |event| header(event, "content-type", json!("\u{7f}\r\nx: y")), [400, 400]),
    ("control character in the signature", |event| header(event, "x-rail-signature", json!("a\u{1}")), [400, 400]),
    ("signature beyond ASCII", |event| header(event, "x-rail-signature", json!("é")), [401, 401]),
    ("time in other digits", |event| header(event, "x-rail-timestamp", json!("１７００００００００")), [401, 401]),
    // An HTTP API writes names in lower case: it cannot have them twice.
    ("signature under two spellings", |event| header(event, "X-Rail-Signature", json!("ab")), [200, 401]),
    ("cookies without a name", |event| header(event, "cookie", json!("a=é; =;;")), [200, 200]),
    ("header name beyond ASCII", |event| header(event, "naïve name", json!("é")), [200, 200]),
    ("empty header name", |event| header(event, "", json!("")), [200, 200]),
    ("header of null", |event| header(event, "x-other", Value::Null), [200, 400]),
    ("signature of null", |event| header(event, "x-rail-signature", Value::Null), [401, 400]),
    ("header of a number", |event| header(event, "x-other", json!(7)), [400, 400]),
    ("header of an object", |event| header(event, "x-other", json!({})), [400, 400]),
    ("headers of null", |event| headers(event, &Value::Null), [401, 401]),
    ("headers of an array", |event| headers(event, &json!([["a", "b"]])), [400, 400]),
    ("headers of text", |event| headers(event, &json!("a: b")), [400, 400]),
    ("no headers", |event| without(event, &["headers", "multiValueHeaders"]), [401, 401]),
    ("30,000 headers", many_headers, [400, 400]),
    // The query.
    ("query that is none", |event| event["rawQueryString"] = json!("a=%zz&é=💥 <&&=&\n"), [200, 200]),
    ("query of null", |event| event["rawQueryString"] = Value::Null, [200, 200]),
    ("query of another type", |event| event["queryStringParameters"] = json!({ "a": 7 }), [200, 200]),
    ("query of 100,000 characters", |event| event["rawQueryString"] = json!("x".repeat(100_000)), [200, 200]),
    // The body.
    ("no body", |event| without(event, &["body"]), [401, 401]),
    ("body of null", |event| event["body"] = Value::Null, [401, 401]),
    ("body of another type", |event| event["body"] = json!({ "event_id": "e1" }), [400, 400]),
    ("body that is not base64", |event| event["isBase64Encoded"] = json!(true), [400, 400]),
    ("base64 of null", |event| event["isBase64Encoded"] = Value::Null, [200, 200]),
    ("base64 that is text", |event| event["isBase64Encoded"] = json!("false"), [400, 400]),
    ("body of two mebibytes", |event| event["body"] = json!(" ".repeat(2 << 20)), [413, 413]),
    // The rest.
    ("no context", |event| without(event, &["requestContext"]), [405, 200]),
    ("context of null", |event| event["requestContext"] = Value::Null, [405, 200]),
    ("context of text", |event| event["requestContext"] = json!("http"), [405, 200]),
    ("empty context", |event| event["requestContext"] = json!({}), [405, 200]),
    (
        "context of nulls",
        |event| event["requestContext"] = json!({ "http": null, "authorizer": { "lambda": null } }),
        [405, 200],
    ),
    (
        "context of a load balancer",
        |event| event["requestContext"] = json!({ "elb": { "targetGroupArn": "arn" } }),
        [405, 200],
    ),
    ("time of null", |event| event["requestContext"]["timeEpoch"] = Value::Null, [200, 200]),
    ("identity of null", |event| event["requestContext"]["identity"] = Value::Null, [200, 200]),
    ("no version, route or resource", |event| without(event, &["version", "routeKey", "resource"]), [200, 200]),
    ("version of another type", |event| event["version"] = json!(2), [200, 200]),
    ("path parameters of null", |event| event["pathParameters"] = Value::Null, [200, 200]),
    ("path parameters of another type", |event| event["pathParameters"] = json!({ "a": 1 }), [200, 200]),
    ("members that nobody knows", |event| event["$serde_json::private::RawValue"] = json!("{"), [200, 200]),
];

/// What is no HTTP request at all.
const NO_REQUEST: &[(&str, u16)] = &[
    ("{}", 404),
    ("null", 404),
    ("true", 404),
    ("17", 404),
    ("-1e400", 404),
    (r#""text""#, 404),
    ("[]", 404),
    (r#"["2.0", "POST /webhooks/rail", "/webhooks/rail"]"#, 404),
    (r#"{"version":"2.0"}"#, 404),
    (r#"{"headers":{},"multiValueHeaders":{"a":null}}"#, 404),
    (r#"{"keys":["rail#evt_1"]}"#, 404),
    (
        r#"{"version":"0","id":"1","detail-type":"Scheduled Event","source":"aws.events","time":"2025-01-01T00:00:00Z","resources":[],"detail":{}}"#,
        404,
    ),
    (r#"{"Records":[{"messageId":"1","body":"{}","eventSource":"aws:sqs"}]}"#, 404),
    (
        r#"{"requestContext":{"routeKey":"$connect","eventType":"CONNECT","connectionId":"1"},"isBase64Encoded":false}"#,
        404,
    ),
    (r#"{"rawPath":"/webhooks/rail","requestContext":{"http":{"method":"POST"}}}"#, 401),
    (r#"{"rawPath":"/webhooks/rail","requestContext":{"http":{"method":"GET"}},"headers":7}"#, 405),
    (r#"{"path":"/webhooks/rail","httpMethod":"POST"}"#, 401),
    (r#"{"path":"/webhooks/rail","httpMethod":"POST","body":"\ud800"}"#, 404),
    (r#"{"path":"/webhooks/rail","path":"/webhooks/rail","httpMethod":"POST"}"#, 401),
];

/// The members of both formats, whichever the event has.
fn set(event: &mut Value, pointers: &[&str], value: &Value) {
    for pointer in pointers {
        if let Some(member) = event.pointer_mut(pointer) {
            *member = value.clone();
        }
    }
}

fn path(event: &mut Value, path: &Value) {
    set(event, &["/rawPath", "/path", "/requestContext/path", "/requestContext/http/path"], path);
}

fn method(event: &mut Value, method: &Value) {
    set(event, &["/httpMethod", "/requestContext/httpMethod", "/requestContext/http/method"], method);
}

fn headers(event: &mut Value, headers: &Value) {
    set(event, &["/headers", "/multiValueHeaders"], headers);
}

fn header(event: &mut Value, name: &str, value: Value) {
    if let Some(values) = event.get_mut("multiValueHeaders") {
        values[name] = if value.is_array() { value.clone() } else { json!([value]) };
    }
    event["headers"][name] = value.as_array().and_then(|values| values.last().cloned()).unwrap_or(value);
}

fn many_headers(event: &mut Value) {
    for n in 0..30_000 {
        header(event, &format!("x-{n}"), json!(""));
    }
}

fn without(event: &mut Value, members: &[&str]) {
    for member in members {
        event.as_object_mut().unwrap().remove(*member);
    }
}

#[tokio::test]
async fn every_strange_event_has_its_answer() {
    let bridge = Bridge::with(one_process).await;
    let mut events = Vec::new();
    for (strange, change, expected) in STRANGE {
        for ((format, event), expected) in [FORMATS[0], FORMATS[2]].into_iter().zip(expected) {
            let mut event = event(&request(&Delivery::signed(RAIL, withdrawal("e1"))));
            change(&mut event);
            events.push((format!("{strange}, {format}"), event.to_string(), *expected));
        }
    }
    events.extend(NO_REQUEST.iter().map(|(event, expected)| ((*event).to_owned(), (*event).to_owned(), *expected)));
    let mut wrong = Vec::new();
    for (strange, event, expected) in events {
        let invoked = within(bridge.function(RAIL).invoke(event.into())).await;
        let invoked = invoked.unwrap_or_else(|error| panic!("{strange}: {error}"));
        let status = http_response(&invoked.response).unwrap().status().as_u16();
        if status != expected {
            wrong.push(format!("{strange}: {status} instead of {expected}"));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!(bridge.function(RAIL).cold_starts().len(), 1);
}

fn owned((status, body): (u16, &str)) -> (u16, String) {
    (status, body.to_owned())
}
