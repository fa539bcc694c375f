//! `bridge doctor --stack` as a program, against stand-ins of the AWS services that it asks.
#![allow(clippy::unwrap_used, reason = "clippy.toml allows it in test functions; these are called by them")]

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use local::dynamodb::{CUSTOMERS_TABLE, DynamoDb, EVENTS_TABLE};
use local::front::{Answer, Front, Guests, json_response};
use local::http_client::HttpClient;
use local::returning_ai::{ReturningAi, Workflow};
use local::secrets_manager::SecretsManager;
use serde_json::{Value, json};
use tempfile::TempDir;

const ROUTES: &str = r#"
[[route]]
name = "kyc-approved"
provider = "rillis"
events = ["FLOW_COMPLETED"]
workflow = "kyc"
event_type = "kyc.approved"
customer = "/data/user_id"
"#;

/// The services of one account, and a stack in it.
struct Account {
    /// CloudFormation, the scheduler, the two webhooks, and in front of DynamoDB what that does not know.
    front: Front,
    _dynamodb: DynamoDb,
    secrets_manager: SecretsManager,
    returning_ai: ReturningAi,
    schedule_state: Arc<Mutex<&'static str>>,
    folder: TempDir,
}

struct Output {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

async fn account() -> Account {
    let dynamodb = DynamoDb::start(None).await.unwrap();
    let secrets_manager = SecretsManager::start(None).unwrap();
    let kyc = Workflow { api_key: "rai_live_MARKED_2f84c1".to_owned(), ..Workflow::session("kyc") };
    let returning_ai = ReturningAi::start(vec![kyc], Vec::new()).unwrap();
    secrets_manager.put("bridge/rail", &json!({ "keys": { "sub_1": "whsec_MARKED_9xLw2kQ7" } })).unwrap();
    secrets_manager.put("bridge/rillis", &json!({ "keys": { "current": "MARKED_9xLw2kQ7pVd4" } })).unwrap();
    secrets_manager.put("bridge/returning-ai", &returning_ai.secret()).unwrap();

    let schedule_state = Arc::new(Mutex::new("ENABLED"));
    let (state, table_url, client) = (schedule_state.clone(), dynamodb.url(), HttpClient::default());
    let front = Front::start(
        0,
        1 << 20,
        |_| Guests::Programs,
        move |request| {
            let (state, table_url, client) = (*state.lock().unwrap(), table_url.clone(), client.clone());
            async move { answer(request, state, &table_url, &client).await }
        },
    );
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("routes.toml"), ROUTES).unwrap();
    Account { front: front.unwrap(), _dynamodb: dynamodb, secrets_manager, returning_ai, schedule_state, folder }
}

async fn answer(request: Request<Bytes>, state: &str, table_url: &str, client: &HttpClient) -> Answer {
    let target = request.headers().get("x-amz-target").and_then(|it| it.to_str().ok()).unwrap_or_default().to_owned();
    let path = request.uri().path().to_owned();
    let json = |status, body: &Value| Answer::Http(json_response(status, "application/json", body));
    if path.starts_with("/webhooks/") {
        return json(StatusCode::UNAUTHORIZED, &json!({ "error": "unauthorized" }));
    }
    if request.method() == Method::GET && path == "/schedules/bridge-redrive" {
        let target = "arn:aws:lambda:eu-west-1:000000000000:function:bridge-redrive";
        let schedule = json!({
            "Name": "bridge-redrive", "State": state, "ScheduleExpression": "rate(1 minute)",
            "Target": { "Arn": target, "RoleArn": "arn:aws:iam::000000000000:role/schedule" },
        });
        return json(StatusCode::OK, &schedule);
    }
    if target.ends_with("DescribeContinuousBackups") {
        let recovery = json!({ "PointInTimeRecoveryStatus": "ENABLED" });
        let description = json!({ "ContinuousBackupsStatus": "ENABLED", "PointInTimeRecoveryDescription": recovery });
        return json(StatusCode::OK, &json!({ "ContinuousBackupsDescription": description }));
    }
    if !target.is_empty() {
        let (mut head, body) = request.into_parts();
        head.headers.remove(http::header::HOST);
        head.uri = table_url.parse().unwrap();
        return Answer::Http(client.send(Request::from_parts(head, body)).await.unwrap());
    }
    let asked = String::from_utf8_lossy(request.body()).into_owned();
    let own_url = format!("http://{}", request.headers().get(http::header::HOST).unwrap().to_str().unwrap());
    let (status, body) = match asked.contains("StackName=bridge") {
        true => (StatusCode::OK, stack(&own_url)),
        false => (StatusCode::BAD_REQUEST, NO_SUCH_STACK.to_owned()),
    };
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", "text/xml".parse().unwrap());
    Answer::Http(response)
}

const NO_SUCH_STACK: &str = r#"<ErrorResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/"><Error><Type>Sender</Type><Code>ValidationError</Code><Message>Stack with id other does not exist</Message></Error><RequestId>1</RequestId></ErrorResponse>"#;

fn stack(url: &str) -> String {
    let outputs = [
        ("RailWebhookUrl", format!("{url}/webhooks/rail")),
        ("RillisWebhookUrl", format!("{url}/webhooks/rillis")),
        ("EventsTableName", EVENTS_TABLE.to_owned()),
        ("CustomersTableName", CUSTOMERS_TABLE.to_owned()),
        ("RailSigningSecretId", "bridge/rail".to_owned()),
        ("RillisSigningSecretId", "bridge/rillis".to_owned()),
        ("ReturningAiSecretId", "bridge/returning-ai".to_owned()),
        ("RedriveFunctionName", "bridge-redrive".to_owned()),
        ("RedriveScheduleNames", "bridge-redrive".to_owned()),
    ];
    let outputs: String = outputs
        .iter()
        .map(|(key, value)| format!("<member><OutputKey>{key}</OutputKey><OutputValue>{value}</OutputValue></member>"))
        .collect();
    format!(
        r#"<DescribeStacksResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/"><DescribeStacksResult><Stacks><member><StackName>bridge</StackName><CreationTime>2026-11-01T00:00:00Z</CreationTime><StackStatus>CREATE_COMPLETE</StackStatus><Outputs>{outputs}</Outputs></member></Stacks></DescribeStacksResult></DescribeStacksResponse>"#
    )
}

