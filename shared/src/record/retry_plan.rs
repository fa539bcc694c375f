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
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_738_784_271_042);
    const MINUTE: u64 = 60;
    const HOUR: u64 = 3600;

    /// The wait that is planned, in whole seconds, when the draw is the highest.
    #[track_caller]
    fn check(attempts: u32, retry_after_s: Option<u64>, expected_s: u64) {
        let at = next_attempt_at(
            NOW,
            Duration::ZERO,
            attempts,
            LONGEST_WAIT,
            retry_after_s.map(Duration::from_secs),
            Draw(1.0),
        );
        assert_eq!(at.unwrap().0 - NOW.seconds().0 - 1, expected_s, "after attempt {attempts}");
    }

    #[test]
    fn a_wait_may_be_bounded_and_retry_after_is_honoured_all_the_same() {
        let wait = |attempts, retry_after| {
            let longest = LONGEST_WAIT_FOR_A_CUSTOMER;
            let at = next_attempt_at(NOW, Duration::ZERO, attempts, longest, retry_after, Draw(1.0)).unwrap();
            at.0 - NOW.seconds().0 - 1
        };
        assert_eq!([1, 2, 4, 5, 9, 300].map(|attempts| wait(attempts, None)), [60, 120, 900, 900, 900, 900]);
        assert_eq!(wait(9, Some(Duration::from_secs(2 * HOUR))), 2 * HOUR);
    }

    #[test]
    fn the_waits_grow_to_twelve_hours_and_stay_there() {
        for (attempts, wait_s) in
            [(1, MINUTE), (2, 2 * MINUTE), (3, 5 * MINUTE), (4, 15 * MINUTE), (5, HOUR), (6, 3 * HOUR), (7, 6 * HOUR)]
        {
            check(attempts, None, wait_s);
        }
        for attempts in [8, 9, 1000, u32::MAX] {
            check(attempts, None, 12 * HOUR);
        }
    }

    #[test]
    fn retry_after_is_honoured_up_to_twelve_hours_and_never_shortens_a_wait() {
        check(1, Some(600), 600);
        check(1, Some(1), 60);
        check(1, Some(365 * 24 * HOUR), 12 * HOUR);
    }

    #[test]
    fn jitter_takes_any_part_of_a_wait_and_the_attempt_is_never_due_at_once() {
        let at = next_attempt_at(NOW, Duration::ZERO, 1, LONGEST_WAIT, None, Draw(0.0)).unwrap();
        assert_eq!(at.0, NOW.seconds().0 + 1);
        let at = next_attempt_at(NOW, Duration::ZERO, 1, LONGEST_WAIT, None, Draw(0.5)).unwrap();
        assert_eq!(at.0, NOW.seconds().0 + 31);
    }

    #[test]
    fn after_three_days_there_is_no_next_attempt() {
        assert_eq!(next_attempt_at(NOW, MAX_AGE, 9, LONGEST_WAIT, None, Draw(0.5)), None);
        assert!(next_attempt_at(NOW, MAX_AGE - Duration::from_millis(1), 9, LONGEST_WAIT, None, Draw(0.5)).is_some());
    }

    #[test]
    fn there_are_three_quick_tries_and_a_longer_pause_asked_for_ends_them() {
        let millis = Duration::from_millis;
        assert_eq!(quick_wait(1, None, Draw(1.0)), Some(millis(100)));
        assert_eq!(quick_wait(2, None, Draw(1.0)), Some(millis(400)));
        assert_eq!(quick_wait(3, None, Draw(1.0)), None);
        assert_eq!(quick_wait(1, Some(millis(1000)), Draw(1.0)), None);
        assert_eq!(quick_wait(2, Some(millis(300)), Draw(0.1)), Some(millis(300)));
    }
}
