//! What a signature may be over, which keys count, and how envelopes read.

use std::time::Duration;

use local::aws::AwsFault;
use local::faults::When;
use local::stack::{sample_key, signing_secret};
use serde_json::json;
use shared::outside::secrets::SIGNING_COOL_DOWN;
use tokio::time::{Instant, sleep_until};

use crate::bridge::fixture::*;

/// After the signing secret was read, how long no mismatch makes it read again.
const COOL_DOWN: Duration = SIGNING_COOL_DOWN[0];

#[tokio::test]
async fn rail_may_sign_the_bytes_or_what_javascript_makes_of_them() {
    let bridge = Bridge::start().await;
    let body = |id: &str| {
        format!(
            "{{ \"event_id\": \"{id}\",\n  \"event_type\": \"TRANSACTION_POSTED\", \"b\": 1e3, \"a\": \"\\u00e9\",\n  \"event_data\": {{ \"customer_id\": \"C-1\", \"amount\": 1000.00, \"category\": \"DEPOSIT\" }} }}"
        )
    };
    let stringified = r#"{"event_id":"e2","event_type":"TRANSACTION_POSTED","b":1000,"a":"é","event_data":{"customer_id":"C-1","amount":1000,"category":"DEPOSIT"}}"#;
    let cases = [
        ("raw", Delivery::signed(RAIL, body("e1")), "1000.00"),
        ("stringified", Delivery::signed_over(RAIL, stringified, body("e2")), "1000"),
    ];
    for (form, delivery, amount) in cases {
        let answer = bridge.send(&delivery).await;
        bridge.settled().await;
        assert_eq!(answer.told(), ACCEPTED, "{form}");
        assert_eq!(bridge.last_line().await["signed_form"], form);
        // What is forwarded is what was signed, digit by digit.
        let message = bridge.stack.returning_ai.messages("deposit").pop().unwrap();
        let raw = String::from_utf8(message.raw.to_vec()).unwrap();
        assert!(raw.contains(&format!("\"amount\":{amount}")), "{raw}");
    }
}

