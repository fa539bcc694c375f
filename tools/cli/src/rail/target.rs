//! Which Rail, which secret: those of the bridge that runs here, or of one in AWS.

use ::rail::RAIL;
use clap::Args;
use operator::rail_subscriptions::CallbackUrl;
use operator::rail_subscriptions::access::RailAccess;
use operator::{OperatorError, Parts};
use shared::customer::provider_api::ProviderApi;

use crate::target::Account;

/// Without --signing-secret: the bridge that `bridge dev` runs here, and its stand-in of Rail or the sandbox.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Where")]
pub(super) struct Target {
    /// The bridge that `bridge dev` runs here, as without any of these flags
    #[arg(long, conflicts_with = "deployed")]
    dev: bool,
    /// In AWS: name or ARN of the secret with Rail's signing keys; uses your AWS credentials
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
    /// The public URL to which Rail delivers [default: the bridge that `bridge dev` runs here]
    #[arg(long, value_name = "URL", value_parser = callback_url)]
    callback_url: Option<CallbackUrl>,
}

impl Target {
    /// Opens both secrets; `api` says what the access token is for.
    pub(super) async fn open(&self, api: &ProviderApi) -> Result<RailAccess, OperatorError> {
        let signing_secrets = self.signing_secret.iter().map(|id| (RAIL.name.to_owned(), id.clone())).collect();
        let api_secrets = self.api_secret.iter().map(|id| (RAIL.name.to_owned(), id.clone())).collect();
        let parts = Parts { signing_secrets, api_secrets, ..Parts::default() };
        let place = self.account.open(None, parts, "--signing-secret").await?;
        RailAccess::open(place, api).await
    }
}

impl CallbackArg {
    pub(super) fn resolve(&self, bridge: &RailAccess) -> Result<CallbackUrl, OperatorError> {
        let local = bridge.place.parts.webhooks.get(RAIL.name);
        match (&self.callback_url, local) {
            (Some(url), _) => Ok(url.clone()),
            (None, Some(_)) if bridge.is_real() => Err(OperatorError::usage(
                "Missing `--callback-url`: Rail's API is real, and cannot reach this machine",
                "pass the URL of a tunnel to `bridge dev --webhook-port`: `--callback-url https://.../webhooks/rail`",
            )),
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
