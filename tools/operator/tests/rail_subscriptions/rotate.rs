//! Rotation, from the first new key to the last old one.

use std::time::Duration;

use local::rail_api::At;
use operator::rail_subscriptions::{Error, Outcome, Progress, Rotation};
use serde_json::json;

use crate::rail_subscriptions::fixture::{SIGNING, World};

const TYPES: [&str; 3] = ["ACCOUNT_OPEN", "APPLICATION_APPROVED", "TRANSACTION_POSTED"];

#[tokio::test]
async fn every_subscription_and_key_is_replaced_once() {
    let world = World::needing(&TYPES);
    world.rail.show_keys_in_list(false);
    world.sync().await.unwrap();
    let before = world.ids();
    let mut progress = Vec::new();
    let pause = Duration::ZERO;
    let rotation =
        Rotation { required: &world.required, callback_url: &world.url, only: None, pace: Duration::ZERO, pause };
    world.open().rotate(&rotation, |it| progress.push(it.clone())).await.unwrap();
    world.check_in_step("rotated");
    assert!(world.ids().iter().all(|id| !before.contains(id)));
    let created = |progress: &Progress| matches!(progress, Progress::Created { .. });
    let deleted = |progress: &Progress| matches!(progress, Progress::Deleted { .. });
    assert_eq!(progress[0], Progress::RotationStarted(3));
    assert!(progress[1..4].iter().all(created), "{progress:?}");
    assert_eq!(progress[4], Progress::WaitingToDelete { old: 3, pause });
    assert!(progress[5..8].iter().all(deleted), "{progress:?}");
    assert_eq!(progress[8..], [Progress::WaitingToRemoveKeys { keys: 3, pause }, Progress::KeysRemoved(3)]);
    assert_eq!(
        world.secret()["generations"],
        json!(TYPES.map(|name| (name, 2)).into_iter().collect::<std::collections::BTreeMap<_, _>>())
    );
}

#[tokio::test]
async fn one_type_alone_can_be_rotated() {
    let world = World::needing(&TYPES);
    world.sync().await.unwrap();
    let before = world.ids();
    world.rotate(Some("APPLICATION_APPROVED")).await.unwrap();
    world.check_in_step("one rotated");
    assert_eq!(world.ids()[..2], [before[0].clone(), before[2].clone()]);
}

#[tokio::test]
async fn subscriptions_made_by_hand_are_rotated_like_others() {
    for shown in [true, false] {
        let world = World::needing(&["ACCOUNT_OPEN"]);
        world.rail.show_keys_in_list(shown);
        let by_hand = world.rail.add_subscription("ACCOUNT_OPEN", world.url.as_str());
        let twin = world.rail.add_subscription("ACCOUNT_OPEN", world.url.as_str());
        let keys = json!({ "somebody's": "whsec_sample_of_somebody", &by_hand.id: by_hand.key, &twin.id: twin.key });
        world.secrets.put(SIGNING, &json!({ "keys": keys })).unwrap();
        assert_eq!(world.sync().await.unwrap(), Outcome::default(), "both are in step");
        world.rotate(None).await.unwrap();
        world.check_in_step("rotated");
    }
}

#[tokio::test]
async fn a_type_that_is_not_in_step_cannot_be_rotated_and_does_not_stop_the_others() {
    let world = World::needing(&TYPES);
    assert_eq!(
        world.rotate(Some("ACCOUNT_OPEN")).await.unwrap_err(),
        Error::NotInStep(vec!["ACCOUNT_OPEN".to_owned()])
    );
    assert_eq!(world.rotate(None).await.unwrap_err(), Error::NotInStep(TYPES.map(str::to_owned).into()));
    world.rail.refuse_event_type("ACCOUNT_OPEN");
    world.sync().await.unwrap();
    assert_eq!(world.rotate(None).await.unwrap().rejected, []);
    let required = TYPES[1..].iter().map(|name| (*name).to_owned()).collect();
    World { required, ..world }.check_in_step("the others");
}

#[tokio::test]
async fn a_rotation_that_rail_refuses_leaves_the_old_subscription_and_its_key() {
    let world = World::needing(&TYPES);
    world.sync().await.unwrap();
    world.rail.refuse_duplicate_subscriptions(true);
    let before = world.ids();
    let outcome = world.rotate(None).await.unwrap();
    assert_eq!(outcome.rejected.len(), 3);
    assert_eq!(outcome.rejected[0].code.as_deref(), Some("DUPLICATE_SUBSCRIPTION"));
    assert_eq!(world.ids(), before);
    world.check_in_step("as it was");
    world.rail.refuse_duplicate_subscriptions(false);
    world.rotate(None).await.unwrap();
    world.check_in_step("rotated after all");
    assert!(world.ids().iter().all(|id| !before.contains(id)));
}

#[tokio::test]
async fn an_old_subscription_stays_when_the_new_one_is_deleted_meanwhile() {
    let world = World::needing(&["ACCOUNT_OPEN"]);
    world.sync().await.unwrap();
    let old = world.ids();
    let pause = Duration::ZERO;
    let rotation =
        Rotation { required: &world.required, callback_url: &world.url, only: None, pace: Duration::ZERO, pause };
    let spoil = |progress: &Progress| {
        if let Progress::WaitingToDelete { .. } = progress {
            world.rail.remove_subscription(&world.ids()[1]);
        }
    };
    world.open().rotate(&rotation, spoil).await.unwrap();
    assert_eq!(world.ids(), old, "better the old one than none");
    world.rotate(None).await.unwrap();
    world.check_in_step("at the second try");
}

#[tokio::test]
async fn a_rotation_writes_the_secret_once_for_each_key_and_twice_besides() {
    let world = World::needing(&TYPES);
    world.sync().await.unwrap();
    world.secrets.reset_calls();
    world.rail.reset_records();
    world.rotate(None).await.unwrap();
    assert_eq!(world.secrets.count("PutSecretValue"), TYPES.len() + 2);
    assert_eq!((world.rail.count(At::CreateSubscription), world.rail.count(At::DeleteSubscription)), (3, 3));
}
