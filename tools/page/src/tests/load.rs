//! The page over ten thousand events, and while fifty thousand more pass: how fast, and what it holds.

use std::io::Write as _;
use std::ops::Range;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use local::dynamodb::{DynamoDb, EVENTS_TABLE};
use local::stack::{Stack, StackOptions};
use serde_json::{Map, Value, json};
use shared::clock::Clock;
use shared::record::event::{EventState, dead_part, pending_part};

use super::browser::{BOUND, Browser};
use super::here::Here;
use crate::board::{Board, MAX_ROWS};

/// What is in the table before the page is open, and what is written while it is.
const FIRST: usize = MAX_ROWS;
const LIVE: usize = 50_000;

/// Written at once. The page would read the table again if it were 4096 writes behind: this many it may be.
const AT_ONCE: usize = 100;
const BEHIND: usize = 2_000;

/// The goal, told beside what was measured. How fast it is depends on what else the machine does, so no test fails by it:
/// the quickest of so many views must not take more than so many times as long as that of [`FEW`] events in the same run.
const FIRST_VIEW_MS: f64 = 1_000.0;
pub(crate) const TRIES: usize = 3;
const TIMES_FEW: f64 = 4.0;
pub(crate) const FEW: usize = 40;

/// What the second half of the live events may add to what is held after the first.
const GROWTH: f64 = 1.15;

/// Some forty rows are in the document, of 50 nodes each at most, and the rest of the page.
const MAX_NODES: f64 = 6_000.0;

/// Runs in each page from its beginning: notes in which frame the first row was there, and when all were; and for each
/// change of a field how long it took to be on the screen.
pub(crate) const WATCH: &str = "
    window.seen = { first: null, all: null, keys: [] };
    window.frame = () => new Promise((shown) => requestAnimationFrame(() => {
        const { port1, port2 } = new MessageChannel();
        port1.onmessage = () => shown(performance.now());
        port2.postMessage(null);
    }));
    (async () => {
        while (seen.all === null) {
            const now = await frame();
            if (document.querySelector('#events [data-pk]')) seen.first ??= now;
            if (document.querySelector('#shown')?.textContent.startsWith('10,000 ')) seen.all = now;
        }
    })();
    addEventListener('input', async (input) => seen.keys.push(await frame() - input.timeStamp), true);
";

/// From the newest row to the oldest within three seconds: the time between frames, in how many of them the middle of the
/// list had no row, and how far it went.
const SCROLL: &str = "(async () => {
    const events = document.querySelector('#events');
    const box = events.getBoundingClientRect();
    const frames = [];
    let empty = 0;
    const began = await frame();
    for (let before = began; before < began + 3_000;) {
        events.scrollTop = (before - began) / 2_900 * (events.scrollHeight - events.clientHeight);
        const now = await frame();
        frames.push(now - before);
        before = now;
        const middle = document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2);
        if (!middle?.closest('[data-pk]')) empty += 1;
    }
    const reached = events.scrollTop + events.clientHeight >= events.scrollHeight - 1;
    events.scrollTop = 0;
    return { frames, empty, reached };
})()";

