//! A stack in AWS, as CloudFormation describes it.

use std::collections::BTreeMap;

use aws_types::sdk_config::SdkConfig;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request};
use shared::outside::aws::sdk_reason;
use shared::receive::provider::Provider;

use crate::aws_call::{call, encoded, texts};
use crate::error::{OperatorError, reach_hint};
use crate::parts::Parts;

/// A stack and its outputs, which name its parts.
#[derive(Clone, Debug)]
pub struct Stack {
    pub name: String,
    /// CloudFormation's word of the stack itself.
    pub status: String,
    outputs: BTreeMap<String, String>,
}

impl Stack {
    /// Asks for the stack of this name.
    ///
    /// # Errors
    /// There is no such stack, it may not be looked at, or there is no way there.
    pub async fn read(name: &str, config: &SdkConfig) -> Result<Self, OperatorError> {
        let unreadable =
            |reason: &str, hint: String| OperatorError::outside(format!("Stack {name} cannot be read: {reason}"), hint);
        let answer = call(config, "CloudFormation", "DescribeStacks", describe(name)).await.map_err(|error| {
            let reason = sdk_reason(&error);
            let hint = match reason.as_str() {
                "ValidationError" => "no such stack: check `--stack`, `--region` and `--profile`".to_owned(),
                "AccessDenied" | "AccessDeniedException" => {
                    format!("requires permission `cloudformation:DescribeStacks` on stack `{name}`")
                }
                reason => reach_hint(reason).to_owned(),
            };
            unreadable(&reason, hint)
        })?;
        Self::described(name, &answer.body).ok_or_else(|| {
            let reason = "the answer was not understood";
            unreadable(reason, reach_hint(reason).to_owned())
        })
    }

    /// What CloudFormation's description says of the one stack in it.
    fn described(name: &str, description: &[u8]) -> Option<Self> {
        let mut status = None;
        let mut outputs = BTreeMap::new();
        let mut key = None;
        for (element, text) in texts(description, &["StackStatus", "OutputKey", "OutputValue"]).ok()? {
            match element.as_str() {
                "StackStatus" => status = Some(text),
                "OutputKey" => key = Some(text),
                _ if text.is_empty() => key = None,
                _ => {
                    outputs.insert(key.take()?, text);
                }
            }
        }
        Some(Self { name: name.to_owned(), status: status?, outputs })
    }

    /// The names that its outputs have. [`output_of`] says what those of a provider are called.
    pub fn parts(&self) -> Parts {
        let output = |name: &str| self.outputs.get(name).cloned();
        let by_provider = |suffix: &str| {
            let named = |(name, value): (&String, &String)| {
                Some((name.strip_suffix(suffix)?.to_ascii_lowercase(), value.clone()))
            };
            self.outputs.iter().filter_map(named).collect()
        };
        Parts {
            events_table: output("EventsTableName"),
            customers_table: output("CustomersTableName"),
            redrive_function: output("RedriveFunctionName"),
            redrive_schedules: output("RedriveScheduleNames")
                .map(|names| names.split(',').map(str::to_owned).collect())
                .unwrap_or_default(),
            webhooks: by_provider("WebhookUrl"),
            signing_secrets: by_provider("SigningSecretId"),
            api_secrets: by_provider("ApiSecretId"),
            returning_ai_secret: output("ReturningAiSecretId"),
        }
    }
}

fn describe(name: &str) -> Request<String> {
    let mut request = Request::new(format!("Action=DescribeStacks&Version=2010-05-15&StackName={}", encoded(name)));
    *request.method_mut() = Method::POST;
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    request
}

/// What the template calls an output of a provider's: `RailWebhookUrl`.
pub fn output_of(provider: &Provider, output: &str) -> String {
    format!("{}{output}", capitalized(provider.name))
}

/// A provider's name as the template, and people, write it.
pub fn capitalized(name: &str) -> String {
    let mut name = name.to_owned();
    if let Some(first) = name.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    name
}

#[cfg(test)]
mod tests;
