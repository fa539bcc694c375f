//! Whose customer an id is, and who was the first: both tables' small writes against the embedded DynamoDB.

use std::time::Duration;

use aws_credential_types::Credentials;
use futures_util::future::join_all;
use local::aws::AwsFault;
use local::dynamodb::{CUSTOMERS_TABLE, DynamoDb, EVENTS_TABLE};
use local::faults::When;
use shared::clock::UnixMillis;
use shared::config::AwsConfig;
use shared::customer::reference::{Customer, CustomerRef};
use shared::customer::table::{Customers, MAX_BATCH};
use shared::outside::http::Http;
use shared::record::event::EventState;
use shared::record::store::EventStore;
use shared::record::store::once::ClaimOutcome;

const NOW: UnixMillis = UnixMillis(1_738_784_271_042);
const LATER: UnixMillis = UnixMillis(1_738_784_281_042);

struct World {
    dynamodb: DynamoDb,
    customers: Customers,
    events: EventStore,
}

impl World {
    async fn start() -> Self {
        let dynamodb = DynamoDb::start(None).await.unwrap();
        let config = AwsConfig {
            region: "us-east-1".to_owned(),
            credentials: Credentials::new("local", "local", None, None, "test"),
            dynamodb_url: Some(dynamodb.url()),
            secrets_manager_url: None,
        };
        let client = shared::outside::aws::dynamodb(&config, &Http::new().unwrap());
        let customers = Customers::new(client.clone(), CUSTOMERS_TABLE.to_owned());
        let events = EventStore::new(client, EVENTS_TABLE.to_owned());
        Self { dynamodb, customers, events }
    }

    async fn claim(&self, owner: &str) -> ClaimOutcome {
        // On a machine that hardly runs, 64 calls at once are more than a second's work: whoever is not answered asks again.
        for _ in 0..20 {
            match self.events.claim_once("first-deposit", "C-1001", owner, NOW, NOW).await {
                Err(error) if error.is_busy() => {}
                claimed => return claimed.unwrap(),
            }
        }
        panic!("{owner} was never answered");
    }
}

fn account() -> CustomerRef {
    CustomerRef::parse("rail-account:CUSTOMER_USD_001").unwrap()
}

#[tokio::test]
async fn what_was_put_is_found_and_nothing_else() {
    let world = World::start().await;
    assert_eq!(world.customers.find(&account()).await, Ok(None));
    let known = Customer {
        email: Some("sample@example.com".to_owned()),
        trading_accounts: vec!["5001".to_owned(), "5002".to_owned()],
        ..Customer::new("C-1001", NOW)
    };
    world.customers.put(&account(), &known).await.unwrap();
    assert_eq!(world.customers.find(&account()).await, Ok(Some(known)));
    let bare = Customer::new("C-1001", LATER);
    world.customers.put(&account(), &bare).await.unwrap();
    assert_eq!(world.customers.find(&account()).await, Ok(Some(bare)), "replaced as a whole");
    assert_eq!(world.customers.find(&CustomerRef::of_customer("C-1001").unwrap()).await, Ok(None));
}

#[tokio::test]
async fn what_is_remembered_never_displaces_what_was_there() {
    let world = World::start().await;
    world.customers.remember(&account(), "C-1001", NOW).await.unwrap();
    assert_eq!(world.customers.find(&account()).await, Ok(Some(Customer::new("C-1001", NOW))));
    world.customers.remember(&account(), "C-other", LATER).await.unwrap();
    assert_eq!(world.customers.find(&account()).await, Ok(Some(Customer::new("C-1001", NOW))));

    let imported = Customer::new("C-imported", LATER);
    world.customers.write_batch(&[(account(), imported.clone())]).await.unwrap();
    world.customers.remember(&account(), "C-1001", LATER).await.unwrap();
    assert_eq!(world.customers.find(&account()).await, Ok(Some(imported)));
}

#[tokio::test]
async fn the_largest_batch_is_one_call() {
    let world = World::start().await;
    let reference = |n: usize| CustomerRef::new("sample", &n.to_string()).unwrap();
    let batch: Vec<_> = (0..MAX_BATCH).map(|n| (reference(n), Customer::new(&format!("C-{n}"), NOW))).collect();
    world.customers.write_batch(&batch).await.unwrap();
    world.customers.write_batch(&[]).await.unwrap();
    assert_eq!(world.dynamodb.calls(), ["BatchWriteItem"]);
    for (reference, customer) in batch {
        assert_eq!(world.customers.find(&reference).await, Ok(Some(customer)));
    }
}

#[tokio::test]
async fn of_many_who_claim_at_once_one_wins_and_stays_the_winner() {
    let world = World::start().await;
    let owners: Vec<_> = (0..64).map(|n| format!("rail#evt_{n}")).collect();
    let claimed = join_all(owners.iter().map(|owner| world.claim(owner))).await;
    let winners: Vec<_> = owners.iter().zip(claimed).filter(|(_, claimed)| *claimed == ClaimOutcome::Ours).collect();
    assert_eq!(winners.len(), 1);
    for owner in &owners {
        let expected = if owner == winners[0].0 { ClaimOutcome::Ours } else { ClaimOutcome::Taken };
        assert_eq!(world.claim(owner).await, expected, "{owner}");
    }
}

#[tokio::test]
async fn a_claim_is_for_one_route_and_one_customer() {
    let world = World::start().await;
    assert_eq!(world.claim("rail#evt_1").await, ClaimOutcome::Ours);
    for (route, customer) in [("first-deposit", "C-1002"), ("welcome", "C-1001")] {
        assert_eq!(world.events.claim_once(route, customer, "rail#evt_2", NOW, NOW).await, Ok(ClaimOutcome::Ours));
    }
    assert_eq!(world.claim("rail#evt_2").await, ClaimOutcome::Taken);
}

/// The record has expired, and the provider sends the event again a year later: the customer had the message.
#[tokio::test]
async fn a_claim_that_is_older_than_the_event_is_not_its_own() {
    let world = World::start().await;
    assert_eq!(world.claim("rail#evt_1").await, ClaimOutcome::Ours);
    let a_year_later = NOW.plus(Duration::from_secs(365 * 24 * 60 * 60));
    let again = world.events.claim_once("first-deposit", "C-1001", "rail#evt_1", a_year_later, a_year_later).await;
    assert_eq!(again, Ok(ClaimOutcome::Taken));
    assert_eq!(world.claim("rail#evt_1").await, ClaimOutcome::Ours);
}

#[tokio::test]
async fn a_claim_whose_answer_was_lost_is_still_the_owner_s() {
    let world = World::start().await;
    world.dynamodb.inject(Some("PutItem"), AwsFault::ResetAfter, When::Next(1));
    assert_eq!(world.claim("rail#evt_1").await, ClaimOutcome::Ours);
    assert!(world.dynamodb.count("PutItem") >= 2, "the answer was not lost");
    assert_eq!(world.claim("rail#evt_2").await, ClaimOutcome::Taken);
}

#[tokio::test]
async fn a_claim_says_who_when_and_never_expires_and_is_no_event() {
    let world = World::start().await;
    world.claim("rail#evt_1").await;
    let item = world.dynamodb.item("once#first-deposit#C-1001");
    let expected = serde_json::json!({ "pk": "once#first-deposit#C-1001", "owner": "rail#evt_1", "taken_at": NOW.0 });
    assert_eq!(item, Some(expected));
    let states = [EventState::Pending, EventState::Delivered, EventState::Ignored, EventState::Dead];
    assert_eq!(world.events.scan(&states, None).await.unwrap().events, []);
}
