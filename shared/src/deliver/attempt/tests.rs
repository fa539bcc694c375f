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
    let failed = || Err(Failure::passing("timeout"));
    let outcomes = [("a", Ok(Done::Delivered { http_status: 200 })), ("b", failed()), ("c", failed())];
    let outcomes = outcomes.map(|(route, outcome)| (route.to_owned(), outcome));
    let ended_at = UnixMillis(received_at.0 + 41);
    let before = first.settle(AttemptBy::First, &outcomes, received_at, ended_at, Duration::ZERO, Draw(0.5));

    let mut after = before.clone();
    after.deliveries.get_mut("b").unwrap().state = DeliveryState::Skipped;
    let mut measured = Measurements::default();
    // `c` was held back.
    measure_attempt(&mut measured, &before, &after, |route| route == "b", true);
    let expected = [("Skipped", vec![1.0]), ("DeliveryLatency", vec![41.0])];
    assert_eq!(by_metric(&measured), expected.map(|(name, values)| (name.to_owned(), values)).into());
}
