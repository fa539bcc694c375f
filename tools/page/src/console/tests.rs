//! The console over an embedded table: what is listed, what it costs the table, and what is told.

use std::collections::BTreeSet;

use local::aws::AwsFault;
use local::dynamodb::{CUSTOMERS_TABLE, DynamoDb, EVENTS_TABLE};
use local::faults::When;
use operator::Parts;
use operator::dev_file::DevFile;
use operator::network::http;
use serde_json::{Value, json};
use shared::record::event::EventState;
use shared::record::store::EventStore;
use tokio::time::{Instant, sleep, timeout};

use super::index::{Index, IndexReading, follow};
use super::*;
use crate::board::{ListedEvent, Viewer};
use crate::tests::here::routes;

mod load;
mod page;

const NOW_S: u64 = 1_738_784_271;

/// No test waits longer.
const BOUND: Duration = Duration::from_secs(120);

/// How often these tests' pages look.
const OFTEN: Duration = Duration::from_millis(10);

/// A deployed bridge, as far as a console sees it, and a board over it.
struct World {
    dynamodb: DynamoDb,
    place: Arc<Place>,
    store: EventStore,
    board: Arc<Board>,
    following: JoinSet<()>,
}

async fn world() -> World {
    let dynamodb = DynamoDb::start(None).await.unwrap();
    let place = Arc::new(Place::local(&dev_file_of(&dynamodb), http().unwrap()));
    let store = place.events().unwrap();
    let board = Arc::new(Board::new(false, Clock::system().now()));
    World { dynamodb, place, store, board, following: JoinSet::new() }
}

pub(crate) fn dev_file_of(dynamodb: &DynamoDb) -> DevFile {
    let nowhere = "http://127.0.0.1:9".to_owned();
    DevFile {
        gateway_url: nowhere.clone(),
        dynamodb_url: dynamodb.url(),
        secrets_manager_url: nowhere.clone(),
        returning_ai_url: nowhere.clone(),
        rail_api_url: nowhere,
        webhook_port_url: None,
        real_secrets: BTreeSet::new(),
        parts: Parts {
            events_table: Some(EVENTS_TABLE.to_owned()),
            customers_table: Some(CUSTOMERS_TABLE.to_owned()),
            redrive_function: Some("redrive".to_owned()),
            ..Parts::default()
        },
        pid: std::process::id(),
    }
}

impl World {
    /// A board that somebody looks at.
    fn opened(&mut self) -> Viewer {
        let (place, store, board) = (Arc::clone(&self.place), self.store.clone(), Arc::clone(&self.board));
        self.following.spawn(async move { follow(&place, &store, &board, OFTEN).await });
        self.board.viewer()
    }

    /// Puts an event past the front, so that it is no call of the console's.
    fn put(&self, id: &str, state: EventState, due: Option<&str>, at_s: u64) {
        let mut item = json!({
            "pk": { "S": format!("rail#{id}") }, "event_type": { "S": "POSTED" }, "state": { "S": state.name() },
            "received_at": { "N": "1738784271042" }, "attempts": { "N": "1" }, "deliveries": { "M": {} },
        });
        if let Some(due) = due {
            item["due"] = json!({ "S": due });
            item["next_attempt_at"] = json!({ "N": at_s.to_string() });
        }
        self.dynamodb.put_raw(EVENTS_TABLE, &item).unwrap();
    }

    fn pending(&self, id: &str, shard: u8, at_s: u64) {
        self.put(id, EventState::Pending, Some(&format!("p{shard}")), at_s);
    }

    fn dead(&self, id: &str, at_s: u64) {
        self.put(id, EventState::Dead, Some(&format!("d{}", at_s % 8)), at_s);
    }

    fn done(&self, id: &str) {
        self.put(id, EventState::Delivered, None, 0);
    }

    /// `id state` of all that is listed.
    fn listed(&self) -> Vec<String> {
        let line = |it: &ListedEvent| format!("{} {}", it.event.pk.trim_start_matches("rail#"), it.event.state.name());
        let mut lines: Vec<_> = self.board.all().0.iter().map(line).collect();
        lines.sort();
        lines
    }

