use std::cell::Cell;

use json::Order;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::receive::provider::{EnvelopeMembers, Form};
use crate::receive::signing_keys::tests::HASHED_BYTES;

thread_local! {
    /// How many texts were printed on this thread.
    pub(super) static PRINTED: Cell<usize> = const { Cell::new(0) };
}

/// Nobody's contract: raw bytes or `JSON.stringify`, and an envelope of `id`, `type` and `at`.
const SAMPLE: Provider = Provider {
    name: "sample",
    signature: HeaderPart::Whole("x-sample-signature"),
    signed_at: HeaderPart::Whole("x-sample-timestamp"),
    forms: &[Form { name: "raw", spelling: None }, Form { name: "stringified", spelling: Some(Order::Received) }],
    envelope: EnvelopeMembers { event_id: "id", event_type: "type", occurred_at: "at" },
    api: None,
};

// Every signature here: `printf '%s' "1747253577.$BODY" | openssl dgst -sha256 -hmac sample-key`
// and every digest:     `printf '%s' "$BODY" | openssl dgst -sha256`
const KEY: &str = "sample-key";
const SIGNED_AT: &str = "1747253577";
const NOW: UnixMillis = UnixMillis(1_747_253_577_000);

const BODY: &str = r#"{"id":"evt_1","type":"PAID","at":1738784271042,"amount":1000.00}"#;
const SIGNATURE: &str = "9cd5eb23d74b3721403e8b57c52dc89f15cab0d76f51e76f0093b5c680e32df4";

/// Over `{"id":"evt_1","type":"PAID","at":1738784271042,"amount":1000}`, which is what Node makes of `BODY`.
const SIGNATURE_STRINGIFIED: &str = "6eee63441a026f9daef3682fd2cd18b210078b85ff2e98d5360d2732788ea9c5";

/// As `SIGNATURE`, with `-hmac other-key`.
const SIGNATURE_OTHER_KEY: &str = "bfcd4318e7fccd88a9784129f83add3231a068df4ec37a4eae01fa774383c759";

/// Well-formed, and of nothing.
const WRONG: &str = "00000000000000000000000000000000000000000000000000000000000000ff";

/// `{"id":"evt_1","type":"PAID"}`
const SIGNATURE_BARE: &str = "2791348640d40d78b23023c2f66f452c102a1ba4c6e0e223c32c198950a4f39b";

fn keys(current: &[&str], previous: &[&str]) -> KeySet {
    let secret = |keys: &[&str]| {
        let labelled: serde_json::Map<_, _> =
            keys.iter().enumerate().map(|(at, key)| (format!("sub_{at}"), json!(key))).collect();
        json!({ "keys": labelled }).to_string()
    };
    KeySet::parse_with_previous(&secret(current), &secret(previous)).unwrap()
}

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

fn signed(signature: &str) -> HeaderMap {
    headers(&[("x-sample-signature", signature), ("x-sample-timestamp", SIGNED_AT)])
}

/// The form that was accepted, or the code of the refusal.
fn verdict(headers: &HeaderMap, body: &[u8], keys: &KeySet, now: UnixMillis) -> Result<&'static str, &'static str> {
    let delivery = Delivery { headers, body };
    let verified = verify(&SAMPLE, delivery, keys, now).map(|event| event.form()).map_err(Refusal::code);
    // What the headers alone decide is the same before any key is known.
    let by_headers = refuse_by_headers(&SAMPLE, headers, now).map_err(Refusal::code);
    match verified {
        Err(code @ ("header_missing" | "header_malformed" | "outside_tolerance")) => {
            assert_eq!(by_headers, Err(code));
        }
        _ => assert_eq!(by_headers, Ok(())),
    }
    verified
}

mod headers {
    use super::*;

    #[track_caller]
    fn check(pairs: &[(&str, &str)], expected: Result<&'static str, &'static str>) {
        let verdict = verdict(&headers(pairs), BODY.as_bytes(), &keys(&[KEY], &[]), NOW);
        assert_eq!(verdict, expected, "{pairs:?}");
    }

    #[test]
    fn the_right_signature_is_accepted_whatever_the_case_of_the_header_names() {
        for (signature, timestamp) in [
            ("x-sample-signature", "x-sample-timestamp"),
            ("X-Sample-Signature", "X-Sample-Timestamp"),
            ("X-SAMPLE-SIGNATURE", "x-sample-TIMESTAMP"),
        ] {
            check(&[(signature, SIGNATURE), (timestamp, SIGNED_AT), ("host", "example.com")], Ok("raw"));
        }
    }

