use super::*;
use crate::verify::header_map;

const NOW: u64 = 1_747_253_577;
const BODY: &str =
    r#"{"event_id":"evt_1","amount":1000.00,"note":"a/b <é>","more":{"z":1,"b":[1e3,{"y":true,"x":null}]}}"#;
const KEY: &str = "whsec_TUFSS0VEbWFya2VkTUFSS0VEbWFya2Vk";
const HEX_KEY: &str = "4d41524b45446d61726b65644d41524b";

/// A captured delivery, good unless a test changes it; signed by `hmac` itself.
#[derive(Clone)]
struct Case {
    provider: &'static Provider,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    keys: Vec<(KeyOrigin, String)>,
    now: u64,
}

fn mac(key: &[u8], message: &[u8]) -> Vec<u8> {
    Hmac::<Sha256>::new_from_slice(key).unwrap().chain_update(message).finalize().into_bytes().to_vec()
}

fn stamped(text: &str) -> Vec<u8> {
    [NOW.to_string().as_bytes(), b".", text.as_bytes()].concat()
}

/// Rail's delivery of `BODY` with this signature.
fn case(signature: impl Into<String>) -> Case {
    Case {
        provider: providers::by_name("rail").unwrap(),
        headers: vec![("x-rail-signature", signature.into()), ("x-rail-timestamp", NOW.to_string())],
        body: BODY.as_bytes().to_vec(),
        keys: vec![(KeyOrigin::Provider, KEY.to_owned())],
        now: NOW,
    }
}

/// `BODY` arrives, and `text` was signed.
fn signed(text: &str) -> Case {
    case(hex(&mac(KEY.as_bytes(), &stamped(text))))
}

/// `BODY` is signed by these bytes instead of the key.
fn signed_by(key: impl AsRef<[u8]>) -> Case {
    case(hex(&mac(key.as_ref(), &stamped(BODY))))
}

impl Case {
    fn body(self, body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..self }
    }

    fn key(self, key: &str) -> Self {
        Self { keys: vec![(KeyOrigin::Provider, key.to_owned())], ..self }
    }

    fn findings(&self) -> Vec<Finding> {
        let headers = header_map(self.headers.iter().map(|(name, value)| (*name, value.as_str())));
        let key =
            |(of, key): &(KeyOrigin, String)| CandidateKey { label: "rail.key".to_owned(), key: key.clone(), of: *of };
        let keys: Vec<CandidateKey> = self.keys.iter().map(key).collect();
        let now = UnixMillis(self.now * 1000);
        let capture = Capture { provider: self.provider, headers: &headers, body: &self.body, now, as_of: false };
        let findings = explain(&capture, &keys);
        for Finding { text, .. } in &findings {
            assert!(self.keys.iter().all(|(_, key)| !text.contains(key.trim())), "{text}");
            assert!(!text.to_lowercase().contains("marked") && !text.contains("TUFSS0VE"), "{text}");
            let digits = text.split(|c: char| !c.is_ascii_hexdigit()).map(str::len).max();
            assert!(digits.unwrap_or_default() < 16, "{text}");
        }
        findings
    }
}

/// The findings by code, a guess with a question mark.
#[track_caller]
fn check(case: &Case, expected: &[&str]) {
    let findings = case.findings();
    let name = |it: &Finding| format!("{}{}", it.code, if it.is_guess { "?" } else { "" });
    assert_eq!(findings.iter().map(name).collect::<Vec<_>>(), expected, "{findings:#?}");
}

#[track_caller]
fn says(case: &Case, expected: &str) {
    let findings: Vec<String> = case.findings().iter().map(ToString::to_string).collect();
    assert!(findings.iter().any(|it| it == expected), "{findings:#?}");
}

