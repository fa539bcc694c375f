use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use shared::clock::UnixMillis;

use super::super::facts::{Secret, Wanted};
use super::*;

const NOW: UnixMillis = UnixMillis(1_738_784_271_042);
const RAIL_KEY: &str = "whsec_9xLw2_kQ7pVd4T1s8mHcRb";
const API_KEY: &str = "rai_live_6f1d9b27c4e84a0f";

/// A stack in AWS with which everything is well.
fn sound() -> Facts {
    let table = |keys: &[&str]| Table {
        status: "ACTIVE".to_owned(),
        keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        ..Table::default()
    };
    let index =
        Index { status: "ACTIVE".to_owned(), keys: vec!["due HASH".to_owned(), "next_attempt_at RANGE".to_owned()] };
    let events = Table {
        indexes: BTreeMap::from([("due-index".to_owned(), index)]),
        ttl: Some(Ok(Some("expires_at".to_owned()))),
        recovery: Some(Ok(true)),
        ..table(&["pk HASH"])
    };
    let webhook =
        |provider| Webhook { provider, url: format!("https://hooks.example.com/webhooks/{provider}"), status: Ok(401) };
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    Facts {
        place: Place {
            stack: Some(Stack {
                name: "bridge".to_owned(),
                status: "UPDATE_COMPLETE".to_owned(),
                missing: Vec::new(),
                schedule: Some("bridge-redrive".to_owned()),
            }),
            events_table: "bridge-events".to_owned(),
            customers_table: Some("bridge-customers".to_owned()),
            redrive_function: "bridge-redrive".to_owned(),
            flags: " --region eu-west-1".to_owned(),
        },
        now: NOW,
        wanted: Wanted {
            workflows: set(&["deposits", "kyc"]),
            incoming_webhooks: set(&["vip-chat"]),
            providers: set(&["rail", "rillis"]),
            destination_of: BTreeMap::new(),
        },
        webhooks: vec![webhook("rail"), webhook("rillis")],
        events: Ok(events),
        customers: Some(Ok(table(&["ref HASH"]))),
        signing: vec![
            secret("rail", "bridge/rail", &json!({ "keys": { "sub_1": RAIL_KEY } })),
            secret("rillis", "bridge/rillis", &json!({ "keys": { "current": "5d41402abc4b2a76b9719d911017c592" } })),
        ],
        returning_ai: secret("workflows", "bridge/returning-ai", &workflows()),
        apis: vec![secret("rail", "bridge/rail-api", &rail_api())],
        handshakes: BTreeMap::from([("deposits".to_owned(), Handshake::Legacy), ("kyc".to_owned(), Handshake::Opened)]),
        paused: BTreeSet::new(),
        clocks: vec![
            OtherClock { of: "the webhook of rail".to_owned(), ahead_s: 2 },
            OtherClock { of: "Returning.AI (workflow kyc)".to_owned(), ahead_s: -60 },
        ],
        schedule: Some(Ok(Schedule {
            enabled: true,
            expression: "rate(1 minute)".to_owned(),
            target: "arn:aws:lambda:eu-west-1:000000000000:function:bridge-redrive".to_owned(),
        })),
        queue: Ok(Queue { redrive_seen: Some(UnixMillis(NOW.0 - 40_000)), ..Queue::default() }),
    }
}

