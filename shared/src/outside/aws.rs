//! The two AWS clients, on the bridge's own HTTP client and within the time of a delivery.

use std::future::Future;
use std::time::Duration;

use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_dynamodb::config::BehaviorVersion;
use aws_sdk_dynamodb::config::retry::{RetryPartition, TokenBucket};
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::SdkConfig;
use aws_types::region::Region;
use aws_types::sdk_config::StalledStreamProtectionConfig;
use tokio::time::{Instant, sleep, timeout_at};

use crate::config::AwsConfig;
use crate::outside::http::Http;

/// DynamoDB and Secrets Manager answer within tens of milliseconds; a call that takes longer than this is repeated.
const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(1_000);

/// Three attempts that hang end within the receiver's budget.
const OPERATION_TIMEOUT: Duration = Duration::from_millis(3_200);

const MAX_ATTEMPTS: u32 = 3;

/// The SDK's default of one second would be a quarter of the time that the provider allows.
const FIRST_BACKOFF: Duration = Duration::from_millis(40);

/// The first wait before a repeated call is at most this, and twice as much from one to the next.
const FIRST_WAIT: Duration = Duration::from_millis(25);

/// A table that recovers is noticed within this.
const LONGEST_WAIT: Duration = Duration::from_millis(200);

/// The [`sdk_reason`] of a call that took too long.
pub const NO_ANSWER: &str = "no answer in time";

pub fn dynamodb(config: &AwsConfig, http: &Http) -> aws_sdk_dynamodb::Client {
    let config = sdk_config(config, http, config.dynamodb_url.as_deref());
    let config = aws_sdk_dynamodb::config::Builder::from(&config).retry_partition(retry_partition("DynamoDB"));
    aws_sdk_dynamodb::Client::from_conf(config.build())
}

pub fn secrets_manager(config: &AwsConfig, http: &Http) -> aws_sdk_secretsmanager::Client {
    let config = sdk_config(config, http, config.secrets_manager_url.as_deref());
    let config = aws_sdk_secretsmanager::config::Builder::from(&config);
    aws_sdk_secretsmanager::Client::from_conf(config.retry_partition(retry_partition("Secrets Manager")).build())
}

/// Repeats a call, with short waits, until it succeeds, is refused, or `until` has come: then its last failure.
///
/// # Errors
/// The call was refused, or did not succeed by `until`; it may have taken effect all the same.
pub async fn repeat<T, E, F>(until: Instant, call: impl Fn() -> F) -> Result<T, SdkError<E, HttpResponse>>
where
    E: ProvideErrorMetadata,
    F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
{
    let mut longest_wait = FIRST_WAIT;
    let mut failure = None;
    loop {
        let Ok(result) = timeout_at(until, call()).await else {
            // What went wrong before says more than that time is over.
            return Err(failure.unwrap_or_else(|| SdkError::timeout_error(NO_ANSWER)));
        };
        // Full jitter: those who failed together do not come again together.
        let wait = longest_wait.mul_f64(fastrand::f64());
        match result {
            Err(error) if may_pass(&error) && Instant::now() + wait < until => failure = Some(error),
            result => return result,
        }
        sleep(wait).await;
        longest_wait = (longest_wait * 2).min(LONGEST_WAIT);
    }
}

/// Whether the same call may succeed a moment later: throttled, an error of the service's own, or no answer.
pub(crate) fn may_pass<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    match error {
        SdkError::ServiceError(service) => {
            let throttled = service.err().code().is_some_and(|code| THROTTLED.contains(&code));
            throttled || service.raw().status().is_server_error()
        }
        SdkError::DispatchFailure(failure) => !failure.is_user(),
        SdkError::TimeoutError(_) | SdkError::ResponseError(_) => true,
        _ => false,
    }
}

/// How AWS says that it has had too many calls.
pub(crate) const THROTTLED: [&str; 3] =
    ["ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded"];

/// A budget of retries that never runs out. The SDK's own is spent by an outage of seconds, and gives up on the first
/// failure after it: [`MAX_ATTEMPTS`] and [`OPERATION_TIMEOUT`] are the bounds here.
fn retry_partition(name: &'static str) -> RetryPartition {
    RetryPartition::custom(name).token_bucket(TokenBucket::unlimited()).build()
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

#[cfg(test)]
mod tests;
