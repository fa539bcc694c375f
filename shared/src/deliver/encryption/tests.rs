use std::collections::HashSet;
use std::io::{ErrorKind, Write};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::*;
use crate::outside::secrets;

const KEY: &str = "0123456789abcdef0123456789abcdef";
const MESSAGE: &str = r#"{"eventType":"deposit.posted","amount":1000.00}"#;

fn read(encryption: &Value) -> Result<Encryption, String> {
    let secret = json!({ "encryption": encryption }).to_string();
    let (read, problems) =
        secrets::read(&secret, |fields| Encryption::read(&fields.object("encryption", "an object")?));
    match (read, &problems[..]) {
        (Some(encryption), []) => Ok(encryption),
        (None, [problem]) => Err(problem.to_string()),
        (read, problems) => panic!("{}, {problems:?}", read.is_some()),
    }
}

/// Each mode with each layout that it can have: the default's, and every placeholder in both encodings, in JSON and as text with and
/// without something between them.
fn all() -> Vec<Value> {
    let mut all = Vec::new();
    for (mode, layouts) in [
        (
            "gcm",
            &[
                &["iv", "ciphertext", "tag"][..],
                &["iv", "ciphertext+tag"],
                &["iv+ciphertext", "tag"],
                &["iv+ciphertext+tag"],
            ][..],
        ),
        ("cbc", &[&["iv", "ciphertext"], &["iv+ciphertext"]]),
    ] {
        all.push(json!({ "mode": mode, "key": KEY }));
        for placeholders in layouts {
            for encoding in ["base64", "hex"] {
                let placed: Vec<String> = placeholders.iter().map(|parts| format!("{{{parts}:{encoding}}}")).collect();
                let object: Map<String, Value> =
                    placed.iter().enumerate().map(|(at, it)| (format!("f{at}"), json!(it))).collect();
                let nested = json!({ "v": 1, "data": [{ "sealed": placed }, null], "note": "AES" });
                for body in [Value::Object(object), nested, json!(placed.join(".")), json!(placed.concat())] {
                    all.push(json!({ "mode": mode, "key": KEY, "body": body }));
                }
            }
        }
    }
    assert_eq!(all.len(), 2 + 6 * 2 * 4);
    all
}

#[test]
fn ciphertexts_are_those_of_openssl_and_node() {
    let key: [u8; 32] = KEY.as_bytes().try_into().unwrap();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    // `printf %s "$MESSAGE" | openssl enc -aes-256-cbc -K "$(printf %s $KEY | xxd -p -c 64)" -iv 000102...0f | xxd -p`
    let parts = cbc(&key, std::array::from_fn(|at| at as u8), MESSAGE.as_bytes());
    let expected = "f3ad7486137352ff4478134b1412e90cc88d2c54aec0dfb4bae306a84e2d370b7af3be5fa803cae2bede704ac5cf1fb7";
    assert_eq!((hex(&parts.ciphertext).as_str(), parts.tag.len()), (expected, 0));
    // Node 20: `createCipheriv("aes-256-gcm", KEY, 000102...0b)`, `getAuthTag()`
    let parts = gcm(&key, std::array::from_fn(|at| at as u8), MESSAGE.as_bytes()).unwrap();
    let expected = "56c7de0abc76a6f8d1ac149c4bedb561966770ee489204e453a8ded09a098ee5d0c443703d972d21a1158b72ea9cbe";
    assert_eq!(
        (hex(&parts.ciphertext).as_str(), hex(&parts.tag).as_str()),
        (expected, "08234afdc7726b9362c56d5aa205351c")
    );
}

#[test]
fn node_decrypts_every_layout_and_openssl_every_one_of_cbc() {
    let Some(mut node) = started("node", &["--input-type=module", "--eval", include_str!("against_node.mjs")]) else {
        return;
    };
    let (mut asked, mut modes) = (String::new(), Vec::new());
    for encryption in all() {
        let sealed = read(&encryption).unwrap().seal(MESSAGE.as_bytes()).unwrap();
        let mode = encryption["mode"].as_str().unwrap();
        let layout = match &encryption["body"] {
            Value::Null if mode == "gcm" => json!({ "iv": "{iv:base64}", "data": "{ciphertext+tag:base64}" }),
            Value::Null => json!({ "iv": "{iv:base64}", "data": "{ciphertext:base64}" }),
            body => body.clone(),
        };
        let body = std::str::from_utf8(&sealed.body).unwrap();
        let kind = if layout.is_string() { "text/plain; charset=utf-8" } else { "application/json" };
        assert_eq!(sealed.content_type, kind);
        asked += &format!("{}\n", json!({ "mode": mode, "key": KEY, "layout": layout, "body": body }));
        modes.push(mode.to_owned());
    }
    // All of it fits into a pipe's buffer.
    assert!(asked.len() < 60_000, "{}", asked.len());
    node.stdin.take().unwrap().write_all(asked.as_bytes()).unwrap();
    let output = node.wait_with_output().unwrap();
    assert!(output.status.success());
    let answers: Vec<Value> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), modes.len());
    let mut ivs = HashSet::new();
    for (answer, mode) in answers.iter().zip(&modes) {
        assert_eq!(answer["text"], MESSAGE, "{mode}");
        let iv = answer["iv"].as_str().unwrap();
        assert_eq!(iv.len(), if mode == "gcm" { 24 } else { 32 });
        assert!(ivs.insert(iv), "an IV is used once");
        if mode == "cbc" {
            by_openssl(iv, answer["ciphertext"].as_str().unwrap());
        }
    }
}

