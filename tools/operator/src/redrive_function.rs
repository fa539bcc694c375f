//! The function that redrives, wherever it is.

use std::time::Duration;

use aws_sdk_lambda::operation::invoke::InvokeError;
use aws_sdk_lambda::primitives::Blob;
use shared::outside::aws::sdk_reason;

use crate::error::OperatorError;

#[derive(Clone, Debug)]
pub struct RedriveFunction {
    pub(crate) client: aws_sdk_lambda::Client,
    pub(crate) name: String,
}

/// How often a call is repeated that Lambda throttled before it ran, and the first wait before that.
const THROTTLED_TRIES: u32 = 6;
const THROTTLED_WAIT: Duration = Duration::from_millis(250);

impl RedriveFunction {
    /// Calls the function and waits for its answer.
    ///
    /// # Errors
    /// It cannot be called, or it failed.
    pub async fn invoke(&self, payload: String) -> Result<Vec<u8>, OperatorError> {
        let mut wait = THROTTLED_WAIT;
        for tries in 1.. {
            let call = self.client.invoke().function_name(&self.name).payload(Blob::new(payload.clone()));
            let error = match call.send().await {
                Ok(output) if output.function_error.is_none() => {
                    return Ok(output.payload.map(Blob::into_inner).unwrap_or_default());
                }
                Ok(output) => return Err(self.failed(&output.payload.map(Blob::into_inner).unwrap_or_default())),
                Err(error) => error,
            };
            let service = error.as_service_error();
            if service.is_some_and(InvokeError::is_too_many_requests_exception) && tries < THROTTLED_TRIES {
                tokio::time::sleep(wait).await;
                wait *= 2;
                continue;
            }
            let problem = format!("Function {} cannot be called: {}", self.name, sdk_reason(&error));
            return Err(if service.is_some_and(InvokeError::is_resource_not_found_exception) {
                OperatorError::usage(problem, "no such function: check `--function`, `--region` and `--profile`")
            } else {
                let hint = format!(
                    "requires permission `lambda:InvokeFunction` on function `{}`; on this machine, `bridge dev` must be running",
                    self.name
                );
                OperatorError::outside(problem, hint)
            });
        }
        unreachable!("the last try returns")
    }

    /// The function ran and failed: Lambda's own words of it, which quote no event.
    fn failed(&self, payload: &[u8]) -> OperatorError {
        let reason: serde_json::Value = serde_json::from_slice(payload).unwrap_or_default();
        let reason = reason.get("errorMessage").and_then(|text| text.as_str()).unwrap_or("no reason given");
        let reason: String = reason.chars().take(200).collect();
        OperatorError::outside(format!("Function {} failed: {reason}", self.name), "see its log")
    }
}
