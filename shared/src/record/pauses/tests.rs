use super::*;

const HOUR_MS: u64 = 3_600_000;

fn at(hours: u64) -> UnixMillis {
    UnixMillis(hours * HOUR_MS)
}

fn workflow(name: &str) -> Destination {
    Destination::Workflow(name.to_owned())
}

fn paused(spans: &[(u64, Option<u64>)]) -> Pauses {
    let pauses = spans.iter().map(|(from, to)| Pause { from: at(*from), to: to.map(at) }).collect();
    Pauses(HashMap::from([(workflow("kyc"), pauses)]))
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
}

#[test]
fn a_workflow_is_paused_until_it_is_resumed() {
    assert!(!paused(&[]).is_paused(&workflow("kyc")));
    assert!(paused(&[(1, Some(2)), (3, None)]).is_paused(&workflow("kyc")));
    assert!(!paused(&[(1, Some(2))]).is_paused(&workflow("kyc")));
    assert!(!paused(&[(3, None)]).is_paused(&workflow("deposit")));
}

#[test]
fn pausing_twice_and_resuming_what_runs_change_nothing() {
    let once = pause(&[], at(1)).unwrap();
    assert_eq!(pause(&once, at(2)), None);
    let resumed = resume(&once, at(3)).unwrap();
    assert_eq!(resumed, [Pause { from: at(1), to: Some(at(3)) }]);
    assert_eq!(resume(&resumed, at(4)), None);
}

#[test]
fn the_newest_pauses_are_remembered() {
    let mut pauses = Vec::new();
    for hour in 0..30 {
        pauses = pause(&pauses, at(2 * hour)).unwrap();
        pauses = resume(&pauses, at(2 * hour + 1)).unwrap();
    }
    assert_eq!(pauses.len(), MAX_PAUSES);
    assert_eq!(pauses.first().map(|pause| pause.from), Some(at(20)));
}
