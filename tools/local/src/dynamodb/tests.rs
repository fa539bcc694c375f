use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;

use super::*;
use crate::aws::AwsFault;
use crate::faults::When;
use crate::http_client::{HttpClient, SendError};
use crate::testing::{BOUND, MOMENT, within};

#[tokio::test]
async fn a_second_conditional_put_is_refused_and_shows_the_first() {
    let world = World::start().await;
    assert_eq!(world.record("rail#1", "one").await.0, 200);
    let (status, refused) = world.record("rail#1", "two").await;
    assert_eq!(status, 400);
    assert_eq!(refused["__type"], "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException");
    assert_eq!(refused["Item"]["note"]["S"], "one");
    assert_eq!(world.dynamodb.calls(), ["PutItem", "PutItem"]);
}

#[tokio::test]
async fn the_index_has_only_what_is_due() {
    let world = World::start().await;
    for (pk, item) in [
        ("rail#1", json!({ "due": { "S": "p0" }, "next_attempt_at": { "N": "20" }, "note": { "S": "later" } })),
        ("rail#2", json!({ "due": { "S": "p0" }, "next_attempt_at": { "N": "10" } })),
        ("rail#3", json!({ "note": { "S": "not due" } })),
    ] {
        let mut item = item;
        item["pk"] = json!({ "S": pk });
        world.dynamodb.put_raw(EVENTS_TABLE, &item).unwrap();
    }
    let (status, found) = world
        .call(
            "Query",
            json!({
                "TableName": EVENTS_TABLE,
                "IndexName": "due-index",
                "KeyConditionExpression": "due = :due AND next_attempt_at <= :now",
                "ExpressionAttributeValues": { ":due": { "S": "p0" }, ":now": { "N": "20" } },
            }),
        )
        .await;
    assert_eq!(status, 200);
    let keys = |pk: &str, at: &str| json!({ "pk": { "S": pk }, "due": { "S": "p0" }, "next_attempt_at": { "N": at } });
    assert_eq!(found["Items"], json!([keys("rail#2", "10"), keys("rail#1", "20")]));
}

#[tokio::test]
async fn both_tables_expire_their_items() {
    let world = World::start().await;
    for table in [EVENTS_TABLE, CUSTOMERS_TABLE] {
        let (_, described) = world.call("DescribeTimeToLive", json!({ "TableName": table })).await;
        let expected = json!({ "AttributeName": "expires_at", "TimeToLiveStatus": "ENABLED" });
        assert_eq!(described["TimeToLiveDescription"], expected, "{table}");
    }
}

#[tokio::test]
async fn items_are_read_as_plain_json_past_the_front() {
    let world = World::start().await;
    world.dynamodb.inject(None, AwsFault::Hang, When::UntilCleared);
    let item = json!({
        "pk": { "S": "rail#1" },
        "attempts": { "N": "1" },
        "amount": { "N": "12345678901234567890.123456789" },
        "body": { "B": "aGVsbG8=" },
        "deliveries": { "M": { "kyc": { "M": { "state": { "S": "delivered" } } } } },
        "history": { "L": [{ "NULL": true }, { "BOOL": true }] },
    });
    world.dynamodb.put_raw(EVENTS_TABLE, &item).unwrap();
    let expected = json!({
        "pk": "rail#1",
        "attempts": 1,
        "amount": "12345678901234567890.123456789",
        "body": "aGVsbG8=",
        "deliveries": { "kyc": { "state": "delivered" } },
        "history": [null, true],
    });
    assert_eq!(world.dynamodb.item("rail#1"), Some(expected.clone()));
    assert_eq!(world.dynamodb.items(), [expected]);
    assert_eq!(world.dynamodb.item("rail#2"), None);
    assert_eq!(world.dynamodb.calls(), [""; 0]);
}

#[tokio::test]
async fn more_items_than_one_page_holds_are_all_read() {
    let world = World::start().await;
    let note = "x".repeat(100_000);
    for n in 0..25 {
        let item = json!({ "pk": { "S": format!("rail#{n:02}") }, "note": { "S": note } });
        world.dynamodb.put_raw(EVENTS_TABLE, &item).unwrap();
    }
    let items = world.dynamodb.items();
    assert_eq!(items.len(), 25);
    assert_eq!(items[24]["pk"], "rail#24");
}

