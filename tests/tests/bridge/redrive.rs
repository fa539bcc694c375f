//! Redrive takes over what was left: once, by whoever holds the newest attempt, and not more than a workflow can bear.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::{join, join_all};
use json::Document;
use local::aws::AwsFault;
use local::dynamodb::EVENTS_TABLE;
use local::faults::When;
use local::lambda_host::{FunctionSpec, LambdaHost};
use local::returning_ai::{At, Fault};
use local::stack::FUNCTIONS;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::bridge::fixture::*;

const HOUR_MS: u64 = 60 * 60 * 1000;

/// A machine whose clock is wrong by ten minutes. Providers' signatures hold for five.
const SKEW_S: i64 = 600;

/// What an invocation has, by its own clock.
const TIME: Duration = Duration::from_secs(30);

fn withdrawals() -> Option<At> {
    Some(At::Webhook("withdrawal".to_owned()))
}

pub(crate) fn now_ms() -> u64 {
    now_s() * 1000
}

/// An item of the table, as somebody has left it: pending and due, unless `change` says otherwise.
pub(crate) fn left(bridge: &Bridge, provider: &str, event_id: &str, change: impl FnOnce(&mut Value)) -> String {
    static SHARD: AtomicU64 = AtomicU64::new(0);
    let pk = format!("{provider}#{event_id}");
    let body = wanted(provider, event_id);
    let route = &route_of_wanted(provider).name;
    let document = Document::parse(body.as_bytes()).unwrap();
    let envelope = providers::by_name(provider).unwrap().read_envelope(document.root());
    let sha256: String = Sha256::digest(&body).iter().map(|byte| format!("{byte:02x}")).collect();
    let mut item = json!({
        "pk": { "S": pk },
        "provider": { "S": provider },
        "event_type": { "S": envelope.event_type },
        "occurred_at": { "N": "1700490738123" },
        "received_at": { "N": now_ms().to_string() },
        "state": { "S": "pending" },
        "attempts": { "N": "1" },
        "next_attempt_at": { "N": now_s().to_string() },
        "due": { "S": format!("p{}", SHARD.fetch_add(1, Ordering::Relaxed) % 8) },
        "body": { "B": STANDARD.encode(&body) },
        "body_encoding": { "S": "identity" },
        "body_sha256": { "S": sha256 },
        "taken_by": { "S": "a test" },
        "history": { "L": [] },
        "deliveries": { "M": { route: { "M": { "state": { "S": "pending" } } } } },
        "waits_for": { "M": { route: { "N": now_s().to_string() } } },
        "expires_at": { "N": (now_s() + 90 * 24 * 3600).to_string() },
    });
    change(&mut item);
    bridge.stack.dynamodb.put_raw(EVENTS_TABLE, &item).unwrap();
    pk
}

/// An operator has switched `workflow` off, and on again if there is a second time; the functions read it when they start.
pub(crate) fn pause(bridge: &Bridge, workflow: &str, from_ms: u64, to_ms: Option<u64>) {
    let mut pause = json!({ "from": { "N": from_ms.to_string() } });
    if let Some(to_ms) = to_ms {
        pause["to"] = json!({ "N": to_ms.to_string() });
    }
    let item = json!({ "pk": { "S": format!("workflow#{workflow}") }, "pauses": { "L": [{ "M": pause }] } });
    bridge.stack.dynamodb.put_raw(EVENTS_TABLE, &item).unwrap();
    for name in FUNCTIONS {
        let function = bridge.function(name);
        for pid in function.pids() {
            function.kill(pid);
        }
    }
}

/// The function `name` on a machine whose clock is `seconds` ahead. Its host measures time by that machine's clock, too.
fn ahead_by(bridge: &Bridge, name: &str, seconds: i64, time: Duration) -> LambdaHost {
    bridge.another(name, |spec: &mut FunctionSpec| {
        spec.env.push(("BRIDGE_CLOCK_SKEW_S".to_owned(), seconds.to_string()));
        spec.timeout = time + Duration::from_secs(seconds.max(0).unsigned_abs());
    })
}

async fn redrive_by(function: &LambdaHost) -> Value {
    let invoked = within(function.invoke("{}".into())).await.unwrap();
    serde_json::from_slice(&invoked.response).unwrap()
}

/// Only the counts that are not zero.
#[track_caller]
pub(crate) fn check_counts(counts: &Value, expected: &[(&str, u64)]) {
    let counted = counts.as_object().unwrap().iter().filter_map(|(name, count)| Some((name.as_str(), count.as_u64()?)));
    let mut counted: Vec<_> = counted.filter(|(_, count)| *count > 0).collect();
    let mut expected = expected.to_vec();
    counted.sort_unstable();
    expected.sort_unstable();
    assert_eq!(counted, expected, "{counts}");
}

#[track_caller]
pub(crate) fn check_state(bridge: &Bridge, pk: &str, state: &str, attempts: u64) -> Value {
    let item = bridge.item(pk);
    assert_eq!((&item["state"], &item["attempts"]), (&json!(state), &json!(attempts)), "{item}");
    item
}

