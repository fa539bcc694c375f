//! Processes that die, writes whose answer is lost, and connections that die while a function is frozen.

use std::time::Duration;

use futures_util::future::join_all;
use local::aws::AwsFault;
use local::faults::When;
use local::returning_ai::{At, Fault};
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::record::event::{AttemptBy, EventRecord};
use shared::record::store::{SettleOutcome, TakeOverOutcome};

use crate::bridge::fixture::*;
use crate::bridge::redrive::{check_counts, check_state, left};

/// The record as it was written before the answer: it rescues itself when its lease ends.
#[track_caller]
fn check_lease(item: &Value, routes: &[&str]) {
    assert_eq!((&item["state"], &item["attempts"]), (&json!("pending"), &json!(1)));
    let lease_ends = item["next_attempt_at"].as_u64().unwrap();
    let received_at = item["received_at"].as_u64().unwrap() / 1000;
    assert_eq!(lease_ends, received_at + 60);
    assert!(now_s().abs_diff(received_at) < BOUND.as_secs(), "{item}");
    let due = item["due"].as_str().unwrap();
    assert!(["p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7"].contains(&due), "{due}");
    let deliveries = item["deliveries"].as_object().unwrap();
    assert_eq!(deliveries.keys().collect::<Vec<_>>(), routes);
    assert!(deliveries.values().all(|delivery| delivery["state"] == "pending"), "{item}");
    assert_eq!((item.get("last_error"), item.get("delivered_at")), (None, None));
}

#[tokio::test]
async fn a_process_killed_right_after_its_answer_leaves_a_lease_that_runs_out() {
    let bridge = Bridge::start().await;
    for provider in RECEIVERS {
        bridge.function(provider).set_kill_after_ack(true);
        for n in 0..5 {
            let event_id = format!("e{n}");
            assert_eq!(bridge.post(provider, wanted(provider, &event_id)).await.told(), ACCEPTED);
            bridge.settled().await;
            check_lease(&bridge.item(&format!("{provider}#{event_id}")), &[&route_of_wanted(provider).name]);
        }
    }
    assert_eq!(bridge.stack.dynamodb.count("UpdateItem"), 0);
}

#[tokio::test]
async fn a_process_killed_while_returning_ai_hangs_leaves_a_lease_that_runs_out() {
    for at in [At::Handshake("withdrawal".to_owned()), At::Webhook("withdrawal".to_owned())] {
        let bridge = Bridge::start().await;
        let returning_ai = &bridge.stack.returning_ai;
        returning_ai.inject(Some(at.clone()), Fault::Hang, When::UntilCleared);
        assert_eq!(bridge.post(RAIL, withdrawal("e1")).await.told(), ACCEPTED);
        match at {
            At::Handshake(workflow) => returning_ai.wait_for_handshakes(&workflow, 1, BOUND).await.unwrap(),
            _ => returning_ai.wait_for(|attempts| !attempts.is_empty(), BOUND).await.unwrap(),
        }
        let [pid] = bridge.function(RAIL).pids()[..] else { panic!("one process") };
        assert!(bridge.function(RAIL).kill(pid));
        bridge.settled().await;
        check_lease(&bridge.item("rail#e1"), &["withdrawal-completed"]);
    }
}

