use proptest::prelude::*;
use serde_json::{Map, json};

use super::*;

fn said(status: u16, body: impl AsRef<[u8]>) -> Result<u16, &'static str> {
    let body = body.as_ref().to_vec();
    let status = status.try_into().unwrap();
    HttpAnswer { status, retry_after: None, date: None, body }.outcome().map_err(|failure| failure.code.code())
}

const SUCCESS: Result<u16, &str> = Ok(200);
const FAILURE: Result<u16, &str> = Err("reported_failure");
const UNREADABLE: Result<u16, &str> = Err("answer_unreadable");

#[test]
fn a_2xx_is_a_success_if_it_is_empty_or_begins_an_object_that_reports_no_failure() {
    let deep = |inner: &str| format!(r#"{{"data":{}{inner}"#, "[".repeat(300));
    let deepest = format!(r#"{{"data":{}}}"#, "[{\"a\":".repeat(40_000));
    for (body, expected) in [
        ("".as_bytes(), SUCCESS),
        (b" \r\n\t", SUCCESS),
        (b"\xEF\xBB\xBF", SUCCESS),
        (b"\xEF\xBB\xBF \n", SUCCESS),
        (b"{}", SUCCESS),
        (b" { } ", SUCCESS),
        (br#"{"success":true}"#, SUCCESS),
        (br#"{"success":null}"#, SUCCESS),
        (br#"{"success":"false"}"#, SUCCESS),
        (b"\xEF\xBB\xBF{\"success\":true}", SUCCESS),
        (b"\n\xEF\xBB\xBF {\"success\":true}", SUCCESS),
        (b"\xEF\xBB\xBF{\"success\":false}", FAILURE),
        (b"{\"note\":\"\xE9\xFF\",\"success\":true}", SUCCESS),
        (b"{\"note\":\"\xE9\xFF\",\"success\":false}", FAILURE),
        (b"{\"n\xFF\":1,\"success\":false}", FAILURE),
        (br#"{"note":"\ud800","success":true}"#, SUCCESS),
        (br#"{"note":"\ud800","success":false}"#, FAILURE),
        (br#"{"\ud800":1,"success" : false}"#, FAILURE),
        (br#"{"n":1e999,"success":true}"#, SUCCESS),
        (br#"{"n":1e999,"success":false}"#, FAILURE),
        (br#"{"n":NaN,"m":-Infinity,"success":true}"#, SUCCESS),
        (b"{\"n\":\"a\nb\0\",\"success\":false}", FAILURE),
        (br#"{"succ\u0065ss":false}"#, FAILURE),
        (br#"{"success":true,"success":false}"#, FAILURE),
        (br#"{"success":false"#, FAILURE),
        (br#"{"data":{"success":false}}"#, SUCCESS),
        (br#"{"data":[{"success":false}]}"#, SUCCESS),
        (br#"{"data":"\"success\":false","a\",\"success":false}"#, SUCCESS),
        (br#"{"data":"}","success":false}"#, FAILURE),
        (br#"{"data":["]",{"a":"\\"}],"success":false}"#, FAILURE),
        (br#"{"Success":false}"#, SUCCESS),
        // Something in between has counted characters instead of bytes, or added a line of its own.
        (br#"{"success":true,"data":{"received":tr"#, SUCCESS),
        (br#"{"success":true"#, SUCCESS),
        (br#"{"success":true}<!-- 0.1 ms -->"#, SUCCESS),
        (br#"{"success":tr"#, UNREADABLE),
        (br#"{"success":fals"#, UNREADABLE),
        (br#"{"success":"#, UNREADABLE),
        (br#"{"succ"#, UNREADABLE),
        (b"{", UNREADABLE),
        (b"{{page}}", UNREADABLE),
        (b"{success:true}", UNREADABLE),
        (br#"{"a" 1}"#, UNREADABLE),
        (b"<html>", UNREADABLE),
        (b"OK", UNREADABLE),
        (b"null", UNREADABLE),
        (b"true", UNREADABLE),
        (b"[]", UNREADABLE),
        (br#"[{"success":true}]"#, UNREADABLE),
        (br#""{\"success\":true}""#, UNREADABLE),
        (br#"callback({"success":true})"#, UNREADABLE),
        (deep("").as_bytes(), SUCCESS),
        (deep(&format!(r#"{},"success":false}}"#, "]".repeat(300))).as_bytes(), FAILURE),
        (deepest.as_bytes(), SUCCESS),
    ] {
        assert_eq!(said(200, body), expected, "{}", String::from_utf8_lossy(&body[..body.len().min(80)]));
    }
}

#[test]
fn another_status_than_2xx_decides_alone() {
    for (status, expected) in
        [(299, Ok(299)), (300, Err("unexpected_status")), (422, Err("refused")), (503, Err("server_error"))]
    {
        assert_eq!(said(status, r#"{"success":true}"#), expected);
    }
}

#[test]
fn a_session_is_read_whatever_else_its_answer_holds() {
    let life = |body: &[u8]| {
        let answer = HttpAnswer { status: reqwest::StatusCode::OK, retry_after: None, date: None, body: body.to_vec() };
        answer.session(UnixMillis(0)).map(|token| token.ends_at.0 / 1000).map_err(|failure| failure.code.code())
    };
    let deep = format!(r#"{{"note":{}{},"data":{{"sessionToken":"t"}}}}"#, "[".repeat(300), "]".repeat(300));
    for (body, expected) in [
        (br#"{"data":{"sessionToken":"t","expiresIn":60}}"#.as_slice(), Ok(30)),
        (b"\xEF\xBB\xBF{\"data\":{\"sessionToken\":\"t\",\"expiresIn\":60},\"note\":\"\xE9\"}", Ok(30)),
        (br#"{"note":"\ud800","n":1e999,"data":{"sessionToken":"\u0074"}}"#, Ok(270)),
        (deep.as_bytes(), Ok(270)),
        (br#"{"data":{"sessionToken":"t","expiresIn":60}"#, Err("handshake_unreadable")),
        (b"{\"data\":{\"sessionToken\":\"t\xE9\"}}", Err("handshake_unreadable")),
        (br#"{"data":{"sessionToken":"\ud800"}}"#, Err("handshake_unreadable")),
        (b"", Err("handshake_unreadable")),
        (b"[]", Err("answer_unreadable")),
    ] {
        assert_eq!(life(body), expected, "{}", String::from_utf8_lossy(&body[..body.len().min(80)]));
    }
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let key = prop_oneof![Just("success".to_owned()), "[a-z{}\\[\\]\",:\\\\ \u{e9}\u{2028}]{0,6}"];
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|value| json!(value)),
        any::<i32>().prop_map(|value| json!(value)),
        key.clone().prop_map(|value| json!(value)),
    ];
    leaf.prop_recursive(4, 32, 5, move |inner| {
        let members = prop::collection::vec((key.clone(), inner.clone()), 0..5);
        prop_oneof![
            prop::collection::vec(inner, 0..5).prop_map(|elements| json!(elements)),
            members.prop_map(|members| members.into_iter().collect::<Map<_, _>>().into()),
        ]
    })
}

proptest! {
    #[test]
    fn every_json_text_is_judged_as_a_strict_reader_judges_it(value in any_json(), pretty in any::<bool>()) {
        let text = if pretty { format!("{value:#}") } else { value.to_string() };
        let expected = match (value.is_object(), &value["success"]) {
            (false, _) => UNREADABLE,
            (true, success) if *success == json!(false) => FAILURE,
            (true, _) => SUCCESS,
        };
        prop_assert_eq!(said(200, &text), expected, "{}", text);
    }

    #[test]
    fn no_bytes_are_too_much(bytes in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(b"{}[]\",:\\tf ".to_vec())], 0..200)) {
        let _ = said(200, [b"{".as_slice(), &bytes].concat());
        let _ = said(200, bytes);
    }
}
