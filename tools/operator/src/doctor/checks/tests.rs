use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use shared::clock::UnixMillis;

use super::super::facts::{RouteNeeds, Secret};
use super::super::line::Verdict;
use super::*;
use crate::parts::Parts;

const NOW: UnixMillis = UnixMillis(1_738_784_271_042);
const RAIL_KEY: &str = "whsec_9xLw2_kQ7pVd4T1s8mHcRb";
const RILLIS_KEY: &str = "5d41402abc4b2a76b9719d911017c592";
const API_KEY: &str = "rai_live_6f1d9b27c4e84a0f";

/// A stack in AWS with which everything is well.
fn sound() -> Facts {
    let table = |keys: &[&str]| Table {
        status: "ACTIVE".to_owned(),
        keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        ..Table::default()
    };
    let index = Index {
        status: "ACTIVE".to_owned(),
        keys: vec!["due HASH".to_owned(), "next_attempt_at RANGE".to_owned()],
        projects: PROJECTED.map(str::to_owned).into(),
    };
    let events = Table {
        indexes: BTreeMap::from([("due-index".to_owned(), index)]),
        ttl: Some(Ok(Some("expires_at".to_owned()))),
        recovery: Some(Ok(true)),
        ..table(&["pk HASH"])
    };
    let url = |provider: &str| format!("https://hooks.example.com/webhooks/{provider}");
    let webhook = |provider: &str| Webhook { provider: provider.to_owned(), url: url(provider), status: Ok(401) };
    let by_provider =
        |value: &dyn Fn(&str) -> String| providers::ALL.iter().map(|it| (it.name.to_owned(), value(it.name))).collect();
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    Facts {
        scope: Scope {
            stack: Some(StackStatus { name: "bridge".to_owned(), status: "UPDATE_COMPLETE".to_owned() }),
            parts: Parts {
                events_table: Some("bridge-events".to_owned()),
                customers_table: Some("bridge-customers".to_owned()),
                redrive_function: Some("bridge-redrive".to_owned()),
                redrive_schedules: vec!["bridge-redrive".to_owned()],
                webhooks: by_provider(&url),
                signing_secrets: by_provider(&|it| format!("bridge/{it}")),
                returning_ai_secret: Some("bridge/returning-ai".to_owned()),
                api_secrets: BTreeMap::from([("rail".to_owned(), "bridge/rail-api".to_owned())]),
            },
            flags: " --region eu-west-1".to_owned(),
        },
        now: NOW,
        needs: RouteNeeds {
            workflows: set(&["deposits", "kyc"]),
            incoming_webhooks: set(&["vip-chat"]),
            providers: set(&["rail", "rillis"]),
            destinations: BTreeMap::new(),
        },
        webhooks: vec![webhook("rail"), webhook("rillis")],
        events: Some(Ok(events)),
        customers: Some(Ok(table(&["ref HASH"]))),
        signing: BTreeMap::from([
            ("rail".to_owned(), secret("bridge/rail", &json!({ "keys": { "sub_1": RAIL_KEY } }))),
            ("rillis".to_owned(), secret("bridge/rillis", &json!({ "keys": { "current": RILLIS_KEY } }))),
        ]),
        returning_ai: Some(secret("bridge/returning-ai", &workflows())),
        apis: BTreeMap::from([("rail".to_owned(), secret("bridge/rail-api", &rail_api()))]),
        handshakes: BTreeMap::from([("deposits".to_owned(), Handshake::Legacy), ("kyc".to_owned(), Handshake::Opened)]),
        held: BTreeMap::new(),
        clocks: vec![
            ClockOffset { from: "webhook rail".to_owned(), ahead_s: 2 },
            ClockOffset { from: "workflow kyc".to_owned(), ahead_s: -60 },
        ],
        schedules: BTreeMap::from([(
            "bridge-redrive".to_owned(),
            Ok(Schedule {
                enabled: true,
                expression: "rate(1 minute)".to_owned(),
                target: "arn:aws:lambda:eu-west-1:000000000000:function:bridge-redrive".to_owned(),
            }),
        )]),
        queue: Some(Ok(Queue { redrive_seen: Some(UnixMillis(NOW.0 - 40_000)), ..Queue::default() })),
    }
}

fn secret(id: &str, value: &Value) -> Secret {
    Secret { id: id.to_owned(), text: Ok(value.to_string()) }
}

impl Facts {
    fn set_signing(&mut self, provider: &str, text: impl Into<String>) {
        self.signing.get_mut(provider).unwrap().text = Ok(text.into());
    }

    fn set_returning_ai(&mut self, secret: &Value) {
        self.returning_ai.as_mut().unwrap().text = Ok(secret.to_string());
    }

    fn set_rail_api(&mut self, secret: &Value) {
        self.apis.get_mut("rail").unwrap().text = Ok(secret.to_string());
    }

    fn events(&mut self) -> &mut Table {
        self.events.as_mut().unwrap().as_mut().unwrap()
    }
}