    async fn lists(&self, expected: &[&str]) {
        until(|| self.listed() == expected, || format!("{expected:?} expected, {:?} listed", self.listed())).await;
    }

    fn stats(&self) -> Value {
        serde_json::to_value(self.board.stats(Clock::system().now())).unwrap()
    }

    async fn tells(&self, trouble: Option<&str>) {
        let told = || self.stats()["trouble"].as_str().map(str::to_owned);
        until(|| told().as_deref() == trouble, || format!("{trouble:?} expected, {:?} told", told())).await;
    }

    #[track_caller]
    fn has_only_read(&self) {
        let calls: BTreeSet<String> = self.dynamodb.calls().into_iter().collect();
        let reads = ["BatchGetItem", "GetItem", "Query"];
        assert!(calls.iter().all(|call| reads.contains(&call.as_str())), "{calls:?}");
    }
}

async fn until(holds: impl Fn() -> bool, otherwise: impl Fn() -> String) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < BOUND, "{}", otherwise());
        sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn what_waits_and_what_is_dead_is_listed_and_then_how_it_ended() {
    let mut world = world().await;
    world.pending("waits", 0, NOW_S + 60);
    world.pending("waits_too", 7, NOW_S + 3_600);
    world.dead("died", NOW_S - 60);
    world.done("done_before");
    let _viewer = world.opened();
    world.lists(&["died dead", "waits pending", "waits_too pending"]).await;

    world.done("waits");
    world.pending("died", 3, NOW_S + 60);
    world.dead("waits_too", NOW_S);
    world.pending("new", 5, NOW_S + 60);
    world.lists(&["died pending", "new pending", "waits delivered", "waits_too dead"]).await;
    assert_eq!(world.stats()["minutes"][0][1], 1, "{}", world.stats());
    assert!(!world.board.has_more());
    world.has_only_read();
}

#[tokio::test]
async fn an_event_is_looked_up_again_only_when_its_next_attempt_changes() {
    let mut world = world().await;
    world.pending("evt", 0, NOW_S);
    let _viewer = world.opened();
    world.lists(&["evt pending"]).await;
    world.dynamodb.reset_calls();
    let looks = |n: usize| move |calls: &[String]| calls.iter().filter(|call| *call == "Query").count() >= 9 * n;
    world.dynamodb.wait_for_calls(looks(5), BOUND).await.unwrap();
    assert_eq!(world.dynamodb.count("BatchGetItem"), 0);

    world.pending("evt", 0, NOW_S + 60);
    let next = || world.board.listed("rail#evt").and_then(|it| it.event.next_attempt_at).map(|at| at.0);
    until(|| next() == Some(NOW_S + 60), || format!("{:?}", next())).await;
    world.dynamodb.wait_for_calls(looks(20), BOUND).await.unwrap();
    assert_eq!(world.dynamodb.count("BatchGetItem"), 1);
}

#[tokio::test]
async fn nothing_is_read_while_nobody_looks() {
    let mut world = world().await;
    world.pending("evt", 0, NOW_S);
    drop(world.opened());
    let any = |calls: &[String]| !calls.is_empty();
    let unread = Duration::from_millis(200);
    assert!(world.dynamodb.wait_for_calls(any, unread).await.is_err(), "{:?}", world.dynamodb.calls());

    let viewer = world.board.viewer();
    world.lists(&["evt pending"]).await;
    drop(viewer);
    // The look under way is finished.
    loop {
        world.dynamodb.reset_calls();
        if world.dynamodb.wait_for_calls(any, unread).await.is_err() {
            break;
        }
    }
    world.done("evt");
    let _viewer = world.board.viewer();
    world.lists(&["evt delivered"]).await;
}

#[tokio::test]
async fn a_table_that_cannot_be_read_is_told_with_what_helps_until_it_can() {
    let mut world = world().await;
    world.pending("evt", 0, NOW_S);
    let _viewer = world.opened();
    world.lists(&["evt pending"]).await;
    world.tells(None).await;

    world.dynamodb.inject(Some("Query"), AwsFault::Throttle, When::UntilCleared);
    let told = "table `events` cannot be used: ProvisionedThroughputExceededException. \
                Hint: check that `bridge dev` is running: it holds the table";
    world.tells(Some(told)).await;
    world.done("evt");
    assert_eq!(world.listed(), ["evt pending"]);

    world.dynamodb.clear_faults();
    world.lists(&["evt delivered"]).await;
    world.tells(None).await;
    world.has_only_read();
}

