//! One event that comes more than once.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use local::gateway::events::{HttpRequest, http_api_event, http_response};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::bridge::fixture::*;

#[tokio::test]
async fn of_concurrent_copies_one_is_accepted_and_exactly_one_message_is_delivered() {
    let bridge = Bridge::start().await;
    for (provider, copies) in RECEIVERS.map(|provider| (provider, 8)).into_iter().chain([(RAIL, 2), (RAIL, 64)]) {
        let event_id = format!("{provider} {copies}");
        bridge.stack.dynamodb.reset_calls();
        bridge.stack.returning_ai.reset_records();
        let posts = (0..copies).map(|_| bridge.post(provider, wanted(provider, &event_id)));
        let answers = join_all(posts).await;
        bridge.settled().await;

        let mut told: BTreeMap<_, usize> = BTreeMap::new();
        for answer in &answers {
            *told.entry(answer.told()).or_default() += 1;
        }
        assert_eq!(told, BTreeMap::from([(ACCEPTED, 1), (DUPLICATE, copies - 1)]), "{event_id}");
        assert_eq!(bridge.stack.returning_ai.attempts().len(), 1, "{event_id}");
        assert_eq!(bridge.messages().len(), 1, "{event_id}");
        assert_eq!(bridge.stack.dynamodb.count("PutItem"), copies, "{event_id}");
        assert_eq!(bridge.stack.dynamodb.count("UpdateItem"), 1, "{event_id}");
        assert_eq!(bridge.item(&format!("{provider}#{event_id}"))["state"], "delivered");
    }
}

#[tokio::test]
async fn of_concurrent_copies_every_matching_route_delivers_exactly_one_message() {
    let bridge = Bridge::with(|options| options.workflows = vec!["money".to_owned(), "vip".to_owned()]).await;
    let function = many_routes(&bridge);
    let delivery = Delivery::signed(RAIL, deposit("e1"));
    let request = HttpRequest::post("/webhooks/rail", delivery.headers, delivery.body);
    let event = http_api_event(&request).to_string();
    let invoked = join_all((0..8).map(|_| within(function.invoke(event.clone().into())))).await;
    within(function.idle()).await;

    let answers = invoked.into_iter().map(|invoked| http_response(&invoked.unwrap().response).unwrap());
    let accepted = answers.filter(|answer| answer.body() == ACCEPTED.1).count();
    assert_eq!(accepted, 1);
    let mut keys: Vec<_> = bridge.messages().iter().map(|message| message["idempotencyKey"].clone()).collect();
    keys.sort_by_key(ToString::to_string);
    assert_eq!(keys, [json!("rail:e1/deposits"), json!("rail:e1/large-deposits"), json!("rail:e1/vip")]);
    assert_eq!(bridge.item("rail#e1")["state"], "delivered");
    let handshakes = ["money", "vip"].map(|workflow| bridge.stack.returning_ai.handshakes(workflow));
    assert_eq!(handshakes, [1, 1], "two routes waited for the one session of `money`");
}

#[tokio::test]
async fn the_same_id_with_another_body_is_a_duplicate_that_changes_nothing_and_is_warned_about() {
    let bridge = Bridge::start().await;
    assert_eq!(bridge.post(RAIL, withdrawal("e1")).await.told(), ACCEPTED);
    bridge.settled().await;
    let before = bridge.item("rail#e1");
    let changed = withdrawal("e1").replace("1000.00", "9999.00");
    assert_eq!(bridge.post(RAIL, changed).await.told(), DUPLICATE);
    assert_eq!(bridge.post(RAIL, withdrawal("e1")).await.told(), DUPLICATE);
    bridge.settled().await;

    assert_eq!(bridge.item("rail#e1"), before);
    assert_eq!(bridge.messages().len(), 1);
    let lines = bridge.delivery_lines().await;
    let of = |n: usize| (&lines[n]["level"], &lines[n]["outcome"], &lines[n]["conflicting"]);
    assert_eq!(of(1), (&json!("WARN"), &json!("duplicate"), &json!(true)));
    assert_eq!(of(2), (&json!("INFO"), &json!("duplicate"), &json!(null)));
}

/// The key of an event whose id another fact has.
fn key_by_text(text: &str) -> String {
    let digest: String = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("rail#sha256:{digest}")
}

