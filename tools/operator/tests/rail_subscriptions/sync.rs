//! What `sync` makes of whatever it finds.

use std::collections::BTreeSet;

use local::rail_api::At;
use operator::rail_subscriptions::plan::{Step, plan};
use operator::rail_subscriptions::{Outcome, Progress, RejectedType};
use serde_json::json;

use crate::rail_subscriptions::fixture::{SIGNING, World};

const TYPES: [&str; 3] = ["ACCOUNT_OPEN", "APPLICATION_APPROVED", "TRANSACTION_POSTED"];

#[tokio::test]
async fn what_is_missing_is_created_and_a_second_run_does_nothing() {
    let world = World::needing(&TYPES);
    let mut progress = Vec::new();
    let outcome = world.sync_with(false, |it| progress.push(it.clone())).await.unwrap();
    assert_eq!(outcome, Outcome { done: 3, rejected: Vec::new() });
    world.check_in_step("after the first run");
    let ids = world.ids();
    let expected: Vec<_> = TYPES
        .iter()
        .zip(&ids)
        .map(|(name, id)| Progress::Created { event_type: (*name).to_owned(), id: id.clone() })
        .collect();
    assert_eq!(progress, expected);

    world.rail.reset_records();
    world.secrets.reset_calls();
    assert_eq!(world.sync().await.unwrap(), Outcome::default());
    assert_eq!((world.ids(), world.rail.count(At::ListSubscriptions)), (ids, 2), "two pages, and nothing else");
    assert_eq!(world.secrets.count("PutSecretValue"), 0);
    assert_eq!(world.rail.violations(), []);
}

#[tokio::test]
async fn the_secret_keeps_its_shape_and_remembers_types_and_generations_beside_the_keys() {
    let world = World::needing(&["ACCOUNT_OPEN"]);
    world.sync().await.unwrap();
    let made = world.rail.subscriptions().remove(0);
    let expected = json!({
        "keys": { "somebody's": "whsec_sample_of_somebody", &made.id: made.key },
        "subscriptions": { &made.id: { "event_type": "ACCOUNT_OPEN", "generation": 1 } },
        "generations": { "ACCOUNT_OPEN": 1 },
    });
    assert_eq!(world.secret(), expected);
}

#[tokio::test]
async fn a_placeholder_gives_way_to_the_first_key() {
    let world = World::needing(&["ACCOUNT_OPEN"]);
    world.secrets.put(SIGNING, &json!({ "keys": { "subscription-id": "REPLACE-ME" } })).unwrap();
    world.sync().await.unwrap();
    let made = world.rail.subscriptions().remove(0);
    assert_eq!(world.secret()["keys"], json!({ &made.id: made.key }));
}

#[tokio::test]
async fn a_subscription_made_by_hand_is_taken_over_if_its_key_shows() {
    let world = World::needing(&TYPES);
    let by_hand = world.rail.add_subscription("ACCOUNT_OPEN", "https://example.com:443/webhooks/rail");
    let mut progress = Vec::new();
    world.sync_with(false, |it| progress.push(it.clone())).await.unwrap();
    assert_eq!(progress[0], Progress::KeyCopied { event_type: "ACCOUNT_OPEN".to_owned(), id: by_hand.id.clone() });
    assert_eq!(world.secret()["keys"][&by_hand.id], json!(by_hand.key));
    assert_eq!(world.rail.subscriptions().len(), 3);
}

#[tokio::test]
async fn a_subscription_whose_key_is_not_to_be_had_is_replaced_and_deleted() {
    let world = World::needing(&TYPES);
    world.rail.show_keys_in_list(false);
    let orphan = world.rail.add_subscription("ACCOUNT_OPEN", world.url.as_str());
    let mut progress = Vec::new();
    world.sync_with(false, |it| progress.push(it.clone())).await.unwrap();
    world.check_in_step("an orphan");
    assert_eq!(progress.last(), Some(&Progress::Deleted { event_type: "ACCOUNT_OPEN".to_owned(), id: orphan.id }));
}

#[tokio::test]
async fn a_key_that_was_lost_is_had_again_from_the_saved_answer() {
    let world = World::needing(&TYPES);
    world.rail.show_keys_in_list(false);
    world.sync().await.unwrap();
    let ids = world.ids();
    world.secrets.put(SIGNING, &json!({ "keys": { "somebody's": "whsec_sample_of_somebody" } })).unwrap();
    world.sync().await.unwrap();
    world.check_in_step("with a new secret");
    assert_eq!(world.ids(), ids, "the same subscriptions");
}

#[tokio::test]
async fn a_key_that_is_not_the_one_rail_shows_is_corrected() {
    let world = World::needing(&["ACCOUNT_OPEN"]);
    world.sync().await.unwrap();
    let mut secret = world.secret();
    secret["keys"][&world.ids()[0]] = json!("whsec_sample_mistyped");
    world.secrets.put(SIGNING, &secret).unwrap();
    world.sync().await.unwrap();
    world.check_in_step("corrected");
}

