use super::*;

#[test]
fn an_invocation_ends_at_its_deadline_or_after_thirty_seconds() {
    let now = UnixMillis(1_747_253_577_000);
    for (deadline_ms, left_ms) in [
        (now.0 + 29_999, 29_999),
        (now.0 + 1, 1),
        (now.0 + 30_000, 30_000),
        (now.0 + 900_000, 30_000),
        (u64::MAX, 30_000),
        // Over on arrival.
        (now.0, 30_000),
        (now.0 - 1, 30_000),
        (0, 30_000),
    ] {
        assert_eq!(ends_at(UnixMillis(deadline_ms), now).0 - now.0, left_ms, "{deadline_ms}");
    }
}
