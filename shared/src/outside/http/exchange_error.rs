//! Why a call has no answer.

use std::error::Error as StdError;

/// Why there is no answer. The other side may have done what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    #[error("no connection")]
    ConnectionFailed(#[source] Cause),
    #[error("the connection was lost")]
    ConnectionLost(#[source] Cause),
    #[error("no answer in time")]
    Timeout,
    /// The attempt that the call is part of ended so soon that this says nothing about the other side.
    #[error("no time was left for the call")]
    NoTime,
}

/// What is known of a failed connection; never its URL, which may hold a customer's path.
pub(super) type Cause = Box<dyn StdError + Send + Sync>;
