//! What the functions write: one JSON line per delivery, and never a secret or a person.

use std::time::Duration;

use local::aws::AwsFault;
use local::faults::When;
use local::gateway::events::{HttpRequest, http_api_event};
use local::lambda_host::{FunctionSpec, LambdaHost};
use local::returning_ai::{At, Fault, Workflow};
use local::stack::{RETURNING_AI_SECRET, signing_secret};
use serde_json::{Value, json};

use crate::bridge::fixture::*;

/// In every value that must not be in any line.
const MARK: &str = "4711MARK";

#[tokio::test]
async fn each_delivery_has_one_line_that_is_readable_alone() {
    let bridge = Bridge::with(one_process).await;
    let wrong = Delivery::signed_by(RAIL, "another key", withdrawal("e1"));
    let answers = [
        bridge.post(RAIL, withdrawal("e1")).await,
        bridge.post(RAIL, withdrawal("e1")).await,
        bridge.post(RAIL, r#"{"event_id":"e2","event_type":"ACCOUNT_DORMANT"}"#).await,
        bridge.send(&wrong).await,
        bridge.send(&wrong.clone().without(header("x-rail-signature"))).await,
        bridge.post(RAIL, "[]").await,
        bridge.post(RAIL, vec![b' '; 256 * 1024 + 1]).await,
    ];
    bridge.settled().await;
    let lines = bridge.delivery_lines().await;
    assert_eq!(lines.len(), answers.len());
    let told: Vec<_> = lines.iter().map(|line| (&line["outcome"], &line["refusal"], &line["level"])).collect();
    let expected = [
        ("accepted", None, "INFO"),
        ("duplicate", None, "INFO"),
        ("ignored", None, "INFO"),
        ("unauthorized", Some("signature_mismatch"), "WARN"),
        ("unauthorized", Some("header_missing"), "WARN"),
        ("bad_request", Some("body_not_an_object"), "WARN"),
        ("too_large", None, "WARN"),
    ]
    .map(|(outcome, refusal, level)| (json!(outcome), json!(refusal), json!(level)));
    assert_eq!(told, expected.iter().map(|(outcome, refusal, level)| (outcome, refusal, level)).collect::<Vec<_>>());
    for line in &lines {
        assert_eq!(line["provider"], "rail");
        assert!((0.0..4000.0).contains(&line["latency_ms"].as_f64().unwrap()), "{line}");
        assert_eq!(line["requestId"].as_str().unwrap().len(), 36);
        assert!(line["timestamp"].as_str().is_some() && line["message"].as_str().is_some());
    }
    let first = &lines[0];
    assert_eq!(first["event.id"], "e1");
    assert_eq!(first["event.type"], "WITHDRAWAL_COMPLETED");
    assert_eq!((&first["signed_form"], &first["state"]), (&json!("raw"), &json!("delivered")));
}

#[tokio::test]
async fn the_line_of_a_delivery_that_was_not_recorded_has_no_state() {
    let bridge = Bridge::start().await;
    let denied = AwsFault::Exception { status: 400, name: "AccessDeniedException" };
    bridge.stack.dynamodb.inject(Some("PutItem"), denied, When::UntilCleared);
    assert_eq!(bridge.post(RAIL, withdrawal("e1")).await.told(), UNAVAILABLE);
    let line = bridge.last_line().await;
    assert_eq!((&line["event.id"], &line["level"], line.get("state")), (&json!("e1"), &json!("ERROR"), None), "{line}");
}

#[tokio::test]
async fn no_line_holds_a_secret_or_a_person_at_the_level_it_is_deployed_with() {
    drive_every_path("info").await;
}

/// An operator may turn it up to look for a fault, and what the libraries say is then written, too.
#[tokio::test]
async fn no_line_holds_a_secret_or_a_person_at_the_most_talkative_level() {
    drive_every_path("trace").await;
}

async fn drive_every_path(level: &str) {
    let level = ("LOG_LEVEL".to_owned(), level.to_owned());
    let aws_key = ("AWS_SECRET_ACCESS_KEY".to_owned(), format!("aws-{MARK}"));
    let aws_token = ("AWS_SESSION_TOKEN".to_owned(), format!("aws-token-{MARK}"));
    let bridge = Bridge::with(|options| {
        options.extra_env.extend([level, aws_key, aws_token]);
        options.max_processes = 1;
        options.timeout = Duration::from_secs(5);
    })
    .await;
    let (secrets, returning_ai, dynamodb) =
        (&bridge.stack.secrets_manager, &bridge.stack.returning_ai, &bridge.stack.dynamodb);
    let key_of = |provider: &str| format!("{provider}-key-{MARK}");
    let mut signatures = Vec::new();
    let mut signed = |provider, body: &str| {
        let delivery = Delivery::signed_by(provider, &key_of(provider), body.to_owned())
            .and(header("authorization"), &format!("header-{MARK}"))
            .and(header("cookie"), &format!("cookie={MARK}"))
            .and(header("user-agent"), &format!("agent-{MARK}"));
        signatures.push(delivery.signature().to_owned());
        delivery
    };
    for workflow in RECEIVERS.map(workflow_of_wanted) {
        let api_key = format!("rai-{MARK}");
        returning_ai.set_workflow(Workflow { api_key, ..Workflow::session(workflow) });
    }

    // Secrets that cannot be used: absent, malformed, hanging.
    for malformed in [json!(format!("{MARK} not JSON")), json!({ "keys": { "sub": { "key": MARK } } })] {
        secrets.remove(&signing_secret(RAIL)).unwrap();
        secrets.put(&signing_secret(RAIL), &malformed).unwrap();
        assert_eq!(bridge.send(&signed(RAIL, &rail_body("e0"))).await.told(), UNAVAILABLE);
    }
    secrets.inject(None, AwsFault::Hang, When::UntilCleared);
    assert_eq!(bridge.send(&signed(RAIL, &rail_body("e0"))).await.told(), UNAVAILABLE);
    secrets.clear_faults();
    for provider in RECEIVERS {
        secrets.remove(&signing_secret(provider)).unwrap();
        secrets.put(&signing_secret(provider), &json!({ "keys": { "current": key_of(provider) } })).unwrap();
    }
    let bad_url = format!("http://{MARK}.example/{MARK}");
    let workflow = json!({ "webhook_url": bad_url, "handshake_url": bad_url, "api_key": MARK, "mode": MARK });
    secrets.put(RETURNING_AI_SECRET, &json!({ "workflows": { "withdrawal": workflow } })).unwrap();
    assert_eq!(bridge.send(&signed(RAIL, &rail_body("workflows unreadable"))).await.told(), ACCEPTED);
    secrets.put(RETURNING_AI_SECRET, &returning_ai.secret()).unwrap();

    // Good ones, and those that are refused.
    for provider in RECEIVERS {
        let body = match provider {
            RAIL => rail_body("good"),
            RILLIS => rillis_body("good"),
            other => format!(r#"{{"{MARK}":"{MARK}-1",{}"#, &wanted(other, "good")[1..]),
        };
        let good = signed(provider, &body);
        assert_eq!(bridge.send(&good).await.told(), ACCEPTED);
        assert_eq!(bridge.send(&good).await.told(), DUPLICATE);
        let (signature, time) = signed_parts(provider);
        for refused in [
            good.clone().without(signature),
            good.clone().with(signature, MARK),
            good.clone().with(time, MARK),
            good.clone().with(time, "1"),
            good.clone().and(signature, MARK),
            Delivery { body: format!("{{\"{MARK}\":1}}").into(), ..good.clone() },
        ] {
            assert_eq!(bridge.send(&refused).await.told(), UNAUTHORIZED);
        }
        assert_eq!(bridge.send(&signed(provider, &format!("[\"{MARK}\"]"))).await.told(), BAD_REQUEST);
        assert_eq!(bridge.send(&signed(provider, &format!("{MARK} {{"))).await.told(), BAD_REQUEST);
        let padding = " ".repeat(256 * 1024);
        assert_eq!(bridge.send(&signed(provider, &format!("{MARK}{padding}"))).await.told(), TOO_LARGE);
        assert_eq!(bridge.send(&signed(provider, &format!("{{\"{MARK}\":\"{MARK}\"}}"))).await.told(), ACCEPTED);
        let request = HttpRequest::post(&format!("/{MARK}"), good.headers.clone(), good.body.clone());
        assert_eq!(bridge.invoke(provider, &http_api_event(&request)).await.0, 404);
        let request = HttpRequest { method: MARK.to_owned(), ..request };
        let request = HttpRequest { path: format!("/webhooks/{provider}"), ..request };
        assert_eq!(bridge.invoke(provider, &http_api_event(&request)).await.0, 405);
        // The same id with another body, a field that is missing, a customer that is missing.
        assert_eq!(bridge.send(&signed(provider, &body.replace("MARK-1", "MARK-2"))).await.told(), DUPLICATE);
    }
    for lacking in ["amount", "customer_id"] {
        let body = rail_body(&format!("without {lacking}")).replace(&format!("\"{lacking}\""), "\"other\"");
        assert_eq!(bridge.send(&signed(RAIL, &body)).await.told(), ACCEPTED);
    }

    // The table.
    for fault in [AwsFault::Hang, AwsFault::Refuse, AwsFault::Throttle, AwsFault::InternalError] {
        dynamodb.inject(Some("PutItem"), fault, When::UntilCleared);
        assert_eq!(bridge.send(&signed(RAIL, &rail_body("not recorded"))).await.told(), UNAVAILABLE);
        dynamodb.clear_faults();
    }
    dynamodb.inject(Some("UpdateItem"), AwsFault::InternalError, When::UntilCleared);
    assert_eq!(bridge.send(&signed(RAIL, &rail_body("not settled"))).await.told(), ACCEPTED);
    bridge.settled().await;
    dynamodb.clear_faults();

    // Returning.AI.
    for (n, fault) in [
        Fault::Status(400),
        Fault::Status(401),
        Fault::Status(500),
        Fault::RevokeTokens,
        Fault::Hang,
        Fault::Reset,
        Fault::Garbage,
        Fault::GarbageBody,
        Fault::SuccessFalse,
        Fault::WrongContentType,
    ]
    .into_iter()
    .enumerate()
    {
        for at in [At::Webhook("withdrawal".to_owned()), At::Handshake("withdrawal".to_owned())] {
            let body = rail_body(&format!("fault {n} at {at:?}").replace('"', "'"));
            if matches!(at, At::Handshake(_)) {
                returning_ai.revoke_tokens("withdrawal");
            }
            returning_ai.inject(Some(at), fault.clone(), When::UntilCleared);
            assert_eq!(bridge.send(&signed(RAIL, &body)).await.told(), ACCEPTED);
            bridge.settled().await;
            returning_ai.clear_faults();
        }
    }
    // A function without its settings, whose environment holds secrets.
    let spec = bridge.stack.function_spec(RAIL);
    let env = spec.env.iter().filter(|(name, _)| name != "TABLE_NAME").cloned();
    let broken = FunctionSpec { env: env.chain([("MAX_BODY_BYTES".to_owned(), MARK.to_owned())]).collect(), ..spec };
    let broken = LambdaHost::start(broken).unwrap();
    assert!(within(broken.invoke("{}".into())).await.is_err());
    bridge.stack.log().wait_for("the function cannot run", BOUND).await.unwrap();

    bridge.settled().await;
    let deliveries = bridge.delivery_lines().await;
    assert!(deliveries.len() > 50, "{}", deliveries.len());
    for line in &deliveries {
        assert!(line["provider"].is_string() && line["latency_ms"].is_number(), "{line}");
    }
    let tokens: Vec<String> = returning_ai.attempts().into_iter().filter_map(|message| message.token).collect();
    assert!(tokens.len() > 5);
    let secret: Vec<&str> = [MARK].into_iter().chain(signatures.iter().map(String::as_str)).collect();
    let lines = bridge.stack.log().lines();
    let telling: Vec<_> = lines
        .iter()
        .filter(|line| {
            secret.iter().any(|secret| line.contains(secret)) || tokens.iter().any(|token| line.contains(token))
        })
        .collect();
    println!("{} lines", lines.len());
    assert!(telling.is_empty(), "{} lines, the first: {}", telling.len(), telling[0]);
    // Every line is JSON.
    let _: Vec<Value> = bridge.log();
}

fn rail_body(event_id: &str) -> String {
    withdrawal(event_id)
        .replace("C-1001", &format!("customer {MARK}-1"))
        .replace("ACCOUNT_1", &format!("account {MARK}"))
        .replace("txn_1", MARK)
        .replace("1000.00", "1234.56")
}

fn rillis_body(event_id: &str) -> String {
    let person = format!(r#"{{"name":"{MARK}","document":"{MARK}","deep":[{{"email":"{MARK}@example.com"}}]}}"#);
    format!(
        r#"{{"data":{{"identity":{person},"metadata":{{"customerId":"customer {MARK}-1"}},"onboarding":{person},"url":"https://{MARK}.example","user_id":"{MARK}"}},"id":"{event_id}","timestamp":1738784271042,"type":"FLOW_COMPLETED"}}"#
    )
}