#[test]
fn a_header_that_is_missing_renamed_empty_or_there_twice_is_told() {
    let good = signed(BODY);
    let without = |name: &str| {
        let headers = good.headers.iter().filter(|(header, _)| *header != name).cloned().collect();
        Case { headers, ..good.clone() }
    };
    check(&without("x-rail-signature"), &["header_missing"]);
    says(&without("x-rail-signature"), "header `x-rail-signature` is missing");
    let mut renamed = without("x-rail-signature");
    renamed.headers.push(("x_rail_signature", good.headers[0].1.clone()));
    check(&renamed, &["header_missing", "header_renamed?"]);
    let mut empty = good.clone();
    empty.headers[0].1.clear();
    check(&empty, &["header_empty"]);

    let mut twice = good.clone();
    twice.headers.push(("X-Rail-Timestamp", NOW.to_string()));
    check(&twice, &["header_twice", "signature_right"]);
    says(&twice, "header `x-rail-timestamp` occurs 2 times, with the same value");
    twice.headers[2].1 = "1747253578".to_owned();
    says(&twice, "header `x-rail-timestamp` occurs 2 times, with different values");
    let mut joined = good.clone();
    joined.headers[0].1 = format!("{0},{0}", good.headers[0].1);
    check(&joined, &["header_joined?", "signature_malformed"]);
}

#[test]
fn a_delivery_of_the_other_provider_is_known_by_its_headers() {
    let other = Case { provider: providers::by_name("rillis").unwrap(), ..signed(BODY) };
    check(&other, &["header_missing", "header_missing", "headers_of_other_provider?"]);
}

#[test]
fn the_clock_is_told_in_words_with_its_direction_and_whether_the_rest_is_right() {
    let late = Case { now: NOW + 412, ..signed(BODY) };
    check(&late, &["clock", "signature_right"]);
    says(&late, "signed 412 s before now; 300 s are allowed");
    says(&late, "the signature itself is right: form raw, key rail.key");
    let early = Case { now: NOW - 412, ..signed(BODY) };
    check(&early, &["clock", "clock_of_whom?", "signature_right"]);
    says(&early, "signed 412 s after now; 300 s are allowed");
    check(&Case { now: NOW + 300, ..signed(BODY) }, &["signature_right"]);
}

#[test]
fn a_timestamp_in_another_unit_or_as_a_date_is_told() {
    let mut millis = case(hex(&mac(KEY.as_bytes(), format!("{NOW}042.{BODY}").as_bytes())));
    millis.headers[1].1 = format!("{NOW}042");
    check(&millis, &["timestamp_unit?", "signature_right"]);
    says(&millis, "a guess: header `x-rail-timestamp` reads as a count of milliseconds; seconds are expected");
    let mut in_seconds = signed(BODY);
    in_seconds.headers[1].1 = format!("{NOW}042");
    check(&in_seconds, &["timestamp_unit?", "signed_in_seconds"]);
    check(&case(hex(&mac(KEY.as_bytes(), format!("{NOW}000.{BODY}").as_bytes()))), &["signed_in_milliseconds"]);
    let mut date = signed(BODY);
    date.headers[1].1 = "2025-05-14T20:12:57Z".to_owned();
    check(&date, &["timestamp_is_a_date", "signed_in_seconds"]);
    let mut words = signed(BODY);
    words.headers[1].1 = "soon".to_owned();
    check(&words, &["timestamp_malformed", "nothing_fits", "other_key_or_body?"]);
}

