//! A stand-in for Secrets Manager: secrets with a current and a previous version, in memory or in a JSON file.

use std::collections::BTreeMap;
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::aws::{AwsFront, Dialect};
use crate::front::{Answer, Front, Guests, json_response};

/// A running Secrets Manager. What counts calls and scripts faults is [`AwsFront`], reached through `Deref`.
#[derive(Debug)]
pub struct SecretsManager {
    secrets: Arc<Secrets>,
    aws: Arc<AwsFront>,
    front: Front,
    base: String,
}

/// Why Secrets Manager did not start, or why a secret was not saved.
#[derive(Debug, thiserror::Error)]
pub enum SecretsManagerError {
    #[error("no port on loopback")]
    Listen(#[source] io::Error),
    #[error("the file of secrets {path} cannot be read or written")]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the file of secrets {path} is not in the expected format")]
    Unreadable {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
}

impl SecretsManager {
    /// Starts it with the secrets of `file`, to which every change is written; `None` keeps them in memory.
    ///
    /// # Errors
    /// The file is there but cannot be read, or there is no port.
    pub fn start(file: Option<&Path>) -> Result<Self, SecretsManagerError> {
        Self::start_below(String::new(), file)
    }

    /// Starts it in memory, for those alone who know its URL: a part of its path is random. Every program on this machine can
    /// call a port on loopback.
    ///
    /// # Errors
    /// There is no port.
    pub fn start_private() -> Result<Self, SecretsManagerError> {
        let base = crate::unguessable().map_err(SecretsManagerError::Listen)?;
        Self::start_below(format!("/{base}"), None)
    }

    fn start_below(base: String, file: Option<&Path>) -> Result<Self, SecretsManagerError> {
        let secrets = Arc::new(Secrets::open(file)?);
        let aws = Arc::new(AwsFront::new(SECRETS_MANAGER));
        let (kept, counted, expected) = (secrets.clone(), aws.clone(), base.clone());
        let front = Front::start(
            0,
            MAX_REQUEST_BYTES,
            |_| Guests::Programs,
            move |request| {
                let (secrets, aws) = (kept.clone(), counted.clone());
                let is_known = request.uri().path().trim_end_matches('/') == expected;
                async move {
                    // What opens a connection ahead of a call reads nothing.
                    if !is_known && request.method() != Method::GET {
                        let message = "The path is not the one of this run: `.bridge/dev.json` has it";
                        return Answer::Http(aws.exception(StatusCode::FORBIDDEN, "AccessDeniedException", message));
                    }
                    let perform = async |operation: String, request: http::Request<Bytes>| {
                        secrets.perform(&aws, &operation, request.body())
                    };
                    aws.answer(request, perform).await
                }
            },
        )
        .map_err(SecretsManagerError::Listen)?;
        Ok(Self { secrets, aws, front, base })
    }

    /// What `AWS_ENDPOINT_URL_SECRETS_MANAGER` is to be.
    pub fn url(&self) -> String {
        format!("{}{}", self.front.url(), self.base)
    }

    /// Closes the connections that callers keep open, as idle ones are.
    pub async fn close_connections(&self) {
        self.front.close_connections().await;
    }

    /// Makes `value` the current version, made new if need be; what was current becomes the previous.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn put(&self, name: &str, value: &Value) -> Result<(), SecretsManagerError> {
        let mut secrets = self.secrets.lock();
        let text = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        secrets.entry(name.to_owned()).or_default().put(crate::random_uuid(), text);
        self.secrets.save(&secrets)
    }

    /// Whether there is a secret of this name.
    pub fn holds(&self, name: &str) -> bool {
        self.secrets.lock().contains_key(name)
    }

    /// The current version, parsed when it is JSON.
    pub fn current(&self, name: &str) -> Option<Value> {
        let secrets = self.secrets.lock();
        let text = &secrets.get(name)?.current.as_ref()?.secret_string;
        Some(serde_json::from_str(text).unwrap_or_else(|_| json!(text)))
    }

    /// From now on the next `reads` reads of a secret after each write return the value before it, like a replica that lags.
    pub fn lag_after_each_put(&self, reads: u32) {
        self.secrets.lag.store(reads, Ordering::SeqCst);
    }

    /// Forgets a secret and its versions.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn remove(&self, name: &str) -> Result<(), SecretsManagerError> {
        let mut secrets = self.secrets.lock();
        secrets.remove(name);
        self.secrets.save(&secrets)
    }

