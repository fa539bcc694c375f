//! What can go wrong, in words that hold no key, token or client secret, and nothing that Rail wrote but its error code.

use std::fmt;
use std::time::Duration;

use shared::outside::secrets::SecretError;
use shared::record::event::Failure;

/// Why a run stopped. What was done until then is done, and the next run goes on from there.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Rail(#[from] RailError),
    /// The secret of the signing keys, or the one of Rail's API.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// Somebody else wrote the signing secret each time that we did.
    #[error("secret `{id}` is being written by somebody else again and again")]
    Contended { id: String },
    /// These types cannot be rotated yet: no subscription of theirs is there with a key that the secret holds.
    #[error("not in step: {}", .0.join(", "))]
    NotInStep(Vec<String>),
    /// Rail says again and again that it has created what it then does not list.
    #[error("Rail says that it has created subscriptions, and does not list them: {}", .0.join(", "))]
    Unsettled(Vec<String>),
    /// Neither Rail nor the secret knows it.
    #[error("there is no subscription {0}")]
    NoSuchSubscription(String),
}

/// A call of Rail's API that did not do what it should.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{doing}: {why}")]
pub struct RailError {
    pub doing: Doing,
    pub why: Why,
}

/// Which call.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Doing {
    Listing,
    /// Of this event type.
    Creating(String),
    /// Of this id.
    Deleting(String),
}

/// Split by what helps.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Why {
    #[error("Rail does not know the client id, or not with this secret (status {0})")]
    LoginRefused(u16),
    #[error("Rail does not give this client the scopes that it takes")]
    ScopeRefused,
    #[error("Rail refuses a token that it has just given (401)")]
    Unauthorized,
    #[error("Rail forbids it (403)")]
    Forbidden,
    #[error("there is nothing at this address (404)")]
    NotFound,
    #[error("Rail asks to be called less often (429)")]
    Throttled { retry_after: Option<Duration> },
    /// Rail read the request and will not do it.
    #[error("Rail refuses it ({status}{})", .code.as_ref().map(|code| format!(" {code}")).unwrap_or_default())]
    Refused { status: u16, code: Option<String> },
    #[error("Rail failed (status {0})")]
    Failed(u16),
    #[error("no answer from Rail")]
    NoAnswer,
    #[error("Rail's answer is not what its pages describe")]
    Unreadable,
    #[error("the secret of Rail's API cannot be read")]
    NoAccount,
}

impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listing => f.write_str("listing Rail's subscriptions"),
            Self::Creating(event_type) => write!(f, "creating the subscription for {event_type}"),
            Self::Deleting(id) => write!(f, "deleting subscription {id}"),
        }
    }
}

impl Why {
    /// How long to wait before the same call may work; `None` when only a person can help.
    pub(crate) fn passes(&self) -> Option<Option<Duration>> {
        match self {
            Self::Throttled { retry_after } => Some(*retry_after),
            Self::Failed(_) | Self::NoAnswer => Some(None),
            _ => None,
        }
    }
}

impl From<Failure> for Why {
    fn from(failure: Failure) -> Self {
        let status = failure.status.unwrap_or_default();
        match failure.code {
            "provider_api_secret_unavailable" => Self::NoAccount,
            "provider_api_login_refused" => Self::LoginRefused(status),
            "provider_api_scope_refused" => Self::ScopeRefused,
            "provider_api_unauthorized" => Self::Unauthorized,
            "provider_api_throttled" => Self::Throttled { retry_after: failure.retry_after },
            "provider_api_unreadable" => Self::Unreadable,
            "provider_api_error" => Self::Failed(status),
            _ => Self::NoAnswer,
        }
    }
}
