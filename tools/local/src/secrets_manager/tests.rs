use super::*;
use crate::aws::AwsFault;
use crate::faults::When;
use crate::http_client::HttpClient;
use crate::testing::within;

#[tokio::test]
async fn a_secret_is_read_by_its_name_or_its_arn() {
    let secrets = SecretsManager::start(None).unwrap();
    secrets.put("bridge/rail/signing", &json!({ "keys": { "a": "k" } })).unwrap();
    let (status, read) = call(&secrets, "GetSecretValue", json!({ "SecretId": "bridge/rail/signing" })).await;
    assert_eq!(status, 200);
    assert_eq!(read["SecretString"], r#"{"keys":{"a":"k"}}"#);
    assert_eq!(read["VersionStages"], json!(["AWSCURRENT"]));
    let (_, by_arn) = call(&secrets, "GetSecretValue", json!({ "SecretId": read["ARN"] })).await;
    assert_eq!((&by_arn["SecretString"], &by_arn["Name"]), (&read["SecretString"], &read["Name"]));
    assert_eq!(secrets.calls(), ["GetSecretValue", "GetSecretValue"]);
}

#[tokio::test]
async fn what_is_put_becomes_current_and_what_was_current_previous() {
    let secrets = SecretsManager::start(None).unwrap();
    secrets.put("s", &json!("one")).unwrap();
    let none_yet = call(&secrets, "GetSecretValue", stage("AWSPREVIOUS")).await;
    assert_eq!((none_yet.0, &none_yet.1["__type"]), (400, &json!("ResourceNotFoundException")));

    for value in ["two", "three"] {
        let put = json!({ "SecretId": "s", "SecretString": value, "ClientRequestToken": value });
        assert_eq!(call(&secrets, "PutSecretValue", put).await.0, 200);
    }
    for (asked, expected) in [
        (stage("AWSCURRENT"), "three"),
        (stage("AWSPREVIOUS"), "two"),
        (json!({ "SecretId": "s" }), "three"),
        (json!({ "SecretId": "s", "VersionId": "two" }), "two"),
    ] {
        let (_, read) = call(&secrets, "GetSecretValue", asked.clone()).await;
        assert_eq!(read["SecretString"], expected, "{asked}");
    }
    let (_, described) = call(&secrets, "DescribeSecret", json!({ "SecretId": "s" })).await;
    assert_eq!(described["VersionIdsToStages"], json!({ "two": ["AWSPREVIOUS"], "three": ["AWSCURRENT"] }));

    secrets.remove_previous("s").unwrap();
    assert_eq!(call(&secrets, "GetSecretValue", stage("AWSPREVIOUS")).await.0, 400);
}

#[tokio::test]
async fn a_put_that_is_sent_again_changes_nothing() {
    let secrets = SecretsManager::start(None).unwrap();
    secrets.put("s", &json!("one")).unwrap();
    let put = json!({ "SecretId": "s", "SecretString": "two", "ClientRequestToken": "t" });
    call(&secrets, "PutSecretValue", put.clone()).await;
    call(&secrets, "PutSecretValue", put).await;
    let (_, previous) = call(&secrets, "GetSecretValue", stage("AWSPREVIOUS")).await;
    assert_eq!(previous["SecretString"], "one");
}

#[tokio::test]
async fn an_unknown_secret_is_refused_as_aws_does() {
    let secrets = SecretsManager::start(None).unwrap();
    for operation in ["GetSecretValue", "PutSecretValue", "DescribeSecret"] {
        let asked = json!({ "SecretId": "none", "SecretString": "x" });
        let (status, refused) = call(&secrets, operation, asked).await;
        assert_eq!((status, &refused["__type"]), (400, &json!("ResourceNotFoundException")), "{operation}");
    }
}

#[tokio::test]
async fn secrets_in_a_file_are_there_in_the_next_run() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("made/secrets.json");
    let first = SecretsManager::start(Some(&file)).unwrap();
    first.put("s", &json!({ "key": "one" })).unwrap();
    let put = json!({ "SecretId": "s", "SecretString": "two" });
    call(&first, "PutSecretValue", put).await;
    drop(first);
    let second = SecretsManager::start(Some(&file)).unwrap();
    assert_eq!(second.current("s"), Some(json!("two")));
    let (_, previous) = call(&second, "GetSecretValue", stage("AWSPREVIOUS")).await;
    assert_eq!(previous["SecretString"], r#"{"key":"one"}"#);
}

#[tokio::test]
async fn a_file_that_is_not_ours_is_not_overwritten() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "keys: yaml").unwrap();
    let failed = SecretsManager::start(Some(file.path())).unwrap_err();
    assert!(matches!(failed, SecretsManagerError::Unreadable { .. }), "{failed}");
    assert_eq!(std::fs::read_to_string(file.path()).unwrap(), "keys: yaml");
}