#[test]
fn ten_thousand_events_are_seen_at_once_and_fifty_thousand_more_cost_no_memory() {
    let measured = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "page::tests::load::measured_in_a_process_of_its_own", "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&measured.stdout);
    for line in said.lines().filter(|line| line.starts_with("page: ") || line.starts_with("left out")) {
        tell(line);
    }
    assert!(measured.status.success(), "{said}\n{}", String::from_utf8_lossy(&measured.stderr));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the memory of its process is measured: the test above gives it one"]
async fn measured_in_a_process_of_its_own() {
    let Some(browser) = Browser::start().await else { return };
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().to_owned();
    // In a file, since a table in memory grows with each event.
    let here = Here::with(|options| StackOptions { data: Some(folder), remembered: Some(1_000), ..options }).await;
    let writer = Writer::new(&here);
    writer.write(0..FEW).await;
    browser.at_the_start_of_each_page(WATCH).await;
    let mut few = Vec::new();
    for _ in 0..TRIES {
        few.push(first_view(&browser, &here.url()).await);
    }
    writer.write(FEW..FIRST).await;
    let mut views = Vec::new();
    for _ in 0..TRIES {
        views.push(first_view(&browser, &here.url()).await);
        browser.wait_until("seen.all !== null").await;
        let all = browser.evaluate("seen.all").await.as_f64().unwrap();
        println!("page: all 10,000 rows after {all:.0} ms");
    }
    println!("{}", compare("page", &few, &views));

    let mut held = vec![Memory::by(&browser).await];
    for half in [FIRST..FIRST + LIVE / 2, FIRST + LIVE / 2..FIRST + LIVE] {
        let newest = half.end - 1;
        let began = Instant::now();
        let writing = tokio::spawn({
            let writer = writer.clone();
            async move { writer.write(half).await }
        });
        let scrolled = browser.evaluate(SCROLL).await;
        assert_eq!((&scrolled["empty"], &scrolled["reached"]), (&json!(0), &json!(true)));
        tell_spread("time between frames, scrolling while events come", &scrolled["frames"]);
        browser.click("#search").await;
        browser.evaluate("seen.keys = []").await;
        for key in "evt_0000_evt_000123_".chars() {
            browser.press(&key.to_string()).await;
        }
        browser.wait_until("seen.keys.length === 20").await;
        let keys = browser.evaluate("seen.keys").await;
        tell_spread("a key until it is seen, filtering while events come", &keys);
        browser.type_into("#search", "").await;
        writing.await.unwrap();
        println!("page: {:.0} live events a second", (LIVE / 2) as f64 / began.elapsed().as_secs_f64());

        browser.wait_until(&format!("document.querySelector('#events [data-pk={}]')", json!(key_of(newest)))).await;
        browser.wait_for_text("#shown", "10,000 events").await;
        browser.wait_for_text("#pending", &count(newest, EventState::Pending)).await;
        browser.wait_for_text("#dead", &count(newest, EventState::Dead)).await;
        held.push(Memory::by(&browser).await);
    }
    browser.close().await;
    here.end().await;

    let (middle, end) = (&held[1], &held[2]);
    assert!(end.tab <= middle.tab * GROWTH, "{held:?}");
    assert!(end.server <= middle.server * GROWTH, "{held:?}");
    assert!(held.iter().all(|held| held.nodes <= MAX_NODES), "{held:?}");
}

/// Opens the page, which [`WATCH`]es itself, and says after how many milliseconds its first rows were seen.
pub(crate) async fn first_view(browser: &Browser, url: &str) -> f64 {
    browser.open(url).await;
    browser.wait_until("seen.first !== null").await;
    browser.evaluate("seen.first").await.as_f64().unwrap()
}

/// Says how long the views took; panics if many events make them much longer.
pub(crate) fn compare(whose: &str, few: &[f64], many: &[f64]) -> String {
    let told = |views: &[f64]| views.iter().map(|ms| format!("{ms:.0}")).collect::<Vec<_>>().join(", ");
    let (quickest_of_few, quickest) = (smallest(few), smallest(many));
    assert!(quickest < TIMES_FEW * quickest_of_few, "{quickest} ms; with few events {quickest_of_few} ms");
    let goal = if quickest < FIRST_VIEW_MS { "reached" } else { "not reached on this machine now" };
    format!(
        "{whose}: the first rows of 10,000 after {} ms (of {FEW} after {} ms); goal of {FIRST_VIEW_MS} ms: {goal}",
        told(many),
        told(few)
    )
}

fn smallest(all: &[f64]) -> f64 {
    all.iter().copied().fold(f64::INFINITY, f64::min)
}

/// Prints for the person who runs the tests, also of those that pass.
pub(crate) fn tell(line: &str) {
    writeln!(std::io::stdout(), "{line}").unwrap();
}

/// Bytes and nodes after a garbage collection.
#[derive(Debug)]
struct Memory {
    tab: f64,
    nodes: f64,
    server: f64,
}

impl Memory {
    async fn by(browser: &Browser) -> Self {
        let tab = browser.heap_bytes().await as f64;
        let held = Self { tab, nodes: browser.metric("Nodes").await, server: resident_bytes() };
        let Self { nodes, server, .. } = held;
        println!("page: the tab holds {:.2} MB and {nodes} nodes, the server {:.1} MB", tab / 1e6, server / 1e6);
        held
    }
}

/// Of this process.
fn resident_bytes() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.strip_suffix("kB")).unwrap();
    kilobytes.trim().parse::<f64>().unwrap() * 1024.0
}

/// Prints what many measurements in milliseconds came to.
fn tell_spread(what: &str, ms: &Value) {
    let mut ms: Vec<f64> = ms.as_array().unwrap().iter().filter_map(Value::as_f64).collect();
    ms.sort_by(f64::total_cmp);
    let [p50, p95, longest] = [50, 95, 100].map(|percent| ms[(ms.len() - 1) * percent / 100]);
    println!("page: {what}: p50 {p50:.1} ms, p95 {p95:.1} ms, longest of {} {longest:.1} ms", ms.len());
}

/// Writes events into the table, which tells the page.
#[derive(Clone)]
struct Writer {
    stack: Arc<Stack>,
    board: Arc<Board>,
    from_ms: u64,
}

