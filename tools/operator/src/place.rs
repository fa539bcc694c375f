//! Where an operator works: on the bridge that `bridge dev` runs on this machine, or on one in AWS.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::{ProfileFileCredentialsProvider, ProfileFileRegionProvider};
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_types::region::Region;
use aws_types::sdk_config::SdkConfig;
use shared::clock::Clock;
use shared::customer::table::Customers;
use shared::deliver::resolver::Resolver;
use shared::outside::http::Http;
use shared::outside::secrets::SecretError;
use shared::record::store::EventStore;
use shared::record::store::error::StoreError;

use crate::cloudformation::Stack;
use crate::dev_file::DevFile;
use crate::error::{OperatorError, reach_hint, with_causes};
use crate::network::{http, http_for_aws};
use crate::parts::{Parts, Target};
use crate::redrive_function::RedriveFunction;

/// A bridge to work on: the clients that reach it, and the names of its parts.
#[derive(Clone, Debug)]
pub struct Place {
    pub parts: Parts,
    pub http: Http,
    pub dynamodb: aws_sdk_dynamodb::Client,
    pub secrets_manager: aws_sdk_secretsmanager::Client,
    /// How the redrive function is called.
    invoking: SdkConfig,
    site: Site,
}

#[derive(Clone, Debug)]
enum Site {
    Local { gateway_url: String, real_secrets: BTreeSet<String> },
    Aws { config: Box<SdkConfig>, stack: Option<Stack>, flags: String },
}

/// An operator waits longer than a provider does, and perhaps from another continent.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);

/// Lambda's longest run is 15 minutes; no function of the bridge is given more than one.
const INVOKE_TIMEOUT: Duration = Duration::from_secs(90);

/// What every local stand-in accepts.
const LOCAL_REGION: &str = "us-east-1";

impl Place {
    /// Opens what `target` names. `root` is the checkout whose `bridge dev` is meant otherwise, `flag` the one that names a
    /// bridge in AWS.
    ///
    /// # Errors
    /// No bridge runs here; or AWS has no region, no credentials or no such stack.
    pub async fn open(target: Target, root: &Path, flag: &str) -> Result<Self, OperatorError> {
        if target.stack.is_none() && target.parts == Parts::default() {
            return Ok(Self::local(&running(root, flag)?, http()?));
        }
        let http = http_for_aws(target.profile.as_deref()).await?;
        let config = aws_config(target.region.as_deref(), target.profile.as_deref(), &http).await?;
        let stack = match &target.stack {
            Some(name) => Some(Stack::read(name, &config).await?),
            None => None,
        };
        let flag = |name, value: &Option<String>| value.as_ref().map(|value| format!(" --{name} {value}"));
        let flags = [flag("region", &target.region), flag("profile", &target.profile)];
        Ok(Self {
            parts: stack.as_ref().map_or(target.parts, Stack::parts),
            http,
            dynamodb: aws_sdk_dynamodb::Client::new(&config),
            secrets_manager: aws_sdk_secretsmanager::Client::new(&config),
            invoking: invoking(&config),
            site: Site::Aws { config: Box::new(config), stack, flags: flags.into_iter().flatten().collect() },
        })
    }