#[track_caller]
fn check_one_message_in_all(bridge: &Bridge, sent: usize) {
    let attempts = bridge.stack.returning_ai.attempts();
    assert_eq!(attempts.len(), sent);
    assert!(attempts.windows(2).all(|pair| pair[0].raw == pair[1].raw), "the same key, `occurredAt` and all else");
}

/// Both end up with the newer state, whichever of the two got the message through.
#[tokio::test]
async fn who_is_late_does_not_overwrite_the_state_of_who_took_over() {
    struct Case {
        first: Fault,
        redrive: Option<Fault>,
        state: &'static str,
        accepted: usize,
    }
    let slow = Fault::SlowBody(Duration::from_secs(3));
    let cases = [
        Case { first: Fault::Hang, redrive: None, state: "delivered", accepted: 1 },
        Case { first: slow.clone(), redrive: None, state: "delivered", accepted: 2 },
        Case { first: slow.clone(), redrive: Some(Fault::Status(500)), state: "pending", accepted: 1 },
        Case { first: slow, redrive: Some(Fault::Status(422)), state: "dead", accepted: 1 },
    ];
    join_all(cases.into_iter().map(|case| async move {
        let name = format!("{:?}, then {:?}", case.first, case.redrive);
        let bridge = Bridge::with(|options| options.timeout = Duration::from_secs(9)).await;
        let returning_ai = &bridge.stack.returning_ai;
        returning_ai.inject(withdrawals(), case.first, When::Next(1));
        assert_eq!(bridge.post(RAIL, withdrawal("e1")).await.told(), ACCEPTED);
        returning_ai.wait_for(|attempts| !attempts.is_empty(), BOUND).await.unwrap();

        // By its clock the lease has ended long ago.
        let hasty = ahead_by(&bridge, "redrive", SKEW_S, TIME);
        if let Some(fault) = case.redrive {
            returning_ai.inject(withdrawals(), fault, When::Next(1));
        }
        redrive_by(&hasty).await;
        let newer = check_state(&bridge, "rail#e1", case.state, 2);
        assert_eq!(bridge.function(RAIL).at_work().len(), 1, "{name}: the first is still at it");

        bridge.settled().await;
        let line = bridge.last_line().await;
        assert_eq!((&line["settled"], line.get("state")), (&json!("superseded"), None), "{line}");
        assert_eq!(bridge.item("rail#e1"), newer, "{name}");
        assert_eq!(bridge.messages().len(), case.accepted, "{name}");
        check_one_message_in_all(&bridge, 2);
    }))
    .await;
}

#[tokio::test]
async fn a_receiver_whose_clock_is_ten_minutes_behind_loses_nothing() {
    let bridge = Bridge::start().await;
    let behind = ahead_by(&bridge, RAIL, -SKEW_S, TIME);
    behind.set_kill_after_ack(true);
    let signed_at = now_s().saturating_add_signed(-SKEW_S);
    let delivery = Delivery::signed_at(RAIL, signed_at, withdrawal("e1"));
    assert_eq!(bridge.deliver_to(&behind, &delivery).await.unwrap().0, 200);
    within(behind.idle()).await;
    // Its lease has ended before it began.
    check_counts(&bridge.redrive(json!({})).await, &[("found", 1), ("delivered", 1)]);
    check_state(&bridge, "rail#e1", "delivered", 2);
    check_one_message_in_all(&bridge, 1);
}

#[tokio::test]
async fn a_receiver_whose_clock_is_ten_minutes_ahead_is_taken_over_when_its_lease_ends() {
    let bridge = Bridge::start().await;
    let ahead = ahead_by(&bridge, RAIL, SKEW_S, TIME);
    ahead.set_kill_after_ack(true);
    let signed_at = now_s().saturating_add_signed(SKEW_S);
    let delivery = Delivery::signed_at(RAIL, signed_at, withdrawal("e1"));
    assert_eq!(bridge.deliver_to(&ahead, &delivery).await.unwrap().0, 200);
    within(ahead.idle()).await;
    check_counts(&bridge.redrive(json!({})).await, &[]);
    let lease_ends = check_state(&bridge, "rail#e1", "pending", 1)["next_attempt_at"].as_u64().unwrap();
    assert!((now_s() + 540..=now_s() + 660).contains(&lease_ends), "late by its error, and no more");
    bridge.make_due().await;
    check_counts(&bridge.redrive(json!({})).await, &[("found", 1), ("delivered", 1)]);
    check_one_message_in_all(&bridge, 1);
}

