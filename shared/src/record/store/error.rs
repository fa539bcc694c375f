//! Why a read or write of a table failed.

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

use crate::outside::aws::{NO_ANSWER, THROTTLED, sdk_reason};

/// Why a read or write of a table failed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum StoreError {
    /// The call failed: `reason` is DynamoDB's code, or how it failed. The sender of the event should try again.
    #[error("table `{table}` cannot be used: {reason}")]
    Unavailable { table: String, reason: String },
    /// An item lacks this attribute, or has it in another shape: another program wrote it.
    #[error("item `{pk}`: attribute `{attribute}` is missing or malformed")]
    Unreadable { pk: String, attribute: &'static str },
    /// No item can hold this body, deflated or not.
    #[error("the body takes {stored_bytes} bytes in the table; the limit is {MAX_STORED_BODY_BYTES}")]
    TooLarge { stored_bytes: usize },
}

/// DynamoDB's limit for an item is 400 KiB; 20 KiB are left for the other attributes at their longest.
pub const MAX_STORED_BODY_BYTES: usize = 380 * 1024;

impl StoreError {
    /// A call to this table failed.
    pub(crate) fn unavailable<E: ProvideErrorMetadata, R>(table: &str, error: &SdkError<E, R>) -> Self {
        Self::Unavailable { table: table.to_owned(), reason: sdk_reason(error) }
    }

    /// Stable once shipped.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unavailable { .. } => "table_unavailable",
            Self::Unreadable { .. } => "item_unreadable",
            Self::TooLarge { .. } => "too_large",
        }
    }

    /// Whether DynamoDB is throttling, slow, or has an error of its own: the same call may succeed after a wait.
    pub fn is_busy(&self) -> bool {
        let Self::Unavailable { reason, .. } = self else {
            return false;
        };
        let troubled = ["InternalServerError", "ServiceUnavailable", NO_ANSWER];
        THROTTLED.iter().chain(&troubled).any(|busy| busy == reason)
    }
}

#[cfg(test)]
mod tests;