    #[test]
    fn an_absent_header_is_header_missing() {
        check(&[], Err("header_missing"));
        check(&[("x-sample-timestamp", SIGNED_AT)], Err("header_missing"));
        check(&[("x-sample-signature", SIGNATURE)], Err("header_missing"));
        check(&[("x-signature", SIGNATURE), ("x-timestamp", SIGNED_AT)], Err("header_missing"));
    }

    #[test]
    fn a_header_that_occurs_twice_is_header_malformed_even_with_the_same_value() {
        let (signature, timestamp) = (("x-sample-signature", SIGNATURE), ("x-sample-timestamp", SIGNED_AT));
        check(&[signature, signature, timestamp], Err("header_malformed"));
        check(&[signature, ("X-Sample-Signature", SIGNATURE), timestamp], Err("header_malformed"));
        check(&[signature, timestamp, ("x-sample-timestamp", "1")], Err("header_malformed"));
        check(&[("x-sample-signature", WRONG), signature, timestamp], Err("header_malformed"));
    }

    #[test]
    fn values_joined_by_a_comma_are_header_malformed() {
        for joined in [format!("{SIGNATURE},{SIGNATURE}"), format!("{SIGNATURE}, {SIGNATURE}")] {
            check(&[("x-sample-signature", &joined), ("x-sample-timestamp", SIGNED_AT)], Err("header_malformed"));
        }
        let joined = format!("{SIGNED_AT},{SIGNED_AT}");
        check(&[("x-sample-signature", SIGNATURE), ("x-sample-timestamp", &joined)], Err("header_malformed"));
    }

    #[test]
    fn the_text_of_a_refusal_names_the_header_and_nothing_that_was_sent() {
        let refuse = |pairs: &[(&str, &str)]| {
            let headers = headers(pairs);
            let delivery = Delivery { headers: &headers, body: BODY.as_bytes() };
            verify(&SAMPLE, delivery, &keys(&[KEY], &[]), NOW).unwrap_err().to_string()
        };
        let signature = ("x-sample-signature", SIGNATURE);
        assert_eq!(refuse(&[signature]), "header `x-sample-timestamp` is absent");
        assert_eq!(
            refuse(&[signature, ("x-sample-timestamp", "soon")]),
            "header `x-sample-timestamp` is not a count of seconds"
        );
        assert_eq!(
            refuse(&[("x-sample-signature", "ab"), ("x-sample-timestamp", SIGNED_AT)]),
            "header `x-sample-signature` is not 64 hexadecimal digits"
        );
        assert_eq!(
            refuse(&[signature, signature, ("x-sample-timestamp", SIGNED_AT)]),
            "header `x-sample-signature` is not there exactly once"
        );
        assert_eq!(
            refuse(&[signature, ("x-sample-timestamp", "1747250000")]),
            "the timestamp differs by 3577 s from the time of the check; at most 300 s are allowed"
        );
        assert_eq!(
            refuse(&[("x-sample-signature", WRONG), ("x-sample-timestamp", SIGNED_AT)]),
            "the signature matches no signing key"
        );
    }
}

mod signature {
    use super::*;

    #[track_caller]
    fn check(signature: &str, expected: Result<&'static str, &'static str>) {
        assert_eq!(verdict(&signed(signature), BODY.as_bytes(), &keys(&[KEY], &[]), NOW), expected, "{signature:?}");
    }

    #[test]
    fn hexadecimal_of_either_case_is_read() {
        check(SIGNATURE, Ok("raw"));
        check(&SIGNATURE.to_uppercase(), Ok("raw"));
        check(&format!("9CD5{}", &SIGNATURE[4..]), Ok("raw"));
    }

    #[test]
    fn what_is_not_64_hexadecimal_digits_is_header_malformed() {
        let with_last = |last: &str| format!("{}{last}", &SIGNATURE[..64 - last.len()]);
        for malformed in [
            "",
            " ",
            "ab",
            &SIGNATURE[..63],
            &SIGNATURE[..62],
            &format!("{SIGNATURE}0"),
            &format!("{SIGNATURE}00"),
            &format!("sha256={SIGNATURE}"),
            &format!("v1,{SIGNATURE}"),
            &format!("0x{}", &SIGNATURE[2..]),
            &format!(" {SIGNATURE}"),
            &with_last(" "),
            &with_last("g"),
            &with_last("+1"),
            &with_last("é"),
            &with_last("４"),
            &"é".repeat(32),
            &"é".repeat(64),
        ] {
            check(malformed, Err("header_malformed"));
        }
    }

