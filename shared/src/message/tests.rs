use std::collections::BTreeMap;

use super::*;
use crate::clock::UnixMillis;
use crate::event::EventState;
use crate::json::Document;
use crate::routes::Routes;

fn event() -> EventRecord {
    EventRecord {
        provider: "sample".to_owned(),
        event_id: "evt_1".to_owned(),
        event_type: Some("PAID".to_owned()),
        occurred_at: UnixMillis(1_738_784_271_042),
        received_at: UnixMillis(1_747_253_577_000),
        state: EventState::Pending,
        attempts: 7,
        next_attempt_at: None,
        body: String::new(),
        body_sha256: String::new(),
        recorded_by: String::new(),
        last_error: None,
        history: Vec::new(),
        deliveries: BTreeMap::new(),
        delivered_at: None,
    }
}

/// The message of a route with this customer and these fields.
fn composed(customer: &str, fields: &str, body: &str) -> Result<String, Failure> {
    let routes = format!(
        "[[route]]\nname = \"first-deposit\"\nprovider = \"sample\"\nworkflow = \"w\"\nevent_type = \"deposit.first\"\n\
         events = [\"PAID\"]\ncustomer = {customer}\nfields = {{ {fields} }}\n"
    );
    let routes = Routes::parse("routes.toml", &routes).unwrap();
    let document = Document::parse(body.as_bytes()).unwrap();
    compose(&event(), document.root(), &routes.all()[0])
}

/// What every message begins with, up to the customer and from there on.
const BEFORE: &str = r#"{"eventType":"deposit.first","customerId":"#;
const AFTER: &str = concat!(
    r#","occurredAt":"2025-02-05T19:37:51.042Z","idempotencyKey":"sample:evt_1/first-deposit","#,
    r#""source":"sample","sourceEventType":"PAID""#
);

/// The route's own fields, as JSON text with its comma.
#[track_caller]
fn check(fields: &str, body: &str, expected: &str) {
    let body = format!("{{\"c\":\"C-1001\",{body}}}");
    let message = composed("\"/c\"", fields, &body).unwrap();
    assert_eq!(message, format!("{BEFORE}\"C-1001\"{AFTER}{expected}}}"));
    // Whatever it holds, others can read it.
    serde_json::from_str::<serde_json::Value>(&message).unwrap();
}

