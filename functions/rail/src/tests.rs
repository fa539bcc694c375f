use http::HeaderMap;
use proptest::prelude::*;
use shared::clock::UnixMillis;
use shared::receive::signing_keys::KeySet;
use shared::receive::verification::{Delivery, Refusal, verify};

use super::*;

// Every signature here: `printf '%s' "1747253577.$SIGNED" | openssl dgst -sha256 -hmac whsec_q7Wc2sK9vLx3`, where SIGNED is
// the body, or what `node -p 'JSON.stringify(JSON.parse(process.argv[1]))' "$BODY"` makes of it.
const KEY: &str = "whsec_q7Wc2sK9vLx3";
const SIGNED_AT: &str = "1747253577";
const NOW: UnixMillis = UnixMillis(1_747_253_577_000);

/// As the guide on webhooks shows it.
const FLAT: &str = concat!(
    r#"{"event_id":"evt_1a2b3c","event_date":"2023-11-20T14:32:18.123456Z","event_type":"TRANSACTION_POSTED","#,
    r#""event_data":{"transaction_id":"txn_1","account_id":"CUSTOMER_USD_001","amount":1000.00,"#,
    r#""asset_type_id":"FIAT_TESTNET_USD","category":"DEPOSIT","status":"POSTED"}}"#
);
const FLAT_SIGNATURE: &str = "0550643eb45ac73a056103e0f79128d492537e11954dd2a70521e87984df11d9";
const FLAT_SIGNATURE_STRINGIFIED: &str = "058b45be2db1d710249622c1a06b425e5f2e14a6547a923a506dfedb2055db8a";

/// As the page on subscriptions' events shows it.
const NESTED: &str = concat!(
    r#"{"event_id":"5a4d2b2e-7b59-4d5f-9c4f-0d8f0e9a1c11","event_date":"2022-11-08T19:53:09","#,
    r#""event_type":"APPLICATION_SUBMITTED","#,
    r#""event_data":{"application":{"id":"25e2c5b5-4a5c-4d0b-8a6c-2a2f6c3f0f6e","status":"SUBMITTED"}}}"#
);
const NESTED_SIGNATURE: &str = "3b73359c4cd44787ebe44a6a62cbbec159cac30cfd6e6a587a2f0230286f4d3f";

/// What is read of an accepted delivery: form, id, type, time.
type Read = (&'static str, String, Option<String>, String);

fn read(key: &str, body: &[u8], headers: &HeaderMap) -> Result<Read, &'static str> {
    let secret = serde_json::json!({ "keys": { "sub_1": "whsec_of_another_subscription", "sub_2": key } });
    let keys = KeySet::parse(&secret.to_string()).unwrap();
    let event = verify(&RAIL, Delivery { headers, body }, &keys, NOW).map_err(Refusal::code)?;
    let event_type = event.event_type().map(str::to_owned);
    Ok((event.form(), event.event_id().into_owned(), event_type, event.occurred_at().to_string()))
}

fn signed(signature: &str) -> HeaderMap {
    let pairs = [("X-Rail-Signature", signature), ("X-Rail-Timestamp", SIGNED_AT)];
    pairs.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).into_iter().collect()
}

#[track_caller]
fn check(body: &str, signature: &str, form: &'static str, id: &str, event_type: Option<&str>, occurred_at: &str) {
    let expected = (form, id.to_owned(), event_type.map(str::to_owned), occurred_at.to_owned());
    assert_eq!(read(KEY, body.as_bytes(), &signed(signature)), Ok(expected), "{body}");
}

#[test]
fn a_flat_body_of_the_guide_is_accepted() {
    let (id, event_type, at) = ("evt_1a2b3c", Some("TRANSACTION_POSTED"), "2023-11-20T14:32:18.123Z");
    check(FLAT, FLAT_SIGNATURE, "raw", id, event_type, at);
}

#[test]
fn a_nested_body_with_a_uuid_and_a_date_without_zone_is_accepted() {
    let id = "5a4d2b2e-7b59-4d5f-9c4f-0d8f0e9a1c11";
    check(NESTED, NESTED_SIGNATURE, "raw", id, Some("APPLICATION_SUBMITTED"), "2022-11-08T19:53:09.000Z");
}

#[test]
fn a_body_that_was_signed_as_javascript_prints_it_is_accepted() {
    let (id, event_type, at) = ("evt_1a2b3c", Some("TRANSACTION_POSTED"), "2023-11-20T14:32:18.123Z");
    check(FLAT, FLAT_SIGNATURE_STRINGIFIED, "stringified", id, event_type, at);
    let pretty = FLAT.replace(',', " ,\n  ").replace(':', ": ").replace("T14: 32: 18", "T14:32:18");
    check(&pretty, FLAT_SIGNATURE_STRINGIFIED, "stringified", id, event_type, at);
    // Integer-like keys come first, ascending.
    check(
        r#"{"event_type":"ACCOUNT_OPEN","2":"b","1":"a","event_id":"evt_1"}"#,
        "9f84f0454129d06734898a65d413f9b5267cfa883fbc9201ead3fe1ff1514ef1",
        "stringified",
        "evt_1",
        Some("ACCOUNT_OPEN"),
        "2025-05-14T20:12:57.000Z",
    );
}