    #[test]
    fn a_signature_of_something_else_is_signature_mismatch() {
        check(WRONG, Err("signature_mismatch"));
        check(SIGNATURE_BARE, Err("signature_mismatch"));
        check(SIGNATURE_OTHER_KEY, Err("signature_mismatch"));
        // One bit off, at either end.
        check(&format!("8{}", &SIGNATURE[1..]), Err("signature_mismatch"));
        check(&format!("{}5", &SIGNATURE[..63]), Err("signature_mismatch"));
    }

    #[test]
    fn the_timestamp_is_signed_too() {
        let headers = headers(&[("x-sample-signature", SIGNATURE), ("x-sample-timestamp", "1747253578")]);
        let verdict = verdict(&headers, BODY.as_bytes(), &keys(&[KEY], &[]), NOW);
        assert_eq!(verdict, Err("signature_mismatch"));
    }

    #[test]
    fn the_timestamp_is_signed_as_it_was_written() {
        // The same instant in other digits; `printf '%s' "01747253577.$BODY" | openssl dgst -sha256 -hmac sample-key`
        let over_zero = "a4beebe8fafa49189177d05408ef026d460d31be1333f7ef34e1e33ca6674419";
        for (signature, expected) in [(SIGNATURE, Err("signature_mismatch")), (over_zero, Ok("raw"))] {
            let headers = headers(&[("x-sample-signature", signature), ("x-sample-timestamp", "01747253577")]);
            assert_eq!(verdict(&headers, BODY.as_bytes(), &keys(&[KEY], &[]), NOW), expected);
        }
    }

    #[test]
    fn the_form_that_matched_is_told_and_only_what_was_signed_is_read() {
        let keys = keys(&[KEY], &[]);
        let read = |signature: &str| {
            let headers = signed(signature);
            let delivery = Delivery { headers: &headers, body: BODY.as_bytes() };
            let event = verify(&SAMPLE, delivery, &keys, NOW).unwrap();
            (event.form(), event.signed_text().to_owned(), hex(event.body_sha256()))
        };
        let received = "fd0e8703b60d868f4d5511633c8cff35a5e54dad82d96d240052f95e067d4497";
        assert_eq!(read(SIGNATURE), ("raw", BODY.to_owned(), received.to_owned()));
        let (form, text, sha256) = read(SIGNATURE_STRINGIFIED);
        assert_eq!((form, sha256.as_str()), ("stringified", received));
        assert_eq!(text, r#"{"id":"evt_1","type":"PAID","at":1738784271042,"amount":1000}"#);
    }

    #[test]
    fn hex_writes_what_signature_bytes_reads() {
        assert_eq!(signature_bytes(SIGNATURE).map(|bytes| hex(&bytes)).as_deref(), Some(SIGNATURE));
        assert_eq!(hex(&[]), "");
    }
}

/// What is hashed for one delivery that no key fits.
mod cost {
    use super::*;

    const RAW: Form = Form { name: "raw", spelling: None };
    const RECEIVED: Form = Form { name: "received", spelling: Some(Order::Received) };
    const ASSIGNED: Form = Form { name: "assigned", spelling: Some(Order::SortedAndAssigned) };
    const SORTED: Form = Form { name: "sorted", spelling: Some(Order::Sorted) };
    const LONGEST: usize = DEFAULT_MAX_BODY_BYTES;

    /// Names of the forms whose text is tried, their bytes, and whether one was left out.
    fn tried(forms: &[Form], body: &str, keys: usize) -> (usize, usize, bool) {
        let (mut count, mut bytes) = (0, 0);
        let found = find_text(forms, body.as_bytes(), keys, |text| {
            (count, bytes) = (count + 1, bytes + text.len());
            None::<()>
        });
        (count, bytes, found.unwrap_err())
    }

