//! A stack in AWS, as CloudFormation describes it.

use std::collections::BTreeMap;

use aws_types::sdk_config::SdkConfig;
use shared::outside::aws::sdk_reason;
use shared::receive::provider::Provider;

use crate::error::{OperatorError, reach_hint};
use crate::parts::Parts;

/// A stack and its outputs, which name its parts.
#[derive(Clone, Debug)]
pub struct Stack {
    pub name: String,
    /// CloudFormation's word of the stack itself.
    pub status: String,
    outputs: BTreeMap<String, String>,
}

impl Stack {
    /// Asks for the stack of this name.
    ///
    /// # Errors
    /// There is no such stack, it may not be looked at, or there is no way there.
    pub async fn read(name: &str, config: &SdkConfig) -> Result<Self, OperatorError> {
        let answer = aws_sdk_cloudformation::Client::new(config).describe_stacks().stack_name(name).send().await;
        let found = answer.map_err(|error| {
            let reason = sdk_reason(&error);
            let hint = match reason.as_str() {
                "ValidationError" => "no such stack: check `--stack`, `--region` and `--profile`".to_owned(),
                "AccessDenied" | "AccessDeniedException" => {
                    format!("requires permission `cloudformation:DescribeStacks` on stack `{name}`")
                }
                reason => reach_hint(reason).to_owned(),
            };
            OperatorError::outside(format!("Stack {name} cannot be read: {reason}"), hint)
        })?;
        let no_such =
            || OperatorError::outside(format!("No stack {name}"), "check `--stack`, `--region` and `--profile`");
        let found = found.stacks.and_then(|stacks| stacks.into_iter().next()).ok_or_else(no_such)?;
        let outputs = found.outputs.unwrap_or_default().into_iter();
        Ok(Self {
            name: name.to_owned(),
            status: found.stack_status.map_or_else(String::new, |status| status.as_str().to_owned()),
            outputs: outputs
                .filter_map(|output| Some((output.output_key?, output.output_value?)))
                .filter(|(_, value)| !value.is_empty())
                .collect(),
        })
    }

    /// The names that its outputs have. [`output_of`] says what those of a provider are called.
    pub fn parts(&self) -> Parts {
        let output = |name: &str| self.outputs.get(name).cloned();
        let by_provider = |suffix: &str| {
            let named = |(name, value): (&String, &String)| {
                Some((name.strip_suffix(suffix)?.to_ascii_lowercase(), value.clone()))
            };
            self.outputs.iter().filter_map(named).collect()
        };
        Parts {
            events_table: output("EventsTableName"),
            customers_table: output("CustomersTableName"),
            redrive_function: output("RedriveFunctionName"),
            redrive_schedule: output("RedriveScheduleName"),
            webhooks: by_provider("WebhookUrl"),
            signing_secrets: by_provider("SigningSecretId"),
            api_secrets: by_provider("ApiSecretId"),
            returning_ai_secret: output("ReturningAiSecretId"),
        }
    }
}

/// What the template calls an output of a provider's: `RailWebhookUrl`.
pub fn output_of(provider: &Provider, output: &str) -> String {
    format!("{}{output}", capitalized(provider.name))
}

/// A provider's name as the template, and people, write it.
pub fn capitalized(name: &str) -> String {
    let mut name = name.to_owned();
    if let Some(first) = name.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    name
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
}