#[tokio::test]
async fn look_ups_that_fail_are_made_again() {
    let mut world = world().await;
    world.dynamodb.inject(Some("BatchGetItem"), AwsFault::InternalError, When::UntilCleared);
    world.pending("evt", 0, NOW_S);
    let _viewer = world.opened();
    let is_told = || world.stats()["trouble"].as_str().is_some_and(|it| it.contains("InternalServerError"));
    until(is_told, || world.stats().to_string()).await;
    assert_eq!(world.listed(), [""; 0]);
    world.dynamodb.clear_faults();
    world.lists(&["evt pending"]).await;
    world.tells(None).await;
}

#[tokio::test]
async fn an_item_that_does_not_read_is_told_as_long_as_it_is_there() {
    let mut world = world().await;
    world.dead("sound", NOW_S);
    let odd = json!({ "pk": { "S": "rail#odd" }, "due": { "S": "d0" }, "next_attempt_at": { "N": "1" } });
    world.dynamodb.put_raw(EVENTS_TABLE, &odd).unwrap();
    let _viewer = world.opened();
    let hint = "Hint: another program wrote or changed it; inspect it in the DynamoDB console";
    world.tells(Some(&format!("item `rail#odd`: attribute `received_at` is missing or malformed. {hint}"))).await;
    assert_eq!(world.listed(), ["sound dead"]);
    world.dead("odd", NOW_S);
    world.lists(&["odd dead", "sound dead"]).await;
    world.tells(None).await;
}

#[tokio::test]
async fn of_more_than_fit_those_that_died_last_and_those_tried_next_are_listed() {
    let world = world().await;
    let (dead, pending) = (MAX_ROWS as u64, 400);
    for n in 0..dead {
        world.dead(&format!("dead_{n}"), NOW_S + n);
    }
    for n in 0..pending {
        world.pending(&format!("pending_{n}"), u8::try_from(n % 8).unwrap(), NOW_S + n);
    }
    let mut index = Index::default();
    index.look(&world.store, &world.board).await.unwrap();
    let stats = world.stats();
    assert_eq!(
        (&stats["pending"], &stats["dead"], &stats["atLeast"]),
        (&json!(pending), &json!(dead - pending), &json!(true))
    );
    let is_listed = |id: &str| world.board.listed(&format!("rail#{id}")).is_some();
    assert!(is_listed("dead_9999") && is_listed("dead_400") && !is_listed("dead_399"));

    // What has no room is not looked up again and again,
    world.dynamodb.reset_calls();
    index.look(&world.store, &world.board).await.unwrap();
    assert_eq!(world.dynamodb.count("BatchGetItem"), 0);
    // but when something happens to it, and when there is room.
    world.pending("dead_7", 1, NOW_S);
    for n in 0..100 {
        world.done(&format!("pending_{n}"));
    }
    index.look(&world.store, &world.board).await.unwrap();
    assert!(is_listed("dead_7"));
    index.look(&world.store, &world.board).await.unwrap();
    assert!(is_listed("dead_399"));
    assert_eq!(world.stats()["dead"], dead - pending + 99);
    world.has_only_read();
}

#[tokio::test]
async fn what_is_out_of_sight_in_a_long_index_is_looked_up_in_turn() {
    let world = world().await;
    let ids: Vec<String> = (0..250).map(|n| format!("evt_{n:03}")).collect();
    let keys = ids.iter().map(|id| {
        world.pending(id, 0, NOW_S);
        (format!("rail#{id}"), shared::clock::UnixSeconds(NOW_S))
    });
    let seen = IndexReading { keys: keys.collect(), more: true };
    let others = IndexReading { keys: Vec::new(), more: true };
    let mut index = Index::default();
    let store = &world.store;
    index.take(store, &world.board, &seen).await.unwrap();
    // Nobody knows by now whether they have ended, or have gone to where the index is not read.
    index.take(store, &world.board, &others).await.unwrap();
    assert_eq!(world.board.open_keys().len(), 250);
    for id in &ids {
        world.done(id);
    }
    for left in [150, 50, 0] {
        index.take(store, &world.board, &others).await.unwrap();
        assert_eq!(world.board.open_keys().len(), left);
    }
    assert!(world.board.has_more());
}

