//! What becomes of an event when Returning.AI answers this or that, or not at all.

use std::ops::RangeInclusive;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt};
use local::faults::When;
use local::gateway::events::{HttpRequest, http_api_event};
use local::returning_ai::{At, Fault, Workflow};
use local::stack::RETURNING_AI_SECRET;
use serde_json::{Value, json};
use shared::record::store::item::body_from_stored;
use tokio::time::{Instant, sleep_until};

use crate::bridge::fixture::*;

/// A fault, how often it strikes, and what is to become of the event.
struct Case {
    at: At,
    fault: Fault,
    when: When,
    state: &'static str,
    last_error: Option<&'static str>,
    /// Calls to the webhook, and how many of them Returning.AI took.
    tries: usize,
    accepted: usize,
    handshakes: usize,
    /// Seconds from the end of the attempt to the next.
    wait_s: RangeInclusive<u64>,
}

const WORKFLOW: &str = "withdrawal";
/// The plan's first wait with any jitter, rounded up to a whole second.
const FIRST_WAIT_S: RangeInclusive<u64> = 0..=61;
/// What is asked for, and up to two seconds of rounding.
const TEN_MINUTES_S: RangeInclusive<u64> = 600..=602;
const TWELVE_HOURS_S: RangeInclusive<u64> = 43_200..=43_202;

fn webhook() -> At {
    At::Webhook(WORKFLOW.to_owned())
}

fn handshake() -> At {
    At::Handshake(WORKFLOW.to_owned())
}

fn retry_after(status: u16, after: &str) -> Fault {
    Fault::RetryAfter { status, after: after.to_owned() }
}

/// The message arrives in the end.
fn delivered(fault: Fault, times: u32, tries: usize, accepted: usize, handshakes: usize) -> Case {
    let (when, wait_s) = (When::Next(times), FIRST_WAIT_S);
    Case { at: webhook(), fault, when, state: "delivered", last_error: None, tries, accepted, handshakes, wait_s }
}

/// It does not while the fault lasts, and is tried again later.
fn pending(fault: Fault, last_error: &'static str, tries: usize) -> Case {
    let accepted = if matches!(fault, Fault::GarbageBody | Fault::SlowBody(_)) { tries } else { 0 };
    Case {
        at: webhook(),
        fault,
        when: When::UntilCleared,
        state: "pending",
        last_error: Some(last_error),
        tries,
        accepted,
        handshakes: 1,
        wait_s: FIRST_WAIT_S,
    }
}

/// The handshake does not succeed while the fault lasts.
fn no_session(fault: Fault, last_error: &'static str, handshakes: usize) -> Case {
    Case { at: handshake(), handshakes, tries: 0, accepted: 0, ..pending(fault, last_error, 0) }
}

/// It never will.
fn dead(status: u16, last_error: &'static str) -> Case {
    Case { state: "dead", ..pending(Fault::Status(status), last_error, 1) }
}