fn workflows() -> Value {
    json!({
        "workflows": {
            "kyc": {
                "handshake_url": "https://api.returning.example/kyc/handshake",
                "webhook_url": "https://api.returning.example/kyc",
                "api_key": API_KEY,
            },
            "deposits": {
                "webhook_url": "https://api.returning.example/deposits",
                "api_key": API_KEY,
                "api_key_header": "x-api-key",
                "mode": "legacy",
            },
        },
        "incoming_webhooks": { "vip-chat": { "url": "https://api.returning.example/in", "api_key": null } },
    })
}

fn rail_api() -> Value {
    json!({
        "base_url": "https://sandbox.rail.example/api",
        "token_url": "https://auth.rail.example/token",
        "client_id": "0oa1",
        "client_secret": "k3Jd82_ns72Lq0pZx41v",
    })
}

/// The lines that are not ok once `breaking` has changed something. Returns their hints, which each must have.
#[track_caller]
fn expect(breaking: impl FnOnce(&mut Facts), expected: &[&str]) -> Vec<String> {
    let mut facts = sound();
    breaking(&mut facts);
    let lines = check(&facts);
    let wrong: Vec<&Line> = lines.iter().filter(|line| line.verdict != Verdict::Ok).collect();
    let said: Vec<String> =
        wrong.iter().map(|line| format!("{} {}: {}", line.verdict.name(), line.check, line.says)).collect();
    assert_eq!(said, expected);
    wrong.iter().map(|line| line.hint.clone().filter(|hint| !hint.is_empty()).expect("it says what to do")).collect()
}

/// As [`expect`], for a value of Returning.AI's secret.
#[track_caller]
fn expect_of_workflows(pointer: &str, value: Value, expected: &[&str]) {
    let secret = changed(workflows(), pointer, value);
    expect(|facts| facts.set_returning_ai(&secret), expected);
}

/// As [`expect`], for the one key of Rail's secret.
#[track_caller]
fn expect_of_key(key: &str, expected: &[&str]) {
    let value = json!({ "keys": { "sub_1": key } }).to_string();
    expect(|facts| facts.set_signing("rail", value), expected);
}

#[test]
fn what_subscriptions_leave_beside_rail_s_keys_is_known_there_alone() {
    let secret = json!({
        "keys": { "sub_1": API_KEY },
        "subscriptions": { "sub_1": { "event_type": "ACCOUNT_OPEN", "generation": 1 } },
        "generations": { "ACCOUNT_OPEN": 1 },
    });
    expect(|facts| facts.set_signing("rail", secret.to_string()), &[]);
    expect(
        |facts| facts.set_signing("rillis", secret.to_string()),
        &[
            "warn signing keys of rillis: bridge/rillis: generations: unknown; known are keys",
            "warn signing keys of rillis: bridge/rillis: subscriptions: unknown; known are keys",
        ],
    );
}

fn changed(mut whole: Value, pointer: &str, value: Value) -> Value {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    whole.pointer_mut(parent).and_then(Value::as_object_mut).unwrap().insert(name.to_owned(), value);
    whole
}

#[test]
fn of_a_sound_stack_every_line_is_ok() {
    let lines: Vec<String> = check(&sound()).iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "ok    stack: bridge is UPDATE_COMPLETE",
            "ok    webhook rail: https://hooks.example.com/webhooks/rail refuses a delivery without a signature",
            "ok    webhook rillis: https://hooks.example.com/webhooks/rillis refuses a delivery without a signature",
            "ok    clock: within 60 s of the 2 others",
            "ok    events table: bridge-events is ACTIVE",
            "ok    due-index: active, by due and next_attempt_at",
            "ok    time to live: items expire by expires_at",
            "ok    point-in-time recovery: on",
            "ok    customers table: bridge-customers is ACTIVE",
            "ok    signing keys of rail: 1 key in bridge/rail",
            "ok    signing keys of rillis: 1 key in bridge/rillis",
            "ok    workflows: 2 workflows in bridge/returning-ai",
            "ok    Rail's API: bridge/rail-api is complete",
            "ok    handshake deposits: none in legacy mode",
            "ok    handshake kyc: a session was opened; no message was sent",
            "ok    schedule: bridge-redrive is enabled: rate(1 minute)",
            "ok    redrive: no event is overdue by more than 5 min; its last attempt was 40 s ago",
            "ok    dead events: none",
        ]
    );
}

#[test]
fn every_check_has_its_row_in_the_docs() {
    let docs = std::fs::read_to_string(local::binaries::workspace_root().join("docs/doctor.md")).unwrap();
    let names = ["rail", "rillis", "kyc", "deposits", "vip-chat"];
    let mut facts = sound();
    facts.held.insert(Destination::Workflow("kyc".to_owned()), PauseStatus::Paused { since: NOW });
    facts.needs.incoming_webhooks.clear();
    for line in check(&facts) {
        let check = names.iter().fold(line.check.clone(), |check, name| match check.strip_suffix(name) {
            Some(kind) if kind.starts_with("webhook") || kind.starts_with("signing") => format!("{kind}PROVIDER"),
            Some(kind) => format!("{kind}NAME"),
            None => check,
        });
        assert!(docs.contains(&format!("`{check}`")), "`{check}` is not in docs/doctor.md");
    }
}

