//! The parts of the index: written over any number of them, read over all, by one schedule or by several that share the work.

use local::lambda_host::InvokeError;
use serde_json::{Value, json};

use crate::bridge::fixture::*;
use crate::bridge::redrive::{check_counts, left};

/// More than a run reads of the index by one call.
fn make_the_index_long(bridge: &Bridge) {
    for n in 0..520 {
        left(bridge, RILLIS, &format!("dead{n}"), |item| {
            item["state"] = json!({ "S": "dead" });
            item["due"] = json!({ "S": format!("d{}", n % 8) });
        });
    }
}

#[tokio::test]
async fn every_part_of_the_index_is_redriven_by_the_share_that_has_it_and_by_no_other() {
    let bridge = Bridge::start().await;
    for is_long in [false, true] {
        if is_long {
            make_the_index_long(&bridge);
        }
        let mut delivered = 0;
        for n in 0..64 {
            let event_id = format!("in p{n}, {is_long}");
            left(&bridge, RAIL, &event_id, |item| item["due"] = json!({ "S": format!("p{n}") }));
        }
        for (share, count) in [([2, 3], 21), ([1, 3], 21), ([0, 3], 22), ([0, 1], 0)] {
            let counts = bridge.redrive(json!({ "share": share })).await;
            assert_eq!(counts["complete"], true, "{counts}");
            let counted = [("found", count), ("delivered", count)];
            check_counts(&counts, if count > 0 { &counted } else { &[] });
            delivered += count;
        }
        assert_eq!(delivered, 64);
    }
    let runs: f64 = bridge.sum("RedriveRuns{FunctionName=redrive,Share=0}", 8).await;
    assert_eq!(runs, 4.0);
}

#[tokio::test]
async fn a_function_writes_over_as_many_parts_as_it_is_told_and_its_events_are_redriven_wherever_they_lie() {
    let parts = ("DUE_PARTS".to_owned(), "64".to_owned());
    let bridge = Bridge::with(|options| options.extra_env.push(parts)).await;
    bridge.function(RAIL).set_kill_after_ack(true);
    for n in 0..40 {
        assert_eq!(bridge.post(RAIL, withdrawal(&format!("e{n}"))).await.told(), ACCEPTED);
    }
    bridge.settled().await;
    let part = |item: &Value| item["due"].as_str().unwrap().trim_start_matches('p').parse::<u8>().unwrap();
    let beyond = bridge.stack.dynamodb.items().iter().filter(|item| part(item) >= 8).count();
    assert!(beyond >= 20, "{beyond} of 40");
    bridge.make_due().await;
    check_counts(&bridge.redrive(json!({})).await, &[("found", 40), ("delivered", 40)]);
}

#[tokio::test]
async fn a_run_with_nothing_to_do_makes_one_call_and_one_with_something_asks_no_empty_part() {
    let bridge = Bridge::start().await;
    for (events, queries) in [(0, 0), (1, 1)] {
        for n in 0..events {
            left(&bridge, RAIL, &format!("e{n}"), |item| item["due"] = json!({ "S": "p41" }));
        }
        bridge.stack.dynamodb.reset_calls();
        bridge.redrive(json!({})).await;
        let calls = bridge.stack.dynamodb.calls();
        let made = |operation: &str| calls.iter().filter(|call| **call == operation).count();
        assert_eq!((made("Scan"), made("Query")), (1, queries), "{calls:?}");
    }
}

#[tokio::test]
async fn an_input_that_is_no_request_fails_the_run_and_touches_nothing() {
    let bridge = Bridge::start().await;
    let pk = left(&bridge, RAIL, "e1", |_| {});
    let before = bridge.item(&pk);
    for (input, reason) in [
        (json!({ "share": [1, 1] }), "no share [1, 1]; hint: "),
        (json!({ "share": [0, 65] }), "no share [0, 65]; hint: "),
        (json!({ "share": [0, 2], "keys": ["rail#e1"] }), "both `share` and `keys`"),
        (json!({ "shards": [0] }), "unknown field `shards`"),
        (json!(null), "invalid type: null"),
    ] {
        match within(bridge.function("redrive").invoke(input.to_string().into())).await {
            Err(InvokeError::FunctionError { message, .. }) => assert!(message.contains(reason), "{input}: {message}"),
            other => panic!("{input}: {other:?}"),
        }
    }
    assert_eq!(bridge.item(&pk), before);
}
