//! What can go wrong, in words that hold no key, token or client secret, and nothing that Rail wrote but its error code.

use std::fmt;
use std::time::Duration;

use shared::outside::secrets::SecretError;
use shared::record::failure::{DispatchFailure, FailureCode};

/// Why a run stopped. What it has done stays done, and the next run continues from there.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Rail(#[from] RailError),
    /// The secret of the signing keys, or the one of Rail's API.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// Another writer changed the signing secret each time that we did.
    #[error("Another writer keeps changing secret `{id}`")]
    Contended { id: String },
    /// These types have no subscription whose key the secret holds, so there is nothing to rotate.
    #[error("These event types are not in sync: {}", .0.join(", "))]
    NotInStep(Vec<String>),
    /// Rail repeatedly reports the creation of subscriptions that it does not list.
    #[error("Rail reports new subscriptions but does not list them: {}", .0.join(", "))]
    Unsettled(Vec<String>),
    /// Neither Rail nor the secret has it.
    #[error("No subscription `{0}`")]
    NoSuchSubscription(String),
}

/// A call of Rail's API that failed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("Cannot {operation}: {cause}")]
pub struct RailError {
    pub operation: Operation,
    pub cause: Cause,
}

/// Which call.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Operation {
    List,
    /// Of this event type.
    Create(String),
    /// Of this id.
    Delete(String),
}

/// Split by what helps.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Cause {
    #[error("Rail does not accept the client id and client secret (status {0})")]
    LoginRejected(u16),
    #[error("Rail does not grant this client the required scopes")]
    ScopeRejected,
    #[error("Rail does not accept the access token that it has just issued (401)")]
    Unauthorized,
    #[error("Rail forbids it (403)")]
    Forbidden,
    #[error("this address does not exist (404)")]
    NotFound,
    #[error("too many requests (429)")]
    Throttled { retry_after: Option<Duration> },
    #[error("Rail rejected the request ({status}{})", .code.as_ref().map(|code| format!(" {code}")).unwrap_or_default())]
    Rejected { status: u16, code: Option<String> },
    #[error("Rail failed (status {0})")]
    ServerError(u16),
    #[error("no answer from Rail")]
    NoAnswer,
    #[error("Rail's answer does not have the documented form")]
    Unreadable,
    #[error("the secret of Rail's API is not available")]
    NoAccount,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List => f.write_str("list Rail's subscriptions"),
            Self::Create(event_type) => write!(f, "create the subscription for `{event_type}`"),
            Self::Delete(id) => write!(f, "delete subscription `{id}`"),
        }
    }
}

impl Cause {
    /// How long to wait before the call is tried again: `pause`, unless Rail says otherwise. `None` when only a person can
    /// help.
    pub(crate) fn retry_after(&self, pause: Duration) -> Option<Duration> {
        match self {
            Self::Throttled { retry_after } => Some(retry_after.unwrap_or(pause)),
            Self::ServerError(_) | Self::NoAnswer => Some(pause),
            _ => None,
        }
    }
}

impl From<DispatchFailure> for Cause {
    fn from(failure: DispatchFailure) -> Self {
        let status = failure.status.unwrap_or_default();
        match failure.code {
            FailureCode::ProviderApiSecretUnavailable => Self::NoAccount,
            FailureCode::ProviderApiLoginRefused => Self::LoginRejected(status),
            FailureCode::ProviderApiScopeRefused => Self::ScopeRejected,
            FailureCode::ProviderApiUnauthorized => Self::Unauthorized,
            FailureCode::ProviderApiThrottled => Self::Throttled { retry_after: failure.retry_after },
            FailureCode::ProviderApiUnreadable => Self::Unreadable,
            FailureCode::ProviderApiError => Self::ServerError(status),
            _ => Self::NoAnswer,
        }
    }
}
