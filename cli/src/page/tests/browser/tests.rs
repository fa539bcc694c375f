//! The harness itself, at a page of a few lines.

use bytes::Bytes;
use http::{Response, StatusCode};
use local::front::{Answer, Front};

use super::*;

/// As strict as the bridge's own page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

const HTML: &str = r#"<!doctype html><title>sample</title><link rel="icon" href="icon.svg">
<script src="page.js" defer></script>
<button id="add">add</button><button id="later" disabled>later</button><ul id="list"></ul>
<input id="field" value="before"><textarea id="area"></textarea>
<select id="choice"><option value="a">A</option></select><p id="chosen"></p><p id="keys"></p><p id="live"></p>"#;

const SCRIPT: &str = r#"
const at = (id) => document.getElementById(id);
at('add').onclick = () => {
    at('list').append(Object.assign(document.createElement('li'), { textContent: `<b>${at('list').children.length}` }));
    setTimeout(() => { at('later').disabled = false; at('choice').append(new Option('B', 'b')); }, 50);
};
at('later').onclick = () => at('list').replaceChildren();
at('choice').oninput = () => { at('chosen').textContent = at('choice').value; };
onkeydown = (event) => { at('keys').textContent += ` ${event.shiftKey ? 'Shift+' : ''}${event.key}`; };
"#;

fn page() -> Front {
    Front::start(0, 0, |request| async move {
        let (kind, text) = match request.uri().path() {
            "/" => ("text/html", HTML),
            "/page.js" => ("text/javascript", SCRIPT),
            "/icon.svg" => ("image/svg+xml", r#"<svg xmlns="http://www.w3.org/2000/svg"/>"#),
            "/text" => ("text/plain", "some text"),
            _ => ("", ""),
        };
        let mut response = Response::builder().header("content-type", kind).header("content-security-policy", POLICY);
        if kind.is_empty() {
            response = response.status(StatusCode::NOT_FOUND);
        }
        Answer::Http(response.body(Bytes::from(text)).unwrap())
    })
    .unwrap()
}

#[tokio::test]
async fn what_is_clicked_typed_chosen_and_pressed_reaches_the_page() {
    let Some(browser) = Browser::start().await else { return };
    let page = page();
    browser.open(&page.url()).await;

    browser.click("#add").await;
    browser.wait_for_text("#list", "<b>0").await;
    browser.click("#add").await;
    assert_eq!((browser.count("#list li").await, browser.text("#list li:last-child").await), (2, "<b>1".to_owned()));
    browser.click("#later").await;
    browser.wait_until("document.querySelector('#list').children.length === 0").await;

    browser.type_into("#field", "once").await;
    browser.type_into("#field", "twice").await;
    browser.type_into("#area", "{\n  \"a\": \"ü\"\n}").await;
    assert_eq!(browser.evaluate("[field.value, area.value]").await, json!(["twice", "{\n  \"a\": \"ü\"\n}"]));
    browser.type_into("#area", "").await;
    assert_eq!(browser.evaluate("area.value").await, "");

    browser.choose("#choice", "b").await;
    assert_eq!(browser.text("#chosen").await, "b");
    browser.evaluate("document.activeElement.blur(), keys.textContent = ''").await;
    for key in ["/", "Escape", "Shift+Tab"] {
        browser.press(key).await;
    }
    assert_eq!(browser.text("#keys").await, "/ Escape Shift+Shift Shift+Tab");
    browser.close().await;
}
