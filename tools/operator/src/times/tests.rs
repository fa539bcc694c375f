use super::*;

const NOW: UnixMillis = UnixMillis(1_738_784_271_042);

#[track_caller]
fn check(text: &str, expected: Option<&str>) {
    let read = Moment::parse(text).ok().map(|moment| moment.resolve(NOW).to_string());
    assert_eq!(read.as_deref(), expected, "{text}");
}

#[test]
fn a_moment_is_a_time_a_day_or_how_long_ago() {
    check("2025-02-05T19:37:51.042Z", Some("2025-02-05T19:37:51.042Z"));
    check("2025-02-05T20:37:51+01:00", Some("2025-02-05T19:37:51.000Z"));
    check("2025-02-05", Some("2025-02-05T00:00:00.000Z"));
    check("51s", Some("2025-02-05T19:37:00.042Z"));
    check("37m", Some("2025-02-05T19:00:51.042Z"));
    check("2h", Some("2025-02-05T17:37:51.042Z"));
    check("3d", Some("2025-02-02T19:37:51.042Z"));
    check("1w", Some("2025-01-29T19:37:51.042Z"));
}

#[test]
fn a_span_longer_than_time_itself_begins_in_1970() {
    check("99999999w", Some("1970-01-01T00:00:00.000Z"));
}

#[test]
fn what_is_no_moment_is_refused() {
    for text in [
        "",
        "h",
        "2",
        "2 h",
        "+2h",
        "-2h",
        "1.5h",
        "2H",
        "2y",
        "2ä",
        "yesterday",
        "2025-13-01",
        "99999999999999999999d",
    ] {
        check(text, None);
    }
}

#[test]
fn spans_are_read_at_a_glance() {
    for (millis, expected) in [
        (0, "0 ms"),
        (512, "512 ms"),
        (5_480, "5.4 s"),
        (42_900, "42 s"),
        (60_000, "1 min"),
        (185_000, "3 min 5 s"),
        (3_600_000, "1 h"),
        (11_100_000, "3 h 5 min"),
        (266_400_000, "3 d 2 h"),
    ] {
        assert_eq!(span(Duration::from_millis(millis)), expected);
    }
}

#[test]
fn a_time_is_told_from_where_we_stand() {
    let now = NOW.seconds();
    assert_eq!(relative(now, NOW), "now");
    assert_eq!(relative(now.plus(5), NOW), "in 5 s");
    assert_eq!(relative(UnixSeconds(now.0 - 90), NOW), "1 min 30 s ago");
}
