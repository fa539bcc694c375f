//! The verb against the bridge itself: real functions, tables, secrets and workflows, each broken in turn.

use std::time::Duration;

use local::aws::AwsFault;
use local::binaries::{Profile, build_functions};
use local::dynamodb::{EVENTS_TABLE, events_table_definition};
use local::faults::When;
use local::returning_ai::{At, Fault};
use local::stack::{RECEIVERS, RETURNING_AI_SECRET, Stack, StackOptions, signing_secret};
use operator::Place;
use operator::dev_file::DevFile;
use operator::network::http;
use page::dev::dev_file;
use route::routes::Routes;
use serde_json::{Value, json};
use shared::clock::UnixMillis;

use super::*;
use crate::routes::file::RoutesFile;

/// A bridge that is up, and this checkout's routes.
struct World {
    stack: Stack,
    routes: Routes,
}

async fn world() -> World {
    let routes = RoutesFile::default().read().unwrap();
    let functions = tokio::task::spawn_blocking(|| build_functions(Profile::Debug)).await.unwrap().unwrap();
    let workflows = routes.workflows();
    let stack = Stack::start(StackOptions { workflows, ..StackOptions::new(functions) }).await.unwrap();
    World { stack, routes }
}

impl World {
    async fn lines_of(&self, dev: &DevFile, clock: Clock) -> Vec<Line> {
        let lines = examine(&Place::local(dev, http().unwrap()), &self.routes, clock).await;
        let mut printed = Lines::default();
        write(&mut printed, &lines, false).unwrap();
        write(&mut printed, &lines, true).unwrap();
        let printed = printed.0;
        let verdict = verdict(&lines).err().map_or_else(String::new, |failure| failure.to_string());
        for secret in ["MARKED", "sample_key", "_do_not_use", "st_"] {
            assert!(!printed.contains(secret) && !verdict.contains(secret), "{printed}{verdict}");
        }
        lines
    }

    /// What is not ok, without what to do.
    async fn wrong(&self) -> Vec<String> {
        not_ok(&self.lines_of(&dev_file(&self.stack), Clock::system()).await)
    }

    fn put(&self, name: &str, value: &Value) {
        self.stack.secrets_manager.put(name, value).unwrap();
    }

    /// Returning.AI's secret with a change, and the same as it was.
    fn returning_ai(&self, change: impl FnOnce(&mut Value)) {
        let mut secret = self.stack.returning_ai.secret();
        change(&mut secret);
        self.put(RETURNING_AI_SECRET, &secret);
    }

    fn put_event(&self, id: &str, due: &str, age_s: u64, redriven_s_ago: Option<u64>) {
        let now = Clock::system().now();
        let ago = |s: u64| json!({ "N": (now.0 - s * 1000).to_string() });
        let attempt = |s: u64| json!({ "M": { "at": ago(s), "by": { "S": "redrive" }, "outcome": { "S": "server_error" }, "ms": { "N": "5" } } });
        let state = if due.starts_with('d') { "dead" } else { "pending" };
        let item = json!({
            "pk": { "S": format!("rail#{id}") }, "provider": { "S": "rail" }, "event_type": { "S": "TRANSACTION_POSTED" },
            "occurred_at": ago(age_s), "received_at": ago(age_s), "state": { "S": state }, "attempts": { "N": "2" },
            "next_attempt_at": { "N": (now.seconds().0 - age_s).to_string() }, "due": { "S": due },
            "body": { "B": "e30=" }, "body_encoding": { "S": "identity" }, "body_sha256": { "S": "00" },
            "history": { "L": redriven_s_ago.map(attempt).into_iter().collect::<Vec<_>>() },
            "deliveries": { "M": { &self.routes.all()[0].name: { "M": { "state": { "S": state } } } } },
            "waits_for": { "M": { &self.routes.all()[0].name: { "N": (now.seconds().0 - age_s).to_string() } } },
        });
        self.stack.dynamodb.put_raw(EVENTS_TABLE, &item).unwrap();
    }
}

