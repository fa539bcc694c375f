//! Where a verb works: on the bridge that `bridge dev` runs here, or on one in AWS when the flags say so.

use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials;
use aws_sdk_lambda::operation::invoke::InvokeError;
use aws_sdk_lambda::primitives::Blob;
use aws_types::region::Region;
use aws_types::sdk_config::SdkConfig;
use clap::Args;
use local::binaries::workspace_root;
use local::dev_file::DevFile;
use shared::clock::Clock;
use shared::config::AwsConfig;
use shared::customer::table::Customers;
use shared::deliver::resolver::Resolver;
use shared::outside::aws::sdk_reason;
use shared::outside::http::Http;
use shared::record::store::EventStore;
use shared::record::store::error::StoreError;

use crate::failure::{Failure, with_causes};

/// Without --table: the bridge that `bridge dev` runs here.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Where")]
pub(crate) struct Target {
    /// Work on this events table in AWS, with the credentials of the SDK's usual chain; without it, on the bridge that
    /// `bridge dev` runs here
    #[arg(long, value_name = "NAME")]
    table: Option<String>,
    /// AWS region, unless environment or profile say
    #[arg(long, value_name = "REGION", requires = "table")]
    region: Option<String>,
    /// AWS profile, unless the environment says
    #[arg(long, value_name = "NAME", requires = "table")]
    profile: Option<String>,
}

/// Without --customers-table: the bridge that `bridge dev` runs here.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Where")]
pub(crate) struct CustomersTarget {
    /// Work on this customers table in AWS, with the credentials of the SDK's usual chain; without it, on the bridge that
    /// `bridge dev` runs here
    #[arg(long, value_name = "NAME")]
    pub(crate) customers_table: Option<String>,
    /// AWS region, unless environment or profile say
    #[arg(long, value_name = "REGION", requires = "customers_table")]
    region: Option<String>,
    /// AWS profile, unless the environment says
    #[arg(long, value_name = "NAME", requires = "customers_table")]
    profile: Option<String>,
}

/// A bridge to work on.
pub(crate) struct Bridge {
    pub(crate) store: EventStore,
    dynamodb: aws_sdk_dynamodb::Client,
    place: Place,
}

/// A bridge's customers.
pub(crate) struct CustomersBridge {
    pub(crate) customers: Customers,
    /// Where what happens once is noted.
    pub(crate) events: Option<EventStore>,
    place: Place,
}

enum Place {
    Here(DevFile),
    Aws { table: String, config: Box<SdkConfig> },
}

/// The function that redrives, wherever it is.
pub(crate) struct Function {
    client: aws_sdk_lambda::Client,
    name: String,
}

/// An operator waits longer than a provider does, and perhaps from another continent.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);

/// Lambda's longest run is 15 minutes; no function of the bridge is given more than one.
const INVOKE_TIMEOUT: Duration = Duration::from_secs(90);

/// How often a call is made anew that Lambda turned away before it ran, and the first wait before that.
const THROTTLED_TRIES: u32 = 6;
const THROTTLED_WAIT: Duration = Duration::from_millis(250);

impl Target {
    pub(crate) async fn open(&self) -> Result<Bridge, Failure> {
        let http = http()?;
        match &self.table {
            None => Ok(Bridge::here(dev_file("--table NAME works on a table in AWS")?, &http)),
            Some(table) => self.aws(table, &http).await,
        }
    }

    async fn aws(&self, table: &str, http: &Http) -> Result<Bridge, Failure> {
        let config = aws_config(self.region.as_deref(), self.profile.as_deref(), http).await?;
        Ok(Bridge::deployed(config, table.to_owned()))
    }
}

impl CustomersTarget {
    /// Opens the customers table, and the events table where it is said or the bridge runs here.
    pub(crate) async fn open(&self, events_table: Option<&str>) -> Result<CustomersBridge, Failure> {
        let http = http()?;
        let Some(table) = &self.customers_table else {
            return Ok(CustomersBridge::here(dev_file("--customers-table NAME works on a table in AWS")?, &http));
        };
        let config = aws_config(self.region.as_deref(), self.profile.as_deref(), &http).await?;
        let client = aws_sdk_dynamodb::Client::new(&config);
        let events = events_table.map(|events| EventStore::new(client.clone(), events.to_owned()));
        let customers = Customers::new(client, table.clone());
        Ok(CustomersBridge { customers, events, place: Place::Aws { table: table.clone(), config: Box::new(config) } })
    }
}

