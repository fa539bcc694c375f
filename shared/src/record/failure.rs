//! Why a message was not delivered: a closed set of codes, and what each says about what to do next.

use std::time::Duration;

use crate::outside::http::ExchangeError;

/// Why a message was not delivered, and what is known besides the code.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DispatchFailure {
    pub code: FailureCode,
    pub status: Option<u16>,
    /// The JSON Pointer of `routes.toml` that found nothing.
    pub pointer: Option<String>,
    /// How long the other side asks us to wait.
    pub retry_after: Option<Duration>,
}

/// Whose failure it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Blame {
    /// The event, or its route: another event may be delivered all the same.
    Event,
    /// The customer, or a table that was asked about the customer: the destination was not called.
    Customer,
    /// The provider's own API, which was asked about the customer: the destination was not called.
    ProviderApi,
    /// Where the message was to go, or the way there: the next message would fail, too.
    Destination,
    /// Nobody: the time of the attempt was over, or the route was not tried.
    Nobody,
}

macro_rules! codes {
    ($($code:ident = $text:literal,)*) => {
        /// Every code that a failed dispatch can have (`docs/logging.md`).
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub enum FailureCode {
            $(#[doc = concat!("`", $text, "`")] $code,)*
        }

        impl FailureCode {
            pub const ALL: &[Self] = &[$(Self::$code),*];

            /// Stable once shipped: it stands in records, log lines and metrics.
            pub fn code(self) -> &'static str {
                match self {
                    $(Self::$code => $text,)*
                }
            }
        }
    };
}

codes! {
    AnswerUnreadable = "answer_unreadable",
    AttemptsLost = "attempts_lost",
    BodyUnreadable = "body_unreadable",
    ConnectionFailed = "connection_failed",
    ConnectionLost = "connection_lost",
    CoolingOff = "cooling_off",
    CustomerIncomplete = "customer_incomplete",
    CustomerUnknown = "customer_unknown",
    CustomersUnavailable = "customers_unavailable",
    EnvelopeUnreadable = "envelope_unreadable",
    HandshakeRefused = "handshake_refused",
    HandshakeUnreadable = "handshake_unreadable",
    IdConflict = "id_conflict",
    IncomingWebhookUnknown = "incoming_webhook_unknown",
    IncomingWebhookUnusable = "incoming_webhook_unusable",
    LookupIncomplete = "lookup_incomplete",
    LookupNotFound = "lookup_not_found",
    MappingFailed = "mapping_failed",
    NoTime = "no_time",
    NotFound = "not_found",
    ProviderApiError = "provider_api_error",
    ProviderApiForbidden = "provider_api_forbidden",
    ProviderApiLoginRefused = "provider_api_login_refused",
    ProviderApiScopeRefused = "provider_api_scope_refused",
    ProviderApiSecretUnavailable = "provider_api_secret_unavailable",
    ProviderApiThrottled = "provider_api_throttled",
    ProviderApiTimeout = "provider_api_timeout",
    ProviderApiUnauthorized = "provider_api_unauthorized",
    ProviderApiUnreachable = "provider_api_unreachable",
    ProviderApiUnreadable = "provider_api_unreadable",
    Refused = "refused",
    ReportedFailure = "reported_failure",
    RouteUnknown = "route_unknown",
    ServerError = "server_error",
    TableUnavailable = "table_unavailable",
    Throttled = "throttled",
    Timeout = "timeout",
    Unauthorized = "unauthorized",
    UnexpectedStatus = "unexpected_status",
    WorkflowUnknown = "workflow_unknown",
    WorkflowUnusable = "workflow_unusable",
    WorkflowsUnavailable = "workflows_unavailable",
}

impl FailureCode {
    pub fn blames(self) -> Blame {
        match self {
            Self::AttemptsLost
            | Self::BodyUnreadable
            | Self::EnvelopeUnreadable
            | Self::IdConflict
            // The API has answered: it may know the record, or more of it, later.
            | Self::LookupIncomplete
            | Self::LookupNotFound
            | Self::MappingFailed
            | Self::Refused
            | Self::RouteUnknown => Blame::Event,
            Self::CustomerIncomplete
            | Self::CustomerUnknown
            | Self::CustomersUnavailable
            // Whether the customer had the message before is what the table was asked.
            | Self::TableUnavailable => Blame::Customer,
            Self::ProviderApiError
            | Self::ProviderApiForbidden
            | Self::ProviderApiLoginRefused
            | Self::ProviderApiScopeRefused
            | Self::ProviderApiSecretUnavailable
            | Self::ProviderApiThrottled
            | Self::ProviderApiTimeout
            | Self::ProviderApiUnauthorized
            | Self::ProviderApiUnreachable
            | Self::ProviderApiUnreadable => Blame::ProviderApi,
            Self::CoolingOff | Self::NoTime => Blame::Nobody,
            Self::AnswerUnreadable
            | Self::ConnectionFailed
            | Self::ConnectionLost
            | Self::HandshakeRefused
            | Self::HandshakeUnreadable
            | Self::IncomingWebhookUnknown
            | Self::IncomingWebhookUnusable
            | Self::NotFound
            | Self::ReportedFailure
            | Self::ServerError
            | Self::Throttled
            | Self::Timeout
            | Self::Unauthorized
            | Self::UnexpectedStatus
            | Self::WorkflowUnknown
            | Self::WorkflowUnusable
            | Self::WorkflowsUnavailable => Blame::Destination,
        }
    }

    /// No further attempt can help; every other failure is transient.
    pub fn is_permanent(self) -> bool {
        matches!(
            self,
            Self::AttemptsLost
                | Self::EnvelopeUnreadable
                | Self::IdConflict
                | Self::MappingFailed
                | Self::Refused
                | Self::RouteUnknown
        )
    }

    /// False for a route that was left for later: its attempts stay as they are.
    pub fn was_tried(self) -> bool {
        self != Self::CoolingOff
    }

    /// The code of a [`DispatchFailure::summary`].
    pub fn of_summary(summary: &str) -> Option<Self> {
        let word = summary.split(' ').next()?;
        Self::ALL.iter().copied().find(|code| code.code() == word)
    }

    /// No system failed: a person has to say who the customer is, or more about the customer.
    pub fn waits_for_the_customer(self) -> bool {
        matches!(self, Self::CustomerIncomplete | Self::CustomerUnknown)
    }
}

impl From<ExchangeError> for FailureCode {
    fn from(error: ExchangeError) -> Self {
        match error {
            ExchangeError::ConnectionFailed(_) => Self::ConnectionFailed,
            ExchangeError::ConnectionLost(_) => Self::ConnectionLost,
            ExchangeError::Timeout => Self::Timeout,
            ExchangeError::NoTime => Self::NoTime,
        }
    }
}

/// A failure of which only the code is known.
impl From<FailureCode> for DispatchFailure {
    fn from(code: FailureCode) -> Self {
        Self { code, status: None, pointer: None, retry_after: None }
    }
}

impl DispatchFailure {
    /// A system that was slow a moment ago is left alone for so much longer.
    pub fn cooling_off(left: Duration) -> Self {
        Self { retry_after: Some(left), ..FailureCode::CoolingOff.into() }
    }

    /// `code`, then the HTTP status or the pointer where there is one.
    pub fn summary(&self) -> String {
        let code = self.code.code();
        match (&self.pointer, self.status) {
            (Some(pointer), _) => format!("{code} {pointer}"),
            (None, Some(status)) => format!("{code} {status}"),
            (None, None) => code.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests;
