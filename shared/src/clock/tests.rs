use proptest::prelude::*;

use super::*;

#[track_caller]
fn check(text: &str, expected: Option<&str>) {
    let read = UnixMillis::from_date_text(text).map(|at| at.to_string());
    assert_eq!(read.as_deref(), expected, "{text}");
}

#[test]
fn times_of_every_spelling_read_as_the_same_instant() {
    check("2023-11-20T14:32:18.123456Z", Some("2023-11-20T14:32:18.123Z"));
    for text in [
        "2022-11-08T19:53:09",
        "2022-11-08T19:53:09Z",
        "2022-11-08t19:53:09z",
        "2022-11-08 19:53:09",
        "2022-11-08 19:53:09 UTC",
        "2022-11-08T19:53:09 GMT",
        "2022-11-08T21:53:09+02:00",
        "2022-11-08T21:53:09+0200",
        "2022-11-08T21:53:09+02",
        "2022-11-08 21:53:09 +0200",
        "2022-11-08T21:53:09+02:00[Europe/Helsinki]",
        "2022-11-08T19:53:09Z[UTC]",
        "2022-11-08T14:23:09-05:30",
        "2022-11-09T01:53:09+06:00",
        " 2022-11-08T19:53:09.0\n",
        "2022-11-08T19:53:09.000000000+0000",
        "2022-11-08T19:53:09,000",
        "2022-11-08T19:53:09.0009",
    ] {
        check(text, Some("2022-11-08T19:53:09.000Z"));
    }
    for text in
        ["2022-11-08T19:53", "2022-11-08T19:53Z", "2022-11-08 21:53+02", "2022-11-08T21:53+02:00[Europe/Helsinki]"]
    {
        check(text, Some("2022-11-08T19:53:00.000Z"));
    }
    for text in [
        "Tue, 08 Nov 2022 19:53:09 GMT",
        "Tuesday, 08-Nov-22 19:53:09 GMT",
        "Tue Nov  8 19:53:09 2022",
        "\tTue, 08 Nov 2022 19:53:09 GMT ",
    ] {
        check(text, Some("2022-11-08T19:53:09.000Z"));
    }
    check("2022-11-08", Some("2022-11-08T00:00:00.000Z"));
    check("2022-11-08T19:53:09.5", Some("2022-11-08T19:53:09.500Z"));
    check("2022-11-08T19:53:09,05+0000", Some("2022-11-08T19:53:09.050Z"));
    check("2016-12-31T23:59:60Z", Some("2016-12-31T23:59:59.999Z"));
    check("2024-02-29T00:00:00Z", Some("2024-02-29T00:00:00.000Z"));
}

#[test]
fn what_is_no_time_is_refused() {
    for text in [
        "",
        "Z",
        "yesterday",
        "2022-13-08T19:53:09Z",
        "2023-02-29T19:53:09Z",
        "2022-11-08T24:00:00Z",
        "2022-11-08T19:60:09Z",
        "2022-11-08T19:53:61Z",
        "1969-12-31T23:59:59Z",
        "1970-01-01T00:30:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "2022-11-08T",
        "2022-11-08Z",
        "2022-11",
        "20221108",
        "2022-02-30",
        "1969-12-31",
        "Tue, 08 Nov 2022 19:53:09 +0000",
        "Tue, 08 Nov 2022 19:53:09",
        "Tue, 31 Feb 2022 19:53:09 GMT",
        "Wed, 31 Dec 1969 23:59:59 GMT",
        "08 Nov 2022 19:53:09 GMT",
        "2022-11-08T19",
        "2022-11-08T1953",
        "2022-11-08T19:53:9",
        "2022-11-08T19:53:",
        "2022-11-08T19:53:09.",
        "2022-11-08T19:53:09.5.5",
        "2022-11-08T19:53:09+2",
        "2022-11-08T19:53:09+24:00",
        "2022-11-08T19:53:09+02:60",
        "2022-11-08T19:53:09+02:00:00",
        "2022-11-08T19:53:09PST",
        "2022-11-08T19:53:09 Zulu",
        "2022-11-08X19:53:09Z",
        "2022-11-0\u{e9}T19:53:09Z",
        "22-11-08T19:53:09Z",
        "+022-11-08T19:53:09Z",
        "2022-11-08T19:53:09\u{e9}",
    ] {
        check(text, None);
    }
}

