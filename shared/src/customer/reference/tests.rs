use super::*;

#[track_caller]
fn check_ref(text: &str, expected: Result<&str, CustomerRefError>) {
    let parsed = CustomerRef::parse(text);
    assert_eq!(parsed.as_ref().map(CustomerRef::as_str).map_err(|error| *error), expected, "{text:?}");
}

#[test]
fn a_reference_is_a_kind_and_a_value_that_may_hold_a_colon() {
    for text in ["rail-account:CUSTOMER_USD_001", "k2:a:b", "user: spaces and ümlauts "] {
        check_ref(text, Ok(text));
    }
    assert_eq!(CustomerRef::of_customer("C-1001").unwrap().as_str(), "customer:C-1001");
    assert_eq!(CustomerRef::new("user", "a:b").unwrap().to_string(), "user:a:b");
}

#[test]
fn what_is_no_reference_is_refused_with_what_is_wrong() {
    for text in ["", "user", ":1", "User:1", "us er:1", "us_er:1", "üser:1"] {
        check_ref(text, Err(CustomerRefError::Kind));
    }
    for text in ["user:", "user:a\nb", "user:a\u{7f}"] {
        check_ref(text, Err(CustomerRefError::Value));
    }
    let longest = format!("user:{}", "x".repeat(MAX_REF_BYTES - 5));
    check_ref(&longest, Ok(&longest));
    check_ref(&format!("{longest}x"), Err(CustomerRefError::TooLong));
}

#[test]
fn nothing_of_a_person_is_in_the_debug_form() {
    let customer = Customer {
        email: Some("sample@example.com".to_owned()),
        first_name: Some("Firstname".to_owned()),
        last_name: Some("Lastname".to_owned()),
        trading_accounts: vec!["5001".to_owned()],
        ..Customer::new("C-1001", UnixMillis(1_747_253_577_000))
    };
    assert_eq!(format!("{customer:?}"), r#"Customer { customer_id: "C-1001", .. }"#);
}
