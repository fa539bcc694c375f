//! Whom a message is about, and of whom only the first counts: customers, Rail's API and `once_per`, over the real functions.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use local::aws::AwsFault;
use local::faults::When;
use local::rail_api::{At, Fault, Rule};
use local::returning_ai::At::Webhook;
use local::returning_ai::{self, IncomingWebhook, Message};
use local::stack::RETURNING_AI_SECRET;
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::customer::reference::{Customer, CustomerRef};

use crate::bridge::fixture::*;

/// A deposit that names its account and no customer.
pub(crate) fn deposit_to(account: &str, event_id: &str) -> String {
    deposit(event_id)
        .replace(r#""account_id":"ACCOUNT_1","customer_id":"C-1001""#, &format!(r#""account_id":"{account}""#))
}

fn deposit_of(customer: &str, event_id: &str) -> String {
    deposit(event_id).replace("C-1001", customer)
}

/// State of the event, and of its deliveries as first and as every deposit.
#[track_caller]
fn states(bridge: &Bridge, event_id: &str) -> [String; 3] {
    let item = bridge.item(&format!("rail#{event_id}"));
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{item}")).to_owned();
    let of = |route: &str| text(&item["deliveries"][route]["state"]);
    [text(&item["state"]), of("first-deposit"), of("deposit-posted")]
}

/// The idempotency keys of the messages of a workflow, each once.
fn keys(bridge: &Bridge, workflow: &str) -> BTreeSet<String> {
    let messages = bridge.stack.returning_ai.messages(workflow);
    messages.iter().map(|message| message.body["idempotencyKey"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_kyc_event_that_overtakes_the_registration_is_delivered_once_the_link_is_there() {
    let bridge = Bridge::start().await;
    let event = flow_completed("e1").replace(r#""metadata":{"customerId":"C-1001"},"#, "");
    assert_eq!(bridge.post(RILLIS, event).await.told(), ACCEPTED);
    bridge.settled().await;
    let item = bridge.item("rillis#e1");
    assert_eq!((&item["state"], &item["last_error"]), (&json!("pending"), &json!("customer_unknown")));

    bridge.make_due().await;
    assert_eq!(bridge.redrive(json!({})).await["retried"], 1);
    let waits_until = bridge.item("rillis#e1")["next_attempt_at"].as_u64().unwrap();
    assert!(waits_until <= now_s() + 15 * 60 + 1, "it is looked for soon");

    bridge.link("rillis-user:u1", "C-7001").await;
    bridge.make_due().await;
    assert_eq!(bridge.redrive(json!({})).await["delivered"], 1);
    let [message] = &bridge.messages()[..] else { panic!("one message") };
    assert_eq!(message["customerId"], "C-7001");
    assert_eq!(message["occurredAt"], "2025-02-05T19:37:51.042Z");
    assert_eq!(message["idempotencyKey"], "rillis:e1/kyc-approved");
}

#[tokio::test]
async fn of_64_concurrent_deposits_of_one_customer_exactly_one_is_the_first() {
    let bridge = Bridge::start().await;
    let posted = (0..64).map(|n| bridge.post(RAIL, deposit_of("C-64", &format!("e{n}"))));
    let posted: Vec<_> = posted.collect();
    assert!(join_all(posted).await.iter().all(|answer| answer.told() == ACCEPTED));
    bridge.settled().await;
    finish(&bridge).await;

    let first = keys(&bridge, "first-deposit");
    assert_eq!(first.len(), 1, "{first:?}");
    assert_eq!(keys(&bridge, "deposit").len(), 64);
    let skipped =
        (0..64).filter(|n| states(&bridge, &format!("e{n}")) == ["delivered", "skipped", "delivered"]).count();
    let won = (0..64).filter(|n| states(&bridge, &format!("e{n}")) == ["delivered", "delivered", "delivered"]).count();
    assert_eq!((won, skipped), (1, 63));
}

/// Whatever is pending becomes due and is redriven, until nothing is.
async fn finish(bridge: &Bridge) {
    for _ in 0..10 {
        if bridge.make_due().await == 0 {
            return;
        }
        bridge.redrive(json!({})).await;
    }
    panic!("something is pending for ever: {:?}", bridge.stack.dynamodb.items());
}

#[tokio::test]
async fn of_64_deposits_whose_functions_are_killed_exactly_one_is_the_first_and_is_delivered() {
    let bridge = Bridge::start().await;
    let deliveries: Vec<_> = (0..64).map(|n| Delivery::signed(RAIL, deposit_of("C-65", &format!("e{n}")))).collect();
    let function = bridge.function(RAIL);
    let all = join_all(deliveries.iter().map(|delivery| bridge.deliver_to(function, delivery)));
    // The first to die are at work for certain: Returning.AI does not answer them.
    let returning_ai = &bridge.stack.returning_ai;
    returning_ai.inject(Some(Webhook("deposit".to_owned())), returning_ai::Fault::Hang, When::UntilCleared);
    let killing = async {
        for wave in [1, 12, 25] {
            let so_many = |attempts: &[Message]| attempts.len() >= wave;
            returning_ai.wait_for(so_many, BOUND).await.unwrap();
            for pid in function.pids() {
                function.kill(pid);
            }
            returning_ai.clear_faults();
        }
    };
    let (answers, ()) = futures_util::future::join(all, killing).await;
    within(function.idle()).await;
    // Before its answer, or behind it: then a lease is left.
    let unfinished = bridge.stack.dynamodb.items().iter().filter(|item| item["state"] == "pending").count();
    assert!(unfinished > 0 || answers.contains(&None), "nobody was killed at work");
    // Whoever got no answer sends again.
    for (delivery, answer) in deliveries.iter().zip(&answers) {
        if answer.is_none() {
            assert_eq!(bridge.send(delivery).await.status, 200);
        }
    }
    bridge.settled().await;
    finish(&bridge).await;

    assert_eq!(keys(&bridge, "first-deposit").len(), 1);
    assert_eq!(keys(&bridge, "deposit").len(), 64);
    let won = (0..64).filter(|n| states(&bridge, &format!("e{n}"))[1] == "delivered").count();
    let skipped = (0..64).filter(|n| states(&bridge, &format!("e{n}"))[1] == "skipped").count();
    assert_eq!((won, skipped), (1, 63));
    assert!((0..64).all(|n| states(&bridge, &format!("e{n}"))[0] == "delivered"));
}

#[tokio::test]
async fn whoever_has_claimed_the_first_deposit_and_dies_still_delivers_it() {
    let bridge = Bridge::start().await;
    for point in ["claimed", "composed", "workflows_read", "handshaken", "delivered"] {
        let (first, second) = (format!("first-{point}"), format!("second-{point}"));
        let customer = format!("C-{point}");
        let doomed = bridge.another(RAIL, |spec| {
            spec.env.push(("BRIDGE_KILL_AT".to_owned(), point.to_owned()));
            spec.max_processes = 1;
        });
        let delivery = Delivery::signed(RAIL, deposit_of(&customer, &first));
        assert_eq!(bridge.deliver_to(&doomed, &delivery).await, Some((ACCEPTED.0, ACCEPTED.1.to_owned())), "{point}");
        within(doomed.idle()).await;
        assert!(doomed.pids().is_empty(), "{point}: the process lives");
        assert_eq!(states(&bridge, &first), ["pending", "pending", "pending"], "{point}");

        assert_eq!(bridge.post(RAIL, deposit_of(&customer, &second)).await.told(), ACCEPTED);
        bridge.settled().await;
        // Where it died in the deposits' route, the other one may have claimed before it could.
        let claim = bridge.item(&format!("once#first-deposit#{customer}"));
        let winner = claim["owner"].as_str().unwrap().replacen('#', ":", 1);
        finish(&bridge).await;
        let of_customer: Vec<_> =
            keys(&bridge, "first-deposit").into_iter().filter(|key| key.contains(&format!("-{point}/"))).collect();
        assert_eq!(of_customer, [format!("{winner}/first-deposit")], "{point}");
        if point == "claimed" {
            assert_eq!(winner, format!("rail:{first}"));
            assert_eq!(states(&bridge, &second), ["delivered", "skipped", "delivered"]);
        }
    }
}

#[tokio::test]
async fn a_customer_who_deposited_before_the_bridge_was_there_has_had_the_first() {
    let bridge = Bridge::start().await;
    bridge.import_sample_customers().await;
    assert_eq!(bridge.post(RAIL, deposit_of("C-1006", "e1")).await.told(), ACCEPTED);
    bridge.settled().await;
    assert_eq!(states(&bridge, "e1"), ["delivered", "skipped", "delivered"]);
    assert_eq!(keys(&bridge, "first-deposit").len(), 0);
}

#[tokio::test]
async fn amounts_reach_returning_ai_with_the_provider_s_digits() {
    let bridge = Bridge::start().await;
    for (n, digits) in ["1000.00", "0.1", "12345678901234567890.123456789", "1e3"].into_iter().enumerate() {
        let body = deposit(&format!("e{n}")).replace("1000.00", digits);
        assert_eq!(bridge.post(RAIL, body).await.told(), ACCEPTED);
        bridge.settled().await;
        let message = bridge.stack.returning_ai.messages("deposit").pop().unwrap();
        let sent = String::from_utf8(message.raw.to_vec()).unwrap();
        assert!(sent.contains(&format!(r#","amount":{digits},"#)), "{sent}");
    }
}

#[tokio::test]
async fn an_account_s_customer_is_asked_of_rail_once_and_remembered() {
    let bridge = Bridge::start().await;
    for n in 0..3 {
        assert_eq!(bridge.post(RAIL, deposit_to("CUSTOMER_USD_001", &format!("e{n}"))).await.told(), ACCEPTED);
        bridge.settled().await;
    }
    assert!(bridge.messages().iter().all(|message| message["customerId"] == "C-1001"));
    assert_eq!((bridge.stack.rail_api.count(At::Account), bridge.stack.rail_api.count(At::Token)), (1, 1));
    assert_eq!(bridge.stack.rail_api.violations(), []);
    let remembered = bridge.stack.dynamodb.item_of("customers", "ref", "rail-account:CUSTOMER_USD_001").unwrap();
    assert_eq!(remembered["customer_id"], "C-1001");
}

#[tokio::test]
async fn while_rail_s_api_fails_nothing_is_lost_and_no_ack_is_delayed() {
    let at = Some(At::Account);
    for (fault, when, code) in [
        (Fault::Hang, When::UntilCleared, "provider_api_timeout"),
        (Fault::Slow(Duration::from_secs(20)), When::UntilCleared, "provider_api_timeout"),
        (Fault::Reset, When::UntilCleared, "provider_api_unreachable"),
        (Fault::Garbage, When::UntilCleared, "provider_api_unreachable"),
        (Fault::GarbageBody, When::UntilCleared, "provider_api_unreadable 200"),
        (Fault::Status(500), When::UntilCleared, "provider_api_error 500"),
        (Fault::Status(403), When::UntilCleared, "provider_api_forbidden 403"),
        (Fault::Status(401), When::UntilCleared, "provider_api_unauthorized 401"),
        (Fault::Status(404), When::UntilCleared, "customer_unknown"),
        (Fault::RetryAfter { status: 429, after: "120".to_owned() }, When::UntilCleared, "provider_api_throttled 429"),
    ] {
        let bridge = Bridge::start().await;
        // Warm, so that what is compared is not a start.
        bridge.post(RAIL, withdrawal("warm")).await;
        bridge.settled().await;
        bridge.stack.rail_api.inject(at, fault.clone(), when);
        let answer = bridge.post(RAIL, deposit_to("CUSTOMER_USD_001", "e1")).await;
        assert_eq!(answer.told(), ACCEPTED, "{fault:?}");
        // Rail's API is given longer than that, so whoever waited for it would be late.
        assert!(answer.took < ANSWER_BOUND, "{fault:?}: {:?}", answer.took);
        bridge.settled().await;
        let item = bridge.item("rail#e1");
        assert_eq!((&item["state"], &item["last_error"]), (&json!("pending"), &json!(code)), "{fault:?}");
        if code.starts_with("provider_api_throttled") {
            assert!(item["next_attempt_at"].as_u64().unwrap() >= now_s() + 60, "Retry-After is honoured");
        }

        bridge.stack.rail_api.clear_faults();
        finish(&bridge).await;
        assert_eq!(states(&bridge, "e1"), ["delivered", "delivered", "delivered"], "{fault:?}");
        assert_eq!(keys(&bridge, "deposit").len(), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn a_token_that_rail_has_revoked_is_replaced_within_the_attempt() {
    let bridge = Bridge::start().await;
    bridge.post(RAIL, deposit_to("CUSTOMER_USD_001", "e1")).await;
    bridge.settled().await;
    bridge.stack.rail_api.revoke_tokens();
    bridge.post(RAIL, deposit_to("CUSTOMER_EUR_002", "e2")).await;
    bridge.settled().await;
    assert_eq!(states(&bridge, "e2"), ["delivered", "delivered", "delivered"]);
    assert_eq!(bridge.stack.rail_api.count(At::Token), 2);
    assert_eq!(bridge.item("rail#e2")["attempts"], 1);
}

#[tokio::test]
async fn a_client_without_the_scope_is_told_by_its_code_and_loses_nothing() {
    let bridge = Bridge::start().await;
    bridge.stack.rail_api.set_scopes(&["applications:read"]);
    bridge.post(RAIL, deposit_to("CUSTOMER_USD_001", "e1")).await;
    bridge.settled().await;
    let error = bridge.item("rail#e1")["last_error"].as_str().unwrap().to_owned();
    assert!(error.starts_with("provider_api_scope_refused"), "{error}");
    assert!(bridge.stack.rail_api.violations().iter().all(|rule| *rule == Rule::Scope));
    bridge.stack.rail_api.set_scopes(&["accounts:read", "applications:read"]);
    finish(&bridge).await;
    assert_eq!(states(&bridge, "e1"), ["delivered", "delivered", "delivered"]);
}

#[tokio::test]
async fn while_the_customers_table_cannot_be_read_the_event_waits_and_is_sent_to_nobody_else() {
    let bridge = Bridge::start().await;
    bridge.post(RAIL, withdrawal("warm")).await;
    bridge.settled().await;
    bridge.stack.dynamodb.inject(Some("GetItem"), AwsFault::Throttle, When::UntilCleared);
    assert_eq!(bridge.post(RAIL, deposit_to("CUSTOMER_USD_001", "e1")).await.told(), ACCEPTED);
    bridge.settled().await;
    assert_eq!(bridge.item("rail#e1")["last_error"], "customers_unavailable");
    assert_eq!(bridge.stack.rail_api.count(At::Account), 0);
    bridge.stack.dynamodb.clear_faults();
    finish(&bridge).await;
    assert_eq!(states(&bridge, "e1"), ["delivered", "delivered", "delivered"]);
}

#[tokio::test]
async fn two_destinations_of_one_event_each_have_their_own_message() {
    let bridge = Bridge::with(|options| {
        options.workflows = vec!["money".to_owned(), "vip".to_owned()];
        options.incoming_webhooks = vec!["vip".to_owned()];
    })
    .await;
    let known = Customer {
        email: Some("sample@example.com".to_owned()),
        trading_accounts: vec!["5001".to_owned(), "7001".to_owned()],
        ..Customer::new("C-1001", Clock::system().now())
    };
    bridge.tables().0.put(&CustomerRef::of_customer("C-1001").unwrap(), &known).await.unwrap();
    let function = many_routes(&bridge);
    let body = r#"{"event_id":"e1","event_date":"2023-11-20T14:32:18Z","event_type":"VIP","event_data":{"customer_id":"C-1001","account":{"login":7,"mt_password":"x"}}}"#;
    let answer = bridge.deliver_to(&function, &Delivery::signed(RAIL, body)).await;
    assert_eq!(answer, Some((ACCEPTED.0, ACCEPTED.1.to_owned())));
    within(function.idle()).await;

    let messages = bridge.stack.returning_ai.messages("vip");
    let sent: Vec<_> = messages.iter().map(|message| String::from_utf8(message.raw.to_vec()).unwrap()).collect();
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert_eq!(
        sent[0],
        concat!(
            r#"{"eventType":"vip.chat","customerId":"C-1001","occurredAt":"2023-11-20T14:32:18.000Z","#,
            r#""requestId":"rail:e1/vip-chat","source":"rail","sourceEventType":"VIP","#,
            r#""account":{"login":7},"channel":"vip","email":"sample@example.com","logins":["5001","7001"]}"#
        )
    );
    assert_eq!(bridge.item("rail#e1")["state"], "delivered");
    assert_eq!(bridge.stack.returning_ai.handshakes("vip"), 0, "an incoming webhook takes its key at once");
    assert_eq!(bridge.stack.returning_ai.violations(), []);
}

#[tokio::test]
async fn an_encrypted_incoming_webhook_is_sent_the_same_message_again_under_another_iv() {
    for body in [json!(null), json!("1.{iv+ciphertext+tag:hex}")] {
        let bridge = Bridge::with(|options| options.workflows = vec!["money".to_owned(), "vip".to_owned()]).await;
        let returning_ai = &bridge.stack.returning_ai;
        let encryption = json!({ "mode": "gcm", "key": "sample key of 32 bytes: not used", "body": body });
        let encryption = Some(encryption);
        returning_ai.set_incoming_webhook(IncomingWebhook { encryption, ..IncomingWebhook::with_sample_key("vip") });
        bridge.stack.secrets_manager.put(RETURNING_AI_SECRET, &returning_ai.secret()).unwrap();
        let known = Customer {
            email: Some("sample@example.com".to_owned()),
            trading_accounts: vec!["5001".to_owned()],
            ..Customer::new("C-1001", Clock::system().now())
        };
        bridge.tables().0.put(&CustomerRef::of_customer("C-1001").unwrap(), &known).await.unwrap();
        returning_ai.inject(
            Some(returning_ai::At::Incoming("vip".to_owned())),
            returning_ai::Fault::Status(500),
            When::Next(1),
        );
        let function = many_routes(&bridge);
        let body = r#"{"event_id":"e1","event_date":"2023-11-20T14:32:18Z","event_type":"VIP","event_data":{"customer_id":"C-1001","account":{"login":7}}}"#;
        assert!(bridge.deliver_to(&function, &Delivery::signed(RAIL, body)).await.is_some());
        within(function.idle()).await;
        assert_eq!(bridge.item("rail#e1")["state"], "delivered", "{}", bridge.item("rail#e1"));
        let [first, second] = &returning_ai.attempts()[..] else { panic!("two attempts") };
        assert_eq!((&first.raw, first.accepted, second.accepted), (&second.raw, false, true));
        assert_eq!(second.body["channel"], "vip");
        let sealed = |message: &Message| String::from_utf8(message.sealed.clone().unwrap().to_vec()).unwrap();
        assert!(sealed(first) != sealed(second) && !sealed(second).contains("C-1001"));
        assert_eq!(returning_ai.violations(), []);
    }
}

#[tokio::test]
async fn what_is_looked_up_is_asked_once_after_the_ack_kept_with_the_event_and_sent_alike_again() {
    let bridge = Bridge::with(|options| options.workflows = vec!["money".to_owned(), "vip".to_owned()]).await;
    let (api, returning_ai) = (&bridge.stack.rail_api, &bridge.stack.returning_ai);
    api.put_transaction("CUSTOMER_USD_001", "t/1", "salary");
    // Who cannot be asked costs an optional field its value, and no message.
    api.inject(Some(At::Account), Fault::Status(500), When::UntilCleared);
    returning_ai.inject(Some(Webhook("money".to_owned())), returning_ai::Fault::Status(500), When::Next(1));
    let function = many_routes(&bridge);
    let body = r#"{"event_id":"e1","event_date":"2023-11-20T14:32:18Z","event_type":"NOTED","event_data":{"customer_id":"C-1001","account_id":"CUSTOMER_USD_001","transaction_id":"t/1"}}"#;
    let answer = bridge.deliver_to(&function, &Delivery::signed(RAIL, body)).await;
    assert_eq!(answer, Some((ACCEPTED.0, ACCEPTED.1.to_owned())));
    within(function.idle()).await;

    let item = bridge.item("rail#e1");
    assert_eq!(item["state"], "delivered", "{item}");
    let attempts: Vec<Message> = returning_ai.attempts().into_iter().filter(|it| it.workflow == "money").collect();
    assert_eq!(attempts.len(), 2);
    assert_eq!(attempts[0].raw, attempts[1].raw);
    let sent = &attempts[0].body;
    assert_eq!((&sent["note"], &sent["status"], &sent["memo"]), (&json!("salary"), &json!("POSTED"), &Value::Null));
    let [vip] = &returning_ai.messages("vip")[..] else { panic!("one message") };
    assert_eq!((&vip.body["note"], &vip.body["product"]), (&json!("salary"), &Value::Null));
    let kept = json!({
        "noted": { "note": r#""salary""#, "status": r#""POSTED""#, "memo": null },
        "product": { "note": r#""salary""#, "product": null },
    });
    assert_eq!(item["fetched"], kept);
    assert_eq!(
        api.calls().iter().filter(|call| call.at == At::Transaction && call.of == "CUSTOMER_USD_001/t/1").count(),
        1
    );
    assert_eq!(returning_ai.violations(), []);
}
