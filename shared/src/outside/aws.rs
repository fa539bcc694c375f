//! The two AWS clients, on the bridge's own HTTP client and within the time of a delivery.

use std::time::Duration;

use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_dynamodb::config::BehaviorVersion;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::SdkConfig;
use aws_types::region::Region;
use aws_types::sdk_config::StalledStreamProtectionConfig;

use crate::config::AwsConfig;
use crate::outside::http::Http;

/// DynamoDB and Secrets Manager answer within tens of milliseconds; a call that takes longer than this is repeated.
const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(1_000);

/// Three attempts that hang end within the receiver's budget.
const OPERATION_TIMEOUT: Duration = Duration::from_millis(3_200);

const MAX_ATTEMPTS: u32 = 3;

/// The SDK's default of one second would be a quarter of the time that the provider allows.
const FIRST_BACKOFF: Duration = Duration::from_millis(40);

/// The [`sdk_reason`] of a call that took too long.
pub const NO_ANSWER: &str = "no answer in time";

pub fn dynamodb(config: &AwsConfig, http: &Http) -> aws_sdk_dynamodb::Client {
    aws_sdk_dynamodb::Client::new(&sdk_config(config, http, config.dynamodb_url.as_deref()))
}

pub fn secrets_manager(config: &AwsConfig, http: &Http) -> aws_sdk_secretsmanager::Client {
    aws_sdk_secretsmanager::Client::new(&sdk_config(config, http, config.secrets_manager_url.as_deref()))
}

fn sdk_config(config: &AwsConfig, http: &Http, url: Option<&str>) -> SdkConfig {
    let timeouts =
        TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT_TIMEOUT).operation_timeout(OPERATION_TIMEOUT);
    let builder = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(config.region.clone()))
        .credentials_provider(SharedCredentialsProvider::new(config.credentials.clone()))
        .http_client(http.clone())
        .retry_config(RetryConfig::standard().with_max_attempts(MAX_ATTEMPTS).with_initial_backoff(FIRST_BACKOFF))
        .timeout_config(timeouts.build())
        .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    match url {
        Some(url) => builder.endpoint_url(url).build(),
        None => builder.build(),
    }
}

/// How a call to AWS failed: AWS's own code or a few words; never its message, which may quote what was sent.
pub fn sdk_reason<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> String {
    match error {
        SdkError::ServiceError(service) => service.err().code().unwrap_or("refused without a code").to_owned(),
        SdkError::TimeoutError(_) => NO_ANSWER.to_owned(),
        SdkError::DispatchFailure(failure) if failure.is_timeout() => NO_ANSWER.to_owned(),
        SdkError::DispatchFailure(_) => "no connection".to_owned(),
        SdkError::ResponseError(_) => "the answer was not understood".to_owned(),
        _ => "the call could not be made".to_owned(),
    }
}
