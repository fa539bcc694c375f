//! Where messages go: a workflow or an incoming webhook.

use std::fmt;

/// Where a route delivers to, by its name in the secret `RETURNING_AI_SECRET_ID`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Destination {
    Workflow(String),
    IncomingWebhook(String),
}

impl Destination {
    pub fn name(&self) -> &str {
        match self {
            Self::Workflow(name) | Self::IncomingWebhook(name) => name,
        }
    }
}

/// The name by which an operator pauses it: a workflow's own, an incoming webhook's with a prefix, since the two kinds may
/// share a name.
impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Workflow(name) => f.write_str(name),
            Self::IncomingWebhook(name) => write!(f, "incoming-webhook:{name}"),
        }
    }
}