#[test]
fn a_line_says_what_to_do_under_what_is_wrong() {
    let mut facts = sound();
    facts.scope.stack.as_mut().unwrap().status = "UPDATE_ROLLBACK_COMPLETE".to_owned();
    let expected = "warn  stack: the last deployment of bridge failed and was rolled back: UPDATE_ROLLBACK_COMPLETE\n      → `aws cloudformation describe-stack-events --stack-name bridge --region eu-west-1` shows the reason";
    assert_eq!(check(&facts)[0].to_string(), expected);
}

#[test]
fn a_stack_that_is_not_deployed_whole_is_found() {
    let status =
        |status: &'static str| move |facts: &mut Facts| facts.scope.stack.as_mut().unwrap().status = status.to_owned();
    expect(status("UPDATE_IN_PROGRESS"), &["warn stack: bridge is UPDATE_IN_PROGRESS"]);
    expect(status("ROLLBACK_COMPLETE"), &["fail stack: bridge is ROLLBACK_COMPLETE"]);
    expect(status("UPDATE_ROLLBACK_FAILED"), &["fail stack: bridge is UPDATE_ROLLBACK_FAILED"]);
    expect(
        |facts| {
            facts.scope.parts.webhooks.remove("rail");
            facts.scope.parts.redrive_schedules.clear();
        },
        &[
            "fail stack: bridge has no output `RailWebhookUrl`",
            "fail stack: bridge has no output `RedriveScheduleNames`",
        ],
    );
}

#[test]
fn a_webhook_that_does_not_refuse_what_is_unsigned_is_found() {
    let answers = |status: Result<u16, String>| move |facts: &mut Facts| facts.webhooks[0].status = status;
    let url = "https://hooks.example.com/webhooks/rail";
    let cases = [
        (Ok(503), "fail", "answers 503: it cannot read its keys or its table"),
        (Ok(429), "warn", "answers 429: too many requests"),
        (Ok(404), "fail", "answers 404: the bridge is not at this address"),
        (Ok(403), "fail", "answers 403: the bridge is not at this address"),
        (Ok(200), "fail", "answers 200 to a delivery without a signature: this is not the bridge"),
        (Ok(500), "fail", "answers 500; 401 expected"),
        (Err("not in time".to_owned()), "fail", "does not answer: not in time"),
    ];
    for (status, verdict, says) in cases {
        expect(answers(status), &[&format!("{verdict} webhook rail: {url} {says}")]);
    }
    expect(
        |facts| facts.webhooks[0].url = "http://hooks.example.com/webhooks/rail".to_owned(),
        &["fail webhook rail: http://hooks.example.com/webhooks/rail is not https"],
    );
}

#[test]
fn a_clock_that_is_off_by_more_than_60_s_is_found_and_whose_it_is() {
    let clocks = |ahead_s: [i64; 2]| {
        move |facts: &mut Facts| facts.clocks.iter_mut().zip(ahead_s).for_each(|(clock, s)| clock.ahead_s = s)
    };
    expect(
        clocks([75, 74]),
        &["fail clock: this machine's clock is 75 s ahead of that of webhook rail; 60 s are allowed"],
    );
    expect(
        clocks([-61, -62]),
        &["fail clock: this machine's clock is 61 s behind that of webhook rail; 60 s are allowed"],
    );
    expect(
        clocks([0, -3_600]),
        &["warn clock: this machine's clock is 3600 s behind that of workflow kyc, and agrees with others"],
    );
    expect(clocks([60, -60]), &[]);
}

#[test]
fn a_table_that_is_missing_or_not_ready_is_found() {
    let events = |reason: &'static str| move |facts: &mut Facts| facts.events = Some(Err(reason.to_owned()));
    expect(
        events("ResourceNotFoundException"),
        &["fail events table: bridge-events cannot be read: ResourceNotFoundException"],
    );
    let hints = expect(
        events("AccessDeniedException"),
        &["fail events table: bridge-events cannot be read: AccessDeniedException"],
    );
    assert_eq!(hints, ["Requires permission `dynamodb:DescribeTable` on table `bridge-events`"]);
    expect(|facts| facts.events().status = "CREATING".to_owned(), &["fail events table: bridge-events is CREATING"]);
    expect(
        |facts| facts.events().keys = vec!["id HASH".to_owned(), "at RANGE".to_owned()],
        &["fail events table: the keys of bridge-events are id HASH, at RANGE; pk HASH expected"],
    );
    expect(
        |facts| facts.customers = Some(Err("ResourceNotFoundException".to_owned())),
        &["fail customers table: bridge-customers cannot be read: ResourceNotFoundException"],
    );
    expect(
        |facts| {
            facts.customers =
                Some(Ok(Table { status: "ACTIVE".to_owned(), keys: vec!["pk HASH".to_owned()], ..Table::default() }));
        },
        &["fail customers table: the keys of bridge-customers are pk HASH; ref HASH expected"],
    );
}

