use std::sync::Mutex;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;

use super::*;
use crate::clock::UnixMillis;
use crate::config::AwsConfig;
use crate::outside::aws;
use crate::outside::http::{CallTime, ExchangeError, Http};

type Seen = Arc<Mutex<Vec<http::Request<Bytes>>>>;

/// A client whose requests are answered in turn, and what it asked.
fn http(answers: Vec<Result<http::Response<Bytes>, NoAnswer>>) -> (Http, Seen) {
    let (answers, seen) = (Mutex::new(answers.into_iter()), Seen::default());
    let log = Arc::clone(&seen);
    let http = Http::new().unwrap().ending_in(InProcess::new(move |request| {
        log.lock().unwrap().push(request);
        let answer = answers.lock().unwrap().next().unwrap();
        Box::pin(async { answer })
    }));
    (http, seen)
}

fn answer(status: u16, body: &'static str) -> http::Response<Bytes> {
    http::Response::builder()
        .status(status)
        .header("retry-after", "7")
        .body(Bytes::from_static(body.as_bytes()))
        .unwrap()
}

async fn exchange(http: &Http) -> Result<(u16, Option<Duration>, Vec<u8>), ExchangeError> {
    let request = http.client().post("https://a.invalid/x?y=1").header("x-key", "k").body("{}").build().unwrap();
    let answer = http.exchange(request, Duration::from_secs(5), CallTime::of_a_person(), UnixMillis(0)).await?;
    Ok((answer.status.as_u16(), answer.retry_after, answer.body))
}

#[tokio::test]
async fn a_request_is_answered_without_a_network() {
    let (http, seen) = http(vec![Ok(answer(429, "slow"))]);
    assert_eq!(exchange(&http).await.unwrap(), (429, Some(Duration::from_secs(7)), b"slow".to_vec()));
    let seen = seen.lock().unwrap();
    let asked = &seen[0];
    assert_eq!((asked.method().as_str(), asked.uri().to_string().as_str()), ("POST", "https://a.invalid/x?y=1"));
    assert_eq!((asked.headers()["x-key"].to_str().unwrap(), &asked.body()[..]), ("k", &b"{}"[..]));
}

#[tokio::test]
async fn a_connection_that_dies_is_met_as_on_a_network() {
    let (client, seen) = http(vec![Err(NoAnswer::Died), Ok(answer(200, "ok"))]);
    assert_eq!(exchange(&client).await.unwrap().0, 200);
    assert_eq!(seen.lock().unwrap().len(), 2, "a request whose connection died before the answer is sent once more");

    for (no_answer, calls) in [(NoAnswer::Refused, 1), (NoAnswer::Broken, 1), (NoAnswer::Died, 2)] {
        let (client, seen) = http(vec![Err(no_answer); 2]);
        match (no_answer, exchange(&client).await.unwrap_err()) {
            (NoAnswer::Refused, ExchangeError::ConnectionFailed(_)) => {}
            (NoAnswer::Died | NoAnswer::Broken, ExchangeError::ConnectionLost(_)) => {}
            (_, error) => panic!("{no_answer:?}: {error:?}"),
        }
        assert_eq!(seen.lock().unwrap().len(), calls, "{no_answer:?}");
    }
}

#[tokio::test]
async fn the_sdk_ends_here_too() {
    let (http, seen) = http(vec![Ok(answer(200, r#"{"Item": {"pk": {"S": "rail#1"}}}"#))]);
    let credentials = aws_credential_types::Credentials::new("sample", "sample", None, None, "test");
    let config =
        AwsConfig { region: "eu-west-1".to_owned(), credentials, dynamodb_url: None, secrets_manager_url: None };
    let client = aws::dynamodb(&config, &http);
    let read = client.get_item().table_name("events").key("pk", AttributeValue::S("rail#1".to_owned())).send().await;
    assert_eq!(read.unwrap().item.unwrap()["pk"].as_s().unwrap(), "rail#1");
    assert_eq!(seen.lock().unwrap()[0].headers()["x-amz-target"], "DynamoDB_20120810.GetItem");
}
