//! A stack in AWS, as CloudFormation tells of it.

use std::collections::HashMap;

use aws_types::sdk_config::SdkConfig;
use shared::outside::aws::sdk_reason;

use crate::failure::Failure;

/// What a stack calls its parts.
#[derive(Clone, Debug)]
pub(crate) struct Outputs {
    /// CloudFormation's word of the stack itself.
    pub(crate) status: String,
    values: HashMap<String, String>,
}

impl Outputs {
    /// Asks for the stack of this name.
    ///
    /// # Errors
    /// There is no such stack, it may not be looked at, or there is no way there.
    pub(crate) async fn read(stack: &str, config: &SdkConfig) -> Result<Self, Failure> {
        let answer = aws_sdk_cloudformation::Client::new(config).describe_stacks().stack_name(stack).send().await;
        let found = answer.map_err(|error| {
            let reason = sdk_reason(&error);
            let hint = match reason.as_str() {
                "ValidationError" => "there is no such stack here: check --stack, --region and --profile",
                "AccessDenied" | "AccessDeniedException" => "it takes cloudformation:DescribeStacks",
                "ExpiredToken" | "InvalidClientTokenId" | "SignatureDoesNotMatch" => {
                    "AWS does not take the credentials: log in again, or name another --profile"
                }
                _ => "try again; is AWS within reach, and the region right?",
            };
            Failure::outside(format!("stack {stack} cannot be looked at: {reason}"), hint)
        })?;
        let no_such =
            || Failure::outside(format!("there is no stack {stack}"), "check --stack, --region and --profile");
        let found = found.stacks.and_then(|stacks| stacks.into_iter().next()).ok_or_else(no_such)?;
        let outputs = found.outputs.unwrap_or_default().into_iter();
        Ok(Self {
            status: found.stack_status.map_or_else(String::new, |status| status.as_str().to_owned()),
            values: outputs.filter_map(|output| Some((output.output_key?, output.output_value?))).collect(),
        })
    }

    /// The value of an output, unless it is missing or empty.
    pub(crate) fn named(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use aws_config::BehaviorVersion;
    use aws_config::retry::RetryConfig;
    use aws_credential_types::Credentials;
    use aws_credential_types::provider::SharedCredentialsProvider;
    use aws_types::region::Region;
    use bytes::Bytes;
    use http::{Response, StatusCode};
    use local::front::{Answer, Front};
    use shared::outside::http::Http;

    use super::*;

    impl Outputs {
        pub(crate) fn of(values: &[(&str, &str)]) -> Self {
            let values = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            Self { status: String::new(), values: values.collect() }
        }
    }

    const DESCRIBED: &str = r#"<DescribeStacksResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/">
      <DescribeStacksResult><Stacks><member>
        <StackName>bridge</StackName><StackStatus>UPDATE_COMPLETE</StackStatus><CreationTime>2026-01-01T00:00:00Z</CreationTime>
        <Outputs>
          <member><OutputKey>EventsTableName</OutputKey><OutputValue>bridge-events</OutputValue></member>
          <member><OutputKey>CustomersTableName</OutputKey><OutputValue></OutputValue></member>
        </Outputs>
      </member></Stacks></DescribeStacksResult></DescribeStacksResponse>"#;

    const NO_SUCH: &str = r#"<ErrorResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/">
      <Error><Type>Sender</Type><Code>ValidationError</Code><Message>Stack with id bridge does not exist</Message></Error>
      </ErrorResponse>"#;

    /// What is read of a CloudFormation that answers every call so.
    async fn read(status: StatusCode, answer: &'static str) -> Result<Outputs, Failure> {
        let cloudformation = Front::start(0, 64 * 1024, move |_| async move {
            let mut response = Response::new(Bytes::from_static(answer.as_bytes()));
            *response.status_mut() = status;
            Answer::Http(response)
        })
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
        tokio::time::timeout(Duration::from_secs(20), Outputs::read("bridge", &config)).await.unwrap()
    }

    #[tokio::test]
    async fn a_stack_tells_what_it_calls_its_parts_and_what_it_lacks() {
        let outputs = read(StatusCode::OK, DESCRIBED).await.unwrap();
        assert_eq!(outputs.status, "UPDATE_COMPLETE");
        let named = ["EventsTableName", "CustomersTableName", "RedriveFunctionName"].map(|name| outputs.named(name));
        assert_eq!(named, [Some("bridge-events"), None, None]);
    }

    #[tokio::test]
    async fn a_stack_that_is_not_there_is_told_with_the_flags_to_check() {
        let failure = read(StatusCode::BAD_REQUEST, NO_SUCH).await.unwrap_err();
        assert_eq!(failure.problem(), "stack bridge cannot be looked at: ValidationError");
        assert_eq!(failure.hint(), "there is no such stack here: check --stack, --region and --profile");
    }
}
