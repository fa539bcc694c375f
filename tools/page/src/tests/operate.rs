//! An operator at the page: redrive, pause and resume, search and filters, by mouse and by keyboard.

use std::sync::Arc;

use futures_util::future::join_all;
use local::faults::When;
use local::returning_ai::{At, Fault};
use operator::Place;
use operator::events::candidates::Action;
use operator::network::http;
use operator::pauses::{pause, resume};
use route::destination::Destination;
use serde_json::json;
use shared::clock::Clock;
use shared::record::store::TakeOverOutcome;

use super::browser::{BOUND, Browser};
use super::here::Here;
use super::{listed, row, send};
use crate::dev::dev_file;
use crate::jobs::{Jobs, Work};

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_event_is_redriven_from_its_panel_and_many_by_a_filter_once_the_count_is_confirmed() {
    let Some(browser) = Browser::start().await else { return };
    let here = Here::start().await;
    browser.open(&here.url()).await;
    refuse_for_good(&here, "account-status", When::UntilCleared);
    refuse_for_good(&here, "kyc", When::UntilCleared);
    here.deliver("rail", &account("evt_dead", "ACCOUNT_OPEN")).await;
    listed(&browser, "rail#evt_dead", "dead").await;
    here.stack.settled().await;

    // One, from its panel: first not, then yes.
    let table = here.table();
    browser.click(&row("rail#evt_dead")).await;
    browser.wait_for_text("#timeline [data-kind=attempt]", "refused, HTTP 422, ").await;
    browser.wait_for_text("#timeline li:last-child[data-kind=dead]", "dead").await;
    browser.click("#redrive-one").await;
    browser.wait_for_text("#confirm[open] #confirm-text", "Redrive 1 event?").await;
    browser.click("#confirm-no").await;
    browser.wait_until("!document.querySelector('#confirm').open").await;
    assert_eq!((here.table(), browser.count("#job:not([hidden])").await), (table, 0));
    here.stack.returning_ai.clear_faults();
    browser.click("#redrive-one").await;
    browser.click("#confirm-yes").await;
    browser.wait_for_text("#job-title", "Redrive done").await;
    browser.wait_for_text("#job-counts", "1 of 1: 1 delivered").await;
    browser.wait_for_text("#opened-state", "delivered").await;
    browser.wait_for_text("#timeline", "attempt of redrive, by an operator: delivered, HTTP 200, ").await;
    listed(&browser, "rail#evt_dead", "delivered").await;
    browser.wait_until("document.querySelector('#redrive-one').disabled").await;
    browser.click("#opened-close").await;
    browser.click("#job-close").await;

    // Those of a filter, of many.
    refuse_for_good(&here, "account-status", When::UntilCleared);
    refuse_for_good(&here, "kyc", When::UntilCleared);
    join_all((0..20).map(async |n| here.deliver("rail", &account(&format!("evt_{n}"), "ACCOUNT_OPEN")).await)).await;
    join_all((0..2).map(async |n| here.deliver("rillis", &flow(&format!("flow_{n}"))).await)).await;
    browser.wait_for_text("#dead", "22").await;
    here.stack.settled().await;
    here.stack.returning_ai.clear_faults();
    browser.choose("#filter-provider", "rillis").await;
    browser.wait_for_text("#shown", "2 of 23 events").await;
    browser.wait_for_text("#redrive-shown", "Redrive shown (2)").await;
    browser.click("#redrive-shown").await;
    browser.wait_for_text("#confirm[open] #confirm-text", "Redrive 2 events at 10 a second?").await;
    browser.click("#confirm-yes").await;
    browser.wait_for_text("#job-title", "Redrive done").await;
    browser.wait_for_text("#job-counts", "2 of 2: 2 delivered").await;
    browser.wait_for_text("#dead", "20").await;
    assert_eq!((here.count("delivered"), here.count("dead")), (3, 20));
    browser.click("#job-close").await;

    // The rest one a second, until it is enough.
    browser.click(".tile[data-show=dead]").await;
    browser.wait_for_text("#shown", "20 of 23 events").await;
    browser.click("#redrive-shown").await;
    browser.wait_for_text("#confirm[open] #confirm-text", "Redrive 20 events at 10 a second?").await;
    browser.click("#confirm-rate [value='1']").await;
    browser
        .wait_for_text("#confirm-text", "Redrive 20 events at 1 a second? It takes about 20 s; it can be stopped.")
        .await;
    browser.click("#confirm-yes").await;
    browser.wait_for_text("#job-counts", " of 20: ").await;
    browser.wait_until("document.querySelector('#redrive-shown').disabled").await;
    browser.click("#job-stop").await;
    browser.wait_for_text("#job-title", "Redrive stopped").await;
    let counts = browser.text("#job-counts").await;
    let done: usize = counts.split(' ').next().unwrap().parse().unwrap();
    assert_eq!(counts, format!("{done} of 20: {done} delivered"));
    assert!((1..20).contains(&done), "{counts}");
    assert_eq!((here.count("delivered"), here.count("dead")), (3 + done, 20 - done));
    browser.wait_for_text("#shown", &format!("{} of 23 events", 20 - done)).await;
    assert_eq!(here.stack.returning_ai.all_messages().len(), 3 + done);
    browser.close().await;
    here.end().await;
}

