//! A stack in AWS, as CloudFormation describes it.

use std::collections::BTreeMap;

use aws_types::sdk_config::SdkConfig;
use shared::outside::aws::sdk_reason;
use shared::receive::provider::Provider;

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
        let answer = aws_sdk_cloudformation::Client::new(config).describe_stacks().stack_name(name).send().await;
        let found = answer.map_err(|error| {
            let reason = sdk_reason(&error);
            let hint = match reason.as_str() {
                "ValidationError" => "no such stack: check `--stack`, `--region` and `--profile`".to_owned(),
                "AccessDenied" | "AccessDeniedException" => {
                    format!("requires permission `cloudformation:DescribeStacks` on stack `{name}`")
                }
                reason => reach_hint(reason).to_owned(),
            };
            OperatorError::outside(format!("Stack {name} cannot be read: {reason}"), hint)
        })?;
        let no_such =
            || OperatorError::outside(format!("No stack {name}"), "check `--stack`, `--region` and `--profile`");
        let found = found.stacks.and_then(|stacks| stacks.into_iter().next()).ok_or_else(no_such)?;
        let outputs = found.outputs.unwrap_or_default().into_iter();
        Ok(Self {
            name: name.to_owned(),
            status: found.stack_status.map_or_else(String::new, |status| status.as_str().to_owned()),
            outputs: outputs
                .filter_map(|output| Some((output.output_key?, output.output_value?)))
                .filter(|(_, value)| !value.is_empty())
                .collect(),
        })
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