#[tokio::test]
async fn a_function_that_is_switched_off_takes_nothing_and_loses_nothing() {
    let bridge = Bridge::start().await;
    let (rail, returning_ai) = (bridge.function(RAIL), &bridge.stack.returning_ai);
    returning_ai.inject(None, Fault::Hang, When::UntilCleared);
    assert_eq!(bridge.post(RAIL, withdrawal("e1")).await.told(), ACCEPTED);
    returning_ai.wait_for_handshakes("withdrawal", 1, BOUND).await.unwrap();

    rail.switch_off();

    let unavailable = (503, r#"{"message":"Service Unavailable"}"#);
    assert_eq!(bridge.post(RAIL, withdrawal("e2")).await.told(), unavailable);
    assert_eq!(bridge.post(RILLIS, flow_completed("e3")).await.told(), ACCEPTED);
    bridge.function(RILLIS).switch_off();
    bridge.settled().await;
    check_lease(&bridge.item("rail#e1"), &["withdrawal-completed"]);
    assert_eq!(bridge.stack.dynamodb.item("rail#e2"), None);

    returning_ai.clear_faults();
    rail.switch_on();
    assert_eq!(bridge.post(RAIL, withdrawal("e2")).await.told(), ACCEPTED);
    bridge.settled().await;
    assert_eq!(bridge.make_due().await, 2);
    bridge.redrive(json!({})).await;
    for pk in ["rail#e1", "rail#e2", "rillis#e3"] {
        assert_eq!(bridge.item(pk)["state"], "delivered", "{pk}");
    }
    assert_eq!(bridge.messages().len(), 3);
}

#[tokio::test]
async fn a_process_killed_before_it_settles_leaves_a_lease_that_runs_out() {
    let bridge = Bridge::start().await;
    let dynamodb = &bridge.stack.dynamodb;
    dynamodb.inject(Some("UpdateItem"), AwsFault::Hang, When::UntilCleared);
    assert_eq!(bridge.post(RAIL, withdrawal("e1")).await.told(), ACCEPTED);
    dynamodb.wait_for_calls(|calls| calls.iter().any(|call| call == "UpdateItem"), BOUND).await.unwrap();
    let [pid] = bridge.function(RAIL).pids()[..] else { panic!("one process") };
    assert!(bridge.function(RAIL).kill(pid));
    bridge.settled().await;
    check_lease(&bridge.item("rail#e1"), &["withdrawal-completed"]);
    assert_eq!(bridge.messages().len(), 1);
}

#[tokio::test]
async fn a_settling_write_that_fails_leaves_a_lease_that_runs_out_and_is_told() {
    let faults = [AwsFault::Hang, AwsFault::Refuse, AwsFault::Throttle, AwsFault::InternalError];
    join_all(faults.into_iter().map(|fault| async move {
        let bridge = Bridge::start().await;
        bridge.stack.dynamodb.inject(Some("UpdateItem"), fault.clone(), When::UntilCleared);
        assert_eq!(bridge.post(RAIL, withdrawal("e1")).await.told(), ACCEPTED, "{fault:?}");
        bridge.settled().await;
        check_lease(&bridge.item("rail#e1"), &["withdrawal-completed"]);
        assert_eq!(bridge.messages().len(), 1, "{fault:?}");
        let line = bridge.last_line().await;
        assert_eq!((&line["settled"], &line["level"]), (&json!("not_settled"), &json!("WARN")), "{fault:?}");
        assert_eq!(bridge.function(RAIL).pids().len(), 1);
    }))
    .await;
}

#[tokio::test]
async fn a_write_that_took_effect_although_its_answer_was_lost_is_our_own() {
    let bridge = Bridge::start().await;
    for (n, operation) in ["PutItem", "UpdateItem"].into_iter().enumerate() {
        for provider in RECEIVERS {
            let event_id = format!("e{n}");
            bridge.stack.dynamodb.inject(Some(operation), AwsFault::ResetAfter, When::Next(1));
            let answer = bridge.post(provider, wanted(provider, &event_id)).await;
            bridge.settled().await;
            assert_eq!(answer.told(), ACCEPTED, "{operation}");
            let item = bridge.item(&format!("{provider}#{event_id}"));
            assert_eq!((&item["state"], &item["attempts"]), (&json!("delivered"), &json!(1)), "{operation}");
            let line = bridge.last_line().await;
            assert_eq!((&line["settled"], &line["level"]), (&json!(null), &json!("INFO")), "{operation}");
        }
    }
    assert_eq!(bridge.stack.returning_ai.attempts().len(), 2 * RECEIVERS.len());
}

#[tokio::test]
async fn a_take_over_that_took_effect_although_its_answer_was_lost_is_our_own() {
    let bridge = Bridge::start().await;
    for by_hand in [false, true] {
        let pk = left(&bridge, RAIL, &format!("by hand: {by_hand}"), |_| {});
        bridge.stack.dynamodb.reset_calls();
        bridge.stack.dynamodb.inject(Some("UpdateItem"), AwsFault::ResetAfter, When::Next(1));
        let counts = bridge.redrive(if by_hand { json!({ "keys": [pk] }) } else { json!({}) }).await;
        check_counts(&counts, &[("found", 1), ("delivered", 1)]);
        check_state(&bridge, &pk, "delivered", 2);
        assert_eq!(bridge.stack.dynamodb.count("UpdateItem"), 3, "taken over twice, settled once");
    }
    assert_eq!(bridge.stack.returning_ai.attempts().len(), 2);
}

#[tokio::test]
async fn an_attempt_that_another_has_taken_under_the_same_number_is_not_our_own() {
    let bridge = Bridge::start().await;
    let (_, store) = bridge.tables();
    let (pk, now) = (left(&bridge, RAIL, "e1", |_| {}), Clock::system().now());
    let taken = |before: &EventRecord| ["ours/1", "theirs/1"].map(|holder| before.take_over(now, holder.to_owned()));
    let before = store.read(&pk).await.unwrap().unwrap();
    let [ours, theirs] = taken(&before);
    assert_eq!(store.take_over(&before, &theirs).await, Ok(TakeOverOutcome::Ours));
    assert_eq!(store.take_over(&before, &ours).await, Ok(TakeOverOutcome::Lost));
    assert_eq!(store.settle(&ours).await, Ok(SettleOutcome::Superseded));

    // To give an event up is an attempt, too, which sends nothing.
    let [ours, given_up] = taken(&theirs).map(|taken| taken.give_up(AttemptBy::Redrive, now));
    for _ in 0..2 {
        assert_eq!(store.take_over(&theirs, &given_up).await, Ok(TakeOverOutcome::Ours));
    }
    assert_eq!(store.take_over(&theirs, &ours).await, Ok(TakeOverOutcome::Lost));
    assert_eq!(store.settle(&theirs).await, Ok(SettleOutcome::Superseded), "its holder was only slow");
    check_state(&bridge, &pk, "dead", 3);
}

#[tokio::test]
async fn connections_that_die_while_the_function_is_frozen_cost_no_attempt() {
    let bridge = Bridge::start().await;
    for n in 0..8 {
        for provider in RECEIVERS {
            let event_id = format!("e{n}");
            bridge.stack.dynamodb.reset_calls();
            let answer = bridge.post(provider, wanted(provider, &event_id)).await;
            bridge.settled().await;
            assert_eq!(answer.told(), ACCEPTED);
            assert!(answer.took < Duration::from_secs(1), "{:?}", answer.took);
            let item = bridge.item(&format!("{provider}#{event_id}"));
            assert_eq!((&item["state"], &item["history"][0]["outcome"]), (&json!("delivered"), &json!("delivered")));
            let mut calls = bridge.stack.dynamodb.calls();
            // The switches are read when a process starts, and again when that is half a minute ago.
            calls.retain(|call| call != "BatchGetItem");
            assert_eq!(calls, ["PutItem", "UpdateItem"]);
        }
        bridge.stack.dynamodb.close_connections().await;
        bridge.stack.returning_ai.close_connections().await;
        bridge.stack.secrets_manager.close_connections().await;
    }
    assert_eq!(bridge.stack.returning_ai.attempts().len(), 8 * RECEIVERS.len());
    assert_eq!(bridge.function(RAIL).cold_starts().len(), 1);
}

#[tokio::test]
async fn no_attempt_begins_when_too_little_time_is_left_to_settle_it() {
    let bridge = Bridge::with(|options| options.timeout = Duration::from_secs(3)).await;
    assert_eq!(bridge.post(RAIL, withdrawal("e1")).await.told(), ACCEPTED);
    bridge.settled().await;
    check_lease(&bridge.item("rail#e1"), &["withdrawal-completed"]);
    assert_eq!(bridge.last_line().await["settled"], "no_time");
    assert!(bridge.stack.returning_ai.attempts().is_empty());
}
