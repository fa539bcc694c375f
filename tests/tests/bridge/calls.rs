//! What an event costs in calls to other systems.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use local::aws::AwsFault;
use local::faults::When;
use local::returning_ai::{ReturningAi, TokenUse, Workflow};
use local::secrets_manager::SecretsManager;
use local::stack::RETURNING_AI_SECRET;
use route::destination::Destination;
use shared::clock::Clock;
use shared::config::Config;
use shared::outside::http::{CallTime, Http};
use shared::outside::secrets::CachedSecret;

use crate::bridge::fixture::*;

const NONE: [&str; 0] = [];

#[tokio::test]
async fn a_first_delivery_costs_one_write_before_the_answer_and_one_after_delivering() {
    for provider in RECEIVERS {
        let bridge = Bridge::start().await;
        let dynamodb = &bridge.stack.dynamodb;
        bridge.function(provider).set_kill_after_ack(true);
        bridge.post(provider, wanted(provider, "only answered")).await;
        bridge.settled().await;
        assert_eq!(dynamodb.calls(), ["BatchGetItem", "PutItem"], "the switches are read while the function starts");

        bridge.function(provider).set_kill_after_ack(false);
        dynamodb.reset_calls();
        bridge.post(provider, wanted(provider, "answered and delivered")).await;
        bridge.settled().await;
        assert_eq!(dynamodb.calls(), ["BatchGetItem", "PutItem", "UpdateItem"]);
    }
}

#[tokio::test]
async fn a_start_makes_two_calls_to_aws_and_the_first_answer_does_not_wait_for_returning_ai_s_secret() {
    for provider in RECEIVERS {
        let bridge = Bridge::with(one_process).await;
        let (secrets, dynamodb) = (&bridge.stack.secrets_manager, &bridge.stack.dynamodb);
        // Refused by its headers, so that the calls are those of the start.
        let refused = Delivery::signed_at(provider, 1, wanted(provider, "refused"));
        assert_eq!(bridge.send(&refused).await.told(), UNAUTHORIZED);
        bridge.settled().await;
        assert_eq!(secrets.calls(), ["GetSecretValue"], "of the signing keys");
        assert_eq!(dynamodb.calls(), ["BatchGetItem"], "of the pauses");

        secrets.inject(None, AwsFault::Hang, When::UntilCleared);
        assert_eq!(bridge.post(provider, wanted(provider, "e1")).await.told(), ACCEPTED);
        secrets.wait_for_calls(|calls| calls.len() == 2, BOUND).await.unwrap();
        secrets.clear_faults();
        bridge.settled().await;
        assert_eq!(bridge.item(&format!("{provider}#e1"))["state"], "delivered");
        assert_eq!(bridge.function(provider).pids().len(), 1);
    }
}

#[tokio::test]
async fn a_duplicate_costs_one_call_and_so_does_what_is_ignored_or_dead() {
    let bridge = Bridge::start().await;
    let dynamodb = &bridge.stack.dynamodb;
    bridge.post(RAIL, withdrawal("e1")).await;
    bridge.settled().await;
    let unwanted = r#"{"event_id":"e2","event_type":"ACCOUNT_DORMANT"}"#.to_owned();
    for body in [withdrawal("e1"), unwanted, r#"{"event_id":"e3"}"#.to_owned()] {
        dynamodb.reset_calls();
        bridge.post(RAIL, body).await;
        bridge.settled().await;
        assert_eq!(dynamodb.calls(), ["PutItem"]);
    }
}

#[tokio::test]
async fn what_is_not_delivered_needs_no_secret_of_returning_ai_s() {
    let bridge = Bridge::with(one_process).await;
    let unwanted = r#"{"event_id":"e1","event_type":"ACCOUNT_DORMANT"}"#;
    assert_eq!(bridge.post(RAIL, unwanted).await.told(), IGNORED);
    bridge.settled().await;
    assert_eq!(bridge.stack.secrets_manager.calls(), ["GetSecretValue"], "of the signing keys");
}

