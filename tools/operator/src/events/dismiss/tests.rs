use std::time::Duration;

use local::aws::AwsFault;
use local::dynamodb::EVENTS_TABLE;
use local::faults::When;
use shared::record::event::{AttemptBy, DISMISSED};
use shared::record::store::SettleOutcome;
use shared::record::store::listing::EventSummary;

use super::*;
use crate::events::fixtures::{NOW, attempted, delivered, recorded, refused};
use crate::testing::{put, store};

async fn put_dead(store: &EventStore, id: &str) -> String {
    put(store, &recorded(id)).await;
    let after = attempted(&recorded(id), AttemptBy::First, Duration::ZERO, [refused(), delivered()]);
    assert_eq!(store.settle(&after).await, Ok(SettleOutcome::Written));
    format!("rail#{id}")
}

#[tokio::test]
async fn a_dead_event_is_closed_with_its_reason_and_expires_and_what_is_not_dead_stays() {
    let (dynamodb, store) = store().await;
    let dead = put_dead(&store, "dead").await;
    put(&store, &recorded("waits")).await;
    let before = dynamodb.item("rail#waits");

    let keys = [dead.clone(), "rail#waits".to_owned(), "rail#nowhere".to_owned()];
    let counts = dismiss(&store, &keys, Some("a duplicate"), NOW).await;
    assert_eq!(counts, Ok(Dismissals { dismissed: 1, changed: 2, troubled: 0 }));
    let event = store.read(&dead).await.unwrap().unwrap();
    let last = event.history.last().unwrap();
    assert_eq!((event.state, last.outcome.as_str()), (EventState::Dismissed, DISMISSED));
    assert_eq!((last.at, last.reason.as_deref()), (NOW, Some("a duplicate")));
    assert_eq!(event.expires_at, Some(NOW.seconds().plus(90 * 24 * 60 * 60)));
    assert_eq!((event.next_attempt_at, event.due(8)), (None, None));
    assert_eq!(dynamodb.item("rail#waits"), before);
    // A dismissal is no attempt, so no figure counts it as one that failed.
    assert_eq!(EventSummary::from(&event).outcomes, 1);
    let listed = store.summaries(&[dead]).await.unwrap().remove(0).unwrap();
    assert_eq!(listed.outcomes, 1);
}

#[tokio::test]
async fn a_dismissal_whose_answer_was_lost_counts_as_done() {
    let (dynamodb, store) = store().await;
    let dead = put_dead(&store, "dead").await;
    dynamodb.inject(Some("UpdateItem"), AwsFault::ResetAfter, When::Next(1));
    let counts = dismiss(&store, &[dead], None, NOW).await;
    assert_eq!(counts, Ok(Dismissals { dismissed: 1, changed: 0, troubled: 0 }));
}

#[tokio::test]
async fn a_malformed_item_is_counted_and_stops_no_other() {
    let (dynamodb, store) = store().await;
    let dead = put_dead(&store, "dead").await;
    let odd = serde_json::json!({ "pk": { "S": "rail#odd" }, "state": { "S": "dead" } });
    dynamodb.put_raw(EVENTS_TABLE, &odd).unwrap();
    let counts = dismiss(&store, &["rail#odd".to_owned(), dead], None, NOW).await.unwrap();
    assert_eq!(counts.summary(), "1 dismissed, 1 not readable or writable");
    assert_eq!(counts.unprocessed(2), 1);
}

#[test]
fn a_reason_is_trimmed_may_be_empty_and_has_a_bound() {
    assert_eq!(reason("  ").unwrap(), None);
    assert_eq!(reason(" see #12\n").unwrap().as_deref(), Some("see #12"));
    assert!(reason(&"ä".repeat(500)).is_ok());
    assert_eq!(reason(&"ä".repeat(501)).unwrap_err().problem(), "The reason is too long");
}
