use std::time::Duration;

use shared::record::event::AttemptBy;
use shared::record::store::{SettleOutcome, TakeOverOutcome};

use super::*;
use crate::events::filter::Criteria;
use crate::events::fixtures::{NOW, attempted, delivered, down, received, recorded, refused};
use crate::testing::{put, store};

/// An event of each state, and one that is being delivered.
async fn put_one_of_each(store: &EventStore) {
    put(store, &received("ignored", "CLOSED")).await;
    put(store, &recorded("in-hand")).await;
    let taken = recorded("in-hand").take_over(NOW, "redrive/1".to_owned());
    assert_eq!(store.take_over(&recorded("in-hand"), &taken).await, Ok(TakeOverOutcome::Ours));
    for (id, outcome) in [("waits", down()), ("dead", refused()), ("done", delivered()), ("closed", refused())] {
        put(store, &recorded(id)).await;
        let after = attempted(&recorded(id), AttemptBy::First, Duration::ZERO, [outcome, delivered()]);
        assert_eq!(store.settle(&after).await, Ok(SettleOutcome::Written));
    }
    let closed = store.read("rail#closed").await.unwrap().unwrap();
    let after = closed.dismiss(None, NOW).unwrap();
    store.take_over(&closed, &after).await.unwrap();
}

fn keys(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|id| format!("rail#{id}")).collect()
}

#[tokio::test]
async fn a_dismissal_takes_dead_events_alone_and_a_redrive_all_that_can_be_delivered() {
    let (_dynamodb, store) = store().await;
    put_one_of_each(&store).await;
    let all = keys(&["ignored", "in-hand", "waits", "dead", "done", "closed", "nowhere"]);
    for (action, expected, skipped) in [
        (
            Action::Dismiss,
            keys(&["dead"]),
            vec![
                "Skipped 1 event: already delivered.",
                "Skipped 1 event: already dismissed.",
                "Skipped 1 event: ignored, not dead.",
                "Skipped 2 events: pending, not dead.",
            ],
        ),
        (
            Action::Redrive,
            keys(&["ignored", "waits", "dead", "closed"]),
            vec!["Skipped 1 event: already delivered.", "Skipped 1 event: being delivered now."],
        ),
    ] {
        let chosen = Candidates::by_keys(&store, &all, action, NOW).await.unwrap();
        assert_eq!(chosen.keys, expected);
        assert_eq!(chosen.skipped().collect::<Vec<_>>(), skipped);
        assert_eq!(chosen.missing, keys(&["nowhere"]));
    }
}

#[tokio::test]
async fn dismissed_events_are_found_by_their_state_and_their_workflow() {
    let (_dynamodb, store) = store().await;
    put_one_of_each(&store).await;
    let of = |route: &str| Criteria {
        states: vec![EventState::Dismissed],
        routes: Some(BTreeSet::from([route.to_owned()])),
        ..Criteria::default()
    };
    for (route, expected) in [("deposit", keys(&["closed"])), ("first-deposit", Vec::new())] {
        let filter = Filter::new(of(route)).unwrap();
        let chosen = Candidates::by_filter(&store, &filter, Action::Redrive, NOW).await.unwrap();
        assert_eq!(chosen.keys, expected, "{route}");
    }
}
