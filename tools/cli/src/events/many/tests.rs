use super::*;

#[track_caller]
fn check_go_on(given: &str, done: usize, expected: &str) {
    let times = [("--since", "2025-02-05T17:37:51.042Z".to_owned())];
    let keys: Vec<_> = (1..=done).map(|n| format!("rail#evt_{n}")).collect();
    let words = given.split(' ').map(str::to_owned);
    assert_eq!(go_on(words, &times, &keys[..done]), expected);
}

#[test]
fn going_on_means_the_same_events_without_those_that_are_done() {
    check_go_on(
        "events redrive --state dead --since 2h --type FLOW_* --yes",
        0,
        "bridge events redrive --state dead --since 2025-02-05T17:37:51.042Z --type 'FLOW_*' --yes",
    );
    check_go_on("events redrive --since=2h", 0, "bridge events redrive --since=2025-02-05T17:37:51.042Z");
    check_go_on("events redrive rail#evt_1 rail#evt_2 rail#evt_3", 2, "bridge events redrive 'rail#evt_3'");
    assert_eq!(quoted("it's"), r"'it'\''s'");
}
