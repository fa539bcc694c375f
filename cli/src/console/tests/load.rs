//! The page over ten thousand events that wait or are dead, of a table that has to be asked for each.

use super::*;
use crate::page::tests::browser::Browser;
use crate::page::tests::load::{FIRST_VIEW_MS, TRIES, WATCH, first_view, from_ms, item, put, smallest, tell};

#[tokio::test(flavor = "multi_thread")]
async fn the_first_of_ten_thousand_events_are_seen_at_once() {
    let Some(browser) = Browser::start().await else { return };
    let world = world().await;
    let from_ms = from_ms();
    let state = |n: usize| if n.is_multiple_of(10) { EventState::Dead } else { EventState::Pending };
    put(&world.dynamodb, &(0..MAX_ROWS).map(|n| item(n, state(n), from_ms)).collect::<Vec<_>>());
    browser.at_the_start_of_each_page(WATCH).await;
    let mut views = Vec::new();
    for _ in 0..TRIES {
        // Each has yet to read the table.
        let customers_table = Some(CUSTOMERS_TABLE.to_owned());
        let bridge = Bridge::here(dev_file_of(&world.dynamodb), &Http::new().unwrap());
        let site = Site { bridge, customers_table, function: Ok(None) };
        let serving = site.serve(crate::routes::read(None).unwrap(), 0, indexed::LOOK_EVERY).await.unwrap();
        views.push(first_view(&browser, &serving.url()).await);
    }
    let told: Vec<_> = views.iter().map(|ms| format!("{ms:.0} ms")).collect();
    tell(&format!("console: the first rows of 10,000 in the index after {}", told.join(", ")));
    assert!(smallest(views) < FIRST_VIEW_MS);
    browser.close().await;
}
