//! The verbs against an embedded table, and their words against what an operator shall read.

use std::time::Duration;

use aws_credential_types::Credentials;
use futures_util::FutureExt;
use local::dynamodb::{DynamoDb, EVENTS_TABLE};
use shared::clock::{Clock, UnixMillis};
use shared::config::AwsConfig;
use shared::deliver::resolver::Resolver;
use shared::outside::http::Http;
use shared::record::destination::Destination;
use shared::record::event::{
    Attempt, AttemptBy, DispatchOutcome, DispatchState, DispatchSuccess, EventRecord, EventState,
};
use shared::record::failure::{DispatchFailure, FailureCode};
use shared::record::pauses::{Pause, Pauses};
use shared::record::retry_plan::Draw;
use shared::record::store::listing::EventSummary;
use shared::record::store::{EventStore, RecordOutcome, SettleOutcome};
use shared::route::routes::{LookupKinds, Routes};

use super::filter::{Filter, Filters};
use super::list::{Table, write_json};
use super::report::{Customers, Report, customers as customers_of};
use super::selection::Selection;
use super::*;

const NOW: UnixMillis = UnixMillis(1_738_784_271_042);

/// Two routes of one event, and one that wants something else.
const ROUTES: &str = r#"
[[route]]
name = "deposit"
provider = "rail"
events = ["POSTED"]
workflow = "deposits"
event_type = "deposit.posted"
customer = "/customer"
fields = { amount = "/amount" }

[[route]]
name = "first-deposit"
provider = "rail"
events = ["POSTED"]
workflow = "welcome"
event_type = "deposit.first"
customer = "/customer"

[[route]]
name = "opened"
provider = "rail"
events = ["OPENED"]
workflow = "welcome"
event_type = "account.opened"
customer = "/customer"
"#;

fn routes() -> Routes {
    Routes::parse("routes.toml", ROUTES, LookupKinds::Any).unwrap()
}

/// Received three hours ago, 5 s after it occurred.
fn received(id: &str, event_type: &str) -> EventRecord {
    let received_at = UnixMillis(NOW.0 - 3 * 3_600_000);
    EventRecord {
        provider: "rail".to_owned(),
        event_id: id.to_owned(),
        event_type: Some(event_type.to_owned()),
        occurred_at: UnixMillis(received_at.0 - 5_000),
        received_at,
        state: EventState::Ignored,
        attempts: 0,
        next_attempt_at: None,
        body: r#"{"customer":"C-1001","amount":1000.00}"#.to_owned(),
        body_sha256: "5e1f".to_owned(),
        recorded_by: format!("request/{id}"),
        last_error: None,
        history: Vec::new(),
        deliveries: std::collections::BTreeMap::new(),
        delivered_at: None,
    }
}

fn recorded(id: &str) -> EventRecord {
    let event = received(id, "POSTED");
    let at = event.received_at;
    event.begin(["deposit", "first-deposit"], at)
}

fn down() -> DispatchOutcome {
    Err(DispatchFailure { status: Some(503), ..FailureCode::ServerError.into() })
}

fn refused() -> DispatchOutcome {
    Err(DispatchFailure { status: Some(422), ..FailureCode::Refused.into() })
}

/// An attempt at both routes, `after` the receipt, that took half a second and planned with the highest draw.
fn attempted(event: &EventRecord, by: AttemptBy, after: Duration, outcomes: [DispatchOutcome; 2]) -> EventRecord {
    let began = event.received_at.plus(after);
    let ended = began.plus(Duration::from_millis(512));
    let outcomes: Vec<_> = ["deposit".to_owned(), "first-deposit".to_owned()].into_iter().zip(outcomes).collect();
    event.settle(by, &outcomes, began, ended, after, Draw(1.0))
}

fn delivered() -> DispatchOutcome {
    Ok(DispatchSuccess::Delivered { http_status: 200 })
}

fn workflow(name: &str) -> Destination {
    Destination::Workflow(name.to_owned())
}

/// Who the body says that the customers are.
fn customers(event: &EventRecord, routes: &Routes) -> Customers {
    let resolver = Resolver { clock: Clock::system(), customers: None, apis: Vec::new() };
    // Without a table nothing is waited for.
    customers_of(&resolver, routes, event).now_or_never().unwrap()
}

