//! The harness itself, at a page of a few lines.

use bytes::Bytes;
use http::Response;
use local::front::{Answer, Front, Guests};

use super::*;

/// As strict as the bridge's own page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// Half of it, with the one event, comes at once; the rest not while there are tests.
const STREAM: &str = "retry: 10\ndata: first\n\n: and nothing more for an hour";

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
const live = new EventSource('stream');
live.onmessage = () => { at('live').textContent = 'live'; };
live.onerror = () => { at('live').textContent = 'lost'; };
onkeydown = (event) => { at('keys').textContent += ` ${event.shiftKey ? 'Shift+' : ''}${event.key}`; };
"#;

/// The page.
fn page() -> Front {
    Front::start(
        0,
        0,
        |_| Guests::Page,
        |request| async move {
            let (kind, text) = match request.uri().path() {
                "/" => ("text/html", HTML),
                "/page.js" => ("text/javascript", SCRIPT),
                "/icon.svg" => ("image/svg+xml", r#"<svg xmlns="http://www.w3.org/2000/svg"/>"#),
                "/stream" => ("text/event-stream", STREAM),
                path => panic!("{path} was asked for"),
            };
            let response = Response::builder().header("content-type", kind).header("content-security-policy", POLICY);
            let response = response.body(Bytes::from(text)).unwrap();
            if text == STREAM { Answer::SlowBody(response, Duration::from_hours(1)) } else { Answer::Http(response) }
        },
    )
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

    // The wait goes on in the document that the page is left for meanwhile.
    browser.evaluate("setTimeout(() => location.reload(), 50)").await;
    browser.wait_until("keys.textContent === '' && document.readyState === 'complete'").await;
    browser.close().await;
}

#[tokio::test]
async fn the_page_is_seen_small_and_dark() {
    let Some(browser) = Browser::start().await else { return };
    let page = page();
    browser.open(&page.url()).await;
    let seen = "[innerWidth, innerHeight, devicePixelRatio, matchMedia('(prefers-color-scheme: dark)').matches]";
    browser.size(360, 640).await;
    browser.dark(true).await;
    assert_eq!(browser.evaluate(seen).await, json!([360, 640, 1, true]));
    let folder = tempfile::tempdir().unwrap();
    let picture = folder.path().join("new/page.png");
    browser.screenshot(&picture).await;
    // The width and height in a PNG's first chunk.
    assert_eq!(fs::read(&picture).unwrap()[16..24], [0, 0, 1, 104, 0, 0, 2, 128]);
    browser.size(1600, 900).await;
    browser.dark(false).await;
    assert_eq!(browser.evaluate(seen).await, json!([1600, 900, 1, false]));
    browser.close().await;
}

#[tokio::test]
async fn without_its_network_the_page_loses_what_it_is_told_and_asks_in_vain() {
    let Some(mut browser) = Browser::start().await else { return };
    let page = page();
    browser.open(&page.url()).await;
    browser.wait_for_text("#live", "live").await;
    let fetched = "fetch('/').then((answer) => answer.status, (error) => error.name)";
    browser.offline(true).await;
    assert_eq!(browser.evaluate(fetched).await, "TypeError");
    browser.wait_for_text("#live", "lost").await;
    browser.offline(false).await;
    assert_eq!(browser.evaluate(fetched).await, 200);
    browser.wait_for_text("#live", "live").await;
    browser.close().await;
}

#[tokio::test]
async fn the_heap_grows_by_what_is_held_and_shrinks_by_what_is_let_go() {
    let Some(browser) = Browser::start().await else { return };
    let page = page();
    browser.open(&page.url()).await;
    let before = browser.heap_bytes().await;
    browser.evaluate("globalThis.held = Array.from({ length: 1_000_000 }, (_, i) => ({ i })), 0").await;
    let held = browser.heap_bytes().await;
    browser.evaluate("held = null").await;
    let after = browser.heap_bytes().await;
    assert!(held > before + 10_000_000 && after < before + 1_000_000, "{before}, {held}, {after}");
    browser.close().await;
}

#[tokio::test]
async fn errors_of_the_page_are_told_once_and_else_fail_the_test() {
    let Some(browser) = Browser::start().await else { return };
    let page = page();
    browser.open(&page.url()).await;
    assert_eq!(browser.console_errors().await, [""; 0]);
    browser.evaluate("document.body.setAttribute('style', 'color: red')").await;
    browser.evaluate("setTimeout(() => { list.innerHTML = '<b>'; })").await;
    browser.evaluate("onerror = () => { console.error('the last'); chosen.textContent = 'thrown'; }, 0").await;
    browser.evaluate("setTimeout(() => { throw new Error('a mistake'); })").await;
    browser.wait_for_text("#chosen", "thrown").await;
    let errors = browser.console_errors().await;
    let expected = [
        ("security", "style-src"),
        ("security", "TrustedHTML"),
        ("javascript", "innerHTML"),
        ("console-api", "the last"),
        ("javascript", "a mistake"),
    ];
    assert_eq!(errors.len(), expected.len(), "{errors:#?}");
    for (source, part) in expected {
        let told = errors.iter().any(|error| error.starts_with(source) && error.contains(part));
        assert!(told, "{source} {part}: {errors:#?}");
    }
    assert_eq!(browser.console_errors().await, [""; 0]);

    browser.evaluate("console.error('forgotten')").await;
    let said = panic_of(browser.close()).await;
    assert!(said.contains("forgotten"), "{said}");
}

#[tokio::test]
async fn a_step_that_fails_says_what_was_there_and_leaves_no_process_behind() {
    let Some(browser) = Browser::start().await else { return };
    let page = page();
    browser.open(&page.url()).await;
    let folder = browser.processes.folder.clone();
    let groups = groups(&folder);
    let said = panic_of(async move { browser.evaluate("nothing.there").await }).await;
    for expected in ["ReferenceError: nothing is not defined", "<button id=\"add\">", &page.url(), ".png"] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    assert!(!folder.exists());
    gone(&groups).await;
}

#[tokio::test]
async fn a_page_may_be_closed_and_a_browser_killed_at_any_moment() {
    let Some(browser) = Browser::start().await else { return };
    let page = page();
    browser.open(&page.url()).await;
    browser.wait_for_text("#live", "live").await;
    browser.close_page().await;
    assert_eq!(browser.evaluate("location.href").await, "about:blank");
    browser.open(&page.url()).await;
    browser.click("#add").await;
    let folder = browser.processes.folder.clone();
    let groups = groups(&folder);
    let names = alive(&groups);
    assert!(names.len() > 3 && names.iter().any(|name| name == "chromedriver"), "{names:?}");
    browser.kill();
    assert!(!folder.exists());
    gone(&groups).await;
}

/// What the task panics with.
async fn panic_of(task: impl Future<Output: Send> + Send + 'static) -> String {
    let ended = tokio::spawn(async { drop(task.await) }).await;
    let panic = ended.expect_err("a panic").into_panic();
    *panic.downcast::<String>().expect("a message")
}

/// The process groups of all processes whose home is `folder`: the browser's, and those that watch for its crash.
fn groups(folder: &Path) -> Vec<String> {
    let home = format!("HOME={}\0", folder.display());
    let at_home = |process: &Path| {
        let variables = fs::read(process.join("environ")).unwrap_or_default();
        String::from_utf8_lossy(&variables).contains(&home)
    };
    processes().filter(|(process, ..)| at_home(process)).map(|(_, _, group)| group).collect()
}

/// The names of the processes in these groups.
fn alive(groups: &[String]) -> Vec<String> {
    processes().filter(|(_, _, group)| groups.contains(group)).map(|(_, name, _)| name).collect()
}

/// The folder, name and group of all processes but the dead ones that nobody has waited for.
fn processes() -> impl Iterator<Item = (PathBuf, String, String)> {
    fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let folder = entry.unwrap().path();
        // `pid (name) state parent group ...`
        let stat = fs::read_to_string(folder.join("stat")).ok()?;
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(") ")?;
        let rest: Vec<&str> = rest.split(' ').collect();
        (rest[0] != "Z").then(|| (folder, name.to_owned(), rest[2].to_owned()))
    })
}

/// Until none of them is left.
async fn gone(groups: &[String]) {
    let all = async {
        while !alive(groups).is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(BOUND, all).await.unwrap_or_else(|_| panic!("still there: {:?}", alive(groups)));
}