    /// The bridge that runs on this machine. What its secrets name may be elsewhere.
    pub fn local(dev: &DevFile, http: Http) -> Self {
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(LOCAL_REGION))
            .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
                "local",
                "local",
                None,
                None,
                "bridge dev",
            )))
            .http_client(http.clone())
            .timeout_config(timeouts(ATTEMPT_TIMEOUT))
            .retry_config(retries())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .build();
        let at = |url: &str| config.to_builder().endpoint_url(url).build();
        Self {
            parts: dev.parts.clone(),
            http,
            dynamodb: aws_sdk_dynamodb::Client::new(&at(&dev.dynamodb_url)),
            secrets_manager: aws_sdk_secretsmanager::Client::new(&at(&dev.secrets_manager_url)),
            invoking: invoking(&at(&dev.gateway_url)),
            site: Site::Local { gateway_url: dev.gateway_url.clone(), real_secrets: dev.real_secrets.clone() },
        }
    }

    /// The clients of AWS's other services are made with this; `None` on this machine.
    pub fn aws(&self) -> Option<&SdkConfig> {
        match &self.site {
            Site::Local { .. } => None,
            Site::Aws { config, .. } => Some(config),
        }
    }

    /// Whether a secret leads to a system outside this machine.
    pub fn is_real(&self, secret: &str) -> bool {
        match &self.site {
            Site::Local { real_secrets, .. } => real_secrets.contains(secret),
            Site::Aws { .. } => true,
        }
    }

    /// The stack that was named.
    pub fn stack(&self) -> Option<&Stack> {
        match &self.site {
            Site::Aws { stack, .. } => stack.as_ref(),
            Site::Local { .. } => None,
        }
    }

    /// What every `bridge` and `aws` command to this place takes: ` --region eu-west-1`, or nothing.
    pub fn flags(&self) -> &str {
        match &self.site {
            Site::Aws { flags, .. } => flags,
            Site::Local { .. } => "",
        }
    }

    /// # Errors
    /// No events table is named.
    pub fn events(&self) -> Result<EventStore, OperatorError> {
        let table =
            self.part(&self.parts.events_table, "EventsTableName", "--table", "the name of the events table")?;
        Ok(EventStore::new(self.dynamodb.clone(), table))
    }

    /// # Errors
    /// No customers table is named.
    pub fn customers(&self) -> Result<Customers, OperatorError> {
        let name = &self.parts.customers_table;
        let table = self.part(name, "CustomersTableName", "--customers-table", "the name of the customers table")?;
        Ok(Customers::new(self.dynamodb.clone(), table))
    }

    /// Says who a customer is, by the body and the customers table alone.
    pub fn resolver(&self) -> Resolver {
        Resolver { clock: Clock::system(), customers: self.customers().ok(), apis: Vec::new() }
    }

    /// # Errors
    /// No function is named.
    pub fn redrive_function(&self) -> Result<RedriveFunction, OperatorError> {
        let name = &self.parts.redrive_function;
        let name = self.part(name, "RedriveFunctionName", "--function", "the name of the redrive function")?;
        Ok(RedriveFunction { config: self.invoking.clone(), name })
    }

    fn part(&self, name: &Option<String>, output: &str, flag: &str, what: &str) -> Result<String, OperatorError> {
        name.clone().ok_or_else(|| match self.stack() {
            Some(stack) => OperatorError::usage(
                format!("Stack {} has no output `{output}`", stack.name),
                format!("deploy this version's template.yaml, or pass `--table` and `{flag}` instead of `--stack`"),
            ),
            None => OperatorError::usage(
                format!("Missing `{flag}`: {what}"),
                format!("the stack has it as output `{output}`"),
            ),
        })
    }

    /// What an operator calls it.
    pub fn name(&self) -> String {
        let (config, stack) = match &self.site {
            Site::Local { gateway_url, .. } => return format!("the bridge on this machine ({gateway_url})"),
            Site::Aws { config, stack, .. } => (config, stack),
        };
        let Parts { events_table, customers_table, signing_secrets, .. } = &self.parts;
        let what = match (stack, events_table, customers_table) {
            (Some(stack), ..) => format!("stack {}", stack.name),
            (None, Some(events), Some(customers)) => format!("tables {events} and {customers}"),
            (None, Some(table), None) | (None, None, Some(table)) => format!("table {table}"),
            (None, None, None) => {
                let secrets: Vec<&str> = signing_secrets.values().map(String::as_str).collect();
                format!("secret {}", secrets.join(", "))
            }
        };
        format!("{what} in {}", config.region().map_or("", Region::as_ref))
    }

    /// What a failed call to a table of this place means.
    pub fn store_error(&self, error: &StoreError) -> OperatorError {
        let StoreError::Unavailable { table, reason } = error else {
            return OperatorError::outside(
                error,
                "another program wrote or changed this item; inspect it in the DynamoDB console",
            );
        };
        if self.aws().is_none() {
            return OperatorError::outside(error, "check that `bridge dev` is running: it holds the table");
        }
        match reason.as_str() {
            "ResourceNotFoundException" => OperatorError::usage(
                error,
                "no such table or index: check the table's name, `--region` and `--profile`",
            ),
            // No such index, or another hash key.
            "ValidationException" => OperatorError::usage(
                error,
                "this table does not have the key schema and index of an events table: check its name",
            ),
            "AccessDeniedException" => {
                let permissions = match self.parts.customers_table.as_ref() == Some(table) {
                    true => "`dynamodb:GetItem`, and for changes `PutItem` and `BatchWriteItem`,",
                    false => {
                        "`dynamodb:GetItem`, `BatchGetItem`, `Query` (also on its index) and `Scan`, and for changes `PutItem` and `UpdateItem`,"
                    }
                };
                OperatorError::outside(error, format!("requires permissions {permissions} on table `{table}`"))
            }
            reason => OperatorError::outside(error, reach_hint(reason)),
        }
    }

    /// What a failed call for a secret of this place means.
    pub fn secret_error(&self, error: &SecretError) -> OperatorError {
        let SecretError::Unreachable { id, reason, .. } = error else {
            return OperatorError::usage(
                error,
                "correct it with `aws secretsmanager put-secret-value`; values are not shown",
            );
        };
        match (self.aws(), reason.as_str()) {
            (_, "ResourceNotFoundException") => OperatorError::usage(
                error,
                "no such secret, or it is empty: check its name, `--region` and `--profile`",
            ),
            (None, _) => OperatorError::outside(error, "check that `bridge dev` is running: it holds the secrets"),
            (_, "AccessDeniedException") => OperatorError::outside(
                error,
                format!(
                    "requires permission `secretsmanager:GetSecretValue`, and for changes `PutSecretValue`, on secret `{id}`"
                ),
            ),
            (_, "LimitExceededException") => OperatorError::outside(
                error,
                "Secrets Manager keeps about 100 versions of a secret made within a day: run it again tomorrow",
            ),
            (_, reason) => OperatorError::outside(error, reach_hint(reason)),
        }
    }
}

