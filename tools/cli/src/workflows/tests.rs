use std::time::Duration;

use shared::route::routes::LookupKinds;

use super::*;
use crate::events::tests::store;

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

async fn listed(store: &EventStore, counts: Option<&BTreeMap<Destination, usize>>, now: UnixMillis) -> String {
    let routes = Routes::parse("routes.toml", ROUTES, LookupKinds::Any).unwrap();
    let pauses = store.pauses(routes.destinations()).await.unwrap();
    let mut out = Vec::new();
    write(&mut out, &lines(&routes, &pauses, counts), now).unwrap();
    String::from_utf8(out).unwrap()
}

#[tokio::test]
async fn a_workflow_is_paused_and_resumed_and_the_list_says_so() {
    let (_dynamodb, store) = store().await;
    let later = NOW.plus(Duration::from_secs(7_500));
    assert_eq!(listed(&store, None, NOW).await, "WORKFLOW  STATE\ndeposits  delivering\nkyc       delivering\n");

    let said = switch_off(&store, &kyc(), NOW).await.unwrap();
    assert!(said.starts_with("kyc is paused: functions notice within 30 s."), "{said}");
    let expected =
        "WORKFLOW  STATE\ndeposits  delivering\nkyc       paused since 2025-02-05T19:37:51.042Z, for 2 h 5 min\n";
    assert_eq!(listed(&store, None, later).await, expected);
    let said = switch_off(&store, &kyc(), later).await.unwrap();
    assert_eq!(said, "kyc is paused already, since 2025-02-05T19:37:51.042Z.");

    let said = switch_on(&store, &kyc(), later).await.unwrap();
    assert!(said.starts_with("kyc delivers again, after 2 h 5 min: functions notice within 30 s"), "{said}");
    assert!(!listed(&store, None, later).await.contains("paused"));
    assert_eq!(switch_on(&store, &kyc(), later).await.unwrap(), "kyc is not paused.");
}

#[tokio::test]
async fn what_a_pause_was_is_remembered_for_the_age_of_its_events() {
    let (_dynamodb, store) = store().await;
    let later = NOW.plus(Duration::from_secs(7_500));
    switch_off(&store, &kyc(), NOW).await.unwrap();
    switch_on(&store, &kyc(), later).await.unwrap();
    let pauses = store.pauses([&kyc()]).await.unwrap();
    assert_eq!(pauses.age(&kyc(), NOW, later.plus(Duration::from_secs(1))), Duration::from_secs(1));
}

#[tokio::test]
async fn pending_messages_are_counted_by_workflow() {
    let (_dynamodb, store) = store().await;
    let routes = Routes::parse("routes.toml", ROUTES, LookupKinds::Any).unwrap();
    for n in 0..3 {
        crate::events::tests::put_pending(&store, &format!("evt_{n}"), &["deposit"]).await;
    }
    crate::events::tests::put_pending(&store, "evt_3", &["deposit", "opened", "gone"]).await;
    let counts = pending_messages(&store, &routes).await.unwrap();
    assert_eq!(counts, [(Destination::Workflow("deposits".to_owned()), 4), (kyc(), 1)].into());
    let expected = "WORKFLOW  PENDING  STATE\ndeposits        4  delivering\nkyc             1  delivering\n";
    assert_eq!(listed(&store, Some(&counts), NOW).await, expected);
}
