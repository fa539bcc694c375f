use std::time::Duration;

use local::dynamodb::EVENTS_TABLE;
use shared::clock::UnixMillis;
use shared::record::event::{Attempt, AttemptBy, DispatchState, EventState};
use shared::record::pauses::Pause;
use shared::record::store::SettleOutcome;

use super::*;
use crate::events::filter::Criteria;
use crate::events::fixtures::{NOW, attempted, delivered, down, received, recorded, refused, workflow};
use crate::testing::{put, store};

async fn all(store: &EventStore, criteria: Criteria) -> Vec<EventSummary> {
    let filter = Filter::new(criteria).unwrap();
    let mut selection = Selection::new(store, &filter);
    let mut found = Vec::new();
    loop {
        let events = selection.next().await.unwrap();
        if events.is_empty() {
            return found;
        }
        found.extend(events);
    }
}

#[tokio::test]
async fn pending_events_are_listed_by_their_next_attempt_over_all_parts_and_pages() {
    let (dynamodb, store) = store().await;
    // More under one key than a page of the index holds, and in another order than the keys'.
    for n in 0..400_u64 {
        let item = serde_json::json!({
            "pk": { "S": format!("rail#evt_{n}") },
            "due": { "S": if n < 300 { "p0" } else { "p3" } },
            "next_attempt_at": { "N": (NOW.seconds().0 + n * 7_919 % 400).to_string() },
            "state": { "S": "pending" },
            "attempts": { "N": "1" },
            "received_at": { "N": "1" },
            "deliveries": { "M": {} },
        });
        dynamodb.put_raw(EVENTS_TABLE, &item).unwrap();
    }
    let listed = all(&store, Criteria::default()).await;
    assert_eq!(listed.len(), 400);
    assert!(listed.is_sorted_by_key(|event| event.next_attempt_at));
}

#[tokio::test]
async fn states_without_an_index_are_found_by_a_scan_and_switches_are_no_events() {
    let (dynamodb, store) = store().await;
    store.write_pauses(&workflow("welcome"), None, &[Pause { from: NOW, to: None }]).await.unwrap();
    put(&store, &recorded("waiting")).await;
    let dead = attempted(&recorded("dead"), AttemptBy::First, Duration::ZERO, [refused(), delivered()]);
    put(&store, &recorded("dead")).await;
    assert_eq!(store.settle(&dead).await, Ok(SettleOutcome::Written));
    put(&store, &recorded("done")).await;
    let done = attempted(&recorded("done"), AttemptBy::First, Duration::ZERO, [delivered(), delivered()]);
    assert_eq!(store.settle(&done).await, Ok(SettleOutcome::Written));
    put(&store, &received("ignored", "CLOSED")).await;

    let keys = async |criteria| {
        let mut keys: Vec<_> = all(&store, criteria).await.into_iter().map(|event| event.pk).collect();
        keys.sort();
        keys
    };
    let default = Criteria::default;
    let in_state = |state| Criteria { states: vec![state], ..default() };
    let failed = |code: &str| Criteria { error: Some(code.to_owned()), ..in_state(EventState::Dead) };
    assert_eq!(keys(default()).await, ["rail#dead", "rail#waiting"]);
    assert_eq!(keys(in_state(EventState::Dead)).await, ["rail#dead"]);
    assert_eq!(keys(failed("refused")).await, ["rail#dead"]);
    assert_eq!(keys(failed("server_error")).await, [""; 0]);
    assert_eq!(keys(Criteria { provider: Some("rillis".to_owned()), ..default() }).await, [""; 0]);
    assert_eq!(keys(Criteria { since: Some(UnixMillis(NOW.0 - 7_200_000)), ..default() }).await, [""; 0]);
    assert_eq!(dynamodb.count("Scan"), 0);
    assert_eq!(keys(in_state(EventState::Delivered)).await, ["rail#done"]);
    let closed = Criteria { event_type: Some("CLO*".to_owned()), ..in_state(EventState::Ignored) };
    assert_eq!(keys(closed).await, ["rail#ignored"]);
    let states = vec![EventState::Pending, EventState::Dead, EventState::Delivered, EventState::Ignored];
    let every = ["rail#dead", "rail#done", "rail#ignored", "rail#waiting"];
    assert_eq!(keys(Criteria { states, ..default() }).await, every);
    assert!(dynamodb.count("Scan") > 0);
}

#[tokio::test]
async fn an_item_that_does_not_read_is_left_out_and_told_and_the_others_are_listed() {
    let (dynamodb, store) = store().await;
    put(&store, &recorded("sound")).await;
    let odd = serde_json::json!({
        "pk": { "S": "rail#odd" }, "due": { "S": "d0" }, "next_attempt_at": { "N": "1" }, "state": { "S": "gone" },
        "received_at": { "N": "1" },
    });
    dynamodb.put_raw(EVENTS_TABLE, &odd).unwrap();

    let filter = Filter::new(Criteria::default()).unwrap();
    let mut selection = Selection::new(&store, &filter);
    assert_eq!(selection.next().await.unwrap().len(), 1);
    assert_eq!(selection.next().await.unwrap(), []);
    let told: Vec<_> = selection.unreadable.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["item `rail#odd`: attribute `state` is missing or malformed"]);
}

#[tokio::test]
async fn an_event_is_read_as_it_was_settled() {
    let (_dynamodb, store) = store().await;
    put(&store, &recorded("evt_1")).await;
    let after = attempted(&recorded("evt_1"), AttemptBy::First, Duration::from_millis(8), [down(), delivered()]);
    store.settle(&after).await.unwrap();
    let read = store.read("rail#evt_1").await.unwrap().unwrap();
    assert_eq!(read.deliveries["first-deposit"].state, DispatchState::Delivered);
    assert_eq!(
        read.history,
        [Attempt {
            at: UnixMillis(read.received_at.0 + 8),
            by: AttemptBy::First,
            outcome: "server_error".to_owned(),
            http_status: Some(503),
            ms: 512,
            reason: None,
        }]
    );
}

#[tokio::test]
async fn summaries_keep_the_order_asked_for_and_leave_out_what_is_not_there() {
    let (_dynamodb, store) = store().await;
    let mut asked = Vec::new();
    for n in (0..230).rev() {
        put(&store, &recorded(&format!("evt_{n}"))).await;
        asked.push(format!("rail#evt_{n}"));
    }
    asked.insert(1, "rail#absent".to_owned());
    let found = store.summaries(&asked).await.unwrap();
    let found: Vec<_> = found.into_iter().map(|event| event.unwrap().pk).collect();
    asked.remove(1);
    assert_eq!(found, asked);
}

#[test]
fn an_event_is_in_hand_while_an_attempt_has_a_lease_and_no_outcome() {
    let mut event = EventSummary::from(&recorded("evt_1"));
    event.next_attempt_at = Some(NOW.seconds().plus(1));
    assert!(event.is_in_hand(NOW));
    event.next_attempt_at = Some(NOW.seconds());
    assert!(!event.is_in_hand(NOW));
    let planned = attempted(&recorded("evt_1"), AttemptBy::First, Duration::from_hours(3), [down(), down()]);
    assert!(planned.next_attempt_at > Some(NOW.seconds()));
    assert!(!EventSummary::from(&planned).is_in_hand(NOW));
    assert!(EventSummary::from(&planned.take_over(NOW, "redrive/1".to_owned())).is_in_hand(NOW));
}
