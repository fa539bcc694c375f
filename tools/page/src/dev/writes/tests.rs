use std::sync::Arc;

use local::dynamodb::DynamoDb;
use operator::Place;
use operator::network::http;
use tokio::time::Instant;

use super::*;
use crate::console::tests::dev_file_of;
use crate::tests::load::{from_ms, item, key_of};

const BOUND: Duration = Duration::from_secs(60);

async fn until(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < BOUND, "not within {BOUND:?}: {what}");
        sleep(Duration::from_millis(2)).await;
    }
}

/// On one thread: nobody reads while a test writes.
async fn followed(dynamodb: &DynamoDb) -> Arc<Board> {
    let board = Arc::new(Board::new(true, Clock::system().now()));
    let store = Place::local(&dev_file_of(dynamodb), http().unwrap()).events().unwrap();
    let (writes, following) = (dynamodb.subscribe_to_writes(), Arc::clone(&board));
    tokio::spawn(async move { follow(&store, &following, writes).await });
    board
}

fn put(dynamodb: &DynamoDb, events: impl Iterator<Item = usize>, state: EventState, from_ms: u64) {
    let items: Vec<_> = events.map(|n| item(n, state, from_ms)).collect();
    dynamodb.put_raw_all(EVENTS_TABLE, &items).unwrap();
}

fn lists(board: &Board, n: usize, state: EventState) -> bool {
    board.listed(&key_of(n)).is_some_and(|listed| listed.event.state == state)
}

#[tokio::test]
async fn whoever_is_too_far_behind_reads_the_table_anew() {
    let dynamodb = DynamoDb::start(None).await.unwrap();
    let from_ms = from_ms();
    put(&dynamodb, 0..1, EventState::Pending, from_ms);
    let board = followed(&dynamodb).await;
    until("the first event is listed", || lists(&board, 0, EventState::Pending)).await;
    dynamodb.reset_calls();
    put(&dynamodb, 0..5_000, EventState::Delivered, from_ms);
    until("all are listed", || (0..5_000).all(|n| lists(&board, n, EventState::Delivered))).await;
    assert!(dynamodb.count("Scan") > 0);
}

#[tokio::test]
async fn of_a_long_table_what_waits_is_listed_however_old_it_is_and_how_it_ended_while_nobody_could_read() {
    let dynamodb = DynamoDb::start(None).await.unwrap();
    let from_ms = from_ms();
    put(&dynamodb, 0..2, EventState::Pending, from_ms);
    put(&dynamodb, 2..MAX_ROWS + 100, EventState::Delivered, from_ms);
    let board = followed(&dynamodb).await;
    until("the newest is listed", || lists(&board, MAX_ROWS + 99, EventState::Delivered)).await;
    assert!(lists(&board, 0, EventState::Pending) && lists(&board, 1, EventState::Pending));
    assert!(!board.has_more() && board.listed(&key_of(2)).is_none());

    put(&dynamodb, 0..1, EventState::Delivered, from_ms);
    put(&dynamodb, MAX_ROWS + 100..MAX_ROWS + 5_100, EventState::Delivered, from_ms);
    until("the newest is listed", || lists(&board, MAX_ROWS + 5_099, EventState::Delivered)).await;
    assert!(!lists(&board, 0, EventState::Pending) && lists(&board, 1, EventState::Pending));
}