fn cases() -> Vec<Case> {
    let minute = Duration::from_secs(60);
    vec![
        // First those that take seconds by nature.
        pending(Fault::Hang, "timeout", 1),
        pending(Fault::SlowBody(minute), "timeout", 1),
        no_session(Fault::Hang, "timeout", 1),
        no_session(Fault::SlowBody(minute), "timeout", 1),
        delivered(Fault::SlowBody(Duration::from_secs(2)), 1, 1, 1, 1),
        pending(Fault::Status(500), "server_error 500", 3),
        pending(Fault::Status(503), "server_error 503", 3),
        delivered(Fault::Status(500), 1, 2, 1, 1),
        delivered(Fault::Status(502), 2, 3, 1, 1),
        Case { wait_s: TEN_MINUTES_S, ..pending(retry_after(429, "600"), "throttled 429", 1) },
        Case { wait_s: TWELVE_HOURS_S, ..pending(retry_after(429, "9999999"), "throttled 429", 1) },
        Case {
            wait_s: TWELVE_HOURS_S,
            ..pending(retry_after(503, "Thu, 31 Dec 2099 23:59:59 GMT"), "server_error 503", 1)
        },
        pending(retry_after(503, "soon"), "server_error 503", 1),
        pending(retry_after(429, "1"), "throttled 429", 1),
        // Without a time, too: it would be turned away once more.
        pending(Fault::Status(429), "throttled 429", 1),
        pending(retry_after(429, "0"), "throttled 429", 1),
        pending(retry_after(429, "soon"), "throttled 429", 1),
        Case { wait_s: TEN_MINUTES_S, ..pending(retry_after(429, "599.5"), "throttled 429", 1) },
        // Each try is two: the token is dropped, and a new one tried once.
        Case { handshakes: 6, ..pending(Fault::Status(401), "unauthorized 401", 6) },
        Case { handshakes: 6, ..pending(Fault::Status(403), "unauthorized 403", 6) },
        delivered(Fault::RevokeTokens, 1, 2, 1, 2),
        delivered(Fault::Reset, 1, 2, 1, 1),
        // Each try is two: a connection that died before a byte of the answer costs nothing.
        pending(Fault::Reset, "connection_lost", 6),
        delivered(Fault::ResetAfterAccept, 1, 2, 2, 1),
        pending(Fault::Garbage, "connection_lost", 3),
        pending(Fault::GarbageBody, "answer_unreadable 200", 3),
        pending(Fault::WrongContentType, "answer_unreadable 200", 3),
        pending(Fault::SuccessFalse, "reported_failure 200", 3),
        pending(Fault::Status(404), "not_found 404", 3),
        pending(Fault::Status(410), "not_found 410", 3),
        pending(Fault::Status(302), "unexpected_status 302", 3),
        pending(Fault::Status(418), "unexpected_status 418", 3),
        dead(400, "refused 400"),
        dead(413, "refused 413"),
        dead(422, "refused 422"),
        no_session(Fault::Status(401), "handshake_refused 401", 3),
        no_session(Fault::Status(400), "handshake_refused 400", 3),
        no_session(Fault::Status(500), "server_error 500", 3),
        no_session(Fault::SuccessFalse, "reported_failure 200", 3),
        no_session(Fault::GarbageBody, "handshake_unreadable 200", 3),
        no_session(Fault::WrongContentType, "answer_unreadable 200", 3),
        no_session(Fault::Reset, "connection_lost", 6),
        Case { wait_s: TEN_MINUTES_S, ..no_session(retry_after(429, "600"), "throttled 429", 1) },
    ]
}

#[tokio::test]
async fn every_fault_of_returning_ai_has_its_outcome() {
    stream::iter(cases()).for_each_concurrent(10, check).await;
}