#[tokio::test]
async fn faults_strike_and_pass() {
    let secrets = SecretsManager::start(None).unwrap();
    secrets.put("s", &json!("one")).unwrap();
    secrets.inject(Some("GetSecretValue"), AwsFault::Throttle, When::Next(1));
    let (status, throttled) = call(&secrets, "GetSecretValue", json!({ "SecretId": "s" })).await;
    assert_eq!((status, &throttled["__type"]), (400, &json!("ThrottlingException")));
    assert_eq!(call(&secrets, "GetSecretValue", json!({ "SecretId": "s" })).await.0, 200);
}

#[tokio::test]
async fn all_secrets_are_listed_without_their_values() {
    let secrets = SecretsManager::start(None).unwrap();
    for name in ["b", "a"] {
        secrets.put(name, &json!("hidden")).unwrap();
    }
    for input in [json!({}), json!({ "MaxResults": 100, "Filters": [] })] {
        let (status, listed) = call(&secrets, "ListSecrets", input).await;
        assert_eq!((status, &listed["NextToken"]), (200, &Value::Null));
        let names: Vec<_> = listed["SecretList"].as_array().unwrap().iter().map(|it| &it["Name"]).collect();
        assert_eq!(names, ["a", "b"]);
        assert!(!listed.to_string().contains("hidden"), "{listed}");
    }
    let filtered = json!({ "Filters": [{ "Key": "name", "Values": ["a"] }] });
    let (status, refused) = call(&secrets, "ListSecrets", filtered).await;
    assert_eq!((status, &refused["__type"]), (400, &json!("InvalidParameterException")));
}

#[tokio::test]
async fn an_operation_that_is_not_answered_is_named() {
    let secrets = SecretsManager::start(None).unwrap();
    secrets.put("s", &json!("one")).unwrap();
    for (operation, input) in [("RotateSecret", json!({ "SecretId": "s" })), ("CreateSecret", json!({ "Name": "t" }))] {
        let (status, refused) = call(&secrets, operation, input).await;
        assert_eq!((status, &refused["__type"]), (400, &json!("UnknownOperationException")));
        assert!(refused["message"].as_str().unwrap().starts_with(&format!("{operation} is not among")), "{refused}");
    }
}

#[tokio::test]
async fn a_private_one_is_answered_to_those_alone_who_know_its_path() {
    let secrets = SecretsManager::start_private().unwrap();
    secrets.put("s", &json!("hunter2")).unwrap();
    assert_eq!(call(&secrets, "GetSecretValue", json!({ "SecretId": "s" })).await.1["SecretString"], "hunter2");
    let (host, path) = secrets.url().rsplit_once('/').map(|(host, path)| (host.to_owned(), path.to_owned())).unwrap();
    assert_ne!(SecretsManager::start_private().unwrap().url().rsplit_once('/').unwrap().1, path);
    let headers = ["GetSecretValue", "ListSecrets", "PutSecretValue"].map(|it| format!("secretsmanager.{it}"));
    for path in ["", "/", &path[1..], &path.to_uppercase(), &format!("{path}/{path}"), &format!("?{path}")] {
        for operation in &headers {
            let body = Bytes::from_static(b"{\"SecretId\":\"s\",\"SecretString\":\"two\"}");
            let url = format!("{host}/{path}");
            let answer = within(HttpClient::default().post(&url, &[("x-amz-target", operation)], body)).await.unwrap();
            assert_eq!(answer.status(), 403, "{operation} at {url}");
            assert!(!String::from_utf8_lossy(answer.body()).contains("hunter2"));
        }
    }
    assert_eq!(secrets.current("s"), Some(json!("hunter2")));
}

fn stage(stage: &str) -> Value {
    json!({ "SecretId": "s", "VersionStage": stage })
}

async fn call(secrets: &SecretsManager, operation: &str, input: Value) -> (u16, Value) {
    let target = format!("secretsmanager.{operation}");
    let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", &target)];
    let url = format!("{}/", secrets.url());
    let client = HttpClient::default();
    let response = within(client.post(&url, &headers, Bytes::from(input.to_string()))).await.unwrap();
    (response.status().as_u16(), serde_json::from_slice(response.body()).unwrap())
}

#[tokio::test]
async fn reads_may_lag_behind_a_write_and_versions_are_in_order() {
    let secrets = SecretsManager::start(None).unwrap();
    secrets.put("s", &json!("one")).unwrap();
    let read = async |at: &str| {
        let (_, read) = call(&secrets, "GetSecretValue", stage(at)).await;
        (read["SecretString"].clone(), read["CreatedDate"].as_f64())
    };
    let (_, first) = read("AWSCURRENT").await;
    secrets.lag_after_each_put(2);
    call(&secrets, "PutSecretValue", json!({ "SecretId": "s", "SecretString": "two" })).await;
    assert_eq!(read("AWSPREVIOUS").await, (Value::Null, None));
    assert_eq!(read("AWSCURRENT").await, (json!("one"), first));
    let (text, second) = read("AWSCURRENT").await;
    assert_eq!(text, "two");
    assert!(second > first, "{second:?} {first:?}");
    assert_eq!(read("AWSPREVIOUS").await, (json!("one"), first));
}
