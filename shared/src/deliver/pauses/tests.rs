use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::*;
use crate::outside::aws;
use crate::outside::http::Http;
use crate::record::pauses::PauseStatus;
use crate::record::pauses::PauseStatus::{Delivering, Paused, Unreadable};
use crate::testing::{Asked, Loopback, Reply, settable_clock};

/// A table that answers as it is told to, or hangs.
struct Table {
    server: Loopback,
    store: EventStore,
    answer: Arc<Mutex<Vec<(u16, Value)>>>,
}

impl Table {
    fn new() -> Self {
        let answer: Arc<Mutex<Vec<(u16, Value)>>> = Default::default();
        let told = Arc::clone(&answer);
        let server = Loopback::start(move |_, _: &Asked| {
            let mut told = told.lock().unwrap();
            let (status, body) = match told.len() {
                0 => return Reply::Silence,
                1 => told[0].clone(),
                _ => told.remove(0),
            };
            Reply::Answer(status, Vec::new(), body.to_string())
        });
        let client = aws::dynamodb(&server.aws(), &Http::new().unwrap());
        Self { store: EventStore::new(client, "events".to_owned()), server, answer }
    }

    fn answers(&self, answers: impl IntoIterator<Item = (u16, Value)>) {
        *self.answer.lock().unwrap() = answers.into_iter().collect();
    }

    fn asked(&self) -> usize {
        self.server.asked().len()
    }
}

fn item(workflow: &str, pauses: &Value) -> Value {
    json!({ "pk": { "S": format!("workflow#{workflow}") }, "pauses": pauses })
}

fn paused(workflow: &str) -> Value {
    item(workflow, &json!({ "L": [{ "M": { "from": { "N": "7" } } }] }))
}

/// An answer with these items that leaves these workflows unprocessed.
fn answer(items: &[Value], unprocessed: &[&str]) -> (u16, Value) {
    let keys: Vec<Value> =
        unprocessed.iter().map(|name| json!({ "pk": { "S": format!("workflow#{name}") } })).collect();
    let left = if keys.is_empty() { json!({}) } else { json!({ "events": { "Keys": keys } }) };
    (200, json!({ "Responses": { "events": items }, "UnprocessedKeys": left }))
}

fn refused() -> (u16, Value) {
    (400, json!({ "__type": "com.amazonaws.dynamodb.v20120810#AccessDeniedException" }))
}

const SINCE: UnixMillis = UnixMillis(7);

macro_rules! world {
    ($table:ident, $status:ident, $later:ident) => {
        world!($table, $status, $later, cache)
    };
    ($table:ident, $status:ident, $later:ident, $cache:ident) => {
        let (clock, now) = settable_clock!();
        let ($table, $cache) = (Table::new(), PauseCache::default());
        let [kyc, deposits] = ["kyc", "deposits"].map(|name| Destination::Workflow(name.to_owned()));
        let $status = async || -> [PauseStatus; 2] {
            $cache.refresh(&$table.store, &BTreeSet::from([&kyc, &deposits]), clock).await;
            let pauses = $cache.as_of(clock.now());
            [pauses.status(&kyc), pauses.status(&deposits)]
        };
        let $later = |seconds: u64| now.fetch_add(seconds * 1000, Relaxed);
    };
}

#[tokio::test]
async fn pauses_that_were_never_read_hold_their_destinations_and_are_asked_for_again_after_ten_seconds() {
    world!(table, status, later);
    table.answers([refused()]);
    assert_eq!(status().await, [Unreadable, Unreadable]);
    assert_eq!(table.asked(), 1);
    later(9);
    table.answers([answer(&[paused("kyc")], &[])]);
    assert_eq!(status().await, [Unreadable, Unreadable]);
    assert_eq!(table.asked(), 1);
    later(1);
    assert_eq!(status().await, [Paused { since: SINCE }, Delivering]);
    // Known for 30 s.
    later(29);
    status().await;
    assert_eq!(table.asked(), 2);
    later(1);
    table.answers([answer(&[], &[])]);
    assert_eq!(status().await, [Delivering, Delivering]);
    assert_eq!(table.asked(), 3);
}

#[tokio::test]
async fn a_failure_that_is_forgotten_keeps_nobody_from_asking() {
    world!(table, status, _later, cache);
    table.answers([refused()]);
    assert_eq!(status().await, [Unreadable, Unreadable]);
    table.answers([answer(&[paused("kyc")], &[])]);
    cache.forget_failure();
    assert_eq!(status().await, [Paused { since: SINCE }, Delivering]);
    // What is known is not asked for again.
    cache.forget_failure();
    status().await;
    assert_eq!(table.asked(), 2);
}

#[tokio::test]
async fn what_was_read_counts_for_five_minutes_while_it_cannot_be_read_again() {
    world!(table, status, later);
    table.answers([answer(&[paused("kyc")], &[])]);
    assert_eq!(status().await, [Paused { since: SINCE }, Delivering]);
    table.answers([refused()]);
    for _ in 0..29 {
        later(10);
        assert_eq!(status().await, [Paused { since: SINCE }, Delivering]);
    }
    // From the 30th second on every ten seconds.
    assert_eq!(table.asked(), 1 + 27);
    later(10);
    assert_eq!(status().await, [Unreadable, Unreadable]);
}

#[tokio::test]
async fn an_answer_in_part_leaves_only_what_is_missing_unread() {
    world!(table, status, later);
    table.answers([answer(&[paused("kyc")], &["deposits"]), refused()]);
    assert_eq!(status().await, [Paused { since: SINCE }, Unreadable]);
    later(10);
    table.answers([answer(&[], &["deposits"])]);
    assert_eq!(status().await, [Paused { since: SINCE }, Unreadable]);
    later(10);
    table.answers([answer(&[], &[])]);
    assert_eq!(status().await, [Paused { since: SINCE }, Delivering]);
}

#[tokio::test]
async fn a_malformed_item_holds_its_own_destination_alone_and_at_once() {
    world!(table, status, later);
    table.answers([answer(&[], &[])]);
    assert_eq!(status().await, [Delivering, Delivering]);
    later(30);
    for malformed in [
        json!({ "S": "a text" }),
        json!({ "L": [{ "M": { "from": { "S": "yesterday" } } }] }),
        json!({ "L": [{ "M": { "from": { "N": "7" }, "to": { "S": "8" } } }] }),
        json!({ "L": [{ "S": "7" }] }),
    ] {
        table.answers([answer(&[item("kyc", &malformed)], &[])]);
        assert_eq!(status().await, [Unreadable, Delivering], "{malformed}");
        later(30);
    }
    // Overwritten: noticed after ten seconds.
    table.answers([answer(&[item("kyc", &json!({ "S": "a text" }))], &[])]);
    assert_eq!(status().await, [Unreadable, Delivering]);
    table.answers([answer(&[paused("kyc")], &[])]);
    later(10);
    assert_eq!(status().await, [Paused { since: SINCE }, Delivering]);
}

#[tokio::test]
async fn a_table_that_hangs_costs_two_seconds_once_in_ten_and_is_unreadable() {
    world!(table, status, later);
    table.answers([]);
    let began = tokio::time::Instant::now();
    assert_eq!(status().await, [Unreadable, Unreadable]);
    assert!(began.elapsed() < READ_TIME + Duration::from_secs(1), "{:?}", began.elapsed());
    let asked = table.asked();
    for _ in 0..20 {
        assert_eq!(status().await, [Unreadable, Unreadable]);
    }
    assert_eq!(table.asked(), asked);
    table.answers([answer(&[], &[])]);
    later(10);
    assert_eq!(status().await, [Delivering, Delivering]);
}