#[tokio::test]
async fn redrives_whose_clocks_are_twenty_minutes_apart_settle_one_after_the_other() {
    let bridge = Bridge::start().await;
    let [behind, ahead] = [-SKEW_S, SKEW_S].map(|skew| ahead_by(&bridge, "redrive", skew, TIME));
    let long_ago = now_s() - 2000;
    let pk = left(&bridge, RAIL, "e1", |item| item["next_attempt_at"] = json!({ "N": long_ago.to_string() }));
    bridge.stack.returning_ai.inject(withdrawals(), Fault::SlowBody(Duration::from_secs(2)), When::Next(1));
    let slow = async { redrive_by(&behind).await };
    let hasty = async {
        bridge.stack.returning_ai.wait_for(|attempts| !attempts.is_empty(), BOUND).await.unwrap();
        redrive_by(&ahead).await
    };
    let (slow, hasty) = within(join(slow, hasty)).await;
    check_counts(&slow, &[("found", 1), ("lost", 1)]);
    check_counts(&hasty, &[("found", 1), ("delivered", 1)]);
    let item = check_state(&bridge, &pk, "delivered", 3);
    assert_eq!(item["history"].as_array().unwrap().len(), 1, "only the attempt that counts");
    check_one_message_in_all(&bridge, 2);
}

/// Nobody deletes it but a person or another program, and then an event is lost.
#[tokio::test]
async fn a_record_that_is_deleted_while_it_is_delivered_is_an_error_of_whoever_settles_it() {
    let bridge = Bridge::start().await;
    let returning_ai = &bridge.stack.returning_ai;
    returning_ai.inject(withdrawals(), Fault::SlowBody(Duration::from_secs(1)), When::Next(2));
    let delete_at_the_post = async |posts: usize, pk: &str| {
        returning_ai.wait_for(|attempts| attempts.len() == posts, BOUND).await.unwrap();
        bridge.stack.dynamodb.delete(pk).unwrap();
    };
    assert_eq!(bridge.post(RAIL, withdrawal("e1")).await.told(), ACCEPTED);
    delete_at_the_post(1, "rail#e1").await;
    bridge.settled().await;
    let by_receiver = bridge.last_line().await;

    let pk = left(&bridge, RAIL, "e2", |_| {});
    let (counts, ()) = join(bridge.redrive(json!({})), delete_at_the_post(2, &pk)).await;
    check_counts(&counts, &[("found", 1), ("lost", 1)]);
    let by_redrive = bridge.lines_with(r#""event.id":"e2""#).await.pop().unwrap();

    for (line, id) in [(by_receiver, "e1"), (by_redrive, "e2")] {
        assert_eq!((&line["level"], &line["event.id"]), (&json!("ERROR"), &json!(id)), "{line}");
        assert_eq!((&line["settled"], line.get("state")), (&json!("gone"), None), "{line}");
    }
    assert!(bridge.stack.dynamodb.items().is_empty());
}

#[tokio::test]
async fn redrive_begins_nothing_when_no_time_is_left() {
    let bridge = Bridge::with(|options| options.timeout = Duration::from_secs(5)).await;
    let pk = left(&bridge, RAIL, "e1", |_| {});
    let before = bridge.item(&pk);
    for request in [json!({}), json!({ "keys": [pk] })] {
        let counts = bridge.redrive(request).await;
        assert_eq!(counts["complete"], false);
        check_counts(&counts, &[]);
    }
    assert_eq!(bridge.item(&pk), before);
    assert!(bridge.stack.returning_ai.attempts().is_empty());
}

#[tokio::test]
async fn redrive_stops_taking_new_ones_before_its_time_is_up_and_finishes_those_in_hand() {
    let bridge = Bridge::with(|options| options.timeout = Duration::from_secs(12)).await;
    let pks: Vec<_> =
        (0..40).map(|n| left(&bridge, RAIL, &format!("e{n}"), |item| item["due"] = json!({ "S": "p3" }))).collect();
    bridge.stack.returning_ai.inject(withdrawals(), Fault::SlowBody(Duration::from_secs(4)), When::UntilCleared);
    let counts = bridge.redrive(json!({})).await;
    assert_eq!(counts["complete"], false);
    check_counts(&counts, &[("found", 8), ("delivered", 8)]);
    let untouched = pks.iter().filter(|pk| bridge.item(pk)["attempts"] == 1).count();
    assert_eq!(untouched, 32);
    bridge.stack.returning_ai.clear_faults();
    let counts = bridge.redrive(json!({ "share": [3, 64] })).await;
    assert_eq!(counts["complete"], true);
    check_counts(&counts, &[("found", 32), ("delivered", 32)]);
    assert_eq!(bridge.messages().len(), 40);
}

#[tokio::test]
async fn a_delivered_event_whose_settling_write_failed_is_sent_again_under_the_same_key() {
    let faults = [AwsFault::Throttle, AwsFault::InternalError, AwsFault::Refuse];
    join_all(faults.into_iter().map(|fault| async move {
        let bridge = Bridge::start().await;
        let dynamodb = &bridge.stack.dynamodb;
        dynamodb.inject(Some("UpdateItem"), fault.clone(), When::UntilCleared);
        assert_eq!(bridge.post(RAIL, withdrawal("e1")).await.told(), ACCEPTED);
        bridge.settled().await;
        check_state(&bridge, "rail#e1", "pending", 1);

        // Redrive cannot settle it either.
        dynamodb.clear_faults();
        bridge.make_due().await;
        let returning_ai = &bridge.stack.returning_ai;
        returning_ai.inject(withdrawals(), Fault::SlowBody(Duration::from_secs(1)), When::Next(1));
        let breaking = async {
            returning_ai.wait_for(|attempts| attempts.len() == 2, BOUND).await.unwrap();
            dynamodb.inject(Some("UpdateItem"), fault.clone(), When::UntilCleared);
        };
        let (counts, ()) = within(join(bridge.redrive(json!({})), breaking)).await;
        check_counts(&counts, &[("found", 1), ("troubled", 1)]);
        check_state(&bridge, "rail#e1", "pending", 2);

        dynamodb.clear_faults();
        bridge.make_due().await;
        check_counts(&bridge.redrive(json!({})).await, &[("found", 1), ("delivered", 1)]);
        check_state(&bridge, "rail#e1", "delivered", 3);
        check_one_message_in_all(&bridge, 3);
    }))
    .await;
}

#[tokio::test]
async fn an_event_past_its_time_to_live_that_is_still_there_is_a_duplicate() {
    let bridge = Bridge::start().await;
    for (state, due) in [("delivered", None), ("pending", Some("p0"))] {
        let pk = left(&bridge, RAIL, state, |item| {
            item["state"] = json!({ "S": state });
            item["expires_at"] = json!({ "N": "1000" });
            item["received_at"] = json!({ "N": (now_ms() - 91 * 24 * HOUR_MS).to_string() });
            match due {
                Some(due) => item["due"] = json!({ "S": due }),
                None => {
                    let item = item.as_object_mut().unwrap();
                    item.remove("due");
                    item.remove("next_attempt_at");
                }
            }
        });
        let before = bridge.item(&pk);
        let answer = bridge.post(RAIL, withdrawal(state)).await;
        bridge.settled().await;
        assert_eq!(answer.told(), DUPLICATE, "{state}");
        assert_eq!(bridge.last_line().await.get("conflicting"), None, "{state}");
        assert_eq!(bridge.item(&pk), before, "{state}");
    }
    assert!(bridge.messages().is_empty());
}

#[tokio::test]
async fn the_same_id_with_another_body_does_not_change_what_redrive_sends() {
    let bridge = Bridge::start().await;
    bridge.function(RAIL).set_kill_after_ack(true);
    assert_eq!(bridge.post(RAIL, withdrawal("e1")).await.told(), ACCEPTED);
    bridge.settled().await;
    bridge.function(RAIL).set_kill_after_ack(false);
    assert_eq!(bridge.post(RAIL, withdrawal("e1").replace("1000.00", "1.00")).await.told(), DUPLICATE);
    bridge.make_due().await;
    check_counts(&bridge.redrive(json!({})).await, &[("found", 1), ("delivered", 1)]);
    check_one_message_in_all(&bridge, 1);
    let sent = bridge.stack.returning_ai.attempts().remove(0).raw;
    assert!(String::from_utf8_lossy(&sent).contains("1000.00"), "{sent:?}");
}

#[tokio::test]
async fn two_redrives_at_once_never_deliver_the_same_attempt_twice() {
    let bridge = Bridge::start().await;
    for n in 0..50 {
        left(&bridge, if n % 2 == 0 { RAIL } else { RILLIS }, &format!("e{n}"), |_| {});
    }
    let (one, other) = join(bridge.redrive(json!({})), bridge.redrive(json!({}))).await;
    println!("{one}\n{other}");
    assert_eq!(one["delivered"].as_u64().unwrap() + other["delivered"].as_u64().unwrap(), 50);
    assert_eq!(bridge.function("redrive").pids().len(), 2);
    let mut keys: Vec<_> = bridge.messages().iter().map(|m| m["idempotencyKey"].to_string()).collect();
    assert_eq!(keys.len(), 50);
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 50, "one message each");
    assert!(bridge.stack.dynamodb.items().iter().all(|item| item["state"] == "delivered" && item["attempts"] == 2));
}

