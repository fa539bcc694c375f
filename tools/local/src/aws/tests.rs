use std::time::SystemTime;

use super::*;
use crate::dynamodb::DynamoDb;
use crate::http_client::HttpClient;
use crate::testing::within;

#[tokio::test]
async fn a_call_that_a_fault_struck_is_remembered_with_what_it_was_about() {
    let dynamodb = DynamoDb::start(None).await.unwrap();
    dynamodb.inject(Some("GetItem"), AwsFault::Throttle, When::Next(1));
    let before = SystemTime::now();
    let body = r#"{"TableName":"events","Key":{"pk":{"S":"rail#evt_1"}}}"#;
    let (client, url) = (HttpClient::default(), dynamodb.url());
    let headers = [("x-amz-target", "DynamoDB_20120810.GetItem"), ("content-type", "application/x-amz-json-1.0")];
    for _ in 0..2 {
        within(client.post(&url, &headers, Bytes::from_static(body.as_bytes()))).await.unwrap();
    }
    assert_eq!(dynamodb.count("GetItem"), 2);
    let strikes = dynamodb.strikes();
    assert_eq!(strikes.len(), 1);
    assert_eq!((strikes[0].operation.as_str(), &strikes[0].fault), ("GetItem", &AwsFault::Throttle));
    assert_eq!(strikes[0].request, body);
    assert!(before <= strikes[0].at && strikes[0].at <= SystemTime::now());

    dynamodb.reset_calls();
    assert!(dynamodb.strikes().is_empty());
}
