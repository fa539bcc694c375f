use super::*;
use crate::outside::http::UNREADABLE_RETRY_AFTER;

const NOW: UnixMillis = UnixMillis(1_738_784_271_042);
const MINUTE: u64 = 60;
const HOUR: u64 = 3600;

/// The wait that is planned, in whole seconds, when the draw is the highest.
#[track_caller]
fn check(attempts: u32, retry_after_s: Option<u64>, expected_s: u64) {
    let at =
        next_attempt_at(NOW, Duration::ZERO, attempts, LONGEST_WAIT, retry_after_s.map(Duration::from_secs), Draw(1.0));
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
    for made in 1..=3 {
        assert_eq!(quick_wait(made, Some(UNREADABLE_RETRY_AFTER), Draw(0.5)), None, "a pause of unknown length");
    }
}