#[tokio::test]
async fn items_in_a_folder_are_there_in_the_next_run() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("made/here");
    let first = DynamoDb::start(Some(&data)).await.unwrap();
    first.put_raw(EVENTS_TABLE, &json!({ "pk": { "S": "rail#1" } })).unwrap();
    drop(first);
    let second = DynamoDb::start(Some(&data)).await.unwrap();
    assert_eq!(second.item("rail#1"), Some(json!({ "pk": "rail#1" })));
}

#[tokio::test]
async fn a_connection_is_opened_without_a_call() {
    let world = World::start().await;
    let request = Request::get(world.dynamodb.url()).body(Bytes::new()).unwrap();
    assert_eq!(within(world.client.send(request)).await.unwrap().status(), 200);
    assert_eq!(world.dynamodb.calls(), [""; 0]);
}

#[tokio::test]
async fn faults_that_answer_have_no_effect_on_the_table() {
    for (fault, expected, kind) in [
        (AwsFault::Throttle, 400, "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException"),
        (AwsFault::InternalError, 500, "com.amazonaws.dynamodb.v20120810#InternalServerError"),
        (
            AwsFault::Exception { status: 400, name: "AccessDeniedException" },
            400,
            "com.amazonaws.dynamodb.v20120810#AccessDeniedException",
        ),
    ] {
        let world = World::start().await;
        world.dynamodb.inject(Some("PutItem"), fault.clone(), When::Next(1));
        let (status, answer) = world.record("rail#1", "one").await;
        assert_eq!((status, answer["__type"].as_str()), (expected, Some(kind)), "{fault:?}");
        assert_eq!(world.dynamodb.items(), [Value::Null; 0], "{fault:?}");
        assert_eq!(world.record("rail#1", "one").await.0, 200, "{fault:?}");
    }
}

#[tokio::test]
async fn a_refused_connection_has_no_effect_and_a_reset_after_it_has() {
    let world = World::start().await;
    for (fault, written) in [(AwsFault::Refuse, 0), (AwsFault::ResetAfter, 1)] {
        world.dynamodb.inject(Some("PutItem"), fault.clone(), When::Next(1));
        let outcome = within(world.try_record("rail#1", "one")).await;
        assert!(matches!(outcome, Err(SendError::NoResponse(_))), "{fault:?}: {outcome:?}");
        assert_eq!(world.dynamodb.items().len(), written, "{fault:?}");
    }
    assert_eq!(world.dynamodb.count("PutItem"), 2);
}

#[tokio::test]
async fn a_call_that_hangs_has_no_effect() {
    let world = World::start().await;
    world.dynamodb.inject(Some("PutItem"), AwsFault::Hang, When::Next(1));
    assert!(tokio::time::timeout(MOMENT, world.try_record("rail#1", "one")).await.is_err());
    world.dynamodb.wait_for_calls(|calls| calls == ["PutItem"], BOUND).await.unwrap();
    assert_eq!(world.dynamodb.items(), [Value::Null; 0]);
}

#[tokio::test]
async fn a_slow_answer_comes_late_to_an_effect_that_was_not() {
    let world = World::start().await;
    world.dynamodb.inject(None, AwsFault::Slow(MOMENT), When::Next(1));
    let began = Instant::now();
    assert_eq!(world.record("rail#1", "one").await.0, 200);
    assert!(began.elapsed() >= MOMENT);

    let endless = Duration::from_secs(3600);
    world.dynamodb.inject(None, AwsFault::Slow(endless), When::Next(1));
    assert!(tokio::time::timeout(MOMENT, world.try_record("rail#2", "two")).await.is_err());
    assert!(world.dynamodb.item("rail#2").is_some());
}

