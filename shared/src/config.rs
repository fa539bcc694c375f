//! The only reader of the environment: what a function is told when it starts.

use std::env;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

use aws_credential_types::Credentials;
use tracing::level_filters::LevelFilter;

/// What every function takes from its environment.
#[derive(Clone, Debug)]
pub struct Config {
    pub aws: AwsConfig,
    /// `AWS_LAMBDA_FUNCTION_NAME`; the program's own name unless set.
    pub function_name: String,
    /// `TABLE_NAME`: the events table.
    pub table_name: String,
    /// `RETURNING_AI_SECRET_ID`: name or ARN of the workflows.
    pub returning_ai_secret_id: String,
    /// `CUSTOMERS_TABLE_NAME`: the customers table, for a broker who links customers.
    pub customers_table_name: Option<String>,
    /// `DUE_PARTS`: over how many parts of the index pending events are spread; [`DEFAULT_DUE_PARTS`] unless set.
    pub due_parts: u8,
    /// `LOG_LEVEL`; `info` unless set.
    pub log_level: LevelFilter,
}

/// What a receiving function takes besides.
#[derive(Clone, Debug)]
pub struct ReceiverConfig {
    /// `SIGNING_SECRET_ID`: name or ARN of the provider's signing keys.
    pub signing_secret_id: String,
    /// `MAX_BODY_BYTES`; [`DEFAULT_MAX_BODY_BYTES`] unless set.
    pub max_body_bytes: usize,
}

/// Where AWS is and who asks, in the variables every AWS SDK reads.
#[derive(Clone, Debug)]
pub struct AwsConfig {
    pub region: String,
    pub credentials: Credentials,
    /// `AWS_ENDPOINT_URL_DYNAMODB`, or else `AWS_ENDPOINT_URL`.
    pub dynamodb_url: Option<String>,
    /// `AWS_ENDPOINT_URL_SECRETS_MANAGER`, or else `AWS_ENDPOINT_URL`.
    pub secrets_manager_url: Option<String>,
}

/// Why a function does not start: a variable that is absent or cannot be read. Never says its value.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ConfigError {
    /// The Runtime API's address is absent: somebody started the function by hand.
    #[error("this program is a Lambda function; `bridge dev` or `cargo lambda watch` runs it on this machine")]
    NotOnLambda,
    #[error("environment variable `{0}` is not set")]
    Missing(&'static str),
    #[error("environment variable `{name}` is not usable: {expected} expected")]
    Unusable { name: &'static str, expected: &'static str },
}

/// 256 KiB: the largest documented event has 3 KB. It is also the highest limit that can be set: an item of the table holds
/// every body below it, and what a stranger's body may cost is bounded up to it.
pub const DEFAULT_MAX_BODY_BYTES: usize = 256 * 1024;

/// Each part of the index bears about 1,000 write units a second, of which an event takes two: 4,000 events a second.
pub const DEFAULT_DUE_PARTS: u8 = 8;

/// Readers read so many parts, whatever the writers' number is, so that it can change either way.
pub const MAX_DUE_PARTS: u8 = 64;

impl Config {
    /// Reads the process's environment.
    ///
    /// # Errors
    /// Names the first variable that is absent or unusable; set it in `template.yaml`.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::from_lookup(variable)
    }

    /// Reads from `lookup` instead of the process's environment.
    ///
    /// # Errors
    /// As [`from_env`](Self::from_env).
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let endpoint = |name: &str| lookup(name).or_else(|| lookup("AWS_ENDPOINT_URL"));

        lookup("AWS_LAMBDA_RUNTIME_API").ok_or(ConfigError::NotOnLambda)?;
        Ok(Self {
            aws: AwsConfig {
                region: required(&lookup, "AWS_REGION")?,
                credentials: Credentials::new(
                    required(&lookup, "AWS_ACCESS_KEY_ID")?,
                    required(&lookup, "AWS_SECRET_ACCESS_KEY")?,
                    lookup("AWS_SESSION_TOKEN"),
                    None,
                    "environment",
                ),
                dynamodb_url: endpoint("AWS_ENDPOINT_URL_DYNAMODB"),
                secrets_manager_url: endpoint("AWS_ENDPOINT_URL_SECRETS_MANAGER"),
            },
            function_name: lookup("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_else(program_name),
            table_name: required(&lookup, "TABLE_NAME")?,
            returning_ai_secret_id: required(&lookup, "RETURNING_AI_SECRET_ID")?,
            customers_table_name: lookup("CUSTOMERS_TABLE_NAME"),
            due_parts: due_parts(lookup("DUE_PARTS"))?,
            log_level: log_level(lookup("LOG_LEVEL"))?,
        })
    }
}