#[tokio::test]
async fn a_saved_answer_of_a_deleted_subscription_makes_a_new_generation() {
    for forgotten in [false, true] {
        let world = World::needing(&TYPES);
        world.rail.show_keys_in_list(false);
        for deleted_by_hand in 0..3 {
            world.sync().await.unwrap();
            world.check_in_step(&format!("{deleted_by_hand} were deleted"));
            world.rail.remove_subscription(&world.ids()[0]);
            if forgotten {
                let keys = world.rail.subscriptions().into_iter().map(|it| (it.id, json!(it.key)));
                let mut keys: serde_json::Map<_, _> = keys.collect();
                keys.insert("somebody's".to_owned(), json!("whsec_sample_of_somebody"));
                world.secrets.put(SIGNING, &json!({ "keys": keys })).unwrap();
            }
        }
        world.sync().await.unwrap();
        world.check_in_step("the last one");
        let generations = world.secret()["generations"].clone();
        println!("{generations}");
        assert_eq!(world.sync().await.unwrap(), Outcome::default());
    }
}

#[tokio::test]
async fn types_that_rail_rejects_are_reported_and_the_others_are_created() {
    let world = World::needing(&["ACCOUNT_OPEN", "DEPOSIT_COMPLETED", "NO_SUCH_TYPE"]);
    world.rail.refuse_event_type("DEPOSIT_COMPLETED");
    let refused = |event_type: &str| RejectedType {
        event_type: event_type.to_owned(),
        status: 400,
        code: Some("INVALID_EVENT_TYPE".to_owned()),
    };
    let outcome = world.sync().await.unwrap();
    assert_eq!(outcome, Outcome { done: 1, rejected: vec![refused("DEPOSIT_COMPLETED"), refused("NO_SUCH_TYPE")] });
    assert_eq!(world.rail.count(At::CreateSubscription), 3, "each is tried once");
    let world = World { required: BTreeSet::from(["ACCOUNT_OPEN".to_owned()]), ..world };
    world.check_in_step("the one that Rail takes");
}

#[tokio::test]
async fn what_is_not_needed_goes_only_when_asked_and_other_urls_never() {
    let world = World::needing(&TYPES);
    world.sync().await.unwrap();
    let by_hand = world.rail.add_subscription("CUSTOMER_ACTIVE", world.url.as_str());
    let elsewhere = world.rail.add_subscription("CUSTOMER_ACTIVE", "https://example.com/elsewhere");
    let world = World { required: TYPES[..2].iter().map(|name| (*name).to_owned()).collect(), ..world };
    assert_eq!(world.sync().await.unwrap(), Outcome::default());
    assert_eq!(world.rail.subscriptions().len(), 5);

    let outcome = world.sync_with(true, |_| {}).await.unwrap();
    assert_eq!(outcome.done, 3, "two subscriptions, and the one key");
    assert!(!world.ids().contains(&by_hand.id));
    world.rail.remove_subscription(&elsewhere.id);
    world.check_in_step("pruned");
    assert_eq!(world.secret()["generations"]["TRANSACTION_POSTED"], 2, "the first answer is of a deleted one");

    let world = World { required: TYPES.iter().map(|name| (*name).to_owned()).collect(), ..world };
    world.rail.reset_records();
    world.sync().await.unwrap();
    world.check_in_step("needed again");
    assert_eq!(world.rail.count(At::CreateSubscription), 1, "in one call");
}

#[tokio::test]
async fn the_last_key_stays_so_that_the_function_starts() {
    let world = World::needing(&["ACCOUNT_OPEN"]);
    world.secrets.put(SIGNING, &json!({ "keys": {} })).unwrap();
    world.sync().await.unwrap();
    let world = World { required: BTreeSet::new(), ..world };
    world.sync_with(true, |_| {}).await.unwrap();
    assert_eq!(world.ids(), [] as [String; 0]);
    assert_eq!(world.secret()["keys"].as_object().unwrap().len(), 1);
    assert_eq!(world.sync_with(true, |_| {}).await.unwrap(), Outcome::default());
}

#[tokio::test]
async fn the_plan_is_what_is_done() {
    let world = World::needing(&TYPES);
    let snapshot = world.open().snapshot().await.unwrap();
    let steps = plan(&snapshot, &world.required, &world.url, true, &BTreeSet::new());
    let expected = TYPES.map(|name| Step::Create {
        event_type: name.to_owned(),
        generation: 1,
        replaces: Vec::new(),
        orphans: Vec::new(),
    });
    assert_eq!(steps, expected);
    world.sync().await.unwrap();
    let snapshot = world.open().snapshot().await.unwrap();
    assert_eq!(plan(&snapshot, &world.required, &world.url, true, &BTreeSet::new()), []);
}
