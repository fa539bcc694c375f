//! The simulation's time: one true clock, tokio's paused one, and for each process a clock of its own that may be wrong.

use std::cell::Cell;
use std::time::Duration;

use shared::clock::{Clock, UnixMillis};
use tokio::time::Instant;

/// When every life begins: 2025-06-15T15:06:40Z.
pub const BEGINNING_MS: u64 = 1_750_000_000_000;

pub const SECOND: u64 = 1_000;
pub const MINUTE: u64 = 60 * SECOND;
pub const HOUR: u64 = 60 * MINUTE;
pub const DAY: u64 = 24 * HOUR;

thread_local! {
    static BEGAN: Cell<Option<Instant>> = const { Cell::new(None) };
    static SKEW_MS: Cell<i64> = const { Cell::new(0) };
}

/// From now on time counts from [`BEGINNING_MS`].
pub fn begin() {
    BEGAN.set(Some(Instant::now()));
    SKEW_MS.set(0);
}

/// The true time.
pub fn now_ms() -> u64 {
    let since = BEGAN.get().map_or(Duration::ZERO, |began| began.elapsed());
    BEGINNING_MS + u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The clock of the process that is running.
pub fn clock() -> Clock {
    Clock::from_fn(|| UnixMillis(now_ms().saturating_add_signed(SKEW_MS.get())))
}

/// What `poll` gives while the clock of a process is looked at.
pub fn skewed<T>(skew_ms: i64, poll: impl FnOnce() -> T) -> T {
    let before = SKEW_MS.replace(skew_ms);
    let polled = poll();
    SKEW_MS.set(before);
    polled
}

pub async fn sleep_ms(span: u64) {
    tokio::time::sleep(Duration::from_millis(span)).await;
}

pub async fn sleep_until_ms(at: u64) {
    sleep_ms(at.saturating_sub(now_ms())).await;
}