#[tokio::test]
async fn redrive_waits_as_long_as_returning_ai_asks() {
    let bridge = Bridge::start().await;
    let fault = Fault::RetryAfter { status: 429, after: "600".to_owned() };
    bridge.stack.returning_ai.inject(withdrawals(), fault, When::Next(1));
    let pk = left(&bridge, RAIL, "e1", |_| {});
    check_counts(&bridge.redrive(json!({})).await, &[("found", 1), ("retried", 1)]);
    let item = check_state(&bridge, &pk, "pending", 2);
    let attempt = &item["history"][0];
    let ended_at = (attempt["at"].as_u64().unwrap() + attempt["ms"].as_u64().unwrap()) / 1000;
    let wait_s = item["next_attempt_at"].as_u64().unwrap() - ended_at;
    assert!((600..=602).contains(&wait_s), "{wait_s}");
    check_counts(&bridge.redrive(json!({})).await, &[]);
    check_one_message_in_all(&bridge, 1);
}

#[tokio::test]
async fn a_workflow_that_is_down_costs_few_attempts_and_holds_up_no_other() {
    // All in one shard, which is worked on all at once; and spread.
    join_all([Some("p5"), None].map(|shard| async move {
        let bridge = Bridge::start().await;
        bridge.stack.returning_ai.inject(withdrawals(), Fault::Status(503), When::UntilCleared);
        let in_shard = |item: &mut Value| {
            if let Some(shard) = shard {
                item["due"] = json!({ "S": shard });
            }
        };
        let down: Vec<_> = (0..40).map(|n| left(&bridge, RAIL, &format!("e{n}"), in_shard)).collect();
        let up: Vec<_> = (0..20).map(|n| left(&bridge, RILLIS, &format!("e{n}"), in_shard)).collect();
        let before: Vec<_> = down.iter().map(|pk| bridge.item(pk)).collect();
        let counts = bridge.redrive(json!({})).await;

        let after: Vec<_> = down.iter().map(|pk| bridge.item(pk)).collect();
        let burnt = after.iter().filter(|item| item["attempts"] == 2).count();
        println!("{burnt} of 40 attempts burnt in {shard:?}: {counts}");
        assert!((5..=5 + 32).contains(&burnt), "{burnt}");
        let unchanged = before.iter().zip(&after).filter(|(before, after)| before == after).count();
        assert_eq!(unchanged, 40 - burnt, "their leases and attempts are as they were");
        assert_eq!(counts["held_back"], json!(unchanged));
        assert_eq!(counts["delivered"], 20);
        assert!(up.iter().all(|pk| bridge.item(pk)["state"] == "delivered"));

        // The next run begins anew.
        bridge.stack.returning_ai.clear_faults();
        bridge.make_due().await;
        check_counts(&bridge.redrive(json!({})).await, &[("found", 40), ("delivered", 40)]);
    }))
    .await;
}

