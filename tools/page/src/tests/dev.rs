//! What `bridge dev` is for: see events cross the bridge, break it, repair it.

use local::faults::When;
use local::rail_api::RailApi;
use local::returning_ai::{Fault, ReturningAi, Workflow};
use local::stack::{RETURNING_AI_SECRET, StackOptions, api_secret, signing_secret};
use serde_json::json;

use super::browser::Browser;
use super::here::{Here, routes};
use super::{behave, found, listed, row, send, send_again};

#[tokio::test(flavor = "multi_thread")]
async fn a_sample_that_is_sent_is_seen_delivered_as_it_is_and_edited() {
    let Some(browser) = Browser::start().await else { return };
    let here = Here::start().await;
    browser.open(&here.url()).await;
    let pk = send(&browser, "rail/account_open.json").await;
    assert!(browser.text("#send-result").await.starts_with("200 accepted"));
    browser.wait_for_text("#events [data-state=delivered]", "ACCOUNT_OPEN").await;
    browser.click(&row(&pk)).await;
    browser.wait_for_text("#opened-state", "delivered").await;
    browser.wait_for_text("#opened-customer", "C-1001").await;
    browser.wait_for_text("#messages [data-route=account-open]", "account.open").await;

    let body = browser.evaluate("document.querySelector('#send-body').value").await;
    let edited = body.as_str().unwrap().replace("C-1001", "C-2002");
    browser.type_into("#send-body", &edited).await;
    browser.wait_for_text("#send-reset", "edited").await;
    let pk = send_again(&browser).await;
    browser.click(&row(&pk)).await;
    browser.wait_for_text("#opened-id", &pk).await;
    browser.wait_for_text("#opened-customer", "C-2002").await;
    browser.wait_for_text("#body", r#""customer_id": "C-2002""#).await;
    browser.click("#send-reset").await;
    browser.wait_until("document.querySelector('#send-body').value.includes('C-1001')").await;

    let sent = here.stack.returning_ai.all_messages();
    assert_eq!(sent.iter().map(|it| it.body["customerId"].clone()).collect::<Vec<_>>(), ["C-1001", "C-2002"]);
    browser.close().await;
    here.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_at_once_are_one_event_and_what_is_not_genuine_is_refused() {
    let Some(browser) = Browser::start().await else { return };
    let here = Here::start().await;
    browser.open(&here.url()).await;
    browser.choose("#send-how", "sixty_four").await;
    let copied = send(&browser, "rail/transaction_posted_deposit.json").await;
    let answers = browser.text("#send-result").await;
    assert!(answers.starts_with("1 × 200 accepted, 63 × 200 duplicate, p50 "), "{answers}");
    browser.choose("#send-how", "twice").await;
    let twice = send_again(&browser).await;
    let answers = browser.text("#send-result").await;
    assert!(answers.starts_with("1 × 200 accepted, 1 × 200 duplicate, p50 "), "{answers}");
    for pk in [copied, twice] {
        listed(&browser, &pk, "delivered").await;
    }
    browser.wait_for_text("#shown", "2 events").await;
    let first = here.stack.returning_ai.messages("first-deposit").len();
    assert_eq!((first, here.stack.returning_ai.messages("deposit").len()), (1, 2));

    let table = here.table();
    for how in ["stale", "tampered", "other_key"] {
        browser.choose("#send-how", how).await;
        browser.evaluate("document.querySelector('#send-result').textContent = ''").await;
        browser.click("#send").await;
        browser.wait_for_text("#send-result", "401 unauthorized").await;
        assert_eq!(browser.count("#send-result button").await, 0, "{how}");
        assert_eq!(browser.evaluate("document.querySelector('#send-result').dataset.ok").await, "false");
    }
    here.stack.settled().await;
    assert_eq!(here.table(), table);
    assert_eq!(browser.text("#shown").await, "2 events");
    browser.close().await;
    here.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_returning_ai_fails_events_wait_with_a_countdown_and_once_it_is_mended_they_are_seen_delivered() {
    let Some(browser) = Browser::start().await else { return };
    let here = Here::start().await;
    // Wide enough for what is sent to be opened beside the list.
    browser.size(1600, 900).await;
    browser.open(&here.url()).await;
    browser.evaluate("window.__loaded_once = true").await;

    // It asks for so long a pause that there is something to count down from, however slow this machine is.
    let patience = Fault::RetryAfter { status: 429, after: "600".to_owned() };
    here.stack.returning_ai.inject(None, patience, When::Next(1));
    let pk = send(&browser, "rail/account_open.json").await;
    listed(&browser, &pk, "pending").await;
    browser.wait_for_text("#opened-id", &pk).await;
    for counted in [format!("{} [data-col=next]", row(&pk)), "#timeline [data-kind=next] .since".to_owned()] {
        browser.wait_for_text(&counted, "in ").await;
        let before = browser.text(&counted).await;
        let ticked =
            format!("((text) => text.startsWith('in ') && text !== {})({}?.innerText)", json!(before), found(&counted));
        browser.wait_until(&ticked).await;
    }

    browser.wait_for_text("#opened-meaning", "throttled: the destination answered 429; wait").await;
    browser.wait_for_text("#messages .notes", "waits for its next attempt, 20").await;
    browser.wait_for_text("#messages .notes", "Z; failures are retried until 20").await;
    behave(&browser, "slow", "accepts").await;
    let slow = send_again(&browser).await;
    listed(&browser, &slow, "delivered").await;

    let mut waiting = vec![(pk, "throttled, HTTP 429")];
    for (behaviour, means, error) in [
        ("500", "fails", "server_error, HTTP 500"),
        ("401", "session", "handshake_refused, HTTP 401"),
        ("reset", "drops", "connection_lost"),
        ("garbage", "cannot be read", "connection_lost"),
        ("429", "limits the rate", "throttled, HTTP 429"),
    ] {
        // What the event before is still sent is answered as it was.
        here.stack.settled().await;
        behave(&browser, behaviour, means).await;
        let pk = send_again(&browser).await;
        listed(&browser, &pk, "pending").await;
        browser.wait_for_text("#opened-id", &pk).await;
        browser.wait_for_text("#timeline [data-kind=attempt][data-ok=false]", error).await;
        browser.wait_for_text("#timeline [data-kind=attempt]:nth-child(2)", " ms").await;
        waiting.push((pk, error));
    }
    browser.wait_for_text("#pending", "6").await;

    here.stack.settled().await;
    behave(&browser, "fine", "answers").await;
    browser.click("#make-due").await;
    browser.wait_for_text("#notice", "6 events are due now").await;
    browser.wait_for_text(&format!("{} [data-col=next]", row(&waiting[0].0)), "due").await;
    here.redrive().await;
    for (pk, error) in &waiting {
        listed(&browser, pk, "delivered").await;
        browser.click(&row(pk)).await;
        browser.wait_for_text("#opened-id", pk).await;
        browser.wait_for_text("#opened-state", "delivered").await;
        browser.wait_for_text("#timeline [data-kind=attempt][data-ok=false]", error).await;
        browser
            .wait_for_text("#timeline [data-kind=attempt][data-ok=true]", "attempt of redrive: delivered, HTTP 200, ")
            .await;
        browser.wait_for_text("#timeline li:last-child[data-kind=delivered]", "delivered").await;
    }
    browser.wait_until("document.querySelector('#pending').textContent === '0'").await;
    assert_eq!(browser.evaluate("window.__loaded_once").await, true);
    assert_eq!(here.stack.returning_ai.all_messages().len(), 7);
    browser.close().await;
    here.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_real_is_said_and_gets_what_is_sent_in_place_of_its_stand_in() {
    let Some(browser) = Browser::start().await else { return };
    let workflows = routes().workflows();
    let real = ReturningAi::start(workflows.iter().map(|name| Workflow::session(name)).collect(), Vec::new()).unwrap();
    let api = RailApi::start().unwrap();
    let secrets = [(RETURNING_AI_SECRET.to_owned(), real.secret()), (api_secret("rail"), api.secret())];
    let here = Here::with(|options| StackOptions { real: secrets.into(), ..options }).await;
    browser.open(&here.url()).await;
    let told = "Real: Rail's API, Returning.AI. Stand-ins: Rail's signing keys, Rillis's signing keys.";
    browser.wait_for_text("#real", told).await;
    browser.wait_for_text("#behaviour-means", "It is real").await;
    assert_eq!(browser.evaluate("document.querySelector('#behaviour').checkVisibility()").await, false);

    // Signed with the random key of this run.
    let pk = send(&browser, "rail/account_open.json").await;
    listed(&browser, &pk, "delivered").await;
    assert_eq!((real.all_messages().len(), here.stack.returning_ai.attempts_ever()), (1, 0));

    let keys = json!({ "keys": { "sample": here.stack.signing_key("rail"), "sub_1": "of a subscription" } });
    here.stack.secrets_manager.put(&signing_secret("rail"), &keys).unwrap();
    browser.wait_for_text("#real", "Real: Rail's signing keys, Rail's API, Returning.AI.").await;
    browser.close().await;
    here.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_is_stopped_takes_nothing_until_it_is_started_again() {
    let Some(browser) = Browser::start().await else { return };
    let here = Here::start().await;
    browser.open(&here.url()).await;
    browser.choose("#send-sample", "rail/account_open.json").await;
    browser.wait_for_text("#functions [data-function=rail]", "at work").await;
    browser.click("#functions [data-function=rail] button").await;
    browser.wait_for_text("#functions [data-function=rail]", "stopped").await;
    browser.click("#send").await;
    browser.wait_for_text("#send-result", "503 Service Unavailable").await;
    assert_eq!((here.table().len(), browser.text("#shown").await.as_str()), (0, "0 events"));
    let other = send(&browser, "rillis/flow_completed_with_customer.json").await;
    listed(&browser, &other, "delivered").await;

    browser.click("#functions [data-function=rail] button").await;
    browser.wait_for_text("#functions [data-function=rail]", "at work").await;
    let pk = send(&browser, "rail/account_open.json").await;
    listed(&browser, &pk, "delivered").await;
    browser.close().await;
    here.end().await;
}
