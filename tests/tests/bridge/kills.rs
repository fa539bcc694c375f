//! A process killed at every step: whatever was acknowledged is delivered all the same, by whoever comes next.
//!
//! The steps are the calls of `shared::config::kill_point`; the first test holds the list against the source.

use std::collections::BTreeSet;
use std::path::Path;

use local::binaries::workspace_root;
use local::faults::When;
use local::lambda_host::{FunctionSpec, LambdaHost};
use local::returning_ai::{At, Fault};
use serde_json::{Value, json};

use crate::bridge::fixture::*;

/// Where a process dies, and what is there afterwards.
struct Step {
    point: &'static str,
    /// The answer left before.
    acknowledged: bool,
    state: &'static str,
    attempts: u32,
    /// What Returning.AI has by then, and in the end. Two only if it had one and we could not write that down.
    messages: usize,
    in_the_end: usize,
}

const fn step(point: &'static str) -> Step {
    Step { point, acknowledged: true, state: "pending", attempts: 1, messages: 0, in_the_end: 1 }
}

/// In the invocation that records the event.
const RECEIVER: [Step; 10] = [
    Step { acknowledged: false, ..step("recorded") },
    step("acknowledged"),
    step("pauses_read"),
    step("resolved"),
    step("composed"),
    step("workflows_read"),
    step("handshaken"),
    // Its first try failed; it dies before the second.
    step("waited"),
    Step { messages: 1, in_the_end: 2, ..step("delivered") },
    Step { state: "delivered", messages: 1, ..step("settled") },
];

/// In the run that takes the event over.
const REDRIVE: [Step; 9] = [
    step("queried"),
    step("read"),
    Step { attempts: 2, ..step("taken_over") },
    Step { attempts: 2, ..step("resolved") },
    Step { attempts: 2, ..step("composed") },
    Step { attempts: 2, ..step("workflows_read") },
    Step { attempts: 2, ..step("handshaken") },
    Step { attempts: 2, messages: 1, in_the_end: 2, ..step("delivered") },
    Step { attempts: 2, state: "delivered", messages: 1, ..step("settled") },
];

#[test]
fn the_steps_are_those_in_the_source() {
    let mut in_source = BTreeSet::new();
    points_in(&workspace_root().join("shared/src"), &mut in_source);
    let mut killed_at: BTreeSet<_> = RECEIVER.iter().chain(&REDRIVE).map(|step| step.point.to_owned()).collect();
    // Only a route with `once_per` claims; `customer_routes` kills it there.
    killed_at.insert("claimed".to_owned());
    assert_eq!(killed_at, in_source);
}

fn points_in(folder: &Path, points: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            points_in(&path, points);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = std::fs::read_to_string(path).unwrap();
            let calls = source.split(r#"kill_point(""#).skip(1);
            points.extend(calls.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
        }
    }
}

#[tokio::test]
async fn an_event_whose_receiver_is_killed_at_any_step_is_delivered_by_redrive() {
    let bridge = Bridge::start().await;
    for provider in RECEIVERS {
        for step in &RECEIVER {
            let event_id = format!("receiver-{}", step.point);
            let name = format!("{provider} at {}", step.point);
            let delivery = Delivery::signed(provider, wanted(provider, &event_id));
            let doomed = bridge.another(provider, |spec| doomed_at(spec, step.point));
            if step.point == "waited" {
                let webhook = At::Webhook(workflow_of_wanted(provider).to_owned());
                bridge.stack.returning_ai.inject(Some(webhook), Fault::Status(500), When::Next(1));
            }
            let answer = bridge.deliver_to(&doomed, &delivery).await;
            within(doomed.idle()).await;

            check_dead(&doomed, &name);
            let expected = step.acknowledged.then(|| (ACCEPTED.0, ACCEPTED.1.to_owned()));
            assert_eq!(answer, expected, "{name}");
            let pk = format!("{provider}#{event_id}");
            check_left(&bridge, &pk, step, &name);
            if answer.is_none() {
                assert_eq!(bridge.send(&delivery).await.told(), DUPLICATE, "{name}: the provider sends again");
            }
            check_rescue(&bridge, &pk, step, &name).await;
        }
    }
    assert_eq!(bridge.stack.returning_ai.violations(), []);
}

