//! The table or the signing secret fails: 503 in time, never a 401, and the provider's next try succeeds.

use std::time::{Duration, Instant};

use futures_util::future::join;
use futures_util::stream::{self, StreamExt};
use local::aws::AwsFault;
use local::faults::When;
use local::stack::{sample_key, signing_secret};
use serde_json::{Value, json};

use crate::bridge::fixture::*;

/// What goes wrong, and whether a write takes effect all the same.
const FAULTS: [(AwsFault, bool); 8] = [
    (AwsFault::Hang, false),
    (AwsFault::Slow(Duration::from_secs(30)), true),
    (AwsFault::Refuse, false),
    (AwsFault::Throttle, false),
    (AwsFault::InternalError, false),
    (AwsFault::Exception { status: 400, name: "AccessDeniedException" }, false),
    (AwsFault::Exception { status: 400, name: "ResourceNotFoundException" }, false),
    (AwsFault::ResetAfter, true),
];

/// A few at a time, so that what is measured is the wait for another system and not for a processor.
async fn side_by_side<F: Future<Output = ()>>(cases: impl Iterator<Item = F>) {
    stream::iter(cases).for_each_concurrent(4, |case| case).await;
}

#[track_caller]
fn check(answer: &Answer, case: &str) {
    println!("503 after {:>5} ms: {case}", answer.took.as_millis());
    assert_eq!(answer.told(), UNAVAILABLE, "{case}");
    assert_eq!(answer.header("retry-after"), Some("5"), "{case}");
    assert!(answer.took < ANSWER_BOUND, "{case}: {:?}", answer.took);
}

#[tokio::test]
async fn a_table_that_fails_is_answered_503_in_time_and_the_redelivery_finds_it_well() {
    let of = |provider| FAULTS.into_iter().map(move |(fault, takes_effect)| (provider, fault, takes_effect));
    let others = RECEIVERS.into_iter().filter(|provider| *provider != RAIL);
    let cases = others.flat_map(|provider| of(provider).take(1)).chain(of(RAIL));
    side_by_side(cases.map(|(provider, fault, takes_effect)| async move {
        let bridge = Bridge::start().await;
        for event_id in ["cold", "warm"] {
            let case = format!("{provider}, {event_id}, the table: {fault:?}");
            let pk = format!("{provider}#{event_id}");
            bridge.stack.dynamodb.inject(Some("PutItem"), fault.clone(), When::UntilCleared);
            check(&bridge.post(provider, wanted(provider, event_id)).await, &case);
            bridge.settled().await;
            assert_eq!(bridge.stack.dynamodb.item(&pk).is_some(), takes_effect, "{case}");
            assert_eq!(bridge.stack.returning_ai.attempts().len(), usize::from(event_id == "warm" && !takes_effect));

            bridge.stack.dynamodb.clear_faults();
            let again = bridge.post(provider, wanted(provider, event_id)).await;
            bridge.settled().await;
            let item = bridge.item(&pk);
            if takes_effect {
                // Its lease runs out, and redrive delivers it.
                assert_eq!(again.told(), DUPLICATE, "{case}");
                assert_eq!((&item["state"], &item["attempts"]), (&json!("pending"), &json!(1)), "{case}");
            } else {
                assert_eq!(again.told(), ACCEPTED, "{case}");
                assert_eq!(item["state"], "delivered", "{case}");
            }
        }
        assert_eq!(bridge.function(provider).pids().len(), 1);
    }))
    .await;
}

#[tokio::test]
async fn a_table_that_fails_once_is_not_noticed() {
    side_by_side(FAULTS.into_iter().filter(|(fault, _)| !matches!(fault, AwsFault::Exception { .. })).map(
        |(fault, _)| async move {
            let bridge = Bridge::start().await;
            bridge.stack.dynamodb.inject(Some("PutItem"), fault.clone(), When::Next(1));
            let answer = bridge.post(RAIL, withdrawal("e1")).await;
            bridge.settled().await;
            assert_eq!(answer.told(), ACCEPTED, "{fault:?}");
            assert!(answer.took < ANSWER_BOUND, "{fault:?}: {:?}", answer.took);
            assert_eq!(bridge.item("rail#e1")["state"], "delivered", "{fault:?}");
            assert_eq!(bridge.messages().len(), 1, "{fault:?}");
        },
    ))
    .await;
}

/// Finding the table busy for this long, a delivery is recorded all the same.
const BUSY_FOR: Duration = Duration::from_millis(1_500);

