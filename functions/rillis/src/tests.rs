use http::HeaderMap;
use proptest::prelude::*;
use shared::clock::UnixMillis;
use shared::receive::signing_keys::{KeySet, KeyVersion};
use shared::receive::verification::{Delivery, Refusal, VerifiedEvent, signature_bytes, verify};

use super::*;

const KEY: &str = "whk_test_secret";
const SIGNED_AT: &str = "1747253577";
const NOW: UnixMillis = UnixMillis(1_747_253_577_000);

/// As documented: `flow_completed` of the vectors.
const FLOW_COMPLETED: &str = concat!(
    r#"{"id":"67a3be0fb928eb94fbb49e09","type":"FLOW_COMPLETED","timestamp":1738784271042,"data":"#,
    r#"{"flow_instance_id":"67a3be04d236cd46c537c95d","flow_id":"67a3af4ca59af345d61f4f9c","#,
    r#""user_id":"67a3a5065eee513d753f19b7","status":"COMPLETED","completed_at":"2025-02-05T19:37:51.042Z","#,
    r#""url":"https://example.com/webhook"}}"#
);
const REBUILT_SIGNATURE: &str = "fca04b9d742ae50835e3e0d60f0bfb0ab07a0b5e57dc08d69851939a0e3fd8a5";

fn keys(current: &str, previous: Option<&str>) -> KeySet {
    let secret = |key: &str| serde_json::json!({ "keys": { "current": key } }).to_string();
    KeySet::parse_with_previous(&secret(current), &previous.map(secret).unwrap_or_default()).unwrap()
}

fn headers(signature: &str, signed_at: &str) -> HeaderMap {
    let pairs = [("x-signature", signature), ("x-timestamp", signed_at)];
    pairs.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).into_iter().collect()
}

