//! What the parts of a bridge are called: as an operator, a stack or a running `bridge dev` names them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What an operator has named. All defaults: the bridge that runs on this machine.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Target {
    /// A CloudFormation stack, whose outputs name the parts.
    pub stack: Option<String>,
    /// Parts in AWS, where no stack is named.
    pub parts: Parts,
    /// AWS region and profile, unless the environment says.
    pub region: Option<String>,
    pub profile: Option<String>,
}

/// What the parts of a bridge are called, as far as it is known.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Parts {
    pub events_table: Option<String>,
    pub customers_table: Option<String>,
    pub redrive_function: Option<String>,
    /// One, or several that share the work.
    pub redrive_schedules: Vec<String>,
    /// The URL that each provider delivers to, the secret of its signing keys and that of its API, by the provider's name.
    pub webhooks: BTreeMap<String, String>,
    pub signing_secrets: BTreeMap<String, String>,
    pub api_secrets: BTreeMap<String, String>,
    pub returning_ai_secret: Option<String>,
}