async fn check(case: Case) {
    let name = format!("{:?} at {:?} {:?}", case.fault, case.at, case.when);
    // The attempt ends 4 s before the function's time does.
    let bridge = Bridge::with(|options| options.timeout = Duration::from_secs(9)).await;
    let returning_ai = &bridge.stack.returning_ai;
    returning_ai.inject(Some(case.at.clone()), case.fault.clone(), case.when);
    assert_eq!(bridge.post(RAIL, withdrawal("e1")).await.told(), ACCEPTED, "{name}");
    bridge.settled().await;

    let item = bridge.item("rail#e1");
    assert_eq!(item["state"], case.state, "{name}: {item}");
    assert_eq!(item.get("last_error").and_then(Value::as_str), case.last_error, "{name}");
    assert_eq!(item["attempts"], 1, "{name}");
    let delivery = &item["deliveries"]["withdrawal-completed"];
    assert_eq!(delivery["state"], case.state, "{name}");
    assert_eq!(delivery.get("code").and_then(Value::as_str), case.last_error, "{name}");
    let attempt = &item["history"][0];
    let code = case.last_error.map_or("delivered", |error| error.split(' ').next().unwrap());
    assert_eq!((&attempt["by"], &attempt["outcome"]), (&json!("first"), &json!(code)), "{name}");
    let ended_at = (attempt["at"].as_u64().unwrap() + attempt["ms"].as_u64().unwrap()) / 1000;
    match case.state {
        "pending" => {
            let wait_s = item["next_attempt_at"].as_u64().unwrap().saturating_sub(ended_at);
            assert!(case.wait_s.contains(&wait_s), "{name}: {wait_s} s");
            assert!(item["due"].as_str().unwrap().starts_with('p'), "{name}");
        }
        "dead" => {
            assert!(item["due"].as_str().unwrap().starts_with('d'), "{name}");
            assert_eq!(item.get("expires_at"), None, "{name}");
        }
        _ => {
            assert_eq!((item.get("due"), item.get("next_attempt_at")), (None, None), "{name}");
            assert!(item["delivered_at"].as_u64().unwrap() / 1000 >= ended_at, "{name}");
        }
    }

    let tries = returning_ai.attempts();
    assert_eq!((tries.len(), bridge.messages().len()), (case.tries, case.accepted), "{name}");
    assert_eq!(returning_ai.handshakes(WORKFLOW), case.handshakes, "{name}");
    assert_eq!(returning_ai.violations(), [], "{name}");
    assert!(tries.iter().all(|message| message.body["idempotencyKey"] == "rail:e1/withdrawal-completed"), "{name}");
    assert!(tries.windows(2).all(|pair| pair[0].raw == pair[1].raw), "{name}");

    let line = bridge.last_line().await;
    assert_eq!((&line["state"], line["error"].as_str()), (&json!(case.state), case.last_error), "{name}");
    let level = if case.last_error.is_some() { "WARN" } else { "INFO" };
    assert_eq!(line["level"], level, "{name}");
    assert_eq!(bridge.function(RAIL).pids().len(), 1, "{name}: nothing took too long");
}

