//! Rail's subscriptions and the secret of their keys, as one place has them.

use std::collections::BTreeMap;

use rail::RAIL;
use shared::clock::Clock;
use shared::customer::api_client::{ApiAccount, ApiClient};
use shared::customer::provider_api::ProviderApi;
use shared::outside::secrets::CachedSecret;

use super::{Cause, Error, Operation, RailApi, RailError, SigningSecret, Subscriptions};
use crate::{OperatorError, Place};

/// What reads and changes the subscriptions of a place.
pub struct RailAccess {
    pub subscriptions: Subscriptions,
    pub place: Place,
    api_secret: String,
}

impl RailAccess {
    /// Opens both secrets; `api` says what the access token is for.
    ///
    /// # Errors
    /// The place names no such secrets, or Rail's API cannot be used with its secret.
    pub async fn open(place: Place, api: &ProviderApi) -> Result<Self, OperatorError> {
        let missing = |flag: &str| OperatorError::usage(format!("Missing `{flag}`"), "the stack's outputs have it");
        let secret_of_rail =
            |secrets: &BTreeMap<String, String>, flag| secrets.get(RAIL.name).cloned().ok_or_else(|| missing(flag));
        let signing_secret = secret_of_rail(&place.parts.signing_secrets, "--signing-secret")?;
        let api_secret = secret_of_rail(&place.parts.api_secrets, "--api-secret")?;
        let (client, clock) = (place.secrets_manager.clone(), Clock::system());
        let account = CachedSecret::new(client.clone(), api_secret.clone(), clock, ApiAccount::parse);
        let subscriptions = Subscriptions {
            api: RailApi::new(ApiClient::new("rail", api, place.http.clone(), account, clock)),
            secret: SigningSecret::new(client, signing_secret),
        };
        let access = Self { subscriptions, place, api_secret };
        access.subscriptions.api.check_account().await.map_err(|error| access.failure(&error))?;
        Ok(access)
    }

    /// Whether it is Rail itself, and no stand-in on this machine.
    pub fn is_real(&self) -> bool {
        self.place.is_real(&self.api_secret)
    }

    /// What went wrong, and what helps.
    pub fn failure(&self, error: &Error) -> OperatorError {
        let again = "run it again: it continues where it stopped";
        match error {
            Error::Rail(RailError { cause, operation }) => self.rail_failure(error, operation, cause),
            Error::Secret(secret) => self.place.secret_error(secret),
            Error::Contended { .. } => OperatorError::outside(error, format!("when the other writer is done, {again}")),
            Error::NotInStep(_) => {
                OperatorError::refused(error, "run `bridge rail subscriptions sync` first; `list` shows what they lack")
            }
            Error::Unsettled(_) => OperatorError::outside(
                error,
                "check the subscriptions in Rail's Management UI and ask Rail; `list` shows what exists",
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
        let again = "run it again: it continues where it stopped";
        match cause {
            Cause::LoginRejected(_) => OperatorError::outside(
                error,
                format!(
                    "client_id, client_secret and token_url in secret {secret} must belong to the same environment of Rail"
                ),
            ),
            Cause::ScopeRejected => {
                OperatorError::outside(error, format!("ask Rail to give this client the scopes {scopes}"))
            }
            Cause::Unauthorized => OperatorError::outside(
                error,
                format!("token_url and base_url in secret {secret} must belong to the same environment of Rail"),
            ),
            Cause::Forbidden => {
                OperatorError::outside(error, format!("requires the scopes {scopes}: ask Rail for them"))
            }
            Cause::NotFound => OperatorError::usage(
                error,
                format!(
                    "base_url in secret {secret} must be the URL before `/v1`: https://sandbox.layer2financial.com/api"
                ),
            ),
            Cause::Throttled { retry_after: Some(wait) } => {
                OperatorError::outside(error, format!("wait {} s, then {again}", wait.as_secs()))
            }
            Cause::Throttled { retry_after: None } => {
                OperatorError::outside(error, format!("wait a minute, then {again}"))
            }
            Cause::Rejected { .. } if *operation == Operation::List => {
                OperatorError::outside(error, format!("check that base_url in secret {secret} is Rail's"))
            }
            Cause::Rejected { .. } => OperatorError::outside(error, "see Rail's Management UI for details"),
            Cause::ServerError(_) | Cause::NoAnswer => OperatorError::outside(error, again),
            Cause::Unreadable => OperatorError::outside(
                error,
                format!(
                    "check that base_url in secret {secret} is Rail's own, without a proxy in between; if it is, {again}"
                ),
            ),
            Cause::NoAccount => {
                OperatorError::outside(error, format!("secret {secret} must be readable; then {again}"))
            }
        }
    }
}