#[tokio::test]
async fn the_page_is_served_to_whoever_has_the_token_and_lists_what_waits() {
    let world = world().await;
    world.pending("evt", 0, NOW_S);
    let serving = served(dev_file_of(&world.dynamodb)).await.unwrap();
    let http = http().unwrap();
    let http = http.client();
    let refused = http.get(serving.front.url()).send().await.unwrap();
    assert_eq!(refused.status(), 403);
    assert_eq!(http.get(serving.url()).send().await.unwrap().status(), 200);

    let live = format!("{}/api/live?token={}", serving.front.url(), serving.page.guard.token());
    let mut stream = http.get(&live).send().await.unwrap();
    let mut said = String::new();
    while !said.contains(r#"[{"pk":"rail#evt""#) {
        let piece = timeout(BOUND, stream.chunk()).await.unwrap().unwrap().unwrap();
        said.push_str(&String::from_utf8_lossy(&piece));
    }
    let hello = said.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
    let hello: Value = serde_json::from_str(hello).unwrap();
    assert_eq!((&hello["mode"], &hello["redrive"]), (&json!("console"), &Value::Null));
    assert_eq!(hello["limits"].as_array().unwrap().len(), limits(true).len());
    assert!(said.contains(r#""acks":null"#));
    drop(stream);
    until(|| !serving.page.board.is_viewed(), || "somebody still looks".to_owned()).await;
    world.has_only_read();
}

#[tokio::test]
async fn what_stands_in_the_way_is_told_before_anybody_is_served() {
    let world = world().await;
    let told = async |dev| served(dev).await.err().map(|failure| failure.problem().to_owned());
    let dev = dev_file_of(&world.dynamodb);
    let missing = |name: &str| Some(format!("table `{name}` cannot be used: ResourceNotFoundException"));
    let named = |events: &str, customers: &str| {
        let (events_table, customers_table) = (Some(events.to_owned()), Some(customers.to_owned()));
        DevFile { parts: Parts { events_table, customers_table, ..dev.parts.clone() }, ..dev.clone() }
    };
    assert_eq!(told(named("absent", CUSTOMERS_TABLE)).await, missing("absent"));
    assert_eq!(told(named(EVENTS_TABLE, "nobody")).await, missing("nobody"));
    let other_keys = told(named(CUSTOMERS_TABLE, CUSTOMERS_TABLE)).await;
    assert_eq!(other_keys.as_deref(), Some("table `customers` cannot be used: ValidationException"));

    let first = served(dev.clone()).await.unwrap();
    let taken = first.front.addr().port();
    let second = served_at(dev, taken).await.err().map(|failure| failure.hint().to_owned());
    assert_eq!(
        second.as_deref(),
        Some("check whether another `bridge console` is running; `--port 0` takes any free port")
    );
    drop(first);
}

async fn served(dev: DevFile) -> Result<PageServer, OperatorError> {
    served_at(dev, 0).await
}

async fn served_at(dev: DevFile, port: u16) -> Result<PageServer, OperatorError> {
    serve_polling(Place::local(&dev, http()?), routes(), port, OFTEN).await
}

#[tokio::test]
async fn without_a_function_the_page_says_why_nothing_can_be_redriven() {
    let world = world().await;
    let mut dev = dev_file_of(&world.dynamodb);
    dev.parts.redrive_function = None;
    let serving = served(dev).await.unwrap();
    let http = http().unwrap();
    let started = http
        .client()
        .post(format!("{}/api/redrive/start", serving.front.url()))
        .header("x-bridge-token", serving.page.guard.token())
        .header("content-type", "application/json")
        .body(r#"{"plan":"any","rate":10}"#);
    let answer = started.send().await.unwrap();
    assert_eq!(answer.status(), 409);
    let said: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    assert_eq!(said["problem"], "Missing `--function`: the name of the redrive function");
    world.has_only_read();
}