#[test]
fn a_body_that_was_spelled_anew_on_the_way_is_told_with_what_changed() {
    let compact = |text: &str| signed(text);
    let sorted =
        r#"{"amount":1000.00,"event_id":"evt_1","more":{"b":[1e3,{"x":null,"y":true}],"z":1},"note":"a/b <é>"}"#;
    let at_the_top =
        r#"{"amount":1000.00,"event_id":"evt_1","more":{"z":1,"b":[1e3,{"y":true,"x":null}]},"note":"a/b <é>"}"#;
    let spaced = r#"{"event_id": "evt_1", "amount": 1000.00, "note": "a/b <é>", "more": {"z": 1, "b": [1e3, {"y": true, "x": null}]}}"#;
    let indented = "{\n  \"event_id\": \"evt_1\",\n  \"amount\": 1000.00,\n  \"note\": \"a/b <é>\",\n  \"more\": {\n    \"z\": 1,\n    \"b\": [\n      1e3,\n      {\n        \"y\": true,\n        \"x\": null\n      }\n    ]\n  }\n}";
    let cases = [
        (compact(sorted), &["body_order", "first_difference", "body_changed?"][..]),
        (compact(at_the_top), &["body_order", "first_difference", "body_changed?"]),
        (compact(spaced), &["body_whitespace", "first_difference", "body_changed?"]),
        (compact(indented), &["body_whitespace", "first_difference", "body_changed?"]),
        (signed(BODY).body(spaced), &["body_whitespace", "first_difference", "body_changed?"]),
        (signed(BODY).body(indented), &["body_whitespace", "first_difference", "body_changed?"]),
        (signed(BODY).body(BODY.replacen(':', " : ", 1)), &["body_whitespace", "first_difference", "body_changed?"]),
        (
            compact(&BODY.replace("1000.00", "1000.0").replace("1e3", "1000.0")),
            &["body_numbers", "first_difference", "body_changed?"],
        ),
        (signed(&BODY.replace("1000.00", "1000").replace("1e3", "1000")), &["signature_right"]),
        (compact(&BODY.replace('é', "\\u00e9")), &["body_escapes", "first_difference", "body_changed?"]),
        (signed(BODY).body(BODY.replace('é', "\\u00e9")), &["body_escapes", "first_difference", "body_changed?"]),
        (compact(&BODY.replace('/', "\\/")), &["body_escapes", "first_difference", "body_changed?"]),
        (signed(BODY).body(BODY.replace('/', "\\/")), &["body_escapes", "first_difference", "body_changed?"]),
        (
            compact(&BODY.replace('é', "\\u00e9").replace('/', "\\/")),
            &["body_escapes", "first_difference", "body_changed?"],
        ),
        (
            compact(&BODY.replace('<', "\\u003c").replace('>', "\\u003e")),
            &["body_escapes", "first_difference", "body_changed?"],
        ),
        (
            compact(&sorted.replace("1000.00", "1000").replace("1e3", "1000")),
            &["body_order", "body_numbers", "first_difference", "body_changed?"],
        ),
        (
            compact(&spaced.replace("1000.00", "1000.0").replace("1e3", "1000.0").replace('é', "\\u00e9")),
            &["body_whitespace", "body_numbers", "body_escapes", "first_difference", "body_changed?"],
        ),
        (signed(&format!("{BODY}\n")), &["body_newline_cut", "first_difference", "body_changed?"]),
        (signed(&format!("{BODY}\r\n")), &["body_newline_cut", "first_difference", "body_changed?"]),
        (signed(BODY).body(format!("{BODY}\n")), &["body_newline_added", "first_difference", "body_changed?"]),
        (signed(BODY).body(format!("{BODY}\r\n")), &["body_newline_added", "first_difference", "body_changed?"]),
        (signed(BODY).body(format!(" {BODY}")), &["body_not_trimmed", "first_difference", "body_changed?"]),
        (signed("{\n\"a\": 1 }").body("{\r\n\"a\": 1 }"), &["body_lf", "first_difference", "body_changed?"]),
        (signed("{\r\n\"a\": 1 }").body("{\n\"a\": 1 }"), &["body_crlf", "first_difference", "body_changed?"]),
        (signed(&format!("\u{feff}{BODY}")), &["body_mark_cut", "first_difference", "body_changed?"]),
        (signed(BODY).body(format!("\u{feff}{BODY}")), &["body_mark_added", "first_difference", "body_changed?"]),
        (signed(BODY).body(BODY.replace('é', "Ã©")), &["body_charset", "first_difference", "body_changed?"]),
        (signed(BODY).body(serde_json::json!(BODY).to_string()), &["body_quoted", "first_difference", "body_changed?"]),
        (signed(BODY).body(STANDARD.encode(BODY)), &["body_base64", "first_difference", "body_changed?"]),
    ];
    for (case, expected) in cases {
        check(&case, expected);
    }
    let python = compact(&sorted.replace("1000.00", "1000.0").replace("1e3", "1000.0"));
    says(&python, "and with its numbers as Python prints them (1000.00 as 1000.0)");
    says(&compact(sorted), "the signature is over the body with its keys sorted");
    says(
        &signed(&format!("{BODY}\n")),
        "the signature is over the body with a newline at its end: something on the way cut it",
    );
}