fn shown(event: &EventRecord, pauses: &Pauses, body: bool) -> String {
    let routes = routes();
    let customers = customers(event, &routes);
    let mut out = Vec::new();
    Report { event, routes: &routes, customers: &customers, pauses, now: NOW }.write(&mut out, body).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn the_timeline_of_a_pending_event_tells_what_happened_and_what_is_to_come() {
    let first = attempted(&recorded("evt_1"), AttemptBy::First, Duration::from_millis(8), [down(), delivered()]);
    let taken = first.take_over(first.received_at.plus(Duration::from_secs(70)));
    let mut event = attempted(&taken, AttemptBy::Redrive, Duration::from_secs(70), [down(), delivered()]);
    event.next_attempt_at = Some(NOW.seconds().plus(42));

    assert_eq!(shown(&event, &Pauses::default(), false), GOLDEN_PENDING.trim_start_matches('\n'));
}

const GOLDEN_PENDING: &str = "
rail#evt_1

  type        POSTED
  state       pending, next attempt in 42 s
  attempts    2
  last error  server_error 503
  occurred    2025-02-05T16:37:46.042Z
  received    2025-02-05T16:37:51.042Z, 3 h ago
  kept        until 2025-05-06T16:37:51.000Z
  body        38 bytes stored; 5e1f as received

Timeline
  2025-02-05T16:37:51.042Z  received, 5.0 s after it occurred
  2025-02-05T16:37:51.050Z  attempt of the receiving function: server_error, HTTP 503, 512 ms
  2025-02-05T16:39:01.042Z  attempt of redrive: server_error, HTTP 503, 512 ms
  2025-02-05T19:38:33.000Z  next attempt, in 42 s

Deliveries
  deposit       → deposits  pending    server_error 503
  first-deposit → welcome   delivered  2025-02-05T16:39:01.554Z

Would be sent now by deposit to deposits, which failed: server_error 503
  { \"eventType\": \"deposit.posted\",
    \"customerId\": \"C-1001\",
    \"occurredAt\": \"2025-02-05T16:37:46.042Z\",
    \"idempotencyKey\": \"rail:evt_1/deposit\",
    \"source\": \"rail\",
    \"sourceEventType\": \"POSTED\",
    \"amount\": 1000.00 }
";

#[test]
fn the_timeline_of_a_dead_event_ends_with_its_death_and_a_message_that_cannot_be_made_says_why() {
    let mut event = attempted(&recorded("evt_2"), AttemptBy::Manual, Duration::from_secs(1), [refused(), delivered()]);
    event.body = r#"{"customer":"C-1001"}"#.to_owned();
    let text = shown(&event, &Pauses::default(), true);

    assert!(text.contains("  state       dead: needs a person\n"), "{text}");
    assert!(text.contains("  kept        until it is redriven\n"), "{text}");
    let attempt = "attempt of redrive, by an operator: refused, HTTP 422, 512 ms\n";
    assert!(text.contains(attempt), "{text}");
    assert!(text.contains("  2025-02-05T16:37:52.554Z  dead, 2 h 59 min ago\n"), "{text}");
    let composed =
        "Would be sent now by deposit to deposits, which failed: refused 422\n  nothing: mapping_failed /amount\n";
    assert!(text.contains(composed), "{text}");
    assert!(text.ends_with("\nStored body\n{\"customer\":\"C-1001\"}\n"), "{text}");
}

#[test]
fn the_body_is_shown_only_when_it_is_asked_for() {
    let mut event = recorded("evt_3");
    event.body = r#"{"customer":"C-1001","amount":1,"street":"a secret"}"#.to_owned();
    assert!(!shown(&event, &Pauses::default(), false).contains("a secret"));
    assert!(shown(&event, &Pauses::default(), true).contains("a secret"));

    let json = |body| {
        let (routes, pauses) = (routes(), Pauses::default());
        let mut out = Vec::new();
        let customers = customers(&event, &routes);
        Report { event: &event, routes: &routes, customers: &customers, pauses: &pauses, now: NOW }
            .write_json(&mut out, body)
            .unwrap();
        String::from_utf8(out).unwrap()
    };
    assert!(!json(false).contains("a secret"));
    assert!(json(true).contains(r#""body":{"customer":"C-1001","amount":1,"street":"a secret"}"#));
}

#[test]
fn a_message_in_json_keeps_its_digits() {
    let (event, routes, pauses) = (recorded("evt_1"), routes(), Pauses::default());
    let mut out = Vec::new();
    let customers = customers(&event, &routes);
    Report { event: &event, routes: &routes, customers: &customers, pauses: &pauses, now: NOW }
        .write_json(&mut out, false)
        .unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains(r#""amount":1000.00}"#), "{text}");
    let facts: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(facts["would_send"][1]["message"]["idempotencyKey"], "rail:evt_1/first-deposit");
    assert_eq!(facts["state"], "pending");
}

#[track_caller]
fn check_last_line(event: &EventRecord, pauses: &Pauses, expected: &str) {
    let text = shown(event, pauses, false);
    let timeline = text.split("\nTimeline\n").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap();
    let last = timeline.lines().last().unwrap();
    assert_eq!(last.split_once("  ").and_then(|(_, rest)| rest.split_once("  ")).map(|(_, what)| what), Some(expected));
}

#[test]
fn the_timeline_tells_an_attempt_under_way_from_one_that_was_lost_and_from_a_pause() {
    let paused = |name: &str| (workflow(name), vec![Pause { from: UnixMillis(NOW.0 - 1), to: None }]);
    let both = Pauses([paused("deposits"), paused("welcome")].into());
    let one = Pauses([paused("welcome")].into());
    let mut event = recorded("evt_1");

    event.next_attempt_at = Some(NOW.seconds().plus(59));
    check_last_line(&event, &Pauses::default(), "lease of the attempt under way ends, in 59 s");
    event.next_attempt_at = Some(shared::clock::UnixSeconds(NOW.seconds().0 - 60));
    let lost = "lease of an attempt without an outcome ended, 1 min ago; redrive takes it over";
    check_last_line(&event, &Pauses::default(), lost);
    check_last_line(&event, &one, lost);
    check_last_line(&event, &both, "lease, 1 min ago; paused, so nobody takes it over");
}

#[test]
fn an_ignored_event_is_shown_with_the_routes_that_want_it_today() {
    let text = shown(&received("evt_4", "OPENED"), &Pauses::default(), false);
    assert!(text.contains("  state       ignored: no route wanted it\n"), "{text}");
    assert!(text.contains("Deliveries\n  none\n"), "{text}");
    assert!(text.contains("Would be sent now by opened to welcome\n"), "{text}");
    assert!(!shown(&received("evt_5", "CLOSED"), &Pauses::default(), false).contains("Would be sent"));
}

#[test]
fn what_a_terminal_would_act_on_is_not_printed() {
    let text = shown(&received("evt\u{1b}[2J", "OPENED\u{7}"), &Pauses::default(), false);
    assert!(text.starts_with("rail#evt\u{fffd}[2J\n"), "{text}");
    assert!(!text.contains('\u{1b}') && !text.contains('\u{7}'));
}

#[test]
fn the_list_is_a_table_whose_columns_hold_their_longest_cells() {
    let mut waiting =
        EventSummary::from(&attempted(&recorded("evt_1"), AttemptBy::First, Duration::ZERO, [down(), delivered()]));
    waiting.next_attempt_at = Some(NOW.seconds().plus(185));
    let mut in_hand = EventSummary::from(&recorded("evt_2"));
    in_hand.next_attempt_at = Some(NOW.seconds().plus(30));
    let mut due = in_hand.clone();
    due.next_attempt_at = Some(shared::clock::UnixSeconds(NOW.seconds().0 - 30));
    let mut dead = EventSummary::from(&received("sha256:0123456789abcdef", "POSTED"));
    (dead.state, dead.event_type) = (EventState::Dead, None);
    dead.last_error = Some("envelope_unreadable".to_owned());

    let mut out = Vec::new();
    Table::default().write(&mut out, false, &[waiting, in_hand, due, dead], NOW).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), GOLDEN_LIST.trim_start_matches('\n'));
}

const GOLDEN_LIST: &str = "
EVENT                         TYPE          STATE    ATTEMPTS  NEXT ATTEMPT  LAST ERROR           AGE
rail#evt_1                    POSTED        pending  1         in 3 min 5 s  server_error 503     3 h
rail#evt_2                    POSTED        pending  1         in hand       –                    3 h
rail#evt_2                    POSTED        pending  1         due 30 s ago  –                    3 h
rail#sha256:0123456789abcdef  (unreadable)  dead     0         –             envelope_unreadable  3 h
";

/// A store on an embedded table.
pub(crate) async fn store() -> (DynamoDb, EventStore) {
    let dynamodb = DynamoDb::start(None).await.unwrap();
    let store = EventStore::new(client(&dynamodb), EVENTS_TABLE.to_owned());
    (dynamodb, store)
}

/// A client of an embedded DynamoDB.
pub(crate) fn client(dynamodb: &DynamoDb) -> aws_sdk_dynamodb::Client {
    let config = AwsConfig {
        region: "us-east-1".to_owned(),
        credentials: Credentials::new("local", "local", None, None, "test"),
        dynamodb_url: Some(dynamodb.url()),
        secrets_manager_url: None,
    };
    shared::outside::aws::dynamodb(&config, &Http::new().unwrap())
}

/// Records an event that these routes want.
pub(crate) async fn put_pending(store: &EventStore, id: &str, routes: &[&str]) {
    let event = received(id, "POSTED");
    let at = event.received_at;
    put(store, &event.begin(routes.iter().copied(), at)).await;
}

async fn put(store: &EventStore, event: &EventRecord) {
    assert_eq!(store.record(event).await, Ok(RecordOutcome::New));
}

async fn all(store: &EventStore, filters: &str) -> Vec<EventSummary> {
    let filter = resolved(filters);
    let mut selection = Selection::new(store, &filter);
    let mut found = Vec::new();
    loop {
        let events = selection.next().await.unwrap();
        if events.is_empty() {
            return found;
        }
        found.extend(events);
    }
}

fn resolved(filters: &str) -> Filter {
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        filters: Filters,
    }
    let line = Line::parse_from(std::iter::once("list").chain(filters.split_whitespace()));
    line.filters.resolve(&RoutesFile::default(), NOW).unwrap()
}

#[tokio::test]
async fn pending_events_are_listed_by_their_next_attempt_over_all_shards_and_pages() {
    let (dynamodb, store) = store().await;
    // More under one key than a page of the index holds, and in another order than the keys'.
    for n in 0..400_u64 {
        let item = serde_json::json!({
            "pk": { "S": format!("rail#evt_{n}") },
            "due": { "S": if n < 300 { "p0" } else { "p3" } },
            "next_attempt_at": { "N": (NOW.seconds().0 + n * 7_919 % 400).to_string() },
            "state": { "S": "pending" },
            "attempts": { "N": "1" },
            "received_at": { "N": "1" },
            "deliveries": { "M": {} },
        });
        dynamodb.put_raw(EVENTS_TABLE, &item).unwrap();
    }
    let listed = all(&store, "").await;
    assert_eq!(listed.len(), 400);
    assert!(listed.is_sorted_by_key(|event| event.next_attempt_at));
}

#[tokio::test]
async fn states_without_an_index_are_found_by_a_scan_and_switches_are_no_events() {
    let (dynamodb, store) = store().await;
    store.write_pauses(&workflow("welcome"), &[Pause { from: NOW, to: None }]).await.unwrap();
    put(&store, &recorded("waiting")).await;
    let dead = attempted(&recorded("dead"), AttemptBy::First, Duration::ZERO, [refused(), delivered()]);
    put(&store, &recorded("dead")).await;
    assert_eq!(store.settle(&dead).await, Ok(SettleOutcome::Written));
    put(&store, &recorded("done")).await;
    let done = attempted(&recorded("done"), AttemptBy::First, Duration::ZERO, [delivered(), delivered()]);
    assert_eq!(store.settle(&done).await, Ok(SettleOutcome::Written));
    put(&store, &received("ignored", "CLOSED")).await;

    let keys = async |filters: &str| {
        let mut keys: Vec<_> = all(&store, filters).await.into_iter().map(|event| event.pk).collect();
        keys.sort();
        keys
    };
    assert_eq!(keys("").await, ["rail#dead", "rail#waiting"]);
    assert_eq!(keys("--state dead").await, ["rail#dead"]);
    assert_eq!(keys("--state dead --error refused").await, ["rail#dead"]);
    assert_eq!(keys("--state dead --error server_error").await, [""; 0]);
    assert_eq!(keys("--provider rillis").await, [""; 0]);
    assert_eq!(keys("--since 2h").await, [""; 0]);
    assert_eq!(dynamodb.count("Scan"), 0);
    assert_eq!(keys("--state delivered").await, ["rail#done"]);
    assert_eq!(keys("--state ignored --type CLO*").await, ["rail#ignored"]);
    let every = "--state pending --state dead --state delivered --state ignored";
    assert_eq!(keys(every).await, ["rail#dead", "rail#done", "rail#ignored", "rail#waiting"]);
    assert!(dynamodb.count("Scan") > 0);
}

#[tokio::test]
async fn an_item_that_does_not_read_is_left_out_and_told_and_the_others_are_listed() {
    let (dynamodb, store) = store().await;
    put(&store, &recorded("sound")).await;
    let odd = serde_json::json!({
        "pk": { "S": "rail#odd" }, "due": { "S": "dead" }, "next_attempt_at": { "N": "1" }, "state": { "S": "gone" },
        "received_at": { "N": "1" },
    });
    dynamodb.put_raw(EVENTS_TABLE, &odd).unwrap();

    let filter = resolved("");
    let mut selection = Selection::new(&store, &filter);
    assert_eq!(selection.next().await.unwrap().len(), 1);
    assert_eq!(selection.next().await.unwrap(), []);
    let told: Vec<_> = selection.unreadable.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["item `rail#odd`: attribute `state` is missing or malformed"]);
}

#[tokio::test]
async fn what_is_listed_in_json_has_a_line_an_event() {
    let (_dynamodb, store) = store().await;
    put(&store, &recorded("evt_1")).await;
    let dead = attempted(&recorded("evt_1"), AttemptBy::First, Duration::ZERO, [refused(), delivered()]);
    store.settle(&dead).await.unwrap();

    let mut out = Vec::new();
    write_json(&mut out, &all(&store, "").await, NOW).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert_eq!(text.lines().count(), 1);
    let line: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(line["pk"], "rail#evt_1");
    assert_eq!(line["died_at"], "2025-02-05T16:37:51.000Z");
    assert_eq!(line["last_error"], "refused 422");
    assert_eq!(line["deliveries"]["deposit"]["state"], "dead");
    assert_eq!(line["deliveries"]["first-deposit"]["state"], "delivered");
}

#[tokio::test]
async fn an_event_is_shown_as_the_table_has_it() {
    let (_dynamodb, store) = store().await;
    put(&store, &recorded("evt_1")).await;
    let after = attempted(&recorded("evt_1"), AttemptBy::First, Duration::from_millis(8), [down(), delivered()]);
    store.settle(&after).await.unwrap();
    let read = store.read("rail#evt_1").await.unwrap().unwrap();
    assert_eq!(read.deliveries["first-deposit"].state, DispatchState::Delivered);
    assert_eq!(
        read.history,
        [Attempt {
            at: UnixMillis(read.received_at.0 + 8),
            by: AttemptBy::First,
            outcome: "server_error".to_owned(),
            http_status: Some(503),
            ms: 512,
        }]
    );
    let text = shown(&read, &Pauses::default(), false);
    assert!(
        text.contains("2025-02-05T16:37:51.050Z  attempt of the receiving function: server_error, HTTP 503, 512 ms\n")
    );
}

#[tokio::test]
async fn summaries_keep_the_order_asked_for_and_leave_out_what_is_not_there() {
    let (_dynamodb, store) = store().await;
    let mut asked = Vec::new();
    for n in (0..230).rev() {
        put(&store, &recorded(&format!("evt_{n}"))).await;
        asked.push(format!("rail#evt_{n}"));
    }
    asked.insert(1, "rail#absent".to_owned());
    let found = store.summaries(&asked).await.unwrap();
    let found: Vec<_> = found.into_iter().map(|event| event.unwrap().pk).collect();
    asked.remove(1);
    assert_eq!(found, asked);
}

#[test]
fn an_event_is_in_hand_while_an_attempt_has_a_lease_and_no_outcome() {
    let mut event = EventSummary::from(&recorded("evt_1"));
    event.next_attempt_at = Some(NOW.seconds().plus(1));
    assert!(event.is_in_hand(NOW));
    event.next_attempt_at = Some(NOW.seconds());
    assert!(!event.is_in_hand(NOW));
    let planned = attempted(&recorded("evt_1"), AttemptBy::First, Duration::from_hours(3), [down(), down()]);
    assert!(planned.next_attempt_at > Some(NOW.seconds()));
    assert!(!EventSummary::from(&planned).is_in_hand(NOW));
    assert!(EventSummary::from(&planned.take_over(NOW)).is_in_hand(NOW));
}
