use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::future::join_all;

use super::*;
use crate::testing::{Asked, Loopback, Reply};

/// A server that fails while `DOWN`, and after that once.
macro_rules! fails_once_more_after_an_outage {
    () => {{
        static DOWN: AtomicBool = AtomicBool::new(true);
        static LEFT: AtomicUsize = AtomicUsize::new(1);
        let server = Loopback::start(|_, _: &Asked| {
            let fails = DOWN.load(Ordering::SeqCst)
                || LEFT.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
            Reply::json(if fails { 500 } else { 200 }, "{}")
        });
        (server, || DOWN.store(false, Ordering::SeqCst))
    }};
}

#[tokio::test]
async fn after_a_long_outage_every_call_to_a_table_is_still_repeated() {
    let (server, recovers) = fails_once_more_after_an_outage!();
    let client = dynamodb(&server.aws(), &Http::new().unwrap());
    let update = || client.update_item().table_name("events").key("pk", AttributeValue::S("rail#evt_1".to_owned()));
    let during = join_all((0..120).map(|_| update().send())).await;
    assert!(during.iter().all(Result::is_err));
    assert_eq!(server.asked().len(), 120 * 3);
    recovers();
    update().send().await.unwrap();
}

#[tokio::test]
async fn after_a_long_outage_a_secret_is_still_asked_for_again() {
    let (server, recovers) = fails_once_more_after_an_outage!();
    let client = secrets_manager(&server.aws(), &Http::new().unwrap());
    let during = join_all((0..120).map(|_| client.get_secret_value().secret_id("signing").send())).await;
    assert!(during.iter().all(Result::is_err));
    assert_eq!(server.asked().len(), 120 * 3);
    recovers();
    client.get_secret_value().secret_id("signing").send().await.unwrap();
}
