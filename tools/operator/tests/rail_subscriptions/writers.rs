//! Two writers of one secret: neither undoes the other's work.

use futures_util::future::join_all;
use local::aws::AwsFault;
use local::faults::When;
use local::rail_api::At;
use operator::rail_subscriptions::{Change, Error, Outcome};
use serde_json::{Value, json};
use shared::outside::secrets::SecretError;

use crate::rail_subscriptions::fixture::{SIGNING, World};

const ADDING: Change = Change::Remove { ids: Vec::new(), generations: Vec::new() };

/// Something that can be told apart from what others write.
fn next_generation(event_type: &str, generation: u32) -> Change {
    Change::Remove { ids: Vec::new(), generations: vec![(event_type.to_owned(), generation)] }
}

#[tokio::test]
async fn what_somebody_writes_between_reading_and_writing_is_carried_over() {
    let world = World::needing(&[]);
    let before = json!({ "keys": { "a": "1", "b": "2", "c": "3" }, "note": "x", "owner": { "team": "payments" } });
    world.secrets.put(SIGNING, &before).unwrap();
    let theirs = json!({ "keys": { "a": "1", "b": "4", "d": "5" }, "owner": { "team": "platform", "since": 2026 } });
    let subscriptions = world.open();
    world.secrets.reset_calls();
    // Our first write gets no answer and no effect. Theirs is made before ours is tried again.
    world.secrets.inject(Some("PutSecretValue"), AwsFault::Hang, When::Next(1));
    let change = next_generation("ACCOUNT_OPEN", 3);
    let (changed, ()) = tokio::join!(subscriptions.secret.change(&change), async {
        let was_tried = |calls: &[String]| calls.iter().any(|call| call == "PutSecretValue");
        world.secrets.wait_for_calls(was_tried, crate::rail_subscriptions::fixture::BOUND).await.unwrap();
        world.secrets.put(SIGNING, &theirs).unwrap();
    });
    changed.unwrap();
    let expected = json!({
        "keys": { "a": "1", "b": "4", "d": "5" },
        "owner": { "team": "platform", "since": 2026 },
        "generations": { "ACCOUNT_OPEN": 3 },
    });
    assert_eq!(world.secret(), expected);
}

#[tokio::test]
async fn many_writers_at_once_lose_nothing() {
    let world = World::needing(&[]);
    let names: Vec<String> = (0..4).map(|n| format!("TYPE_{n}")).collect();
    let writers: Vec<_> = names.iter().map(|_| world.open()).collect();
    let changes: Vec<Change> = names.iter().map(|name| next_generation(name, 2)).collect();
    let writes = writers.iter().zip(&changes).map(|(writer, change)| async {
        // A writer that gives up says so, and begins again.
        while let Err(error) = writer.secret.change(change).await {
            assert_eq!(error, Error::Contended { id: SIGNING.to_owned() });
        }
    });
    join_all(writes).await;
    let generations: Vec<(String, Value)> = names.into_iter().map(|name| (name, json!(2))).collect();
    assert_eq!(world.secret()["generations"], Value::Object(generations.into_iter().collect()));
    assert_eq!(world.secret()["keys"], json!({ "somebody's": "whsec_sample_of_somebody" }));
}

/// A run that gives up because others write all the time begins again, as its words say.
async fn until_done(run: impl AsyncFn() -> Result<Outcome, Error>) {
    while let Err(error) = run().await {
        assert_eq!(error, Error::Contended { id: SIGNING.to_owned() });
    }
}

#[tokio::test]
async fn several_people_at_once_create_nothing_twice_and_lose_no_key() {
    for n in 0..6 {
        let world = World::needing(&["ACCOUNT_OPEN", "ACCOUNT_CLOSED", "TRANSACTION_POSTED"]);
        world.rail.show_keys_in_list(n % 2 == 0);
        join_all((0..3).map(|_| until_done(async || world.sync().await))).await;
        world.check_in_step("three syncs");
        let before = world.ids();
        join_all((0..2).map(|_| until_done(async || world.rotate(None).await))).await;
        until_done(async || world.rotate(None).await).await;
        world.check_in_step("two rotations, and one more");
        assert!(world.ids().iter().all(|id| !before.contains(id)));
    }
}

#[tokio::test]
async fn reads_that_lag_behind_writes_lose_no_key() {
    for lag in [1, 2, 5] {
        let world = World::needing(&["ACCOUNT_OPEN", "ACCOUNT_CLOSED"]);
        world.rail.show_keys_in_list(false);
        world.secrets.lag_after_each_put(lag);
        world.sync().await.unwrap();
        world.check_in_step(&format!("synced, {lag} reads lag"));
        assert_eq!(world.rail.count(At::CreateSubscription), 2, "no key was missed and asked for again");
        world.rotate(None).await.unwrap();
        world.check_in_step(&format!("rotated, {lag} reads lag"));
        assert_eq!(world.rail.count(At::CreateSubscription), 4);
    }
}

#[tokio::test]
async fn what_changes_nothing_writes_nothing() {
    let world = World::needing(&[]);
    world.open().secret.change(&ADDING).await.unwrap();
    world.open().secret.change(&next_generation("ACCOUNT_OPEN", 2)).await.unwrap();
    world.secrets.reset_calls();
    world.open().secret.change(&next_generation("ACCOUNT_OPEN", 1)).await.unwrap();
    assert_eq!(world.secrets.count("PutSecretValue"), 0);
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_is_made_once() {
    let world = World::needing(&[]);
    world.secrets.inject(Some("PutSecretValue"), AwsFault::ResetAfter, When::Next(1));
    world.open().secret.change(&next_generation("ACCOUNT_OPEN", 2)).await.unwrap();
    assert_eq!(world.secret()["generations"]["ACCOUNT_OPEN"], 2);
}

#[tokio::test]
async fn a_secret_that_is_not_there_or_not_readable_is_named_and_not_written() {
    let world = World::needing(&["ACCOUNT_OPEN"]);
    for (value, problem) in [
        (json!("hunter2"), "the secret: a JSON object expected"),
        (json!({ "keys": "hunter2" }), "keys: a JSON object expected"),
        (json!({ "keys": {}, "generations": ["hunter2"] }), "generations: a JSON object expected"),
    ] {
        world.secrets.put(SIGNING, &value).unwrap();
        let error = world.sync().await.unwrap_err();
        assert_eq!(error.to_string(), format!("secret `{SIGNING}`: {problem}"));
        assert_eq!(world.secrets.current(SIGNING), Some(value));
    }
    world.secrets.remove(SIGNING).unwrap();
    let reason = "ResourceNotFoundException".to_owned();
    let expected = SecretError::Unreachable { id: SIGNING.to_owned(), reason, may_pass: false };
    assert_eq!(world.sync().await.unwrap_err(), Error::Secret(expected));
    assert_eq!(world.ids(), [] as [String; 0], "nothing is created whose key could not be kept");
}