/// `None` where the program is missing, which is told.
fn started(program: &str, arguments: &[&str]) -> Option<Child> {
    match Command::new(program).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            eprintln!("LEFT OUT: the comparison with `{program}` needs it on the PATH, and there is none");
            None
        }
        started => Some(started.unwrap()),
    }
}

/// The command has no GCM.
fn by_openssl(iv: &str, ciphertext: &str) {
    let key: String = KEY.bytes().map(|byte| format!("{byte:02x}")).collect();
    let Some(mut openssl) = started("openssl", &["enc", "-d", "-aes-256-cbc", "-K", &key, "-iv", iv]) else { return };
    let bytes = |at: usize| u8::from_str_radix(&ciphertext[at..at + 2], 16).unwrap();
    let bytes: Vec<u8> = (0..ciphertext.len()).step_by(2).map(bytes).collect();
    openssl.stdin.take().unwrap().write_all(&bytes).unwrap();
    let output = openssl.wait_with_output().unwrap();
    assert_eq!((output.status.success(), output.stdout), (true, MESSAGE.as_bytes().to_vec()));
}

#[test]
fn an_iv_is_used_once() {
    for (mode, length) in [("gcm", 24), ("cbc", 32)] {
        let encryption = read(&json!({ "mode": mode, "key": KEY, "body": "{iv:hex} {iv+ciphertext+tag:hex}".replace(if mode == "cbc" { "+tag" } else { "" }, "") })).unwrap();
        let seal = || String::from_utf8(encryption.seal(MESSAGE.as_bytes()).unwrap().body.to_vec()).unwrap();
        let bodies: Vec<String> = (0..100).map(|_| seal()).collect();
        let ivs: HashSet<&str> = bodies.iter().map(|body| body.split_once(' ').unwrap().0).collect();
        assert!(ivs.len() == 100 && ivs.iter().all(|iv| iv.len() == length), "{mode}");
        assert!(bodies.iter().all(|body| body.split_once(' ').is_some_and(|(iv, all)| all.starts_with(iv))));
    }
}

#[test]
fn a_key_a_mode_and_a_layout_that_cannot_be_right_name_their_field() {
    let with = |field: &str, value: Value| {
        let mut encryption = json!({ "mode": "gcm", "key": KEY });
        encryption[field] = value;
        encryption
    };
    #[track_caller]
    fn check(encryption: &Value, expected: &str) {
        assert_eq!(read(encryption).map(|_| ()), Err(format!("encryption.{expected} expected")), "{encryption}");
    }
    for key in ["", "0123456789abcdef", &format!("{KEY}0"), "0123456789abcdef0123456789abcdé"] {
        let is_right = key.len() == 32;
        let encryption = with("key", json!(key));
        match is_right {
            true => assert!(read(&encryption).is_ok()),
            false => check(&encryption, "key: a key of 32 bytes"),
        }
    }
    for key in [json!(null), json!(7), json!([KEY])] {
        check(&with("key", key), "key: a key of 32 bytes");
    }
    check(&with("key", json!("REPLACE-ME")), "key: the real value in place of REPLACE-ME");
    for mode in [json!(null), json!("AES-256-GCM"), json!("ecb"), json!(1)] {
        check(&with("mode", mode), "mode: \"gcm\" or \"cbc\"");
    }
    check(&with("bodies", json!("{iv:hex}")), "bodies: nothing beside `mode`, `key` and `body`");
    // A key in the place of a name is not shown.
    check(&with(KEY, json!("x")), "(a name that looks like a key): nothing beside `mode`, `key` and `body`");

    let unknown = format!("{PLACEHOLDER} expected");
    for text in ["{nonce:hex}", "{iv}", "{iv:base32}", "{iv:hex", "{:hex}", "{iv+tag:hex}", "{{iv:hex}}", "{ iv:hex }"]
    {
        assert_eq!(read(&with("body", json!(text))).err(), Some(format!("encryption.body: {unknown}")), "{text}");
        let nested = json!({ "iv": "{iv:hex}", "data": ["x", { "whsec_1": text }] });
        let field = "encryption.body.data.1.(a name that looks like a key)";
        assert_eq!(read(&with("body", nested)).err(), Some(format!("{field}: {unknown}")), "{text}");
    }
    for (mode, body, expected) in [
        ("gcm", json!("{ciphertext+tag:hex}"), "a layout with the `iv`"),
        ("gcm", json!({}), "a layout with the `iv`"),
        ("cbc", json!({ "data": "{ciphertext:hex}" }), "a layout with the `iv`"),
        ("cbc", json!(["{iv:hex}", 7]), "a layout with the `ciphertext`"),
        ("gcm", json!("{iv+ciphertext:hex}"), "a layout with the `tag`, without which gcm cannot be decrypted"),
        ("cbc", json!("{iv+ciphertext+tag:hex}"), "a layout without `tag`: cbc has none"),
    ] {
        check(&json!({ "mode": mode, "key": KEY, "body": body }), &format!("body: {expected}"));
    }
}
