//! `bridge sign --fresh`: another event each time, signed, and its key named.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
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

#[test]
fn a_url_is_one_word_of_the_shell_whatever_it_holds() {
    let folder = tempfile::tempdir().unwrap();
    // Stands for curl, and prints what it was given.
    std::fs::write(folder.path().join("curl"), "#!/bin/sh\nprintf '%s\\n' \"$@\"\n").unwrap();
    std::fs::set_permissions(folder.path().join("curl"), Permissions::from_mode(0o755)).unwrap();
    let body = concat!(env!("CARGO_MANIFEST_DIR"), "/../../events/rail/account_open.json");
    for url in ["http://h/$(id)", "http://h/`id`;id|id&id", "http://h/it's \"x\"", "-o/tmp/x", "http://h/a?b=c&d=e"] {
        let mut sign = Command::new(env!("CARGO_BIN_EXE_bridge"));
        let signed = sign.args(["sign", "rail", body, "--as", "curl", &format!("--url={url}")]).output().unwrap();
        let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
        let line = String::from_utf8(signed.stdout).unwrap();
        let ran = Command::new("sh").args(["-c", &line]).env("PATH", path).output().unwrap();
        let words = String::from_utf8(ran.stdout).unwrap();
        assert!(words.starts_with(&format!("-sS\n--url\n{url}/webhooks/rail\n-H\n")), "{line}{words}");
    }
}
