use std::collections::{BTreeSet, HashSet};

use super::*;
use crate::observe::metrics::{ALL, By};
use crate::testing::by_metric;

fn backlog() -> Backlog {
    Backlog {
        pending: 40_000,
        pending_at_least: true,
        oldest_pending: Duration::from_millis(901_500),
        oldest_at_least: true,
        dead: 2,
        dead_at_least: false,
        due_parts: HashSet::new(),
    }
}

#[test]
fn a_run_of_redrive_tells_what_it_found_and_whether_it_left_something() {
    let (complete, all) = (Counts::default(), Request::Due(Share::ALL));
    for (counts, is_incomplete) in
        [(complete, false), (Counts { complete: false, ..complete }, true), (Counts { troubled: 1, ..complete }, true)]
    {
        let mut measured = Measurements::default();
        measure_run(&mut measured, &all, Some(&backlog()), Some(Duration::from_secs(900)), &counts);
        let mut expected = vec![
            ("RedriveRuns 0", vec![1.0]),
            ("PendingEvents", vec![40_000.0]),
            ("DeadEvents", vec![2.0]),
            ("OldestPendingAge", vec![901.0]),
        ];
        expected.extend(is_incomplete.then_some(("RedriveIncomplete", vec![1.0])));
        let expected = expected.into_iter().map(|(name, values)| (name.to_owned(), values));
        assert_eq!(by_metric(&measured), expected.collect());
        assert_eq!(measured.at_least, ["PendingEvents", "OldestPendingAge"]);
    }
    let mut by_hand = Measurements::default();
    measure_run(&mut by_hand, &Request::Keys(Vec::new()), None, None, &complete);
    assert!(by_hand.entries.is_empty());
}

#[test]
fn the_oldest_event_is_the_older_of_the_backlog_s_and_of_the_due_ones_that_a_share_has_read() {
    let due = Some(Duration::from_secs(1_000));
    for (backlog, due, oldest) in [
        (Some(&backlog()), due, Some(1_000.0)),
        (Some(&backlog()), None, Some(901.0)),
        (None, due, Some(1_000.0)),
        (None, None, None),
    ] {
        let mut measured = Measurements::default();
        measure_run(&mut measured, &Request::Due(Share::ALL), backlog, due, &Counts::default());
        assert_eq!(by_metric(&measured).remove("OldestPendingAge"), oldest.map(|oldest| vec![oldest]));
        assert_eq!(measured.at_least.contains(&"OldestPendingAge"), oldest.is_some(), "{oldest:?}");
    }
}

#[test]
fn every_metric_that_the_table_gives_to_redrive_alone_is_counted_by_a_run() {
    let mut measured = Measurements::default();
    let all = Request::Due(Share::ALL);
    measure_run(&mut measured, &all, Some(&backlog()), None, &Counts { complete: false, ..Counts::default() });
    let of_redrive = ALL.iter().filter(|metric| metric.by == By::Redrive).map(|metric| metric.name.to_owned());
    let named = |metric: String| metric.split(' ').next().unwrap_or_default().to_owned();
    let counted: BTreeSet<_> = by_metric(&measured).into_keys().map(named).collect();
    assert_eq!(counted, of_redrive.collect());
}
