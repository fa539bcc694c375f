//! Every row of the answer table.

use http::HeaderMap;
use local::gateway::events::{HttpRequest, http_api_event};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::bridge::fixture::*;

#[tokio::test]
async fn an_event_that_a_route_wants_is_accepted_and_delivered() {
    let bridge = Bridge::start().await;
    for provider in RECEIVERS {
        let answer = bridge.post(provider, wanted(provider, "e1")).await;
        bridge.settled().await;
        assert_eq!(answer.told(), ACCEPTED);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(bridge.item(&format!("{provider}#e1"))["state"], "delivered");
        assert_eq!(bridge.stack.returning_ai.messages(workflow_of_wanted(provider)).len(), 1);
    }
}

#[tokio::test]
async fn an_event_that_no_route_wants_is_ignored_and_kept() {
    let bridge = Bridge::start().await;
    let answer = bridge.post(RAIL, r#"{"event_id":"e1","event_type":"ACCOUNT_DORMANT"}"#).await;
    bridge.settled().await;
    let item = bridge.item("rail#e1");
    assert_eq!(answer.told(), IGNORED);
    assert_eq!((&item["state"], &item["attempts"]), (&json!("ignored"), &json!(0)));
    assert_eq!((item.get("due"), item.get("next_attempt_at")), (None, None));
    assert!(bridge.messages().is_empty());
}

#[tokio::test]
async fn an_event_that_came_before_is_a_duplicate_whatever_became_of_it() {
    let bridge = Bridge::start().await;
    let events = [
        ("delivered", withdrawal("e1"), ACCEPTED),
        ("ignored", r#"{"event_id":"e2","event_type":"ACCOUNT_DORMANT"}"#.to_owned(), IGNORED),
        ("dead", r#"{"event_id":"e3"}"#.to_owned(), ACCEPTED),
    ];
    for (state, body, first) in events {
        assert_eq!(bridge.post(RAIL, body.clone()).await.told(), first, "{state}");
        bridge.settled().await;
        let before = bridge.stack.dynamodb.items();
        assert_eq!(bridge.post(RAIL, body).await.told(), DUPLICATE, "{state}");
        bridge.settled().await;
        assert_eq!(bridge.stack.dynamodb.items(), before);
        assert_eq!(before.last().unwrap()["state"], state);
    }
    assert_eq!(bridge.messages().len(), 1);
}

#[tokio::test]
async fn a_refused_delivery_gets_one_answer_whatever_the_reason() {
    let bridge = Bridge::start().await;
    let mut answers: Vec<(u16, String, HeaderMap)> = Vec::new();
    for provider in RECEIVERS {
        let (signature, time) = signed_parts(provider);
        let good = Delivery::signed(provider, wanted(provider, "e1"));
        let hex = good.signature().to_owned();
        let (longer, shorter) = (format!("{hex}0"), hex[1..].to_owned());
        let (prefixed, no_hex) = (format!("sha256={hex}"), "g".repeat(64));
        let in_ms = (now_s() * 1000).to_string();
        let of_body = |at: u64| Delivery::signed_at(provider, at, wanted(provider, "e1"));
        let mut cases = vec![
            ("header_missing", good.clone().without(signature)),
            ("header_missing", good.clone().without(time)),
            ("header_missing", good.clone().without(time).without(signature)),
            ("outside_tolerance", of_body(now_s() - 301)),
            ("outside_tolerance", of_body(now_s() + 330)),
            ("outside_tolerance", of_body(0)),
            ("outside_tolerance", good.clone().with(time, &in_ms)),
            ("outside_tolerance", good.clone().with(time, &u64::MAX.to_string())),
            ("signature_mismatch", Delivery::signed_by(provider, "another key", wanted(provider, "e1"))),
            ("signature_mismatch", good.clone().with(time, &(now_s() - 60).to_string())),
            ("signature_mismatch", Delivery::signed_over(provider, "{}", wanted(provider, "e1"))),
            ("signature_mismatch", Delivery { body: "".into(), ..good.clone() }),
            ("header_malformed", good.clone().and(signature, &hex)),
            ("header_malformed", good.clone().and(time, &now_s().to_string())),
        ];
        for malformed in ["", &longer, &shorter, &prefixed, &no_hex] {
            cases.push(("header_malformed", good.clone().with(signature, malformed)));
        }
        for malformed in ["", "-1", "+1", "1.5", "1e9", "0x10", "soon", "99999999999999999999", "NaN"] {
            cases.push(("header_malformed", good.clone().with(time, malformed)));
        }
        for (refusal, delivery) in cases {
            let answer = bridge.send(&delivery).await;
            bridge.settled().await;
            assert_eq!(answer.told(), UNAUTHORIZED, "{delivery:?}");
            let line = bridge.last_line().await;
            assert_eq!((&line["refusal"], &line["level"]), (&json!(refusal), &json!("WARN")), "{delivery:?}");
            let mut headers = answer.headers;
            headers.remove("date");
            answers.push((answer.status, answer.body, headers));
        }
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert!(bridge.stack.dynamodb.items().is_empty());
}

#[tokio::test]
async fn a_signature_holds_for_five_minutes_either_way() {
    let bridge = Bridge::start().await;
    for (event_id, signed_at) in [("past", now_s() - 290), ("future", now_s() + 299)] {
        let delivery = Delivery::signed_at(RAIL, signed_at, deposit(event_id));
        assert_eq!(bridge.send(&delivery).await.told(), ACCEPTED, "{event_id}");
    }
}

#[tokio::test]
async fn what_is_signed_but_no_json_object_is_a_bad_request() {
    let bridge = Bridge::start().await;
    let bodies: [&[u8]; 9] =
        [b"", b"null", b"1", b"\"text\"", b"[{}]", b"{", b"{} {}", b"\xff\xfe", b"{\"a\":\"\xff\"}"];
    for provider in RECEIVERS {
        for body in bodies {
            let answer = bridge.post(provider, body).await;
            bridge.settled().await;
            assert_eq!(answer.told(), BAD_REQUEST, "{provider} {body:?}");
            assert_eq!(bridge.last_line().await["refusal"], "body_not_an_object");
        }
    }
    assert!(bridge.stack.dynamodb.items().is_empty());
}

#[tokio::test]
async fn a_body_above_the_limit_is_too_large_and_one_of_it_is_not() {
    let bridge = Bridge::start().await;
    let padded = |bytes: usize| {
        let event = withdrawal("e1");
        event.clone() + &" ".repeat(bytes - event.len())
    };
    const LIMIT: usize = 256 * 1024;
    let too_large = bridge.post(RAIL, padded(LIMIT + 1)).await;
    let unsigned = Delivery::signed(RAIL, padded(LIMIT + 1)).with(header("x-rail-signature"), "");
    assert_eq!(too_large.told(), TOO_LARGE);
    assert_eq!(bridge.send(&unsigned).await.told(), TOO_LARGE);
    assert!(bridge.stack.dynamodb.items().is_empty());
    assert_eq!(bridge.post(RAIL, padded(LIMIT)).await.told(), ACCEPTED);
}

#[tokio::test]
async fn the_limit_of_a_body_can_be_set() {
    let limit = ("MAX_BODY_BYTES".to_owned(), "100".to_owned());
    let bridge = Bridge::with(|options| options.extra_env.push(limit)).await;
    assert_eq!(bridge.post(RILLIS, format!("{:<101}", "{}")).await.told(), TOO_LARGE);
    assert_eq!(bridge.post(RILLIS, format!("{:<100}", "{}")).await.told(), ACCEPTED);
}

#[tokio::test]
async fn another_method_or_path_is_told_so() {
    let bridge = Bridge::start().await;
    for method in ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let answer = bridge.request(method, "/webhooks/rail").await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")), "{method}");
    }
    assert_eq!(bridge.request("POST", "/webhooks/other").await.status, 404);
    assert_eq!(bridge.request("POST", "/").await.status, 404);
    for path in ["/", "", "/webhooks/rillis", "/webhooks/rail/", "/webhooks/rail/x"] {
        let event = http_api_event(&HttpRequest::post(path, Vec::new(), "{}"));
        let answer = bridge.invoke(RAIL, &event).await;
        assert_eq!(answer, (404, r#"{"error":"not_found"}"#.to_owned()), "{path}");
    }
}

#[tokio::test]
async fn an_event_without_a_type_is_kept_as_dead_and_acknowledged() {
    let bridge = Bridge::start().await;
    let of_rail = r#"{"data":{"id":7},"note":"no envelope"}"#;
    let digest: String = Sha256::digest(of_rail).iter().map(|byte| format!("{byte:02x}")).collect();
    let cases = [
        (RAIL, of_rail, format!("rail#sha256:{digest}")),
        (RAIL, r#"{"event_id":"e1","event_type":""}"#, "rail#e1".to_owned()),
        (RAIL, r#"{"event_id":17,"event_type":null}"#, "rail#17".to_owned()),
        (RILLIS, r#"{"data":{},"id":"e1"}"#, "rillis#e1".to_owned()),
        (RILLIS, r#"{"id":"e2","type":["FLOW_COMPLETED"]}"#, "rillis#e2".to_owned()),
    ];
    for (provider, body, pk) in cases {
        let answer = bridge.post(provider, body).await;
        bridge.settled().await;
        let item = bridge.item(&pk);
        assert_eq!(answer.told(), ACCEPTED, "{body}");
        assert_eq!((&item["state"], &item["last_error"]), (&json!("dead"), &json!("envelope_unreadable")), "{body}");
        assert!(item["due"].as_str().unwrap().starts_with('d'), "{body}");
        assert_eq!(item.get("expires_at"), None, "what is dead is not forgotten");
        assert_eq!(bridge.last_line().await["error"], "envelope_unreadable");
    }
    assert!(bridge.messages().is_empty());
}

#[tokio::test]
async fn an_event_without_an_id_is_known_by_its_bytes() {
    let bridge = Bridge::start().await;
    let body = r#"{"event_type":"ACCOUNT_OPEN","event_data":{"customer_id":"C-1"}}"#;
    assert_eq!(bridge.post(RAIL, body).await.told(), ACCEPTED);
    assert_eq!(bridge.post(RAIL, body).await.told(), DUPLICATE);
    assert_eq!(bridge.post(RAIL, body.replace("C-1", "C-2")).await.told(), ACCEPTED);
    bridge.settled().await;
    let keys: Vec<_> = bridge.messages().iter().map(|message| message["idempotencyKey"].clone()).collect();
    assert_eq!(keys.len(), 2);
    assert!(keys.iter().all(|key| key.as_str().unwrap().starts_with("rail:sha256:")), "{keys:?}");
}
