//! Killed at every call, before it takes effect and after, and run again: all ends in step.

use std::future::Future;
use std::time::Duration;

use local::aws::AwsFault;
use local::faults::When;
use local::rail_api::Fault;
use operator::rail_subscriptions::{Outcome, Rotation};
use serde_json::json;

use crate::rail_subscriptions::fixture::{BOUND, SIGNING, World};

/// Where a run is killed: at this call of Rail's or of Secrets Manager's, from 0.
#[derive(Clone, Copy, Debug)]
struct Kill {
    of_rail: bool,
    call: u32,
    after: bool,
}

impl Kill {
    /// Runs `run` until it is killed; `true` if it came to its end first.
    async fn strike(self, world: &World, run: impl Future<Output = Outcome>) -> bool {
        let when = When::OnceAfter(self.call);
        let answered_never = Duration::from_secs(3_600);
        match (self.of_rail, self.after) {
            (true, false) => world.rail.inject(None, Fault::Hang, when),
            (true, true) => world.rail.inject(None, Fault::HangAfter, when),
            (false, false) => world.secrets.inject(None, AwsFault::Hang, when),
            (false, true) => world.secrets.inject(None, AwsFault::Slow(answered_never), when),
        }
        world.rail.reset_records();
        world.secrets.reset_calls();
        let struck = async {
            match self.of_rail {
                true => world.rail.wait_for_calls(|calls| calls.iter().any(|call| call.fault.is_some()), BOUND).await,
                false => world.secrets.wait_for_calls(|calls| calls.len() > self.call as usize, BOUND).await,
            }
        };
        // Whoever is dropped makes no further call: that is what dying looks like from outside.
        let ended = tokio::select! {
            biased;
            struck = struck => { struck.unwrap(); false }
            _ = run => true,
        };
        world.rail.clear_faults();
        world.secrets.clear_faults();
        ended
    }
}

async fn sync(world: &World) -> Outcome {
    world.sync().await.unwrap()
}

async fn prune(world: &World) -> Outcome {
    world.sync_with(true, |_| {}).await.unwrap()
}

async fn rotate(world: &World) -> Outcome {
    world.rotate(None).await.unwrap()
}

/// Kills `run` at every call of a world that `set_up` makes, then has `again` bring it to its end. Says how often.
async fn kill_everywhere(
    set_up: impl AsyncFn() -> World,
    run: impl AsyncFn(&World) -> Outcome,
    again: impl AsyncFn(&World) -> Outcome,
    never: impl Fn(&World, &str),
) -> u32 {
    let mut kills = 0;
    for of_rail in [true, false] {
        for call in 0.. {
            let mut ended = false;
            for after in [false, true] {
                let kill = Kill { of_rail, call, after };
                let world = set_up().await;
                ended = kill.strike(&world, run(&world)).await;
                never(&world, &format!("{kill:?}, dead"));
                if after {
                    // And once more at the same place, if it gets so far, before it may end.
                    kill.strike(&world, run(&world)).await;
                    never(&world, &format!("{kill:?}, dead again"));
                }
                again(&world).await;
                world.check_in_step(&format!("{kill:?}"));
                assert_eq!(again_does_nothing(&world).await, Outcome::default(), "{kill:?}");
                kills += 1;
            }
            if ended {
                break;
            }
        }
    }
    kills
}

async fn again_does_nothing(world: &World) -> Outcome {
    prune(world).await
}

fn nothing(_: &World, _: &str) {}

/// Each type has a subscription whose key is held: its events arrive and are accepted.
fn every_type_is_served(world: &World, what: &str) {
    let secret = world.secret();
    for event_type in &world.required {
        let all = world.rail.subscriptions();
        let mut served =
            all.iter().filter(|it| it.event_type == *event_type && secret["keys"][&it.id] == json!(it.key));
        assert!(served.next().is_some(), "{what}: {event_type}: {secret}");
    }
}

const TYPES: [&str; 3] = ["ACCOUNT_OPEN", "APPLICATION_APPROVED", "TRANSACTION_POSTED"];

