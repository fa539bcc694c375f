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

/// How often the server was asked for, over which connections.
async fn connections(server: &Loopback, calls: usize) -> (Vec<bool>, Vec<usize>) {
    let client = dynamodb(&server.aws(), &Http::new().unwrap());
    let mut succeeded = Vec::new();
    for _ in 0..calls {
        let update = client.update_item().table_name("events");
        succeeded.push(update.key("pk", AttributeValue::S("rail#evt_1".to_owned())).send().await.is_ok());
    }
    (succeeded, server.asked().iter().map(|asked| asked.connection).collect())
}

#[tokio::test]
async fn connections_to_aws_are_kept_and_used_again() {
    let server = Loopback::start(|_, _| Reply::json(200, "{}"));
    assert_eq!(connections(&server, 3).await, (vec![true; 3], vec![0, 0, 0]));
}

#[tokio::test]
async fn a_call_whose_connection_dies_before_the_answer_is_sent_once_more_and_that_is_no_attempt() {
    // The second call comes over the connection that was kept, which ends under it; every later one is refused at once.
    let server = Loopback::start(|earlier, _| if earlier == 1 { Reply::HangUp } else { Reply::json(200, "{}") });
    assert_eq!(connections(&server, 2).await, (vec![true; 2], vec![0, 0, 1]));
    let asked = server.asked();
    let attempts: Vec<_> = asked.iter().map(|asked| asked.header("amz-sdk-request")).collect();
    assert_eq!(attempts, [Some("attempt=1; max=3"); 3]);
    assert_eq!((&asked[1].body, &asked[1].headers), (&asked[2].body, &asked[2].headers));
}

#[tokio::test]
async fn each_of_three_attempts_is_sent_twice_where_connections_die() {
    let server = Loopback::start(|_, _| Reply::HangUp);
    assert_eq!(connections(&server, 1).await, (vec![false], vec![0, 1, 2, 3, 4, 5]));
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_another_attempt() {
    let server = Loopback::start(|earlier, _| if earlier == 0 { Reply::BreakOff } else { Reply::json(200, "{}") });
    let (succeeded, over) = connections(&server, 1).await;
    assert_eq!((succeeded, over.len()), (vec![true], 2));
    assert_eq!(server.asked()[1].header("amz-sdk-request"), Some("attempt=2; max=3"));
}

#[tokio::test]
async fn a_call_that_finds_nobody_or_hangs_may_pass() {
    for (server, reason) in [(Loopback::nobody(), "no connection"), (Loopback::start(|_, _| Reply::Silence), NO_ANSWER)]
    {
        let client = dynamodb(&server.aws(), &Http::new().unwrap());
        let update = client.update_item().table_name("events");
        let error = update.key("pk", AttributeValue::S("rail#evt_1".to_owned())).send().await.unwrap_err();
        assert_eq!((sdk_reason(&error).as_str(), may_pass(&error)), (reason, true));
        assert_eq!(server.asked().len(), if reason == NO_ANSWER { 3 } else { 0 });
    }
}
