//! The page over ten thousand events of a table that has to be asked for each, and viewers who do not read.

use std::ops::Range;

use axum::body::BodyDataStream;
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::Request;
use shared::clock::UnixMillis;
use shared::record::store::listing::EventSummary;

use super::*;
use crate::tests::browser::Browser;
use crate::tests::load::{FEW, TRIES, WATCH, compare, first_view, from_ms, item, put, tell};

#[tokio::test(flavor = "multi_thread")]
async fn the_first_of_ten_thousand_events_are_seen_at_once() {
    let Some(browser) = Browser::start().await else { return };
    let world = world().await;
    let from_ms = from_ms();
    let state = |n: usize| if n.is_multiple_of(10) { EventState::Dead } else { EventState::Pending };
    let events = |some: Range<usize>| some.map(|n| item(n, state(n), from_ms)).collect::<Vec<_>>();
    browser.at_the_start_of_each_page(WATCH).await;
    put(&world.dynamodb, &events(0..FEW));
    let few = views(&browser, &world.dynamodb).await;
    put(&world.dynamodb, &events(FEW..MAX_ROWS));
    let many = views(&browser, &world.dynamodb).await;
    tell(&compare("console", &few, &many));
    browser.close().await;
}

/// How long the first view took, of pages that have yet to read the table.
async fn views(browser: &Browser, dynamodb: &DynamoDb) -> Vec<f64> {
    let mut views = Vec::new();
    for _ in 0..TRIES {
        let place = Place::local(&dev_file_of(dynamodb), http().unwrap());
        let serving = serve(place, routes(), 0).await.unwrap();
        views.push(first_view(browser, &serving.url()).await);
        browser.open("about:blank").await;
    }
    views
}

/// What a viewer is sent.
struct ViewerStream {
    pieces: BodyDataStream,
    /// How many rows.
    rows: usize,
}

impl ViewerStream {
    async fn of(serving: &PageServer) -> Self {
        let host = format!("127.0.0.1:{}", serving.front.addr().port());
        let live = format!("/api/live?token={}", serving.page.guard.token());
        let request = Request::get(live).header("host", host).body(Bytes::new()).unwrap();
        let Answer::Stream(answer) = Answer::of(&router(&serving.page), request).await else { panic!("no stream") };
        Self { pieces: answer.into_body().into_data_stream(), rows: 0 }
    }

    /// Reads until a row says so many attempts.
    async fn until_attempts(&mut self, attempts: u32) {
        loop {
            let piece = timeout(BOUND, self.pieces.next()).await.unwrap().unwrap().unwrap();
            let piece = String::from_utf8_lossy(&piece).into_owned();
            let Some(rows) = piece.strip_prefix("event: rows\ndata: ") else { continue };
            let rows: Vec<Value> = serde_json::from_str(rows).unwrap();
            self.rows += rows.len();
            if rows.iter().any(|row| row["attempts"] == attempts) {
                return;
            }
        }
    }
}

#[tokio::test]
async fn a_viewer_who_does_not_read_hinders_nobody_and_is_told_of_what_is_so_in_the_end_alone() {
    const ROWS: usize = 2_000;
    const CHANGES: u32 = 10;
    let world = world().await;
    let serving = served(dev_file_of(&world.dynamodb)).await.unwrap();
    let change = |attempts: u32| {
        for n in 0..ROWS {
            let event = EventSummary {
                pk: format!("rail#evt_{n}"),
                event_type: None,
                received_at: UnixMillis(NOW_S * 1_000),
                state: EventState::Delivered,
                attempts,
                next_attempt_at: None,
                last_error: None,
                deliveries: [].into(),
                outcomes: 1,
            };
            serving.page.board.put(event, Clock::system().now());
        }
    };
    change(1);
    let (mut slow, mut other) = (ViewerStream::of(&serving).await, ViewerStream::of(&serving).await);
    for attempts in 1..=CHANGES {
        change(attempts);
        other.until_attempts(attempts).await;
    }
    // Some messages waited for it, and the others were never made.
    slow.until_attempts(CHANGES).await;
    assert!(slow.rows < 4 * ROWS, "{} rows", slow.rows);
    drop((slow, other));
    until(|| !serving.page.board.is_viewed(), || "somebody still looks".to_owned()).await;
}
