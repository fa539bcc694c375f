//! Where Returning.AI's workflows and incoming webhooks are, and the keys that they accept.

use std::collections::HashMap;
use std::fmt;

use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};

use crate::deliver::encryption::Encryption;
use crate::outside::secrets::{self, Fields, Problem};
use route::destination::Destination;

/// What the secret `RETURNING_AI_SECRET_ID` says, by name; `None` of an entry that cannot be used.
pub struct Webhooks {
    pub(super) workflows: HashMap<String, Option<Workflow>>,
    pub(super) incoming: HashMap<String, Option<IncomingWebhook>>,
}

pub(super) struct Workflow {
    /// `None` in legacy mode.
    pub(super) handshake_url: Option<Url>,
    pub(super) webhook_url: Url,
    pub(super) api_key: ApiKey,
}

pub(super) struct IncomingWebhook {
    pub(super) url: Url,
    pub(super) api_key: Option<ApiKey>,
    pub(super) encryption: Option<Encryption>,
}

/// An API key under its header; marked sensitive, so that it is not shown.
pub(super) type ApiKey = (HeaderName, HeaderValue);

static API_KEY: HeaderName = HeaderName::from_static("x-api-key");

impl Webhooks {
    /// Reads the text of the secret. One entry's problem is no reason to do without the others.
    pub fn parse(secret: &str) -> (Option<Self>, Vec<Problem>) {
        let (webhooks, problems) = secrets::read(secret, |fields| Self {
            workflows: fields.entries("workflows", "an object of name and workflow", Workflow::read),
            incoming: match fields.is_given("incoming_webhooks") {
                true => {
                    let expected = "an object of name and incoming webhook";
                    fields.entries("incoming_webhooks", expected, IncomingWebhook::read)
                }
                false => HashMap::new(),
            },
        });
        let is_of_use = problems.is_empty()
            || webhooks.workflows.values().any(Option::is_some)
            || webhooks.incoming.values().any(Option::is_some);
        (is_of_use.then_some(webhooks), problems)
    }

    /// All destinations in the secret that can be used, in no order.
    pub fn destinations(&self) -> impl Iterator<Item = Destination> {
        let workflows = self.workflows.iter().filter(|(_, entry)| entry.is_some());
        let incoming = self.incoming.iter().filter(|(_, entry)| entry.is_some());
        let workflows = workflows.map(|(name, _)| Destination::Workflow(name.clone()));
        workflows.chain(incoming.map(|(name, _)| Destination::IncomingWebhook(name.clone())))
    }
}

impl fmt::Debug for Webhooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Webhooks({} workflows, {} incoming)", self.workflows.len(), self.incoming.len())
    }
}

impl Workflow {
    fn read(fields: &Fields<'_>) -> Option<Self> {
        let api_key = fields.header_value("api_key");
        let headers = [("authorization", &AUTHORIZATION), ("x-api-key", &API_KEY)];
        let header = fields.one_of("api_key_header", headers, "\"authorization\" or \"x-api-key\"");
        let modes = [("session", false), ("legacy", true)];
        let handshake_url = match fields.one_of("mode", modes, "\"session\" or \"legacy\"") {
            Some(true) => Some(None),
            Some(false) => fields.url("handshake_url").map(Some),
            None => None,
        };
        let webhook_url = fields.url("webhook_url");
        Some(Self { handshake_url: handshake_url?, webhook_url: webhook_url?, api_key: (header?.clone(), api_key?) })
    }
}

impl IncomingWebhook {
    fn read(fields: &Fields<'_>) -> Option<Self> {
        let url = fields.url("url");
        let api_key = match fields.is_given("api_key") {
            true => fields.header_value("api_key").map(|key| Some((API_KEY.clone(), key))),
            false => Some(None),
        };
        let encryption = match fields.is_given("encryption") {
            true => fields
                .object("encryption", "an object of mode, key and body")
                .and_then(|it| Encryption::read(&it))
                .map(Some),
            false => Some(None),
        };
        Some(Self { url: url?, api_key: api_key?, encryption: encryption? })
    }
}

#[cfg(test)]
mod tests;
