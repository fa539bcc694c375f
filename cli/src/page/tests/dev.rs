//! What `bridge dev` is for: see events cross the bridge, break it, mend it.

use super::browser::Browser;
use super::here::Here;

#[tokio::test(flavor = "multi_thread")]
async fn a_sample_that_is_sent_is_seen_delivered() {
    let Some(browser) = Browser::start().await else { return };
    let here = Here::start().await;
    browser.open(&here.url()).await;
    browser.choose("#send-sample", "rail/account_open.json").await;
    browser.click("#send").await;
    browser.wait_for_text("#send-result", "accepted").await;
    browser.wait_for_text("#events [data-state=delivered]", "ACCOUNT_OPEN").await;
    browser.click("#events [data-state=delivered]").await;
    browser.wait_for_text("#opened-state", "delivered").await;
    browser.wait_for_text("#opened-customer", "C-1001").await;
    browser.wait_for_text("#messages [data-route=account-open]", "account.open").await;
    browser.close().await;
    here.end().await;
}