/// What `read` finds in a delivery, or the code of its refusal.
fn read<T>(body: &[u8], signature: &str, read: impl Fn(&VerifiedEvent<'_>) -> T) -> Result<T, &'static str> {
    let headers = headers(signature, SIGNED_AT);
    let verified = verify(&RILLIS, Delivery { headers: &headers, body }, &keys(KEY, None), NOW);
    verified.map(|event| read(&event)).map_err(Refusal::code)
}

fn form(event: &VerifiedEvent<'_>) -> &'static str {
    event.form()
}

#[test]
fn every_vector_of_node_verifies_in_each_spelling_and_only_that_text_is_read() {
    for vector in vectors() {
        let field = |name: &str| vector[name].as_str().unwrap();
        let body = from_hex(field("raw_hex"));
        let signed_at = field("timestamp");
        let now = UnixMillis(signed_at.parse::<u64>().unwrap() * 1000);
        for spelling in ["rebuilt", "built"] {
            let headers = headers(field(&format!("hmac_{spelling}")), signed_at);
            let delivery = Delivery { headers: &headers, body: &body };
            let event = verify(&RILLIS, delivery, &keys(field("key"), None), now).unwrap();
            // The two differ only for a few bodies; the first that fits is told.
            let expected = if field("rebuilt") == field("built") { "rebuilt" } else { spelling };
            assert_eq!((event.form(), event.signed_text()), (expected, field(spelling)), "{}", field("name"));
        }
    }
}

#[test]
fn the_bytes_as_received_may_be_signed_too() {
    #[track_caller]
    fn check(body: &str, signature: &str, expected: &'static str) {
        let form_and_text = read(body.as_bytes(), signature, |event| (event.form(), event.signed_text().to_owned()));
        assert_eq!(form_and_text, Ok((expected, body.to_owned())));
    }

    // `printf '%s' "1747253577.$BODY" | openssl dgst -sha256 -hmac whk_test_secret`
    check(FLOW_COMPLETED, "b5bdcd30a620a56fcb3f7dc7c63b40e2f75f7c5cf7143528c9912dbcac6ef52c", "raw");
    check(
        r#"{ "b" : 1 , "a" : { "d" : [ { "z":1, "y":2 } ], "c" : null } }"#,
        "31d38e8424a092c8c802cf8148c92372a45ca5e0b0086d336b86aafef852e6c1",
        "raw",
    );
    check(r#"{"a":1,"b":2,"a":3}"#, "4dcfb9d71bea75dede970d25968a511643381d951b9e0a5376807fb5dbcac38d", "raw");
    // Bodies that are canonical already have one text for several forms.
    check(
        r#"{"__proto__":{"x":1},"a":2}"#,
        "392fe7e43fc74f5d0e7169b5928738febb2b25d19be9458128faf613e6b599c8",
        "built",
    );
    check(r#"{"":1," ":2,"a":3}"#, "f57c7579fda14b7c7ecf16a37839b3ff3607140d38311a55709b2c4112046b8e", "rebuilt");
}

#[test]
fn a_documented_event_gives_id_type_and_milliseconds() {
    let envelope = read(FLOW_COMPLETED.as_bytes(), REBUILT_SIGNATURE, |event| {
        (event.event_id().into_owned(), event.event_type().map(str::to_owned), event.occurred_at().to_string())
    });
    let expected = (
        "67a3be0fb928eb94fbb49e09".to_owned(),
        Some("FLOW_COMPLETED".to_owned()),
        "2025-02-05T19:37:51.042Z".to_owned(),
    );
    assert_eq!(envelope, Ok(expected));
}

#[test]
fn the_signature_may_be_in_upper_case_and_has_no_prefix() {
    let verdict = |signature: &str| read(FLOW_COMPLETED.as_bytes(), signature, form);
    assert_eq!(verdict(&REBUILT_SIGNATURE.to_uppercase()), Ok("rebuilt"));
    assert_eq!(verdict(&format!("sha256={REBUILT_SIGNATURE}")), Err("header_malformed"));
}

#[test]
fn a_delivery_signed_by_the_previous_key_is_accepted_and_told_apart() {
    #[track_caller]
    fn check(keys: &KeySet, expected: Result<KeyVersion, &'static str>) {
        let headers = headers(REBUILT_SIGNATURE, SIGNED_AT);
        let verified = verify(&RILLIS, Delivery { headers: &headers, body: FLOW_COMPLETED.as_bytes() }, keys, NOW);
        assert_eq!(verified.map(|event| event.key_version()).map_err(Refusal::code), expected);
    }

    check(&keys(KEY, Some("whk_old")), Ok(KeyVersion::Current));
    check(&keys("whk_new", Some(KEY)), Ok(KeyVersion::Previous));
    check(&keys("whk_new", None), Err("signature_mismatch"));
}

#[test]
fn an_unsigned_delivery_is_refused() {
    let delivery = Delivery { headers: &HeaderMap::default(), body: FLOW_COMPLETED.as_bytes() };
    let refusal = verify(&RILLIS, delivery, &keys(KEY, None), NOW).map(|_| ()).map_err(Refusal::code);
    assert_eq!(refusal, Err("header_missing"));
}

#[test]
fn ids_and_times_are_read_from_the_text_that_was_signed() {
    #[track_caller]
    fn check(body: &str, signature: &str, form: &'static str, id: &str, occurred_at: &str) {
        let envelope = read(body.as_bytes(), signature, |event| {
            (event.form(), event.event_id().into_owned(), event.occurred_at().to_string())
        });
        assert_eq!(envelope, Ok((form, id.to_owned(), occurred_at.to_owned())), "{body}");
    }

    // Signed by openssl as above, over the body or over what `JSON.stringify(JSON.parse(body))` gives in Node.
    let signing_time = "2025-05-14T20:12:57.000Z";
    let event_time = "2025-02-05T19:37:51.042Z";
    for (body, signature, form, id, occurred_at) in [
        (
            r#"{"data":{},"id":12345678901234567890,"type":"FLOW_COMPLETED"}"#,
            "4601b39364e33968dc56d80d76e0b2a52223e906b669faf039a80c9287e2d78c",
            "raw",
            "12345678901234567890",
            signing_time,
        ),
        (
            r#"{"data":{},"id":12345678901234567890,"type":"FLOW_COMPLETED"}"#,
            "c61c6329efb86b35d4e3e8b7124225b53dbd7ff3846d38dcb18d748734c3897a",
            "rebuilt",
            "12345678901234567000",
            signing_time,
        ),
        (
            r#"{"data":{},"id":"\ud83d","type":"FLOW_COMPLETED"}"#,
            "f8064cea3139ac108221aad1d30fbf515a003a9ca75b9b62cc79badbca29d05b",
            "rebuilt",
            "sha256:128e62a645b0ad73f4316f594b8db8d05a4a6bf6a4016ac448299d9c98dc643b",
            signing_time,
        ),
        (
            r#"{"data":{},"type":"FLOW_COMPLETED"}"#,
            "bf95e213fa7678ddcec0a725977627dca60c9e5c5b5593cb683621d189315dab",
            "rebuilt",
            "sha256:f75ec0e133ed30d8426d89e4539b8294b6c243ba2f5b7cec192d38865a1dcb79",
            signing_time,
        ),
        (
            r#"{"data":{},"id":"a","timestamp":"1738784271042","type":"FLOW_COMPLETED"}"#,
            "456df9d059e4d37d8be1d900d3e30cf36d32fbc665ebb21093d82263313e515d",
            "rebuilt",
            "a",
            event_time,
        ),
        (
            r#"{"data":{},"id":"a","timestamp":1738784271042.5,"type":"FLOW_COMPLETED"}"#,
            "8202aed39ad9b36d4ad59df65ef766c73c319f8621cb68a85833d76ded240e99",
            "rebuilt",
            "a",
            "2025-02-05T19:37:51.043Z",
        ),
        // JavaScript prints this literal as an integer; it is the same time either way.
        (
            r#"{"data":{},"id":"a","timestamp":1.738784271042e12,"type":"FLOW_COMPLETED"}"#,
            "aa22bcbd857d4c98f8fc89bf974d0a54bac653abee1fecf02c60fe6bb862f5f9",
            "rebuilt",
            "a",
            event_time,
        ),
        (
            r#"{"data":{},"id":"a","timestamp":1.738784271042e12,"type":"FLOW_COMPLETED"}"#,
            "bff2b559fbf36f87e6e17f80fd8e7dd2eccf55886cb347f115a2e54de1aacd93",
            "raw",
            "a",
            event_time,
        ),
    ] {
        check(body, signature, form, id, occurred_at);
    }
}

#[test]
fn an_event_without_a_type_is_verified_and_has_none() {
    let signature = "f4539e737ce23b68049a8ca47690ab2bec9500e094874408fe25a61e4373ff2b";
    let event_type = read(br#"{"data":{},"id":"a"}"#, signature, |event| event.event_type().map(str::to_owned));
    assert_eq!(event_type, Ok(None));
}

#[test]
fn every_vector_of_node_is_spelled_and_signed_the_same() {
    for vector in vectors() {
        let field = |name: &str| vector[name].as_str().unwrap();
        let name = field("name");
        let secret = serde_json::json!({ "keys": { "current": field("key") } }).to_string();
        let keys = KeySet::parse(&secret).unwrap();
        let body = from_hex(field("raw_hex"));
        for spelling in ["rebuilt", "built"] {
            let printed = spelled(spelling, &body);
            assert_eq!(printed, field(spelling), "{spelling} {name}");
            let signature = signature_bytes(field(&format!("hmac_{spelling}"))).unwrap();
            let matching = keys.matching(field("timestamp"), printed.as_bytes(), &signature);
            assert_eq!(matching, Some(KeyVersion::Current), "{spelling} {name}");
        }
    }
}

#[test]
fn the_spellings_differ_for_integer_like_keys_and_proto_alone() {
    #[track_caller]
    fn check(text: &str, as_rebuilt: &str, as_built: &str) {
        assert_eq!(spelled("rebuilt", text.as_bytes()), as_rebuilt, "rebuilt {text}");
        assert_eq!(spelled("built", text.as_bytes()), as_built, "built {text}");
    }

    for (text, spelled) in [
        (" [ 3 , 1 , 2 , \"\" , null ] ", r#"[3,1,2,"",null]"#),
        (r#"{"b":{"d":1,"c":[{"f":2,"e":3}]},"a":{}}"#, r#"{"a":{},"b":{"c":[{"e":3,"f":2}],"d":1}}"#),
        (r#"{"b":1,"a":2,"b":3}"#, r#"{"a":2,"b":3}"#),
        (r#"{"ﬁ":1,"😀":2,"\ud83d":3}"#, r#"{"\ud83d":3,"😀":2,"ﬁ":1}"#),
        (r#"{"__proto":1,"_":2,"constructor":3}"#, r#"{"_":2,"__proto":1,"constructor":3}"#),
        (r#"{"01":1,"-1":2,"1.5":3,"4294967295":4}"#, r#"{"-1":2,"01":1,"1.5":3,"4294967295":4}"#),
        ("1000.00", "1000"),
    ] {
        check(text, spelled, spelled);
    }
    check(
        r#"{"b":1,"10":2,"9":3,"1":4,"01":5,"4294967294":6}"#,
        r#"{"1":4,"9":3,"10":2,"4294967294":6,"01":5,"b":1}"#,
        r#"{"01":5,"1":4,"10":2,"4294967294":6,"9":3,"b":1}"#,
    );
    check(r#"{"a":{"__proto__":{"x":1}}}"#, r#"{"a":{}}"#, r#"{"a":{"__proto__":{"x":1}}}"#);
    check(r#"{"a":1,"__proto__":null}"#, r#"{"a":1}"#, r#"{"__proto__":null,"a":1}"#);
    check(r#"{"\u005f_proto__":[],"a":1}"#, r#"{"a":1}"#, r#"{"__proto__":[],"a":1}"#);
}

#[test]
fn depth_costs_no_stack() {
    let depth = 170_000;
    let text = format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
    assert_eq!(spelled("rebuilt", text.as_bytes()), text);
    assert_eq!(spelled("built", text.as_bytes()), text);
}

proptest! {
    #[test]
    fn neither_spelling_depends_on_the_order_received(
        members in prop::collection::btree_map("[a-c0-9_é😀ﬁ]{0,3}", 0..100_u8, 0..30),
        draws in prop::collection::vec(any::<u32>(), 30),
    ) {
        let text = |members: Vec<(&String, &u8)>| {
            let members: Vec<String> = members.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
            format!("{{{}}}", members.join(","))
        };
        let mut shuffled: Vec<_> = members.iter().zip(draws).collect();
        shuffled.sort_by_key(|(_, draw)| *draw);
        let ordered = text(members.iter().collect());
        let shuffled = text(shuffled.into_iter().map(|(member, _)| member).collect());

        for spelling in ["rebuilt", "built"] {
            prop_assert_eq!(spelled(spelling, ordered.as_bytes()), spelled(spelling, shuffled.as_bytes()));
        }
    }

    #[test]
    fn no_other_body_has_the_signature(body in r#"[\[\]{}:,"\\a-z0-9.eE+_ -]{0,60}"#) {
        let verdict = read(body.as_bytes(), REBUILT_SIGNATURE, form);
        prop_assert_eq!(verdict, Err("signature_mismatch"));
    }

    #[test]
    fn the_order_of_the_members_on_the_way_does_not_matter(order in Just([0, 1, 2, 3]).prop_shuffle()) {
        let members = [
            r#""id":"67a3be0fb928eb94fbb49e09""#,
            r#""type":"FLOW_COMPLETED""#,
            r#""timestamp":1738784271042"#,
            FLOW_COMPLETED.split_once(r#""timestamp":1738784271042,"#).unwrap().1.trim_end_matches("}}"),
        ];
        let members: Vec<String> =
            order.iter().map(|at| if *at == 3 { format!("{}}}", members[3]) } else { members[*at].to_owned() }).collect();
        let body = format!("{{ {} }}", members.join(" ,\n"));
        prop_assert_eq!(read(body.as_bytes(), REBUILT_SIGNATURE, form), Ok("rebuilt"));
    }
}

/// A body as the form of this name has it.
fn spelled(form: &str, body: &[u8]) -> String {
    let form = RILLIS.forms.iter().find(|known| known.name == form).unwrap();
    String::from_utf8(form.text(body).unwrap()).unwrap()
}

fn vectors() -> Vec<serde_json::Value> {
    let vectors: Vec<serde_json::Value> =
        serde_json::from_str(include_str!("../../../tests/vectors/rillis_node.json")).unwrap();
    assert!(!vectors.is_empty(), "no vectors, so nothing was tested");
    vectors
}

fn from_hex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2) && !text.is_empty());
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}
