//! Which Rail, which secret: those of the bridge that runs here, or of one in AWS.

use std::collections::BTreeMap;

use ::rail::RAIL;
use clap::Args;
use operator::rail_subscriptions::{
    CallbackUrl, Cause, Error, Operation, RailApi, RailError, SigningSecret, Subscriptions,
};
use operator::{OperatorError, Parts, Place};
use shared::clock::Clock;
use shared::customer::api_client::{ApiAccount, ApiClient};
use shared::customer::provider_api::ProviderApi;
use shared::outside::secrets::CachedSecret;

use crate::target::Account;

/// Without --signing-secret: the bridge that `bridge dev` runs here, and its stand-in of Rail.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Where")]
pub(super) struct Target {
    /// In AWS: the secret of Rail's signing keys, by name or ARN; with the credentials of the SDK's usual chain
    #[arg(long, value_name = "ID", requires = "api_secret", group = "deployed")]
    signing_secret: Option<String>,
    /// In AWS: the secret with Rail's base_url, token_url, client_id and client_secret
    #[arg(long, value_name = "ID", requires = "signing_secret")]
    api_secret: Option<String>,
    #[command(flatten)]
    account: Account,
}

/// The URL that Rail delivers to.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct CallbackArg {
    /// Where Rail delivers: the function's public URL. Without it, that of the bridge that runs here
    #[arg(long, value_name = "URL", value_parser = callback_url)]
    callback_url: Option<CallbackUrl>,
}

/// Rail's subscriptions, and the bridge whose they are.
pub(super) struct Bridge {
    pub(super) subscriptions: Subscriptions,
    pub(super) place: Place,
    api_secret: String,
}

impl Target {
    /// Opens both secrets; `api` says what the access token is for.
    pub(super) async fn open(&self, api: &ProviderApi) -> Result<Bridge, OperatorError> {
        let signing_secrets = self.signing_secret.iter().map(|id| (RAIL.name.to_owned(), id.clone())).collect();
        let api_secrets = self.api_secret.iter().map(|id| (RAIL.name.to_owned(), id.clone())).collect();
        let parts = Parts { signing_secrets, api_secrets, ..Parts::default() };
        let place = self.account.open(None, parts, "--signing-secret").await?;
        let missing = |flag: &str| OperatorError::usage(format!("Missing `{flag}`"), "the stack's outputs name it");
        let secret_of_rail =
            |secrets: &BTreeMap<String, String>, flag| secrets.get(RAIL.name).cloned().ok_or_else(|| missing(flag));
        let signing_secret = secret_of_rail(&place.parts.signing_secrets, "--signing-secret")?;
        let api_secret = secret_of_rail(&place.parts.api_secrets, "--api-secret")?;
        let (client, clock) = (place.secrets_manager.clone(), Clock::system());
        let account = CachedSecret::new(client.clone(), api_secret.clone(), clock, ApiAccount::parse).current_only();
        let subscriptions = Subscriptions {
            api: RailApi::new(ApiClient::new(api, place.http.clone(), account, clock)),
            secret: SigningSecret::new(client, signing_secret),
        };
        let bridge = Bridge { subscriptions, place, api_secret };
        bridge.subscriptions.api.check_account().await.map_err(|error| bridge.failure(&error))?;
        Ok(bridge)
    }
}

impl CallbackArg {
    pub(super) fn resolve(&self, bridge: &Bridge) -> Result<CallbackUrl, OperatorError> {
        match (&self.callback_url, bridge.place.parts.webhooks.get(RAIL.name)) {
            (Some(url), _) => Ok(url.clone()),
            (None, Some(url)) => {
                callback_url(url).map_err(|problem| OperatorError::outside(problem, "start `bridge dev` again"))
            }
            (None, None) => Err(OperatorError::usage(
                "Missing `--callback-url`",
                "pass `--callback-url https://.../webhooks/rail`: the stack has it as output `RailWebhookUrl`",
            )),
        }
    }
}

fn callback_url(text: &str) -> Result<CallbackUrl, String> {
    CallbackUrl::parse(text).map_err(|problem| problem.to_string())
}

impl Bridge {
    /// What went wrong, and what helps.
    pub(super) fn failure(&self, error: &Error) -> OperatorError {
        let again = "run it again: what is done is done, and it goes on from there";
        match error {
            Error::Rail(RailError { cause, operation }) => self.rail_failure(error, operation, cause),
            Error::Secret(secret) => self.place.secret_error(secret),
            Error::Contended { .. } => OperatorError::outside(error, format!("when the other writer is done, {again}")),
            Error::NotInStep(_) => {
                OperatorError::refused(error, "`bridge rail subscriptions sync` first; `list` shows what they lack")
            }
            Error::Unsettled(_) => OperatorError::outside(
                error,
                "look at the subscriptions in Rail's Management UI, and ask Rail; `list` shows what is there",
            ),
            Error::NoSuchSubscription(_) => OperatorError::refused(
                error,
                "`bridge rail subscriptions list` shows the ids at Rail and in the secret",
            ),
        }
    }

    fn rail_failure(&self, error: &Error, operation: &Operation, cause: &Cause) -> OperatorError {
        let secret = &self.api_secret;
        let scopes = "subscriptions:read and subscriptions:write";
        let again = "run it again: what is done is done, and it goes on from there";
        match cause {
            Cause::LoginRejected(_) => OperatorError::outside(
                error,
                format!(
                    "client_id, client_secret and token_url in secret {secret} must be of one of Rail's environments"
                ),
            ),
            Cause::ScopeRejected => {
                OperatorError::outside(error, format!("ask Rail to give this client the scopes {scopes}"))
            }
            Cause::Unauthorized => OperatorError::outside(
                error,
                format!("token_url and base_url in secret {secret} must be of the same of Rail's environments"),
            ),
            Cause::Forbidden => {
                OperatorError::outside(error, format!("this takes the scopes {scopes}: ask Rail for them"))
            }
            Cause::NotFound => OperatorError::usage(
                error,
                format!(
                    "base_url in secret {secret} must be what /v1 follows: https://sandbox.layer2financial.com/api"
                ),
            ),
            Cause::Throttled { retry_after: Some(wait) } => {
                OperatorError::outside(error, format!("wait {} s, then {again}", wait.as_secs()))
            }
            Cause::Throttled { retry_after: None } => {
                OperatorError::outside(error, format!("wait a minute, then {again}"))
            }
            Cause::Rejected { .. } if *operation == Operation::List => {
                OperatorError::outside(error, format!("is base_url in secret {secret} Rail's?"))
            }
            Cause::Rejected { .. } => OperatorError::outside(error, "Rail's Management UI may say more"),
            Cause::ServerError(_) | Cause::NoAnswer => OperatorError::outside(error, again),
            Cause::Unreadable => OperatorError::outside(
                error,
                format!("is base_url in secret {secret} Rail's own, with nothing in between? If so, {again}"),
            ),
            Cause::NoAccount => {
                OperatorError::outside(error, format!("secret {secret} must be readable; then {again}"))
            }
        }
    }
}
