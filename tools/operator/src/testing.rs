//! A table for tests.

use std::time::Duration;

use aws_credential_types::Credentials;
use local::dynamodb::{DynamoDb, EVENTS_TABLE};
use shared::config::AwsConfig;
use shared::outside::http::Http;
use shared::record::event::EventRecord;
use shared::record::store::{EventStore, RecordOutcome};
use tokio::time::Instant;

use crate::events::fixtures::received;

/// A store on an embedded table.
pub(crate) async fn store() -> (DynamoDb, EventStore) {
    let dynamodb = DynamoDb::start(None).await.unwrap();
    let store = EventStore::new(client(&dynamodb), EVENTS_TABLE.to_owned());
    (dynamodb, store)
}

/// A client of an embedded DynamoDB.
pub(crate) fn client(dynamodb: &DynamoDb) -> aws_sdk_dynamodb::Client {
    let config = AwsConfig {
        region: "us-east-1".to_owned(),
        credentials: Credentials::new("local", "local", None, None, "test"),
        dynamodb_url: Some(dynamodb.url()),
        secrets_manager_url: None,
    };
    shared::outside::aws::dynamodb(&config, &Http::new().unwrap())
}

/// Records an event that these routes want.
pub(crate) async fn put_pending(store: &EventStore, id: &str, routes: &[&str]) {
    let event = received(id, "POSTED");
    let at = event.received_at;
    put(store, &event.begin(routes.iter().copied(), at)).await;
}

pub(crate) async fn put(store: &EventStore, event: &EventRecord) {
    let until = Instant::now() + Duration::from_secs(60);
    assert_eq!(store.record(event, until).await, Ok(RecordOutcome::New));
}