#[test]
fn an_index_that_is_missing_or_has_other_keys_is_found() {
    expect(|facts| facts.events().indexes.clear(), &["fail due-index: bridge-events has no index `due-index`"]);
    let index =
        |change: fn(&mut Index)| move |facts: &mut Facts| change(facts.events().indexes.get_mut("due-index").unwrap());
    expect(
        index(|index| index.keys = vec!["due HASH".to_owned()]),
        &["fail due-index: its keys are due HASH; due HASH, next_attempt_at RANGE expected"],
    );
    expect(
        index(|index| index.projects.clear()),
        &[
            "fail due-index: it does not have received_at, revived_at, waits_for: redrive has to read every event that is held back",
        ],
    );
    expect(index(|index| index.status = "CREATING".to_owned()), &["warn due-index: it is CREATING"]);
}

#[test]
fn time_to_live_and_recovery_that_are_off_are_found() {
    let ttl = |ttl: Result<Option<String>, String>| move |facts: &mut Facts| facts.events().ttl = Some(ttl);
    let hints = expect(
        ttl(Ok(None)),
        &["warn time to live: off: the table grows without limit and keeps personal data longer than 90 days"],
    );
    let command = "`aws dynamodb update-time-to-live --table-name bridge-events --time-to-live-specification Enabled=true,AttributeName=expires_at --region eu-west-1`";
    assert_eq!(hints, [command]);
    expect(ttl(Ok(Some("ttl".to_owned()))), &["warn time to live: items expire by ttl; expires_at expected"]);
    expect(
        ttl(Err("AccessDeniedException".to_owned())),
        &["warn time to live: it cannot be read: AccessDeniedException"],
    );
    let recovery = |on: Result<bool, String>| move |facts: &mut Facts| facts.events().recovery = Some(on);
    expect(recovery(Ok(false)), &["warn point-in-time recovery: off: deleted items cannot be restored"]);
    expect(
        recovery(Err("AccessDeniedException".to_owned())),
        &["warn point-in-time recovery: it cannot be read: AccessDeniedException"],
    );
}

#[test]
fn a_secret_that_cannot_be_read_or_is_no_object_is_found() {
    let text = |text: Result<&'static str, String>| {
        move |facts: &mut Facts| facts.signing.get_mut("rail").unwrap().text = text.map(str::to_owned)
    };
    expect(
        text(Err("AccessDeniedException".to_owned())),
        &["fail signing keys of rail: bridge/rail cannot be read: AccessDeniedException"],
    );
    expect(text(Ok(RAIL_KEY)), &["fail signing keys of rail: bridge/rail: the secret: a JSON object expected"]);
    expect(text(Ok("[]")), &["fail signing keys of rail: bridge/rail: the secret: a JSON object expected"]);
    expect(
        text(Ok("REPLACE-ME")),
        &["fail signing keys of rail: bridge/rail: the secret: the real value in place of REPLACE-ME expected"],
    );
    expect(
        |facts| facts.returning_ai.as_mut().unwrap().text = Err("ResourceNotFoundException".to_owned()),
        &["fail workflows: bridge/returning-ai cannot be read: ResourceNotFoundException"],
    );
    expect(
        |facts| facts.apis.get_mut("rail").unwrap().text = Err("ResourceNotFoundException".to_owned()),
        &["fail Rail's API: bridge/rail-api cannot be read: ResourceNotFoundException"],
    );
}

#[test]
fn a_byte_order_mark_before_a_secret_is_ignored() {
    expect(
        |facts| {
            let of_workflows = facts.returning_ai.as_mut().unwrap();
            for secret in facts.signing.values_mut().chain([of_workflows]).chain(facts.apis.values_mut()) {
                secret.text = secret.text.clone().map(|text| format!("\u{feff}{text}"));
            }
        },
        &[],
    );
    // And what is wrong behind it is found.
    expect(
        |facts| facts.set_signing("rail", "\u{feff}{\"keys\":{\"sub_1\":\"whsec_9xLw2\"}}"),
        &["warn signing keys of rail: bridge/rail: keys.sub_1: has fewer than 16 characters"],
    );
}

