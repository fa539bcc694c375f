//! Rail's subscriptions change under the running bridge: whatever is signed by a key that counts is accepted.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use aws_credential_types::Credentials;
use local::faults::When;
use local::rail_api::{At, Fault, Subscription};
use local::stack::{api_secret, signing_secret};
use operator::rail_subscriptions::{
    CallbackUrl, Outcome, Progress, RailApi, RequiredTypes, Rotation, SigningSecret, Subscriptions,
};
use serde_json::json;
use shared::clock::Clock;
use shared::config::AwsConfig;
use shared::customer::api_client::{ApiAccount, ApiClient};
use shared::outside::http::Http;
use shared::outside::secrets::{COOL_DOWN, CachedSecret};
use tokio::time::{Instant, interval, sleep_until};

use crate::bridge::fixture::*;

/// Between two events.
const BEAT: Duration = Duration::from_millis(40);

const TYPES: [&str; 2] = ["ACCOUNT_OPEN", "WITHDRAWAL_COMPLETED"];

impl Bridge {
    /// An operator's way in: a new one for each run, as the program has it.
    fn subscriptions(&self) -> Subscriptions {
        let config = AwsConfig {
            region: "us-east-1".to_owned(),
            credentials: Credentials::new("local", "local", None, None, "test"),
            dynamodb_url: None,
            secrets_manager_url: Some(self.stack.secrets_manager.url()),
        };
        let http = Http::new().unwrap();
        let client = shared::outside::aws::secrets_manager(&config, &http);
        let clock = Clock::system();
        let account = CachedSecret::new(client.clone(), api_secret(RAIL), clock, ApiAccount::parse);
        let api = ApiClient::new(RAIL, &RailApi::CHANGING, http, account, clock);
        let secret = SigningSecret::new(client, signing_secret(RAIL));
        Subscriptions { api: RailApi::new(api), secret }
    }

    fn callback_url(&self) -> CallbackUrl {
        CallbackUrl::parse(&self.stack.webhook_url(&rail::RAIL)).unwrap()
    }

    async fn sync(&self, required: &BTreeSet<String>) -> Outcome {
        let subscriptions = self.subscriptions();
        let snapshot = subscriptions.snapshot().await.unwrap();
        subscriptions.sync(snapshot, required, &self.callback_url(), false, |_| {}).await.unwrap()
    }

    /// Whether the signing secret holds the subscription's key at this moment.
    fn holds_key_of(&self, subscription: &Subscription) -> bool {
        let secret = self.stack.secrets_manager.current(&signing_secret(RAIL)).unwrap();
        secret["keys"][&subscription.id] == json!(subscription.key)
    }

    /// The status of one delivery of the event, as this subscription has it.
    async fn deliver(&self, subscription: &Subscription, event_id: &str) -> u16 {
        let event_type = &subscription.event_type;
        let body = format!(
            r#"{{"event_id":"{event_id}","event_date":"2023-11-20T14:32:18Z","event_type":"{event_type}","event_data":{{"customer_id":"C-1001"}}}}"#
        );
        self.send(&Delivery::signed_by(RAIL, &subscription.key, body)).await.status
    }
}

fn required(types: &[&str]) -> BTreeSet<String> {
    types.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test]
async fn the_repository_s_routes_get_their_subscriptions_and_each_key_counts() {
    let bridge = Bridge::start().await;
    let routes = providers::routes();
    let required = RequiredTypes::of(&routes, RAIL);
    assert!(required.types.contains("TRANSACTION_POSTED") && required.unmatched.is_empty(), "{required:?}");
    bridge.sync(&required.types).await;
    let subscriptions = bridge.stack.rail_api.subscriptions();
    let types: BTreeSet<_> = subscriptions.iter().map(|it| it.event_type.clone()).collect();
    assert_eq!((subscriptions.len(), types), (required.types.len(), required.types));
    for subscription in subscriptions {
        assert_eq!(bridge.deliver(&subscription, &subscription.id).await, 200, "{}", subscription.event_type);
    }
    assert_eq!(
        bridge.post(RAIL, withdrawal("e1")).await.told(),
        ACCEPTED,
        "the key that was there before still counts"
    );
    assert_eq!(bridge.stack.rail_api.violations(), []);
}

