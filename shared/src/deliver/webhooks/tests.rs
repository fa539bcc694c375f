use serde_json::{Value, json};

use super::*;

fn parse(secret: &str) -> Result<Webhooks, String> {
    let (webhooks, problems) = Webhooks::parse(secret);
    assert_eq!(webhooks.is_some(), problems.is_empty(), "there is one entry, or none");
    webhooks.ok_or_else(|| problems[0].to_string())
}

fn with(field: &str, value: Value) -> String {
    let mut workflow = json!({
        "handshake_url": "https://example.com/h", "webhook_url": "https://example.com/w", "api_key": "sample-key",
    });
    workflow[field] = value;
    json!({ "workflows": { "kyc": workflow } }).to_string()
}

#[track_caller]
fn check(secret: &str, expected: Result<(), &str>) {
    assert_eq!(parse(secret).map(|_| ()), expected.map_err(str::to_owned), "{secret}");
}

#[test]
fn that_is_no_object_of_workflows_says_what_it_should_be() {
    for secret in ["", "REPLACE ME", "{", "[]"] {
        check(secret, Err("the secret: a JSON object expected"));
    }
    for secret in ["{}", r#"{"workflows":[]}"#, r#"{"workflows":null}"#, r#"{"workflows":"kyc"}"#] {
        check(secret, Err("workflows: an object of name and workflow expected"));
    }
    check(r#"{"workflows":{}}"#, Ok(()));
}

#[test]
fn that_begins_with_a_byte_order_mark_is_read() {
    check(&format!("\u{feff}{}", with("mode", json!("session"))), Ok(()));
}

#[test]
fn that_lacks_a_field_names_it_and_its_workflow() {
    check(r#"{"workflows":{"kyc":"x"}}"#, Err("workflows.kyc: an object expected"));
    for (field, expected) in [
        ("handshake_url", "an https URL, or an http one on this machine"),
        ("webhook_url", "an https URL, or an http one on this machine"),
        ("api_key", "a non-empty string that a header can hold"),
    ] {
        for value in [json!(null), json!(""), json!(7), json!(["https://example.com"])] {
            check(&with(field, value), Err(&format!("workflows.kyc.{field}: {expected} expected")));
        }
    }
}

#[test]
fn that_nobody_has_filled_in_names_the_field() {
    for field in ["handshake_url", "webhook_url", "api_key"] {
        let expected = format!("workflows.kyc.{field}: the real value in place of REPLACE-ME expected");
        check(&with(field, json!("REPLACE-ME")), Err(&expected));
    }
}

#[test]
fn urls_are_https_or_stay_on_this_machine() {
    for url in [
        "https://example.com/hooks/1",
        "https://example.com:8443",
        "https://10.0.0.1/w",
        "http://localhost:9000/w",
        "http://LOCALHOST/w",
        "http://127.0.0.1:9000/w",
        "http://127.1.2.3/w",
        "http://[::1]:9000/w",
    ] {
        check(&with("webhook_url", json!(url)), Ok(()));
        check(&with("handshake_url", json!(url)), Ok(()));
    }
    for url in [
        "http://example.com/w",
        "http://10.0.0.1/w",
        "http://0.0.0.0/w",
        "http://localhost.example.com/w",
        "http://127.0.0.1.example.com/w",
        "http://example.com/#@localhost",
        "http://localhost@example.com/w",
        "http://[::2]/w",
        "ftp://localhost/w",
        "file:///etc/passwd",
        "example.com/w",
        "/w",
        "https://",
    ] {
        for field in ["webhook_url", "handshake_url"] {
            let expected = format!("workflows.kyc.{field}: an https URL, or an http one on this machine expected");
            check(&with(field, json!(url)), Err(&expected));
        }
    }
}

#[test]
fn mode_and_header_are_among_those_documented() {
    for (field, good, expected) in [
        ("mode", ["session", "legacy"], r#"workflows.kyc.mode: "session" or "legacy" expected"#),
        (
            "api_key_header",
            ["authorization", "x-api-key"],
            r#"workflows.kyc.api_key_header: "authorization" or "x-api-key" expected"#,
        ),
    ] {
        for value in good {
            check(&with(field, json!(value)), Ok(()));
        }
        check(&with(field, json!(null)), Ok(()));
        for value in [json!("other"), json!(""), json!("Session"), json!(7), json!(true), json!({})] {
            check(&with(field, value), Err(expected));
        }
    }
}

#[test]
fn a_legacy_workflow_needs_no_handshake_url() {
    let workflow = json!({ "webhook_url": "https://example.com/w", "api_key": "k", "mode": "legacy" });
    check(&json!({ "workflows": { "chat": workflow } }).to_string(), Ok(()));
}

#[test]
fn a_key_that_no_header_can_hold_is_refused_without_being_shown() {
    for key in ["sample\nkey", "sample\u{0}key", "sample\rkey"] {
        let error = parse(&with("api_key", json!(key))).map(|_| ()).unwrap_err();
        assert_eq!(error, "workflows.kyc.api_key: a non-empty string that a header can hold expected");
    }
}

#[test]
fn no_error_and_no_debug_output_shows_a_value() {
    for field in ["handshake_url", "webhook_url", "api_key", "api_key_header", "mode"] {
        let error = parse(&with(field, json!("http://hunter2.example.com/\nhunter2"))).map(|_| ()).unwrap_err();
        assert!(error.starts_with(&format!("workflows.kyc.{field}: ")), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    let workflows = parse(&with("mode", json!("session"))).unwrap();
    assert_eq!(format!("{workflows:?}"), "Webhooks(1 workflows, 0 incoming)");
    assert_eq!(workflows.destinations().collect::<Vec<_>>(), [Destination::Workflow("kyc".to_owned())]);
}

#[test]
fn every_problem_is_found_and_what_is_sound_can_be_used() {
    let sound = json!({ "webhook_url": "https://example.com/w", "api_key": "k", "mode": "legacy" });
    let secret = json!({
        "workflows": { "a": sound, "b": { "handshake_url": "REPLACE-ME", "webhook_url": "w", "api_key": "k", "mode": 1 } },
        "incoming_webhooks": { "c": { "url": "https://example.com/c" }, "d": { "url": "", "encryption": {} } },
    });
    let (webhooks, problems) = Webhooks::parse(&secret.to_string());
    let webhooks = webhooks.unwrap();
    let mut known: Vec<String> = webhooks.destinations().map(|to| to.to_string()).collect();
    known.sort();
    assert_eq!(known, ["a", "incoming-webhook:c"]);
    let fields: Vec<(&str, bool)> = problems.iter().map(|it| (it.field.as_str(), it.is_placeholder())).collect();
    let expected = [
        ("workflows.b.mode", false),
        ("workflows.b.webhook_url", false),
        ("incoming_webhooks.d.url", false),
        ("incoming_webhooks.d.encryption.mode", false),
        ("incoming_webhooks.d.encryption.key", false),
    ];
    assert_eq!(fields, expected);
}