#[test]
fn a_body_of_rillis_whose_numbers_or_order_are_not_javascript_s_is_told() {
    let rillis = |text: &str| {
        let case = signed(text);
        let headers = vec![("x-signature", case.headers[0].1.clone()), ("x-timestamp", NOW.to_string())];
        Case { provider: providers::by_name("rillis").unwrap(), headers, ..case }
    };
    let sorted =
        r#"{"amount":1000.00,"event_id":"evt_1","more":{"b":[1e3,{"x":null,"y":true}],"z":1},"note":"a/b <é>"}"#;
    check(&rillis(&sorted.replace("1000.00", "1000").replace("1e3", "1000")), &["signature_right"]);
    says(
        &rillis(sorted),
        "from the form rebuilt, which is accepted, it first differs at byte 14: `.00,\"event_i` was signed instead of `,\"event_id\":`",
    );
    check(&rillis(sorted), &["body_order", "first_difference", "body_changed?"]);
    let python = sorted.replace("1000.00", "1000.0").replace("1e3", "1000.0");
    check(&rillis(&python), &["body_order", "body_numbers", "first_difference", "body_changed?"]);
}

#[test]
fn another_form_of_a_key_or_a_key_of_somebody_else_is_told() {
    let other = |of| Case {
        keys: vec![(KeyOrigin::Provider, "sample_other".to_owned()), (of, KEY.to_owned())],
        ..signed(BODY)
    };
    let bare = KEY.strip_prefix("whsec_").unwrap();
    let cases = [
        (other(KeyOrigin::OtherProvider), &["key_of_other_provider"][..]),
        (other(KeyOrigin::Sample), &["key_is_the_sample"]),
        (signed_by(STANDARD.encode(KEY)), &["key_encoded"]),
        (signed_by(STANDARD.encode(format!("{KEY}\n"))), &["key_encoded"]),
        (signed_by(KEY).key(&STANDARD.encode(KEY)), &["key_decoded"]),
        (signed_by(STANDARD.decode(bare).unwrap()), &["key_decoded_after_prefix"]),
        (signed_by(STANDARD.decode(bare).unwrap()).key(bare), &["key_decoded"]),
        (signed_by(bare), &["key_prefix_cut"]),
        (signed_by(KEY).key(bare), &["key_prefix_added"]),
        (signed_by(unhex(HEX_KEY).unwrap()).key(HEX_KEY), &["key_hex_decoded"]),
        (signed_by(unhex(HEX_KEY).unwrap()).key(&format!("whsec_{HEX_KEY}")), &["key_hex_decoded"]),
        (signed_by(hex(KEY.as_bytes())), &["key_hex_encoded"]),
        (signed_by(format!("{KEY}\n")), &["key_newline"]),
        (signed_by(format!("{KEY}\r\n")), &["key_newline"]),
        (signed_by(KEY).key(&format!("{KEY}\n")), &["key_trimmed"]),
        (signed_by(KEY).key(&format!(" {KEY}")), &["key_trimmed"]),
        (signed_by(format!("\"{KEY}\"")), &["key_quoted"]),
        (signed_by(format!("'{KEY}'")), &["key_quoted"]),
        (signed_by(KEY).key(&format!("\"{KEY}\"")), &["key_unquoted"]),
        (signed_by(KEY).key(&format!("'{KEY}'")), &["key_unquoted"]),
        (signed_by(HEX_KEY).key(&HEX_KEY.to_uppercase()), &["key_case"]),
        (signed_by(HEX_KEY.to_uppercase()).key(HEX_KEY), &["key_case"]),
        (signed_by("sample_unknown"), &["nothing_fits", "other_key_or_body?"]),
    ];
    for (case, expected) in cases {
        check(&case, expected);
    }
    says(&signed_by(bare), "rail.key matches without its prefix `whsec_`, and not as it is");
}