/// Attempts that failed, in this minute and the one before: a minute may end at any step of a test.
const FAILED: &str = "(Number(document.querySelector('#failed-rate').textContent) \
    + parseInt(document.querySelector('#failed-sub').textContent))";

#[tokio::test(flavor = "multi_thread")]
async fn dead_events_are_dismissed_with_a_reason_and_a_redrive_takes_one_up_again() {
    let Some(browser) = Browser::start().await else { return };
    let here = Here::start().await;
    browser.open(&here.url()).await;
    refuse_for_good(&here, "account-status", When::UntilCleared);
    for n in 0..4 {
        here.deliver("rail", &account(&format!("evt_{n}"), "ACCOUNT_OPEN")).await;
    }
    listed(&browser, "rail#evt_0", "dead").await;
    browser.wait_for_text("#dead", "4").await;
    browser.wait_until(&format!("{FAILED} === 4")).await;
    here.stack.settled().await;
    here.stack.returning_ai.clear_faults();

    // One, from its panel: first not, then with a reason.
    let table = here.table();
    browser.click(&row("rail#evt_0")).await;
    browser.wait_until("!document.querySelector('#dismiss-one').disabled").await;
    browser.click("#dismiss-one").await;
    browser.wait_for_text("#confirm[open] #confirm-text", "Dismiss 1 event? Claims of `once_per` stay: ").await;
    browser.wait_until("document.activeElement.id === 'confirm-no'").await;
    browser.click("#confirm-no").await;
    browser.wait_until("!document.querySelector('#confirm').open").await;
    assert_eq!(here.table(), table);
    browser.click("#dismiss-one").await;
    browser.type_into("#reason", "a test of Rail's").await;
    browser.click("#confirm-yes").await;
    browser.wait_for_text("#job-title", "Dismissal done").await;
    browser.wait_for_text("#job-counts", "1 of 1: 1 dismissed").await;
    browser.wait_for_text("#opened-state", "dismissed").await;
    browser.wait_for_text("#timeline [data-kind=dismissed]", "dismissed by an operator: a test of Rail's").await;
    listed(&browser, "rail#evt_0", "dismissed").await;
    browser.wait_until("document.querySelector('#dismiss-one').disabled").await;
    browser.wait_for_text("#dead", "3").await;
    // A dismissal is no attempt that failed. Of those before it, some may be longer ago than that by now.
    browser.wait_until(&format!("{FAILED} <= 4")).await;

    // A redrive takes it up again.
    browser.click("#redrive-one").await;
    browser.click("#confirm-yes").await;
    browser.wait_for_text("#job-counts", "1 of 1: 1 delivered").await;
    browser.wait_for_text("#opened-state", "delivered").await;
    browser.click("#opened-close").await;
    browser.click("#job-close").await;

    // The dead ones of those that are shown.
    browser.wait_for_text("#dismiss-shown", "Dismiss shown (3)").await;
    browser.click("#dismiss-shown").await;
    browser.wait_for_text("#confirm[open] #confirm-text", "Dismiss 3 events?").await;
    browser.click("#confirm-yes").await;
    browser.wait_for_text("#job-counts", "3 of 3: 3 dismissed").await;
    browser.wait_for_text("#dead", "0").await;
    assert_eq!((here.count("delivered"), here.count("dismissed")), (1, 3));
    // Nothing dismissed is taken up again by the way.
    browser.wait_until("document.querySelector('#redrive-shown').disabled").await;
    browser.choose("#filter-state", "dismissed").await;
    shows(&browser, 3, 4).await;
    browser.wait_for_text("#redrive-shown", "Redrive shown (3)").await;
    browser.close().await;
    here.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_event_whose_route_is_gone_is_redriven_to_the_routes_that_want_it_today() {
    let here = Here::start().await;
    refuse_for_good(&here, "account-status", When::Next(1));
    here.deliver("rail", &account("evt_gone", "ACCOUNT_OPEN")).await;
    here.stack.settled().await;
    let place = Place::local(&dev_file(&here.stack), http().unwrap());
    let store = place.events().unwrap();
    let before = store.read("rail#evt_gone").await.unwrap().unwrap();
    let mut after = before.clone();
    let delivery = after.deliveries.remove("account-open").unwrap();
    after.deliveries.insert("a-route-of-last-year".to_owned(), delivery);
    assert_eq!(store.take_over(&before, &after).await, Ok(TakeOverOutcome::Ours));

    let function = Arc::new(place.redrive_function().unwrap());
    let keys = ["rail#evt_gone".to_owned()];
    let jobs = Arc::new(Jobs::default());
    let plan = jobs.plan(Action::Redrive, &place, &keys, Clock::system().now()).await.unwrap();
    let plan = serde_json::to_value(&plan).unwrap();
    assert_eq!(plan["count"], 1);
    jobs.start(plan["plan"].as_str().unwrap(), Work::Redrive { function, rate: 10 }).unwrap();
    let ended = async {
        while jobs.job().is_none_or(|job| serde_json::to_value(&job).unwrap()["state"] == "running") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(BOUND, ended).await.unwrap();
    assert_eq!(serde_json::to_value(jobs.job()).unwrap()["counts"], "1 delivered");
    let event = &here.table()[0];
    assert_eq!(event["state"], "delivered");
    assert_eq!(event["deliveries"].as_object().unwrap().keys().collect::<Vec<_>>(), ["account-open"]);
    here.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_workflow_s_events_wait_until_it_is_resumed_and_a_pause_made_elsewhere_is_seen() {
    let Some(browser) = Browser::start().await else { return };
    let here = Here::start().await;
    browser.open(&here.url()).await;
    let account_status = "#workflows [data-workflow=account-status]";
    browser.wait_for_text(account_status, "running, 0 pending").await;
    browser.click(&format!("{account_status} [data-action=pause]")).await;
    browser.wait_for_text("#notice", "account-status is paused: functions notice within 30 s.").await;
    browser.wait_for_text(account_status, "paused for ").await;
    // No function has read the switches yet: the first event makes each look.
    let pk = send(&browser, "rail/account_open.json").await;
    listed(&browser, &pk, "pending").await;
    here.stack.settled().await;
    browser.wait_for_text(account_status, ", 1 pending").await;
    browser.click(&row(&pk)).await;
    browser.wait_for_text("#timeline [data-kind=next]", "paused, so no function takes it over").await;
    assert_eq!(browser.count("#timeline [data-kind=attempt]").await, 0);
    let other = send(&browser, "rillis/flow_completed_with_customer.json").await;
    listed(&browser, &other, "delivered").await;
    assert_eq!(here.stack.returning_ai.attempts().len(), 1);

    browser.reload().await;
    browser.click(&format!("{account_status} [data-action=resume]")).await;
    browser.wait_for_text("#notice", "account-status is resumed after ").await;
    browser.wait_for_text(account_status, "running, 1 pending").await;
    browser.click("#make-due").await;
    browser.wait_for_text("#notice", "1 event is due now").await;
    here.redrive().await;
    listed(&browser, &pk, "delivered").await;
    browser.wait_for_text("#timeline", "attempt of redrive: delivered, HTTP 200, ").await;
    browser.wait_for_text(account_status, "running, 0 pending").await;

    let store = Place::local(&dev_file(&here.stack), http().unwrap()).events().unwrap();
    let kyc = Destination::Workflow("kyc".to_owned());
    pause(&store, &kyc, Clock::system().now()).await.unwrap();
    browser.wait_for_text("#workflows [data-workflow=kyc]", "paused for ").await;
    resume(&store, &kyc, Clock::system().now()).await.unwrap();
    browser.wait_for_text("#workflows [data-workflow=kyc]", "running").await;
    browser.close().await;
    here.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_found_by_their_id_and_by_filters_that_survive_a_reload() {
    let Some(browser) = Browser::start().await else { return };
    let here = Here::start().await;
    browser.open(&here.url()).await;
    deliver_one_of_each(&here).await;
    browser.wait_for_text("#shown", "7 events").await;
    listed(&browser, "rillis#evt_alpha", "delivered").await;
    listed(&browser, "rail#evt_dead", "dead").await;
    listed(&browser, "rillis#flow_waits", "pending").await;

    for (filter, value, shown) in [
        ("#filter-provider", "rail", 4),
        ("#filter-provider", "rillis", 3),
        ("#filter-state", "delivered", 4),
        ("#filter-state", "ignored", 1),
        ("#filter-state", "pending", 1),
        ("#filter-state", "dead", 1),
        ("#filter-workflow", "account-status", 3),
        ("#filter-workflow", "kyc", 3),
        ("#filter-workflow", "deposit", 0),
        ("#filter-error", "refused", 1),
        ("#filter-error", "throttled", 1),
    ] {
        browser.choose(filter, value).await;
        shows(&browser, shown, 7).await;
        browser.click("#filters-clear").await;
        browser.wait_until("document.querySelector('#shown').textContent === '7 events'").await;
    }
    for (written, shown) in [("account_open", 2), ("ACCOUNT_*", 4), ("flow*", 3), ("OPEN*", 0), ("pending", 1)] {
        browser.type_into("#filter-type", written).await;
        shows(&browser, shown, 7).await;
    }
    browser.click("#filters-clear").await;

    browser.choose("#filter-provider", "rail").await;
    browser.choose("#filter-state", "delivered").await;
    browser.type_into("#filter-type", "ACCOUNT_F*").await;
    shows(&browser, 1, 7).await;
    browser.wait_until("location.hash.includes('ACCOUNT_F')").await;
    browser.reload().await;
    shows(&browser, 1, 7).await;
    let filters = "['provider', 'state', 'type'].map((name) => document.querySelector(`#filter-${name}`).value)";
    assert_eq!(browser.evaluate(filters).await, json!(["rail", "delivered", "ACCOUNT_F*"]));
    browser.click("#filters-clear").await;

    // A link to the events of an alarm, and to exactly one event.
    browser.open(&format!("{}#error=throttled&event=rail%23evt_gamma", here.url())).await;
    shows(&browser, 1, 7).await;
    browser.wait_for_text("#opened-id", "rail#evt_gamma").await;
    browser.click("#opened-close").await;
    browser.click("#filters-clear").await;

    browser.type_into("#search", "ALPHA").await;
    shows(&browser, 2, 7).await;
    browser.type_into("#search", "evt_gamma").await;
    shows(&browser, 1, 7).await;
    browser.press("Enter").await;
    browser.wait_for_text("#opened-id", "rail#evt_gamma").await;
    browser.wait_for_text("#opened-state", "ignored").await;
    browser.wait_for_text("#no-messages", "No route matches this event").await;
    browser.type_into("#search", "evt_alpha").await;
    browser.press("Enter").await;
    browser.wait_for_text("#notice", "2 providers have an event with this id").await;
    browser.type_into("#search", "rillis#evt_alpha").await;
    browser.press("Enter").await;
    browser.wait_for_text("#opened-id", "rillis#evt_alpha").await;
    browser.type_into("#search", "evt_nowhere").await;
    browser.wait_for_text("#empty", "None of the listed events matches the filters.").await;
    browser.press("Enter").await;
    browser.wait_for_text("#notice", "No event with the id evt_nowhere.").await;
    browser.close().await;
    here.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_can_be_done_by_keyboard() {
    let Some(browser) = Browser::start().await else { return };
    let here = Here::start().await;
    browser.open(&here.url()).await;
    deliver_one_of_each(&here).await;
    listed(&browser, "rail#evt_dead", "dead").await;
    browser.wait_for_text("#shown", "7 events").await;

    browser.press("/").await;
    browser.wait_until("document.activeElement.id === 'search'").await;
    browser.press("ArrowDown").await;
    browser.wait_until("document.activeElement.id === 'events'").await;
    let order = "[...document.querySelectorAll('#canvas [data-pk]')].sort((a, b) => a.offsetTop - b.offsetTop)";
    let is_at = async |index: usize| {
        let active = "document.querySelector('#events').getAttribute('aria-activedescendant')";
        browser.wait_until(&format!("{active} === {order}[{index}].id")).await;
    };
    for (key, at) in [("ArrowDown", 0), ("ArrowDown", 1), ("End", 6), ("ArrowDown", 6), ("ArrowUp", 5), ("Home", 0)] {
        browser.press(key).await;
        is_at(at).await;
    }
    let first = browser.evaluate(&format!("{order}[0].dataset.pk")).await;
    browser.press("Enter").await;
    browser.wait_until(&format!("document.querySelector('#opened-id').textContent === {first}")).await;
    browser.wait_until("document.querySelector('#opened').contains(document.activeElement)").await;
    browser.press("Escape").await;
    browser.wait_until("document.querySelector('#opened').hidden && document.activeElement.id === 'events'").await;
    is_at(0).await;

    browser.press("?").await;
    browser.wait_until("document.querySelector('#help').open").await;
    browser.press("Escape").await;
    browser.wait_until("!document.querySelector('#help').open && document.activeElement.id === 'events'").await;

    // A redrive that is asked for and thought better of.
    browser.press("/").await;
    for key in "evt_dead".chars() {
        browser.press(&key.to_string()).await;
    }
    shows(&browser, 1, 7).await;
    browser.press("Enter").await;
    browser.wait_until("document.activeElement.id === 'opened-scroll'").await;
    browser.wait_for_text("#opened-state", "dead").await;
    browser.wait_until("!document.querySelector('#redrive-one').disabled").await;
    tab_to(&browser, "redrive-one").await;
    browser.press("Enter").await;
    browser.wait_until("document.querySelector('#confirm').open && document.activeElement.id !== 'confirm-yes'").await;
    browser.press("Escape").await;
    browser.wait_until("!document.querySelector('#confirm').open && document.activeElement.id === 'redrive-one'").await;
    browser.press("Escape").await;
    browser.wait_until("document.querySelector('#opened').hidden && document.activeElement.id === 'search'").await;

    tab_to(&browser, "send").await;
    browser.press("Enter").await;
    browser.wait_for_text("#send-result", "200 ").await;
    browser.close().await;
    here.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alarm_s_name_leads_to_its_paragraph_of_the_runbook_and_from_there_to_its_events() {
    let Some(browser) = Browser::start().await else { return };
    let here = Here::start().await;
    browser.open(&format!("{}#alarm=prod-dead-events", here.url())).await;
    deliver_one_of_each(&here).await;
    browser.wait_for_text("#alarms[open] [data-alarm=dead-events][open]", "A message was given up").await;
    browser.wait_until("document.activeElement.parentElement.dataset.alarm === 'dead-events'").await;
    let opened = "#alarms details[open]";
    browser.click(&format!("{opened} a[href='#alarm=codes']")).await;
    browser.wait_for_text("#alarms[open] [data-alarm=codes][open]", "workflow_unusable").await;
    assert_eq!(browser.count(opened).await, 1);
    browser.click("#alarms-close").await;
    browser.wait_until("!document.querySelector('#alarms').open").await;

    // By the list; the events that it is about, beside them what their error means.
    browser.choose("#filter-provider", "rillis").await;
    browser.wait_until("location.hash.includes('rillis')").await;
    browser.click("#alarms-open").await;
    browser.click("#alarms [data-alarm=dead-events] summary").await;
    browser.click(&format!("{opened} a[href='#state=dead']")).await;
    browser.wait_until("!document.querySelector('#alarms').open").await;
    shows(&browser, 1, 7).await;
    browser.click(&row("rail#evt_dead")).await;
    browser
        .wait_for_text("#opened-meaning", "refused: the destination answered 400, 413 or 422; correct the route")
        .await;
    browser.click("#opened-close").await;

    // A share's number is no part of the name, and a name that the runbook does not have is said.
    browser.open(&format!("{}#alarm=redrive-share-3-not-running", here.url())).await;
    browser.wait_for_text("#alarms[open] [data-alarm=redrive-share-not-running][open]", "RedriveShares").await;
    browser.press("Escape").await;
    browser.wait_until("!document.querySelector('#alarms').open").await;
    browser.open(&format!("{}#alarm=of-another-stack", here.url())).await;
    browser.wait_for_text("#notice", "The runbook has no alarm of-another-stack.").await;
    browser.close().await;
    here.end().await;
}

/// Presses Tab until this element has the focus.
async fn tab_to(browser: &Browser, id: &str) {
    for _ in 0..200 {
        if browser.evaluate("document.activeElement.id").await == id {
            return;
        }
        browser.press("Tab").await;
    }
    panic!("Tab does not come to #{id}");
}

/// Until so many of all are shown.
async fn shows(browser: &Browser, shown: usize, all: usize) {
    let text = format!("document.querySelector('#shown').textContent === '{shown} of {all} events'");
    let rows = format!("document.querySelectorAll('#events [data-pk]:not([hidden])').length === {shown}");
    browser.wait_until(&format!("{text} && {rows}")).await;
}

/// Four of Rail's and three of Rillis's, of every state; two have the same id.
async fn deliver_one_of_each(here: &Here) {
    for (id, event_type) in
        [("evt_alpha", "ACCOUNT_OPEN"), ("evt_beta", "ACCOUNT_FROZEN"), ("evt_gamma", "ACCOUNT_PENDING")]
    {
        here.deliver("rail", &account(id, event_type)).await;
    }
    for id in ["evt_alpha", "flow_delta"] {
        here.deliver("rillis", &flow(id)).await;
    }
    here.stack.settled().await;
    refuse_for_good(here, "account-status", When::Next(1));
    let patience = Fault::RetryAfter { status: 429, after: "3600".to_owned() };
    here.stack.returning_ai.inject(Some(At::Webhook("kyc".to_owned())), patience, When::Next(1));
    here.deliver("rail", &account("evt_dead", "ACCOUNT_OPEN")).await;
    here.deliver("rillis", &flow("flow_waits")).await;
    here.stack.settled().await;
}

fn refuse_for_good(here: &Here, workflow: &str, when: When) {
    here.stack.returning_ai.inject(Some(At::Webhook(workflow.to_owned())), Fault::Status(422), when);
}

fn account(id: &str, event_type: &str) -> String {
    json!({
        "event_id": id, "event_date": "2026-02-02T07:13:29Z", "event_type": event_type,
        "event_data": { "account_id": "CUSTOMER_USD_001", "customer_id": "C-1001" },
    })
    .to_string()
}

fn flow(id: &str) -> String {
    json!({
        "id": id, "type": "FLOW_COMPLETED", "timestamp": 1_738_784_271_042_u64,
        "data": { "metadata": { "customerId": "C-1002" }, "status": "COMPLETED" },
    })
    .to_string()
}