/// A function accepts a new key as soon as the secret holds it, and the old one for as long as the secret holds it: while
/// one new key after the other comes, as the program has them come.
#[tokio::test]
async fn while_subscriptions_are_rotated_every_delivery_by_a_key_of_either_is_accepted() {
    let bridge = Bridge::with(one_process).await;
    let required = required(&TYPES);
    bridge.sync(&required).await;
    let before: BTreeSet<_> = bridge.stack.rail_api.subscriptions().into_iter().map(|it| it.id).collect();
    assert_eq!(bridge.deliver(&bridge.stack.rail_api.subscriptions()[0], "before").await, 200);
    sleep_until(Instant::now() + COOL_DOWN).await;

    let (subscriptions, url, over) = (bridge.subscriptions(), bridge.callback_url(), Cell::new(false));
    let (pace, pause) = (COOL_DOWN + Duration::from_secs(3), Duration::from_secs(1));
    let rotation = Rotation { required: &required, callback_url: &url, only: None, pace, pause };
    let rotating = async {
        subscriptions.rotate(&rotation, |_| {}).await.unwrap();
        over.set(true);
    };
    let mut delivered: BTreeMap<String, usize> = BTreeMap::new();
    let delivering = async {
        let mut beat = interval(BEAT);
        let mut known = BTreeMap::new();
        for n in 0.. {
            beat.tick().await;
            if over.get() {
                break;
            }
            // Once made, a subscription goes on sending what it has, even when it is deleted.
            let live = bridge.stack.rail_api.subscriptions();
            known.extend(live.into_iter().map(|it| (it.id.clone(), it)));
            for subscription in known.values().filter(|it| bridge.holds_key_of(it)) {
                let event_id = format!("{}-{n}", subscription.event_type);
                let status = bridge.deliver(subscription, &event_id).await;
                assert_eq!(status, 200, "{event_id} of {}", subscription.id);
                *delivered.entry(subscription.id.clone()).or_default() += 1;
            }
        }
    };
    tokio::join!(rotating, delivering);
    println!("accepted by subscription: {delivered:?}");
    assert_eq!(delivered.len(), 4);
    assert!(delivered.values().all(|count| *count >= 10), "{delivered:?}");
    let after: BTreeSet<_> = bridge.stack.rail_api.subscriptions().into_iter().map(|it| it.id).collect();
    assert!(after.len() == 2 && after.is_disjoint(&before), "{after:?}");
}

/// Rail may send by a new subscription before anybody can know its key, and a function that has read the secret in vain for its
/// sake does not read it again for [`COOL_DOWN`]. Nothing is lost by that, since the old subscription sends the same event.
#[tokio::test]
async fn while_all_types_are_rotated_and_the_rotation_dies_half_way_every_event_is_accepted() {
    let bridge = Bridge::with(one_process).await;
    let required = required(&TYPES);
    bridge.sync(&required).await;
    let before: BTreeSet<_> = bridge.stack.rail_api.subscriptions().into_iter().map(|it| it.id).collect();

    let (url, over) = (bridge.callback_url(), Cell::new(false));
    let pause = COOL_DOWN + Duration::from_secs(1);
    let rotation = Rotation { required: &required, callback_url: &url, only: None, pace: Duration::ZERO, pause };
    let rotating = async {
        let rail = &bridge.stack.rail_api;
        rail.inject(Some(At::CreateSubscription), Fault::HangAfter, When::OnceAfter(1));
        let dying = bridge.subscriptions();
        tokio::select! {
            outcome = dying.rotate(&rotation, |_| {}) => panic!("it should have died: {outcome:?}"),
            struck = rail.wait_for_calls(|calls| calls.iter().any(|call| call.fault.is_some()), BOUND) => struck.unwrap(),
        }
        let mut progress = Vec::new();
        bridge.subscriptions().rotate(&rotation, |it| progress.push(it.clone())).await.unwrap();
        assert_eq!(progress[0], Progress::RotationResumed(TYPES.map(str::to_owned).into()));
        over.set(true);
    };
    let (mut refused, mut accepted) = (0, 0);
    let delivering = async {
        let mut beat = interval(BEAT);
        let mut stored_since = HashMap::new();
        for n in 0.. {
            beat.tick().await;
            if over.get() {
                break;
            }
            let live = bridge.stack.rail_api.subscriptions();
            for it in live.iter().filter(|it| bridge.holds_key_of(it)) {
                stored_since.entry(it.id.clone()).or_insert_with(Instant::now);
            }
            let event_type = TYPES[n % TYPES.len()];
            let mut arrived = false;
            for it in live.iter().filter(|it| it.event_type == event_type) {
                match bridge.deliver(it, &format!("e{n}")).await {
                    200 => arrived = true,
                    status => {
                        let known = stored_since.get(&it.id).is_some_and(|since| since.elapsed() > COOL_DOWN);
                        assert!(status == 401 && !known && !before.contains(&it.id), "event {n} of {it:?}: {status}");
                        refused += 1;
                    }
                }
            }
            assert!(arrived, "event {n} is lost");
            accepted += 1;
        }
    };
    tokio::join!(rotating, delivering);
    println!("{accepted} events accepted, {refused} deliveries refused whose key no function could know yet");
    assert!(accepted > 100, "{accepted}");
    let after: BTreeSet<_> = bridge.stack.rail_api.subscriptions().into_iter().map(|it| it.id).collect();
    assert!(after.len() == TYPES.len() && after.is_disjoint(&before), "{after:?}");
    for subscription in bridge.stack.rail_api.subscriptions() {
        assert!(bridge.holds_key_of(&subscription), "{subscription:?}");
    }
}
