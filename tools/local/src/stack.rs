//! The whole bridge: DynamoDB, Secrets Manager, Rail's API, Returning.AI, the functions and the gateway, wired to each other.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use bytes::Bytes;
use serde_json::{Value, json};
use shared::outside::secrets::PLACEHOLDER;
use shared::receive::provider::Provider;

use crate::dynamodb::{CUSTOMERS_TABLE, DynamoDb, DynamoDbError, EVENTS_TABLE, TABLES_FILE};
use crate::gateway::{Gateway, Observer, Route};
use crate::http_client::{HttpClient, SendError};
use crate::lambda_host::{FunctionSpec, HostError, LambdaHost, LogSink};
use crate::rail_api::RailApi;
use crate::returning_ai::{IncomingWebhook, ReturningAi, Workflow};
use crate::secrets_manager::{SecretsManager, SecretsManagerError};

mod redrive;

/// All functions that the stack hosts. The gateway invokes any of them by Lambda's [Invoke API](crate::invoke_api).
pub const FUNCTIONS: [&str; providers::ALL.len() + 1] = receivers_then_redrive();

/// Those that receive webhooks: each is called as its provider.
pub const RECEIVERS: [&str; providers::ALL.len()] = receivers_then_redrive();

/// The function that retries failed deliveries. It has no path: EventBridge invokes it in AWS, [`Stack::redrive`] here.
pub const REDRIVE: &str = "redrive";

/// The name of Returning.AI's secret.
pub const RETURNING_AI_SECRET: &str = "bridge/returning-ai";

/// What to start, and how.
#[derive(Clone)]
pub struct StackOptions {
    /// The folder with the functions' binaries, named as the functions.
    pub functions: PathBuf,
    /// The folder that keeps tables and secrets between runs; `None` keeps them in memory.
    pub data: Option<PathBuf>,
    /// The gateway's; 0 is any free one.
    pub port: u16,
    /// Of a second port, which answers the providers' webhooks alone; 0 is any free one.
    pub webhook_port: Option<u16>,
    /// The secrets, by name, of real systems that are used in place of stand-ins. With any of them no secret is saved, and no
    /// signing key is one that this repository shows.
    pub real: BTreeMap<String, Value>,
    /// Returning.AI has a session workflow of each of these names.
    pub workflows: Vec<String>,
    pub incoming_webhooks: Vec<String>,
    pub freeze: bool,
    pub timeout: Duration,
    /// Per function.
    pub max_processes: usize,
    /// For all functions; wins over what the stack sets.
    pub extra_env: Vec<(String, String)>,
    /// Receives the log lines of all functions.
    pub log: LogSink,
    /// Called with every request that the gateway answered.
    pub observer: Option<Observer>,
    /// Of what they were called with, the parts remember only the newest: at least so many calls of each kind, at most twice
    /// as many. `None` is all of it: for tests, not for what runs long.
    pub remembered: Option<usize>,
}

impl StackOptions {
    /// Everything in memory, on any port, as on Lambda, without workflows.
    pub fn new(functions: PathBuf) -> Self {
        Self {
            functions,
            data: None,
            port: 0,
            webhook_port: None,
            real: BTreeMap::new(),
            workflows: Vec::new(),
            incoming_webhooks: Vec::new(),
            freeze: true,
            timeout: Duration::from_secs(30),
            max_processes: 10,
            extra_env: Vec::new(),
            log: LogSink::default(),
            observer: None,
            remembered: None,
        }
    }
}

/// A running bridge. Dropping it kills the functions' processes and closes the ports.
pub struct Stack {
    // Dropped in this order: nothing new comes in, then the functions end, then what they call.
    gateway: Gateway,
    functions: Vec<Arc<LambdaHost>>,
    pub dynamodb: DynamoDb,
    pub secrets_manager: SecretsManager,
    pub returning_ai: ReturningAi,
    pub rail_api: RailApi,
    client: HttpClient,
    options: StackOptions,
}

