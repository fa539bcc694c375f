use super::*;
use crate::clock::UnixMillis;
use json::Document;
use route::routes::{Known, Routes};

fn event() -> EventRecord {
    let (occurred_at, received_at) = (UnixMillis(1_738_784_271_042), UnixMillis(1_747_253_577_000));
    let event_type = Some("PAID".to_owned());
    EventRecord::received("sample", "evt_1".to_owned(), event_type, occurred_at, received_at, String::new())
}

/// The message of a route with these fields, to the customer C-1001.
fn composed(fields: &str, body: &str) -> Result<String, DispatchFailure> {
    composed_for(&MessageCustomer::of("C-1001".to_owned()), &format!("fields = {{ {fields} }}"), body)
}

/// The message of a route that ends with `more`.
fn composed_for(customer: &MessageCustomer, more: &str, body: &str) -> Result<String, DispatchFailure> {
    let routes = format!(
        "[[route]]\nname = \"first-deposit\"\nprovider = \"sample\"\nworkflow = \"w\"\nevent_type = \"deposit.first\"\n\
         events = [\"PAID\"]\ncustomer = \"/c\"\n{more}\n"
    );
    let routes = Routes::parse("routes.toml", &routes, Known::Anything).unwrap();
    let document = Document::parse(body.as_bytes()).unwrap();
    compose(&event(), document.root(), &routes.all()[0], customer, &Fetched::new())
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
    let message = composed(fields, &body).unwrap();
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
        let message = composed(routes, &body).unwrap();
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
fn of_an_object_or_a_list_what_is_named_like_a_credential_stays_behind() {
    for (sent, expected) in [
        (r#"{"login":7,"mt_password":"x"}"#, r#"{"login":7}"#),
        (r#"{"MT-Password":"x","login":7}"#, r#"{"login":7}"#),
        (r#"{ "a": [ { "api\u004bey": "x", "b": 1.00 } ] }"#, r#"{ "a": [ { "b": 1.00 } ] }"#),
        (r#"[{"deep":{"deeper":{"clientSecret":{"b":1}}}},2]"#, r#"[{"deep":{"deeper":{}}},2]"#),
        (r#"{"token":1,"token":2,"a":{"token":3}}"#, r#"{"a":{}}"#),
        (r#"{"a\ud800":1,"b":2}"#, r#"{"b":2}"#),
        (r#"{"note":"the password is x"}"#, r#"{"note":"the password is x"}"#),
    ] {
        check(r#"a = "/a""#, &format!("\"a\":{sent}"), &format!(",\"a\":{expected}"));
    }
}

#[test]
fn however_deep_a_value_is_it_is_searched_and_sent() {
    let depth = 20_000;
    let (open, close) = ("[{\"a\":".repeat(depth), "}]".repeat(depth));
    let with_secret = format!("{open}{{\"secret\":1,\"b\":2}}{close}");
    let message = composed(r#"a = "/a""#, &format!("{{\"a\":{with_secret}}}")).unwrap();
    assert!(message.contains("{\"b\":2}") && !message.contains("secret"));
}

#[test]
fn a_constant_is_the_same_in_every_message() {
    check(
        r#"plan = { const = "gold" }, weight = { const = 1.50 }"#,
        r#""plan":"x""#,
        r#","plan":"gold","weight":1.50"#,
    );
}

#[test]
fn the_idempotency_key_goes_by_the_name_that_the_route_gives_it() {
    let customer = MessageCustomer::of("C-1001".to_owned());
    let message = composed_for(&customer, "idempotency_field = \"requestId\"", "{}").unwrap();
    let expected = format!("{BEFORE}\"C-1001\"{AFTER}}}").replace("idempotencyKey", "requestId");
    assert_eq!(message, expected);
}

#[test]
fn a_customer_s_id_is_escaped() {
    let message = composed_for(&MessageCustomer::of("C\"\n1".to_owned()), "", "{}").unwrap();
    assert_eq!(message, format!(r#"{BEFORE}"C\"\n1"{AFTER}}}"#));
}

#[test]
fn what_the_customers_table_knows_comes_along() {
    let fields = "fields = { mail = { customer = \"email\" }, first = { customer = \"first_name\" }, \
                  last = { customer = \"last_name\", optional = true }, logins = { customer = \"trading_accounts\" } }";
    let record = Customer {
        email: Some("sample@example.com".to_owned()),
        first_name: Some("S\"ample".to_owned()),
        trading_accounts: vec!["5001".to_owned(), "5002".to_owned()],
        ..Customer::new("C-1001", UnixMillis(0))
    };
    let known = MessageCustomer { record: Some(record.clone()), ..MessageCustomer::of("C-1001".to_owned()) };
    let message = composed_for(&known, fields, "{}").unwrap();
    let expected = r#","first":"S\"ample","logins":["5001","5002"],"mail":"sample@example.com""#;
    assert_eq!(message, format!("{BEFORE}\"C-1001\"{AFTER}{expected}}}"));

    let incomplete = Err(FailureCode::CustomerIncomplete.into());
    let without = |record: Option<Customer>| MessageCustomer { record, ..known.clone() };
    assert_eq!(composed_for(&without(None), fields, "{}"), incomplete);
    assert_eq!(composed_for(&without(Some(Customer { email: None, ..record.clone() })), fields, "{}"), incomplete);
    assert_eq!(
        composed_for(&without(Some(Customer { trading_accounts: Vec::new(), ..record })), fields, "{}"),
        incomplete
    );
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
fn a_required_field_that_is_absent_or_null_is_a_permanent_failure_and_names_its_pointer() {
    let expected = DispatchFailure { pointer: Some("/nested/amount".to_owned()), ..FailureCode::MappingFailed.into() };
    for body in [r#"{"c":"C-1001"}"#, r#"{"c":"C-1001","nested":null}"#, r#"{"c":"C-1001","nested":{"amount":null}}"#] {
        let failure = composed(r#"amount = ["/nested/amount", "/flat"]"#, body);
        assert_eq!(failure, Err(expected.clone()), "{body}");
    }
    assert_eq!(expected.summary(), "mapping_failed /nested/amount");
}

#[test]
fn an_event_without_a_type_is_sent_with_an_empty_one() {
    let routes = Routes::parse(
        "routes.toml",
        "[[route]]\nname = \"r\"\nprovider = \"sample\"\nworkflow = \"w\"\nevent_type = \"e\"\nevents = [\"*\"]\ncustomer = \"/c\"\n",
        Known::Anything,
    )
    .unwrap();
    let document = Document::parse(br#"{"c":"C-1"}"#).unwrap();
    let (event, customer) = (EventRecord { event_type: None, ..event() }, MessageCustomer::of("C-1".to_owned()));
    let message = compose(&event, document.root(), &routes.all()[0], &customer, &Fetched::new()).unwrap();
    assert!(message.ends_with(r#","sourceEventType":""}"#), "{message}");
}
