use super::*;

#[track_caller]
fn check(text: &str, expected: Option<&str>) {
    let read = UnixMillis::from_rfc3339(text).map(|at| at.to_string());
    assert_eq!(read.as_deref(), expected, "{text}");
}

#[test]
fn times_of_both_spellings_read_as_the_same_instant() {
    check("2023-11-20T14:32:18.123456Z", Some("2023-11-20T14:32:18.123Z"));
    check("2022-11-08T19:53:09", Some("2022-11-08T19:53:09.000Z"));
    check("2022-11-08T19:53:09.5", Some("2022-11-08T19:53:09.500Z"));
    check("2022-11-08T21:53:09+02:00", Some("2022-11-08T19:53:09.000Z"));
}

#[test]
fn what_is_no_time_is_refused() {
    for text in ["", "Z", "yesterday", "2022-13-08T19:53:09Z", "1969-12-31T23:59:59Z", "2022-11-08"] {
        check(text, None);
    }
    assert_eq!(UnixMillis::from_millis_literal("253402300800000"), None);
    assert_eq!(UnixMillis::from_millis_literal("-1"), None);
    assert_eq!(UnixMillis::from_millis_literal("1738784271042"), Some(UnixMillis(1_738_784_271_042)));
}

#[test]
fn a_time_is_written_with_three_digits_of_milliseconds() {
    assert_eq!(UnixMillis(1_738_784_271_042).to_string(), "2025-02-05T19:37:51.042Z");
    assert_eq!(UnixMillis(u64::MAX).to_string(), "9999-12-31T23:59:59.999Z");
}