#[tokio::test]
async fn a_table_throttled_for_a_second_and_a_half_is_not_noticed_right_after_an_outage_either() {
    let bridge = Bridge::with(one_process).await;
    let table = &bridge.stack.dynamodb;
    for outage in [false, true] {
        if outage {
            table.inject(Some("PutItem"), AwsFault::InternalError, When::UntilCleared);
            for event_id in 0..8 {
                check(&bridge.post(RAIL, withdrawal(&format!("lost-{event_id}"))).await, "a total outage");
            }
            table.clear_faults();
        }
        table.reset_calls();
        table.inject(Some("PutItem"), AwsFault::Throttle, When::UntilCleared);
        let recovers = async {
            let began = Instant::now();
            while began.elapsed() < BUSY_FOR {
                let before = table.count("PutItem");
                let once_more = |calls: &[String]| calls.iter().filter(|call| *call == "PutItem").count() > before;
                table.wait_for_calls(once_more, BOUND).await.unwrap();
            }
            table.clear_faults();
        };
        let event_id = format!("after-outage-{outage}");
        let (answer, ()) = join(bridge.post(RAIL, withdrawal(&event_id)), recovers).await;
        bridge.settled().await;
        println!(
            "200 after {} ms, {} writes, outage before: {outage}",
            answer.took.as_millis(),
            table.count("PutItem")
        );
        assert_eq!(answer.told(), ACCEPTED, "{event_id}");
        assert!(answer.took >= BUSY_FOR && answer.took < ANSWER_BOUND, "{event_id}: {:?}", answer.took);
        assert_eq!(bridge.item(&format!("rail#{event_id}"))["state"], "delivered");
    }
}

#[tokio::test]
async fn a_signing_secret_that_cannot_be_had_is_answered_503_in_time_and_never_401() {
    side_by_side(FAULTS.into_iter().map(|(fault, _)| async move {
        let bridge = Bridge::with(one_process).await;
        let case = format!("the signing secret: {fault:?}");
        bridge.stack.secrets_manager.inject(None, fault, When::UntilCleared);
        check(&bridge.post(RAIL, withdrawal("e1")).await, &case);
        let wrong = Delivery::signed_by(RAIL, "another key", withdrawal("e1"));
        check(&bridge.send(&wrong).await, &format!("another key, {case}"));
        let refused = bridge.send(&wrong.with(header("x-rail-timestamp"), "1")).await;
        assert_eq!(refused.told(), UNAUTHORIZED, "the headers alone are reason enough: {case}");
        assert!(bridge.stack.dynamodb.items().is_empty(), "{case}");

        bridge.stack.secrets_manager.clear_faults();
        let again = bridge.post(RAIL, withdrawal("e1")).await;
        bridge.settled().await;
        assert_eq!(again.told(), ACCEPTED, "{case}");
        assert_eq!(bridge.item("rail#e1")["state"], "delivered", "{case}");
        assert_eq!(bridge.function(RAIL).pids().len(), 1, "{case}");
    }))
    .await;
}

#[tokio::test]
async fn a_signing_secret_that_is_absent_or_malformed_is_answered_503_until_it_is_mended() {
    let malformed = [
        None,
        Some(json!("not JSON")),
        Some(json!("")),
        Some(json!({})),
        Some(json!({ "keys": {} })),
        Some(json!({ "keys": ["whsec_1"] })),
        Some(json!({ "keys": { "sub_1": "" } })),
        Some(json!({ "keys": { "sub_1": { "key": "whsec_1" } } })),
    ];
    side_by_side(malformed.into_iter().map(|value: Option<Value>| async move {
        let bridge = Bridge::start().await;
        let secrets = &bridge.stack.secrets_manager;
        secrets.remove(&signing_secret(RAIL)).unwrap();
        if let Some(value) = &value {
            secrets.put(&signing_secret(RAIL), value).unwrap();
        }
        check(&bridge.post(RAIL, withdrawal("e1")).await, &format!("the signing secret is {value:?}"));
        bridge.settled().await;
        let line = bridge.last_line().await;
        let told = line["error"].as_str().unwrap();
        assert!(told.contains(&signing_secret(RAIL)), "{told}");
        assert!(!told.contains("whsec_1"), "{told}");

        secrets.put(&signing_secret(RAIL), &json!({ "keys": { "sub_1": sample_key(RAIL) } })).unwrap();
        assert_eq!(bridge.post(RAIL, withdrawal("e1")).await.told(), ACCEPTED, "{value:?}");
    }))
    .await;
}