    /// Forgets only the previous version, as an operator does when the old key can go.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn remove_previous(&self, name: &str) -> Result<(), SecretsManagerError> {
        let mut secrets = self.secrets.lock();
        if let Some(secret) = secrets.get_mut(name) {
            secret.previous = None;
        }
        self.secrets.save(&secrets)
    }
}

impl Deref for SecretsManager {
    type Target = AwsFront;

    fn deref(&self) -> &AwsFront {
        &self.aws
    }
}

#[derive(Debug)]
struct Secrets {
    file: Option<PathBuf>,
    by_name: Mutex<BTreeMap<String, Secret>>,
    lag: AtomicU32,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
struct Secret {
    current: Option<Version>,
    previous: Option<Version>,
    /// What the next reads return instead, and how many of them.
    #[serde(skip)]
    before: Option<(Box<Secret>, u32)>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Version {
    id: String,
    secret_string: String,
    /// Epoch milliseconds; later ones are always greater.
    #[serde(default)]
    created_at: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Call {
    secret_id: String,
    version_id: Option<String>,
    version_stage: Option<String>,
    secret_string: Option<String>,
    client_request_token: Option<String>,
}

impl Secrets {
    fn open(file: Option<&Path>) -> Result<Self, SecretsManagerError> {
        let by_name = match file {
            Some(path) if path.exists() => {
                let text = std::fs::read(path)
                    .map_err(|source| SecretsManagerError::File { path: path.to_owned(), source })?;
                serde_json::from_slice(&text)
                    .map_err(|source| SecretsManagerError::Unreadable { path: path.to_owned(), source })?
            }
            _ => BTreeMap::new(),
        };
        Ok(Self { file: file.map(Path::to_owned), by_name: Mutex::new(by_name), lag: AtomicU32::new(0) })
    }

    fn save(&self, secrets: &BTreeMap<String, Secret>) -> Result<(), SecretsManagerError> {
        let Some(path) = &self.file else {
            return Ok(());
        };
        let written = || {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            std::fs::write(path, serde_json::to_vec_pretty(secrets)?)
        };
        written().map_err(|source| SecretsManagerError::File { path: path.clone(), source })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Secret>> {
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn perform(&self, aws: &AwsFront, operation: &str, body: &[u8]) -> Response<Bytes> {
        let refuse = |name, message| aws.exception(StatusCode::BAD_REQUEST, name, message);
        match operation {
            "ListSecrets" => return self.list(aws, body),
            "DescribeSecret" | "GetSecretValue" | "PutSecretValue" => {}
            _ => return aws.unknown_operation(operation),
        }
        let Ok(call) = serde_json::from_slice::<Call>(body) else {
            return refuse("InvalidRequestException", "not a request of this operation");
        };
        let mut secrets = self.lock();
        let name = name_of(&call.secret_id).to_owned();
        let Some(secret) = secrets.get_mut(&name) else {
            return refuse("ResourceNotFoundException", "Secrets Manager can't find the specified secret.");
        };
        let mut answer = match operation {
            "GetSecretValue" => match secret.as_read().version(&call) {
                Some((version, stage)) => json!({
                    "VersionId": version.id,
                    "SecretString": version.secret_string,
                    "VersionStages": [stage],
                    "CreatedDate": Duration::from_millis(version.created_at).as_secs_f64(),
                }),
                None => {
                    return refuse(
                        "ResourceNotFoundException",
                        "Secrets Manager can't find the specified secret value for that staging label or version.",
                    );
                }
            },
            "PutSecretValue" => {
                let Some(value) = call.secret_string else {
                    return refuse("InvalidParameterException", "SecretString is missing");
                };
                let id = call.client_request_token.unwrap_or_else(crate::random_uuid);
                let before = secret.clone();
                secret.put(id.clone(), value);
                let lag = self.lag.load(Ordering::SeqCst);
                secret.before = (lag > 0).then(|| (Box::new(Secret { before: None, ..before }), lag));
                if self.save(&secrets).is_err() {
                    return aws.exception(
                        StatusCode::INTERNAL_SERVER_ERROR,
                        "InternalServiceError",
                        "the file of secrets cannot be written",
                    );
                }
                json!({ "VersionId": id, "VersionStages": [CURRENT] })
            }
            _ => json!({ "VersionIdsToStages": secret.stages(), "CreatedDate": now_s() }),
        };
        answer["ARN"] = json!(arn_of(&name));
        answer["Name"] = json!(name);
        json_response(StatusCode::OK, SECRETS_MANAGER.content_type, &answer)
    }

    /// All secrets without their values, in one page.
    fn list(&self, aws: &AwsFront, body: &[u8]) -> Response<Bytes> {
        let call: Value = serde_json::from_slice(body).unwrap_or_default();
        if call.get("Filters").is_some_and(|filters| *filters != json!([])) {
            let message = "`bridge dev` lists all secrets: leave out `--filters`";
            return aws.exception(StatusCode::BAD_REQUEST, "InvalidParameterException", message);
        }
        let secrets = self.lock();
        let secrets = secrets.iter().map(
            |(name, secret)| json!({ "ARN": arn_of(name), "Name": name, "SecretVersionsToStages": secret.stages() }),
        );
        let answer = json!({ "SecretList": secrets.collect::<Vec<_>>() });
        json_response(StatusCode::OK, SECRETS_MANAGER.content_type, &answer)
    }
}

impl Secret {
    /// The versions, each with what it is.
    fn stages(&self) -> serde_json::Map<String, Value> {
        let versions = [(&self.current, CURRENT), (&self.previous, PREVIOUS)];
        let staged = versions.into_iter().filter_map(|(version, stage)| Some((version.as_ref()?, stage)));
        staged.map(|(version, stage)| (version.id.clone(), json!([stage]))).collect()
    }

    /// An existing version id changes nothing: that is how AWS makes the call idempotent.
    fn put(&mut self, id: String, secret_string: String) {
        let known = [&self.current, &self.previous];
        if known.into_iter().flatten().any(|version| version.id == id) {
            return;
        }
        let newest = self.current.as_ref().map_or(0, |version| version.created_at);
        // Two, since a time that travels as seconds with a fraction may arrive a millisecond earlier.
        let created_at = now_ms().max(newest + 2);
        let replaced = self.current.replace(Version { id, secret_string, created_at });
        if replaced.is_some() {
            self.previous = replaced;
        }
    }

    /// What a read sees.
    fn as_read(&mut self) -> Self {
        match self.before.take() {
            None => self.clone(),
            Some((before, reads)) => {
                let seen = (*before).clone();
                self.before = (reads > 1).then(|| (before, reads - 1));
                seen
            }
        }
    }

    fn version(&self, call: &Call) -> Option<(&Version, &'static str)> {
        let staged = [(&self.current, CURRENT), (&self.previous, PREVIOUS)];
        let default_stage = call.version_id.is_none().then_some(CURRENT);
        let stage = call.version_stage.as_deref().or(default_stage);
        staged
            .into_iter()
            .filter_map(|(version, name)| Some((version.as_ref()?, name)))
            .filter(|(_, name)| stage.is_none_or(|wanted| wanted == *name))
            .find(|(version, _)| call.version_id.as_ref().is_none_or(|id| *id == version.id))
    }
}

fn arn_of(name: &str) -> String {
    format!("{ARN_PREFIX}{name}-local0")
}

/// A secret may be named by its ARN, which ends in six random characters after the name.
fn name_of(secret_id: &str) -> &str {
    match secret_id.strip_prefix(ARN_PREFIX) {
        Some(name) => name.rsplit_once('-').map_or(name, |(name, _)| name),
        None => secret_id,
    }
}

fn now_s() -> u64 {
    now_ms() / 1000
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

const CURRENT: &str = "AWSCURRENT";
const PREVIOUS: &str = "AWSPREVIOUS";
const ARN_PREFIX: &str = "arn:aws:secretsmanager:us-east-1:000000000000:secret:";
/// A secret holds at most 64 KiB.
const MAX_REQUEST_BYTES: usize = 128 * 1024;

const SECRETS_MANAGER: Dialect = Dialect {
    target_prefix: "secretsmanager.",
    content_type: "application/x-amz-json-1.1",
    exception_prefix: "",
    throttle: "ThrottlingException",
};

#[cfg(test)]
mod tests;
