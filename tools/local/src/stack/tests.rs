use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::Value;

use super::*;
use crate::testing::{echo_function, within};

#[tokio::test]
async fn every_part_is_wired_to_the_others() {
    let functions = echo_functions();
    let mut options = StackOptions::new(functions.path().to_owned());
    options.workflows = vec!["kyc".to_owned()];
    options.extra_env = vec![("LOG_LEVEL".to_owned(), "debug".to_owned())];
    let stack = Stack::start(options).await.unwrap();
    for provider in providers::ALL {
        let (status, body) = within(stack.send(provider, &[("x-sent", "1")], "{}")).await.unwrap();
        let answer: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(status, 200);
        let provider = provider.name;
        assert_eq!(answer["echo"]["rawPath"], format!("/webhooks/{provider}"));
        for (name, expected) in [
            ("TABLE_NAME", "events".to_owned()),
            ("CUSTOMERS_TABLE_NAME", "customers".to_owned()),
            ("SIGNING_SECRET_ID", format!("bridge/{provider}/signing")),
            ("RETURNING_AI_SECRET_ID", "bridge/returning-ai".to_owned()),
            ("AWS_ENDPOINT_URL_DYNAMODB", stack.dynamodb.url()),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", stack.secrets_manager.url()),
            ("LOG_LEVEL", "debug".to_owned()),
        ] {
            let event = Bytes::from(json!({ "env": name }).to_string());
            let invoked = within(stack.function(provider).unwrap().invoke(event)).await.unwrap();
            assert_eq!(serde_json::from_slice::<Value>(&invoked.response).unwrap(), expected, "{name}");
        }
    }
    for provider in providers::ALL {
        let Some(api) = &provider.api else { continue };
        let secret = format!("bridge/{}/api", provider.name);
        for name in FUNCTIONS {
            let event = Bytes::from(json!({ "env": api.secret_variable }).to_string());
            let invoked = within(stack.function(name).unwrap().invoke(event)).await.unwrap();
            let told = serde_json::from_slice::<Value>(&invoked.response).unwrap();
            let expected = if [provider.name, REDRIVE].contains(&name) { &secret } else { "" };
            assert_eq!(told.as_str().unwrap_or_default(), expected, "{} of {name}", api.secret_variable);
        }
        assert!(stack.secrets_manager.holds(&secret), "no stand-in for the API of {}: {secret}", provider.name);
    }
    within(stack.settled()).await;
    for provider in RECEIVERS {
        let secret = stack.secrets_manager.current(&signing_secret(provider)).unwrap();
        assert_eq!(secret, json!({ "keys": { "sample": sample_key(provider) } }));
    }
    assert_eq!(stack.secrets_manager.current(RETURNING_AI_SECRET), Some(stack.returning_ai.secret()));
    assert_eq!(stack.secrets_manager.current(&api_secret("rail")), Some(stack.rail_api.secret()));
    assert!(stack.log().contains("up"));
    within(stack.shutdown()).await;
}

#[tokio::test]
async fn keys_rotated_in_one_run_hold_in_the_next() {
    let functions = echo_functions();
    let data = tempfile::tempdir().unwrap();
    let options = || {
        let mut options = StackOptions::new(functions.path().to_owned());
        options.data = Some(data.path().to_owned());
        options
    };
    let rotated = json!({ "keys": { "current": "rotated" } });
    let first = Stack::start(options()).await.unwrap();
    first.secrets_manager.put(&signing_secret("rillis"), &rotated).unwrap();
    within(first.shutdown()).await;
    let second = Stack::start(options()).await.unwrap();
    assert_eq!(second.secrets_manager.current(&signing_secret("rillis")), Some(rotated));
    assert_eq!(second.secrets_manager.current(RETURNING_AI_SECRET), Some(second.returning_ai.secret()));
}

/// Real values, as tests may have them.
fn real(names: &[String]) -> BTreeMap<String, Value> {
    names.iter().map(|name| (name.clone(), json!({ "keys": { "real": format!("real value of {name}") } }))).collect()
}

#[tokio::test]
async fn a_real_secret_stands_in_place_of_the_stand_in_s_and_none_has_a_previous_version_or_a_public_key() {
    let functions = echo_functions();
    let (keys, api) = (signing_secret("rillis"), api_secret("rail"));
    let given = real(&[keys.clone(), api.clone()]);
    let options = StackOptions { real: given.clone(), ..StackOptions::new(functions.path().to_owned()) };
    let stack = Stack::start(options).await.unwrap();
    for name in [&keys, &api] {
        assert_eq!(stack.secrets_manager.current(name), given.get(name).cloned(), "{name}");
        assert!(stack.is_real(name), "{name}");
    }
    assert_eq!(stack.secrets_manager.current(RETURNING_AI_SECRET), Some(stack.returning_ai.secret()));
    assert!(!stack.is_real(RETURNING_AI_SECRET));
    assert_eq!(stack.signing_key("rillis"), Some("real value of bridge/rillis/signing".to_owned()));

    // Of the provider without a real key nobody can sign who has read this repository, nor who has seen another run.
    let other = Stack::start(StackOptions { real: given, ..StackOptions::new(functions.path().to_owned()) });
    let random = [stack.signing_key("rail").unwrap(), other.await.unwrap().signing_key("rail").unwrap()];
    assert_ne!(random[0], random[1]);
    assert!(random.iter().all(|key| key.len() == "whsec_".len() + 32), "{random:?}");
    let rail = signing_secret("rail");
    assert!(!stack.is_real(&rail));

    let client = HttpClient::default();
    for name in [&keys, &api, &rail, &RETURNING_AI_SECRET.to_owned()] {
        let previous = json!({ "SecretId": name, "VersionStage": "AWSPREVIOUS" }).to_string();
        let headers = [("x-amz-target", "secretsmanager.GetSecretValue")];
        let url = stack.secrets_manager.url();
        let answer = client.post(&url, &headers, Bytes::from(previous));
        assert_eq!(within(answer).await.unwrap().status(), 400, "{name}");
    }
    // As the keys of real subscriptions are added.
    let added = json!({ "keys": { "sample": random[0], "sub_1": "real" } });
    stack.secrets_manager.put(&rail, &added).unwrap();
    assert!(stack.is_real(&rail));
}

