use super::*;

const KEY: &str = "0123456789abcdef0123456789abcdef";
const MESSAGE: &str = r#"{"eventType":"deposit.posted","amount":1000.00}"#;

/// Of OpenSSL and of Node, as in the test of those who encrypt (`shared/src/deliver/encryption/tests.rs`).
const CBC: &str = "f3ad7486137352ff4478134b1412e90cc88d2c54aec0dfb4bae306a84e2d370b7af3be5fa803cae2bede704ac5cf1fb7";
const GCM: &str = "56c7de0abc76a6f8d1ac149c4bedb561966770ee489204e453a8ded09a098ee5d0c443703d972d21a1158b72ea9cbe";
const TAG: &str = "08234afdc7726b9362c56d5aa205351c";
const IV: &str = "000102030405060708090a0b0c0d0e0f";

#[track_caller]
fn check(mode: &str, layout: &str) {
    let (iv, ciphertext, tag) = if mode == "gcm" { (&IV[..24], GCM, TAG) } else { (IV, CBC, "") };
    let mut body = layout.to_owned();
    for parts in ["iv+ciphertext+tag", "iv+ciphertext", "ciphertext+tag", "iv", "ciphertext", "tag"] {
        let hex = parts.replace("iv", iv).replace("ciphertext", ciphertext).replace("tag", tag).replace('+', "");
        body = body.replace(&format!("{{{parts}:hex}}"), &hex);
        body = body.replace(&format!("{{{parts}:base64}}"), &STANDARD.encode(from_hex(&hex).unwrap()));
    }
    let encryption = |layout: &str| json!({ "mode": mode, "key": KEY, "body": layout });
    assert_eq!(decrypt(&encryption(layout), body.as_bytes()).as_deref(), Some(MESSAGE.as_bytes()), "{mode} {layout}");
    assert_eq!(decrypt(&encryption(layout), format!("{body}0").as_bytes()), None, "{mode} {layout}");
    // In a JSON value as in a text.
    let encryption = json!({ "mode": mode, "key": KEY, "body": { "v": [1, layout] } });
    let body = json!({ "v": [1, body] }).to_string();
    assert_eq!(decrypt(&encryption, body.as_bytes()).as_deref(), Some(MESSAGE.as_bytes()), "{mode} {layout}");
}

#[test]
fn every_layout_is_taken_apart_also_without_text_between_its_placeholders() {
    for encoding in ["hex", "base64"] {
        let with = |layout: &str| layout.replace('*', encoding);
        check("cbc", &with("{iv:*}{ciphertext:*}"));
        check("cbc", &with("{ciphertext:*}{iv:*}"));
        check("cbc", &with("{iv+ciphertext:*}"));
        for between in ["", ".", "e0", "=="] {
            check("gcm", &with(&format!("v1 {{iv:*}}{between}{{ciphertext:*}}{between}{{tag:*}}")));
            check("gcm", &with(&format!("{{tag:*}}{between}{{ciphertext:*}}{between}{{iv:*}} end")));
            check("gcm", &with(&format!("{{iv:*}}{between}{{ciphertext+tag:*}}")));
            check("gcm", &with(&format!("{{iv+ciphertext:*}}{between}{{tag:*}}")));
            check("gcm", &with(&format!("{{ciphertext:*}}{between}{{iv+ciphertext+tag:*}}")));
        }
    }
}
