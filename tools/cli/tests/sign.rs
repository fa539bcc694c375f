//! `bridge sign --fresh`: another event each time, signed, and its key named.

use std::process::{Command, Output};

fn sign(form: &str) -> Output {
    let body = concat!(env!("CARGO_MANIFEST_DIR"), "/../../events/rail/account_open.json");
    let arguments = ["sign", "rail", body, "--fresh", "--as", form];
    Command::new(env!("CARGO_BIN_EXE_bridge")).args(arguments).output().expect("`bridge` starts")
}

#[test]
fn a_fresh_event_has_an_id_of_its_own_that_its_key_names() {
    let mut keys = Vec::new();
    for _ in 0..2 {
        let output = sign("apigw");
        let event: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let body: serde_json::Value = serde_json::from_str(event["body"].as_str().unwrap()).unwrap();
        let key = format!("rail#{}", body["event_id"].as_str().unwrap());
        assert_eq!(String::from_utf8(output.stderr).unwrap(), format!("New event: {key}\n"));
        keys.push(key);
    }
    assert_ne!(keys[0], keys[1]);
}

#[test]
fn a_body_that_is_not_printed_is_not_changed() {
    let output = sign("headers");
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
}
