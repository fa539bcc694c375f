use proptest::prelude::*;

use super::*;

const HOUR_MS: u64 = 3_600_000;

fn at(hours: u64) -> UnixMillis {
    UnixMillis(hours * HOUR_MS)
}

fn workflow(name: &str) -> Destination {
    Destination::Workflow(name.to_owned())
}

fn spans(spans: &[(u64, Option<u64>)]) -> Vec<Pause> {
    spans.iter().map(|(from, to)| Pause { from: at(*from), to: to.map(at) }).collect()
}

fn paused(pauses: &[(u64, Option<u64>)]) -> Pauses {
    Pauses(HashMap::from([(workflow("kyc"), PauseReading::Known(spans(pauses)))]))
}

#[track_caller]
fn check(spans: &[(u64, Option<u64>)], since: u64, now: u64, expected_hours: u64) {
    let age = paused(spans).age(&workflow("kyc"), at(since), at(now));
    assert_eq!(age.as_secs(), expected_hours * 3600);
}

#[test]
fn time_in_which_the_workflow_was_paused_is_no_age() {
    check(&[], 10, 15, 5);
    check(&[(11, Some(13))], 10, 15, 3);
    check(&[(8, Some(13))], 10, 15, 2);
    check(&[(1, Some(2)), (12, None)], 10, 15, 2);
    check(&[(9, None)], 10, 15, 0);
    check(&[(20, None)], 10, 15, 5);
    // Clocks differ: time that two pauses have in common counts once.
    check(&[(11, Some(13)), (12, Some(14))], 10, 15, 2);
    check(&[(11, Some(14)), (12, Some(13))], 10, 15, 2);
}

#[test]
fn a_workflow_is_paused_until_it_is_resumed_and_what_was_not_read_is_unreadable() {
    let status = |pauses: Pauses, name| pauses.status(&workflow(name));
    assert_eq!(status(paused(&[]), "kyc"), PauseStatus::Delivering);
    assert_eq!(status(paused(&[(1, Some(2)), (3, None)]), "kyc"), PauseStatus::Paused { since: at(3) });
    assert_eq!(status(paused(&[(1, Some(2))]), "kyc"), PauseStatus::Delivering);
    assert_eq!(status(paused(&[(3, None)]), "deposit"), PauseStatus::Unreadable);
    let malformed = Pauses([(workflow("kyc"), PauseReading::Malformed)].into());
    assert_eq!(status(malformed, "kyc"), PauseStatus::Unreadable);
}

#[test]
fn pausing_twice_and_resuming_what_runs_change_nothing() {
    let once = pause(&[], at(1));
    assert_eq!(pause(&once, at(2)), once);
    let resumed = resume(&once, at(3));
    assert_eq!(resumed, [Pause { from: at(1), to: Some(at(3)) }]);
    assert_eq!(resume(&resumed, at(4)), resumed);
}

#[test]
fn a_pause_is_remembered_until_its_destination_was_open_for_72_hours() {
    let long_ago = spans(&[(0, Some(100))]);
    assert_eq!(pause(&long_ago, at(171)), spans(&[(0, Some(100)), (171, None)]));
    assert_eq!(pause(&long_ago, at(172)), spans(&[(172, None)]));
    // Paused since: the open time is still one hour, and an event of the hour 0 is one hour old.
    let twice = spans(&[(0, Some(100)), (101, None)]);
    assert_eq!(resume(&twice, at(500)), spans(&[(0, Some(100)), (101, Some(500))]));
}

#[test]
fn all_pauses_of_the_last_72_hours_count_however_many() {
    // The oldest of 21 was forgotten once.
    let mut pauses = Vec::new();
    for hour in 0..30 {
        pauses = pause(&pauses, at(2 * hour));
        pauses = resume(&pauses, at(2 * hour + 1));
    }
    assert_eq!(pauses.len(), 30);
    assert_eq!(age(&pauses, at(0), at(60)), Duration::from_secs(30 * 3600));
}

#[test]
fn somebody_who_pauses_and_resumes_a_thousand_times_makes_no_event_older_and_fills_no_item() {
    let mut pauses = Vec::new();
    let minute = |minute: u64| UnixMillis(minute * 60_000);
    for n in 0..1_000 {
        pauses = pause(&pauses, minute(20 * n));
        pauses = resume(&pauses, minute(20 * n + 10));
    }
    assert_eq!(pauses.len(), MAX_PAUSES);
    let now = minute(20_000);
    assert!(age(&pauses, minute(19_000), now) <= Duration::from_secs(500 * 60));
    // Left alone, it is an event like any other: it dies after three days.
    assert_eq!(age(&pauses, now, now.plus(MAX_AGE)), MAX_AGE);
}

#[test]
fn what_stands_for_unreadable_pauses_takes_no_event_s_time() {
    let now = at(1000);
    assert_eq!(age(&[unknown_until(now)], at(928), now), Duration::ZERO);
    assert_eq!(age(&[unknown_until(now)], at(928), now.plus(MAX_AGE)), MAX_AGE);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Without a merge, which events are too old is exact.
    #[test]
    fn what_is_remembered_never_makes_an_event_older(
        (longest, steps) in (1_u64..400).prop_flat_map(|longest| {
            (Just(longest), prop::collection::vec(1..=longest, 2..300))
        }),
        received in 0.0..1.0,
    ) {
        let minute = |minute: u64| UnixMillis(minute * 60_000);
        let (mut all, mut kept, mut now, mut full) = (Vec::new(), Vec::new(), 0, false);
        for (n, step) in steps.iter().enumerate() {
            now += step;
            kept = match n % 2 {
                0 => {
                    all.push(Pause { from: minute(now), to: None });
                    pause(&kept, minute(now))
                }
                _ => {
                    all.last_mut().unwrap().to = Some(minute(now));
                    resume(&kept, minute(now))
                }
            };
            prop_assert!(kept.len() <= MAX_PAUSES, "of {longest}");
            full |= kept.len() == MAX_PAUSES;
        }
        let received = minute((now as f64 * received) as u64);
        let (truth, told) = (age(&all, received, minute(now)), age(&kept, received, minute(now)));
        prop_assert!(told <= truth || truth >= MAX_AGE, "{told:?} of {truth:?}");
        prop_assert!(full || (told >= MAX_AGE) == (truth >= MAX_AGE), "{told:?} of {truth:?}");
    }
}