#[tokio::test]
async fn after_three_days_an_event_that_fails_once_more_is_dead_and_a_person_can_revive_it() {
    let bridge = Bridge::start().await;
    let old = |item: &mut Value| item["received_at"] = json!({ "N": (now_ms() - 73 * HOUR_MS).to_string() });
    let pk = left(&bridge, RAIL, "fails", old);
    bridge.stack.returning_ai.inject(withdrawals(), Fault::Status(500), When::Next(1));
    check_counts(&bridge.redrive(json!({})).await, &[("found", 1), ("dead", 1)]);
    let item = check_state(&bridge, &pk, "dead", 2);
    assert!(item["due"].as_str().unwrap().starts_with('d'));
    assert_eq!(item["last_error"], "server_error 500");
    assert_eq!(item.get("expires_at"), None, "a dead event is kept");
    check_counts(&bridge.redrive(json!({})).await, &[]);

    check_counts(&bridge.redrive(json!({ "keys": [pk] })).await, &[("found", 1), ("delivered", 1)]);
    let item = check_state(&bridge, &pk, "delivered", 3);
    let by: Vec<_> = item["history"].as_array().unwrap().iter().map(|attempt| attempt["by"].clone()).collect();
    assert_eq!(by, [json!("redrive"), json!("manual")]);
    assert_eq!((item.get("due"), item.get("last_error")), (None, None));
    assert!(item["expires_at"].is_u64());
    check_one_message_in_all(&bridge, 2);

    let pk = left(&bridge, RAIL, "succeeds", old);
    check_counts(&bridge.redrive(json!({})).await, &[("found", 1), ("delivered", 1)]);
    check_state(&bridge, &pk, "delivered", 2);
}

