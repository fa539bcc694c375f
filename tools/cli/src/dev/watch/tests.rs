use super::*;

#[track_caller]
fn check(item: &Value, expected: &str) {
    assert_eq!(line(item, 1000), expected);
}

#[test]
fn an_event_is_printed_with_what_it_waits_for() {
    check(
        &json!({ "state": "pending", "last_error": "server_error 500", "next_attempt_at": 1042 }),
        "pending: server_error 500; next attempt in 42 s",
    );
    check(
        &json!({ "state": "pending", "last_error": "timeout", "next_attempt_at": 999 }),
        "pending: timeout; next attempt is due",
    );
    check(
        &json!({ "state": "pending", "next_attempt_at": 1060 }),
        "pending: an attempt has started and has no outcome yet; next attempt in 60 s",
    );
    check(&json!({ "state": "delivered" }), "delivered");
    check(&json!({ "state": "dead", "last_error": "refused 422" }), "dead: refused 422");
}

#[test]
fn what_waits_is_printed_once_per_change_and_what_passes_through_is_not() {
    let mut snapshot = Snapshot::default();
    let mut look = |pending: &[(&str, u64)]| {
        snapshot.changes(pending.iter().map(|(pk, at)| ((*pk).to_owned(), *at)).collect()).join(" ")
    };
    assert_eq!(look(&[("a", 60), ("b", 60)]), "");
    assert_eq!(look(&[("a", 60)]), "a");
    assert_eq!(look(&[("a", 60)]), "");
    assert_eq!(look(&[("a", 90)]), "");
    assert_eq!(look(&[("a", 90)]), "a");
    assert_eq!(look(&[("a", 99)]), "");
    assert_eq!(look(&[]), "a");
    assert_eq!(look(&[]), "");
}

#[test]
fn a_run_is_printed_only_if_it_did_something() {
    assert_eq!(summary(&json!({ "found": 0, "delivered": 0, "complete": true })), None);
    assert_eq!(summary(&json!({ "found": 3, "held_back": 3 })), None);
    let counts = json!({ "found": 3, "delivered": 2, "retried": 1, "dead": 0 });
    assert_eq!(summary(&counts).as_deref(), Some("redrive: 3 due: 2 delivered, 1 will be retried"));
}