#[test]
fn the_size_of_a_number_tells_its_unit() {
    for (digits, expected) in [
        ("1738784271042", Some(1_738_784_271_042)),
        ("1738784271042.7", Some(1_738_784_271_043)),
        ("1738784271", Some(1_738_784_271_000)),
        ("1738784271.042", Some(1_738_784_271_042)),
        ("1738784271.042123456", Some(1_738_784_271_042)),
        ("1.738784271042E9", Some(1_738_784_271_042)),
        ("1.738784271042e12", Some(1_738_784_271_042)),
        ("0", Some(0)),
        ("99999999999", Some(99_999_999_999_000)),
        ("100000000000", Some(100_000_000_000)),
        ("253402300799999", Some(LATEST.0)),
        ("253402300800000", Some(253_402_300_800)),
        ("1738784271042000", Some(1_738_784_271_042)),
        ("1738784271042999", Some(1_738_784_271_043)),
        ("99999999999999000", Some(99_999_999_999_999)),
        ("100000000000000000", Some(100_000_000_000)),
        ("1738784271042123456", Some(1_738_784_271_042)),
        ("4102444800000000000", Some(4_102_444_800_000)),
        ("1e400", None),
        ("-1", None),
        ("inf", None),
        ("NaN", None),
        ("", None),
        (".", None),
        ("1738784271 ", None),
        ("0x10", None),
        ("9223372036854775807", None),
        ("18446744073709551615", None),
        ("253402300799999000000", None),
    ] {
        assert_eq!(UnixMillis::from_epoch_literal(digits).map(|at| at.0), expected, "{digits}");
    }
}

#[test]
fn a_time_is_written_with_three_digits_of_milliseconds() {
    assert_eq!(UnixMillis(1_738_784_271_042).to_string(), "2025-02-05T19:37:51.042Z");
    assert_eq!(UnixMillis(u64::MAX).to_string(), "9999-12-31T23:59:59.999Z");
}

proptest! {
    #[test]
    fn every_instant_is_read_from_every_spelling(
        at in 86_400_000..LATEST.0 - 86_400_000,
        ahead in -1_439..1_440_i64,
        t in prop::sample::select(vec!["T", "t", " "]),
        point in prop::sample::select(vec![".", ","]),
        digits in 0..=9_usize,
        zone in 0..4,
    ) {
        // A zone of hours alone.
        let ahead = if zone == 2 { ahead / 60 * 60 } else { ahead };
        let ahead = if zone == 3 { 0 } else { ahead };
        let local = UnixMillis(at.saturating_add_signed(ahead * 60_000)).to_string();
        let fraction = format!("{}654321", &local[20..23]);
        let fraction = if digits == 0 { String::new() } else { format!("{point}{}", &fraction[..digits]) };
        let (sign, hours, minutes) = (if ahead < 0 { '-' } else { '+' }, ahead.abs() / 60, ahead.abs() % 60);
        let zone = match zone {
            0 => format!("{sign}{hours:02}:{minutes:02}"),
            1 => format!("{sign}{hours:02}{minutes:02}"),
            2 => format!("{sign}{hours:02}"),
            _ => String::new(),
        };
        let text = format!("{}{t}{}{fraction}{zone}", &local[..10], &local[11..19]);
        let unit = [1_000, 100, 10, 1][digits.min(3)];
        prop_assert_eq!(UnixMillis::from_date_text(&text), Some(UnixMillis(at / unit * unit)), "{}", text);
    }

    #[test]
    fn every_number_of_either_unit_is_read(at in 100_000_000_000..LATEST.0) {
        prop_assert_eq!(UnixMillis::from_epoch_literal(&at.to_string()), Some(UnixMillis(at)));
        let seconds = format!("{}.{:03}", at / 1000, at % 1000);
        if at < 100_000_000_000_000 {
            prop_assert_eq!(UnixMillis::from_epoch_literal(&seconds), Some(UnixMillis(at)), "{}", seconds);
        }
    }

    #[test]
    fn no_text_is_too_much(text in "\\PC{0,40}", tail in "[0-9TZz+\\-:., \\[\\]]{0,24}") {
        let _ = UnixMillis::from_date_text(&text);
        let _ = UnixMillis::from_date_text(&format!("2022-11-08{tail}"));
        let _ = UnixMillis::from_epoch_literal(&tail);
    }
}
