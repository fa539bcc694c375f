use super::*;
use crate::record::retry_plan::MAX_AGE;
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
    let before = first.settle(AttemptBy::First, &outcomes, received_at, ended_at, |_| Duration::ZERO, Draw(0.5));

    // `c` was held back.
    let outcomes = vec![("b".to_owned(), Ok(DispatchSuccess::Skipped))];
    let after = before.settle(AttemptBy::Redrive, &outcomes, ended_at, ended_at, |_| Duration::ZERO, Draw(0.5));
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

#[test]
fn a_death_for_want_of_a_customer_is_counted_apart() {
    let received_at = UnixMillis(1_738_784_271_042);
    let event = EventRecord::received(
        "sample",
        "evt_1".to_owned(),
        Some("PAID".to_owned()),
        received_at,
        received_at,
        "{}".to_owned(),
    );
    let before = event.begin(["a", "b", "c"], received_at);
    let incomplete = DispatchFailure { pointer: Some("/email".to_owned()), ..FailureCode::CustomerIncomplete.into() };
    let outcomes = [
        ("a".to_owned(), Err(FailureCode::CustomerUnknown.into())),
        ("b".to_owned(), Err(incomplete)),
        ("c".to_owned(), Err(FailureCode::ServerError.into())),
    ];
    let after = before.settle(AttemptBy::Redrive, &outcomes, received_at, received_at, |_| MAX_AGE, Draw(0.5));
    let settled = Ok(SettleOutcome::Written);
    let report =
        AttemptReport { outcomes: outcomes.to_vec(), after, failed: Vec::new(), pauses_unreadable: 0, settled };
    let mut measured = Measurements::default();
    measure_attempt(&mut measured, &before, &report);
    let counted = by_metric(&measured);
    assert_eq!((counted.get("DeadWithoutCustomer"), counted.get("Dead")), (Some(&vec![2.0]), Some(&vec![1.0])));
}
