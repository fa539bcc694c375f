//! Which Rail, which secret: those of the bridge that runs here, or of one in AWS.

use aws_types::sdk_config::SdkConfig;
use clap::Args;
use local::dev_file::DevFile;
use local::stack::{RAIL_API_SECRET, RAIL_SIGNING_SECRET, webhook_path};
use rail_subscriptions::{CallbackUrl, Cause, Error, Operation, RailApi, RailError, SigningSecret, Subscriptions};
use shared::clock::Clock;
use shared::customer::api_client::{ApiAccount, ApiClient};
use shared::customer::provider_api::ProviderApi;
use shared::outside::secrets::{CachedSecret, SecretError};

use super::RAIL;
use crate::aws::{aws_config, dev_file, http, local_config};
use crate::failure::Failure;

/// Without --signing-secret: the bridge that `bridge dev` runs here, and its stand-in of Rail.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Where")]
pub(super) struct Target {
    /// In AWS: the secret of Rail's signing keys, by name or ARN; with the credentials of the SDK's usual chain
    #[arg(long, value_name = "ID", requires = "api_secret")]
    signing_secret: Option<String>,
    /// In AWS: the secret with Rail's base_url, token_url, client_id and client_secret
    #[arg(long, value_name = "ID", requires = "signing_secret")]
    api_secret: Option<String>,
    /// AWS region, unless environment or profile say
    #[arg(long, value_name = "REGION", requires = "signing_secret")]
    region: Option<String>,
    /// AWS profile, unless the environment says
    #[arg(long, value_name = "NAME", requires = "signing_secret")]
    profile: Option<String>,
}

/// The URL that Rail delivers to.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct CallbackArg {
    /// Where Rail delivers: the function's public URL. Without it, that of the bridge that runs here
    #[arg(long, value_name = "URL", value_parser = callback_url)]
    callback_url: Option<CallbackUrl>,
}

pub(super) struct Bridge {
    pub(super) subscriptions: Subscriptions,
    api_secret: String,
    place: Place,
}

enum Place {
    Here(DevFile),
    Aws(Box<SdkConfig>),
}

impl Target {
    /// Opens both secrets; `api` says what the access token is for.
    pub(super) async fn open(&self, api: &ProviderApi) -> Result<Bridge, Failure> {
        let http = http()?;
        let (client, signing_secret, api_secret, place) = match (&self.signing_secret, &self.api_secret) {
            (Some(signing), Some(of_api)) => {
                let config = aws_config(self.region.as_deref(), self.profile.as_deref(), &http).await?;
                let client = aws_sdk_secretsmanager::Client::new(&config);
                (client, signing.clone(), of_api.clone(), Place::Aws(Box::new(config)))
            }
            _ => {
                let dev = dev_file("--signing-secret ID --api-secret ID works in AWS")?;
                let client = shared::outside::aws::secrets_manager(&local_config(&dev), &http);
                (client, RAIL_SIGNING_SECRET.to_owned(), RAIL_API_SECRET.to_owned(), Place::Here(dev))
            }
        };
        let clock = Clock::system();
        let account = CachedSecret::new(client.clone(), api_secret.clone(), clock, ApiAccount::parse).current_only();
        let subscriptions = Subscriptions {
            api: RailApi::new(ApiClient::new(api, http, account, clock)),
            secret: SigningSecret::new(client, signing_secret),
        };
        let bridge = Bridge { subscriptions, api_secret, place };
        bridge.subscriptions.api.check_account().await.map_err(|error| bridge.failure(&error))?;
        Ok(bridge)
    }
}

impl CallbackArg {
    pub(super) fn resolve(&self, bridge: &Bridge) -> Result<CallbackUrl, Failure> {
        match (&self.callback_url, &bridge.place) {
            (Some(url), _) => Ok(url.clone()),
            (None, Place::Here(dev)) => callback_url(&format!("{}{}", dev.gateway_url, webhook_path(RAIL)))
                .map_err(|problem| Failure::outside(problem, "start `bridge dev` once more")),
            (None, Place::Aws(_)) => Err(Failure::usage(
                "where Rail is to deliver is not said",
                "--callback-url https://.../webhooks/rail: the stack's output RailWebhookUrl",
            )),
        }
    }
}

fn callback_url(text: &str) -> Result<CallbackUrl, String> {
    CallbackUrl::parse(text).map_err(|problem| problem.to_string())
}