#[test]
fn the_template_s_placeholders_are_found() {
    expect_of_key(
        "REPLACE-ME",
        &["fail signing keys of rail: bridge/rail: keys.sub_1: the real value in place of REPLACE-ME expected"],
    );
    expect(
        |facts| {
            facts.set_signing("rail", r#"{"keys":{"subscription-id":"REPLACE-ME"}}"#);
            facts.needs.providers.remove("rail");
        },
        &[
            "warn signing keys of rail: bridge/rail: keys.subscription-id: the real value in place of REPLACE-ME expected",
        ],
    );
    let held = "the real value in place of REPLACE-ME expected";
    let workflow = json!({ "handshake_url": "REPLACE-ME", "webhook_url": "REPLACE-ME", "api_key": "REPLACE-ME" });
    expect_of_workflows(
        "/workflows/kyc",
        workflow,
        &[
            &format!("fail workflows: bridge/returning-ai: workflows.kyc.api_key: {held}"),
            &format!("fail workflows: bridge/returning-ai: workflows.kyc.handshake_url: {held}"),
            &format!("fail workflows: bridge/returning-ai: workflows.kyc.webhook_url: {held}"),
        ],
    );
    let placeholders = json!({ "base_url": "REPLACE-ME", "token_url": "REPLACE-ME", "client_id": "REPLACE-ME", "client_secret": "REPLACE-ME" });
    expect(
        |facts| facts.set_rail_api(&placeholders),
        &["base_url", "token_url", "client_id", "client_secret"]
            .map(|field| format!("fail Rail's API: bridge/rail-api: {field}: {held}"))
            .each_ref()
            .map(String::as_str),
    );
}

#[test]
fn a_key_that_was_not_copied_as_it_is_is_found() {
    let line =
        |verdict: &str, problem: &str| format!("{verdict} signing keys of rail: bridge/rail: keys.sub_1: {problem}");
    let base64 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, RAIL_KEY);
    let cases = [
        (format!("{RAIL_KEY}\n"), "fail", "ends in a newline, which counts as part of the key"),
        (format!("{RAIL_KEY}\r\n"), "fail", "ends in a newline, which counts as part of the key"),
        (format!(" {RAIL_KEY}"), "fail", "starts or ends with white space, which counts as part of the key"),
        (format!("\"{RAIL_KEY}\""), "fail", "is in quotes, which count as part of the key"),
        (format!("'{RAIL_KEY}'"), "fail", "is in quotes, which count as part of the key"),
        (RAIL_KEY.replace("kQ", "k\u{200b}Q"), "fail", "contains invisible characters, which count as part of the key"),
        (
            format!("\u{201c}{RAIL_KEY}\u{201d}"),
            "fail",
            "has typographic quotes around it, which count as part of the key",
        ),
        (format!("<{RAIL_KEY}>"), "fail", "is in brackets, which count as part of the key"),
        (format!("whsec_{}", "*".repeat(16)), "fail", "is masked: a page showed it in place of the key"),
        (
            format!("SIGNING_KEY={RAIL_KEY}"),
            "warn",
            "begins with a name and `=` or `:`, which count as part of the key",
        ),
        (RAIL_KEY.replace("kQ", "k Q"), "warn", "contains white space"),
        ("whsec_9xLw2".to_owned(), "warn", "has fewer than 16 characters"),
        (base64, "warn", "looks like base64 of a key; the key itself is expected"),
        (local::stack::sample_key("rail"), "fail", "is a sample key of this repository, which is public"),
    ];
    for (key, verdict, problem) in cases {
        expect_of_key(&key, &[&line(verdict, problem)]);
    }
    for (key, verdict, problem) in [
        (
            format!("\u{201e}{API_KEY}\u{201c}"),
            "fail",
            "has typographic quotes around it, which count as part of the key",
        ),
        (format!("{API_KEY}\u{feff}"), "fail", "contains invisible characters, which count as part of the key"),
        (format!("[{API_KEY}]"), "fail", "is in brackets, which count as part of the key"),
        ("\u{2022}".repeat(20), "fail", "is masked: a page showed it in place of the key"),
        (format!("Bearer {API_KEY}"), "warn", "begins with a name and `=` or `:`, which count as part of the key"),
    ] {
        let expected = format!("{verdict} workflows: bridge/returning-ai: workflows.kyc.api_key: {problem}");
        expect_of_workflows("/workflows/kyc/api_key", json!(key), &[&expected]);
    }
    expect_of_key("", &[&line("fail", "a non-empty string expected")]);
    // Of other keys that are as they should be.
    for key in ["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]
    {
        expect_of_key(key, &[]);
    }
}

#[test]
fn more_keys_than_a_forged_delivery_s_cost_is_bounded_for_are_told() {
    let keys = |count: usize| {
        let keys: serde_json::Map<_, _> =
            (0..count).map(|n| (format!("sub_{n}"), json!(format!("{RAIL_KEY}{n}")))).collect();
        json!({ "keys": keys }).to_string()
    };
    expect(
        |facts| facts.set_signing("rail", keys(101)),
        &[
            "warn signing keys of rail: bridge/rail: keys: 101 keys; the CPU time of a forged delivery is limited only up to 100 keys",
        ],
    );
    for (count, says) in [
        (38, "38 keys in bridge/rail"),
        (
            100,
            "100 keys in bridge/rail; with this many keys, a body above 100000 bytes is not checked in every signed form",
        ),
    ] {
        let mut facts = sound();
        facts.set_signing("rail", keys(count));
        let lines = check(&facts);
        let line = lines.iter().find(|line| line.check == "signing keys of rail").unwrap();
        assert_eq!((line.verdict, line.says.as_str()), (Verdict::Ok, says));
    }
}

#[test]
fn a_label_that_is_a_key_is_not_shown() {
    let swapped = json!({ "keys": { RAIL_KEY: "sub_1" } }).to_string();
    expect(
        |facts| facts.set_signing("rail", swapped),
        &["warn signing keys of rail: bridge/rail: keys.(a name that looks like a key): has fewer than 16 characters"],
    );
}

#[test]
fn wrong_fields_of_a_secret_are_found() {
    let keys = |text: &'static str| move |facts: &mut Facts| facts.set_signing("rail", text);
    expect(
        keys("{}"),
        &["fail signing keys of rail: bridge/rail: keys: an object of at least one label and key expected"],
    );
    expect(
        keys(r#"{"keys":{}}"#),
        &["fail signing keys of rail: bridge/rail: keys: an object of at least one label and key expected"],
    );
    expect(
        keys(r#"{"keys":{"sub_1":7}}"#),
        &["fail signing keys of rail: bridge/rail: keys.sub_1: a non-empty string expected"],
    );
    let of = |problem: &str| format!("workflows: bridge/returning-ai: {problem}");
    let cases = [
        ("/key", json!({}), "warn", "key: unknown; known are workflows, incoming_webhooks"),
        (
            "/workflows/kyc/apikey",
            json!("x"),
            "warn",
            "workflows.kyc.apikey: unknown; known are handshake_url, webhook_url, api_key, api_key_header, mode",
        ),
        ("/workflows/kyc/mode", json!("Session"), "fail", "workflows.kyc.mode: \"session\" or \"legacy\" expected"),
        (
            "/workflows/kyc/api_key_header",
            json!("X-API-Key"),
            "fail",
            "workflows.kyc.api_key_header: \"authorization\" or \"x-api-key\" expected",
        ),
        (
            "/workflows/kyc/handshake_url",
            json!(null),
            "fail",
            "workflows.kyc.handshake_url: an https URL, or an http one on this machine expected",
        ),
        (
            "/workflows/kyc/webhook_url",
            json!("kyc"),
            "fail",
            "workflows.kyc.webhook_url: an https URL, or an http one on this machine expected",
        ),
        (
            "/workflows/kyc/api_key",
            json!(format!("{API_KEY}\n")),
            "fail",
            "workflows.kyc.api_key: ends in a newline, which counts as part of the key",
        ),
        ("/workflows/kyc", json!("https://api.returning.example/kyc"), "fail", "workflows.kyc: an object expected"),
        ("/incoming_webhooks/vip-chat", json!(7), "fail", "incoming_webhooks.vip-chat: an object expected"),
    ];
    for (pointer, value, verdict, problem) in cases {
        expect_of_workflows(pointer, value, &[&format!("{verdict} {}", of(problem))]);
    }
    let mut api = rail_api();
    api["client_id"] = json!("");
    expect(
        |facts| facts.set_rail_api(&api),
        &["fail Rail's API: bridge/rail-api: client_id: a non-empty string expected"],
    );
}

#[test]
fn a_url_that_is_not_https_is_found() {
    let clear = "not https: keys and customer data would travel unencrypted";
    let of = |field: &str| format!("fail workflows: bridge/returning-ai: {field}: {clear}");
    for url in ["http://api.returning.example/kyc", "http://127.0.0.1/kyc", "ftp://api.returning.example"] {
        expect_of_workflows("/workflows/kyc/webhook_url", json!(url), &[&of("workflows.kyc.webhook_url")]);
        expect_of_workflows("/workflows/kyc/handshake_url", json!(url), &[&of("workflows.kyc.handshake_url")]);
        expect_of_workflows("/incoming_webhooks/vip-chat/url", json!(url), &[&of("incoming_webhooks.vip-chat.url")]);
    }
}

#[test]
fn the_encryption_of_an_incoming_webhook_is_looked_at_and_a_guess_is_called_one() {
    let key = "0123456789abcdef0123456789abcdef";
    let at = "/incoming_webhooks/vip-chat/encryption";
    let of = |verdict: &str, field: &str, says: &str| {
        format!("{verdict} workflows: bridge/returning-ai: incoming_webhooks.vip-chat.encryption{field}: {says}")
    };
    let layout = json!({ "n": "{iv:hex}", "t": "{tag:hex}", "c": "{ciphertext:hex}" });
    let complete = |mode: &str| json!({ "mode": mode, "key": key, "body": layout });
    expect_of_workflows(at, complete("gcm"), &[]);
    let says = "absent, and the default layout is a guess: send one message, and look under Histories in Returning.AI";
    for mode in ["gcm", "cbc"] {
        expect_of_workflows(at, json!({ "mode": mode, "key": key }), &[&of("warn", ".body", says)]);
    }
    let expected = "a layout without `tag`: cbc has none expected";
    expect_of_workflows(at, complete("cbc"), &[&of("fail", ".body", expected)]);
    let expected = "\"gcm\" or \"cbc\" expected";
    expect_of_workflows(at, complete("AES-256-GCM"), &[&of("fail", ".mode", expected)]);
    let expected = "an object of mode, key and body expected";
    expect_of_workflows(at, json!("gcm"), &[&of("fail", "", expected)]);
}

#[test]
fn routes_and_the_secret_that_name_other_workflows_are_found() {
    expect(
        |facts| {
            facts.needs.workflows.insert("welcome".to_owned());
            facts.needs.incoming_webhooks.insert("chat".to_owned());
        },
        &[
            "fail workflow welcome: `routes.toml` delivers to it, and bridge/returning-ai does not have it",
            "fail incoming webhook chat: `routes.toml` delivers to it, and bridge/returning-ai does not have it",
        ],
    );
    expect(
        |facts| {
            facts.needs.workflows.remove("kyc");
            facts.needs.incoming_webhooks.clear();
        },
        &[
            "warn workflow kyc: bridge/returning-ai has it, and no route of `routes.toml` delivers to it",
            "warn incoming webhook vip-chat: bridge/returning-ai has it, and no route of `routes.toml` delivers to it",
        ],
    );
    expect(
        |facts| facts.set_returning_ai(&json!({})),
        &[
            "fail workflows: bridge/returning-ai: workflows: an object of name and workflow expected",
            "fail workflow deposits: `routes.toml` delivers to it, and bridge/returning-ai does not have it",
            "fail workflow kyc: `routes.toml` delivers to it, and bridge/returning-ai does not have it",
            "fail incoming webhook vip-chat: `routes.toml` delivers to it, and bridge/returning-ai does not have it",
        ],
    );
}

#[test]
fn a_handshake_that_fails_is_found_and_told_by_class() {
    let cases = [
        (Handshake::Rejected(200), "fail", "answered 200: the answer has no session token"),
        (
            Handshake::Rejected(301),
            "fail",
            "answered 301: a redirect is not followed, because it would carry the key along",
        ),
        (Handshake::Rejected(401), "fail", "answered 401: the API key is rejected"),
        (Handshake::Rejected(403), "fail", "answered 403: the API key is rejected"),
        (Handshake::Rejected(404), "fail", "answered 404: there is no such workflow"),
        (Handshake::Rejected(422), "fail", "answered 422: the handshake is rejected"),
        (Handshake::Rejected(429), "warn", "answered 429: too many requests"),
        (Handshake::Rejected(503), "fail", "answered 503: Returning.AI itself fails"),
        (Handshake::NoAnswer("not in time".to_owned()), "fail", "no answer: not in time"),
    ];
    for (handshake, verdict, says) in cases {
        expect(
            |facts| {
                facts.handshakes.insert("kyc".to_owned(), handshake);
            },
            &[&format!("{verdict} handshake kyc: {says}")],
        );
    }
}

#[test]
fn a_paused_workflow_is_told_of_with_how_to_resume_it() {
    let hints = expect(
        |facts| {
            facts.held.insert(Destination::Workflow("kyc".to_owned()), PauseStatus::Paused { since: NOW });
        },
        &["warn workflow kyc: it is paused: its events wait"],
    );
    let expected = "`bridge workflows resume kyc --table bridge-events --region eu-west-1` ends the pause";
    assert_eq!(hints, [expected]);
}

#[test]
fn pauses_that_cannot_be_read_are_told_of_with_how_to_overwrite_them() {
    let hints = expect(
        |facts| {
            facts.held.insert(Destination::Workflow("kyc".to_owned()), PauseStatus::Unreadable);
        },
        &["fail workflow kyc: the item with its pauses cannot be read: nothing is sent to it, and its events wait"],
    );
    let flags = "--table bridge-events --region eu-west-1";
    let expected = format!(
        "`bridge workflows resume kyc {flags}` overwrites the item and sends them; `bridge workflows pause kyc {flags}` overwrites it and lets them wait"
    );
    assert_eq!(hints, [expected]);
}

#[test]
fn a_schedule_that_does_not_run_is_found() {
    let named = |name: &'static str, schedule: Result<Schedule, String>| {
        move |facts: &mut Facts| {
            facts.schedules.insert(name.to_owned(), schedule);
        }
    };
    let schedule = |it| named("bridge-redrive", it);
    let sound = || sound().schedules.remove("bridge-redrive").unwrap().unwrap();
    expect(
        schedule(Err("ResourceNotFoundException".to_owned())),
        &["fail schedule: there is no schedule bridge-redrive"],
    );
    expect(
        schedule(Err("AccessDeniedException".to_owned())),
        &["warn schedule: bridge-redrive cannot be read: AccessDeniedException"],
    );
    expect(
        schedule(Ok(Schedule { enabled: false, ..sound() })),
        &["fail schedule: bridge-redrive is disabled: no failed delivery is retried"],
    );
    expect(
        schedule(Ok(Schedule { target: "arn:aws:lambda:eu-west-1:000000000000:function:other".to_owned(), ..sound() })),
        &["fail schedule: bridge-redrive does not call function bridge-redrive"],
    );
    // Of several that share the work, each has its line.
    expect(
        named("bridge-redrive-1", Ok(Schedule { enabled: false, ..sound() })),
        &["fail schedule: bridge-redrive-1 is disabled: no failed delivery is retried"],
    );
}

#[test]
fn events_that_redrive_should_have_taken_are_found() {
    let overdue = |seen_s: Option<u64>, overdue: usize| Queue {
        overdue,
        overdue_s: 725,
        redrive_seen: seen_s.map(|s| UnixMillis(NOW.0 - s * 1000)),
        ..Queue::default()
    };
    expect(
        |facts| facts.queue = Some(Ok(overdue(None, 1))),
        &["fail redrive: 1 event overdue, by up to 12 min 5 s: it does not run"],
    );
    expect(
        |facts| facts.queue = Some(Ok(Queue { more_overdue: true, ..overdue(Some(7_200), 256) })),
        &[
            "fail redrive: 256 or more events overdue, by up to 12 min 5 s: it does not run; its last attempt was 2 h ago",
        ],
    );
    expect(
        |facts| facts.queue = Some(Ok(overdue(Some(40), 3))),
        &["warn redrive: 3 events overdue, by up to 12 min 5 s, though it runs; its last attempt was 40 s ago"],
    );
    expect(
        |facts| facts.queue = Some(Err("AccessDeniedException".to_owned())),
        &["fail redrive: the waiting events cannot be read: AccessDeniedException"],
    );
}

#[test]
fn dead_events_are_told_of_with_the_command_that_lists_them() {
    let hints = expect(
        |facts| facts.queue.as_mut().unwrap().as_mut().unwrap().dead = 3,
        &["warn dead events: 3 need a person"],
    );
    let flags = "--table bridge-events --region eu-west-1";
    let expected = format!(
        "`bridge events list --state dead {flags}`, then try again what can succeed now (`bridge events redrive --state dead \
         --dry-run {flags}`) and close the others (`bridge events dismiss --state dead --dry-run {flags}`)"
    );
    assert_eq!(hints, [expected]);
}

#[test]
fn of_the_bridge_that_runs_here_loopback_and_sample_keys_are_fine() {
    let mut facts = sound();
    facts.scope.stack = None;
    facts.scope.flags = String::new();
    facts.schedules.clear();
    facts.set_signing("rail", json!({ "keys": { "sample": local::stack::sample_key("rail") } }).to_string());
    let url = json!("http://127.0.0.1:4000/kyc");
    facts.set_returning_ai(&changed(workflows(), "/workflows/kyc/webhook_url", url));
    facts.queue.as_mut().unwrap().as_mut().unwrap().dead = 1;
    let lines = check(&facts);
    let wrong: Vec<String> = lines.iter().filter(|line| line.verdict != Verdict::Ok).map(ToString::to_string).collect();
    let expected = "warn  dead events: 1 needs a person\n      → `bridge events list --state dead`, then try again what can \
                    succeed now (`bridge events redrive --state dead --dry-run`) and close the others (`bridge events dismiss \
                    --state dead --dry-run`)";
    assert_eq!(wrong, [expected]);
}

#[test]
fn no_line_and_no_debug_holds_anything_of_a_secret() {
    let mark = |text: &str| format!("{text}MARKED");
    let mut facts = sound();
    let keys = [mark("\"k"), mark("whsec_"), format!("{}\n", mark("k")), mark("k _do_not_use")];
    let marked: BTreeMap<String, &String> = keys.iter().enumerate().map(|(at, key)| (at.to_string(), key)).collect();
    facts.set_signing("rail", json!({ "keys": marked, mark("whsec_"): 1 }).to_string());
    facts.set_signing("rillis", mark("not an object"));
    let url = format!("http://u:{}@h/{}", mark("p"), mark("x"));
    let fields = json!({
        "handshake_url": url, "webhook_url": mark("no url"), "api_key": mark(" k"), "mode": mark("m"), "api_key_header": mark("h"),
    });
    let encryption = json!({ "url": url, "encryption": mark("e") });
    facts.set_returning_ai(&json!({ "workflows": { "kyc": fields }, "incoming_webhooks": { "in": encryption } }));
    facts.set_rail_api(
        &json!({ "base_url": url, "token_url": url, "client_id": mark("REPLACE-ME"), "client_secret": mark(" s") }),
    );

    let lines = check(&facts);
    assert!(lines.iter().filter(|line| line.verdict == Verdict::Fail).count() > 10, "{lines:#?}");
    let printed = lines.iter().map(|line| format!("{line}\n{}\n{line:?}", json!(line))).collect::<String>();
    assert!(!printed.contains("MARKED") && !format!("{facts:?}").contains("MARKED"), "{printed}");
}