fn running(root: &Path, flag: &str) -> Result<DevFile, OperatorError> {
    let read = DevFile::read(root).map_err(|error| {
        OperatorError::outside(
            format!("`.bridge/dev.json` cannot be read: {error}"),
            "remove it, and start `bridge dev` again",
        )
    })?;
    read.ok_or_else(|| {
        let hint = format!("start one with `bridge dev`, or pass `{flag}` to work in AWS");
        OperatorError::outside("No bridge is running on this machine", hint)
    })
}

/// AWS by the SDK's usual chain, asked for region and credentials at once.
async fn aws_config(region: Option<&str>, profile: Option<&str>, http: &Http) -> Result<SdkConfig, OperatorError> {
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http.clone())
        .timeout_config(timeouts(ATTEMPT_TIMEOUT))
        .retry_config(retries())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    let region = region.map(|region| Region::new(region.to_owned()));
    if let Some(region) = &region {
        loader = loader.region(region.clone());
    }
    if let Some(profile) = profile {
        // The usual chain would ask the environment first: a profile that a person names must win over keys there.
        let region = match region {
            Some(region) => Some(region),
            None => {
                let of_profile = ProfileFileRegionProvider::builder().profile_name(profile).build();
                RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
                    .or_else(of_profile)
                    .region()
                    .await
            }
        };
        let services = ProviderConfig::without_region().with_region(region).with_http_client(http.clone());
        let named = ProfileFileCredentialsProvider::builder().configure(&services).profile_name(profile).build();
        loader = loader.profile_name(profile).credentials_provider(named);
    }
    let config = loader.load().await;

    if config.region().is_none() {
        return Err(OperatorError::usage(
            "No AWS region is set",
            "pass `--region eu-west-1`, or set `AWS_REGION` or the profile's region",
        ));
    }
    // Asked here, so that the reason is reported: behind a call it would read as a call that failed.
    let Some(provider) = config.credentials_provider() else {
        return Err(no_credentials("none are configured", profile));
    };
    provider.provide_credentials().await.map_err(|error| no_credentials(&with_causes(&error), profile))?;
    Ok(config)
}

fn no_credentials(why: &str, profile: Option<&str>) -> OperatorError {
    match profile {
        Some(profile) => OperatorError::outside(
            format!("No AWS credentials from profile `{profile}`: {why}"),
            "`aws configure list-profiles` shows the names; a profile with SSO needs `aws sso login --profile NAME`",
        ),
        None => OperatorError::outside(
            format!("No AWS credentials: {why}"),
            "run `aws sso login`, pass `--profile`, or set `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`",
        ),
    }
}

fn timeouts(attempt: Duration) -> TimeoutConfig {
    TimeoutConfig::builder().operation_attempt_timeout(attempt).build()
}

fn retries() -> RetryConfig {
    RetryConfig::standard().with_max_attempts(4)
}

/// No retries of the SDK's: a call whose answer is late may be running, and a second one would send everything twice.
fn invoking(config: &SdkConfig) -> SdkConfig {
    config.to_builder().timeout_config(timeouts(INVOKE_TIMEOUT)).retry_config(RetryConfig::disabled()).build()
}

#[cfg(test)]
mod tests;