#[tokio::test]
async fn a_refused_delivery_costs_no_call() {
    let bridge = Bridge::with(one_process).await;
    let refused = [
        Delivery::signed(RAIL, withdrawal("e1")).without(header("x-rail-signature")),
        Delivery::signed_at(RAIL, 1, withdrawal("e1")),
        Delivery::signed_by(RAIL, "another key", withdrawal("e1")),
        Delivery::signed(RAIL, "[]"),
    ];
    bridge.post(RAIL, withdrawal("warm")).await;
    // The first one that no current key fits reads the previous version of the keys.
    bridge.send(&Delivery::signed_by(RAIL, "another key", withdrawal("e1"))).await;
    bridge.settled().await;
    bridge.stack.dynamodb.reset_calls();
    bridge.stack.secrets_manager.reset_calls();
    bridge.stack.returning_ai.reset_records();
    for delivery in &refused {
        assert!((400..500).contains(&bridge.send(delivery).await.status));
    }
    bridge.request("GET", "/webhooks/rail").await;
    bridge.settled().await;
    assert_eq!(bridge.stack.dynamodb.calls(), NONE);
    assert_eq!(bridge.stack.secrets_manager.calls(), NONE);
    assert_eq!(bridge.stack.returning_ai.handshakes("withdrawal"), 0);
}

#[tokio::test]
async fn a_warm_delivery_reads_no_secret_and_makes_no_handshake() {
    let bridge = Bridge::start().await;
    for provider in RECEIVERS {
        bridge.post(provider, wanted(provider, "cold")).await;
    }
    bridge.settled().await;
    // Each function: the signing keys and the workflows as they are now.
    assert_eq!(bridge.stack.secrets_manager.count("GetSecretValue"), 2 * RECEIVERS.len());
    let handshakes = || RECEIVERS.map(|provider| bridge.stack.returning_ai.handshakes(workflow_of_wanted(provider)));
    assert_eq!(handshakes(), [1; RECEIVERS.len()]);

    bridge.stack.secrets_manager.reset_calls();
    bridge.stack.returning_ai.reset_records();
    for n in 0..5 {
        for provider in RECEIVERS {
            assert_eq!(bridge.post(provider, wanted(provider, &format!("warm {n}"))).await.told(), ACCEPTED);
            bridge.settled().await;
        }
    }
    assert_eq!(bridge.messages().len(), 5 * RECEIVERS.len());
    assert_eq!(bridge.stack.secrets_manager.calls(), NONE);
    assert_eq!(handshakes(), [0; RECEIVERS.len()]);
}

#[tokio::test]
async fn a_token_that_serves_once_or_is_expired_costs_one_handshake_per_delivery() {
    for workflow in [
        Workflow { expires_in_s: 30, ..Workflow::session("withdrawal") },
        Workflow { token_use: TokenUse::Once, ..Workflow::session("withdrawal") },
    ] {
        let bridge = Bridge::start().await;
        bridge.stack.returning_ai.set_workflow(workflow.clone());
        for n in 0..4 {
            bridge.post(RAIL, withdrawal(&format!("e{n}"))).await;
            bridge.settled().await;
        }
        assert_eq!(bridge.messages().len(), 4);
        assert_eq!(bridge.stack.returning_ai.handshakes("withdrawal"), 4, "{workflow:?}");
    }
}

/// In this process, because on Lambda a process has one delivery at a time.
#[tokio::test]
async fn several_deliveries_that_wait_for_a_session_make_one_handshake() {
    let secrets = SecretsManager::start(None).unwrap();
    let returning_ai = ReturningAi::start(vec![Workflow::session("kyc")], Vec::new()).unwrap();
    secrets.put(RETURNING_AI_SECRET, &returning_ai.secret()).unwrap();
    let config = Config::from_lookup(|name| match name {
        "AWS_ENDPOINT_URL_SECRETS_MANAGER" => Some(secrets.url()),
        "DUE_PARTS" | "LOG_LEVEL" | "MAX_BODY_BYTES" => None,
        _ => Some("sample".to_owned()),
    });
    let http = Http::new().unwrap();
    let client = shared::outside::aws::secrets_manager(&config.unwrap().aws, &http);
    let webhooks = CachedSecret::new(
        client,
        RETURNING_AI_SECRET.to_owned(),
        Clock::system(),
        shared::deliver::webhooks::Webhooks::parse,
    );
    let client = Arc::new(shared::deliver::returning_ai::ReturningAi::new(http, webhooks, Clock::system()));
    let time = CallTime::of_a_person();
    let message = Bytes::from_static(b"{}");

    let kyc = Destination::Workflow("kyc".to_owned());
    let deliver_eight = || join_all((0..8).map(|_| client.deliver(&kyc, &message, time)));
    assert_eq!(within(deliver_eight()).await, vec![Ok(200); 8]);
    assert_eq!(returning_ai.handshakes("kyc"), 1);

    // Returning.AI forgets the token: all eight are refused, and one of them fetches the next token for all.
    returning_ai.revoke_tokens("kyc");
    assert_eq!(within(deliver_eight()).await, vec![Ok(200); 8]);
    assert_eq!(returning_ai.handshakes("kyc"), 2);
    assert_eq!(secrets.count("GetSecretValue"), 1);
}
