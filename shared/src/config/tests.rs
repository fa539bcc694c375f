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

fn read(changes: &[(&str, &str)]) -> Result<(Config, ReceiverConfig), ConfigError> {
    let lookup = |name: &str| {
        let of = |pairs: &[(&str, &str)]| pairs.iter().find(|(key, _)| *key == name).map(|(_, v)| (*v).to_owned());
        of(changes).or_else(|| of(COMPLETE)).filter(|value| !value.is_empty())
    };
    Ok((Config::from_lookup(lookup)?, ReceiverConfig::from_lookup(lookup)?))
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
    let (config, receiver) = read(&[]).unwrap();
    assert_eq!(receiver.max_body_bytes, 262_144);
    assert_eq!((config.log_level, config.due_parts), (LevelFilter::INFO, 8));
    assert_eq!(config.aws.dynamodb_url, None);
    // This very program's: tests are run as `shared-{hash}`.
    assert!(config.function_name.starts_with("shared-"), "{}", config.function_name);
    let (on_lambda, _) = read(&[("AWS_LAMBDA_FUNCTION_NAME", "bridge-prod")]).unwrap();
    assert_eq!(on_lambda.function_name, "bridge-prod");
}

#[test]
fn a_service_s_own_endpoint_wins_over_the_general_one() {
    let (config, _) =
        read(&[("AWS_ENDPOINT_URL", "http://127.0.0.1:1"), ("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:2")])
            .unwrap();
    assert_eq!(config.aws.dynamodb_url.as_deref(), Some("http://127.0.0.1:2"));
    assert_eq!(config.aws.secrets_manager_url.as_deref(), Some("http://127.0.0.1:1"));
}

#[test]
fn an_unusable_value_is_named_without_being_shown() {
    for (name, value) in [
        ("MAX_BODY_BYTES", "0"),
        ("MAX_BODY_BYTES", "262145"),
        ("MAX_BODY_BYTES", "1 MiB"),
        ("DUE_PARTS", "0"),
        ("DUE_PARTS", "65"),
        ("DUE_PARTS", "-1"),
        ("DUE_PARTS", "320"),
        ("DUE_PARTS", "p8"),
        ("LOG_LEVEL", "loud"),
    ] {
        let error = read(&[(name, value)]).expect_err(value);
        assert!(error.to_string().contains(name), "{error}");
        assert!(!error.to_string().contains(&format!("`{value}`")), "{error}");
    }
}

#[test]
fn the_number_of_parts_is_any_that_all_readers_read() {
    for (value, parts) in [("1", 1), ("48", 48), ("64", 64)] {
        assert_eq!(read(&[("DUE_PARTS", value)]).unwrap().0.due_parts, parts);
    }
}
