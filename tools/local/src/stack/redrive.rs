//! Redrive on this machine: the function invoked without its schedule, and time moved for what waits.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde_json::Value;

use super::{REDRIVE, Stack};
use crate::dynamodb::DynamoDbError;
use crate::lambda_host::InvokeError;

impl Stack {
    /// Invokes the function that redrives, as its schedule does with `{}`; its answer, in counts.
    ///
    /// # Errors
    /// It did not answer, and why.
    pub async fn redrive(&self, request: Value) -> Result<Value, InvokeError> {
        let host = self.function(REDRIVE).ok_or(InvokeError::Stopped)?;
        let invoked = host.invoke(Bytes::from(request.to_string())).await?;
        serde_json::from_slice(&invoked.response).map_err(|error| InvokeError::FunctionError {
            error_type: "Runtime.MalformedResponse".to_owned(),
            message: error.to_string(),
        })
    }

    /// Makes every pending event due now, so that no test waits minutes for a retry or for the lease of a process that was
    /// killed. Returns how many are due now.
    ///
    /// On this machine only: it edits the embedded table past everything that guards it. A lease is worth nothing
    /// afterwards, so it waits until no function works on anything; see to it that none begins meanwhile.
    ///
    /// # Errors
    /// The engine cannot read or write its own table.
    pub async fn make_due(&self) -> Result<usize, DynamoDbError> {
        self.settled().await;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut due = 0;
        for (pk, seen) in self.dynamodb.pending()? {
            if seen <= now || self.dynamodb.make_due(&pk, seen, now)? {
                due += 1;
            }
        }
        Ok(due)
    }
}

#[cfg(test)]
mod tests;
