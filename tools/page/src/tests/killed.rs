//! The page, its network and the functions are killed at any moment: nothing changes in the table but by an event's own
//! attempt.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use local::dynamodb::{CUSTOMERS_TABLE, EVENTS_TABLE};
use local::faults::When;
use local::returning_ai::{At, Fault};
use local::stack::{FUNCTIONS, StackOptions};
use serde_json::{Value, json};
use shared::record::event::EventState;

use super::browser::{BOUND, Browser};
use super::here::Here;
use super::{listed, load, row};

/// Both tables, item by item.
#[derive(Debug, Eq, PartialEq)]
struct Tables(Vec<String>);

impl Tables {
    fn of(here: &Here) -> Self {
        let items = [EVENTS_TABLE, CUSTOMERS_TABLE].map(|table| here.stack.dynamodb.items_of(table)).concat();
        let mut items: Vec<String> = items.iter().map(Value::to_string).collect();
        items.sort_unstable();
        Self(items)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_looks_loses_the_network_or_is_killed_has_only_read() {
    let Some(mut browser) = Browser::start().await else { return };
    let here = Here::start().await;
    one_of_each_state(&here).await;
    let tables = Tables::of(&here);
    here.stack.dynamodb.reset_calls();

    // All that can be looked at.
    browser.open(&here.url()).await;
    browser.wait_for_text("#shown", "4 events").await;
    for (id, state) in STATES {
        browser.type_into("#search", id).await;
        browser.wait_for_text("#shown", "1 of 4 events").await;
        browser.press("Enter").await;
        browser.wait_for_text("#opened-id", id).await;
        browser.wait_for_text("#opened-state", state).await;
        browser.wait_for_text("#body", id).await;
    }
    browser.click("#opened-close").await;
    browser.click("#filters-clear").await;
    browser.wait_for_text(&format!("{} [data-col=customer]", row("rail#evt_delivered")), "C-1001").await;
    for (filter, value) in [("provider", "rillis"), ("state", "dead"), ("workflow", "kyc"), ("error", "refused")] {
        browser.choose(&format!("#filter-{filter}"), value).await;
        browser.wait_for_text("#shown", " of 4 events").await;
        browser.click("#filters-clear").await;
    }
    has_only_read(&here);
    assert_eq!(Tables::of(&here), tables);

    // The cable is pulled, and what happens meanwhile is seen once it is in again.
    browser.offline(true).await;
    browser.wait_until("document.querySelector('#connection').dataset.state === 'lost'").await;
    until("the server lets go of the viewer", || !here.board.is_viewed()).await;
    here.stack.dynamodb.put_raw(EVENTS_TABLE, &load::item(1, EventState::Dead, load::from_ms())).unwrap();
    let tables = Tables::of(&here);
    browser.wait_for_text("#connection", "connection lost ").await;
    assert_eq!(browser.text("#shown").await, "4 events");
    browser.offline(false).await;
    browser.wait_until("document.querySelector('#connection').dataset.state === 'live'").await;
    listed(&browser, &load::key_of(1), "dead").await;
    browser.wait_for_text("#shown", "5 events").await;
    browser.wait_for_text("#dead", "2").await;
    assert_eq!(Tables::of(&here), tables);

    // Asked how many would be redriven, and gone before the answer: by its tab, then with all of the browser.
    browser.click("#redrive-shown").await;
    browser.wait_for_text("#confirm[open] #confirm-text", "Redrive 4 events").await;
    browser.close_page().await;
    until("the server lets go of the viewer", || !here.board.is_viewed()).await;
    browser.open(&here.url()).await;
    browser.click("#redrive-shown").await;
    browser.wait_for_text("#confirm[open] #confirm-text", "Redrive 4 events").await;
    browser.kill();
    until("the server lets go of the viewer", || !here.board.is_viewed()).await;
    has_only_read(&here);
    assert_eq!(Tables::of(&here), tables);
    assert_eq!(here.stack.returning_ai.all_messages().len(), 1);
    here.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_is_killed_while_rows_come_and_a_page_that_is_taken_away_leave_the_table_as_it_is() {
    let Some(browser) = Browser::start().await else { return };
    let here = Here::start().await;
    let items = |from: usize| (from..from + 2_000).map(|n| load::item(n, EventState::Dead, load::from_ms()));
    load::put(&here.stack.dynamodb, &items(0).collect::<Vec<_>>());
    until("all are listed", || here.board.listed(&load::key_of(1_999)).is_some()).await;
    browser.open(&here.url()).await;
    browser.wait_until("document.querySelector('#events [data-pk]')").await;
    load::put(&here.stack.dynamodb, &items(2_000).collect::<Vec<_>>());
    browser.kill();
    let tables = Tables::of(&here);
    until("the server lets go of the viewer", || !here.board.is_viewed()).await;
    until("all are listed", || here.board.listed(&load::key_of(3_999)).is_some()).await;
    assert_eq!(Tables::of(&here), tables);

    // The server's side of it goes: first for what is asked from now on, then with every connection.
    let Some(mut browser) = Browser::start().await else { return };
    browser.open(&here.url()).await;
    browser.wait_for_text("#shown", "4,000 events").await;
    browser.network_fails();
    here.stack.serve_beside(None);
    browser.click("#redrive-shown").await;
    browser.wait_for_text("#notice", "The bridge answered 404").await;
    here.stack.shutdown().await;
    browser.wait_until("document.querySelector('#connection').dataset.state === 'lost'").await;
    browser.wait_for_text("#shown", "4,000 events").await;
    assert_eq!(Tables::of(&here), tables);
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_that_are_killed_from_the_page_lose_nothing_and_deliver_each_event_once_when_they_are_back() {
    let Some(browser) = Browser::start().await else { return };
    let here = Here::start().await;
    browser.open(&here.url()).await;
    // Three that wait, and one whose message hangs: its function is killed in the middle of it.
    fails("account-status", Fault::Status(500), When::UntilCleared, &here);
    for n in 0..3 {
        assert_eq!(here.deliver("rail", &account(&format!("evt_{n}"))).await, 200);
        here.stack.settled().await;
    }
    assert_eq!(here.count("pending"), 3);
    let before = Tables::of(&here);
    here.stack.returning_ai.clear_faults();
    let attempts = here.stack.returning_ai.attempts_ever();
    fails("account-status", Fault::Hang, When::UntilCleared, &here);
    assert_eq!(here.deliver("rail", &account("evt_3")).await, 200);
    here.stack.returning_ai.wait_for(|all| all.len() > attempts, BOUND).await.unwrap();
    listed(&browser, "rail#evt_3", "pending").await;
    let tables = Tables::of(&here);
    for name in FUNCTIONS {
        browser.click(&format!("#functions [data-function={name}] button")).await;
        browser.wait_for_text(&format!("#functions [data-function={name}]"), "stopped").await;
    }
    until("no process is left", || FUNCTIONS.iter().all(|name| here.stack.function(name).unwrap().pids().is_empty()))
        .await;
    assert_eq!(here.deliver("rail", &account("evt_refused")).await, 503);
    assert_eq!(Tables::of(&here), tables);
    assert!(before.0.iter().all(|item| tables.0.contains(item)));

    // A redrive that is begun while its function is off fails, and says so.
    browser.click("#redrive-shown").await;
    browser
        .wait_for_text(
            "#confirm[open] #confirm-text",
            "Redrive 3 events at 10 a second? Skipped 1 event: being delivered now.",
        )
        .await;
    browser.click("#confirm-yes").await;
    browser.wait_for_text("#job-title", "Redrive failed").await;
    assert_eq!(Tables::of(&here), tables);
    browser.click("#job-close").await;

    // One that is begun, and whose function is killed in the middle of it.
    browser.click("#functions [data-function=redrive] button").await;
    browser.wait_for_text("#functions [data-function=redrive]", "at work").await;
    let attempts = here.stack.returning_ai.attempts_ever();
    browser.click("#redrive-shown").await;
    browser.wait_for_text("#confirm[open] #confirm-text", "Redrive 3 events").await;
    browser.click("#confirm-yes").await;
    here.stack.returning_ai.wait_for(|all| all.len() > attempts, BOUND).await.unwrap();
    browser.click("#functions [data-function=redrive] button").await;
    browser.wait_for_text("#job-title", "Redrive failed").await;
    assert_eq!((here.table().len(), here.count("pending")), (4, 4));
    assert_eq!(here.stack.returning_ai.all_messages().len(), 0);

    here.stack.returning_ai.clear_faults();
    for name in FUNCTIONS {
        browser.click(&format!("#functions [data-function={name}] button")).await;
        browser.wait_for_text(&format!("#functions [data-function={name}]"), "at work").await;
    }
    browser.click("#make-due").await;
    browser.wait_for_text("#notice", "4 events are due now").await;
    here.redrive().await;
    for n in 0..4 {
        listed(&browser, &format!("rail#evt_{n}"), "delivered").await;
    }
    assert_eq!(here.count("delivered"), 4);
    each_once(&here, 4);
    browser.close().await;
    here.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redrive_whose_page_is_killed_goes_on_to_its_end() {
    let Some(browser) = Browser::start().await else { return };
    // Thirty processes that start at once would take seconds of each other's time.
    let here = Here::with(|options| StackOptions { max_processes: 2, ..options }).await;
    browser.open(&here.url()).await;
    fails("account-status", Fault::Status(422), When::UntilCleared, &here);
    join_all((0..30).map(async |n| here.deliver("rail", &account(&format!("evt_{n}"))).await)).await;
    here.stack.settled().await;
    browser.wait_for_text("#redrive-shown", "Redrive shown (30)").await;
    here.stack.returning_ai.clear_faults();
    browser.click("#redrive-shown").await;
    browser.wait_for_text("#confirm[open] #confirm-text", "Redrive 30 events at 10 a second?").await;
    browser.click("#confirm-yes").await;
    browser.wait_for_text("#job-counts", " of 30: ").await;
    browser.kill();
    until("the server lets go of the viewer", || !here.board.is_viewed()).await;
    assert!(here.count("dead") > 0, "it was done before the page was killed");
    until("all are delivered", || here.count("delivered") == 30).await;
    here.stack.settled().await;
    each_once(&here, 30);
    here.end().await;
}

const STATES: [(&str, &str); 4] =
    [("evt_delivered", "delivered"), ("evt_pending", "pending"), ("evt_dead", "dead"), ("evt_ignored", "ignored")];

/// [`STATES`]; the pending one has hours to wait.
async fn one_of_each_state(here: &Here) {
    let patience = Fault::RetryAfter { status: 429, after: "3600".to_owned() };
    for (id, fault) in
        [("evt_delivered", None), ("evt_pending", Some(patience)), ("evt_dead", Some(Fault::Status(422)))]
    {
        if let Some(fault) = fault {
            fails("account-status", fault, When::Next(1), here);
        }
        assert_eq!(here.deliver("rail", &account(id)).await, 200);
        here.stack.settled().await;
    }
    let unwanted = account("evt_ignored").replace("ACCOUNT_OPEN", "ACCOUNT_PENDING");
    assert_eq!(here.deliver("rail", &unwanted).await, 200);
    here.stack.settled().await;
    for (id, state) in STATES {
        assert_eq!(here.stack.dynamodb.item(&format!("rail#{id}")).unwrap()["state"], state);
    }
}

fn fails(workflow: &str, fault: Fault, when: When, here: &Here) {
    here.stack.returning_ai.inject(Some(At::Webhook(workflow.to_owned())), fault, when);
}

fn account(id: &str) -> String {
    json!({
        "event_id": id, "event_date": "2026-02-02T07:13:29Z", "event_type": "ACCOUNT_OPEN",
        "event_data": { "account_id": "CUSTOMER_USD_001", "customer_id": "C-1001" },
    })
    .to_string()
}

#[track_caller]
fn has_only_read(here: &Here) {
    let calls: BTreeSet<String> = here.stack.dynamodb.calls().into_iter().collect();
    let reads = ["BatchGetItem", "GetItem", "Query", "Scan"];
    assert!(!calls.is_empty() && calls.iter().all(|call| reads.contains(&call.as_str())), "{calls:?}");
}

/// Returning.AI has so many messages, no two of one event.
#[track_caller]
fn each_once(here: &Here, many: usize) {
    let messages = here.stack.returning_ai.all_messages();
    let keys: BTreeSet<String> = messages.iter().map(|it| it.body["idempotencyKey"].to_string()).collect();
    assert_eq!((messages.len(), keys.len()), (many, many), "{keys:?}");
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < BOUND, "not within {BOUND:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
