use std::fs::{Permissions, set_permissions, write};
use std::os::unix::fs::symlink;

use super::*;
use crate::error::ErrorKind;

/// A value of which each field is right, with this in place of each key.
fn sound(key: &str) -> Value {
    json!({
        "rail_signing": { "keys": { "sub_1": key } },
        "rail_api": { "base_url": "https://rail.example/api", "token_url": "https://login.example/token", "client_id": "a", "client_secret": key },
        "rillis_signing": { "keys": { "current": key } },
        "returning_ai": { "workflows": { "kyc": { "handshake_url": "https://rai.example/h", "webhook_url": "https://rai.example/w", "api_key": key } } },
    })
}

#[test]
fn the_file_has_the_four_secrets_and_any_of_them_is_enough() {
    let whole = sound("hunter2");
    let all = parse(&whole.to_string()).unwrap();
    assert_eq!(all.iter().map(|(secret, _)| secret.field()).collect::<Vec<_>>(), names_of(&whole));
    for (field, value) in whole.as_object().unwrap() {
        let [(secret, read)] = parse(&json!({ field: value }).to_string()).unwrap().try_into().unwrap();
        assert_eq!((secret.field(), &read), (field.clone(), value));
    }
}

#[test]
fn the_template_has_every_secret_and_each_of_its_values_is_refused_until_it_is_replaced() {
    let template: Value = serde_json::from_str(&template()).unwrap();
    let fields: Vec<String> = SecretKind::all().into_iter().map(SecretKind::field).collect();
    let mut sorted = fields.clone();
    sorted.sort();
    assert_eq!(template.as_object().unwrap().keys().cloned().collect::<Vec<_>>(), sorted);
    let placeholders = template.to_string().matches(PLACEHOLDER).count();
    let problems = parse(&template.to_string()).unwrap_err();
    assert_eq!(problems.len(), placeholders, "{problems:?}");
    for field in fields {
        assert!(problems.iter().any(|problem| problem.starts_with(&field)), "{field}: {problems:?}");
    }
    assert!(problems.iter().all(|problem| problem.ends_with("the real value in place of REPLACE-ME expected")));
}

#[track_caller]
fn refused(text: &str, expected: &[&str]) {
    assert_eq!(parse(text).unwrap_err(), expected, "{text}");
}

#[test]
fn all_problems_are_told_at_once_by_their_fields() {
    let known = "known are rail_signing, rail_api, rillis_signing, returning_ai";
    refused("\u{feff}{}", &[&format!("no secret; {known}")]);
    refused(r#""hunter2""#, &["a JSON object of secrets expected"]);
    refused("{\"rail_api\": hunter2}", &["not JSON: expected value at line 1 column 14"]);
    refused(
        &json!({
            "rail_signing": "hunter2",
            "rail_api": { "base_url": "http://rail.example", "client_id": "a" },
            "rillis_sining": {},
            "returning_ai": { "workflows": { "kyc": {
                "handshake_url": "https://rai.example/h", "webhook_url": "REPLACE-ME", "api_key": 7,
            } } },
        })
        .to_string(),
        &[
            "rail_signing: the secret: a JSON object expected",
            "rail_api: base_url: an https URL, or an http one on this machine expected",
            "rail_api: token_url: an https URL, or an http one on this machine expected",
            "rail_api: client_secret: a non-empty string expected",
            "returning_ai: workflows.kyc.api_key: a non-empty string that a header can hold expected",
            "returning_ai: workflows.kyc.webhook_url: the real value in place of REPLACE-ME expected",
            &format!("rillis_sining: unknown; {known}"),
        ],
    );
}

/// Whoever knows the address of the tunnel could sign with it.
#[test]
fn a_sample_key_of_this_repository_is_no_signing_key_of_a_sandbox() {
    let expected = "rillis_signing: keys.current is a sample key of this repository, which is public";
    let key = local::stack::sample_key("rillis");
    refused(&json!({ "rillis_signing": { "keys": { "current": key } } }).to_string(), &[expected]);
}

#[test]
fn no_value_is_shown_whatever_is_wrong() {
    let secret = "hunter2";
    let mut texts = vec![format!("{secret}"), format!("\"{secret}\""), format!("[\"{secret}\"]")];
    for (field, value) in sound(secret).as_object().unwrap() {
        texts.push(json!({ field: secret }).to_string());
        texts.push(json!({ field: { secret: value } }).to_string());
        texts.push(json!({ format!("{field}_"): value }).to_string());
        texts.push(sound(secret).to_string().replacen("\"keys\"", "\"kyes\"", 1));
    }
    for text in texts {
        let problems = parse(&text).unwrap_err().join("\n");
        assert!(!problems.contains(secret), "{problems}");
    }
}

#[test]
fn a_file_that_others_can_read_is_refused_and_so_is_a_link_to_one() {
    let folder = tempfile::tempdir().unwrap();
    let (file, link) = (folder.path().join("secrets.json"), folder.path().join("link.json"));
    write(&file, sound("hunter2").to_string()).unwrap();
    symlink(&file, &link).unwrap();
    for mode in [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o644] {
        set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        for path in [&file, &link] {
            let refused = read(path).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Usage);
            assert!(refused.problem().ends_with(&format!("its mode is {mode:03o}")), "{refused}");
            assert_eq!(refused.hint(), format!("chmod 600 {}", path.display()));
        }
    }
    for mode in [0o600, 0o400] {
        set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        assert_eq!(read(&link).unwrap().len(), 4);
    }
    let absent = read(&folder.path().join("none.json")).unwrap_err();
    assert!(absent.hint().starts_with("`bridge dev --secrets-template > "), "{absent}");
}

/// In the order of [`SecretKind::all`].
fn names_of(whole: &Value) -> Vec<String> {
    let names: Vec<_> = SecretKind::all().into_iter().map(SecretKind::field).collect();
    assert_eq!(names.len(), whole.as_object().unwrap().len());
    names
}
