//! The write alone: a process that puts one item after the other by the SDK over `reqwest`, as the bridge's first edition did. That
//! is the unit in which an ack is measured, and so stays as it is when the bridge changes.
//!
//! It is this program, run again with [`ARGUMENT`]. A line on its stdin asks for one write, a line on its stdout gives the
//! nanoseconds that it took.

use std::collections::HashMap;
use std::error::Error;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::BehaviorVersion;
use aws_sdk_dynamodb::config::retry::{RetryPartition, TokenBucket};
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::SdkConfig;
use aws_types::region::Region;
use aws_types::sdk_config::StalledStreamProtectionConfig;
use bytes::Bytes;
use local::lambda_host::FunctionSpec;
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use shared::config::{AwsConfig, Config};
use tokio::io::AsyncBufReadExt;

pub(crate) const ARGUMENT: &str = "put-item";

/// The process, as the bench sees it.
pub(crate) struct PutItem {
    process: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl PutItem {
    /// Starts it with the environment of a function.
    pub(crate) fn start(spec: &FunctionSpec) -> io::Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg(ARGUMENT)
            .envs(spec.env.iter().cloned())
            // What Lambda sets, as far as the bridge's configuration wants it.
            .env("AWS_LAMBDA_RUNTIME_API", "none")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "AKIASAMPLELOCALONLY0")
            .env("AWS_SECRET_ACCESS_KEY", "sample-secret-of-this-machine-do-not-use")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let pipes = process.stdin.take().zip(process.stdout.take());
        let (ask, answers) = pipes.ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Self { process, ask, answers: BufReader::new(answers) })
    }

    /// How long one write took.
    pub(crate) fn put(&mut self) -> Result<Duration, Box<dyn Error>> {
        self.ask.write_all(b"\n")?;
        let mut nanoseconds = String::new();
        self.answers.read_line(&mut nanoseconds)?;
        Ok(Duration::from_nanos(nanoseconds.trim().parse()?))
    }

    /// CPU time so far of the thread that writes; another one reads stdin.
    pub(crate) fn cpu(&self) -> Result<Duration, Box<dyn Error>> {
        let schedstat = fs::read_to_string(format!("/proc/{}/schedstat", self.process.id()))?;
        Ok(Duration::from_nanos(schedstat.split(' ').next().unwrap_or_default().parse()?))
    }
}

impl Drop for PutItem {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What the process does, on one thread as a function.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn serve() -> Result<(), Box<dyn Error>> {
    let config = Config::from_env()?;
    let client = client(&config.aws)?;
    let mut asked = tokio::io::BufReader::new(tokio::io::stdin()).lines();
    for number in 0.. {
        if asked.next_line().await?.is_none() {
            break;
        }
        let item = item(number);
        let began = Instant::now();
        client
            .put_item()
            .table_name(&config.table_name)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(pk)")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await?;
        println!("{}", began.elapsed().as_nanos());
    }
    Ok(())
}

fn client(config: &AwsConfig) -> Result<Client, Box<dyn Error>> {
    let timeouts = TimeoutConfig::builder()
        .operation_attempt_timeout(Duration::from_millis(1_000))
        .operation_timeout(Duration::from_millis(3_200));
    let builder = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(config.region.clone()))
        .credentials_provider(SharedCredentialsProvider::new(config.credentials.clone()))
        .http_client(Reqwest(reqwest()?))
        .retry_config(RetryConfig::standard().with_max_attempts(3).with_initial_backoff(Duration::from_millis(40)))
        .timeout_config(timeouts.build())
        .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .endpoint_url(config.dynamodb_url.as_deref().unwrap_or_default());
    let retries = RetryPartition::custom("DynamoDB").token_bucket(TokenBucket::unlimited()).build();
    Ok(Client::from_conf(aws_sdk_dynamodb::config::Builder::from(&builder.build()).retry_partition(retries).build()))
}

fn reqwest() -> Result<reqwest::Client, Box<dyn Error>> {
    let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(reqwest::Client::builder()
        .no_proxy()
        .tls_backend_preconfigured(tls)
        .user_agent("bridge")
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .connect_timeout(Duration::from_secs(1))
        .pool_idle_timeout(Duration::from_secs(20))
        .build()?)
}

/// `reqwest` behind the SDK.
#[derive(Clone, Debug)]
struct Reqwest(reqwest::Client);

impl HttpClient for Reqwest {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Reqwest {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let Self(client) = self.clone();
        HttpConnectorFuture::new(async move {
            exchange(&client, request).await.map_err(|error| ConnectorError::other(error, None))
        })
    }
}

async fn exchange(
    client: &reqwest::Client,
    request: HttpRequest,
) -> Result<HttpResponse, Box<dyn Error + Send + Sync>> {
    let (parts, body) = request.try_into_http1x()?.into_parts();
    let body = body.bytes().map(Bytes::copy_from_slice).unwrap_or_default();
    let request = reqwest::Request::try_from(http::Request::from_parts(parts, body))?;
    // Kept for a connection that dies before the answer.
    let _again = request.try_clone();
    let response = client.execute(request).await?;
    let (status, headers) = (response.status(), response.headers().clone());
    let mut response = http::Response::new(SdkBody::from(response.bytes().await?));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(HttpResponse::try_from(response)?)
}

/// What `rail` writes of an event that no route wants.
fn item(number: usize) -> HashMap<String, AttributeValue> {
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let count = |count: &str| AttributeValue::N(count.to_owned());
    [
        ("pk", text(&format!("bare#evt_{number:012}"))),
        ("provider", text("bare")),
        ("event_type", text("ACCOUNT_DORMANT")),
        ("occurred_at", count("1770873799000")),
        ("received_at", count("1770873801042")),
        ("state", text("ignored")),
        ("attempts", count("0")),
        ("body", AttributeValue::B(Blob::new(include_str!("../../../events/rail/account_dormant.json")))),
        ("body_encoding", text("identity")),
        ("body_sha256", text(&"0".repeat(64))),
        ("taken_by", text("8476a536-e9f4-11e8-9739-2dfe598c3fcd/0123456789abcdef")),
        ("history", AttributeValue::L(Vec::new())),
        ("deliveries", AttributeValue::M(HashMap::new())),
        ("expires_at", count("1778649801")),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}