#[tokio::test]
async fn a_workflow_that_hangs_is_tried_once_and_for_five_seconds() {
    let bridge = Bridge::start().await;
    bridge.stack.returning_ai.inject(Some(webhook()), Fault::Hang, When::UntilCleared);
    bridge.post(RAIL, withdrawal("e1")).await;
    let began = Instant::now();
    bridge.settled().await;
    println!("given up after {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(8));
    assert_eq!(bridge.stack.returning_ai.attempts().len(), 1);
    assert_eq!(bridge.item("rail#e1")["last_error"], "timeout");
    assert_eq!(bridge.function(RAIL).pids().len(), 1);
}

#[tokio::test]
async fn a_workflow_in_legacy_mode_takes_the_api_key_on_the_main_call() {
    for header in ["authorization", "x-api-key"] {
        let bridge = Bridge::start().await;
        let returning_ai = &bridge.stack.returning_ai;
        returning_ai.set_workflow(Workflow::legacy(WORKFLOW));
        let mut secret = returning_ai.secret();
        secret["workflows"][WORKFLOW]["api_key_header"] = json!(header);
        bridge.stack.secrets_manager.put(RETURNING_AI_SECRET, &secret).unwrap();
        bridge.post(RAIL, withdrawal("e1")).await;
        bridge.settled().await;
        assert_eq!(bridge.messages().len(), 1, "{header}");
        assert_eq!(returning_ai.attempts()[0].token, None, "{header}");
        assert_eq!(returning_ai.handshakes(WORKFLOW), 0, "{header}");
        assert_eq!(returning_ai.violations(), [], "{header}");
    }
}

#[tokio::test]
async fn a_workflow_s_session_token_is_never_sent_to_another() {
    let bridge = Bridge::start().await;
    bridge.post(RAIL, withdrawal("e1")).await;
    let other = r#"{"event_id":"e2","event_type":"ACCOUNT_OPEN","event_data":{"customer_id":"C-1"}}"#;
    bridge.post(RAIL, other).await;
    bridge.settled().await;
    assert_eq!(bridge.messages().len(), 2);
    assert_eq!(bridge.stack.returning_ai.violations(), []);
}

#[tokio::test]
async fn workflows_that_cannot_be_read_keep_the_event_and_tell_which_field_is_wrong() {
    let mut cases = vec![
        (None, "ResourceNotFoundException"),
        (Some(json!("not JSON")), "the secret: a JSON object expected"),
        (Some(json!({ "workflows": [] })), "workflows: an object of name and workflow expected"),
    ];
    let good =
        json!({ "webhook_url": "https://x.example/w", "handshake_url": "https://x.example/h", "api_key": "k-4711" });
    let changes = [
        ("webhook_url", json!(null), "workflows.withdrawal.webhook_url: an https URL"),
        ("webhook_url", json!("http://x.example/k-4711"), "workflows.withdrawal.webhook_url: an https URL"),
        ("handshake_url", json!("k-4711"), "workflows.withdrawal.handshake_url: an https URL"),
        ("api_key", json!(""), "workflows.withdrawal.api_key: a non-empty string"),
        ("api_key", json!("k-4711\n"), "workflows.withdrawal.api_key: a non-empty string"),
        ("api_key_header", json!("k-4711"), "workflows.withdrawal.api_key_header: \"authorization\""),
        ("mode", json!("k-4711"), "workflows.withdrawal.mode: \"session\""),
    ];
    for (field, value, told) in changes {
        let mut workflow = good.clone();
        workflow[field] = value;
        cases.push((Some(json!({ "workflows": { "withdrawal": workflow } })), told));
    }
    join_all(cases.into_iter().map(|(secret, told)| async move {
        let bridge = Bridge::start().await;
        bridge.stack.secrets_manager.remove(RETURNING_AI_SECRET).unwrap();
        if let Some(secret) = &secret {
            bridge.stack.secrets_manager.put(RETURNING_AI_SECRET, secret).unwrap();
        }
        assert_eq!(bridge.post(RAIL, withdrawal("e1")).await.told(), ACCEPTED, "{told}");
        bridge.settled().await;
        let item = bridge.item("rail#e1");
        assert_eq!((&item["state"], &item["last_error"]), (&json!("pending"), &json!("workflows_unavailable")));
        let lines = bridge.stack.log().lines();
        assert!(lines.iter().any(|line| line.replace("\\\"", "\"").contains(told)), "{told}: {lines:?}");
        assert!(!bridge.stack.log().contains("k-4711"), "{lines:?}");

        bridge.stack.secrets_manager.put(RETURNING_AI_SECRET, &bridge.stack.returning_ai.secret()).unwrap();
        bridge.post(RAIL, withdrawal("e2")).await;
        bridge.settled().await;
        assert_eq!(bridge.item("rail#e2")["state"], "delivered", "{told}");
    }))
    .await;
}

#[tokio::test]
async fn a_workflow_that_is_not_in_the_secret_or_not_there_keeps_the_event() {
    let nobody = "http://127.0.0.1:9/";
    let absent = json!({ "workflows": {} });
    let not_there = json!({ "workflows": { "withdrawal": {
        "webhook_url": nobody, "handshake_url": nobody, "api_key": "sample",
    } } });
    for (secret, error) in [(absent, "workflow_unknown"), (not_there, "connection_failed")] {
        let bridge = Bridge::start().await;
        bridge.stack.secrets_manager.put(RETURNING_AI_SECRET, &secret).unwrap();
        assert_eq!(bridge.post(RAIL, withdrawal("e1")).await.told(), ACCEPTED);
        bridge.settled().await;
        let item = bridge.item("rail#e1");
        assert_eq!((&item["state"], &item["last_error"]), (&json!("pending"), &json!(error)));
    }
}

#[tokio::test]
async fn an_api_key_that_was_changed_is_read_again_when_the_handshake_is_refused() {
    let bridge = Bridge::start().await;
    let returning_ai = &bridge.stack.returning_ai;
    bridge.post(RAIL, withdrawal("e1")).await;
    bridge.settled().await;
    let read_at = Instant::now();
    returning_ai.set_workflow(Workflow { api_key: "a new key".to_owned(), ..Workflow::session(WORKFLOW) });
    returning_ai.revoke_tokens(WORKFLOW);
    bridge.stack.secrets_manager.put(RETURNING_AI_SECRET, &returning_ai.secret()).unwrap();
    // Secrets are read at most once in ten seconds.
    sleep_until(read_at + Duration::from_secs(10)).await;
    bridge.post(RAIL, withdrawal("e2")).await;
    bridge.settled().await;
    assert_eq!(bridge.item("rail#e2")["state"], "delivered");
    assert_eq!(bridge.function(RAIL).cold_starts().len(), 1);
}

#[tokio::test]
async fn one_route_s_failure_does_not_touch_the_others_messages() {
    for (fault, state, tries) in [(Fault::Status(422), "dead", 1), (Fault::Status(500), "pending", 3)] {
        let bridge = Bridge::with(|options| options.workflows = vec!["money".to_owned(), "vip".to_owned()]).await;
        let function = many_routes(&bridge);
        bridge.stack.returning_ai.inject(Some(At::Webhook("vip".to_owned())), fault, When::UntilCleared);
        let delivery = Delivery::signed(RAIL, deposit("e1"));
        let event = http_api_event(&HttpRequest::post("/webhooks/rail", delivery.headers, delivery.body));
        within(function.invoke(event.to_string().into())).await.unwrap();
        within(function.idle()).await;

        let item = bridge.item("rail#e1");
        let of = |route: &str| item["deliveries"][route]["state"].clone();
        assert_eq!(item["state"], state);
        assert_eq!(
            [of("deposits"), of("large-deposits"), of("vip")],
            [json!("delivered"), json!("delivered"), json!(state)]
        );
        let attempts = bridge.stack.returning_ai.attempts();
        let to = |workflow: &str| attempts.iter().filter(|message| message.workflow == workflow).count();
        assert_eq!((to("money"), to("vip")), (2, tries), "what is delivered is not sent again");
    }
}

#[tokio::test]
async fn a_pause_that_one_destination_asks_for_takes_no_quick_try_from_the_others() {
    let bridge = Bridge::with(|options| options.workflows = vec!["money".to_owned(), "vip".to_owned()]).await;
    let function = many_routes(&bridge);
    let at = |workflow: &str| Some(At::Webhook(workflow.to_owned()));
    bridge.stack.returning_ai.inject(at("vip"), retry_after(503, "600"), When::UntilCleared);
    bridge.stack.returning_ai.inject(at("money"), Fault::Status(500), When::Next(2));
    let delivery = Delivery::signed(RAIL, deposit("e1"));
    let event = http_api_event(&HttpRequest::post("/webhooks/rail", delivery.headers, delivery.body));
    within(function.invoke(event.to_string().into())).await.unwrap();
    within(function.idle()).await;

    let item = bridge.item("rail#e1");
    let states = ["deposits", "large-deposits", "vip"].map(|route| item["deliveries"][route]["state"].clone());
    assert_eq!(states, [json!("delivered"), json!("delivered"), json!("pending")]);
    let attempts = bridge.stack.returning_ai.attempts();
    let to = |workflow: &str| attempts.iter().filter(|message| message.workflow == workflow).count();
    assert_eq!((to("money"), to("vip")), (4, 1));
}

#[tokio::test]
async fn an_event_that_lacks_what_its_route_needs_is_told_by_pointer_and_never_sent() {
    let bridge = Bridge::start().await;
    let without_amount = deposit("e1").replace(r#""amount":1000.00,"#, "");
    let without_customer = r#"{"event_id":"e2","event_type":"ACCOUNT_OPEN","event_data":{"customer_id":null}}"#;
    assert_eq!(bridge.post(RAIL, without_amount).await.told(), ACCEPTED);
    assert_eq!(bridge.post(RAIL, without_customer).await.told(), ACCEPTED);
    bridge.settled().await;
    let of = |pk: &str| (bridge.item(pk)["state"].clone(), bridge.item(pk)["last_error"].clone());
    assert_eq!(of("rail#e1"), (json!("dead"), json!("mapping_failed /event_data/amount")));
    assert_eq!(of("rail#e2"), (json!("pending"), json!("customer_unknown")));
    assert!(bridge.stack.returning_ai.attempts().is_empty());
}

#[tokio::test]
async fn the_stored_body_holds_nothing_of_a_customer_s_form_or_document() {
    let bridge = Bridge::start().await;
    let form = r#"{"name":"Ada-4711","nested":[{"document":"X-4711"}]}"#;
    let of_type = |id: &str, event_type: &str, filler: &str| {
        format!(
            r#"{{"data":{{"filler":"{filler}","identity":{form},"metadata":{{"customerId":"C-1"}},"onboarding":{form},"user_id":"u1"}},"id":"{id}","timestamp":1738784271042,"type":"{event_type}"}}"#
        )
    };
    // One short body and one that is deflated, of a type that is ignored and of one that is delivered.
    for (id, event_type, filler) in [
        ("e1", "ONBOARDING_FORM_INDIVIDUAL_COMPLETED", String::new()),
        ("e2", "VERIFICATION_IDENTITY_UPDATED", "filler ".repeat(500)),
    ] {
        let body = of_type(id, event_type, &filler);
        assert_eq!(bridge.post(RILLIS, body.clone()).await.status, 200);
        bridge.settled().await;
        let item = bridge.item(&format!("rillis#{id}"));
        let stored = STANDARD.decode(item["body"].as_str().unwrap()).unwrap();
        let encoding = item["body_encoding"].as_str().unwrap();
        assert_eq!(encoding, if filler.is_empty() { "identity" } else { "deflate" });
        let stored = body_from_stored(&stored, encoding).unwrap();
        let mut expected: Value = serde_json::from_str(&body).unwrap();
        expected["data"]
            .as_object_mut()
            .unwrap()
            .retain(|name, _| !["identity", "onboarding"].contains(&name.as_str()));
        assert_eq!(serde_json::from_str::<Value>(&stored).unwrap(), expected);
        assert!(!stored.contains("4711"), "{stored}");
        assert!(!item.to_string().contains("4711"));
    }
    assert_eq!(bridge.messages().len(), 1);
    assert!(!bridge.messages()[0].to_string().contains("4711"));
}

#[tokio::test]
async fn an_item_holds_what_the_design_says() {
    let bridge = Bridge::start().await;
    let before_ms = now_ms();
    bridge.post(RAIL, withdrawal("e1")).await;
    bridge.settled().await;
    let item = bridge.item("rail#e1");
    let at = |name: &str| item[name].as_u64().unwrap();
    assert_eq!((&item["provider"], &item["event_type"]), (&json!("rail"), &json!("WITHDRAWAL_COMPLETED")));
    assert_eq!(at("occurred_at"), 1_700_490_738_123);
    assert!((before_ms..=now_ms()).contains(&at("received_at")));
    assert!((before_ms..=now_ms()).contains(&at("delivered_at")));
    assert_eq!(at("expires_at"), at("received_at") / 1000 + 90 * 24 * 60 * 60);
    assert_eq!(item["body_sha256"].as_str().unwrap().len(), 64);
    let stored = STANDARD.decode(item["body"].as_str().unwrap()).unwrap();
    assert_eq!(stored, withdrawal("e1").as_bytes());
    assert_eq!(item["history"].as_array().unwrap().len(), 1);
    assert_eq!(item["history"][0]["http_status"], 200);
}

fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}
