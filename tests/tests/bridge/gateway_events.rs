//! Every kind of event that API Gateway makes, and whatever a stranger can make it put in there.

use local::gateway::events::{HttpRequest, function_url_event, http_api_event, rest_api_event, with_base64_body};
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
    for provider in [RAIL, RILLIS] {
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
    assert_eq!(bridge.messages().len(), 6);
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
    for provider in [RAIL, RILLIS] {
        let (signature, time) = signature_headers(provider);
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

fn owned((status, body): (u16, &str)) -> (u16, String) {
    (status, body.to_owned())
}
