//! The only reader of the clock, and the two units in which time is kept.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::format_description::FormatItem;
use time::macros::format_description;

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

    /// A time of RFC 3339; one without a zone is UTC, since providers leave it out. Years 1970 to 9999.
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        use time::format_description::well_known::Rfc3339;
        let instant = OffsetDateTime::parse(text, &Rfc3339)
            .or_else(|_| OffsetDateTime::parse(&format!("{text}Z"), &Rfc3339))
            .ok()?;
        let millis = u64::try_from(instant.unix_timestamp_nanos() / 1_000_000).ok()?;
        Some(Self(millis)).filter(|at| *at <= LATEST)
    }

    /// Milliseconds as an integer literal; only what can be written as a date again.
    pub fn from_millis_literal(digits: &str) -> Option<Self> {
        digits.parse().ok().map(Self).filter(|at| *at <= LATEST)
    }

    /// As [`from_millis_literal`](Self::from_millis_literal), of seconds.
    pub fn from_seconds_literal(digits: &str) -> Option<Self> {
        let seconds: u64 = digits.parse().ok()?;
        seconds.checked_mul(1000).map(Self).filter(|at| *at <= LATEST)
    }
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