#[test]
fn a_message_has_six_members_and_then_the_route_s_own() {
    check("", r#""a":1"#, "");
    check(r#"currency = "/d/currency""#, r#""d":{"currency":"USD"}"#, r#","currency":"USD""#);
}

#[test]
fn amounts_keep_the_digits_that_were_sent() {
    for digits in [
        "1000.00",
        "0.1",
        "12345678901234567890.123456789",
        "1e3",
        "1E+21",
        "-0",
        "0.10000000000000000555",
        "1e400",
        "100000000000000000000000000000000000000001",
    ] {
        let routes = r#"amount = "/amount""#;
        let body = format!("{{\"c\":\"C-1001\",\"amount\": {digits} }}");
        let message = composed("\"/c\"", routes, &body).unwrap();
        assert_eq!(message, format!("{BEFORE}\"C-1001\"{AFTER},\"amount\":{digits}}}"));
    }
    check(r#"amount = "/amount""#, r#""amount":"1000.00""#, r#","amount":"1000.00""#);
}

#[test]
fn any_kind_of_value_is_copied_as_it_was_sent() {
    for value in [r#""""#, r#""\u00e9\/\n😀""#, "true", "false", "0", "[]", r#"{"b":2,"a":[1.0,null]}"#, "[ 1 , 2 ]"]
    {
        check(r#"a = "/a""#, &format!("\"a\":{value}"), &format!(",\"a\":{value}"));
    }
}

#[test]
fn a_field_s_own_name_is_escaped() {
    check(r#"'a"b' = "/a""#, r#""a":1"#, r#","a\"b":1"#);
}

#[test]
fn the_first_pointer_that_finds_something_counts_and_null_is_nothing() {
    let fields = r#"amount = ["/flat", "/nested/amount"]"#;
    check(fields, r#""flat":1,"nested":{"amount":2}"#, r#","amount":1"#);
    check(fields, r#""flat":null,"nested":{"amount":2}"#, r#","amount":2"#);
    check(fields, r#""nested":{"amount":2}"#, r#","amount":2"#);
    check(fields, r#""flat":0,"nested":{"amount":2}"#, r#","amount":0"#);
    check(fields, r#""flat":"","nested":{"amount":2}"#, r#","amount":"""#);
    check(fields, r#""flat":false,"nested":{"amount":2}"#, r#","amount":false"#);
}

#[test]
fn the_last_of_duplicate_keys_counts_as_in_javascript() {
    check(r#"amount = "/a""#, r#""a":1,"a":2"#, r#","amount":2"#);
}

#[test]
fn an_optional_field_that_is_absent_or_null_is_left_out() {
    let fields =
        r#"amount = { pointer = ["/a", "/b"], optional = true }, currency = { pointer = "/c", optional = true }"#;
    check(fields, r#""x":1"#, r#","currency":"C-1001""#);
    check(fields, r#""a":null,"b":null"#, r#","currency":"C-1001""#);
    check(fields, r#""b":5"#, r#","amount":5,"currency":"C-1001""#);
}

#[test]
fn a_required_field_that_is_absent_or_null_fails_for_good_and_names_its_pointer() {
    let expected =
        Failure { pointer: Some("/nested/amount".to_owned()), for_good: true, ..Failure::passing("mapping_failed") };
    for body in [r#"{"c":"C-1001"}"#, r#"{"c":"C-1001","nested":null}"#, r#"{"c":"C-1001","nested":{"amount":null}}"#] {
        let failure = composed("\"/c\"", r#"amount = ["/nested/amount", "/flat"]"#, body);
        assert_eq!(failure, Err(expected.clone()), "{body}");
    }
    assert_eq!(expected.summary(), "mapping_failed /nested/amount");
}

mod customer {
    use super::*;

    #[track_caller]
    fn check(body: &str, expected: Result<&str, &'static str>) {
        let message = composed(r#"["/customer_id", "/account/0"]"#, "", body);
        let expected = expected.map(|customer| format!("{BEFORE}{customer}{AFTER}}}"));
        assert_eq!(message.map_err(|failure| failure.code), expected, "{body}");
    }

    #[test]
    fn is_found_by_the_first_pointer_that_finds_one() {
        check(r#"{"customer_id":"C-1001","account":["C-2002"]}"#, Ok(r#""C-1001""#));
        check(r#"{"account":["C-2002"]}"#, Ok(r#""C-2002""#));
        for nobody in ["null", r#""""#, "{}", "[]", "true", r#""\ud83d""#] {
            check(&format!(r#"{{"customer_id":{nobody},"account":["C-2002"]}}"#), Ok(r#""C-2002""#));
        }
    }

    #[test]
    fn is_always_a_string_and_a_number_keeps_its_digits() {
        check(r#"{"customer_id":1001}"#, Ok(r#""1001""#));
        check(r#"{"customer_id":12345678901234567890}"#, Ok(r#""12345678901234567890""#));
        check(r#"{"customer_id":"\u0043-1"}"#, Ok(r#""\u0043-1""#));
    }

    #[test]
    fn that_nobody_names_is_unknown_and_may_be_known_later() {
        check("{}", Err("customer_unknown"));
        check(r#"{"customer_id":null,"account":[]}"#, Err("customer_unknown"));
        check("[]", Err("customer_unknown"));
        assert_eq!(composed("\"/c\"", "", "{}"), Err(Failure::passing("customer_unknown")));
    }

    #[test]
    fn unknown_comes_before_a_field_that_is_missing() {
        let failure = composed("\"/c\"", r#"amount = "/amount""#, "{}").map_err(|failure| failure.code);
        assert_eq!(failure, Err("customer_unknown"));
    }
}

#[test]
fn an_event_without_a_type_is_sent_with_an_empty_one() {
    let routes = Routes::parse(
        "routes.toml",
        "[[route]]\nname = \"r\"\nprovider = \"sample\"\nworkflow = \"w\"\nevent_type = \"e\"\nevents = [\"*\"]\ncustomer = \"/c\"\n",
    )
    .unwrap();
    let document = Document::parse(br#"{"c":"C-1"}"#).unwrap();
    let message = compose(&EventRecord { event_type: None, ..event() }, document.root(), &routes.all()[0]).unwrap();
    assert!(message.ends_with(r#","sourceEventType":""}"#), "{message}");
}

#[test]
fn the_shipped_routes_make_these_messages() {
    let routes = Routes::parse("routes.toml", include_str!("../../../routes.toml")).unwrap();
    for (route, provider, event_type, body, expected) in [
        (
            "kyc-approved",
            "rillis",
            "FLOW_COMPLETED",
            r#"{"data":{"flow_id":"f1","metadata":{"customerId":"C-1001"},"user_id":"u1","status":"COMPLETED"}}"#,
            concat!(
                r#"{"eventType":"kyc.approved","customerId":"C-1001","occurredAt":"2025-02-05T19:37:51.042Z","#,
                r#""idempotencyKey":"rillis:evt_1/kyc-approved","source":"rillis","sourceEventType":"FLOW_COMPLETED","#,
                r#""flowId":"f1","rillisUserId":"u1","status":"COMPLETED"}"#
            ),
        ),
        (
            "deposit-posted",
            "rail",
            "TRANSACTION_POSTED",
            r#"{"event_data":{"transaction_id":"txn_1","account_id":"A-1","amount":1000.00,"asset_type_id":"USD"}}"#,
            concat!(
                r#"{"eventType":"deposit.posted","customerId":"A-1","occurredAt":"2025-02-05T19:37:51.042Z","#,
                r#""idempotencyKey":"rail:evt_1/deposit-posted","source":"rail","sourceEventType":"TRANSACTION_POSTED","#,
                r#""amount":1000.00,"currency":"USD","tradingAccount":"A-1","transactionId":"txn_1"}"#
            ),
        ),
        (
            "deposit-posted",
            "rail",
            "TRANSACTION_POSTED",
            r#"{"event_data":{"transaction":{"id":"txn_1","amount":"0.10"},"account":{"id":"A-1"},"customer_id":7}}"#,
            concat!(
                r#"{"eventType":"deposit.posted","customerId":"7","occurredAt":"2025-02-05T19:37:51.042Z","#,
                r#""idempotencyKey":"rail:evt_1/deposit-posted","source":"rail","sourceEventType":"TRANSACTION_POSTED","#,
                r#""amount":"0.10","tradingAccount":"A-1","transactionId":"txn_1"}"#
            ),
        ),
    ] {
        let event = EventRecord { provider: provider.to_owned(), event_type: Some(event_type.to_owned()), ..event() };
        let document = Document::parse(body.as_bytes()).unwrap();
        let message = compose(&event, document.root(), routes.named(route).unwrap());
        assert_eq!(message.as_deref(), Ok(expected));
    }
}
