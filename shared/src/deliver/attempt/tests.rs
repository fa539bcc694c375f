use super::*;
use crate::testing::by_metric;

#[test]
fn a_later_attempt_counts_only_what_it_tried_and_what_it_ended() {
    let received_at = UnixMillis(1_738_784_271_042);
    let first = EventRecord::received(
        "sample",
        "evt_1".to_owned(),
        Some("PAID".to_owned()),
        received_at,
        received_at,
        "{}".to_owned(),
    )
    .begin(["a", "b", "c"], received_at);
    let failed = || Err(FailureCode::Timeout.into());
    let outcomes = [("a", Ok(DispatchSuccess::Delivered { http_status: 200 })), ("b", failed()), ("c", failed())];
    let outcomes = outcomes.map(|(route, outcome)| (route.to_owned(), outcome));
    let ended_at = UnixMillis(received_at.0 + 41);
    let before = first.settle(AttemptBy::First, &outcomes, received_at, ended_at, Duration::ZERO, Draw(0.5));

    // `c` was held back.
    let outcomes = vec![("b".to_owned(), Ok(DispatchSuccess::Skipped))];
    let after = before.settle(AttemptBy::Redrive, &outcomes, ended_at, ended_at, Duration::ZERO, Draw(0.5));
    let report = AttemptReport {
        outcomes,
        after,
        failed: Vec::new(),
        pauses_unreadable: 0,
        settled: Ok(SettleOutcome::Written),
    };
    let mut measured = Measurements::default();
    measure_attempt(&mut measured, &before, &report);
    let expected = [("Skipped", vec![1.0]), ("DeliveryLatency", vec![0.0])];
    assert_eq!(by_metric(&measured), expected.map(|(name, values)| (name.to_owned(), values)).into());
}