impl Writer {
    fn new(here: &Here) -> Self {
        Self { stack: Arc::clone(&here.stack), board: Arc::clone(&here.board), from_ms: from_ms() }
    }

    /// Returns when the last of them is listed.
    async fn write(&self, events: Range<usize>) {
        let mut waiting = Vec::new();
        for from in events.clone().step_by(AT_ONCE) {
            let some = from..events.end.min(from + AT_ONCE);
            // Each tenth waits at first, and has ended when the next ones come.
            let mut items: Vec<Value> = waiting.drain(..).map(|n| item(n, state_of(n), self.from_ms)).collect();
            let state = |n: usize| if n.is_multiple_of(10) { EventState::Pending } else { state_of(n) };
            items.extend(some.clone().map(|n| item(n, state(n), self.from_ms)));
            waiting.extend(some.filter(|n| n.is_multiple_of(10)));
            tokio::task::block_in_place(|| put(&self.stack.dynamodb, &items));
            self.until_listed(from.saturating_sub(BEHIND).max(events.start)).await;
        }
        let items: Vec<Value> = waiting.into_iter().map(|n| item(n, state_of(n), self.from_ms)).collect();
        put(&self.stack.dynamodb, &items);
        self.until_listed(events.end - 1).await;
    }

    async fn until_listed(&self, n: usize) {
        let until = Instant::now() + BOUND;
        while self.board.listed(&key_of(n)).is_none() {
            assert!(Instant::now() < until, "{} is not listed", key_of(n));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Ten minutes ago: later events are received later.
pub(crate) fn from_ms() -> u64 {
    Clock::system().now().0 - 600_000
}

pub(crate) fn put(dynamodb: &DynamoDb, items: &[Value]) {
    dynamodb.put_raw_all(EVENTS_TABLE, items).unwrap();
}

pub(crate) fn key_of(n: usize) -> String {
    format!("{}#evt_{n:06}", KINDS[n % KINDS.len()].0)
}

fn state_of(n: usize) -> EventState {
    match n % 100 {
        0..4 => EventState::Pending,
        4..6 => EventState::Dead,
        6..20 => EventState::Ignored,
        _ => EventState::Delivered,
    }
}

/// How many of the events up to this one end so, as the page writes it.
fn count(newest: usize, state: EventState) -> String {
    let count = (0..=newest).filter(|n| state_of(*n) == state).count();
    match count / 1_000 {
        0 => count.to_string(),
        thousands => format!("{thousands},{:03}", count % 1_000),
    }
}

/// The event as the functions would have written it.
pub(crate) fn item(n: usize, state: EventState, from_ms: u64) -> Value {
    let (_, event_type, routes) = KINDS[n % KINDS.len()];
    let received = from_ms + n as u64;
    let number = |number: u64| json!({ "N": number.to_string() });
    let mut item = json!({
        "pk": { "S": key_of(n) },
        "event_type": { "S": event_type },
        "occurred_at": number(received),
        "received_at": number(received),
        "state": { "S": state.name() },
        "attempts": number(1),
        "body": { "B": "eyJldmVudF9pZCI6ImV2dCJ9" },
        "body_encoding": { "S": "identity" },
        "body_sha256": { "S": "sample" },
        "deliveries": { "M": {} },
    });
    if state == EventState::Ignored {
        return item;
    }
    let outcome = if state == EventState::Delivered { "delivered" } else { "server_error" };
    let attempt =
        json!({ "at": number(received + 9), "by": { "S": "first" }, "outcome": { "S": outcome }, "ms": number(7) });
    let delivery = json!({ "M": { "state": { "S": state.name() }, "at": number(received + 9) } });
    let deliveries: Map<_, _> = routes.iter().map(|route| ((*route).to_owned(), delivery.clone())).collect();
    item["deliveries"] = json!({ "M": deliveries });
    item["history"] = json!({ "L": [{ "M": attempt }] });
    if state != EventState::Delivered {
        let due = if state == EventState::Dead { dead_part(n as u8 % 8) } else { pending_part(n as u8 % 8) };
        item["due"] = json!({ "S": due });
        item["next_attempt_at"] = number(received / 1_000 + 3_600);
        item["last_error"] = json!({ "S": "server_error 503" });
    }
    item
}

/// Provider, type, and the routes that want it.
const KINDS: [(&str, &str, &[&str]); 4] = [
    ("rail", "TRANSACTION_POSTED", &["first-deposit", "deposit-posted"]),
    ("rail", "ACCOUNT_OPEN", &["account-open"]),
    ("rillis", "FLOW_COMPLETED", &["kyc-approved"]),
    ("rail", "WITHDRAWAL_COMPLETED", &["withdrawal-completed"]),
];
