//! What hangs costs an environment five seconds once in thirty, whatever arrives meanwhile, and counts against nobody else.

use std::time::{Duration, Instant};

use local::faults::When;
use local::rail_api;
use local::returning_ai::{At, Fault};
use serde_json::{Value, json};

use crate::bridge::customer_routes::deposit_to;
use crate::bridge::fixture::*;
use crate::bridge::redrive::{check_counts, check_state};

fn webhook(workflow: &str) -> Option<At> {
    Some(At::Webhook(workflow.to_owned()))
}

/// Posts a delivery and waits until no function works on anything. What its line says of `state`, `error` and `settled`.
async fn posted(bridge: &Bridge, body: String) -> [Value; 3] {
    assert_eq!(bridge.post(RAIL, body).await.told(), ACCEPTED);
    bridge.settled().await;
    let line = bridge.last_line().await;
    ["state", "error", "settled"].map(|field| line[field].clone())
}

fn calls_to(bridge: &Bridge, workflow: &str) -> usize {
    bridge.stack.returning_ai.attempts().iter().filter(|attempt| attempt.workflow == workflow).count()
}

#[tokio::test]
async fn of_twenty_events_for_a_hanging_workflow_one_costs_five_seconds_and_redrive_delivers_all() {
    let bridge = Bridge::with(one_process).await;
    bridge.stack.returning_ai.inject(webhook("withdrawal"), Fault::Hang, When::UntilCleared);
    let began = Instant::now();
    assert_eq!(posted(&bridge, withdrawal("e0")).await, [json!("pending"), json!("timeout"), Value::Null]);
    let first = began.elapsed();
    assert!((4.0..8.0).contains(&first.as_secs_f64()), "{first:?}");
    for n in 1..20 {
        let line = posted(&bridge, withdrawal(&format!("e{n}"))).await;
        assert_eq!(line, [json!("pending"), Value::Null, json!("cooling_off")], "{n}");
    }
    let others = began.elapsed() - first;
    assert!(others < Duration::from_secs(5), "the other 19 took {others:?}");
    assert_eq!(calls_to(&bridge, "withdrawal"), 1);
    println!("the first event took {first:?}, the other 19 {others:?}");

    // Nothing is written of an event that was not tried: its lease runs out.
    let item = check_state(&bridge, "rail#e1", "pending", 1);
    assert_eq!(
        (&item["history"], item["deliveries"]["withdrawal-completed"].get("code")),
        (&json!([]), None),
        "{item}"
    );
    // Another workflow is none of that one's business.
    assert_eq!(posted(&bridge, deposit("e20")).await[0], "delivered");

    bridge.stack.returning_ai.clear_faults();
    assert_eq!(bridge.make_due().await, 20);
    check_counts(&bridge.redrive(json!({})).await, &[("found", 20), ("delivered", 20)]);
    assert_eq!(bridge.stack.returning_ai.messages("withdrawal").len(), 20);
}

#[tokio::test]
async fn of_an_event_s_routes_one_cools_off_while_the_others_are_delivered() {
    let bridge = Bridge::with(one_process).await;
    bridge.stack.returning_ai.inject(webhook("first-deposit"), Fault::Hang, When::UntilCleared);
    let customer = |id: &str| deposit(id).replace("C-1001", &format!("C-{id}"));
    posted(&bridge, customer("e1")).await;
    let item = check_state(&bridge, "rail#e1", "pending", 1);
    assert_eq!(item["deliveries"]["first-deposit"]["code"], "timeout", "{item}");
    assert_eq!(item["deliveries"]["deposit-posted"]["state"], "delivered", "{item}");

    posted(&bridge, customer("e2")).await;
    let item = check_state(&bridge, "rail#e2", "pending", 1);
    assert_eq!(item["deliveries"]["first-deposit"]["code"], "cooling_off", "{item}");
    // It is due when that ends, and was not tried.
    let due_in_s = item["deliveries"]["first-deposit"]["next_attempt_at"].as_u64().unwrap() - now_s();
    assert!((20..=32).contains(&due_in_s), "{item}");
    assert_eq!(item["deliveries"]["first-deposit"].get("attempts").unwrap_or(&json!(0)), &json!(0), "{item}");
    assert_eq!(item["deliveries"]["deposit-posted"]["state"], "delivered", "{item}");
    assert_eq!((calls_to(&bridge, "first-deposit"), calls_to(&bridge, "deposit")), (1, 2));

    bridge.stack.returning_ai.clear_faults();
    bridge.make_due().await;
    check_counts(&bridge.redrive(json!({})).await, &[("found", 2), ("delivered", 2)]);
}

#[tokio::test]
async fn while_rail_s_api_hangs_it_cools_off_and_what_needs_no_look_up_is_delivered() {
    let bridge = Bridge::with(one_process).await;
    bridge.stack.rail_api.inject(Some(rail_api::At::Account), rail_api::Fault::Hang, When::UntilCleared);
    let hanging = posted(&bridge, deposit_to("CUSTOMER_USD_001", "e1")).await;
    assert_eq!(hanging, [json!("pending"), json!("provider_api_timeout"), Value::Null]);
    let cooling = posted(&bridge, deposit_to("CUSTOMER_EUR_002", "e2")).await;
    assert_eq!(cooling, [json!("pending"), Value::Null, json!("cooling_off")]);
    assert_eq!(bridge.stack.rail_api.count(rail_api::At::Account), 1);
    // The same workflows, which are not to blame.
    assert_eq!(posted(&bridge, deposit("e3")).await[0], "delivered");

    // In redrive, too: more failures of the API than a workflow may have, and the workflow gets its message.
    for n in 4..10 {
        posted(&bridge, deposit_to("CUSTOMER_EUR_002", &format!("e{n}"))).await;
    }
    bridge.stack.rail_api.clear_faults();
    bridge.stack.rail_api.inject(Some(rail_api::At::Account), rail_api::Fault::Status(500), When::UntilCleared);
    bridge.make_due().await;
    bridge.redrive(json!({})).await;
    bridge.stack.rail_api.clear_faults();
    bridge.make_due().await;
    check_counts(&bridge.redrive(json!({})).await, &[("found", 8), ("delivered", 8)]);
}

#[tokio::test]
async fn a_workflow_is_not_to_blame_for_the_time_that_rail_s_api_has_taken() {
    let bridge = Bridge::with(one_process).await;
    let slow = rail_api::Fault::Slow(Duration::from_secs(3));
    bridge.stack.rail_api.inject(Some(rail_api::At::Account), slow, When::Next(1));
    bridge.stack.returning_ai.inject(webhook("deposit"), Fault::Hang, When::Next(1));
    bridge.stack.returning_ai.inject(webhook("first-deposit"), Fault::Hang, When::Next(1));
    let line = posted(&bridge, deposit_to("CUSTOMER_USD_001", "e1")).await;
    assert_eq!(line, [json!("pending"), json!("no_time"), Value::Null]);
    // It does not cool off.
    assert_eq!(posted(&bridge, deposit("e2")).await[0], "delivered");
    let blamed: Vec<_> = bridge.log().into_iter().filter(|line| line.get("DispatchFailed").is_some()).collect();
    assert_eq!(blamed, [Value::Null; 0]);
}
