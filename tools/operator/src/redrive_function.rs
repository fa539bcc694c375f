//! The function that redrives, wherever it is.

use std::time::Duration;

use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_types::sdk_config::SdkConfig;
use http::{Method, Request};
use shared::outside::aws::sdk_reason;

use crate::aws_call::{call, encoded};
use crate::error::OperatorError;
use crate::words::escaped;

#[derive(Clone, Debug)]
pub struct RedriveFunction {
    pub(crate) config: SdkConfig,
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
            let error = match call(&self.config, "Lambda", "Invoke", self.request(payload.clone())?).await {
                Ok(answer) if answer.headers.get("x-amz-function-error").is_none() => return Ok(answer.body),
                Ok(answer) => return Err(self.failed(&answer.body)),
                Err(error) => error,
            };
            if error.code() == Some("TooManyRequestsException") && tries < THROTTLED_TRIES {
                tokio::time::sleep(wait).await;
                wait *= 2;
                continue;
            }
            let problem = format!("Function {} cannot be called: {}", self.name, sdk_reason(&error));
            return Err(if error.code() == Some("ResourceNotFoundException") {
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

    fn request(&self, payload: String) -> Result<Request<String>, OperatorError> {
        let path = format!("/2015-03-31/functions/{}/invocations", encoded(&self.name));
        let request = Request::builder().method(Method::POST).uri(path).header("content-type", "application/json");
        request.body(payload).map_err(|error| {
            OperatorError::usage(format!("Function {} cannot be called: {error}", self.name), "check `--function`")
        })
    }

    /// The function ran and failed: Lambda's own words of it, which quote no event, on one line.
    fn failed(&self, payload: &[u8]) -> OperatorError {
        let reason: serde_json::Value = serde_json::from_slice(payload).unwrap_or_default();
        let reason = reason.get("errorMessage").and_then(|text| text.as_str()).unwrap_or("no reason given");
        let reason: String = escaped(reason).chars().take(200).collect();
        OperatorError::outside(format!("Function {} failed: {reason}", self.name), "see its log")
    }
}
