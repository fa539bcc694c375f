//! The page over ten thousand events, and while fifty thousand more go by.

use std::io::Write as _;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use local::dynamodb::EVENTS_TABLE;
use local::stack::{Stack, StackOptions};
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::event::{DUE_DEAD, EventState, shard_name};

use super::browser::{BOUND, Browser};
use super::here::Here;
use crate::page::board::{Board, MAX_ROWS};

/// What is in the table before anybody looks, and what is written while somebody does.
const FIRST: usize = MAX_ROWS;
const LIVE: usize = 50_000;

/// Keys written and not yet listed; the page would read the table anew if it were 4096 behind.
const AHEAD: usize = 2_000;

/// Written at once.
const WRITES_AT_ONCE: usize = 100;

/// In the page from its beginning: in which frame the first row was seen, and all of them; how long each key took to be seen.
const WATCH: &str = "
    window.seen = { rows: null, all: null, keys: [] };
    const afterFrame = () => new Promise((drawn) => requestAnimationFrame(() => {
        const { port1, port2 } = new MessageChannel();
        port1.onmessage = () => drawn(performance.now());
        port2.postMessage(null);
    }));
    window.afterFrame = afterFrame;
    (async () => {
        while (seen.all === null) {
            const now = await afterFrame();
            if (seen.rows === null && document.querySelector('#events [data-pk]')) seen.rows = now;
            if (document.querySelector('#shown')?.textContent.startsWith('10,000 ')) seen.all = now;
        }
    })();
    addEventListener('input', async (input) => seen.keys.push(await afterFrame() - input.timeStamp), true);
";

/// From the newest row to the oldest in three seconds; the time between frames, and in how many of them no row was in the
/// middle of the list.
const SCROLL: &str = "(async () => {
    const events = document.querySelector('#events');
    const box = events.getBoundingClientRect();
    const frames = [];
    let empty = 0;
    const began = await afterFrame();
    for (let before = began; before < began + 3_000;) {
        events.scrollTop = (before - began) / 3_000 * (events.scrollHeight - events.clientHeight);
        const now = await afterFrame();
        frames.push(now - before);
        before = now;
        const middle = document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2);
        if (!middle?.closest('[data-pk]')) empty += 1;
    }
    const reached = events.scrollTop / (events.scrollHeight - events.clientHeight);
    events.scrollTop = 0;
    return { frames, empty, reached };
})()";

#[test]
fn ten_thousand_events_are_seen_at_once_and_fifty_thousand_more_cost_no_memory() {
    let measured = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "page::tests::load::in_a_process_of_its_own", "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&measured.stdout);
    // Past the test harness: the figures are for whoever runs the tests.
    let mut out = std::io::stdout().lock();
    for line in said.lines().filter(|line| line.starts_with("page: ") || line.starts_with("left out")) {
        writeln!(out, "{line}").unwrap();
    }
    assert!(measured.status.success(), "{said}\n{}", String::from_utf8_lossy(&measured.stderr));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it measures the memory of its process: the test above gives it one"]
async fn in_a_process_of_its_own() {
    let Some(browser) = Browser::start().await else { return };
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().to_owned();
    // In a file, since a table in memory would grow by itself.
    let here = Here::with(|options| StackOptions { data: Some(folder), remembered: Some(1_000), ..options }).await;
    let writer = Writer::new(&here);
    let began = Instant::now();
    writer.write(0..FIRST).await;
    println!("page: {FIRST} events in the table after {:.1} s", began.elapsed().as_secs_f64());

    browser.at_the_start_of_each_page(WATCH).await;
    let mut views = Vec::new();
    for _ in 0..3 {
        browser.open(&here.url()).await;
        browser.wait_until("seen.all !== null").await;
        let seen = browser.evaluate("seen").await;
        let [rows, all] = ["rows", "all"].map(|name| seen[name].as_f64().unwrap());
        println!("page: first view: rows after {rows:.0} ms, all after {all:.0} ms");
        views.push(rows);
    }

    let mut memory = vec![Memory::of(&browser).await];
    for half in [FIRST..FIRST + LIVE / 2, FIRST + LIVE / 2..FIRST + LIVE] {
        let last = half.end - 1;
        let began = Instant::now();
        let writing = tokio::spawn({
            let writer = writer.clone();
            async move { writer.write(half).await }
        });
        {
            let scrolled = browser.evaluate(SCROLL).await;
            println!("page: scrolling while events come: {}, {} empty, {:.3} reached", spread(&scrolled["frames"]), scrolled["empty"], scrolled["reached"].as_f64().unwrap());
            browser.click("#search").await;
            browser.evaluate("seen.keys = []").await;
            for key in "evt_0000_evt_000123_".chars() {
                browser.press(&key.to_string()).await;
            }
            let keys = browser.evaluate("afterFrame().then(() => seen.keys)").await;
            println!("page: key to redraw while events come: {}", spread(&keys));
            browser.type_into("#search", "").await;
        }
        writing.await.unwrap();
        println!("page: {:.0} live events a second", (LIVE / 2) as f64 / began.elapsed().as_secs_f64());
        browser.wait_until(&format!("document.querySelector('[data-pk=\"{}\"]')", key_of(last))).await;
        memory.push(Memory::of(&browser).await);
    }
    browser.close().await;
    here.end().await;
}

/// What is held once the garbage is gone.
#[derive(Clone, Copy, Debug)]
struct Memory {
    tab: f64,
    nodes: f64,
    server: f64,
}

impl Memory {
    async fn of(browser: &Browser) -> Self {
        let tab = browser.heap_bytes().await as f64;
        let nodes = browser.metric("Nodes").await;
        let memory = Self { tab, nodes, server: resident() };
        println!(
            "page: tab {:.2} MB, {nodes} nodes, server {:.1} MB",
            tab / 1e6,
            memory.server / 1e6
        );
        memory
    }
}

/// Of this process, in bytes.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() * 1024.0
}

