//! The page over a table that tells nobody what is written to it, in a browser.

use std::fs;

use local::binaries::workspace_root;
use local::faults::When;
use local::returning_ai::{At, Fault};

use super::*;
use crate::tests::browser::Browser;
use crate::tests::here::Here;

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_what_waits_finds_the_rest_by_id_and_redrives_what_is_dead() {
    let Some(mut browser) = Browser::start().await else { return };
    let here = Here::start().await;
    let deliver = async |sample: &str| {
        let body = fs::read_to_string(workspace_root().join("events").join(sample)).unwrap();
        let provider = sample.split('/').next().unwrap();
        assert_eq!(here.deliver(provider, &body).await, 200);
        here.stack.settled().await;
    };
    let fails = |workflow: &str, fault| {
        here.stack.returning_ai.inject(Some(At::Webhook(workflow.to_owned())), fault, When::Next(1));
    };
    deliver("rail/account_open.json").await;
    fails("kyc", Fault::Status(422));
    deliver("rillis/flow_completed_with_customer.json").await;
    fails("account-status", Fault::RetryAfter { status: 429, after: "600".to_owned() });
    deliver("rail/account_closed.json").await;

    let serving = served(crate::dev::dev_file(&here.stack)).await.unwrap();
    browser.network_fails();
    browser.open(&serving.front.url()).await;
    browser.wait_for_text("body", "The token is missing, or belongs to an earlier start").await;
    browser.open(&serving.url()).await;
    browser.wait_for_text("#shown", "2 events").await;
    browser.wait_for_text("#canvas [data-state=dead] [data-col=type]", "FLOW_COMPLETED").await;
    browser.wait_for_text("#canvas [data-state=pending] [data-col=next]", "in ").await;
    assert_eq!(browser.count("#playground:not([hidden])").await, 0);
    assert_eq!(browser.text("#ack-sub").await, "not in the table");
    browser.click("#limits summary").await;
    for limit in limits(true) {
        browser.wait_for_text("#limits", &limit).await;
    }

    // What was delivered is not listed, and found.
    browser.type_into("#search", "evt_bhp5n40baqpa").await;
    browser.wait_for_text("#shown", "0 of 2 events").await;
    browser.press("Enter").await;
    browser.wait_for_text("#opened-id", "rail#evt_bhp5n40baqpa").await;
    browser.wait_for_text("#opened-state", "delivered").await;
    browser.wait_for_text("#messages [data-route=account-open]", "account.open").await;
    browser.wait_for_text("#shown", "1 of 3 events").await;
    browser.click("#opened-close").await;
    browser.click("#filters-clear").await;

    // The function does it, as it does in AWS.
    browser.click("#canvas [data-state=dead]").await;
    browser.wait_for_text("#timeline", "refused, HTTP 422, ").await;
    browser.click("#redrive-one").await;
    browser.wait_for_text("#confirm[open] #confirm-text", "Redrive 1 event?").await;
    browser.click("#confirm-yes").await;
    browser.wait_for_text("#job-counts", "1 of 1: 1 delivered").await;
    browser.wait_for_text("#opened-state", "delivered").await;
    browser.wait_for_text("#timeline", "attempt of redrive, by an operator: delivered, HTTP 200, ").await;
    assert_eq!((here.count("delivered"), here.count("dead"), here.count("pending")), (2, 0, 1));

    // What happens elsewhere is seen, too.
    here.stack.make_due().await.unwrap();
    here.redrive().await;
    browser.wait_for_text("#pending", "0").await;
    browser.wait_until("document.querySelectorAll('#canvas > [data-pk][data-state=delivered]').length === 3").await;
    browser.close().await;
    drop(serving);
    here.end().await;
}