impl Bridge {
    /// What an operator calls it.
    pub(super) fn name(&self) -> String {
        let secret = self.subscriptions.secret.id();
        match &self.place {
            Place::Here(dev) => format!("secret {secret} of the bridge that runs here ({})", dev.gateway_url),
            Place::Aws(config) => {
                let region = config.region().map_or("", aws_types::region::Region::as_ref);
                format!("secret {secret} in {region}")
            }
        }
    }

    /// What went wrong, and what helps.
    pub(super) fn failure(&self, error: &Error) -> Failure {
        let again = "run it again: what is done is done, and it goes on from there";
        match error {
            Error::Rail(RailError { cause, operation }) => self.rail_failure(error, operation, cause),
            Error::Secret(secret) => self.secret_failure(secret),
            Error::Contended { .. } => Failure::outside(error, format!("when the other writer is done, {again}")),
            Error::NotInStep(_) => {
                Failure::refused(error, "`bridge rail subscriptions sync` first; `list` shows what they lack")
            }
            Error::Unsettled(_) => Failure::outside(
                error,
                "look at the subscriptions in Rail's Management UI, and ask Rail; `list` shows what is there",
            ),
            Error::NoSuchSubscription(_) => {
                Failure::refused(error, "`bridge rail subscriptions list` shows the ids at Rail and in the secret")
            }
        }
    }

    fn rail_failure(&self, error: &Error, operation: &Operation, cause: &Cause) -> Failure {
        let secret = &self.api_secret;
        let scopes = "subscriptions:read and subscriptions:write";
        let again = "run it again: what is done is done, and it goes on from there";
        match cause {
            Cause::LoginRejected(_) => Failure::outside(
                error,
                format!(
                    "client_id, client_secret and token_url in secret {secret} must be of one of Rail's environments"
                ),
            ),
            Cause::ScopeRejected => {
                Failure::outside(error, format!("ask Rail to give this client the scopes {scopes}"))
            }
            Cause::Unauthorized => Failure::outside(
                error,
                format!("token_url and base_url in secret {secret} must be of the same of Rail's environments"),
            ),
            Cause::Forbidden => Failure::outside(error, format!("this takes the scopes {scopes}: ask Rail for them")),
            Cause::NotFound => Failure::usage(
                error,
                format!(
                    "base_url in secret {secret} must be what /v1 follows: https://sandbox.layer2financial.com/api"
                ),
            ),
            Cause::Throttled { retry_after: Some(wait) } => {
                Failure::outside(error, format!("wait {} s, then {again}", wait.as_secs()))
            }
            Cause::Throttled { retry_after: None } => Failure::outside(error, format!("wait a minute, then {again}")),
            Cause::Rejected { .. } if *operation == Operation::List => {
                Failure::outside(error, format!("is base_url in secret {secret} Rail's?"))
            }
            Cause::Rejected { .. } => Failure::outside(error, "Rail's Management UI may say more"),
            Cause::ServerError(_) | Cause::NoAnswer => Failure::outside(error, again),
            Cause::Unreadable => Failure::outside(
                error,
                format!("is base_url in secret {secret} Rail's own, with nothing in between? If so, {again}"),
            ),
            Cause::NoAccount => Failure::outside(error, format!("secret {secret} must be readable; then {again}")),
        }
    }

    fn secret_failure(&self, error: &SecretError) -> Failure {
        let SecretError::Unreachable { reason, .. } = error else {
            return Failure::usage(
                error,
                "put it right with `aws secretsmanager put-secret-value`; values are not shown",
            );
        };
        match (&self.place, reason.as_str()) {
            (_, "ResourceNotFoundException") => Failure::usage(
                error,
                "there is no such secret here, or nothing in it: check --signing-secret, --api-secret, --region and --profile",
            ),
            (Place::Here(_), _) => Failure::outside(error, "is `bridge dev` still up? The secrets are in its hands"),
            (_, "AccessDeniedException") => Failure::outside(
                error,
                format!(
                    "it takes secretsmanager:GetSecretValue on {0} and {1}, and PutSecretValue on {0}",
                    self.subscriptions.secret.id(),
                    self.api_secret
                ),
            ),
            (_, "LimitExceededException") => Failure::outside(
                error,
                "Secrets Manager keeps some 100 versions of a secret made within a day: go on tomorrow, by running it again",
            ),
            (_, "UnrecognizedClientException" | "ExpiredTokenException" | "InvalidSignatureException") => {
                Failure::outside(error, "AWS does not take the credentials: log in again, or name another --profile")
            }
            _ => Failure::outside(error, "run it again; is AWS within reach, and the region right?"),
        }
    }
}
