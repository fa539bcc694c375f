//! A pause that cannot be read is not a pause that is not there: nothing is sent until it is known.

use local::aws::AwsFault;
use local::dynamodb::EVENTS_TABLE;
use local::faults::When;
use local::stack::FUNCTIONS;
use serde_json::json;

use crate::bridge::fixture::*;
use crate::bridge::redrive::{check_counts, check_state, now_ms, pause};

/// The next invocation of each function is a cold start.
async fn restart(bridge: &Bridge) {
    bridge.settled().await;
    for function in FUNCTIONS.map(|name| bridge.function(name)) {
        for pid in function.pids() {
            function.kill(pid);
        }
    }
}

/// What each run of redrive counted of destinations whose pauses cannot be read, once `runs` have written it.
async fn unreadable_in_redrive(bridge: &Bridge, runs: usize) -> Vec<Option<u64>> {
    let of_run = |line: &&String| line.contains(r#""FunctionName":"redrive""#);
    let written = bridge.stack.log().wait_until(|lines| lines.iter().filter(of_run).count() >= runs, BOUND).await;
    written.unwrap();
    let runs = bridge.log().into_iter().filter(|line| line["FunctionName"] == "redrive");
    runs.map(|line| line["PausesUnreadable"].as_u64()).collect()
}

#[tokio::test]
async fn a_paused_workflow_gets_nothing_from_functions_that_cannot_read_that_it_is_paused() {
    for fault in [
        AwsFault::InternalError,
        AwsFault::Throttle,
        AwsFault::Exception { status: 400, name: "AccessDeniedException" },
        AwsFault::Refuse,
        AwsFault::Hang,
    ] {
        let case = format!("{fault:?}");
        let bridge = Bridge::start().await;
        let paused_at = now_ms();
        pause(&bridge, "withdrawal", paused_at, None);
        bridge.stack.dynamodb.inject(Some("BatchGetItem"), fault, When::UntilCleared);
        assert_eq!(bridge.post(RAIL, withdrawal("e1")).await.told(), ACCEPTED, "{case}");
        bridge.settled().await;
        let line = bridge.last_line().await;
        assert_eq!((&line["state"], &line["settled"]), (&json!("pending"), &json!("pauses_unreadable")), "{case}");
        let lines = bridge.lines_with(r#""PausesUnreadable":"#).await;
        let counted: Vec<_> = lines.iter().filter_map(|line| line["PausesUnreadable"].as_u64()).collect();
        assert_eq!(counted, [1], "{case}");

        bridge.make_due().await;
        let before = check_state(&bridge, "rail#e1", "pending", 1);
        check_counts(&bridge.redrive(json!({})).await, &[("found", 1), ("held_back", 1)]);
        check_counts(&bridge.redrive(json!({ "keys": ["rail#e1"] })).await, &[("found", 1), ("held_back", 1)]);
        let all = providers::routes().destinations().len() as u64;
        assert_eq!(unreadable_in_redrive(&bridge, 2).await, [Some(all), Some(all)], "{case}");
        assert_eq!(bridge.item("rail#e1"), before, "{case}");
        assert!(bridge.stack.returning_ai.attempts().is_empty(), "{case}");

        // Readable, and the next run asks at once: it is paused, and then it is not.
        bridge.stack.dynamodb.clear_faults();
        check_counts(&bridge.redrive(json!({})).await, &[("found", 1), ("held_back", 1)]);
        assert_eq!(unreadable_in_redrive(&bridge, 3).await, [Some(all), Some(all), None], "{case}");
        bridge.settled().await;
        pause(&bridge, "withdrawal", paused_at, Some(now_ms()));
        check_counts(&bridge.redrive(json!({})).await, &[("found", 1), ("delivered", 1)]);
        check_state(&bridge, "rail#e1", "delivered", 2);
    }
}

#[tokio::test]
async fn a_malformed_pause_holds_its_own_workflow_alone_until_an_operator_overwrites_it() {
    let bridge = Bridge::start().await;
    let malformed = json!({ "pk": { "S": "workflow#withdrawal" }, "pauses": { "S": "a text" } });
    bridge.stack.dynamodb.put_raw(EVENTS_TABLE, &malformed).unwrap();
    restart(&bridge).await;
    assert_eq!(bridge.post(RAIL, withdrawal("e1")).await.told(), ACCEPTED);
    bridge.settled().await;
    assert_eq!(bridge.last_line().await["settled"], "pauses_unreadable");
    assert_eq!(bridge.post(RAIL, deposit("e2")).await.told(), ACCEPTED);
    bridge.settled().await;
    check_state(&bridge, "rail#e2", "delivered", 1);
    bridge.make_due().await;
    check_counts(&bridge.redrive(json!({})).await, &[("found", 1), ("held_back", 1)]);
    assert_eq!(unreadable_in_redrive(&bridge, 1).await, [Some(1)]);
    check_state(&bridge, "rail#e1", "pending", 1);
    assert!(bridge.stack.returning_ai.messages("withdrawal").is_empty());

    let (_, store) = bridge.tables();
    let workflow = route::destination::Destination::Workflow("withdrawal".to_owned());
    let now = shared::clock::Clock::system().now();
    operator::pauses::resume(&store, &workflow, now).await.unwrap();
    check_counts(&bridge.redrive(json!({})).await, &[("found", 1), ("delivered", 1)]);
    check_state(&bridge, "rail#e1", "delivered", 2);
}
