//! When a failed dispatch is tried again: a pure function of the attempts made and a random draw.

use std::time::Duration;

use crate::clock::{UnixMillis, UnixSeconds};

/// How long a deliverer holds an event: the functions' timeout of 30 s, and as much again for clocks that differ.
pub const LEASE_S: u64 = 60;

/// After three days an event is dead: by then the news has arrived by other means, or an operator has to decide.
pub const MAX_AGE: Duration = Duration::from_secs(72 * 60 * 60);

/// The longest wait, whatever Returning.AI asks for.
pub const LONGEST_WAIT: Duration = Duration::from_secs(12 * 60 * 60);

/// The longest wait for a customer to be linked: the link may come at any time, and a try costs only a read and two writes.
pub const LONGEST_WAIT_FOR_A_CUSTOMER: Duration = Duration::from_secs(15 * 60);

/// Upper bounds of the waits between the quick tries of the first attempt: most failures are over within a second.
pub const QUICK_WAITS: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(400)];

/// Upper bounds of the waits after the first attempt, the second, ...; the last one repeats.
const WAITS: [Duration; 8] = [
    Duration::from_secs(60),
    Duration::from_secs(2 * 60),
    Duration::from_secs(5 * 60),
    Duration::from_secs(15 * 60),
    Duration::from_secs(60 * 60),
    Duration::from_secs(3 * 60 * 60),
    Duration::from_secs(6 * 60 * 60),
    LONGEST_WAIT,
];

/// A number in `0.0..1.0` that spreads the retries of many events; drawn by the caller, so that the plan stays pure.
#[derive(Clone, Copy, Debug)]
pub struct Draw(pub f64);

impl Draw {
    pub fn random() -> Self {
        Self(fastrand::f64())
    }

    /// Full jitter: anything from nothing to all of `wait`.
    fn of(self, wait: Duration) -> Duration {
        wait.mul_f64(self.0.clamp(0.0, 1.0))
    }
}

/// How long to wait before quick try `made + 1` of the first attempt; `None` when all were made, or when Returning.AI
/// asked for a longer pause.
pub fn quick_wait(made: usize, retry_after: Option<Duration>, draw: Draw) -> Option<Duration> {
    let longest = *QUICK_WAITS.get(made.checked_sub(1)?)?;
    retry_after.is_none_or(|pause| pause <= longest).then(|| draw.of(longest).max(retry_after.unwrap_or_default()))
}

/// When to try an event again that has failed `attempts` times; `None` once its `age` is too high. A longer wait that
/// Returning.AI asked for is honoured beyond `longest`.
pub fn next_attempt_at(
    now: UnixMillis,
    age: Duration,
    attempts: u32,
    longest: Duration,
    retry_after: Option<Duration>,
    draw: Draw,
) -> Option<UnixSeconds> {
    if age >= MAX_AGE {
        return None;
    }
    let index = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX).min(WAITS.len() - 1);
    let wait = draw.of(WAITS[index].min(longest)).max(retry_after.unwrap_or_default().min(LONGEST_WAIT));
    // Rounded up: an attempt planned within this second is due in the next.
    Some(now.plus(wait).seconds().plus(1))
}

#[cfg(test)]
mod tests;