#[tokio::test]
async fn rillis_may_sign_any_of_three_spellings() {
    let bridge = Bridge::start().await;
    let body = |id: &str| {
        format!(
            r#"{{ "type": "FLOW_COMPLETED", "id": "{id}", "timestamp": 1738784271042, "data": {{ "metadata": {{ "customerId": "C-1" }}, "b10": 2.50, "9": 1, "10": [ 3, {{ "z": 1, "a": 2 }} ] }} }}"#
        )
    };
    let rebuilt = r#"{"data":{"9":1,"10":[3,{"a":2,"z":1}],"b10":2.5,"metadata":{"customerId":"C-1"}},"id":"e1","timestamp":1738784271042,"type":"FLOW_COMPLETED"}"#;
    let built = r#"{"data":{"10":[3,{"a":2,"z":1}],"9":1,"b10":2.5,"metadata":{"customerId":"C-1"}},"id":"e2","timestamp":1738784271042,"type":"FLOW_COMPLETED"}"#;
    let cases = [
        ("rebuilt", Delivery::signed_over(RILLIS, rebuilt, body("e1"))),
        ("built", Delivery::signed_over(RILLIS, built, body("e2"))),
        ("raw", Delivery::signed(RILLIS, body("e3"))),
    ];
    for (form, delivery) in cases {
        let answer = bridge.send(&delivery).await;
        bridge.settled().await;
        assert_eq!(answer.told(), ACCEPTED, "{form}");
        let line = bridge.last_line().await;
        assert_eq!((&line["signed_form"], &line["state"]), (&json!(form), &json!("delivered")));
    }
    assert_eq!(bridge.messages().len(), 3);
    let other_order = Delivery::signed_over(RILLIS, &rebuilt.replace(r#""9":1,"#, ""), body("e1"));
    assert_eq!(bridge.send(&other_order).await.told(), UNAUTHORIZED);
}

#[tokio::test]
async fn each_of_many_keys_counts() {
    let bridge = Bridge::start().await;
    let keys: Vec<String> = (0..38).map(|n| format!("whsec_{n}")).collect();
    let labelled: serde_json::Map<_, _> = keys.iter().map(|key| (format!("sub of {key}"), json!(key))).collect();
    bridge.stack.secrets_manager.remove(&signing_secret(RAIL)).unwrap();
    bridge.stack.secrets_manager.put(&signing_secret(RAIL), &json!({ "keys": labelled })).unwrap();
    for key in &keys {
        let delivery = Delivery::signed_by(RAIL, key, withdrawal(key));
        assert_eq!(bridge.send(&delivery).await.told(), ACCEPTED, "{key}");
    }
    let unknown = Delivery::signed_by(RAIL, "whsec_38", withdrawal("e1"));
    assert_eq!(bridge.send(&unknown).await.told(), UNAUTHORIZED);
}

#[tokio::test]
async fn the_signature_of_a_rotated_key_counts_at_once_and_that_of_the_previous_one_still() {
    let bridge = Bridge::with(one_process).await;
    assert_eq!(bridge.post(RILLIS, flow_completed("before")).await.told(), ACCEPTED);
    let read_at = Instant::now();
    bridge.settled().await;

    let secrets = &bridge.stack.secrets_manager;
    secrets.put(&signing_secret(RILLIS), &json!({ "keys": { "current": "the new key" } })).unwrap();
    secrets.reset_calls();
    let by_new_key = |id: &str| Delivery::signed_by(RILLIS, "the new key", flow_completed(id));
    sleep_until(read_at + COOL_DOWN).await;
    let first = bridge.send(&by_new_key("after")).await;
    assert_eq!(first.told(), ACCEPTED);
    assert_eq!(secrets.calls(), ["GetSecretValue"], "of the current version alone, which has the key");
    assert_eq!(bridge.post(RILLIS, flow_completed("by the previous key")).await.told(), ACCEPTED);
    bridge.settled().await;
    let previous: Vec<_> = bridge.delivery_lines().await.iter().map(|line| line["previous_key"].clone()).collect();
    assert_eq!(previous, [json!(null), json!(null), json!(true)]);
    assert_eq!(secrets.count("GetSecretValue"), 2, "and one of the previous version, when it was needed");
    let before = Instant::now();

    for _ in 0..20 {
        let unknown = Delivery::signed_by(RILLIS, "no key of ours", flow_completed("flood"));
        assert_eq!(bridge.send(&unknown).await.told(), UNAUTHORIZED);
    }
    let most = 3 + usize::try_from(before.elapsed().as_secs() / COOL_DOWN.as_secs()).unwrap();
    assert!(secrets.count("GetSecretValue") <= most, "a flood of bad signatures reads next to nothing");
    assert_eq!(bridge.function(RILLIS).pids().len(), 1);
}

#[tokio::test]
async fn keys_that_cannot_be_read_again_go_on_serving_and_a_mismatch_is_no_refusal_then() {
    let [hanging, malformed] = [Bridge::with(one_process).await, Bridge::with(one_process).await];
    for bridge in [&hanging, &malformed] {
        assert_eq!(bridge.post(RAIL, withdrawal("before")).await.told(), ACCEPTED);
        bridge.settled().await;
    }
    let read_at = Instant::now();
    hanging.stack.secrets_manager.inject(None, AwsFault::Hang, When::UntilCleared);
    malformed.stack.secrets_manager.put(&signing_secret(RAIL), &json!("not JSON")).unwrap();
    sleep_until(read_at + COOL_DOWN).await;
    for bridge in [&hanging, &malformed] {
        let answer = bridge.send(&Delivery::signed_by(RAIL, "perhaps a new key", withdrawal("e1"))).await;
        println!("503 after {:?}", answer.took);
        assert_eq!(answer.told(), UNAVAILABLE);
        assert!(answer.took < ANSWER_BOUND, "{:?}", answer.took);
        assert_eq!(bridge.post(RAIL, withdrawal("after")).await.told(), ACCEPTED);
    }
}

#[tokio::test]
async fn a_new_process_takes_both_versions_of_a_rotated_secret() {
    let bridge = Bridge::start().await;
    bridge.stack.secrets_manager.put(&signing_secret(RAIL), &json!({ "keys": { "a": "newer" } })).unwrap();
    assert_eq!(bridge.send(&Delivery::signed_by(RAIL, "newer", withdrawal("e1"))).await.told(), ACCEPTED);
    assert_eq!(bridge.send(&Delivery::signed_by(RAIL, &sample_key(RAIL), withdrawal("e2"))).await.told(), ACCEPTED);
}

#[tokio::test]
async fn a_provider_s_key_is_of_no_use_at_the_other_provider() {
    let bridge = Bridge::start().await;
    let crossed = [
        Delivery::signed_by(RAIL, &sample_key(RILLIS), withdrawal("e1")),
        Delivery::signed_by(RILLIS, &sample_key(RAIL), flow_completed("e1")),
        Delivery { provider: RILLIS, ..Delivery::signed(RAIL, flow_completed("e1")) },
    ];
    for delivery in crossed {
        assert_eq!(bridge.send(&delivery).await.told(), UNAUTHORIZED);
    }
}

#[tokio::test]
async fn an_event_s_time_reads_in_every_spelling_and_is_the_signature_s_where_there_is_none() {
    let bridge = Bridge::start().await;
    let signed_at = now_s() - 7;
    let at_signing = json!(signed_at * 1000);
    let cases = [
        (r#""2023-11-20T14:32:18.123456Z""#, json!(1_700_490_738_123_u64)),
        (r#""2023-11-20T14:32:18.123456789+02:00""#, json!(1_700_483_538_123_u64)),
        (r#""2022-11-08T19:53:09""#, json!(1_667_937_189_000_u64)),
        (r#""2022-11-08T19:53:09.5""#, json!(1_667_937_189_500_u64)),
        (r#""2022-11-08T19:53""#, json!(1_667_937_180_000_u64)),
        (r#""2022-11-08 21:53:09.5+0200""#, json!(1_667_937_189_500_u64)),
        ("1700490738", json!(1_700_490_738_000_u64)),
        (r#""1700490738123""#, json!(1_700_490_738_123_u64)),
        (r#""yesterday""#, at_signing.clone()),
        (r#""1969-12-31T23:59:59Z""#, at_signing.clone()),
        ("null", at_signing.clone()),
    ];
    for (n, (date, expected)) in cases.into_iter().enumerate() {
        let body = format!(r#"{{"event_id":"{n}","event_date":{date},"event_type":"ACCOUNT_DORMANT"}}"#);
        assert_eq!(bridge.send(&Delivery::signed_at(RAIL, signed_at, body)).await.told(), IGNORED, "{date}");
        assert_eq!(bridge.item(&format!("rail#{n}"))["occurred_at"], expected, "{date}");
    }
    for (n, (time, expected)) in
        [("1738784271042", json!(1_738_784_271_042_u64)), ("\"soon\"", at_signing.clone()), ("1e400", at_signing)]
            .into_iter()
            .enumerate()
    {
        let body = format!(r#"{{"id":"{n}","timestamp":{time},"type":"NEW_TYPE"}}"#);
        assert_eq!(bridge.send(&Delivery::signed_at(RILLIS, signed_at, body)).await.told(), IGNORED, "{time}");
        assert_eq!(bridge.item(&format!("rillis#{n}"))["occurred_at"], expected, "{time}");
    }
}
