use shared::clock::UnixMillis;

use super::*;

const NOW: UnixMillis = UnixMillis(1_738_784_271_042);

fn shown(customer: &Customer) -> (String, String) {
    let reference = CustomerRef::parse("user:1").unwrap();
    let record = Record::of(&reference, customer);
    let mut out = Lines::default();
    record.write(&mut out).unwrap();
    (out.0, serde_json::to_string(&record).unwrap())
}

#[test]
fn a_record_is_shown_with_what_is_known() {
    let customer = Customer {
        email: Some("sample@example.com".to_owned()),
        first_name: Some("Sample\u{1b}".to_owned()),
        last_name: Some("Person".to_owned()),
        trading_accounts: vec!["5001".to_owned(), "5002".to_owned()],
        ..Customer::new("C-1001", NOW)
    };
    let expected = "ref               user:1
customer id       C-1001
email             sample@example.com
first name        Sample\\u001b
last name         Person
trading accounts  5001, 5002
updated           2025-02-05T19:37:51.042Z
";
    assert_eq!(shown(&customer).0, expected);
}

#[test]
fn what_is_not_known_is_left_out() {
    let (text, json) = shown(&Customer::new("C-1001", NOW));
    let expected = "ref               user:1
customer id       C-1001
updated           2025-02-05T19:37:51.042Z
";
    assert_eq!(text, expected);
    assert_eq!(json, r#"{"ref":"user:1","customer_id":"C-1001","updated_at":"2025-02-05T19:37:51.042Z"}"#);
}

#[test]
fn a_customer_id_that_no_key_could_hold_is_refused_on_the_command_line() {
    assert_eq!(customer_id("C-1001"), Ok("C-1001".to_owned()));
    assert_eq!(customer_id(""), Err("customer_id: empty".to_owned()));
    let long = "x".repeat(1025);
    let expected = "customer_id: longer than 1024 bytes, or with control characters";
    assert_eq!(customer_id(&long), Err(expected.to_owned()));
}
