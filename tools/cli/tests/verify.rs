//! `bridge verify` as a program: its exit codes, and that no output of it holds a key or a signature that was computed.

#![allow(clippy::unwrap_used, reason = "clippy.toml allows it in test functions; these are called by them")]

use std::path::Path;
use std::process::Command;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tempfile::TempDir;

const BODY: &str = r#"{"event_id":"evt_1","event_type":"ACCOUNT_OPEN","b":1,"a":2}"#;
const SORTED: &str = r#"{"a":2,"b":1,"event_id":"evt_1","event_type":"ACCOUNT_OPEN"}"#;
const STAMP: &str = "1747253577";
/// Base64 of text that says so too.
const KEY: &str = "whsec_TUFSS0VEX3NhbXBsZV9rZXlfTUFSS0VE";

fn signature(key: &str, message: &str) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap().chain_update(message).finalize();
    mac.into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

struct Output {
    code: Option<i32>,
    text: String,
}

fn verify(folder: &Path, signature: &str, extra: &[&str]) -> Output {
    let headers = format!("x-rail-signature: {signature}\nx-rail-timestamp: {STAMP}\n");
    std::fs::write(folder.join("headers.txt"), headers).unwrap();
    std::fs::write(folder.join("body.json"), BODY).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_bridge"))
        .current_dir(folder)
        .args(["verify", "rail", "--headers", "headers.txt", "--body", "body.json"])
        .args(extra)
        .output()
        .unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    Output { code: output.status.code(), text }
}

fn keys() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rail.key"), format!("{KEY}\n")).unwrap();
    let secret = serde_json::json!({ "keys": { "sub_1": "sample_other", "sub_2": KEY } });
    std::fs::write(folder.path().join("secret.json"), secret.to_string()).unwrap();
    folder
}

#[test]
fn a_capture_is_accepted_as_of_its_own_time_with_any_key_of_a_secret() {
    let folder = keys();
    let good = signature(KEY, &format!("{STAMP}.{BODY}"));
    for (key, at) in [("rail.key", STAMP), ("secret.json", "2025-05-14T20:12:57Z")] {
        let said = verify(folder.path(), &good, &["--key-file", key, "--at", at]);
        assert_eq!(said.code, Some(0), "{}", said.text);
        assert!(said.text.starts_with("accepted\nsigned form: raw\n"), "{}", said.text);
    }
}

#[test]
fn a_refusal_ends_with_3_says_why_and_shows_no_key_and_no_computed_signature() {
    let folder = keys();
    let good = signature(KEY, &format!("{STAMP}.{BODY}"));
    let of_sorted = signature(KEY, &format!("{STAMP}.{SORTED}"));
    let key_file = ["--key-file", "rail.key", "--at", STAMP];
    let cases: [(&str, &[&str], &str); 6] = [
        (&of_sorted, &key_file, "refused: signature_mismatch\n  the signature is over the body with its keys sorted\n"),
        (&good, &["--key-file", "rail.key"], "s before now; 300 s are allowed\n  the signature itself is right"),
        (
            &good,
            &["--key-file", "rail.key", "--at", "1747253989"],
            "  signed 412 s before the time of --at; 300 s are allowed\n",
        ),
        (&good, &["--other-key-file", "rail.key", "--at", STAMP], "  rail.key, a key of the other provider, matches\n"),
        (&format!("sha256={good}"), &key_file, "refused: header_malformed\n  the signature is prefixed with `sha256=`"),
        (&"0".repeat(64), &key_file, "  a guess: signed with a key that is not here"),
    ];
    for (signature, arguments, expected) in cases {
        let said = verify(folder.path(), signature, arguments);
        assert_eq!(said.code, Some(3), "{}", said.text);
        assert!(said.text.contains(expected), "{}", said.text);
        for secret in [KEY, "MARKED", "TUFSS0VE", "sample_other", &good, &of_sorted] {
            assert!(!said.text.contains(secret), "{}", said.text);
        }
    }
}

#[test]
fn what_a_copied_key_picked_up_is_said_and_no_part_of_the_key_is() {
    let folder = keys();
    let good = signature(KEY, &format!("{STAMP}.{BODY}"));
    for (copied, found) in [
        (format!("SIGNING_KEY={KEY}"), "rail.key matches without the name before it, and not as it is"),
        (
            format!("export KEY=\"{KEY}\"\n"),
            "rail.key matches without the name before it, without the quotes around it, and",
        ),
        (format!("\u{201c}{KEY}\u{201d}"), "rail.key matches without the typographic quotes around it"),
        (format!("{}\u{200b}{}", &KEY[..9], &KEY[9..]), "rail.key matches without the invisible characters in it"),
        (format!("<{KEY}>"), "rail.key matches without the brackets around it"),
        (format!("{KEY}\u{a0}"), "rail.key matches without the white space around it"),
        ("whsec_TUFS********".to_owned(), "a guess: rail.key is masked: a page showed it in place of the key"),
        (format!("{}\u{430}", &KEY[..9]), "a guess: rail.key contains characters that are not ASCII"),
    ] {
        std::fs::write(folder.path().join("rail.key"), &copied).unwrap();
        let said = verify(folder.path(), &good, &["--key-file", "rail.key", "--at", STAMP]);
        assert_eq!(said.code, Some(3), "{}", said.text);
        assert!(said.text.contains(found), "{copied:?}: {}", said.text);
        assert!(!said.text.contains("TUFS") && !said.text.contains("MARKED"), "{}", said.text);
    }
}