#[tokio::test]
async fn an_event_whose_redrive_is_killed_at_any_step_is_delivered_by_the_next() {
    let bridge = Bridge::start().await;
    for provider in RECEIVERS {
        bridge.function(provider).set_kill_after_ack(true);
        for step in &REDRIVE {
            let event_id = format!("redrive-{}", step.point);
            let name = format!("{provider} at {}", step.point);
            assert_eq!(bridge.post(provider, wanted(provider, &event_id)).await.told(), ACCEPTED, "{name}");
            assert_eq!(bridge.make_due().await, 1, "{name}");
            let doomed = bridge.another("redrive", |spec| doomed_at(spec, step.point));
            assert!(within(doomed.invoke("{}".into())).await.is_err(), "{name}");

            check_dead(&doomed, &name);
            let pk = format!("{provider}#{event_id}");
            check_left(&bridge, &pk, step, &name);
            check_rescue(&bridge, &pk, step, &name).await;
        }
    }
    assert_eq!(bridge.stack.returning_ai.violations(), []);
}

fn doomed_at(spec: &mut FunctionSpec, point: &str) {
    spec.env.push(("BRIDGE_KILL_AT".to_owned(), point.to_owned()));
    spec.max_processes = 1;
}

#[track_caller]
fn check_dead(doomed: &LambdaHost, name: &str) {
    assert!(doomed.pids().is_empty(), "{name}: the process lives");
}

/// What the dead process has left behind.
#[track_caller]
fn check_left(bridge: &Bridge, pk: &str, step: &Step, name: &str) {
    let item = bridge.item(pk);
    assert_eq!((&item["state"], &item["attempts"]), (&json!(step.state), &json!(step.attempts)), "{name}: {item}");
    assert_eq!(messages_of(bridge, pk).len(), step.messages, "{name}");
}

/// Redrive finds it once its lease has ended, and delivers it as it was.
async fn check_rescue(bridge: &Bridge, pk: &str, step: &Step, name: &str) {
    bridge.make_due().await;
    let counts = bridge.redrive(json!({})).await;
    let rescued = u32::from(step.state == "pending");
    assert_eq!((&counts["found"], &counts["delivered"]), (&json!(rescued), &json!(rescued)), "{name}: {counts}");

    let item = bridge.item(pk);
    assert_eq!((&item["state"], item.get("due")), (&json!("delivered"), None), "{name}: {item}");
    assert_eq!(item["attempts"], step.attempts + rescued, "{name}");
    let messages = messages_of(bridge, pk);
    assert_eq!(messages.len(), step.in_the_end, "{name}");
    let tried: Vec<_> = bridge.stack.returning_ai.attempts();
    let mut tried = tried.iter().filter(|message| is_of(&message.body, pk));
    let first = tried.next().unwrap();
    assert!(tried.all(|message| message.raw == first.raw), "{name}: another message than before");
    assert!(first.body["occurredAt"].is_string(), "{name}");
    if messages.len() > 1 {
        println!("{name}: {} messages of one idempotency key", messages.len());
    }
    assert_eq!(bridge.redrive(json!({})).await["found"], 0, "{name}");
}

fn messages_of(bridge: &Bridge, pk: &str) -> Vec<Value> {
    bridge.messages().into_iter().filter(|message| is_of(message, pk)).collect()
}

fn is_of(message: &Value, pk: &str) -> bool {
    let key = message["idempotencyKey"].as_str().unwrap();
    key.rsplit_once('/').unwrap().0 == pk.replacen('#', ":", 1)
}