#[tokio::test]
async fn two_types_under_one_id_are_two_events_and_each_is_delivered_once() {
    let bridge = Bridge::start().await;
    let (first, second) = (withdrawal("e1"), deposit("e1"));
    assert_eq!(bridge.post(RAIL, first.clone()).await.told(), ACCEPTED);
    bridge.settled().await;
    let before = bridge.item("rail#e1");
    for told in [ACCEPTED, DUPLICATE] {
        assert_eq!(bridge.post(RAIL, second.clone()).await.told(), told);
        bridge.settled().await;
    }
    assert_eq!(bridge.post(RAIL, first).await.told(), DUPLICATE);
    bridge.settled().await;

    assert_eq!(bridge.item("rail#e1"), before);
    let key = key_by_text(&second);
    let item = bridge.item(&key);
    assert_eq!((&item["state"], &item["event_type"]), (&json!("delivered"), &json!("TRANSACTION_POSTED")));
    let mut keys: Vec<_> = bridge.messages().iter().map(|message| message["idempotencyKey"].clone()).collect();
    keys.sort_by_key(ToString::to_string);
    let of_second = |route: &str| json!(format!("{}/{route}", key.replacen('#', ":", 1)));
    let routes: Vec<_> = item["deliveries"].as_object().unwrap().keys().collect();
    assert_eq!(routes.len(), 2, "{routes:?}");
    assert!(routes.iter().all(|route| keys.contains(&of_second(route))), "{keys:?}");
    assert_eq!(keys.len(), 3, "{keys:?}");

    let lines = bridge.delivery_lines().await;
    let of = |n: usize| (&lines[n]["level"], &lines[n]["outcome"], &lines[n]["conflicts_with"]);
    assert_eq!(of(1), (&json!("ERROR"), &json!("accepted"), &json!("e1")));
    assert_eq!(of(2), (&json!("INFO"), &json!("duplicate"), &json!("e1")));
    assert_eq!(of(3), (&json!("INFO"), &json!("duplicate"), &json!(null)));
}

#[tokio::test]
async fn another_fact_of_the_same_type_under_one_id_is_kept_and_sent_only_if_a_person_says_so() {
    let bridge = Bridge::start().await;
    let first = withdrawal("e1");
    let second = first.replace("14:32:18", "14:32:19").replace("1000.00", "9999.00");
    assert_eq!(bridge.post(RAIL, first.clone()).await.told(), ACCEPTED);
    for told in [ACCEPTED, DUPLICATE] {
        assert_eq!(bridge.post(RAIL, second.clone()).await.told(), told);
    }
    // Stamped or spelled anew, it is the first one.
    for resent in [first.replace("14:32:18", "14:32:20"), first.replace("1000.00", "1e3").replace(",", " , ")] {
        assert_eq!(bridge.post(RAIL, resent).await.told(), DUPLICATE);
    }
    bridge.settled().await;
    let key = key_by_text(&second);
    let item = bridge.item(&key);
    assert_eq!((&item["state"], &item["last_error"]), (&json!("dead"), &json!("id_conflict")));
    assert_eq!(item.get("expires_at"), None);
    assert_eq!(bridge.stack.dynamodb.items().len(), 2);
    assert_eq!(bridge.messages().len(), 1);

    bridge.redrive(json!({ "keys": [&key] })).await;
    assert_eq!(bridge.item(&key)["state"], "delivered");
    let sent: Vec<_> = bridge.messages().iter().map(|message| message["idempotencyKey"].to_string()).collect();
    assert_eq!(sent.len(), 2);
    assert!(sent[1].starts_with("\"rail:sha256:"), "{sent:?}");
}

#[tokio::test]
async fn a_duplicate_while_the_first_is_being_delivered_delivers_nothing() {
    let bridge = Bridge::start().await;
    let returning_ai = &bridge.stack.returning_ai;
    let slow = local::returning_ai::Fault::SlowBody(std::time::Duration::from_secs(2));
    returning_ai.inject(None, slow, local::faults::When::Next(2));
    assert_eq!(bridge.post(RAIL, withdrawal("e1")).await.told(), ACCEPTED);
    assert_eq!(bridge.post(RAIL, withdrawal("e1")).await.told(), DUPLICATE);
    bridge.settled().await;
    assert_eq!(returning_ai.attempts().len(), 1);
    assert_eq!(bridge.item("rail#e1")["state"], "delivered");
}