impl Account {
    async fn doctor(&self, arguments: &[&str]) -> Output {
        self.doctor_at(&self.front.url(), arguments).await
    }

    async fn doctor_at(&self, aws_url: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bridge"));
        command.arg("doctor").args(arguments).arg("--region").arg("eu-west-1");
        command.arg("--routes").arg(self.folder.path().join("routes.toml"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AWS_")) {
            command.env_remove(name);
        }
        let nowhere = PathBuf::from("/dev/null");
        command
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_CONFIG_FILE", &nowhere)
            .env("AWS_SHARED_CREDENTIALS_FILE", &nowhere)
            .env("AWS_ACCESS_KEY_ID", "local")
            .env("AWS_SECRET_ACCESS_KEY", "local")
            .env("AWS_ENDPOINT_URL", aws_url)
            .env("AWS_ENDPOINT_URL_SECRETS_MANAGER", self.secrets_manager.url());
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        let said = Output {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        };
        for secret in ["MARKED", "st_"] {
            assert!(!said.stdout.contains(secret) && !said.stderr.contains(secret), "{}{}", said.stdout, said.stderr);
        }
        said
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_is_found_by_its_outputs_and_looked_over_whole() {
    let account = account().await;
    let said = account.doctor(&["--stack", "bridge"]).await;
    let url = account.front.url();
    // On loopback nothing is https, so that much must be found.
    let clear = "not https: keys and customer data would travel unencrypted";
    let put = "      → `aws secretsmanager put-secret-value --secret-id bridge/returning-ai --secret-string file://secret.json --region eu-west-1`";
    let https = "      → Providers call https URLs only: check that the stack's output is of this template";
    let expected = [
        "ok    stack: bridge is CREATE_COMPLETE",
        &format!("fail  webhook rail: {url}/webhooks/rail is not https"),
        https,
        &format!("fail  webhook rillis: {url}/webhooks/rillis is not https"),
        https,
        "clock",
        "ok    events table: events is ACTIVE",
        "ok    due-index: active, by due and next_attempt_at",
        "ok    time to live: items expire by expires_at",
        "ok    point-in-time recovery: on",
        "ok    customers table: customers is ACTIVE",
        "ok    signing keys of rail: 1 key in bridge/rail",
        "ok    signing keys of rillis: 1 key in bridge/rillis",
        &format!("fail  workflows: bridge/returning-ai: workflows.kyc.handshake_url: {clear}"),
        put,
        &format!("fail  workflows: bridge/returning-ai: workflows.kyc.webhook_url: {clear}"),
        put,
        "ok    handshake kyc: a session was opened; no message was sent",
        "ok    schedule: bridge-redrive is enabled: rate(1 minute)",
        "ok    redrive: no event is overdue by more than 5 min",
        "ok    dead events: none",
        "",
        "17 checks: 13 ok, 0 warn, 4 fail",
    ];
    // Seconds may go by between two readings of the clock.
    let near = |line: &str| line.starts_with("ok    clock: within ") && line.ends_with(" s of the 3 others");
    let lines: Vec<&str> = said.stdout.lines().map(|line| if near(line) { "clock" } else { line }).collect();
    assert_eq!(lines, expected);
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    assert!(said.stderr.starts_with("error: 4 of 17 checks failed\nhint: "), "{}", said.stderr);
    assert_eq!(account.returning_ai.handshakes("kyc"), 1);
    assert!(account.returning_ai.attempts().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_schedule_is_found_and_json_is_one_object_a_line() {
    let account = account().await;
    *account.schedule_state.lock().unwrap() = "DISABLED";
    let said = account.doctor(&["--stack", "bridge", "--json"]).await;
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    let lines: Vec<Value> = said.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0], json!({ "verdict": "ok", "check": "stack", "says": "bridge is CREATE_COMPLETE" }));
    let schedule = lines.iter().find(|line| line["check"] == "schedule").unwrap();
    assert_eq!(schedule["verdict"], "fail");
    assert_eq!(schedule["says"], "bridge-redrive is disabled: no failed delivery is retried");
    assert!(
        schedule["hint"].as_str().unwrap().contains("aws lambda invoke --function-name bridge-redrive"),
        "{schedule}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_that_cannot_be_reached_ends_with_4() {
    let account = account().await;
    let said = account.doctor(&["--stack", "other"]).await;
    assert_eq!((said.code, said.stdout.as_str()), (Some(4), ""));
    let expected = "error: Stack other cannot be read: ValidationError\nhint: no such stack: check `--stack`, `--region` and `--profile`\n";
    assert_eq!(said.stderr, expected);

    // A port that was somebody's, and is nobody's now.
    let closed = Front::start(0, 1, |_| Guests::Programs, |_| async { Answer::Hang }).unwrap().url();
    let said = account.doctor_at(&closed, &["--stack", "bridge"]).await;
    assert_eq!((said.code, said.stdout.as_str()), (Some(4), ""));
    assert!(said.stderr.starts_with("error: Stack bridge cannot be read: no connection\nhint: "), "{}", said.stderr);
}