#[tokio::test]
async fn what_took_effect_is_told_whatever_its_caller_was_answered() {
    let world = World::start().await;
    world.record("rail#before", "nobody listens").await;
    let mut told = world.dynamodb.subscribe_to_writes();
    world.record("rail#1", "one").await;
    assert_eq!(world.record("rail#1", "refused: it is there").await.0, 400);
    world.call("GetItem", json!({ "TableName": EVENTS_TABLE, "Key": { "pk": { "S": "rail#1" } } })).await;
    for (fault, pk) in [
        (AwsFault::Throttle, "rail#throttled"),
        (AwsFault::Refuse, "rail#refused"),
        (AwsFault::ResetAfter, "rail#2"),
        (AwsFault::Slow(MOMENT), "rail#3"),
    ] {
        world.dynamodb.inject(Some("PutItem"), fault, When::Next(1));
        let _ = within(world.try_record(pk, "x")).await;
    }
    world.dynamodb.put_raw(CUSTOMERS_TABLE, &json!({ "ref": { "S": "rail-account:1" } })).unwrap();
    let due = json!({ "pk": { "S": "rail#4" }, "state": { "S": "pending" }, "next_attempt_at": { "N": "60" } });
    world.dynamodb.put_raw(EVENTS_TABLE, &due).unwrap();
    assert!(!world.dynamodb.make_due("rail#4", 50, 10).unwrap());
    assert!(world.dynamodb.make_due("rail#4", 60, 10).unwrap());
    for (table, key) in [
        (EVENTS_TABLE, "rail#1"),
        (EVENTS_TABLE, "rail#2"),
        (EVENTS_TABLE, "rail#3"),
        (CUSTOMERS_TABLE, "rail-account:1"),
        (EVENTS_TABLE, "rail#4"),
        (EVENTS_TABLE, "rail#4"),
    ] {
        let write = within(told.recv()).await.unwrap();
        assert_eq!((write.table.as_str(), write.key.as_str()), (table, key));
    }
    assert_eq!(told.try_recv(), Err(broadcast::error::TryRecvError::Empty));
}

#[tokio::test]
async fn a_write_whose_caller_went_away_is_told() {
    let world = World::start().await;
    let mut told = world.dynamodb.subscribe_to_writes();
    for n in 0..20 {
        let key = format!("rail#{n}");
        // Gone as soon as the call has come in, with the engine at work.
        tokio::select! {
            biased;
            arrived = world.dynamodb.wait_for_calls(|calls| calls.len() > n, BOUND) => arrived.unwrap(),
            recorded = world.try_record(&key, "x") => panic!("answered before it was counted: {recorded:?}"),
        }
        assert_eq!(within(told.recv()).await.unwrap().key, key);
        assert!(world.dynamodb.item(&key).is_some());
    }
}

#[tokio::test]
async fn the_count_of_calls_can_start_again() {
    let world = World::start().await;
    world.record("rail#1", "one").await;
    world.dynamodb.reset_calls();
    world.call("GetItem", json!({ "TableName": EVENTS_TABLE, "Key": { "pk": { "S": "rail#1" } } })).await;
    assert_eq!(world.dynamodb.calls(), ["GetItem"]);
}

struct World {
    dynamodb: DynamoDb,
    client: HttpClient,
}

impl World {
    async fn start() -> Self {
        Self { dynamodb: DynamoDb::start(None).await.unwrap(), client: HttpClient::default() }
    }

    async fn record(&self, pk: &str, note: &str) -> (u16, Value) {
        within(self.try_record(pk, note)).await.unwrap()
    }

    async fn try_record(&self, pk: &str, note: &str) -> Result<(u16, Value), SendError> {
        let input = json!({
            "TableName": EVENTS_TABLE,
            "Item": { "pk": { "S": pk }, "note": { "S": note } },
            "ConditionExpression": "attribute_not_exists(pk)",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        });
        self.try_call("PutItem", input).await
    }

    async fn call(&self, operation: &str, input: Value) -> (u16, Value) {
        within(self.try_call(operation, input)).await.unwrap()
    }

    async fn try_call(&self, operation: &str, input: Value) -> Result<(u16, Value), SendError> {
        let target = format!("DynamoDB_20120810.{operation}");
        let headers = [
            ("content-type", "application/x-amz-json-1.0"),
            ("x-amz-target", &target),
            ("x-amz-date", "20260101T000000Z"),
            (
                "authorization",
                "AWS4-HMAC-SHA256 Credential=AKIASAMPLE/20260101/us-east-1/dynamodb/aws4_request, \
                 SignedHeaders=host;x-amz-date;x-amz-target, Signature=00",
            ),
        ];
        let url = format!("{}/", self.dynamodb.url());
        let response = self.client.post(&url, &headers, Bytes::from(input.to_string())).await?;
        Ok((response.status().as_u16(), serde_json::from_slice(response.body()).unwrap()))
    }
}