#[tokio::test]
async fn an_event_that_lost_ten_attempts_is_given_up_and_its_history_the_log_and_a_metric_say_so() {
    join_all([None, Some(AwsFault::ResetAfter)].map(|fault| async move {
        let bridge = Bridge::start().await;
        let pk = left(&bridge, RAIL, "e1", |item| item["unsettled"] = json!({ "N": "10" }));
        if let Some(fault) = fault {
            bridge.stack.dynamodb.inject(Some("UpdateItem"), fault, When::Next(1));
        }
        check_counts(&bridge.redrive(json!({})).await, &[("found", 1), ("dead", 1)]);
        let item = check_state(&bridge, &pk, "dead", 2);
        assert_eq!((&item["last_error"], item.get("unsettled")), (&json!("attempts_lost"), None));
        let [entry] = &item["history"].as_array().unwrap()[..] else { panic!("{item}") };
        assert_eq!(
            (&entry["by"], &entry["outcome"], &entry["ms"]),
            (&json!("redrive"), &json!("attempts_lost"), &json!(0))
        );
        assert!(now_ms().abs_diff(entry["at"].as_u64().unwrap()) < BOUND.as_millis() as u64, "{entry}");

        assert_eq!(bridge.sum("Dead{FunctionName=redrive}", 1).await, 1.0);
        let [line] = &bridge.lines_with(r#""event.id":"e1""#).await[..] else { panic!("one line") };
        assert_eq!((&line["level"], &line["provider"]), (&json!("ERROR"), &json!(RAIL)), "{line}");
        assert_eq!((&line["event.type"], &line["by"]), (&json!("WITHDRAWAL_COMPLETED"), &json!("redrive")), "{line}");
        assert_eq!((&line["error"], &line["state"]), (&json!("attempts_lost"), &json!("dead")), "{line}");
        assert!(bridge.stack.returning_ai.attempts().is_empty());

        check_counts(&bridge.redrive(json!({ "keys": [pk] })).await, &[("found", 1), ("delivered", 1)]);
        check_state(&bridge, &pk, "delivered", 3);
    }))
    .await;
}

#[tokio::test]
async fn an_event_that_was_ignored_for_longer_than_an_event_may_wait_is_tried_again_after_a_failure() {
    let bridge = Bridge::start().await;
    bridge.stack.returning_ai.inject(withdrawals(), Fault::Status(429), When::Next(1));
    let pk = left(&bridge, RAIL, "e1", |item| {
        item["state"] = json!({ "S": "ignored" });
        item["attempts"] = json!({ "N": "0" });
        item["received_at"] = json!({ "N": (now_ms() - 100 * HOUR_MS).to_string() });
        item["deliveries"] = json!({ "M": {} });
        let item = item.as_object_mut().unwrap();
        item.remove("due");
        item.remove("next_attempt_at");
        item.remove("waits_for");
    });
    check_counts(&bridge.redrive(json!({ "keys": [pk] })).await, &[("found", 1), ("retried", 1)]);
    let item = check_state(&bridge, &pk, "pending", 1);
    assert_eq!(item["last_error"], "throttled 429");
    bridge.make_due().await;
    check_counts(&bridge.redrive(json!({})).await, &[("found", 1), ("delivered", 1)]);
}

#[tokio::test]
async fn by_hand_what_was_refused_ignored_or_is_not_due_is_delivered_and_the_rest_is_let_be() {
    let bridge = Bridge::start().await;
    bridge.stack.returning_ai.inject(withdrawals(), Fault::Status(422), When::Next(1));
    assert_eq!(bridge.post(RAIL, withdrawal("refused")).await.told(), ACCEPTED);
    bridge.settled().await;
    check_state(&bridge, "rail#refused", "dead", 1);
    left(&bridge, RAIL, "ignored", |item| {
        item["state"] = json!({ "S": "ignored" });
        item["attempts"] = json!({ "N": "0" });
        item["deliveries"] = json!({ "M": {} });
        let item = item.as_object_mut().unwrap();
        item.remove("due");
        item.remove("next_attempt_at");
    });
    left(&bridge, RAIL, "later", |item| item["next_attempt_at"] = json!({ "N": (now_s() + 3000).to_string() }));
    left(&bridge, RAIL, "unwanted", |item| {
        item["state"] = json!({ "S": "ignored" });
        item["event_type"] = json!({ "S": "ACCOUNT_DORMANT" });
        item["deliveries"] = json!({ "M": {} });
        let item = item.as_object_mut().unwrap();
        item.remove("due");
        item.remove("next_attempt_at");
    });
    // Its only route is in no file any more; of the other one a person has closed what was refused.
    left(&bridge, RAIL, "gone", |item| {
        item["state"] = json!({ "S": "dead" });
        item["deliveries"] = json!({ "M": { "of-last-year": { "M": { "state": { "S": "dead" } } } } });
    });
    let route = route_of_wanted(RAIL).name.clone();
    left(&bridge, RAIL, "closed", |item| {
        item["state"] = json!({ "S": "dismissed" });
        item["deliveries"] = json!({ "M": { &route: { "M": { "state": { "S": "dead" } } } } });
        let item = item.as_object_mut().unwrap();
        item.remove("due");
        item.remove("next_attempt_at");
    });
    assert_eq!(bridge.post(RAIL, withdrawal("delivered")).await.told(), ACCEPTED);
    assert_eq!(bridge.post(RAIL, r#"{"event_id":"unreadable"}"#).await.told(), ACCEPTED);
    bridge.settled().await;

    let names = ["refused", "ignored", "later", "gone", "closed", "unwanted", "delivered", "unreadable", "unknown"];
    let keys = names.map(|name| format!("rail#{name}"));
    let counts = bridge.redrive(json!({ "keys": keys })).await;
    check_counts(&counts, &[("found", 9), ("delivered", 5), ("nothing_to_do", 4)]);
    for (name, attempts) in [("refused", 2), ("ignored", 1), ("later", 2), ("gone", 2), ("closed", 2)] {
        let item = check_state(&bridge, &format!("rail#{name}"), "delivered", attempts);
        assert_eq!(item["history"].as_array().unwrap().last().unwrap()["by"], "manual", "{name}");
        assert_eq!((item.get("due"), item.get("next_attempt_at")), (None, None), "{name}");
        assert_eq!(item["deliveries"].as_object().unwrap().keys().collect::<Vec<_>>(), [&route], "{name}");
    }
    check_state(&bridge, "rail#unwanted", "ignored", 1);
    check_state(&bridge, "rail#unreadable", "dead", 0);
    assert_eq!(bridge.stack.dynamodb.item("rail#unknown"), None);
    assert_eq!(bridge.messages().len(), 6);
}

#[tokio::test]
async fn what_waits_for_a_paused_workflow_burns_no_attempt_and_is_delivered_once_it_is_resumed() {
    let bridge = Bridge::start().await;
    let paused_at = now_ms();
    pause(&bridge, "withdrawal", paused_at, None);
    assert_eq!(bridge.post(RAIL, withdrawal("e1")).await.told(), ACCEPTED);
    assert_eq!(bridge.post(RILLIS, flow_completed("e1")).await.told(), ACCEPTED);
    bridge.settled().await;
    check_state(&bridge, "rillis#e1", "delivered", 1);
    bridge.make_due().await;
    let before = check_state(&bridge, "rail#e1", "pending", 1);
    for _ in 0..3 {
        check_counts(&bridge.redrive(json!({})).await, &[("found", 1), ("held_back", 1)]);
    }
    check_counts(&bridge.redrive(json!({ "keys": ["rail#e1"] })).await, &[("found", 1), ("held_back", 1)]);
    assert_eq!(bridge.item("rail#e1"), before);
    assert!(bridge.stack.returning_ai.messages("withdrawal").is_empty());

    pause(&bridge, "withdrawal", paused_at, Some(now_ms()));
    check_counts(&bridge.redrive(json!({})).await, &[("found", 1), ("delivered", 1)]);
    check_state(&bridge, "rail#e1", "delivered", 2);
    assert_eq!(bridge.stack.returning_ai.messages("withdrawal").len(), 1);
}

#[tokio::test]
async fn what_waited_for_a_paused_workflow_has_not_aged() {
    for (paused_for_h, state) in [(0, "dead"), (6, "dead"), (78, "pending")] {
        let bridge = Bridge::start().await;
        let received_ms = now_ms() - 80 * HOUR_MS;
        pause(&bridge, "withdrawal", received_ms + HOUR_MS, Some(received_ms + (1 + paused_for_h) * HOUR_MS));
        let old = |item: &mut Value| item["received_at"] = json!({ "N": received_ms.to_string() });
        let pk = left(&bridge, RAIL, "e1", old);
        bridge.stack.returning_ai.inject(withdrawals(), Fault::Status(500), When::Next(1));
        bridge.redrive(json!({})).await;
        check_state(&bridge, &pk, state, 2);
        if state == "pending" {
            bridge.make_due().await;
            check_counts(&bridge.redrive(json!({})).await, &[("found", 1), ("delivered", 1)]);
        }
    }
}

#[tokio::test]
async fn an_event_remembers_its_newest_twenty_attempts() {
    let bridge = Bridge::start().await;
    bridge.stack.returning_ai.inject(withdrawals(), Fault::Status(500), When::UntilCleared);
    assert_eq!(bridge.post(RAIL, withdrawal("e1")).await.told(), ACCEPTED);
    for _ in 0..25 {
        assert_eq!(bridge.make_due().await, 1);
        check_counts(&bridge.redrive(json!({})).await, &[("found", 1), ("retried", 1)]);
    }
    let history = check_state(&bridge, "rail#e1", "pending", 26)["history"].as_array().unwrap().clone();
    assert_eq!(history.len(), 20);
    assert!(history.iter().all(|attempt| attempt["by"] == "redrive" && attempt["http_status"] == 500));
    assert!(history.windows(2).all(|pair| pair[0]["at"].as_u64() <= pair[1]["at"].as_u64()));
    bridge.stack.returning_ai.clear_faults();
    bridge.make_due().await;
    bridge.redrive(json!({})).await;
    let history = check_state(&bridge, "rail#e1", "delivered", 27)["history"].as_array().unwrap().clone();
    assert_eq!((history.len(), &history[19]["outcome"]), (20, &json!("delivered")));
}

/// So many withdrawals, due for an hour, as the index has them: nothing else of them is to be read.
fn left_in_the_index(bridge: &Bridge, events: usize) {
    let due_at = now_s() - HOUR_MS / 1000;
    let left = (0..events).map(|n| {
        json!({
            "pk": { "S": format!("rail#held-back-{n}") },
            "due": { "S": format!("p{}", n % 8) },
            "next_attempt_at": { "N": due_at.to_string() },
            "received_at": { "N": (due_at * 1000).to_string() },
            "waits_for": { "M": { "withdrawal-completed": { "N": due_at.to_string() } } },
        })
    });
    bridge.stack.dynamodb.put_raw_all(EVENTS_TABLE, &left.collect::<Vec<_>>()).unwrap();
}

/// A run of all that is due: its counts, the events that it read, and the pages of the index. It prints them.
async fn measured_run(bridge: &Bridge) -> (Value, usize, usize) {
    let dynamodb = &bridge.stack.dynamodb;
    dynamodb.reset_calls();
    let began = Instant::now();
    let counts = bridge.redrive(json!({})).await;
    let (reads, pages) = (dynamodb.count("GetItem"), dynamodb.count("Query"));
    println!("{reads} events read, {pages} pages of the index, {:.1} s: {counts}", began.elapsed().as_secs_f64());
    (counts, reads, pages)
}

#[tokio::test]
async fn seventy_two_thousand_events_of_a_paused_workflow_keep_nothing_from_eight_others() {
    const HELD_BACK: usize = 72_000;
    let bridge = Bridge::start().await;
    pause(&bridge, "withdrawal", now_ms(), None);
    left_in_the_index(&bridge, HELD_BACK);
    for n in 0..8 {
        left(&bridge, RILLIS, &format!("good-{n}"), |_| {});
    }
    let (counts, reads, pages) = measured_run(&bridge).await;
    let found = HELD_BACK as u64 + 8;
    check_counts(&counts, &[("found", found), ("delivered", 8), ("held_back", HELD_BACK as u64)]);
    assert_eq!((reads, &counts["complete"]), (8, &json!(true)));
    // A table that does not say in two seconds which parts have something due costs a page of each.
    let is_measured = !bridge.log().iter().any(|line| line["message"] == "the backlog could not be measured in time");
    assert!(pages < if is_measured { 100 } else { 100 + 64 }, "{pages}");
}

/// More than may wait in one line, before it is known that their workflow fails.
#[tokio::test]
async fn nine_thousand_events_of_a_workflow_that_fails_are_held_back_and_the_run_is_complete() {
    const HELD_BACK: u64 = 9_000;
    let bridge = Bridge::start().await;
    let returning_ai = &bridge.stack.returning_ai;
    let handshake = At::Handshake("withdrawal".to_owned());
    returning_ai.inject(Some(handshake), Fault::SlowBody(Duration::from_secs(4)), When::Next(1));
    returning_ai.inject(withdrawals(), Fault::Status(503), When::UntilCleared);
    left_in_the_index(&bridge, HELD_BACK as usize);
    // First in each part: the run tries eight of the part that it begins with, and up to four more until it knows of five
    // failures.
    for n in 0..12 * 8 {
        left(&bridge, RAIL, &format!("first-{n}"), |item| {
            item["due"] = json!({ "S": format!("p{}", n % 8) });
            item["next_attempt_at"] = json!({ "N": (now_s() - 2 * HOUR_MS / 1000).to_string() });
        });
    }
    for n in 0..8 {
        left(&bridge, RILLIS, &format!("good-{n}"), |_| {});
    }
    let (counts, reads, _) = measured_run(&bridge).await;
    let retried = counts["retried"].as_u64().unwrap();
    assert!((8..=12).contains(&retried), "{counts}");
    let held_back = HELD_BACK + 12 * 8 - retried;
    let found = held_back + retried + 8;
    check_counts(&counts, &[("found", found), ("delivered", 8), ("retried", retried), ("held_back", held_back)]);
    assert_eq!((reads as u64, &counts["complete"]), (retried + 8, &json!(true)));
}

/// Bodies that take the most memory for their size: of many small values, and of a text that does not become smaller.
fn largest_bodies(event_id: &str) -> [String; 2] {
    const LARGEST: usize = 256 * 1024;
    let body = deposit(event_id);
    let open = body.trim_end().strip_suffix('}').unwrap();
    let values = format!("{open},\"more\":[0{}]}}", ",0".repeat((LARGEST - open.len() - 20) / 2));
    let noise: Vec<u8> = (0_u32..).flat_map(|n| Sha256::digest(n.to_be_bytes())).take(LARGEST * 3 / 4 - 1000).collect();
    let noise = format!("{open},\"more\":\"{}\"}}", STANDARD.encode(noise));
    assert!([&values, &noise].iter().all(|body| (LARGEST - 2000..=LARGEST).contains(&body.len())));
    [values, noise]
}

#[tokio::test]
async fn sixty_four_of_the_largest_bodies_in_one_part_of_the_index_take_less_than_100_mb() {
    let bridge = Bridge::start().await;
    bridge.import_sample_customers().await;
    for n in 0..64 {
        let id = format!("e{n}");
        let body = &largest_bodies(&id)[n % 2];
        left(&bridge, RAIL, &id, |item| {
            item["event_type"] = json!({ "S": "TRANSACTION_POSTED" });
            item["body"] = json!({ "B": STANDARD.encode(body) });
            item["due"] = json!({ "S": "p0" });
            let routes = ["deposit-posted", "first-deposit"];
            item["deliveries"] = json!({ "M": routes.map(|route| (route, json!({ "M": { "state": { "S": "pending" } } }))).into_iter().collect::<HashMap<_, _>>() });
            item["waits_for"] = json!({ "M": routes.map(|route| (route, json!({ "N": now_s().to_string() }))).into_iter().collect::<HashMap<_, _>>() });
        });
    }
    let slow = Fault::SlowBody(Duration::from_millis(500));
    bridge.stack.returning_ai.inject(None, slow, When::UntilCleared);
    let counts = bridge.redrive(json!({})).await;
    let function = bridge.function("redrive");
    let peak = function.process_stats(function.pids()[0]).unwrap().peak_rss_bytes;
    println!("{:.1} MB at most: {counts}", peak as f64 / 1e6);
    check_counts(&counts, &[("found", 64), ("delivered", 64)]);
    assert!(peak < 100_000_000, "{peak} bytes");
}
