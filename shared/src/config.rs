//! The only reader of the environment: what a function is told when it starts.

use std::env;

use aws_credential_types::Credentials;
use tracing::level_filters::LevelFilter;

/// Everything a receiving function takes from its environment.
#[derive(Clone, Debug)]
pub struct Config {
    pub aws: AwsConfig,
    /// `TABLE_NAME`: the events table.
    pub table_name: String,
    /// `SIGNING_SECRET_ID`: name or ARN of the provider's signing keys.
    pub signing_secret_id: String,
    /// `RETURNING_AI_SECRET_ID`: name or ARN of the workflows.
    pub returning_ai_secret_id: String,
    /// `MAX_BODY_BYTES`; [`DEFAULT_MAX_BODY_BYTES`] unless set.
    pub max_body_bytes: usize,
    /// `LOG_LEVEL`; `info` unless set.
    pub log_level: LevelFilter,
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

/// 1 MiB: far above any documented event, and three times what one DynamoDB item can hold uncompressed.
pub const DEFAULT_MAX_BODY_BYTES: usize = 1 << 20;

/// Lambda takes no larger invocation than 6 MB, so a higher limit would never apply.
const HIGHEST_MAX_BODY_BYTES: usize = 6 << 20;

impl Config {
    /// Reads the process's environment.
    ///
    /// # Errors
    /// Names the first variable that is absent or unusable; set it in `template.yaml`.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::from_lookup(|name| env::var(name).ok())
    }

    /// Reads from `lookup` instead of the process's environment.
    ///
    /// # Errors
    /// As [`from_env`](Self::from_env).
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let optional = |name: &str| lookup(name).filter(|value| !value.is_empty());
        let required = |name: &'static str| optional(name).ok_or(ConfigError::Missing(name));
        let endpoint = |name: &str| optional(name).or_else(|| optional("AWS_ENDPOINT_URL"));

        optional("AWS_LAMBDA_RUNTIME_API").ok_or(ConfigError::NotOnLambda)?;
        Ok(Self {
            aws: AwsConfig {
                region: required("AWS_REGION")?,
                credentials: Credentials::new(
                    required("AWS_ACCESS_KEY_ID")?,
                    required("AWS_SECRET_ACCESS_KEY")?,
                    optional("AWS_SESSION_TOKEN"),
                    None,
                    "environment",
                ),
                dynamodb_url: endpoint("AWS_ENDPOINT_URL_DYNAMODB"),
                secrets_manager_url: endpoint("AWS_ENDPOINT_URL_SECRETS_MANAGER"),
            },
            table_name: required("TABLE_NAME")?,
            signing_secret_id: required("SIGNING_SECRET_ID")?,
            returning_ai_secret_id: required("RETURNING_AI_SECRET_ID")?,
            max_body_bytes: max_body_bytes(optional("MAX_BODY_BYTES"))?,
            log_level: log_level(optional("LOG_LEVEL"))?,
        })
    }
}

fn max_body_bytes(value: Option<String>) -> Result<usize, ConfigError> {
    let Some(value) = value else {
        return Ok(DEFAULT_MAX_BODY_BYTES);
    };
    value
        .parse()
        .ok()
        .filter(|bytes| (1..=HIGHEST_MAX_BODY_BYTES).contains(bytes))
        .ok_or(ConfigError::Unusable { name: "MAX_BODY_BYTES", expected: "a number from 1 to 6291456" })
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
mod tests {
    use super::*;

    const COMPLETE: &[(&str, &str)] = &[
        ("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001"),
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ACCESS_KEY_ID", "sample"),
        ("AWS_SECRET_ACCESS_KEY", "sample"),
        ("TABLE_NAME", "events"),
        ("SIGNING_SECRET_ID", "signing"),
        ("RETURNING_AI_SECRET_ID", "returning-ai"),
    ];

    fn read(changes: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::from_lookup(|name| {
            let of = |pairs: &[(&str, &str)]| pairs.iter().find(|(key, _)| *key == name).map(|(_, v)| (*v).to_owned());
            of(changes).or_else(|| of(COMPLETE))
        })
    }

    #[test]
    fn each_required_variable_is_named_when_it_is_absent_or_empty() {
        assert_eq!(read(&[("AWS_LAMBDA_RUNTIME_API", "")]).unwrap_err(), ConfigError::NotOnLambda);
        for (name, _) in &COMPLETE[1..] {
            let error = read(&[(name, "")]).expect_err(name);
            assert_eq!(error, ConfigError::Missing(name));
        }
    }

    #[test]
    fn what_is_not_set_has_its_documented_default() {
        let config = read(&[]).unwrap();
        assert_eq!(config.max_body_bytes, 1_048_576);
        assert_eq!(config.log_level, LevelFilter::INFO);
        assert_eq!(config.aws.dynamodb_url, None);
    }

    #[test]
    fn a_service_s_own_endpoint_wins_over_the_general_one() {
        let config =
            read(&[("AWS_ENDPOINT_URL", "http://127.0.0.1:1"), ("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:2")])
                .unwrap();
        assert_eq!(config.aws.dynamodb_url.as_deref(), Some("http://127.0.0.1:2"));
        assert_eq!(config.aws.secrets_manager_url.as_deref(), Some("http://127.0.0.1:1"));
    }

    #[test]
    fn an_unusable_value_is_named_without_being_shown() {
        for (name, value) in
            [("MAX_BODY_BYTES", "0"), ("MAX_BODY_BYTES", "6291457"), ("MAX_BODY_BYTES", "1 MiB"), ("LOG_LEVEL", "loud")]
        {
            let error = read(&[(name, value)]).expect_err(value);
            assert!(error.to_string().contains(name), "{error}");
            assert!(!error.to_string().contains(&format!("`{value}`")), "{error}");
        }
    }
}