/// As after a sync, but for the answers that Rail has saved.
fn in_step(types: &[&str], shown: bool) -> World {
    let world = World::needing(types);
    world.rail.show_keys_in_list(shown);
    let mut secret = world.secret();
    for name in types {
        let made = world.rail.add_subscription(name, world.url.as_str());
        secret["keys"][&made.id] = json!(made.key);
        secret["subscriptions"][&made.id] = json!({ "event_type": name, "generation": 1 });
        secret["generations"][name] = json!(1);
    }
    world.secrets.put(SIGNING, &secret).unwrap();
    world
}

#[tokio::test]
async fn sync_from_nothing() {
    for shown in [true, false] {
        let set_up = async || {
            let world = World::needing(&TYPES[..2]);
            world.rail.show_keys_in_list(shown);
            world
        };
        let kills = kill_everywhere(set_up, sync, sync, nothing).await;
        println!("killed {kills} times");
        assert!(kills >= 28, "{kills}");
    }
}

/// A subscription made by hand, one deleted by hand, a key that was lost, and a secret that remembers nothing of it.
#[tokio::test]
async fn sync_of_what_people_have_left_behind() {
    for shown in [true, false] {
        let set_up = async || {
            let world = World::needing(&TYPES[..2]);
            world.rail.show_keys_in_list(shown);
            world.sync().await.unwrap();
            world.rail.remove_subscription(&world.ids()[0]);
            let somebody = json!({ "somebody's": "whsec_sample_of_somebody" });
            world.secrets.put(SIGNING, &json!({ "keys": somebody })).unwrap();
            world.rail.add_subscription(TYPES[2], world.url.as_str());
            World { required: TYPES.map(str::to_owned).into(), ..world }
        };
        let kills = kill_everywhere(set_up, sync, sync, nothing).await;
        println!("killed {kills} times");
        assert!(kills > 30, "{kills}");
    }
}

#[tokio::test]
async fn prune_of_what_nobody_needs() {
    let set_up = async || {
        let world = in_step(&TYPES, false);
        World { required: TYPES[..1].iter().map(|name| (*name).to_owned()).collect(), ..world }
    };
    let kills = kill_everywhere(set_up, prune, prune, every_type_is_served).await;
    println!("killed {kills} times");
    assert!(kills > 20, "{kills}");
}

#[tokio::test]
async fn delete_of_one() {
    let set_up = async || {
        let world = in_step(&TYPES, false);
        World { required: TYPES[1..].iter().map(|name| (*name).to_owned()).collect(), ..world }
    };
    let delete = async |world: &World| {
        let secret = world.secret();
        let made = secret["subscriptions"].as_object().unwrap();
        // Gone from the secret: then it is gone from Rail, too, and there is nothing left to ask for.
        if let Some((id, _)) = made.iter().find(|(_, made)| made["event_type"] == TYPES[0]) {
            let snapshot = world.open().snapshot().await.unwrap();
            world.open().delete(&snapshot, id).await.unwrap();
        }
        Outcome::default()
    };
    let kills = kill_everywhere(set_up, delete, delete, every_type_is_served).await;
    println!("killed {kills} times");
    assert!(kills > 20, "{kills}");
}

#[tokio::test]
async fn rotate_and_rotate_again() {
    for shown in [true, false] {
        let set_up = async || in_step(&TYPES[..2], shown);
        let kills = kill_everywhere(set_up, rotate, finish_rotation, every_type_is_served).await;
        println!("killed {kills} times");
        assert!(kills > 60, "{kills}");
    }
}

#[tokio::test]
async fn rotate_then_sync_then_rotate() {
    let set_up = async || in_step(&TYPES[..2], false);
    let again = async |world: &World| {
        sync(world).await;
        every_type_is_served(world, "after a sync in between");
        finish_rotation(world).await
    };
    let kills = kill_everywhere(set_up, rotate, again, every_type_is_served).await;
    println!("killed {kills} times");
    assert!(kills > 60, "{kills}");
}

/// Ends what is under way. What came to its end is not begun anew, so this does not hide what a dead run left.
async fn finish_rotation(world: &World) -> Outcome {
    let snapshot = world.open().snapshot().await.unwrap();
    let pause = Duration::ZERO;
    let rotation =
        Rotation { required: &world.required, callback_url: &world.url, only: None, pace: Duration::ZERO, pause };
    match rotation.under_way(&snapshot).is_empty() {
        true => Outcome::default(),
        false => world.open().rotate(&rotation, |_| {}).await.unwrap(),
    }
}