impl ReceiverConfig {
    /// Reads the process's environment.
    ///
    /// # Errors
    /// As [`Config::from_env`].
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::from_lookup(variable)
    }

    /// Reads from `lookup` instead of the process's environment.
    ///
    /// # Errors
    /// As [`Config::from_env`].
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        Ok(Self {
            signing_secret_id: required(&lookup, "SIGNING_SECRET_ID")?,
            max_body_bytes: max_body_bytes(lookup("MAX_BODY_BYTES"))?,
        })
    }
}

/// The name or ARN of a provider's API secret, from the variable that the provider's API has for it; `None` unless set.
pub fn provider_api_secret_id(variable_name: &'static str) -> Option<String> {
    variable(variable_name)
}

/// A variable of the process; one that is set to nothing is not set.
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

fn program_name() -> String {
    let program = env::args_os().next().map(PathBuf::from);
    program.and_then(|path| Some(path.file_name()?.to_str()?.to_owned())).unwrap_or_default()
}

fn required(lookup: impl Fn(&str) -> Option<String>, name: &'static str) -> Result<String, ConfigError> {
    lookup(name).ok_or(ConfigError::Missing(name))
}

/// Dies here, as by SIGKILL, if a test has asked for it in `BRIDGE_KILL_AT`; nothing of it is in a release build.
#[cfg(debug_assertions)]
pub fn kill_point(name: &str) {
    use std::process::{Command, id};
    if env::var("BRIDGE_KILL_AT").is_ok_and(|at| at == name) {
        let _ = Command::new("kill").args(["-9", &id().to_string()]).status();
        loop {
            std::thread::park();
        }
    }
}

/// Nothing: only tests are killed on purpose.
#[cfg(not(debug_assertions))]
pub fn kill_point(_: &str) {}

/// How far a test has the clock of this process run ahead (or behind, below zero), by `BRIDGE_CLOCK_SKEW_S`; nothing of it is
/// in a release build.
#[cfg(debug_assertions)]
pub fn clock_skew_ms() -> i64 {
    static SKEW_MS: std::sync::OnceLock<i64> = std::sync::OnceLock::new();
    *SKEW_MS.get_or_init(|| {
        let seconds = env::var("BRIDGE_CLOCK_SKEW_S").ok().and_then(|text| text.parse::<i64>().ok());
        seconds.unwrap_or_default().saturating_mul(1000)
    })
}

/// Zero: only tests have wrong clocks on purpose.
#[cfg(not(debug_assertions))]
pub fn clock_skew_ms() -> i64 {
    0
}

fn max_body_bytes(value: Option<String>) -> Result<usize, ConfigError> {
    let problem = ConfigError::Unusable { name: "MAX_BODY_BYTES", expected: "a number from 1 to 262144" };
    number(value, DEFAULT_MAX_BODY_BYTES, 1..=DEFAULT_MAX_BODY_BYTES, problem)
}

fn due_parts(value: Option<String>) -> Result<u8, ConfigError> {
    let problem = ConfigError::Unusable { name: "DUE_PARTS", expected: "a number from 1 to 64" };
    number(value, DEFAULT_DUE_PARTS, 1..=MAX_DUE_PARTS, problem)
}

fn number<T: FromStr + PartialOrd>(
    value: Option<String>,
    default: T,
    range: RangeInclusive<T>,
    problem: ConfigError,
) -> Result<T, ConfigError> {
    let Some(value) = value else { return Ok(default) };
    value.parse().ok().filter(|number| range.contains(number)).ok_or(problem)
}

fn log_level(value: Option<String>) -> Result<LevelFilter, ConfigError> {
    let Some(value) = value else {
        return Ok(LevelFilter::INFO);
    };
    value.parse().map_err(|_| ConfigError::Unusable {
        name: "LOG_LEVEL",
        expected: "one of off, error, warn, info, debug, trace",
    })
}

#[cfg(test)]
mod tests;