fn secret(of: &'static str, id: &str, value: &Value) -> Secret {
    Secret { of, id: id.to_owned(), text: Ok(value.to_string()) }
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

/// The lines that are not ok once `breaking` has changed something, without what to do, which each must say.
#[track_caller]
fn check(breaking: impl FnOnce(&mut Facts), expected: &[&str]) -> Vec<String> {
    let mut facts = sound();
    breaking(&mut facts);
    let lines = lines(&facts);
    let wrong: Vec<&Line> = lines.iter().filter(|line| line.verdict != Verdict::Ok).collect();
    let said: Vec<String> =
        wrong.iter().map(|line| format!("{} {}: {}", line.verdict.name(), line.check, line.says)).collect();
    assert_eq!(said, expected);
    wrong.iter().map(|line| line.hint.clone().filter(|hint| !hint.is_empty()).expect("it says what to do")).collect()
}

/// As [`check`], for a value of Returning.AI's secret.
#[track_caller]
fn check_workflows(pointer: &str, value: Value, expected: &[&str]) {
    let secret = changed(workflows(), pointer, value);
    check(|facts| facts.returning_ai.text = Ok(secret.to_string()), expected);
}

/// As [`check`], for the one key of Rail's secret.
#[track_caller]
fn check_key(key: &str, expected: &[&str]) {
    let value = json!({ "keys": { "sub_1": key } }).to_string();
    check(|facts| facts.signing[0].text = Ok(value), expected);
}

#[test]
fn what_subscriptions_leave_beside_rail_s_keys_is_known_there_alone() {
    let secret = json!({
        "keys": { "sub_1": API_KEY },
        "subscriptions": { "sub_1": { "event_type": "ACCOUNT_OPEN", "generation": 1 } },
        "generations": { "ACCOUNT_OPEN": 1 },
    });
    check(|facts| facts.signing[0].text = Ok(secret.to_string()), &[]);
    check(
        |facts| facts.signing[1].text = Ok(secret.to_string()),
        &[
            "warn signing keys of rillis: bridge/rillis: generations is not known here; known are keys",
            "warn signing keys of rillis: bridge/rillis: subscriptions is not known here; known are keys",
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
    let lines: Vec<String> = lines(&sound()).iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "ok    stack: bridge is UPDATE_COMPLETE",
            "ok    webhook rail: https://hooks.example.com/webhooks/rail refuses what is not signed, as it should",
            "ok    webhook rillis: https://hooks.example.com/webhooks/rillis refuses what is not signed, as it should",
            "ok    clock: within 60 s of the 2 that told the time",
            "ok    events table: bridge-events is ACTIVE",
            "ok    due-index: active, by due and next_attempt_at",
            "ok    time to live: items go after their expires_at",
            "ok    point-in-time recovery: on",
            "ok    customers table: bridge-customers is ACTIVE",
            "ok    signing keys of rail: 1 key in bridge/rail",
            "ok    signing keys of rillis: 1 key in bridge/rillis",
            "ok    workflows: 2 workflows in bridge/returning-ai, as they should be written",
            "ok    Rail's API: bridge/rail-api is as it should be written",
            "ok    handshake deposits: legacy mode has none",
            "ok    handshake kyc: a session was opened; no message was sent",
            "ok    schedule: bridge-redrive is enabled: rate(1 minute)",
            "ok    redrive: no event has waited for it longer than 5 min; it last took an event up 40 s ago",
            "ok    dead events: none",
        ]
    );
}

#[test]
fn every_check_has_its_row_in_the_docs() {
    let docs = std::fs::read_to_string(local::binaries::workspace_root().join("docs/doctor.md")).unwrap();
    let names = ["rail", "rillis", "kyc", "deposits", "vip-chat"];
    let mut facts = sound();
    facts.paused.insert(Destination::Workflow("kyc".to_owned()));
    facts.wanted.incoming_webhooks.clear();
    for line in lines(&facts) {
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
    facts.place.stack.as_mut().unwrap().status = "UPDATE_ROLLBACK_COMPLETE".to_owned();
    let expected = "warn  stack: the last deployment of bridge failed and was taken back: UPDATE_ROLLBACK_COMPLETE\n      → aws cloudformation describe-stack-events --stack-name bridge --region eu-west-1 says why";
    assert_eq!(lines(&facts)[0].to_string(), expected);
}

#[test]
fn a_stack_that_is_not_deployed_whole_is_found() {
    let status =
        |status: &'static str| move |facts: &mut Facts| facts.place.stack.as_mut().unwrap().status = status.to_owned();
    check(status("UPDATE_IN_PROGRESS"), &["warn stack: bridge is UPDATE_IN_PROGRESS"]);
    check(status("ROLLBACK_COMPLETE"), &["fail stack: bridge is ROLLBACK_COMPLETE"]);
    check(status("UPDATE_ROLLBACK_FAILED"), &["fail stack: bridge is UPDATE_ROLLBACK_FAILED"]);
    check(
        |facts| facts.place.stack.as_mut().unwrap().missing.push("RailWebhookUrl".to_owned()),
        &["fail stack: bridge has no output RailWebhookUrl"],
    );
}

#[test]
fn a_webhook_that_does_not_refuse_what_is_unsigned_is_found() {
    let answers = |status: Asked<u16>| move |facts: &mut Facts| facts.webhooks[0].status = status;
    let url = "https://hooks.example.com/webhooks/rail";
    let cases = [
        (Ok(503), "fail", "answers 503: it cannot read its keys or its table"),
        (Ok(429), "warn", "answers 429: throttled"),
        (Ok(404), "fail", "answers 404: nothing is there"),
        (Ok(403), "fail", "answers 403: nothing is there"),
        (Ok(200), "fail", "answers 200 to what is not signed: that is not the bridge"),
        (Ok(500), "fail", "answers 500; 401 was expected"),
        (Err("not in time".to_owned()), "fail", "does not answer: not in time"),
    ];
    for (status, verdict, says) in cases {
        check(answers(status), &[&format!("{verdict} webhook rail: {url} {says}")]);
    }
    check(
        |facts| facts.webhooks[0].url = "http://hooks.example.com/webhooks/rail".to_owned(),
        &["fail webhook rail: http://hooks.example.com/webhooks/rail is not https"],
    );
}

#[test]
fn a_clock_that_is_off_by_more_than_60_s_is_found_and_whose_it_is() {
    let clocks = |ahead_s: [i64; 2]| {
        move |facts: &mut Facts| facts.clocks.iter_mut().zip(ahead_s).for_each(|(clock, s)| clock.ahead_s = s)
    };
    check(
        clocks([75, 74]),
        &["fail clock: this machine's clock is 75 s ahead of that of the webhook of rail; 60 s are allowed"],
    );
    check(
        clocks([-61, -62]),
        &["fail clock: this machine's clock is 61 s behind that of the webhook of rail; 60 s are allowed"],
    );
    check(
        clocks([0, -3_600]),
        &[
            "warn clock: this machine's clock is 3600 s behind that of Returning.AI (workflow kyc), and agrees with others",
        ],
    );
    check(clocks([60, -60]), &[]);
}

#[test]
fn a_table_that_is_missing_or_not_ready_is_found() {
    let events = |reason: &'static str| move |facts: &mut Facts| facts.events = Err(reason.to_owned());
    check(
        events("ResourceNotFoundException"),
        &["fail events table: bridge-events cannot be looked at: ResourceNotFoundException"],
    );
    let hints = check(
        events("AccessDeniedException"),
        &["fail events table: bridge-events cannot be looked at: AccessDeniedException"],
    );
    assert_eq!(hints, ["it takes dynamodb:DescribeTable on the table"]);
    check(
        |facts| facts.events.as_mut().unwrap().status = "CREATING".to_owned(),
        &["fail events table: bridge-events is CREATING"],
    );
    check(
        |facts| facts.events.as_mut().unwrap().keys = vec!["id HASH".to_owned(), "at RANGE".to_owned()],
        &["fail events table: the keys of bridge-events are id HASH, at RANGE; pk HASH expected"],
    );
    check(
        |facts| facts.customers = Some(Err("ResourceNotFoundException".to_owned())),
        &["fail customers table: bridge-customers cannot be looked at: ResourceNotFoundException"],
    );
    check(
        |facts| {
            facts.customers =
                Some(Ok(Table { status: "ACTIVE".to_owned(), keys: vec!["pk HASH".to_owned()], ..Table::default() }));
        },
        &["fail customers table: the keys of bridge-customers are pk HASH; ref HASH expected"],
    );
}

#[test]
fn an_index_that_is_missing_or_has_other_keys_is_found() {
    check(
        |facts| facts.events.as_mut().unwrap().indexes.clear(),
        &["fail due-index: bridge-events has no index due-index"],
    );
    let index = |change: fn(&mut Index)| {
        move |facts: &mut Facts| change(facts.events.as_mut().unwrap().indexes.get_mut("due-index").unwrap())
    };
    check(
        index(|index| index.keys = vec!["due HASH".to_owned()]),
        &["fail due-index: its keys are due HASH; due HASH, next_attempt_at RANGE expected"],
    );
    check(index(|index| index.status = "CREATING".to_owned()), &["warn due-index: it is CREATING"]);
}

#[test]
fn time_to_live_and_recovery_that_are_off_are_found() {
    let ttl = |ttl: Asked<Option<String>>| move |facts: &mut Facts| facts.events.as_mut().unwrap().ttl = Some(ttl);
    let hints = check(
        ttl(Ok(None)),
        &["warn time to live: it is off: the table grows for ever, and keeps what should be forgotten after 90 days"],
    );
    let command = "aws dynamodb update-time-to-live --table-name bridge-events --time-to-live-specification Enabled=true,AttributeName=expires_at --region eu-west-1";
    assert_eq!(hints, [command]);
    check(ttl(Ok(Some("ttl".to_owned()))), &["warn time to live: it goes by ttl; expires_at expected"]);
    check(ttl(Err("AccessDeniedException".to_owned())), &["warn time to live: cannot be told: AccessDeniedException"]);
    let recovery = |on: Asked<bool>| move |facts: &mut Facts| facts.events.as_mut().unwrap().recovery = Some(on);
    check(recovery(Ok(false)), &["warn point-in-time recovery: it is off: what is deleted by mistake is gone"]);
    check(
        recovery(Err("AccessDeniedException".to_owned())),
        &["warn point-in-time recovery: cannot be told: AccessDeniedException"],
    );
}

#[test]
fn a_secret_that_cannot_be_read_or_is_no_object_is_found() {
    let text = |text: Asked<&'static str>| move |facts: &mut Facts| facts.signing[0].text = text.map(str::to_owned);
    check(
        text(Err("AccessDeniedException".to_owned())),
        &["fail signing keys of rail: secret bridge/rail cannot be read: AccessDeniedException"],
    );
    check(text(Ok(RAIL_KEY)), &["fail signing keys of rail: bridge/rail is not a JSON object"]);
    check(text(Ok("[]")), &["fail signing keys of rail: bridge/rail is not a JSON object"]);
    check(text(Ok("REPLACE-ME")), &["fail signing keys of rail: bridge/rail holds the placeholder it was made with"]);
    check(
        |facts| facts.returning_ai.text = Err("ResourceNotFoundException".to_owned()),
        &["fail workflows: secret bridge/returning-ai cannot be read: ResourceNotFoundException"],
    );
    check(
        |facts| facts.apis[0].text = Err("ResourceNotFoundException".to_owned()),
        &["fail Rail's API: secret bridge/rail-api cannot be read: ResourceNotFoundException"],
    );
}

#[test]
fn the_template_s_placeholders_are_found() {
    check_key(
        "REPLACE-ME",
        &["fail signing keys of rail: bridge/rail: keys.sub_1 still holds the placeholder it was made with"],
    );
    check(
        |facts| {
            facts.signing[0].text = Ok(r#"{"keys":{"subscription-id":"REPLACE-ME"}}"#.to_owned());
            facts.wanted.providers.remove("rail");
        },
        &["warn signing keys of rail: bridge/rail: keys.subscription-id still holds the placeholder it was made with"],
    );
    let held = "still holds the placeholder it was made with";
    let workflow = json!({ "handshake_url": "REPLACE-ME", "webhook_url": "REPLACE-ME", "api_key": "REPLACE-ME" });
    check_workflows(
        "/workflows/kyc",
        workflow,
        &[
            &format!("fail workflows: bridge/returning-ai: workflows.kyc.handshake_url {held}"),
            &format!("fail workflows: bridge/returning-ai: workflows.kyc.webhook_url {held}"),
            &format!("fail workflows: bridge/returning-ai: workflows.kyc.api_key {held}"),
        ],
    );
    let placeholders = json!({ "base_url": "REPLACE-ME", "token_url": "REPLACE-ME", "client_id": "REPLACE-ME", "client_secret": "REPLACE-ME" });
    check(
        |facts| facts.apis[0].text = Ok(placeholders.to_string()),
        &["base_url", "token_url", "client_id", "client_secret"]
            .map(|field| format!("fail Rail's API: bridge/rail-api: {field} {held}"))
            .each_ref()
            .map(String::as_str),
    );
}

#[test]
fn a_key_that_was_not_copied_as_it_is_is_found() {
    let line =
        |verdict: &str, problem: &str| format!("{verdict} signing keys of rail: bridge/rail: keys.sub_1 {problem}");
    let base64 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, RAIL_KEY);
    let cases = [
        (format!("{RAIL_KEY}\n"), "fail", "ends in a newline, which is taken for a part of the key"),
        (format!("{RAIL_KEY}\r\n"), "fail", "ends in a newline, which is taken for a part of the key"),
        (format!(" {RAIL_KEY}"), "fail", "has white space around it, which is taken for a part of the key"),
        (format!("\"{RAIL_KEY}\""), "fail", "stands in quotes, which are taken for a part of the key"),
        (format!("'{RAIL_KEY}'"), "fail", "stands in quotes, which are taken for a part of the key"),
        (RAIL_KEY.replace("kQ", "k Q"), "warn", "has white space in it"),
        ("whsec_9xLw2".to_owned(), "warn", "has fewer than 16 characters"),
        (base64, "warn", "looks like base64 of a key; the key itself is wanted"),
        (local::stack::sample_key("rail"), "fail", "is a sample key, which everybody knows"),
    ];
    for (key, verdict, problem) in cases {
        check_key(&key, &[&line(verdict, problem)]);
    }
    check_key("", &[&line("fail", "a string that is not empty expected")]);
    // Of other keys that are as they should be.
    for key in ["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]
    {
        check_key(key, &[]);
    }
}

#[test]
fn a_label_that_is_a_key_is_not_shown() {
    let swapped = json!({ "keys": { RAIL_KEY: "sub_1" } }).to_string();
    check(
        |facts| facts.signing[0].text = Ok(swapped),
        &["warn signing keys of rail: bridge/rail: keys.(a name that looks like a key) has fewer than 16 characters"],
    );
}

#[test]
fn wrong_fields_of_a_secret_are_found() {
    let keys = |text: &'static str| move |facts: &mut Facts| facts.signing[0].text = Ok(text.to_owned());
    check(
        keys("{}"),
        &["fail signing keys of rail: bridge/rail: keys an object of at least one label and key expected"],
    );
    check(
        keys(r#"{"keys":{}}"#),
        &["fail signing keys of rail: bridge/rail: keys an object of at least one label and key expected"],
    );
    check(
        keys(r#"{"keys":{"sub_1":7}}"#),
        &["fail signing keys of rail: bridge/rail: keys.sub_1 a string that is not empty expected"],
    );
    let of = |problem: &str| format!("workflows: bridge/returning-ai: {problem}");
    let cases = [
        ("/key", json!({}), "warn", "key is not known here; known are workflows, incoming_webhooks"),
        (
            "/workflows/kyc/apikey",
            json!("x"),
            "warn",
            "workflows.kyc.apikey is not known here; known are handshake_url, webhook_url, api_key, api_key_header, mode",
        ),
        ("/workflows/kyc/mode", json!("Session"), "fail", "workflows.kyc.mode \"session\" or \"legacy\" expected"),
        (
            "/workflows/kyc/api_key_header",
            json!("X-API-Key"),
            "fail",
            "workflows.kyc.api_key_header \"authorization\" or \"x-api-key\" expected",
        ),
        ("/workflows/kyc/handshake_url", json!(null), "fail", "workflows.kyc.handshake_url an https URL expected"),
        ("/workflows/kyc/webhook_url", json!("kyc"), "fail", "workflows.kyc.webhook_url an https URL expected"),
        (
            "/workflows/kyc/api_key",
            json!(format!("{API_KEY}\n")),
            "fail",
            "workflows.kyc.api_key ends in a newline, which is taken for a part of the key",
        ),
        ("/workflows/kyc", json!("https://api.returning.example/kyc"), "fail", "workflows.kyc an object expected"),
        ("/incoming_webhooks/vip-chat", json!(7), "fail", "incoming_webhooks.vip-chat an object expected"),
    ];
    for (pointer, value, verdict, problem) in cases {
        check_workflows(pointer, value, &[&format!("{verdict} {}", of(problem))]);
    }
    let mut api = rail_api();
    api["client_id"] = json!("");
    check(
        |facts| facts.apis[0].text = Ok(api.to_string()),
        &["fail Rail's API: bridge/rail-api: client_id a string that is not empty expected"],
    );
}

#[test]
fn a_url_that_is_not_https_is_found() {
    let clear = "is not https: keys and customers' facts would travel in the clear";
    let of = |field: &str| format!("fail workflows: bridge/returning-ai: {field} {clear}");
    for url in ["http://api.returning.example/kyc", "http://127.0.0.1/kyc", "ftp://api.returning.example"] {
        check_workflows("/workflows/kyc/webhook_url", json!(url), &[&of("workflows.kyc.webhook_url")]);
        check_workflows("/workflows/kyc/handshake_url", json!(url), &[&of("workflows.kyc.handshake_url")]);
        check_workflows("/incoming_webhooks/vip-chat/url", json!(url), &[&of("incoming_webhooks.vip-chat.url")]);
    }
}

#[test]
fn an_incoming_webhook_with_encryption_is_found() {
    let problem = "incoming_webhooks.vip-chat.encryption encrypted incoming webhooks are not built; switch encryption off in Returning.AI, and remove this";
    check_workflows(
        "/incoming_webhooks/vip-chat/encryption",
        json!({ "mode": "AES-256-GCM", "key": "0123456789abcdef0123456789abcdef" }),
        &[&format!("fail workflows: bridge/returning-ai: {problem}")],
    );
}

#[test]
fn routes_and_the_secret_that_name_other_workflows_are_found() {
    check(
        |facts| {
            facts.wanted.workflows.insert("welcome".to_owned());
            facts.wanted.incoming_webhooks.insert("chat".to_owned());
        },
        &[
            "fail workflow welcome: routes.toml delivers to it, and bridge/returning-ai does not have it",
            "fail incoming webhook chat: routes.toml delivers to it, and bridge/returning-ai does not have it",
        ],
    );
    check(
        |facts| {
            facts.wanted.workflows.remove("kyc");
            facts.wanted.incoming_webhooks.clear();
        },
        &[
            "warn workflow kyc: bridge/returning-ai has it, and no route of routes.toml delivers to it",
            "warn incoming webhook vip-chat: bridge/returning-ai has it, and no route of routes.toml delivers to it",
        ],
    );
}

#[test]
fn a_handshake_that_fails_is_found_and_told_by_class() {
    let cases = [
        (Handshake::Answered(200), "fail", "answered 200: but not with a session token"),
        (
            Handshake::Answered(301),
            "fail",
            "answered 301: it is somewhere else; a redirect is not followed, since it would carry the key along",
        ),
        (Handshake::Answered(401), "fail", "answered 401: the API key is refused"),
        (Handshake::Answered(403), "fail", "answered 403: the API key is refused"),
        (Handshake::Answered(404), "fail", "answered 404: there is no such workflow"),
        (Handshake::Answered(422), "fail", "answered 422: the handshake is not taken"),
        (Handshake::Answered(429), "warn", "answered 429: throttled"),
        (Handshake::Answered(503), "fail", "answered 503: Returning.AI itself fails"),
        (Handshake::NoAnswer("not in time".to_owned()), "fail", "no answer: not in time"),
    ];
    for (handshake, verdict, says) in cases {
        check(
            |facts| {
                facts.handshakes.insert("kyc".to_owned(), handshake);
            },
            &[&format!("{verdict} handshake kyc: {says}")],
        );
    }
}

#[test]
fn a_paused_workflow_is_told_of_with_how_to_resume_it() {
    let hints = check(
        |facts| {
            facts.paused.insert(Destination::Workflow("kyc".to_owned()));
        },
        &["warn workflow kyc: is paused: its events wait"],
    );
    let expected = "`bridge workflows resume kyc --table bridge-events --region eu-west-1` when it may go on";
    assert_eq!(hints, [expected]);
}

#[test]
fn a_schedule_that_does_not_run_is_found() {
    let schedule = |schedule: Asked<Schedule>| move |facts: &mut Facts| facts.schedule = Some(schedule);
    let sound = || sound().schedule.unwrap().unwrap();
    check(
        schedule(Err("ResourceNotFoundException".to_owned())),
        &["fail schedule: there is no schedule bridge-redrive"],
    );
    check(
        schedule(Err("AccessDeniedException".to_owned())),
        &["warn schedule: bridge-redrive cannot be looked at: AccessDeniedException"],
    );
    check(
        schedule(Ok(Schedule { enabled: false, ..sound() })),
        &["fail schedule: bridge-redrive is disabled: nothing is tried a second time"],
    );
    check(
        schedule(Ok(Schedule { target: "arn:aws:lambda:eu-west-1:000000000000:function:other".to_owned(), ..sound() })),
        &["fail schedule: bridge-redrive does not call the function bridge-redrive"],
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
    check(
        |facts| facts.queue = Ok(overdue(None, 1)),
        &["fail redrive: 1 event overdue, by up to 12 min 5 s: it does not run"],
    );
    check(
        |facts| facts.queue = Ok(Queue { more_overdue: true, ..overdue(Some(7_200), 256) }),
        &[
            "fail redrive: 256 or more events overdue, by up to 12 min 5 s: it does not run; it last took an event up 2 h ago",
        ],
    );
    check(
        |facts| facts.queue = Ok(overdue(Some(40), 3)),
        &["warn redrive: 3 events overdue, by up to 12 min 5 s, though it runs; it last took an event up 40 s ago"],
    );
    check(
        |facts| facts.queue = Err("AccessDeniedException".to_owned()),
        &["fail redrive: what waits cannot be read: AccessDeniedException"],
    );
}

#[test]
fn dead_events_are_told_of_with_the_command_that_lists_them() {
    let hints = check(|facts| facts.queue.as_mut().unwrap().dead = 3, &["warn dead events: 3 need a person"]);
    let flags = "--table bridge-events --region eu-west-1";
    let expected = format!(
        "`bridge events list --state dead {flags}`, then `bridge events redrive --state dead --dry-run {flags}`"
    );
    assert_eq!(hints, [expected]);
}

#[test]
fn of_the_bridge_that_runs_here_loopback_and_sample_keys_are_fine() {
    let mut facts = sound();
    facts.place.stack = None;
    facts.place.flags = String::new();
    facts.schedule = None;
    facts.signing[0].text = Ok(json!({ "keys": { "sample": local::stack::sample_key("rail") } }).to_string());
    let url = json!("http://127.0.0.1:4000/kyc");
    facts.returning_ai.text = Ok(changed(workflows(), "/workflows/kyc/webhook_url", url).to_string());
    facts.queue.as_mut().unwrap().dead = 1;
    let lines = lines(&facts);
    let wrong: Vec<String> = lines.iter().filter(|line| line.verdict != Verdict::Ok).map(ToString::to_string).collect();
    let expected = "warn  dead events: 1 needs a person\n      → `bridge events list --state dead`, then `bridge events redrive --state dead --dry-run`";
    assert_eq!(wrong, [expected]);
}

#[test]
fn no_line_and_no_debug_holds_anything_of_a_secret() {
    let mark = |text: &str| format!("{text}MARKED");
    let mut facts = sound();
    let keys = [mark("\"k"), mark("whsec_"), format!("{}\n", mark("k")), mark("k _do_not_use")];
    let marked: BTreeMap<String, &String> = keys.iter().enumerate().map(|(at, key)| (at.to_string(), key)).collect();
    facts.signing[0].text = Ok(json!({ "keys": marked, mark("whsec_"): 1 }).to_string());
    facts.signing[1].text = Ok(mark("not an object"));
    let url = format!("http://u:{}@h/{}", mark("p"), mark("x"));
    let fields = json!({
        "handshake_url": url, "webhook_url": mark("no url"), "api_key": mark(" k"), "mode": mark("m"), "api_key_header": mark("h"),
    });
    let encryption = json!({ "url": url, "encryption": mark("e") });
    facts.returning_ai.text =
        Ok(json!({ "workflows": { "kyc": fields }, "incoming_webhooks": { "in": encryption } }).to_string());
    facts.apis[0].text =
        Ok(json!({ "base_url": url, "token_url": url, "client_id": mark("REPLACE-ME"), "client_secret": mark(" s") })
            .to_string());

    let lines = lines(&facts);
    assert!(lines.iter().filter(|line| line.verdict == Verdict::Fail).count() > 10, "{lines:#?}");
    let printed = lines.iter().map(|line| format!("{line}\n{}\n{line:?}", json!(line))).collect::<String>();
    assert!(!printed.contains("MARKED") && !format!("{facts:?}").contains("MARKED"), "{printed}");
}