/// The providers in the order in which the doctor looks at them.
fn providers_by_name() -> [&'static str; RECEIVERS.len()] {
    let mut providers = RECEIVERS;
    providers.sort_unstable();
    providers
}

fn not_ok(lines: &[Line]) -> Vec<String> {
    let wrong = lines.iter().filter(|line| line.verdict != Verdict::Ok);
    wrong.map(|line| format!("{} {}: {}", line.verdict.name(), line.check, line.says)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_bridge_is_all_ok_and_nothing_is_sent_to_it() {
    let world = world().await;
    let lines = world.lines_of(&dev_file(&world.stack), Clock::system()).await;
    assert_eq!(not_ok(&lines), [""; 0]);
    let checks: Vec<&str> = lines.iter().map(|line| line.check.as_str()).collect();
    let workflows = world.routes.workflows();
    let handshakes: Vec<String> = workflows.iter().map(|workflow| format!("handshake {workflow}")).collect();
    let webhooks = providers_by_name().map(|provider| format!("webhook {provider}"));
    let keys = providers_by_name().map(|provider| format!("signing keys of {provider}"));
    let expected: Vec<&str> = (webhooks.iter().map(String::as_str))
        .chain(["clock", "events table", "due-index", "time to live", "customers table"])
        .chain(keys.iter().map(String::as_str))
        .chain(["workflows"])
        .chain(handshakes.iter().map(String::as_str))
        .chain(["redrive", "dead events"])
        .collect();
    assert_eq!(checks, expected);
    assert_eq!(verdict(&lines).map_err(|failure| failure.to_string()), Ok(()));

    for workflow in workflows {
        assert_eq!(world.stack.returning_ai.handshakes(&workflow), 1, "{workflow}");
    }
    assert!(world.stack.returning_ai.attempts().is_empty());
    assert!(world.stack.returning_ai.violations().is_empty());
    assert!(world.stack.dynamodb.items().is_empty());
    world.stack.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_secrets_are_found_by_name_and_field_and_never_by_value() {
    let world = world().await;
    let id = RETURNING_AI_SECRET;
    world.returning_ai(|secret| {
        let kyc = secret["workflows"].as_object_mut().unwrap().remove("kyc").unwrap();
        secret["workflows"]["kyc-2"] = kyc;
    });
    let expected = [
        format!("fail workflow kyc: `routes.toml` delivers to it, and {id} does not have it"),
        format!("warn workflow kyc-2: {id} has it, and no route of `routes.toml` delivers to it"),
    ];
    assert_eq!(world.wrong().await, expected);

    world.returning_ai(|secret| {
        secret["workflows"]["kyc"]["api_key"] = json!("MARKED_key_with_a_newline\n");
        secret["workflows"]["deposit"]["webhook_url"] = json!("http://MARKED.example.com/");
        secret["incoming_webhooks"]["vip-chat"] =
            json!({ "url": "https://example.com/", "encryption": { "key": "MARKED" } });
    });
    let expected = [
        format!(
            "fail workflows: {id}: workflows.deposit.webhook_url: not https: keys and customer data would travel unencrypted"
        ),
        format!("fail workflows: {id}: workflows.kyc.api_key: ends in a newline, which counts as part of the key"),
        format!(
            "warn workflows: {id}: incoming_webhooks.vip-chat.encryption.body: absent, and the default layout is a guess: send one message, and look under Histories in Returning.AI"
        ),
        format!("fail workflows: {id}: incoming_webhooks.vip-chat.encryption.mode: \"gcm\" or \"cbc\" expected"),
        format!("fail workflows: {id}: incoming_webhooks.vip-chat.encryption.key: a key of 32 bytes expected"),
        format!("warn incoming webhook vip-chat: {id} has it, and no route of `routes.toml` delivers to it"),
    ];
    assert_eq!(world.wrong().await, expected);
    world.returning_ai(|_| {});

    let [rail, rillis] = ["rail", "rillis"].map(signing_secret);
    world.put(&rail, &json!({ "keys": { "subscription-id": "REPLACE-ME" } }));
    world.put(&rillis, &json!({ "keys": { "current": "\"MARKED_key_in_quotes\"" } }));
    let expected = [
        format!(
            "fail signing keys of rail: {rail}: keys.subscription-id: the real value in place of REPLACE-ME expected"
        ),
        format!("fail signing keys of rillis: {rillis}: keys.current: is in quotes, which count as part of the key"),
    ];
    assert_eq!(world.wrong().await, expected);

    world.stack.secrets_manager.remove(&rail).unwrap();
    world.stack.secrets_manager.remove(&rillis).unwrap();
    let gone =
        |name: &str, id: &str| format!("fail signing keys of {name}: {id} cannot be read: ResourceNotFoundException");
    assert_eq!(world.wrong().await, [gone("rail", &rail), gone("rillis", &rillis)]);
    world.stack.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failing_handshakes_are_told_by_class_and_not_repeated() {
    let world = world().await;
    let cases = [
        (Fault::Status(401), "answered 401: the API key is rejected"),
        (Fault::Status(404), "answered 404: there is no such workflow"),
        (Fault::Status(503), "answered 503: Returning.AI itself fails"),
        (Fault::WrongContentType, "answered 200: the answer has no session token"),
    ];
    for (fault, says) in cases {
        world.stack.returning_ai.inject(Some(At::Handshake("kyc".to_owned())), fault, When::Next(1));
        assert_eq!(world.wrong().await, [format!("fail handshake kyc: {says}")]);
    }
    world.returning_ai(|secret| secret["workflows"]["kyc"]["api_key"] = json!("rai_another_key_than_it_has"));
    assert_eq!(world.wrong().await, ["fail handshake kyc: answered 401: the API key is rejected"]);
    world.returning_ai(|secret| secret["workflows"]["kyc"]["handshake_url"] = json!("http://127.0.0.1:9/"));
    let wrong = world.wrong().await;
    assert!(wrong.len() == 1 && wrong[0].starts_with("fail handshake kyc: no answer: "), "{wrong:?}");
    assert!(world.stack.returning_ai.attempts().is_empty());
    world.stack.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_are_missing_or_made_otherwise_are_found() {
    let world = world().await;
    let mut definition = events_table_definition("without-index");
    definition.as_object_mut().unwrap().remove("GlobalSecondaryIndexes");
    definition["AttributeDefinitions"] = json!([{ "AttributeName": "pk", "AttributeType": "S" }]);
    world.stack.dynamodb.create_table(definition).unwrap();
    let of = async |events: &str, customers: &str| {
        let mut dev = dev_file(&world.stack);
        dev.parts.events_table = Some(events.to_owned());
        dev.parts.customers_table = Some(customers.to_owned());
        not_ok(&world.lines_of(&dev, Clock::system()).await)
    };
    let wrong = of("without-index", "customers").await;
    assert_eq!(wrong[0], "fail due-index: without-index has no index `due-index`");
    let wrong = of("absent", "absent").await;
    assert_eq!(wrong[0], "fail events table: absent cannot be read: ResourceNotFoundException");
    assert_eq!(wrong[1], "fail customers table: absent cannot be read: ResourceNotFoundException");
    let wrong = of("customers", "events").await;
    assert_eq!(wrong[0], "fail events table: the keys of customers are ref HASH; pk HASH expected");
    assert!(
        wrong.contains(&"fail customers table: the keys of events are pk HASH; ref HASH expected".to_owned()),
        "{wrong:?}"
    );

    let denied = AwsFault::Exception { status: 400, name: "AccessDeniedException" };
    world.stack.dynamodb.inject(Some("DescribeTimeToLive"), denied.clone(), When::UntilCleared);
    world.stack.dynamodb.inject(Some("Query"), denied, When::UntilCleared);
    let expected = [
        "warn time to live: it cannot be read: AccessDeniedException",
        "fail redrive: the waiting events cannot be read: AccessDeniedException",
    ];
    assert_eq!(world.wrong().await, expected);
    world.stack.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_nobody_takes_and_dead_ones_are_found_and_paused_ones_are_not_overdue() {
    let world = world().await;
    world.put_event("evt_young", "p0", 60, None);
    assert_eq!(world.wrong().await, [""; 0]);

    world.put_event("evt_1", "p3", 7_200, None);
    world.put_event("evt_2", "d0", 90, None);
    let wrong = world.wrong().await;
    assert_eq!(
        wrong,
        ["fail redrive: 1 event overdue, by up to 2 h: it does not run", "warn dead events: 1 needs a person"]
    );

    world.put_event("evt_2", "d0", 90, Some(30));
    let wrong = world.wrong().await;
    let expected = "warn redrive: 1 event overdue, by up to 2 h, though it runs; its last attempt was ";
    assert!(wrong[0].starts_with(expected), "{wrong:?}");

    let workflow = world.routes.all()[0].destination.clone();
    let store = Place::local(&dev_file(&world.stack), http().unwrap()).events().unwrap();
    let pauses = shared::record::pauses::pause(&[], Clock::system().now());
    store.write_pauses(&workflow, None, &pauses).await.unwrap();
    let wrong = world.wrong().await;
    let expected = [
        format!("warn workflow {workflow}: it is paused: its events wait"),
        "warn dead events: 1 needs a person".to_owned(),
    ];
    assert_eq!(wrong, expected);

    let malformed = json!({ "pk": { "S": format!("workflow#{workflow}") }, "pauses": { "S": "on" } });
    world.stack.dynamodb.put_raw(EVENTS_TABLE, &malformed).unwrap();
    let wrong = world.wrong().await;
    assert!(
        wrong[0].starts_with(&format!("fail workflow {workflow}: the item with its pauses cannot be read")),
        "{wrong:?}"
    );
    assert_eq!(wrong[1], expected[1], "{wrong:?}");
    assert!(operator::pauses::resume(&store, &workflow, Clock::system().now()).await.unwrap().contains("overwritten"));
    assert!(world.wrong().await[0].starts_with("warn redrive: 1 event overdue"));
    world.stack.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_off_and_functions_that_do_not_answer_are_found() {
    let world = world().await;
    let dev = dev_file(&world.stack);
    let fast = Clock::from_fn(|| Clock::system().now().plus(Duration::from_secs(75)));
    let wrong = not_ok(&world.lines_of(&dev, fast).await);
    assert!(wrong.len() == 1 && wrong[0].starts_with("fail clock: this machine's clock is 7"), "{wrong:?}");
    let [first, ..] = providers_by_name();
    let expected = format!(" s ahead of that of webhook {first}; 60 s are allowed");
    assert!(wrong[0].ends_with(&expected), "{wrong:?}");
    let slow = Clock::from_fn(|| UnixMillis(Clock::system().now().0 - 75_000));
    let wrong = not_ok(&world.lines_of(&dev, slow).await);
    assert!(wrong.len() == 1 && wrong[0].contains(&format!(" s behind that of webhook {first}")), "{wrong:?}");

    let mut dev = dev;
    for url in dev.parts.webhooks.values_mut() {
        *url = url.replace(&dev.gateway_url, "http://127.0.0.1:9");
    }
    let wrong = not_ok(&world.lines_of(&dev, Clock::system()).await);
    assert_eq!(wrong.len(), RECEIVERS.len(), "{wrong:?}");
    for (line, provider) in wrong.iter().zip(providers_by_name()) {
        let expected = format!("fail webhook {provider}: http://127.0.0.1:9/webhooks/{provider} does not answer: ");
        assert!(line.starts_with(&expected), "{wrong:?}");
    }
    world.stack.shutdown().await;
}
