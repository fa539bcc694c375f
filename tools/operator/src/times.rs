//! Times as an operator writes and reads them.

use std::time::Duration;

use shared::clock::{UnixMillis, UnixSeconds};

/// A time of RFC 3339, a day, or how long ago: `2025-02-05T19:37:51Z`, `2025-02-05`, `90m`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Moment {
    At(UnixMillis),
    Ago(Duration),
}

/// Seconds of each unit, the longest first.
const UNITS: [(&str, u64); 5] = [("w", 604_800), ("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];

impl Moment {
    pub fn parse(text: &str) -> Result<Self, String> {
        ago(text)
            .map(Self::Ago)
            .or_else(|| UnixMillis::from_rfc3339(text).map(Self::At))
            .or_else(|| UnixMillis::from_rfc3339(&format!("{text}T00:00:00Z")).map(Self::At))
            .ok_or_else(|| {
                "a time such as 2025-02-05T19:37:51Z or 2025-02-05, or how long ago: 90s, 15m, 2h, 3d, 1w".to_owned()
            })
    }

    pub fn resolve(self, now: UnixMillis) -> UnixMillis {
        match self {
            Self::At(at) => at,
            Self::Ago(span) => UnixMillis(now.0.saturating_sub(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))),
        }
    }
}

/// A span such as `90s`, `15m`, `2h`.
pub fn ago(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let (_, seconds) = UNITS.iter().find(|(name, _)| *name == unit)?;
    // No sign: `parse` alone would take a plus.
    let count: u64 = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())??;
    Some(Duration::from_secs(count.checked_mul(*seconds)?))
}

/// A span in its two largest units, `3 h 5 min`; below ten seconds with a tenth.
pub fn span(of: Duration) -> String {
    let seconds = of.as_secs();
    let pair = |large: u64, name: &str, small: u64, small_name: &str| {
        let rest = seconds % large / small;
        let rest = if rest == 0 { String::new() } else { format!(" {rest} {small_name}") };
        format!("{} {name}{rest}", seconds / large)
    };
    match seconds {
        0 if of.as_millis() < 1000 => format!("{} ms", of.as_millis()),
        0..10 => format!("{}.{} s", seconds, of.subsec_millis() / 100),
        10..60 => format!("{seconds} s"),
        60..3_600 => pair(60, "min", 1, "s"),
        3_600..86_400 => pair(3_600, "h", 60, "min"),
        _ => pair(86_400, "d", 3_600, "h"),
    }
}

/// `in 42 s`, `3 min ago`, or `now`, by whole seconds.
pub fn relative(at: UnixSeconds, now: UnixMillis) -> String {
    let now = now.seconds().0;
    match at.0.abs_diff(now) {
        0 => "now".to_owned(),
        apart if at.0 > now => format!("in {}", whole(apart)),
        apart => format!("{} ago", whole(apart)),
    }
}

/// How long ago, by whole seconds.
pub fn age(since: UnixMillis, now: UnixMillis) -> String {
    whole(now.since(since).as_secs())
}

/// As [`span`], without tenths.
fn whole(seconds: u64) -> String {
    if seconds < 10 { format!("{seconds} s") } else { span(Duration::from_secs(seconds)) }
}

/// A time that is kept in seconds, written as all others are.
pub fn written(at: UnixSeconds) -> String {
    UnixMillis(at.0.saturating_mul(1000)).to_string()
}

#[cfg(test)]
mod tests {
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
}