/// Which part did not start.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// Events of the one must not be delivered by the other.
    #[error("{} was used {used} real secrets", folder.display())]
    Folder { folder: PathBuf, used: &'static str },
    #[error("no random bytes for a signing key")]
    Random(#[source] io::Error),
    #[error("DynamoDB did not start")]
    DynamoDb(#[from] DynamoDbError),
    #[error("Secrets Manager did not start")]
    SecretsManager(#[from] SecretsManagerError),
    #[error("the stand-in for Returning.AI did not start")]
    ReturningAi(#[source] io::Error),
    #[error("the stand-in for Rail's API did not start")]
    RailApi(#[source] io::Error),
    #[error("function {name} cannot be hosted")]
    Function {
        name: &'static str,
        #[source]
        source: HostError,
    },
    #[error("the gateway cannot listen on port {port}")]
    Gateway {
        port: u16,
        #[source]
        source: io::Error,
    },
}

impl Stack {
    /// Starts every part. Call it inside a Tokio runtime.
    ///
    /// # Errors
    /// A part did not start; those that had are stopped again.
    pub async fn start(options: StackOptions) -> Result<Self, StackError> {
        let is_real = !options.real.is_empty();
        if let Some(folder) = &options.data {
            check_folder(folder, is_real)?;
        }
        let dynamodb = DynamoDb::start(options.data.as_deref()).await?;
        let file = options.data.as_ref().map(|data| data.join(SECRETS_FILE));
        let secrets_manager = match is_real {
            true => SecretsManager::start_private()?,
            false => SecretsManager::start(file.as_deref())?,
        };
        let workflows = options.workflows.iter();
        let incoming = options.incoming_webhooks.iter();
        let returning_ai = ReturningAi::start(
            workflows.map(|name| Workflow::session(name)).collect(),
            incoming.map(|name| IncomingWebhook::with_sample_key(name)).collect(),
        )
        .map_err(StackError::ReturningAi)?;
        let rail_api = RailApi::start().map_err(StackError::RailApi)?;
        for provider in RECEIVERS {
            let name = signing_secret(provider);
            // A key that was rotated in an earlier run stays.
            if !secrets_manager.holds(&name) {
                let random = || crate::unguessable().map(|random| format!("whsec_{random}"));
                let key = if is_real { random().map_err(StackError::Random)? } else { sample_key(provider) };
                let stand_in = json!({ "keys": { STAND_IN_KEY: key } });
                // Put once: even a previous version verifies.
                secrets_manager.put(&name, options.real.get(&name).unwrap_or(&stand_in))?;
            }
        }
        // The URLs of the stand-ins have another port in each run.
        for (name, stand_in) in
            [(RETURNING_AI_SECRET.to_owned(), returning_ai.secret()), (api_secret("rail"), rail_api.secret())]
        {
            secrets_manager.put(&name, options.real.get(&name).unwrap_or(&stand_in))?;
        }

        let mut functions = Vec::new();
        let mut routes = Vec::new();
        for name in FUNCTIONS {
            let spec = spec(&options, &dynamodb, &secrets_manager, name);
            let host = LambdaHost::start(spec).map_err(|source| StackError::Function { name, source })?;
            let host = Arc::new(host);
            if let Some(provider) = providers::by_name(name) {
                routes.push(Route { path: provider.path(), function: host.clone() });
            }
            functions.push(host);
        }
        if let Some(at_least) = options.remembered {
            dynamodb.remember(at_least);
            secrets_manager.remember(at_least);
            returning_ai.remember(at_least);
            rail_api.remember(at_least);
            functions.iter().for_each(|function| function.remember(at_least));
        }
        let port = options.port;
        let mut gateway = Gateway::start(port, routes, functions.clone(), options.observer.clone())
            .map_err(|source| StackError::Gateway { port, source })?;
        if let Some(port) = options.webhook_port {
            gateway.listen_for_webhooks(port).map_err(|source| StackError::Gateway { port, source })?;
        }
        let client = HttpClient::default();
        Ok(Self { gateway, functions, dynamodb, secrets_manager, returning_ai, rail_api, client, options })
    }

    /// The gateway's, without a slash at the end.
    pub fn url(&self) -> String {
        self.gateway.url()
    }

    pub fn port(&self) -> u16 {
        self.gateway.port()
    }

    /// Of the port that answers the webhooks alone, without a slash at the end.
    pub fn webhook_port_url(&self) -> Option<String> {
        self.gateway.webhook_port_url()
    }

    /// Whether real systems are used, as far as there are secrets of them.
    pub fn uses_real_systems(&self) -> bool {
        !self.options.real.is_empty()
    }

    /// Whether a secret is of a real system: it was given as one, or signing keys were added that the real API gave.
    pub fn is_real(&self, secret: &str) -> bool {
        let is_given = |name: &str| self.options.real.contains_key(name);
        let has_more_keys = || {
            let current = self.secrets_manager.current(secret).unwrap_or_default();
            current["keys"].as_object().is_some_and(|keys| keys.keys().any(|label| label != STAND_IN_KEY))
        };
        let mut of_real_api = RECEIVERS.into_iter().filter(|provider| is_given(&api_secret(provider)));
        is_given(secret) || (of_real_api.any(|provider| signing_secret(provider) == secret) && has_more_keys())
    }

    /// A key that the provider's deliveries can be signed with.
    pub fn signing_key(&self, provider: &str) -> Option<String> {
        usable_key(&self.secrets_manager.current(&signing_secret(provider))?)
    }

    /// What a provider is given to call.
    pub fn webhook_url(&self, provider: &Provider) -> String {
        format!("{}{}", self.url(), provider.path())
    }

    /// The host of one of [`FUNCTIONS`].
    pub fn function(&self, name: &str) -> Option<&LambdaHost> {
        let host = self.functions.iter().find(|host| host.name() == name)?;
        Some(host)
    }

    /// How the stack hosts a binary of this name in the functions' folder, to host another one beside it.
    pub fn function_spec(&self, name: &str) -> FunctionSpec {
        spec(&self.options, &self.dynamodb, &self.secrets_manager, name)
    }

    /// The lines of all functions.
    pub fn log(&self) -> &LogSink {
        &self.options.log
    }

    /// POSTs to a provider's webhook through the gateway; status and body of the answer.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn send<N: AsRef<str>, V: AsRef<str>>(
        &self,
        provider: &Provider,
        headers: &[(N, V)],
        body: impl Into<Bytes>,
    ) -> Result<(u16, String), SendError> {
        let url = self.webhook_url(provider);
        let response = self.client.post(&url, headers, body.into()).await?;
        let text = String::from_utf8_lossy(response.body()).into_owned();
        Ok((response.status().as_u16(), text))
    }

    /// Returns when no function is working on anything.
    pub async fn settled(&self) {
        for function in &self.functions {
            function.idle().await;
        }
    }

    /// Lets `beside` answer every request to the gateway's port that is not for a function; `None` ends that.
    ///
    /// It may hold this stack: then only [`shutdown`](Self::shutdown), or `None` here, ends the stack, because both drop it.
    pub fn serve_beside(&self, beside: Option<Router>) {
        self.gateway.serve_beside(beside);
    }

    /// Closes the gateway, with what is served beside the functions, and kills the functions; returns when they are gone.
    ///
    /// The other parts stay until the stack is dropped, so that a test can read the final state.
    pub async fn shutdown(&self) {
        self.gateway.close().await;
        for function in &self.functions {
            function.shutdown().await;
        }
    }
}

/// Of the secrets, in the folder that keeps the tables.
const SECRETS_FILE: &str = "secrets-manager.json";

/// The label of the signing key that a stand-in's secret begins with.
const STAND_IN_KEY: &str = "sample";

/// A folder with tables has the file of secrets unless they were real.
fn check_folder(folder: &Path, is_real: bool) -> Result<(), StackError> {
    let has_secrets = folder.join(SECRETS_FILE).exists();
    let used = match is_real {
        true if has_secrets => "without",
        false if !has_secrets && folder.join(TABLES_FILE).exists() => "with",
        _ => return Ok(()),
    };
    Err(StackError::Folder { folder: folder.to_owned(), used })
}

/// The key that a provider's sample secret holds.
pub fn sample_key(provider: &str) -> String {
    format!("whsec_sample_{provider}_key_do_not_use")
}

/// A key of a secret with signing keys that deliveries can be signed with.
pub fn usable_key(secret: &Value) -> Option<String> {
    let mut keys = secret["keys"].as_object()?.values().filter_map(Value::as_str);
    keys.find(|key| !key.is_empty() && !key.starts_with(PLACEHOLDER)).map(str::to_owned)
}

/// The name of the secret with a provider's signing keys.
pub fn signing_secret(provider: &str) -> String {
    format!("bridge/{provider}/signing")
}

/// The name of the secret of a provider's API.
pub fn api_secret(provider: &str) -> String {
    format!("bridge/{provider}/api")
}

/// As many of them as there is room for.
const fn receivers_then_redrive<const N: usize>() -> [&'static str; N] {
    let mut names = [REDRIVE; N];
    let mut at = 0;
    while at < providers::ALL.len() {
        names[at] = providers::ALL[at].name;
        at += 1;
    }
    names
}

fn spec(options: &StackOptions, dynamodb: &DynamoDb, secrets_manager: &SecretsManager, name: &str) -> FunctionSpec {
    let mut env = [
        ("TABLE_NAME", EVENTS_TABLE.to_owned()),
        ("CUSTOMERS_TABLE_NAME", CUSTOMERS_TABLE.to_owned()),
        ("RETURNING_AI_SECRET_ID", RETURNING_AI_SECRET.to_owned()),
        ("AWS_ENDPOINT_URL_DYNAMODB", dynamodb.url()),
        ("AWS_ENDPOINT_URL_SECRETS_MANAGER", secrets_manager.url()),
        ("LOG_LEVEL", "info".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec();
    if name != REDRIVE {
        env.push(("SIGNING_SECRET_ID".to_owned(), signing_secret(name)));
    }
    // A provider's events may name an account whose customer only its API knows; redrive takes over everybody's.
    for provider in providers::ALL.iter().filter(|provider| [provider.name, REDRIVE].contains(&name)) {
        if let Some(api) = &provider.api {
            env.push((api.secret_variable.to_owned(), api_secret(provider.name)));
        }
    }
    env.extend(options.extra_env.iter().cloned());
    FunctionSpec {
        name: name.to_owned(),
        binary: options.functions.join(name),
        env,
        timeout: options.timeout,
        max_processes: options.max_processes,
        freeze: options.freeze,
        log: options.log.clone(),
    }
}

#[cfg(test)]
mod tests;
