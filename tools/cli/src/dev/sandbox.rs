//! `bridge dev --secrets`: real systems in place of stand-ins, and what it prints about them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use local::stack::{RETURNING_AI_SECRET, Stack, api_secret, signing_secret};
use operator::OperatorError;
use operator::sandbox::{self, SecretKind};
use page::dev::real_parts;
use rail::RAIL;
use route::destination::Destination;
use route::routes::Routes;
use serde_json::Value;
use shared::deliver::webhooks::Webhooks;

/// The real secrets of a file, by the names that they have here.
pub(super) fn secrets(file: &Path) -> Result<BTreeMap<String, Value>, OperatorError> {
    let named = |(kind, value)| {
        let name = match kind {
            SecretKind::SigningKeys(provider) => signing_secret(provider),
            SecretKind::Api(provider) => api_secret(provider),
            SecretKind::ReturningAi => RETURNING_AI_SECRET.to_owned(),
        };
        (name, value)
    };
    Ok(sandbox::read(file)?.into_iter().map(named).collect())
}

/// Whether any provider's customers are asked of its real API. What the samples say of their accounts would be found first.
pub(super) fn asks_a_real_api(stack: &Stack) -> bool {
    providers::ALL.iter().any(|provider| stack.is_real(&api_secret(provider.name)))
}

/// What is real, what is missing, and what to do next, in lines.
pub(super) fn introduction(stack: &Stack, routes: &Routes) -> Vec<String> {
    let mut lines: Vec<String> = real_parts(stack).into_iter().collect();
    let missing = missing(stack, routes);
    if !missing.is_empty() {
        lines.push(format!("The secret of Returning.AI lacks {}: their messages wait.", missing.join(", ")));
    }
    if let Some(url) = stack.webhook_port_url() {
        let paths: Vec<_> = providers::ALL.iter().map(|provider| format!("POST {}", provider.path())).collect();
        lines.push(format!("A tunnel can lead to {url}: it answers {} and nothing else.", paths.join(" and ")));
    }
    if stack.is_real(&api_secret(RAIL.name)) {
        let path = RAIL.path();
        lines.push("Register the URL of your tunnel at Rail:".to_owned());
        lines.push(format!("  cargo run -- rail subscriptions sync --dev --callback-url https://TUNNEL{path}"));
    }
    lines.push("No sample was sent. Send one from the page.".to_owned());
    lines
}

/// Destinations of routes that the real Returning.AI's secret does not have.
fn missing(stack: &Stack, routes: &Routes) -> Vec<String> {
    if !stack.is_real(RETURNING_AI_SECRET) {
        return Vec::new();
    }
    let secret = stack.secrets_manager.current(RETURNING_AI_SECRET).unwrap_or_default();
    let (webhooks, _) = Webhooks::parse(&secret.to_string());
    let known: BTreeSet<Destination> = webhooks.iter().flat_map(Webhooks::destinations).collect();
    let wanted = routes.destinations().into_iter();
    wanted.filter(|destination| !known.contains(*destination)).map(Destination::to_string).collect()
}
