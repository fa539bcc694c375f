//! What events say stays text, strangers change nothing, and no key leaves the bridge.

use std::iter;

use local::stack::{FUNCTIONS, RECEIVERS, sample_key};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::browser::{BOUND, Browser};
use super::here::{Here, signed_headers};
use super::{found, listed, row};
use crate::files::FILES;
use crate::guard::{Guard, ReadAccess};

/// Markup, script, ends of what it may be put into, and characters that turn, break or end text.
const HOSTILE: &str = "<img src=x onerror=\"window.__pwned=1\"></script><script>window.__pwned=2</script>\
    '\"></textarea></title></pre><b class=pwned>b</b><svg onload='window.__pwned=3'>{{token}}&lt;&#60;javascript:window.__pwned=4\
    \u{202e}turned\u{2066}\u{2028}\u{0}\u{1b}[31m\r\n";

/// What would be there if any of it were taken for markup.
const TAKEN: &str = ".pwned, img:not([src='icon.svg']), script:not([src='page.js']), svg:not(#rates-chart, #ack-chart), \
    body :not(g) > title, pre *:not(bdi), [onerror], [onload]";

#[tokio::test(flavor = "multi_thread")]
async fn whatever_an_event_says_is_shown_as_text() {
    let Some(browser) = Browser::start().await else { return };
    let here = Here::start().await;
    browser.open(&here.url()).await;
    let id = padded(1_024);
    let event_type = padded(256);
    let long = padded(10_240);
    let delivered = json!({
        "event_id": id, "event_date": "2026-02-02T07:13:29Z", "event_type": "ACCOUNT_OPEN",
        "event_data": { "account_id": long, "customer_id": padded(512), "status": HOSTILE, HOSTILE: [HOSTILE] },
    });
    let ignored = json!({ "event_id": "evt_of_no_route", "event_type": event_type, "event_data": { HOSTILE: long } });
    let nameless = json!({ "id": long, "type": long, "timestamp": HOSTILE, "data": long });
    assert_eq!(here.deliver("rail", &delivered.to_string()).await, 200);
    assert_eq!(here.deliver("rail", &ignored.to_string()).await, 200);
    assert_eq!(here.deliver("rillis", &nameless.to_string()).await, 200);
    here.stack.settled().await;
    let keys: Vec<String> = here.table().iter().map(|item| item["pk"].as_str().unwrap().to_owned()).collect();
    let without_id = keys.iter().find(|pk| pk.starts_with("rillis#sha256:")).unwrap();

    browser.wait_for_text("#shown", "3 events").await;

    for width in [1280, 360] {
        browser.size(width, 740).await;
        for (pk, state, shown_type, body) in [
            (format!("rail#{id}"), "delivered", "ACCOUNT_OPEN", &delivered),
            ("rail#evt_of_no_route".to_owned(), "ignored", event_type.as_str(), &ignored),
            (without_id.clone(), "dead", "no type", &nameless),
        ] {
            let place = "[...document.querySelectorAll('#canvas [data-pk]')].find((row) => row.dataset.pk === PK)"
                .replace("PK", &json!(pk).to_string());
            browser.wait_until(&format!("{place}?.dataset.state === '{state}'")).await;
            let cells =
                format!("['id', 'type'].map((name) => {place}.querySelector(`[data-col=${{name}}]`).textContent)");
            assert_eq!(browser.evaluate(&cells).await, json!([pk.split_once('#').unwrap().1, shown_type]));
            fits(&browser, width).await;

            browser.evaluate(&format!("{place}.setAttribute('data-here', '')")).await;
            browser.click("[data-here]").await;
            browser.evaluate("document.querySelector('[data-here]').removeAttribute('data-here')").await;
            let shown = format!("{}?.textContent === {}", found("#opened-id"), json!(pk));
            browser.wait_until(&shown).await;
            browser.wait_until(&format!("{}?.textContent === {}", found("#opened-type"), json!(shown_type))).await;
            assert_eq!(browser.evaluate("JSON.parse(document.querySelector('#body').textContent)").await, *body);
            if state == "delivered" {
                let message = browser.evaluate("JSON.parse(document.querySelector('#messages pre').textContent)").await;
                let data = &body["event_data"];
                let expected = [&data["account_id"], &data["customer_id"], &data["status"]];
                assert_eq!([&message["tradingAccount"], &message["customerId"], &message["status"]], expected);
                let customer = browser.evaluate("document.querySelector('#opened-customer').textContent").await;
                assert_eq!(customer, data["customer_id"]);
            }
            // What turns its own text around turns no other.
            let turned =
                "['id', 'type'].map((name) => getComputedStyle(document.querySelector(`#opened-${name}`)).unicodeBidi)";
            assert_eq!(browser.evaluate(turned).await, json!(["isolate", "isolate"]));
            browser.evaluate("document.querySelector('#silent').open = true").await;
            fits(&browser, width).await;
            assert_eq!(browser.count(TAKEN).await, 0, "{pk}");
            browser.click("#opened-close").await;
        }
    }

    // What is written at the page itself comes back in results and notices.
    browser.size(1280, 800).await;
    let typed = "<img src=x onerror=window.__pwned=5>";
    browser.type_into("#search", typed).await;
    browser.press("Enter").await;
    browser.wait_for_text("#notice", &format!("No event with the id {typed}.")).await;
    browser.click("#filters-clear").await;
    browser.choose("#send-sample", "rail/account_open.json").await;
    browser.wait_until("document.querySelector('#send-body').value.includes('ACCOUNT_OPEN')").await;
    browser.type_into("#send-body", &json!({ "event_id": typed, "event_type": typed }).to_string()).await;
    browser.click("#send-fresh").await;
    browser.click("#send").await;
    browser.wait_for_text("#send-result", &format!("rail#{typed}")).await;
    listed(&browser, &format!("rail#{typed}"), "ignored").await;
    browser.wait_for_text(&format!("{} [data-col=type]", row(&format!("rail#{typed}"))), typed).await;
    assert_eq!(browser.count(TAKEN).await, 0);
    assert_eq!(browser.evaluate("typeof window.__pwned").await, "undefined");
    browser.close().await;
    here.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_refused_and_change_nothing_while_the_webhook_takes_any_host() {
    let here = Here::start().await;
    let port = here.stack.port();
    let host = format!("127.0.0.1:{port}");
    let event = json!({ "event_id": "evt_1", "event_type": "ACCOUNT_PENDING" }).to_string();
    assert_eq!(here.deliver("rail", &event).await, 200);
    here.stack.settled().await;
    let home = ask(port, "GET", "/", &[("host", &host)], "").await;
    let token = home.text.split_once("name=\"bridge-token\" content=\"").unwrap().1.split('"').next().unwrap();
    let ours = [("host", host.as_str()), ("x-bridge-token", token)];
    let plan = ask(port, "POST", "/api/redrive/plan", &ours, r#"{"keys":["rail#evt_1"]}"#).await;
    let start = json!({ "plan": plan.json()["plan"], "rate": 10 }).to_string();
    let posts = [
        ("/api/redrive/start", start.as_str()),
        ("/api/redrive/plan", r#"{"keys":["rail#evt_1"]}"#),
        ("/api/redrive/stop", "{}"),
        ("/api/dismiss/plan", r#"{"keys":["rail#evt_1"]}"#),
        ("/api/dismiss/stop", "{}"),
        ("/api/workflows", r#"{"name":"kyc","paused":true}"#),
        (
            "/api/send",
            r#"{"provider":"rail","sample":"rail/account_open.json","body":null,"how":"as_is","fresh":true}"#,
        ),
        ("/api/returning-ai", r#"{"behaviour":"500"}"#),
        ("/api/due", "{}"),
        ("/api/functions", r#"{"name":"rail","running":false}"#),
    ];
    let everything = || {
        let mut items = here.stack.dynamodb.items_of(local::dynamodb::EVENTS_TABLE);
        items.sort_by_key(|item| item["pk"].to_string());
        let running = FUNCTIONS.map(|name| here.stack.function(name).unwrap().is_on());
        (items, running, here.stack.returning_ai.attempts().len())
    };
    let before = everything();

    let another_start = Guard::new(ReadAccess::Open).unwrap();
    let (other_port, evil, rebound) =
        (format!("127.0.0.1:{}", port ^ 1), "evil.example", format!("evil.example:{port}"));
    let strange_hosts: [&[(&str, &str)]; 6] = [
        &[("host", evil)],
        &[("host", &rebound)],
        &[("host", &other_port)],
        &[("host", "")],
        &[],
        &[("host", &host), ("host", evil)],
    ];
    for headers in strange_hosts {
        let headers = [headers, &[("x-bridge-token", token)]].concat();
        for path in reads() {
            refused(&ask(port, "GET", &path, &headers, "").await, &path, &headers);
        }
        for (path, body) in posts {
            refused(&ask(port, "POST", path, &headers, body).await, path, &headers);
        }
    }
    let strangers: [&[(&str, &str)]; 7] = [
        &[],
        &[("x-bridge-token", "")],
        &[("x-bridge-token", another_start.token())],
        &[("x-bridge-token", token), ("x-bridge-token", token)],
        &[("x-bridge-token", token), ("origin", "http://evil.example")],
        &[("x-bridge-token", token), ("origin", "null")],
        &[("x-bridge-token", token), ("sec-fetch-site", "cross-site")],
    ];
    for headers in strangers {
        let headers = [&[("host", host.as_str())], headers].concat();
        for (path, body) in posts {
            refused(&ask(port, "POST", path, &headers, body).await, path, &headers);
            refused(&ask(port, "OPTIONS", path, &headers, "").await, path, &headers);
        }
    }
    for (path, body) in posts {
        let path = format!("{path}?token={token}");
        refused(&ask(port, "POST", &path, &[("host", &host)], body).await, &path, &[]);
    }
    // Beside the page there are the functions, which any program here may call, and no page in a browser.
    for name in FUNCTIONS {
        let path = local::invoke_api::path(name);
        let headers = [("host", rebound.as_str()), ("origin", "http://evil.example")];
        assert_eq!(ask(port, "POST", &path, &headers, r#"{"keys":["rail#evt_1"]}"#).await.status, 403, "{name}");
    }
    here.stack.settled().await;
    assert_eq!(everything(), before);

    // A tunnel gives the webhook another name.
    let headers = signed_headers("rail", &event);
    let mut headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    headers.push(("host", "tunnel.example"));
    let answer = ask(port, "POST", "/webhooks/rail", &headers, &event).await;
    assert_eq!((answer.status, answer.json()["status"].clone()), (200, json!("duplicate")));

    // The page itself is answered, and each of these does something.
    for path in reads() {
        assert_eq!(ask(port, "GET", &path, &[("host", &host)], "").await.status, 200, "{path}");
    }
    for (path, body) in posts {
        // The plan would be another by now if a stranger had been heard.
        assert_eq!(ask(port, "POST", path, &ours, body).await.status, 200, "{path}");
    }
    assert_ne!(everything().0, before.0);
    assert_eq!(everything().1, FUNCTIONS.map(|name| name != "rail"));
    here.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_of_the_page_is_the_gateway_s_and_no_foreign_host_is_answered() {
    let here = Here::start().await;
    let host = format!("127.0.0.1:{}", here.stack.port());
    for path in ["/", "/page.css", "/api/nothing", "/nothing.js", "//page.js"] {
        let headers = [("host", "evil.example")];
        refused(&ask(here.stack.port(), "GET", path, &headers, "").await, path, &headers);
    }
    for path in ["/nothing.js", "//page.js"] {
        let answer = ask(here.stack.port(), "GET", path, &[("host", &host)], "").await;
        assert_eq!((answer.status, &answer.json()["message"]), (404, &json!("Not Found")), "{path}");
    }
    here.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_key_token_or_signature_is_in_any_answer_of_the_page() {
    let here = Here::start().await;
    let port = here.stack.port();
    let host = format!("127.0.0.1:{port}");
    let mut secrets: Vec<String> = ["whsec_", "rai_sample_", "st_0", "Bearer "].map(str::to_owned).into();
    secrets.extend(RECEIVERS.map(sample_key));
    secrets.push(here.stack.rail_api.secret()["client_secret"].as_str().unwrap().to_owned());
    // One is delivered, one is dead, and for one Rail's API is asked who its customer is.
    for (provider, sample) in [
        ("rail", "rail/account_open.json"),
        ("rail", "rail/application_approved.json"),
        ("rillis", "rillis/flow_completed_with_customer.json"),
    ] {
        let body = std::fs::read_to_string(local::binaries::workspace_root().join("events").join(sample)).unwrap();
        let headers = signed_headers(provider, &body);
        assert_eq!(here.stack.send(providers::by_name(provider).unwrap(), &headers, body).await.unwrap().0, 200);
        secrets.push(headers[0].1.clone());
        here.stack.settled().await;
        here.stack.returning_ai.inject(
            Some(local::returning_ai::At::Webhook("kyc".to_owned())),
            local::returning_ai::Fault::Status(422),
            local::faults::When::UntilCleared,
        );
    }
    let tokens: Vec<String> = here.stack.returning_ai.attempts().into_iter().filter_map(|it| it.token).collect();
    assert_eq!(tokens.len(), 3);
    secrets.extend(tokens);

    let mut answers = String::new();
    let keys: Vec<String> = here.table().iter().map(|item| item["pk"].as_str().unwrap().replace('#', "%23")).collect();
    let events =
        keys.iter().flat_map(|pk| ["event?pk=", "find?id=", "customers?pk="].map(|asks| format!("/api/{asks}{pk}")));
    for path in reads().into_iter().chain(events) {
        let answer = ask(port, "GET", &path, &[("host", &host)], "").await;
        assert_eq!(answer.status, 200, "{path}");
        answers.push_str(&answer.text);
    }
    let home = ask(port, "GET", "/", &[("host", &host)], "").await;
    let token = home.text.split_once("name=\"bridge-token\" content=\"").unwrap().1.split('"').next().unwrap();
    for how in ["as_is", "stale", "tampered", "other_key"] {
        let body =
            json!({ "provider": "rail", "sample": "rail/account_open.json", "how": how, "fresh": true }).to_string();
        let answer = ask(port, "POST", "/api/send", &[("host", &host), ("x-bridge-token", token)], &body).await;
        assert_eq!(answer.status, 200);
        answers.push_str(&answer.text);
    }
    // All of it was read.
    for part in ["event: hello", "event: stats", "event: loaded", "C-1001", "refused", "ACCOUNT_OPEN", "401"] {
        assert!(answers.contains(part), "{part}");
    }
    for secret in secrets {
        assert!(!answers.contains(&secret), "{secret} is in an answer");
    }
    here.end().await;
}

/// All that the page can be asked for; `evt_1` may or may not be there.
fn reads() -> Vec<String> {
    let files = FILES.iter().map(|file| format!("/{}", file.name));
    let asked = [
        "/api/live",
        "/api/samples",
        "/api/find?id=evt_1",
        "/api/customers?pk=rail%23evt_1",
        "/api/sample?name=rail%2Faccount_open.json",
    ];
    iter::once("/".to_owned()).chain(files).chain(asked.map(str::to_owned)).collect()
}

/// An answer, with its headers in lower case.
struct Answer {
    status: u16,
    head: String,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(self.text.trim()).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }
}

/// Asks over a connection of its own, with these headers alone and a body that is JSON. Of a stream, what comes until the second figures.
async fn ask(port: u16, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut connection = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let mut request = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
    request.push_str("content-type: application/json\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    request.push_str(body);
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = async {
        loop {
            let text = String::from_utf8_lossy(&answer);
            if text.matches("event: stats").count() > 1 || connection.read_buf(&mut answer).await.unwrap() == 0 {
                break;
            }
        }
    };
    tokio::time::timeout(BOUND, read).await.unwrap_or_else(|_| panic!("no end of {method} {path}"));
    let answer = String::from_utf8(answer).unwrap();
    let (head, text) =
        answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer to {method} {path}: {answer}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_lowercase(), text: text.to_owned() }
}

/// With a reason, and with nothing that lets another site read it.
#[track_caller]
fn refused(answer: &Answer, path: &str, headers: &[(&str, &str)]) {
    assert_eq!(answer.status, 403, "{path} {headers:?}: {}", answer.text);
    assert!(answer.json()["hint"].is_string(), "{path} {headers:?}: {}", answer.text);
    assert!(!answer.head.contains("access-control-"), "{path} {headers:?}: {}", answer.head);
}

/// So many bytes of the hostile text, over and over.
fn padded(bytes: usize) -> String {
    let mut text = String::new();
    for letter in HOSTILE.chars().cycle() {
        if text.len() + letter.len_utf8() > bytes {
            break;
        }
        text.push(letter);
    }
    let missing = bytes - text.len();
    text + &"x".repeat(missing)
}

/// Nothing is wider than the page.
async fn fits(browser: &Browser, width: u32) {
    browser.wait_until(&format!("document.documentElement.scrollWidth <= {width}")).await;
}
