//! The only reader of the clock, and the two units in which time is kept.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::format_description::FormatItem;
use time::macros::format_description;
use time::{Date, Month, OffsetDateTime};

use crate::config::clock_skew_ms;

/// Seconds since the Unix epoch: what signatures, leases and DynamoDB's TTL are counted in.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct UnixSeconds(pub u64);

/// Milliseconds since the Unix epoch: when things happened and when they were received.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct UnixMillis(pub u64);

/// Tells the time. Copied about freely; tests make one that stands still or runs ahead.
#[derive(Clone, Copy, Debug)]
pub struct Clock(fn() -> UnixMillis);

/// 9999-12-31T23:59:59.999Z: no later time can be written in RFC 3339.
const LATEST: UnixMillis = UnixMillis(253_402_300_799_999);

const ISO_MILLIS: &[FormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self(|| {
            // A clock before 1970 reads as 1970: every signature is then outside the tolerance, which is the safe end.
            let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
            let millis = u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX);
            UnixMillis(millis.saturating_add_signed(clock_skew_ms()))
        })
    }

    /// A clock that shows what `now` answers.
    pub fn from_fn(now: fn() -> UnixMillis) -> Self {
        Self(now)
    }

    pub fn now(self) -> UnixMillis {
        (self.0)()
    }
}

impl UnixSeconds {
    pub fn plus(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds))
    }
}

impl UnixMillis {
    pub fn seconds(self) -> UnixSeconds {
        UnixSeconds(self.0 / 1000)
    }

    /// How long ago `earlier` was; zero when it is yet to come.
    pub fn since(self, earlier: UnixMillis) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
    }

    /// A date and a time of day as RFC 3339 and common libraries write them, a date alone, or an HTTP date (RFC 9110 §5.6.7). One
    /// without a zone is UTC, since providers leave it out; a date alone is its midnight. Years 1970 to 9999.
    ///
    /// The seconds may be absent and have a fraction of any length after a point or a comma, the zone may be `Z`, `UTC`, `GMT`,
    /// `+02:00`, `+0200` or `+02`, and Java's `[Europe/Berlin]` behind it is ignored.
    pub fn from_date_text(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.starts_with(|first: char| first.is_ascii_alphabetic()) {
            return Self::from_http_date(text);
        }
        let (date, rest) = text.split_at_checked(10)?;
        let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
        let rest = if rest.is_empty() { "00:00" } else { rest.strip_prefix(['T', 't', ' '])? };
        let zone_at = rest.find(|char: char| !char.is_ascii_digit() && !":.,".contains(char)).unwrap_or(rest.len());
        let (time, zone) = rest.split_at(zone_at);
        let (time, fraction) = time.split_once(['.', ',']).unwrap_or((time, "0"));
        let [hour, minute, second] = match time.len() {
            5 => numbers(time, ':', [2, 2]).map(|[hour, minute]| [hour, minute, 0])?,
            _ => numbers(time, ':', [2, 2, 2])?,
        };
        let millis: u32 = format!("{:0<3}", fraction.get(..3.min(fraction.len()))?).parse().ok()?;
        let is_number = !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
        // A leap second is told as the end of the one before it.
        let (second, millis) = if second == 60 { (59, 999) } else { (second, millis) };

        let month = Month::try_from(u8::try_from(month).ok()?).ok()?;
        let date = Date::from_calendar_date(i32::try_from(year).ok()?, month, u8::try_from(day).ok()?).ok()?;
        let [hour, minute, second] = [hour, minute, second].map(|number| u8::try_from(number).unwrap_or(u8::MAX));
        let local = date.with_hms_milli(hour, minute, second, u16::try_from(millis).ok()?).ok()?.assume_utc();
        let at =
            i64::try_from(local.unix_timestamp_nanos() / 1_000_000).ok()? - i64::from(zone_minutes(zone)?) * 60_000;
        u64::try_from(at).ok().map(Self).filter(|at| is_number && *at <= LATEST)
    }

    /// A date in one of the three forms of HTTP (RFC 9110 §5.6.7).
    pub fn from_http_date(text: &str) -> Option<Self> {
        let at = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
        u64::try_from(at.as_millis()).ok().map(Self).filter(|at| *at <= LATEST)
    }

    /// Seconds, milliseconds, microseconds or nanoseconds since the epoch, perhaps with a fraction; only what can be written as a
    /// date again. Which of them it is, its size tells: 100,000,000,000 s are the year 5138, and as many milliseconds 1973; of
    /// microseconds the first are in 1978, of nanoseconds in 1973.
    pub fn from_epoch_literal(digits: &str) -> Option<Self> {
        const FIRST_MILLIS: f64 = 1e11;
        const FIRST_NANOS: f64 = 1e17;
        // The largest numbers of 64 bits stand for no time.
        const NO_TIME: f64 = i64::MAX as f64;
        if digits.contains(|char: char| !char.is_ascii_digit() && !".eE+".contains(char)) {
            return None;
        }
        let number: f64 = digits.parse().ok()?;
        let millis = match number {
            number if number < FIRST_MILLIS => number * 1e3,
            number if number <= LATEST.0 as f64 => number,
            number if number < FIRST_NANOS => number / 1e3,
            number if number < NO_TIME => number / 1e6,
            _ => return None,
        };
        (millis <= LATEST.0 as f64).then(|| Self(millis.round() as u64)).filter(|at| *at <= LATEST)
    }
}

/// Numbers of these many digits with `separator` between them, and nothing else.
fn numbers<const N: usize>(text: &str, separator: char, digits: [usize; N]) -> Option<[u32; N]> {
    let mut parts = text.split(separator);
    let mut numbers = [0; N];
    for (number, digits) in numbers.iter_mut().zip(digits) {
        let part =
            parts.next().filter(|part| part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit()))?;
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(numbers)
}

/// How far a zone is ahead of UTC.
fn zone_minutes(zone: &str) -> Option<i32> {
    let zone = zone.split_once('[').map_or(zone, |(offset, _)| offset).trim();
    let (sign, offset) = match zone.chars().next() {
        None | Some('Z' | 'z' | 'U' | 'G') => {
            return ["", "Z", "z", "UTC", "GMT"].contains(&zone).then_some(0);
        }
        Some('-') => (-1, &zone[1..]),
        Some('+') => (1, &zone[1..]),
        Some(_) => return None,
    };
    let [hours, minutes] = match offset.len() {
        2 => numbers(offset, ':', [2]).map(|[hours]| [hours, 0])?,
        4 => {
            let [number] = numbers(offset, ':', [4])?;
            [number / 100, number % 100]
        }
        _ => numbers(offset, ':', [2, 2])?,
    };
    let minutes = i32::try_from((hours < 24 && minutes < 60).then_some(hours * 60 + minutes)?).ok()?;
    Some(sign * minutes)
}

impl fmt::Display for UnixMillis {
    /// `2025-02-05T19:37:51.042Z`, the form JavaScript's `toISOString` gives.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.0.min(LATEST.0);
        let nanos = i128::from(at) * 1_000_000;
        let instant = OffsetDateTime::from_unix_timestamp_nanos(nanos).map_err(|_| fmt::Error)?;
        f.write_str(&instant.format(ISO_MILLIS).map_err(|_| fmt::Error)?)
    }
}

#[cfg(test)]
mod tests;