    /// Of the most bytes, and another text in each form.
    fn longest() -> String {
        format!(r#"{{"b":0,"9":0,"10":0,"a":"{}"}}"#, "x".repeat(LONGEST - 27))
    }

    #[test]
    fn bytes_times_keys_are_bounded_and_the_first_form_is_always_tried() {
        let body = longest();
        assert_eq!(body.len(), LONGEST);
        for forms in [&[RAW, RECEIVED][..], &[ASSIGNED, SORTED, RAW]] {
            for keys in [1, 2, 10, 25, 26, 38, 39, 76, 77, 94, 100, 1000] {
                let (count, bytes, form_left_out) = tried(forms, &body, keys);
                let affordable = (20_000_000 / keys / body.len()).clamp(1, forms.len());
                assert_eq!((count, form_left_out), (affordable, affordable < forms.len()), "{keys} keys");
                assert!(count == 1 || bytes * keys <= 20_000_000, "{keys} keys");
            }
        }
        // A documented body is tried in every form, whatever the number of keys.
        assert_eq!(tried(&[ASSIGNED, SORTED, RAW], &format!("{{\"1\":\"{}\" }}", "x".repeat(2900)), 1000).0, 2);
    }

    #[test]
    fn of_the_longest_body_94_keys_hash_one_form_and_nothing_else_is_printed() {
        let keys: Vec<String> = (0..94).map(|n| format!("key {n}")).collect();
        let keys = self::keys(&keys.iter().map(String::as_str).collect::<Vec<_>>(), &[]);
        let (body, headers) = (longest(), signed(WRONG));
        let (hashed, printed) = (HASHED_BYTES.get(), PRINTED.get());
        let verdict = verify(&SAMPLE, Delivery { headers: &headers, body: body.as_bytes() }, &keys, NOW);
        assert_eq!(verdict.map(|_| ()), Err(Refusal::SignatureMismatch { form_left_out: true }));
        assert_eq!((HASHED_BYTES.get() - hashed, PRINTED.get() - printed), (94 * LONGEST, 0));
    }

    #[test]
    fn what_is_alike_in_two_forms_is_printed_once() {
        let printed = |body: &str| {
            let before = PRINTED.get();
            tried(&[ASSIGNED, SORTED, RAW], body, 1);
            PRINTED.get() - before
        };
        let numbers = format!("[{}9e9]", "9e9,".repeat(60_000));
        assert_eq!(printed(&format!(r#"{{"b":{numbers},"a":0}}"#)), 1);
        assert_eq!(printed(&format!(r#"{{"b":{numbers},"9":0}}"#)), 2);
    }

    #[test]
    fn the_longest_body_that_is_tried_in_every_form_is_told() {
        for (forms, keys) in [(2, 1), (2, 38), (2, 39), (2, 100), (3, 25), (3, 26), (3, 1000)] {
            let bytes = longest_in_every_form(forms, keys);
            assert!(bytes * forms * keys <= 20_000_000);
            assert_eq!(bytes == LONGEST, forms * keys <= 76, "{forms} forms, {keys} keys");
        }
    }

    #[test]
    fn a_text_is_not_longer_than_the_longest_body() {
        let numbers = |count| format!("[{}1e20]", "1e20,".repeat(count));
        let longer = numbers(LONGEST / 5 - 1);
        assert!(longer.len() <= LONGEST);
        assert_eq!(tried(&[ASSIGNED, SORTED, RAW], &longer, 100), (1, longer.len(), true));
        let (count, bytes, form_left_out) = tried(&[ASSIGNED, RAW], &numbers(LONGEST / 22 - 1), 1);
        assert_eq!((count, form_left_out), (2, false));
        assert!(bytes > LONGEST);
    }

    #[test]
    fn the_same_text_is_tried_once() {
        let printed = r#"{"a":1,"b":2}"#;
        assert_eq!(tried(&[RAW, RECEIVED], printed, 1), (1, printed.len(), false));
        assert_eq!(tried(&[ASSIGNED, SORTED, RAW], printed, 1), (1, printed.len(), false));
        assert_eq!(tried(&[ASSIGNED, SORTED, RAW], r#"{"b":2,"a":1}"#, 1).0, 2);
        assert_eq!(tried(&[ASSIGNED, SORTED, RAW], r#"{"b":2,"9":1,"10":1}"#, 1).0, 3);
        assert_eq!(tried(&[ASSIGNED, SORTED, RAW], r#"{"b":2,"__proto__":1}"#, 1).0, 3);
        assert_eq!(tried(&[ASSIGNED, SORTED, RAW], r#"{"b":2,"\u0039":1,"10":1}"#, 1).0, 3);
        assert_eq!(tried(&[ASSIGNED, SORTED, RAW], "no JSON", 1), (1, 7, false));
    }

    #[test]
    fn a_form_that_is_left_out_is_told() {
        let keys: Vec<String> = (0..60).map(|n| format!("key {n}")).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let refusal = |body: &str, keys: &[&str]| {
            let headers = signed(WRONG);
            verify(&SAMPLE, Delivery { headers: &headers, body: body.as_bytes() }, &self::keys(keys, &[]), NOW)
                .unwrap_err()
        };
        let long = refusal(&longest(), &keys);
        assert_eq!((long, long.code()), (Refusal::SignatureMismatch { form_left_out: true }, "signature_mismatch"));
        assert_eq!(long.to_string(), "the signature matches no signing key; a form was not tried");
        assert_eq!(refusal(BODY, &keys), Refusal::SignatureMismatch { form_left_out: false });
    }
}

mod timestamp {
    use super::*;

    #[track_caller]
    fn check(timestamp: &str, now: UnixMillis, expected: Result<&'static str, &'static str>) {
        let headers = headers(&[("x-sample-signature", SIGNATURE), ("x-sample-timestamp", timestamp)]);
        assert_eq!(verdict(&headers, BODY.as_bytes(), &keys(&[KEY], &[]), now), expected, "{timestamp:?} at {now}");
    }

    #[test]
    fn what_is_not_digits_alone_is_header_malformed() {
        for malformed in [
            "",
            " ",
            "-1",
            "+1",
            "+1747253577",
            "1e9",
            "1747253577.0",
            "1747253577,",
            "1_747_253_577",
            "0x68255bc9",
            " 1747253577",
            "1747253577 ",
            "١٧٤٧٢٥٣٥٧٧",
            "NaN",
            "Infinity",
            "null",
            "2025-05-14T20:12:57Z",
            "18446744073709551616",
            "99999999999999999999",
            "99999999999999999999999999999999999999999999999999999999999999999999999999",
        ] {
            check(malformed, NOW, Err("header_malformed"));
        }
    }

    #[test]
    fn another_unit_or_era_is_outside_tolerance() {
        for stale in ["0", "1", "1747253577000", "1747253577000000", "18446744073709551615"] {
            check(stale, NOW, Err("outside_tolerance"));
        }
        for now in [UnixMillis(0), UnixMillis(u64::MAX)] {
            check(SIGNED_AT, now, Err("outside_tolerance"));
        }
    }

    #[test]
    fn three_hundred_seconds_either_way_are_allowed_and_one_more_is_not() {
        let signed_at = NOW.0;
        for (now, expected) in [
            (signed_at + 300_000, Ok("raw")),
            (signed_at + 300_999, Ok("raw")),
            (signed_at + 301_000, Err("outside_tolerance")),
            (signed_at - 300_000, Ok("raw")),
            (signed_at - 300_001, Err("outside_tolerance")),
            (signed_at - 301_000, Err("outside_tolerance")),
        ] {
            check(SIGNED_AT, UnixMillis(now), expected);
        }
    }
}

mod order_of_refusals {
    use super::*;

    #[track_caller]
    fn check(signature: &str, timestamp: &str, body: &str, expected: &'static str) {
        let headers = headers(&[("x-sample-signature", signature), ("x-sample-timestamp", timestamp)]);
        assert_eq!(verdict(&headers, body.as_bytes(), &keys(&[KEY], &[]), NOW), Err(expected));
    }

    #[test]
    fn the_headers_come_before_the_signature_and_the_signature_before_the_body() {
        check("xyz", "1", "[]", "header_malformed");
        check(WRONG, "x", "[]", "header_malformed");
        check(WRONG, "1", "[]", "outside_tolerance");
        check(WRONG, SIGNED_AT, "[]", "signature_mismatch");
        check(
            "e2a0ad2a2a8940007372b0773bdfb3f17c92082151cb3c5bdf48623535190f27",
            SIGNED_AT,
            "[]",
            "body_not_an_object",
        );
    }

    #[test]
    fn an_absent_header_is_told_before_a_malformed_one() {
        let pairs = [("x-sample-signature", "xyz")];
        assert_eq!(verdict(&headers(&pairs), b"[]", &keys(&[KEY], &[]), NOW), Err("header_missing"));
    }
}

mod signing_keys {
    use super::*;

    #[track_caller]
    fn check(keys: &KeySet, expected: Result<KeyVersion, &'static str>) {
        let headers = signed(SIGNATURE);
        let delivery = Delivery { headers: &headers, body: BODY.as_bytes() };
        let version = verify(&SAMPLE, delivery, keys, NOW).map(|event| event.key_version()).map_err(Refusal::code);
        assert_eq!(version, expected);
    }

    #[test]
    fn a_delivery_signed_by_the_previous_key_is_accepted_and_told_apart() {
        check(&keys(&[KEY], &[]), Ok(KeyVersion::Current));
        check(&keys(&["new-key"], &[KEY]), Ok(KeyVersion::Previous));
        check(&keys(&[KEY], &[KEY]), Ok(KeyVersion::Current));
        check(&keys(&["new-key"], &["old-key"]), Err("signature_mismatch"));
    }

    #[test]
    fn each_of_many_keys_is_tried() {
        let many: Vec<String> = (0..200).map(|number| format!("key-{number}")).collect();
        let mut many: Vec<&str> = many.iter().map(String::as_str).collect();
        check(&keys(&many, &[]), Err("signature_mismatch"));
        for place in [0, 100, 199] {
            let other = std::mem::replace(&mut many[place], KEY);
            check(&keys(&many, &[]), Ok(KeyVersion::Current));
            check(&keys(&["new-key"], &many), Ok(KeyVersion::Previous));
            many[place] = other;
        }
    }

    #[test]
    fn a_key_is_text_and_taken_whole() {
        for other in ["sample-key ", "sample-ke", "SAMPLE-KEY", "whsec_sample-key"] {
            check(&keys(&[other], &[]), Err("signature_mismatch"));
        }
    }
}

mod body {
    use super::*;

    #[track_caller]
    fn check(body: &[u8], signature: &str, expected: Result<&'static str, &'static str>) {
        let verdict = verdict(&signed(signature), body, &keys(&[KEY], &[]), NOW);
        assert_eq!(verdict, expected, "{}", body.escape_ascii());
    }

    #[test]
    fn a_signed_body_that_is_no_object_is_body_not_an_object() {
        for (body, signature) in [
            ("", "211b6bef3c241e746b31b7b79fd84b82f21084714737c1511620615645613d54"),
            ("[]", "e2a0ad2a2a8940007372b0773bdfb3f17c92082151cb3c5bdf48623535190f27"),
            (r#""x""#, "151ebe0a948ca337564b7fc586cfc0c3cffc6ce29c75768df270a0f341abc644"),
            ("1", "81441bef5275a8548a010272c179cc1c44c5e5fb9601853dae0149d86ee47d7d"),
            ("null", "e20b0f4020e76515e2f9ab6a04fca3228593de136df4161c67bb409c85a7412c"),
            (r#"{"id":"#, "14280abaaa556cb30c9f8c58dc1b1e4d6aa3252af766c851f8dbdfeecfddda50"),
            ("{}{}", "e88c339df59f7f7cf3c88422ce47c578f89d98ceddd1487947ce0918b1f4d416"),
            ("\u{feff}{}", "77b2a77b8df6295cbf9103ce05e61fd616adea235f225ed29f6ce516e480a887"),
        ] {
            check(body.as_bytes(), signature, Err("body_not_an_object"));
            check(body.as_bytes(), WRONG, Err("signature_mismatch"));
        }
    }

    #[test]
    fn signed_bytes_that_are_not_utf_8_are_body_not_an_object() {
        // `printf '1747253577.{"\xff":1}' | openssl dgst -sha256 -hmac sample-key`
        let signature = "72c6207648735dd3a412cd8df60f7c9a8c2c464afa3a6ccfae7f1cb319b10431";
        check(b"{\"\xff\":1}", signature, Err("body_not_an_object"));
    }
}

mod envelope {
    use super::*;

    /// What `read` finds in a body that is signed as it is.
    #[track_caller]
    fn check<T: PartialEq + std::fmt::Debug>(
        read: fn(&VerifiedEvent<'_>) -> T,
        body: &str,
        signature: &str,
        expected: &T,
    ) {
        let headers = signed(signature);
        let delivery = Delivery { headers: &headers, body: body.as_bytes() };
        let event = verify(&SAMPLE, delivery, &keys(&[KEY], &[]), NOW).unwrap();
        assert_eq!(event.document().root().source(), body);
        assert_eq!(read(&event), *expected, "{body}");
    }

    #[test]
    fn the_event_id_is_the_provider_s() {
        let id = |event: &VerifiedEvent<'_>| event.event_id().into_owned();
        let longest = "x".repeat(1024);
        for (body, signature, expected) in [
            (BODY, SIGNATURE, "evt_1"),
            (
                r#"{"id":"evt\u005f1","type":"PAID"}"#,
                "64e6f8e3bd57c6fc2ea38f5922f38cc6c5665fe84ea27f2de69abcbc4ca0b6f1",
                "evt_1",
            ),
            (
                r#"{"id":"evt_0","type":"PAID","id":"evt_1"}"#,
                "c204560d7a4d4fc56cd90a2d0bcbacbe2a60373c05ade680554ddcef845abe19",
                "evt_1",
            ),
            (
                &format!(r#"{{"id":"{longest}","type":"PAID"}}"#),
                "182f5b69c932126f6bd0dc97e0618dcd0c77aca8e3e50769fb5ae68509562425",
                &longest,
            ),
        ] {
            check(id, body, signature, &expected.to_owned());
        }
    }

    #[test]
    fn the_digest_stands_in_for_an_id_that_cannot_be_used() {
        let id = |event: &VerifiedEvent<'_>| event.event_id().into_owned();
        for (body, signature, sha256) in [
            (
                r#"{"type":"PAID"}"#,
                "92c17362e6073a72baa5a1537c82c552e27c57965ed7db145708edc8fcd37ef0",
                "2daa2161bfc4d7603626f26f5a9ccfa69dd6a5330a5a4b6dc0d7431e503c1f95",
            ),
            (
                r#"{"id":"","type":"PAID"}"#,
                "bb8c5f3ba564bb42de6c15ace2d2d03e8605c572749270d63767cf46882f9b62",
                "6d58e072c38f1a74d2de190f4893f55c8055785a641f8af74155c0966db53ca3",
            ),
            (
                r#"{"id":null,"type":"PAID"}"#,
                "f54c2a3cd066a7ad0fa2cc051ec56ecb633e8bfe611cbfe7b59bdf8305d227bc",
                "85a11898a310599264960189f7d5133f69e0433443f5125cbfacc15d863cc8a1",
            ),
            (
                r#"{"id":{},"type":"PAID"}"#,
                "f4ef3a31d202cebeb98653f139a34caf0c6e723fde20c9c40c94cc6b9efda28f",
                "bc674ed2da22759529dc73b28d54b8eaa745ddb86146e7bfe33f516e2c2cefc8",
            ),
            (
                r#"{"id":"\ud83d","type":"PAID"}"#,
                "efecd65f5aaca08471bc829c5ddd8e9263b1a32d3f2e04fc249382d236e2d165",
                "cf46962980abeccb11cbc67eeeecb6e0f83bb2d6e0e7230d77974eb23b32726b",
            ),
            (
                &format!(r#"{{"id":"{}","type":"PAID"}}"#, "x".repeat(1025)),
                "b0012a37730806e5827d4bcdf6c3705489da58a76619df838ec5999cf52c1682",
                "b77c5ad8bedcdbecf20208b74745ee35a0c322370aae0c49f9946841f16aaf62",
            ),
            // 513 characters, 1,026 bytes.
            (
                &format!(r#"{{"id":"{}","type":"PAID"}}"#, "é".repeat(513)),
                "e231a30067d817b3e06f23a044804dca230368a27a259ada70af4838cb0a4509",
                "3c13db9bc4aca92c2ca5487005ac295418eb80d17c533377b865322e2cf32c08",
            ),
        ] {
            check(id, body, signature, &format!("sha256:{sha256}"));
        }
    }

    #[test]
    fn a_type_has_1_to_256_bytes_of_text() {
        let event_type = |event: &VerifiedEvent<'_>| event.event_type().map(str::to_owned);
        let longest = "x".repeat(256);
        for (body, signature, expected) in [
            (BODY, SIGNATURE, Some("PAID")),
            (
                &format!(r#"{{"id":"evt_1","type":"{longest}"}}"#),
                "31670f82e92eaee43455edcb3eea1925e485d418ff2e28ddeb40e3829e8f8a33",
                Some(longest.as_str()),
            ),
            (
                &format!(r#"{{"id":"evt_1","type":"{longest}x"}}"#),
                "743cc554d671980723d84169bf8d20f5ac3629cd2a19f153abe91af3a9b43e1d",
                None,
            ),
            (r#"{"id":"evt_1"}"#, "ee804d36da08c2eb969273cf0978a512060705bf93fd9618ce66ece07f20f07f", None),
            (r#"{"id":"evt_1","type":7}"#, "784dda976c55ca0f2527399529b5f80351d6de52f58853b6c078f377dd3cb84b", None),
            (r#"{"id":"evt_1","type":""}"#, "d0766a554e2a0e7ae0b6ade599f2313203fe049112334bd6e11c07b2c40f48c2", None),
            (
                r#"{"id":"evt_1","type":"\udc00"}"#,
                "8ce57261985f75c1d1374541cb3b5a694314146f0471d9049886b6495636560d",
                None,
            ),
        ] {
            check(event_type, body, signature, &expected.map(str::to_owned));
        }
    }

    #[test]
    fn an_event_without_a_time_that_reads_happened_when_it_was_signed() {
        let occurred_at = |event: &VerifiedEvent<'_>| event.occurred_at();
        for (body, signature, expected) in [
            (BODY, SIGNATURE, UnixMillis(1_738_784_271_042)),
            (
                r#"{"id":"evt_1","type":"PAID","at":253402300799999}"#,
                "937a340473f8e10011b9e2c4bfb582c59cbad68ad8d40561eef5ace74e212fe9",
                UnixMillis(253_402_300_799_999),
            ),
            (r#"{"id":"evt_1","type":"PAID"}"#, SIGNATURE_BARE, NOW),
            (
                r#"{"id":"evt_1","type":"PAID","at":253402300800000}"#,
                "211d9bbc4a0412a208aeeaed4d392bcce8c81321a207fc65864934593530de3e",
                UnixMillis(253_402_300_800),
            ),
            (
                r#"{"id":"evt_1","type":"PAID","at":"1738784271042"}"#,
                "38468df7c51fee7533d617ca25374a67c354764433f8e9988947e2ffc4d3dabb",
                UnixMillis(1_738_784_271_042),
            ),
            (
                r#"{"id":"evt_1","type":"PAID","at":-1}"#,
                "b8ea09e3ab69d621724df11d8471ec4b1564837b8ff50095983b18dec27a07e2",
                NOW,
            ),
            (
                r#"{"id":"evt_1","type":"PAID","at":1738784271042.5}"#,
                "687544d125abe392d09721e58c7238992516254d5709e23c97b282108d341bcb",
                UnixMillis(1_738_784_271_043),
            ),
        ] {
            check(occurred_at, body, signature, &expected);
        }
    }
}

/// Header values from anything to all but right, so that each check is reached.
fn header_value() -> impl Strategy<Value = String> {
    prop_oneof![".*", "[0-9a-fA-F]{64}", "[0-9]{1,22}", "1747253[2-8][0-9]{2}", Just(SIGNATURE.to_owned())]
}

fn any_body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..64),
        r#"[\[\]{}:,"\\a0-9.eE+ -]{0,40}"#.prop_map(String::into_bytes),
        Just(BODY.as_bytes().to_vec()),
    ]
}

proptest! {
    #[test]
    fn nothing_verifies_with_a_key_that_did_not_sign_it_and_nothing_panics(
        names in prop::collection::vec(
            prop_oneof![Just("x-sample-signature"), Just("X-Sample-Timestamp"), Just("x-sample-timestamp"), Just("host")],
            0..5,
        ),
        values in prop::collection::vec(header_value(), 5),
        body in any_body(),
        key in "[a-z0-9]{20,40}",
        now in prop_oneof![any::<u64>().prop_map(UnixMillis), Just(NOW)],
    ) {
        // What HTTP does not carry never comes this far.
        let values = values.iter().map(|value| value.parse().ok());
        let names = names.into_iter().map(|name| name.parse().unwrap());
        let headers = names.zip(values).filter_map(|(name, value)| Some((name, value?))).collect();
        let verdict = verdict(&headers, &body, &keys(&[&key], &[]), now);
        prop_assert!(verdict.is_err(), "{:?}", verdict);
    }

    #[test]
    fn well_formed_headers_and_any_body_are_a_signature_mismatch_under_a_random_key(
        signature in "[0-9a-fA-F]{64}",
        body in any_body(),
        key in "[a-z0-9]{20,40}",
    ) {
        prop_assert_eq!(verdict(&signed(&signature), &body, &keys(&[&key], &[]), NOW), Err("signature_mismatch"));
    }

    #[test]
    fn a_body_that_differs_in_any_byte_is_refused(at in 0..BODY.len(), bits in 1..=255_u8) {
        let mut body = BODY.as_bytes().to_vec();
        body[at] ^= bits;
        prop_assert_eq!(verdict(&signed(SIGNATURE), &body, &keys(&[KEY], &[]), NOW), Err("signature_mismatch"));
    }
}