/// AWS by the SDK's usual chain, asked for region and credentials at once.
pub(crate) async fn aws_config(region: Option<&str>, profile: Option<&str>, http: &Http) -> Result<SdkConfig, Failure> {
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT_TIMEOUT).build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http.clone())
        .timeout_config(timeouts)
        .retry_config(RetryConfig::standard().with_max_attempts(4))
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    if let Some(region) = region {
        loader = loader.region(Region::new(region.to_owned()));
    }
    if let Some(profile) = profile {
        loader = loader.profile_name(profile);
    }
    let config = loader.load().await;

    if config.region().is_none() {
        return Err(Failure::usage("no AWS region is set", "--region eu-west-1, or AWS_REGION, or the profile's"));
    }
    // Asked here, so that the reason can be told: behind a call it would read as a call that failed.
    let Some(provider) = config.credentials_provider() else {
        return Err(no_credentials("none are set up"));
    };
    provider.provide_credentials().await.map_err(|error| no_credentials(&with_causes(&error)))?;
    Ok(config)
}

pub(crate) fn http() -> Result<Http, Failure> {
    Http::new().map_err(|error| Failure::outside(with_causes(&error), "this build lacks TLS; build it again"))
}

/// The bridge that runs here; `otherwise` is what the verb can work on instead.
pub(crate) fn dev_file(otherwise: &str) -> Result<DevFile, Failure> {
    let read = DevFile::read(&workspace_root()).map_err(|error| {
        Failure::outside(
            format!(".bridge/dev.json cannot be read: {error}"),
            "remove it, and start `bridge dev` once more",
        )
    })?;
    read.ok_or_else(|| Failure::outside("no bridge runs here", format!("`bridge dev` starts one; {otherwise}")))
}

/// What the clients of the local stand-ins are made with.
pub(crate) fn local_config(dev: &DevFile) -> AwsConfig {
    AwsConfig {
        region: LOCAL_REGION.to_owned(),
        credentials: local_credentials(),
        dynamodb_url: Some(dev.dynamodb_url.clone()),
        secrets_manager_url: Some(dev.secrets_manager_url.clone()),
    }
}

impl Bridge {
    /// A bridge that runs on this machine.
    pub(crate) fn here(dev: DevFile, http: &Http) -> Self {
        let dynamodb = shared::outside::aws::dynamodb(&local_config(&dev), http);
        // As in AWS: a function waits no longer than a second, in which an unoptimised engine may not read a page of a scan.
        let timeouts = TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT_TIMEOUT).build();
        let patient = dynamodb.config().to_builder().timeout_config(timeouts).build();
        let dynamodb = aws_sdk_dynamodb::Client::from_conf(patient);
        let store = EventStore::new(dynamodb.clone(), dev.events_table.clone());
        Self { store, dynamodb, place: Place::Here(dev) }
    }

    /// A bridge in AWS, by its events table.
    pub(crate) fn deployed(config: SdkConfig, table: String) -> Self {
        let dynamodb = aws_sdk_dynamodb::Client::new(&config);
        let store = EventStore::new(dynamodb.clone(), table.clone());
        Self { store, dynamodb, place: Place::Aws { table, config: Box::new(config) } }
    }

    /// The function that redrives: here `bridge dev`'s, in AWS the one of this name.
    pub(crate) fn redrive_function(&self, named: Option<&str>) -> Result<Function, Failure> {
        let timeouts = TimeoutConfig::builder().operation_attempt_timeout(INVOKE_TIMEOUT).build();
        let (name, config) = match &self.place {
            Place::Aws { config, .. } => {
                let name = named.ok_or_else(|| {
                    Failure::usage(
                        "which function redrives is not said",
                        "--function NAME; the stack's outputs and the Lambda console have it",
                    )
                })?;
                (name.to_owned(), aws_sdk_lambda::config::Builder::from(&**config))
            }
            Place::Here(dev) => {
                let http = http()?;
                let config = aws_sdk_lambda::Config::builder()
                    .behavior_version(BehaviorVersion::latest())
                    .region(Region::new(LOCAL_REGION))
                    .credentials_provider(local_credentials())
                    .endpoint_url(&dev.gateway_url)
                    .http_client(http);
                (dev.redrive_function.clone(), config)
            }
        };
        // No retries of the SDK's: a call whose answer is late may be running, and a second one would send everything twice.
        let config = config
            .timeout_config(timeouts)
            .retry_config(RetryConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        Ok(Function { client: aws_sdk_lambda::Client::from_conf(config.build()), name })
    }

    /// Says who a customer is, by the body and the customers table alone; in AWS by the one of this name.
    pub(crate) fn resolver(&self, customers_table: Option<&str>) -> Resolver {
        let table = match &self.place {
            Place::Here(dev) => Some(dev.customers_table.clone()),
            Place::Aws { .. } => customers_table.map(str::to_owned),
        };
        let customers = table.map(|table| Customers::new(self.dynamodb.clone(), table));
        Resolver { clock: Clock::system(), customers, apis: Vec::new() }
    }

    /// What an operator calls it.
    pub(crate) fn name(&self) -> String {
        self.place.name()
    }

    pub(crate) fn failure(&self, error: &StoreError) -> Failure {
        self.place
            .failure(error, "dynamodb:GetItem, BatchGetItem, Query (on the index, too), Scan and PutItem on the table")
    }

    /// Of looking up who a customer is.
    pub(crate) fn customers_failure(&self, error: &StoreError) -> Failure {
        self.place.failure(error, "dynamodb:GetItem on the customers table")
    }
}

