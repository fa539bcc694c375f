use std::time::Duration;

use local::aws::AwsFault;
use local::dynamodb::EVENTS_TABLE;
use local::faults::When;
use route::routes::Known;
use shared::record::pauses::PauseStatus::{Delivering, Paused, Unreadable};

use super::*;
use crate::testing::{put_pending, store};

const NOW: UnixMillis = UnixMillis(1_738_784_271_042);

const ROUTES: &str = r#"
[[route]]
name = "deposit"
provider = "rail"
events = ["POSTED"]
workflow = "deposits"
event_type = "deposit.posted"
customer = "/customer"

[[route]]
name = "opened"
provider = "rail"
events = ["OPENED"]
workflow = "kyc"
event_type = "account.opened"
customer = "/customer"
"#;

fn kyc() -> Destination {
    Destination::Workflow("kyc".to_owned())
}

fn routes() -> Routes {
    Routes::parse("routes.toml", ROUTES, Known::Anything).unwrap()
}

#[tokio::test]
async fn a_workflow_is_paused_and_resumed_and_its_status_says_so() {
    let (_dynamodb, store) = store().await;
    let later = NOW.plus(Duration::from_secs(7_500));
    let paused = async || {
        let routes = routes();
        let pauses = store.pauses(routes.destinations()).await.unwrap();
        let statuses = statuses(&routes, &pauses, None);
        statuses.iter().map(|it| (it.destination.to_string(), it.routes.concat(), it.status)).collect::<Vec<_>>()
    };
    let status = |name: &str, route: &str, status| (name.to_owned(), route.to_owned(), status);
    let none = [("deposits", "deposit"), ("kyc", "opened")].map(|(name, route)| status(name, route, Delivering));
    assert_eq!(paused().await, none);

    let sentence = pause(&store, &kyc(), NOW).await.unwrap();
    assert!(sentence.starts_with("kyc is paused: functions notice within 30 s."), "{sentence}");
    assert_eq!(
        paused().await,
        [status("deposits", "deposit", Delivering), status("kyc", "opened", Paused { since: NOW })]
    );
    let sentence = pause(&store, &kyc(), later).await.unwrap();
    assert_eq!(sentence, "kyc is already paused, since 2025-02-05T19:37:51.042Z.");

    let sentence = resume(&store, &kyc(), later).await.unwrap();
    assert!(sentence.starts_with("kyc is resumed after 2 h 5 min: functions notice within 30 s"), "{sentence}");
    assert_eq!(paused().await, none);
    assert_eq!(resume(&store, &kyc(), later).await.unwrap(), "kyc is not paused.");
}

#[tokio::test]
async fn pauses_that_somebody_else_has_changed_are_decided_about_again() {
    let (_dynamodb, store) = store().await;
    let pause_at = |at| Pause { from: at, to: None };
    let later = NOW.plus(Duration::from_secs(1));
    assert!(store.write_pauses(&kyc(), Some(&[]), &[pause_at(NOW)]).await.unwrap());
    assert!(!store.write_pauses(&kyc(), Some(&[]), &[pause_at(later)]).await.unwrap(), "it was read before the pause");
    assert!(!store.write_pauses(&kyc(), Some(&[pause_at(later)]), &[]).await.unwrap());
    assert_eq!(store.pauses([&kyc()]).await.unwrap().status(&kyc()), Paused { since: NOW });
    assert!(store.write_pauses(&kyc(), Some(&[pause_at(NOW)]), &[]).await.unwrap());
    assert!(
        store.write_pauses(&kyc(), Some(&[]), &[pause_at(later)]).await.unwrap(),
        "a list that is empty is no pause"
    );
}

#[tokio::test]
async fn a_pause_or_a_resume_whose_answer_was_lost_has_been_made() {
    let (dynamodb, store) = store().await;
    dynamodb.inject(Some("PutItem"), AwsFault::ResetAfter, When::Next(1));
    let sentence = pause(&store, &kyc(), NOW).await.unwrap();
    assert!(sentence.starts_with("kyc is paused: "), "{sentence}");
    dynamodb.inject(Some("PutItem"), AwsFault::ResetAfter, When::Next(1));
    let sentence = resume(&store, &kyc(), NOW.plus(Duration::from_secs(7_500))).await.unwrap();
    assert!(sentence.starts_with("kyc is resumed after 2 h 5 min: "), "{sentence}");
    assert_eq!(dynamodb.count("PutItem"), 4, "no answer was lost");
}

#[tokio::test]
async fn what_a_pause_was_is_remembered_for_the_age_of_its_events() {
    let (_dynamodb, store) = store().await;
    let later = NOW.plus(Duration::from_secs(7_500));
    pause(&store, &kyc(), NOW).await.unwrap();
    resume(&store, &kyc(), later).await.unwrap();
    let pauses = store.pauses([&kyc()]).await.unwrap();
    assert_eq!(pauses.age(&kyc(), NOW, later.plus(Duration::from_secs(1))), Duration::from_secs(1));
}

#[tokio::test]
async fn pauses_that_are_malformed_are_overwritten_by_pause_and_by_resume() {
    let (dynamodb, store) = store().await;
    let (routes, later) = (routes(), NOW.plus(Duration::from_secs(7_500)));
    let read = async || store.pauses(routes.destinations()).await.unwrap();
    let malformed = || {
        let pauses = serde_json::json!({ "L": [{ "M": { "from": { "S": "yesterday" } } }] });
        let item = serde_json::json!({ "pk": { "S": "workflow#kyc" }, "pauses": pauses });
        dynamodb.put_raw(EVENTS_TABLE, &item).unwrap();
    };
    malformed();
    let deposits = Destination::Workflow("deposits".to_owned());
    assert_eq!((read().await.status(&kyc()), read().await.status(&deposits)), (Unreadable, Delivering));
    let sentence = pause(&store, &kyc(), NOW).await.unwrap();
    assert!(sentence.starts_with("kyc is paused: functions notice within 30 s."), "{sentence}");
    assert_eq!(read().await.status(&kyc()), Paused { since: NOW });

    malformed();
    let sentence = resume(&store, &kyc(), later).await.unwrap();
    assert!(sentence.starts_with("kyc is resumed (its pauses could not be read, and are overwritten): "), "{sentence}");
    assert_eq!(read().await.status(&kyc()), Delivering);
    // For how long nothing was sent is unknown: none of it is age.
    assert_eq!(read().await.age(&kyc(), NOW, later), Duration::ZERO);
}

#[tokio::test]
async fn pending_messages_are_counted_by_workflow() {
    let (_dynamodb, store) = store().await;
    let routes = routes();
    for n in 0..3 {
        put_pending(&store, &format!("evt_{n}"), &["deposit"]).await;
    }
    put_pending(&store, "evt_3", &["deposit", "opened", "gone"]).await;
    let counts = pending_messages(&store, &routes).await.unwrap();
    assert_eq!(counts, [(Destination::Workflow("deposits".to_owned()), 4), (kyc(), 1)].into());
    let pending: Vec<_> =
        statuses(&routes, &Pauses::default(), Some(&counts)).into_iter().map(|status| status.pending).collect();
    assert_eq!(pending, [Some(4), Some(1)]);
}