#[tokio::test]
async fn without_real_secrets_nothing_is_real_whatever_is_put() {
    let functions = echo_functions();
    let stack = Stack::start(StackOptions::new(functions.path().to_owned())).await.unwrap();
    let rail = signing_secret("rail");
    stack.secrets_manager.put(&rail, &json!({ "keys": { "": "", "a": "REPLACE-ME", "sub_1": "key" } })).unwrap();
    assert!(!stack.is_real(&rail) && !stack.uses_real_systems());
    assert_eq!(stack.signing_key("rail"), Some("key".to_owned()), "no key that cannot be one");
}

#[tokio::test]
async fn a_folder_serves_either_real_systems_or_stand_ins_and_holds_no_real_secret() {
    let functions = echo_functions();
    let name = signing_secret("rillis");
    for first in [true, false] {
        let data = tempfile::tempdir().unwrap();
        let options = |is_real: bool| {
            let real = if is_real { real(std::slice::from_ref(&name)) } else { BTreeMap::new() };
            let data = Some(data.path().to_owned());
            StackOptions { real, data, ..StackOptions::new(functions.path().to_owned()) }
        };
        for _ in 0..2 {
            let stack = Stack::start(options(first)).await.unwrap();
            stack.secrets_manager.put(&signing_secret("rail"), &json!({ "keys": { "sub_1": "put later" } })).unwrap();
            within(stack.shutdown()).await;
        }
        for file in std::fs::read_dir(data.path()).unwrap() {
            let held = std::fs::read(file.unwrap().path()).unwrap();
            let held = String::from_utf8_lossy(&held);
            assert!(!first || !held.contains("real value") && !held.contains("put later"), "{held}");
        }
        let refused = Stack::start(options(!first)).await.err().unwrap();
        let used = if first { "with" } else { "without" };
        assert!(matches!(refused, StackError::Folder { used: told, .. } if told == used), "{refused}");
        Stack::start(options(first)).await.unwrap();
    }
}

#[tokio::test]
async fn a_page_that_holds_the_stack_goes_with_it() {
    let functions = echo_functions();
    let stack = Arc::new(Stack::start(StackOptions::new(functions.path().to_owned())).await.unwrap());
    let held = stack.clone();
    let answer = || async move {
        let invoked = held.function("rail").unwrap().invoke(Bytes::from_static(b"{}")).await;
        invoked.unwrap().response
    };
    stack.serve_beside(Some(Router::new().fallback(answer)));
    let url = format!("{}/", stack.url());
    let response = within(HttpClient::default().post::<&str, &str>(&url, &[], Bytes::new())).await.unwrap();
    assert_eq!(serde_json::from_slice::<Value>(response.body()).unwrap()["echo"], json!({}));
    let pids = stack.function("rail").unwrap().pids();
    assert_eq!(pids.len(), 1);
    within(stack.shutdown()).await;
    assert_eq!(stack.function("rail").unwrap().pids(), [0; 0]);
    assert_eq!(Arc::strong_count(&stack), 1);
}

#[tokio::test]
async fn no_part_remembers_more_than_it_was_told_to() {
    let functions = echo_functions();
    let options = StackOptions { remembered: Some(2), ..StackOptions::new(functions.path().to_owned()) };
    let stack = Stack::start(options).await.unwrap();
    let client = HttpClient::default();
    let rail = stack.function("rail").unwrap();
    for _ in 0..10 {
        within(rail.invoke(Bytes::from_static(b"{}"))).await.unwrap();
        rail.switch_off();
        rail.switch_on();
        for (url, target) in [
            (stack.dynamodb.url(), "DynamoDB_20120810.ListTables"),
            (stack.secrets_manager.url(), "secretsmanager.GetSecretValue"),
            (stack.returning_ai.url(), ""),
            (stack.rail_api.url(), ""),
        ] {
            within(client.post(&url, &[("x-amz-target", target)], Bytes::from_static(b"{}"))).await.unwrap();
        }
    }
    for (part, kept) in [
        ("functions", rail.cold_starts().len()),
        ("DynamoDB", stack.dynamodb.calls().len()),
        ("Secrets Manager", stack.secrets_manager.calls().len()),
        ("Returning.AI", stack.returning_ai.violations().len()),
        ("Rail's API", stack.rail_api.violations().len()),
    ] {
        assert!((2..=4).contains(&kept), "{part}: {kept}");
    }
}

#[tokio::test]
async fn a_missing_function_is_named() {
    let empty = tempfile::tempdir().unwrap();
    let failed = Stack::start(StackOptions::new(empty.path().to_owned())).await.err().unwrap();
    assert!(matches!(failed, StackError::Function { name: "rail", .. }), "{failed}");
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let functions = echo_functions();
    let first = Stack::start(StackOptions::new(functions.path().to_owned())).await.unwrap();
    let mut options = StackOptions::new(functions.path().to_owned());
    options.port = first.port();
    let failed = Stack::start(options).await.err().unwrap();
    assert!(matches!(failed, StackError::Gateway { port, .. } if port == first.port()), "{failed}");
}

/// A folder in which every function is the one that echoes.
fn echo_functions() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in FUNCTIONS {
        symlink(echo_function(), Path::join(folder.path(), name)).unwrap();
    }
    folder
}