impl CustomersBridge {
    /// The tables of a bridge that runs on this machine.
    pub(crate) fn here(dev: DevFile, http: &Http) -> Self {
        let client = shared::outside::aws::dynamodb(&local_config(&dev), http);
        let events = Some(EventStore::new(client.clone(), dev.events_table.clone()));
        let customers = Customers::new(client, dev.customers_table.clone());
        Self { customers, events, place: Place::Here(dev) }
    }

    /// What an operator calls it.
    pub(crate) fn name(&self) -> String {
        self.place.name()
    }

    pub(crate) fn failure(&self, error: &StoreError) -> Failure {
        let needs = "dynamodb:GetItem, PutItem and BatchWriteItem on the customers table, and for `once` PutItem on the events table";
        self.place.failure(error, needs)
    }
}

impl Place {
    fn name(&self) -> String {
        match self {
            Self::Here(dev) => format!("the bridge that runs here ({})", dev.gateway_url),
            Self::Aws { table, config } => {
                let region = config.region().map_or("", Region::as_ref);
                format!("table {table} in {region}")
            }
        }
    }

    /// `needs` is what IAM must allow.
    fn failure(&self, error: &StoreError, needs: &str) -> Failure {
        let StoreError::Unavailable { reason, .. } = error else {
            return Failure::outside(
                error,
                "somebody else wrote or changed this item; look at it in the DynamoDB console",
            );
        };
        match (self, reason.as_str()) {
            (Self::Here(_), _) => Failure::outside(error, "is `bridge dev` still up? The table is in its hands"),
            (_, "ResourceNotFoundException") => Failure::usage(
                error,
                "there is no such table or index here: check the table's name, --region and --profile",
            ),
            // No such index, or another hash key.
            (_, "ValidationException") => {
                Failure::usage(error, "it has not the keys and the index of the bridge's table: check the table's name")
            }
            (_, "AccessDeniedException") => Failure::outside(error, format!("it takes {needs}")),
            (_, "UnrecognizedClientException" | "ExpiredTokenException" | "InvalidSignatureException") => {
                Failure::outside(error, "AWS does not take the credentials: log in again, or name another --profile")
            }
            _ => Failure::outside(error, "try again; is AWS within reach, and the region right?"),
        }
    }
}

impl Function {
    /// Calls the function and waits for what it says.
    pub(crate) async fn invoke(&self, payload: String) -> Result<Vec<u8>, Failure> {
        let mut wait = THROTTLED_WAIT;
        for tries in 1.. {
            let call = self.client.invoke().function_name(&self.name).payload(Blob::new(payload.clone()));
            let error = match call.send().await {
                Ok(output) if output.function_error.is_none() => {
                    return Ok(output.payload.map(Blob::into_inner).unwrap_or_default());
                }
                Ok(output) => return Err(self.failed(&output.payload.map(Blob::into_inner).unwrap_or_default())),
                Err(error) => error,
            };
            let service = error.as_service_error();
            if service.is_some_and(InvokeError::is_too_many_requests_exception) && tries < THROTTLED_TRIES {
                tokio::time::sleep(wait).await;
                wait *= 2;
                continue;
            }
            let problem = format!("function {} cannot be called: {}", self.name, sdk_reason(&error));
            return Err(if service.is_some_and(InvokeError::is_resource_not_found_exception) {
                Failure::usage(problem, "there is no such function here: check --function, --region and --profile")
            } else {
                Failure::outside(problem, "it takes lambda:InvokeFunction on it; here, `bridge dev` must be up")
            });
        }
        unreachable!("the last try returns")
    }

    /// The function ran and failed: Lambda's own words of it, which quote no event.
    fn failed(&self, payload: &[u8]) -> Failure {
        let said: serde_json::Value = serde_json::from_slice(payload).unwrap_or_default();
        let said = said.get("errorMessage").and_then(|text| text.as_str()).unwrap_or("it did not say why");
        let said: String = said.chars().take(200).collect();
        Failure::outside(format!("function {} failed: {said}", self.name), "its log says more")
    }
}

/// What every local stand-in takes.
fn local_credentials() -> Credentials {
    Credentials::new("local", "local", None, None, "bridge dev")
}

fn no_credentials(why: &str) -> Failure {
    Failure::outside(
        format!("no AWS credentials: {why}"),
        "`aws sso login`, --profile NAME, or AWS_ACCESS_KEY_ID and its companions",
    )
}

const LOCAL_REGION: &str = "us-east-1";
