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
            .or_else(|| UnixMillis::from_date_text(text).map(Self::At))
            .or_else(|| UnixMillis::from_date_text(&format!("{text}T00:00:00Z")).map(Self::At))
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
mod tests;
