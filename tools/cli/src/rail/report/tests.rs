use std::time::Duration;

use super::*;

fn refused(event_type: &str) -> RejectedType {
    RejectedType { event_type: event_type.to_owned(), status: 400, code: Some("INVALID_EVENT_TYPE".to_owned()) }
}

#[test]
fn each_thing_done_is_one_line() {
    let (event_type, id) = (|| "ACCOUNT_OPEN".to_owned(), || "sub_1".to_owned());
    let pause = Duration::from_secs(300);
    for (told, expected) in [
        (
            Progress::Created { event_type: event_type(), id: id() },
            "created   ACCOUNT_OPEN  sub_1; its key is in the secret",
        ),
        (Progress::KeyCopied { event_type: event_type(), id: id() }, "took key  ACCOUNT_OPEN  sub_1, from Rail's list"),
        (Progress::Deleted { event_type: event_type(), id: id() }, "deleted   ACCOUNT_OPEN  sub_1"),
        (Progress::KeysRemoved(1), "removed   1 key"),
        (
            Progress::Rejected(refused("ACCOUNT_OPEN")),
            "REJECTED  ACCOUNT_OPEN: Rail does not accept it (400 INVALID_EVENT_TYPE)",
        ),
        (Progress::RotationStarted(2), "started   2 event types"),
        (
            Progress::RotationResumed(vec![event_type(), "B".to_owned()]),
            "continuing what an earlier run has started: ACCOUNT_OPEN, B",
        ),
        (
            Progress::WaitingToDelete { old: 2, pause },
            "waiting 5 min until every function has read the new keys, then 2 old subscriptions will be deleted",
        ),
        (
            Progress::WaitingToRemoveKeys { keys: 1, pause },
            "waiting 5 min for the last deliveries of the old subscriptions, then 1 old key will be removed",
        ),
    ] {
        assert_eq!(sentence(&told), expected);
    }
}

#[test]
fn types_that_rail_refuses_are_a_refusal_that_says_who_names_them() {
    conclude(&Outcome::default()).unwrap();
    let types = ["APPLICATION_CHANGE_REQUESTED", "DEPOSIT_COMPLETED", "REFUND_POSTED"];
    let outcome = Outcome { done: 1, rejected: types.map(refused).into() };
    let failure = conclude(&outcome).unwrap_err();
    let text = failure.to_string();
    let expected = "error: Rail rejects 3 event types: \
        APPLICATION_CHANGE_REQUESTED (400 INVALID_EVENT_TYPE; named by Rail's OpenAPI description), \
        DEPOSIT_COMPLETED (400 INVALID_EVENT_TYPE; named only by Rail's guide), \
        REFUND_POSTED (400 INVALID_EVENT_TYPE; not named in Rail's documentation)";
    assert_eq!(text.lines().next(), Some(expected));
    assert_eq!(failure.kind(), operator::error::ErrorKind::Refused);
}
