//! The page as a person uses it: in a browser, over the bridge itself.

use serde_json::json;

use self::browser::Browser;

pub(crate) mod browser;
mod dev;
pub(crate) mod here;
mod killed;
pub(crate) mod load;
mod operate;
mod safe;
mod shown;

/// Chooses a sample and sends it; the event's key.
async fn send(browser: &Browser, sample: &str) -> String {
    browser.choose("#send-sample", sample).await;
    send_again(browser).await
}

/// Sends what is chosen; the event's key.
async fn send_again(browser: &Browser) -> String {
    browser.evaluate("document.querySelector('#send-result').textContent = ''").await;
    browser.click("#send").await;
    browser.wait_until("document.querySelector('#send-result button')").await;
    browser.text("#send-result button").await
}

/// Chooses how Returning.AI behaves, and waits until the bridge says that it does, in these words.
async fn behave(browser: &Browser, behaviour: &str, means: &str) {
    browser.choose("#behaviour", behaviour).await;
    browser.wait_for_text("#behaviour-means", means).await;
}

/// Until the event is listed in this state.
async fn listed(browser: &Browser, pk: &str, state: &str) {
    browser.wait_until(&format!("{}?.dataset.state === '{state}'", found(&row(pk)))).await;
}

/// The selector of an event's row.
fn row(pk: &str) -> String {
    format!("#events [data-pk={}]", json!(pk))
}

/// The expression of the first element that `css` finds.
fn found(css: &str) -> String {
    format!("document.querySelector({})", json!(css))
}
