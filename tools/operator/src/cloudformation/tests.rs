use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_config::retry::RetryConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_types::region::Region;
use bytes::Bytes;
use http::{Response, StatusCode};
use local::front::{Answer, Front, Guests};
use shared::outside::http::Http;

use super::*;

impl Stack {
    pub(crate) fn of(name: &str, outputs: &[(&str, &str)]) -> Self {
        let outputs = outputs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self { name: name.to_owned(), status: String::new(), outputs: outputs.collect() }
    }
}

const DESCRIBED: &str = r#"<DescribeStacksResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/">
  <DescribeStacksResult><Stacks><member>
    <StackName>bridge</StackName><StackStatus>UPDATE_COMPLETE</StackStatus><CreationTime>2026-01-01T00:00:00Z</CreationTime>
    <Outputs>
      <member><OutputKey>EventsTableName</OutputKey><OutputValue>bridge-events</OutputValue></member>
      <member><OutputKey>CustomersTableName</OutputKey><OutputValue></OutputValue></member>
      <member><OutputKey>RailWebhookUrl</OutputKey><OutputValue>https://api.example.com/webhooks/rail</OutputValue></member>
      <member><OutputKey>RillisSigningSecretId</OutputKey><OutputValue>bridge/rillis/signing</OutputValue></member>
    </Outputs>
  </member></Stacks></DescribeStacksResult></DescribeStacksResponse>"#;

const NO_SUCH: &str = r#"<ErrorResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/">
  <Error><Type>Sender</Type><Code>ValidationError</Code><Message>Stack with id bridge does not exist</Message></Error>
  </ErrorResponse>"#;

/// What is read of a CloudFormation that answers every call so.
async fn read(status: StatusCode, answer: &'static str) -> Result<Stack, OperatorError> {
    let cloudformation = Front::start(
        0,
        64 * 1024,
        |_| Guests::Programs,
        move |_| async move {
            let mut response = Response::new(Bytes::from_static(answer.as_bytes()));
            *response.status_mut() = status;
            Answer::Http(response)
        },
    )
    .unwrap();
    let credentials = Credentials::new("local", "local", None, None, "test");
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .endpoint_url(cloudformation.url())
        .http_client(Http::new().unwrap())
        .retry_config(RetryConfig::disabled())
        .build();
    tokio::time::timeout(Duration::from_secs(20), Stack::read("bridge", &config)).await.unwrap()
}

#[tokio::test]
async fn a_stack_tells_what_it_calls_its_parts_and_what_it_lacks() {
    let stack = read(StatusCode::OK, DESCRIBED).await.unwrap();
    assert_eq!((stack.name.as_str(), stack.status.as_str()), ("bridge", "UPDATE_COMPLETE"));
    let one = |name: &str, value: &str| [(name.to_owned(), value.to_owned())].into();
    let expected = Parts {
        events_table: Some("bridge-events".to_owned()),
        webhooks: one("rail", "https://api.example.com/webhooks/rail"),
        signing_secrets: one("rillis", "bridge/rillis/signing"),
        ..Parts::default()
    };
    assert_eq!(stack.parts(), expected);
}

#[tokio::test]
async fn a_stack_that_is_not_there_is_told_with_the_flags_to_check() {
    let failure = read(StatusCode::BAD_REQUEST, NO_SUCH).await.unwrap_err();
    assert_eq!(failure.problem(), "Stack bridge cannot be read: ValidationError");
    assert_eq!(failure.hint(), "no such stack: check `--stack`, `--region` and `--profile`");
}