#[test]
fn another_layout_of_what_is_signed_is_told() {
    let over = |message: String| case(hex(&mac(KEY.as_bytes(), message.as_bytes())));
    for separator in ["", ":", ",", "\n", "|", " ", "-"] {
        check(&over(format!("{NOW}{separator}{BODY}")), &["separator"]);
        check(&over(format!("{BODY}{separator}{NOW}")), &["body_first"]);
    }
    check(&over(format!("{BODY}.{NOW}")), &["body_first"]);
    check(&over(format!("v0:{NOW}:{BODY}")), &["version_first"]);
    check(&over(BODY.to_owned()), &["no_timestamp"]);
    let mut without_stamp = over(BODY.to_owned());
    without_stamp.headers.truncate(1);
    check(&without_stamp, &["header_missing", "no_timestamp"]);
    let mut with_id = over(format!("msg_1.{NOW}.{BODY}"));
    with_id.headers.push(("webhook-id", "msg_1".to_owned()));
    check(&with_id, &["id_first"]);
    says(&over(format!("{NOW}:{BODY}")), "between timestamp and body `:` was signed; a full stop is expected");
}

#[test]
fn a_signature_that_is_written_in_another_way_is_told() {
    let bytes = mac(KEY.as_bytes(), &stamped(BODY));
    let written = hex(&bytes);
    let cases = [
        (written.to_uppercase(), &["signature_upper_case", "signature_right"][..]),
        (format!("sha256={written}"), &["signature_prefix"]),
        (format!("\"{written}\""), &["signature_prefix"]),
        (format!("t={NOW},v1={written}"), &["signature_prefix"]),
        (STANDARD.encode(&bytes), &["signature_base64"]),
        (URL_SAFE_NO_PAD.encode(&bytes), &["signature_base64"]),
        (format!("sha256={}", STANDARD.encode(&bytes)), &["signature_prefix", "signature_base64"]),
        (written[..40].to_owned(), &["signature_other_hash?"]),
        (format!("{written}{written}"), &["signature_other_hash?"]),
        (written[..63].to_owned(), &["signature_malformed"]),
        ("nonsense".to_owned(), &["signature_malformed"]),
    ];
    for (signature, expected) in cases {
        check(&case(signature), expected);
    }
    says(&case(format!("sha256={written}")), "the signature is prefixed with `sha256=`, which does not belong there");
}

#[test]
fn two_and_three_things_at_once_are_found() {
    let newline = signed_by(format!("{KEY}\n"));
    check(
        &newline.clone().body(format!("{BODY}\n")),
        &["key_newline", "body_newline_added", "first_difference", "body_changed?"],
    );
    let message = format!("{NOW}:{}", BODY.replace('/', "\\/"));
    let three = case(format!("sha256={}", STANDARD.encode(mac(format!("{KEY}\n").as_bytes(), message.as_bytes()))));
    check(
        &three,
        &[
            "signature_prefix",
            "signature_base64",
            "separator",
            "key_newline",
            "body_escapes",
            "first_difference",
            "body_changed?",
        ],
    );
}

#[test]
fn what_is_no_json_or_too_deep_is_tried_as_it_came() {
    check(&signed("a=1\n").body("a=1"), &["body_newline_cut", "first_difference", "body_changed?"]);
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    check(&signed(&format!("{deep}\n")).body(deep), &["body_newline_cut", "first_difference", "body_changed?"]);
    check(&signed("").body(""), &["signature_right"]);
}

#[test]
fn a_key_is_shown_by_its_label_alone() {
    let key = CandidateKey { label: "rail.key".to_owned(), key: KEY.to_owned(), of: KeyOrigin::Provider };
    assert_eq!(format!("{key:?}"), "CandidateKey(rail.key)");
}