fn spread(ms: &Value) -> String {
    let mut ms: Vec<f64> = ms.as_array().unwrap().iter().filter_map(Value::as_f64).collect();
    ms.sort_by(f64::total_cmp);
    let at = |share: f64| ms[((ms.len() - 1) as f64 * share) as usize];
    format!("{} times, p50 {:.1} ms, p95 {:.1} ms, longest {:.1} ms", ms.len(), at(0.5), at(0.95), at(1.0))
}

/// Writes events as the functions do: by DynamoDB's API, past which the page is told.
#[derive(Clone)]
struct Writer {
    stack: Arc<Stack>,
    board: Arc<Board>,
    began_ms: u64,
}

impl Writer {
    fn new(here: &Here) -> Self {
        let began_ms = Clock::system().now().0 - 600_000;
        Self { stack: Arc::clone(&here.stack), board: Arc::clone(&here.board), began_ms }
    }

    async fn write(&self, events: std::ops::Range<usize>) {
        let mut listed = events.start;
        let all: Vec<usize> = events.clone().collect();
        for some in all.chunks(WRITES_AT_ONCE) {
            let items: Vec<Value> = some.iter().map(|&n| self.item(n)).collect();
            tokio::task::block_in_place(|| self.stack.dynamodb.put_raw_all(EVENTS_TABLE, &items)).unwrap();
            let written = some[some.len() - 1];
            while written - listed >= AHEAD {
                self.until_listed(listed + AHEAD / 2).await;
                listed += AHEAD / 2;
            }
        }
        self.until_listed(events.end - 1).await;
    }

    async fn until_listed(&self, n: usize) {
        let until = Instant::now() + BOUND;
        while self.board.listed(&key_of(n)).is_none() {
            assert!(Instant::now() < until, "{} is not listed", key_of(n));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn item(&self, n: usize) -> Value {
        let (provider, event_type, routes) = KINDS[n % KINDS.len()];
        let (state, due) = match n % 100 {
            0..12 => (EventState::Pending, Some(shard_name((n % 8) as u8))),
            12..15 => (EventState::Dead, Some(DUE_DEAD.to_owned())),
            15..25 => (EventState::Ignored, None),
            _ => (EventState::Delivered, None),
        };
        let _ = provider;
        let received = self.began_ms + n as u64;
        let mut item = json!({
            "pk": { "S": key_of(n) },
            "event_type": { "S": event_type },
            "occurred_at": { "N": received.to_string() },
            "received_at": { "N": received.to_string() },
            "state": { "S": state.name() },
            "attempts": { "N": "1" },
            "body": { "B": "eyJldmVudF9pZCI6IjEifQ==" },
            "body_encoding": { "S": "identity" },
            "body_sha256": { "S": "0".repeat(64) },
            "history": { "L": [] },
            "deliveries": { "M": {} },
        });
        if state != EventState::Ignored {
            let delivery = if state == EventState::Delivered { "delivered" } else { state.name() };
            let at = json!({ "N": (received + 40).to_string() });
            let deliveries = routes.iter().map(|route| ((*route).to_owned(), json!({ "M": { "state": { "S": delivery }, "at": at } })));
            item["deliveries"] = json!({ "M": deliveries.collect::<serde_json::Map<_, _>>() });
            let outcome = if state == EventState::Delivered { "delivered" } else { "server_error" };
            item["history"] = json!({ "L": [{ "M": { "at": at, "by": { "S": "first" }, "outcome": { "S": outcome }, "ms": { "N": "12" } } }] });
        }
        if let Some(due) = due {
            item["due"] = json!({ "S": due });
            item["next_attempt_at"] = json!({ "N": (received / 1000 + 3_600).to_string() });
            item["last_error"] = json!({ "S": "server_error 503" });
        }
        item
    }
}

fn key_of(n: usize) -> String {
    format!("{}#evt_{n:06}", KINDS[n % KINDS.len()].0)
}

/// Provider, type, routes.
const KINDS: [(&str, &str, &[&str]); 4] = [
    ("rail", "TRANSACTION_POSTED", &["first-deposit", "deposit-posted"]),
    ("rail", "ACCOUNT_OPEN", &["account-open"]),
    ("rillis", "FLOW_COMPLETED", &["kyc-approved"]),
    ("rail", "WITHDRAWAL_COMPLETED", &["withdrawal-completed"]),
];