#[test]
fn the_signed_text_has_the_amount_as_it_was_signed() {
    for (signature, amount) in
        [(FLAT_SIGNATURE, r#""amount":1000.00,"#), (FLAT_SIGNATURE_STRINGIFIED, r#""amount":1000,"#)]
    {
        let secret = serde_json::json!({ "keys": { "sub_1": KEY } }).to_string();
        let keys = KeySet::parse(&secret).unwrap();
        let headers = signed(signature);
        let event = verify(&RAIL, Delivery { headers: &headers, body: FLAT.as_bytes() }, &keys, NOW).unwrap();
        assert!(event.signed_text().contains(amount), "{}", event.signed_text());
    }
}

#[test]
fn a_date_with_another_zone_is_the_same_instant_in_utc() {
    check(
        r#"{"event_id":"evt_1","event_type":"ACCOUNT_OPEN","event_date":"2022-11-08T21:53:09+02:00"}"#,
        "f7ceef1a409a1a86da8345ee2d2e541258a777b924851c6e701409a48782ac7a",
        "raw",
        "evt_1",
        Some("ACCOUNT_OPEN"),
        "2022-11-08T19:53:09.000Z",
    );
}

#[test]
fn an_id_that_is_a_number_keeps_its_digits_and_a_date_that_does_not_read_is_the_time_of_signing() {
    check(
        r#"{"event_id":9007199254740993,"event_type":"ACCOUNT_OPEN","event_date":"yesterday"}"#,
        "657db3c68ae3c2d0813e26d8140b7891f6395ada439a01cd5bc53c4811c0cca3",
        "raw",
        "9007199254740993",
        Some("ACCOUNT_OPEN"),
        "2025-05-14T20:12:57.000Z",
    );
}

#[test]
fn an_id_that_is_no_text_is_replaced_by_the_digest() {
    // `printf '%s' "$BODY" | openssl dgst -sha256`
    check(
        r#"{"event_id":"\ud83d","event_type":"ACCOUNT_OPEN","event_date":1738784271042}"#,
        "3d8b16c412d23c5afe6966eb881310018b59460b504c42e23a579837973a9b16",
        "raw",
        "sha256:cbbd64f21331c3ff48906ff11f7bb0f0703cdaba0f1b8dc99a75ad733a30bbb3",
        Some("ACCOUNT_OPEN"),
        "2025-02-05T19:37:51.042Z",
    );
}

#[test]
fn an_event_without_a_type_is_verified_and_has_none() {
    check(
        r#"{"event_id":"evt_1","event_date":"2022-11-08T19:53:09.5"}"#,
        "75688c9e3d0824d2e71cb7c887423418034f0360c316b7447689b1bb81e6e160",
        "raw",
        "evt_1",
        None,
        "2022-11-08T19:53:09.500Z",
    );
}

#[test]
fn the_key_is_the_whole_text_prefix_included() {
    #[track_caller]
    fn check(key: &str, signature: &str, expected: Result<(), &'static str>) {
        assert_eq!(read(key, FLAT.as_bytes(), &signed(signature)).map(|_| ()), expected, "{key}");
    }

    // The last two signatures: `-hmac q7Wc2sK9vLx3` and `-hmac WHSEC_q7Wc2sK9vLx3`.
    let without_prefix = "e7b50bf72372fda05a809ac7548c7cf00c0fcc5a013c8c566b3b3dfdb2db2eee";
    let upper_prefix = "1950064ed9bd874be2865b90855d87c477e1935e096cf8e284aaa314a2315078";
    check(KEY, FLAT_SIGNATURE, Ok(()));
    check(KEY, without_prefix, Err("signature_mismatch"));
    check(KEY, upper_prefix, Err("signature_mismatch"));
    check("q7Wc2sK9vLx3", without_prefix, Ok(()));
    check("q7Wc2sK9vLx3", FLAT_SIGNATURE, Err("signature_mismatch"));
}

#[test]
fn another_provider_s_headers_are_not_rail_s() {
    let pairs = [("x-signature", FLAT_SIGNATURE), ("x-timestamp", SIGNED_AT)];
    let headers = pairs.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).into_iter().collect();
    assert_eq!(read(KEY, FLAT.as_bytes(), &headers), Err("header_missing"));
}

proptest! {
    #[test]
    fn no_other_body_has_the_signature(body in r#"[\[\]{}:,"\\a-z0-9.eE+_ -]{0,60}"#) {
        prop_assert_eq!(read(KEY, body.as_bytes(), &signed(FLAT_SIGNATURE)), Err("signature_mismatch"));
    }

    #[test]
    fn no_envelope_makes_the_reader_panic(id in json(), date in json(), event_type in json()) {
        let text = format!(r#"{{"event_id":{id},"event_date":{date},"event_type":{event_type}}}"#);
        let document = json::Document::parse(text.as_bytes()).unwrap();
        let envelope = RAIL.read_envelope(document.root());
        prop_assert_eq!(envelope.event_type.is_some(), event_type.starts_with('"'));
    }
}

fn json() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("null".to_owned()),
        Just("{\"a\":[]}".to_owned()),
        "-?[1-9][0-9]{0,30}(\\.[0-9]{1,9})?(e[0-9]{1,3})?",
        "\"[0-9TZ:+. -]{0,30}\"",
        "\"[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9](Z|\\+[0-9]{2}:[0-9]{2})?\"",
    ]
}
