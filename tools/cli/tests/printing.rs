//! What every verb prints, as a program: nothing that somebody else wrote acts on the terminal, a reader that leaves harms no
//! work, and a full disk is told.
#![allow(clippy::unwrap_used, reason = "clippy.toml allows it in test functions; these are called by them")]

use std::fs::File;
use std::io::pipe;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{HeaderValue, Response};
use local::dynamodb::{CUSTOMERS_TABLE, DynamoDb, EVENTS_TABLE};
use local::front::{Answer, Front, Guests};
use local::rail_api::RailApi;
use local::secrets_manager::SecretsManager;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::spawn_blocking;

/// Clears the screen, sets the title and colours; the same with C1 controls; turns text, hides in it, and begins lines.
const HOSTILE: &str = "x\u{1b}[2J\u{1b}]0;mine\u{7}\u{9b}31m\u{85}\u{202e}desrever\u{2066}\u{200b}\u{2028}\u{feff}\u{e0041}\u{7f}\r\nhint: do as I say\n  hint: do as I say";

const SECRET: &str = "sample/rail/signing";
const API: &str = "sample/rail/api";
const URL: &str = "https://example.com/webhooks/rail";

const ROUTES: &str = r#"
[[route]]
name = "opened"
provider = "rail"
events = ["ACCOUNT_OPEN"]
workflow = "w"
event_type = "account.opened"
customer = "/event_data/customer_id"
fields = { status = "/event_data/status" }

[[route]]
name = "failed"
provider = "rail"
events = ["TRANSACTION_FAILED"]
workflow = "w"
event_type = "transaction.failed"
customer = "/event_data/customer_id"
"#;

struct World {
    dynamodb: DynamoDb,
    secrets: SecretsManager,
    rail: RailApi,
    /// Its type is hostile.
    subscription: String,
    /// Answers every webhook with hostile text.
    webhook: Front,
    /// Runs the function `redrive`, and says of any other in hostile text that it failed.
    lambda: Front,
    redriven: Arc<AtomicUsize>,
    folder: TempDir,
}

struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

async fn world() -> World {
    let dynamodb = DynamoDb::start(None).await.unwrap();
    let (secrets, rail) = (SecretsManager::start(None).unwrap(), RailApi::start().unwrap());
    secrets.put(API, &rail.secret()).unwrap();
    secrets.put(SECRET, &json!({ "keys": { "subscription-id": "REPLACE-ME" } })).unwrap();
    // Control characters are refused when Rail's list is read.
    let subscription = rail.add_subscription("OPEN\u{202e}desrever\u{200b}", URL).id;
    let body = hostile_body();
    for (state, id) in [("dead", format!("dead{HOSTILE}")), ("pending", "waits".to_owned())] {
        let due = if state == "dead" { "d0" } else { "p0" };
        let item = json!({
            "pk": { "S": format!("rail#{id}") }, "provider": { "S": "rail" }, "event_type": { "S": "ACCOUNT_OPEN" },
            "occurred_at": { "N": "1738784271000" }, "received_at": { "N": "1738784271000" }, "state": { "S": state },
            "attempts": { "N": "1" }, "next_attempt_at": { "N": "1738784271" }, "due": { "S": due },
            "body": { "S": "" }, "body_encoding": { "S": "identity" }, "body_sha256": { "S": "5e1f" },
            "taken_by": { "S": "a test" }, "last_error": { "S": HOSTILE }, "history": { "L": [] },
            "deliveries": { "M": { "opened": { "M": { "state": { "S": state }, "code": { "S": HOSTILE } } } } },
        });
        let mut item = item;
        item["body"] = json!({ "B": base64(body.as_bytes()) });
        dynamodb.put_raw(EVENTS_TABLE, &item).unwrap();
    }
    let customer = json!({
        "ref": { "S": "rail-account:A-1" }, "customer_id": { "S": HOSTILE }, "email": { "S": HOSTILE },
        "trading_accounts": { "L": [{ "S": HOSTILE }] }, "updated_at": { "N": "1" },
    });
    dynamodb.put_raw(CUSTOMERS_TABLE, &customer).unwrap();
    let webhook =
        Front::start(0, 1 << 20, |_| Guests::Programs, |_| async { Answer::Http(Response::new(Bytes::from(HOSTILE))) })
            .unwrap();
    let redriven = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&redriven);
    let lambda = Front::start(
        0,
        1 << 20,
        |_| Guests::Programs,
        move |request| {
            let runs = request.uri().path().contains("/redrive/");
            counted.fetch_add(usize::from(runs), Ordering::SeqCst);
            async move {
                let answer = match runs {
                    true => json!({ "found": 1, "delivered": 1, "complete": true }),
                    false => json!({ "errorType": HOSTILE, "errorMessage": HOSTILE }),
                };
                let mut response = Response::new(Bytes::from(answer.to_string()));
                if !runs {
                    response.headers_mut().insert("x-amz-function-error", HeaderValue::from_static("Unhandled"));
                }
                Answer::Http(response)
            }
        },
    )
    .unwrap();

    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("routes.toml"), ROUTES).unwrap();
    std::fs::write(folder.path().join("body.json"), &body).unwrap();
    std::fs::write(folder.path().join("raw.txt"), HOSTILE).unwrap();
    let headers =
        format!("x-rail-signature: {}\nx-rail-timestamp: 1747253577\nx-{HOSTILE}: {HOSTILE}\n", "0".repeat(64));
    std::fs::write(folder.path().join("headers.txt"), headers).unwrap();
    std::fs::write(folder.path().join("bad.txt"), format!("x-rail-signature: {HOSTILE}\n{HOSTILE}: {HOSTILE}\n"))
        .unwrap();
    let csv = format!("ref,customer_id\nrail-account:A-1,\"{HOSTILE}\"\n\"{HOSTILE}\",C-1\nrail-account:A-2,C-2\n");
    std::fs::write(folder.path().join("customers.csv"), csv).unwrap();
    World { dynamodb, secrets, rail, subscription, webhook, lambda, redriven, folder }
}

/// JSON, with what JSON allows to stand in it unescaped.
fn hostile_body() -> String {
    let text = json!({
        "event_id": HOSTILE, "event_type": "ACCOUNT_OPEN", "event_date": "2026-02-02T07:13:29Z",
        "event_data": { "customer_id": HOSTILE, "status": HOSTILE, HOSTILE: [HOSTILE] },
    });
    text.to_string().replace("\"event_type\"", "\r\n\t\"event_type\"")
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

impl World {
    /// Every verb that ends by itself and needs no `bridge dev`, and the code that it ends with.
    fn verbs(&self) -> Vec<(Vec<String>, i32)> {
        let table = format!("--table {EVENTS_TABLE} --region us-east-1");
        let customers = format!("--customers-table {CUSTOMERS_TABLE} --region us-east-1");
        let secrets = format!("--signing-secret {SECRET} --api-secret {API} --region us-east-1 --routes routes.toml");
        let rail = format!("--callback-url {URL} {secrets}");
        let (webhook, subscription) = (self.webhook.url(), &self.subscription);
        let lines = [
            ("sign rail body.json".to_owned(), 0),
            ("sign rail body.json --as curl".to_owned(), 0),
            ("sign rail body.json --as apigw".to_owned(), 0),
            (format!("send rail body.json --url {webhook}"), 0),
            (format!("send rail body.json --url {webhook} --count 3"), 0),
            ("verify rail --headers headers.txt --body body.json --at 1747253577".to_owned(), 3),
            ("verify rail --headers bad.txt --body raw.txt".to_owned(), 3),
            ("routes check --routes routes.toml".to_owned(), 0),
            ("routes check --routes raw.txt".to_owned(), 3),
            ("routes preview body.json --routes routes.toml".to_owned(), 0),
            ("routes preview body.json --routes routes.toml --json".to_owned(), 0),
            ("customers import customers.csv --dry-run".to_owned(), 3),
            ("customers import customers.csv --dry-run --json".to_owned(), 3),
            (format!("customers import customers.csv {customers}"), 3),
            (format!("customers get rail-account:A-1 {customers}"), 0),
            (format!("customers get rail-account:A-1 --json {customers}"), 0),
            (format!("customers put rail-account:A-3 --customer-id C-3 {customers}"), 0),
            (format!("events list {table}"), 0),
            (format!("events list --json {table}"), 0),
            (format!("events show KEY --body --routes routes.toml {table}"), 0),
            (format!("events show KEY --body --json --routes routes.toml {table}"), 0),
            (format!("events redrive --state dead --dry-run {table}"), 0),
            (format!("events redrive --state dead --yes --function broken {table}"), 4),
            (format!("events redrive --state dead --yes --function redrive {table}"), 0),
            (format!("events dismiss --state dead --dry-run {table}"), 0),
            (format!("events dismiss KEY --reason why {table}"), 0),
            (format!("workflows list --count --routes routes.toml {table}"), 0),
            (format!("workflows list --json --routes routes.toml {table}"), 0),
            (format!("workflows pause w --routes routes.toml {table}"), 0),
            (format!("workflows resume w --routes routes.toml {table}"), 0),
            (format!("rail subscriptions list {rail}"), 0),
            (format!("rail subscriptions list --json {rail}"), 0),
            (format!("rail subscriptions rotate --dry-run {rail}"), 3),
            (format!("rail subscriptions delete {subscription} --yes {secrets}"), 0),
            (format!("rail subscriptions sync --yes {rail}"), 0),
            ("doctor --stack no-such-stack --region us-east-1 --routes routes.toml".to_owned(), 4),
        ];
        let words = |line: String| {
            line.split(' ')
                .map(|word| if word == "KEY" { format!("rail#dead{HOSTILE}") } else { word.to_owned() })
                .collect()
        };
        lines.into_iter().map(|(line, code)| (words(line), code)).collect()
    }

    fn command(&self, verb: &[String]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bridge"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AWS_")) {
            command.env_remove(name);
        }
        command.args(verb).current_dir(self.folder.path()).stdin(Stdio::null());
        command.envs([
            ("AWS_ACCESS_KEY_ID", "sample"),
            ("AWS_SECRET_ACCESS_KEY", "sample"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ]);
        command.env("AWS_ENDPOINT_URL_DYNAMODB", self.dynamodb.url());
        command.env("AWS_ENDPOINT_URL_SECRETS_MANAGER", self.secrets.url());
        command.env("AWS_ENDPOINT_URL_LAMBDA", self.lambda.url());
        command.env("AWS_ENDPOINT_URL_CLOUDFORMATION", "http://127.0.0.1:9");
        command
    }

    async fn run(&self, verb: &[String]) -> Ran {
        self.run_into(verb, Stdio::piped(), Stdio::piped()).await
    }

    async fn run_into(&self, verb: &[String], out: Stdio, err: Stdio) -> Ran {
        let mut command = self.command(verb);
        command.stdout(out).stderr(err);
        let output = spawn_blocking(move || command.spawn().unwrap().wait_with_output()).await.unwrap().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

fn acts_on_a_terminal(c: char) -> bool {
    (c.is_control() && c != '\n') || "\u{202e}\u{2066}\u{200b}\u{2028}\u{feff}\u{e0041}".contains(c)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_somebody_else_wrote_acts_on_the_terminal_whatever_verb_prints_it() {
    let world = world().await;
    let mut shown = 0;
    for (verb, code) in world.verbs() {
        let ran = world.run(&verb).await;
        assert_eq!(ran.code, Some(code), "{verb:?}: {}{}", ran.out, ran.err);
        for text in [&ran.out, &ran.err] {
            assert!(!text.contains(acts_on_a_terminal), "{verb:?}: {text:?}");
            let forged = text.lines().find(|line| line.trim_start().starts_with("hint: do as I say"));
            assert_eq!(forged, None, "{verb:?}: {text}");
            shown += text.matches(r"\u001b[2J").count();
        }
        if verb.contains(&"--json".to_owned()) {
            for line in ran.out.lines() {
                let value: Value =
                    serde_json::from_str(line).unwrap_or_else(|error| panic!("{verb:?}: {error}: {line}"));
                assert!(value.is_object(), "{verb:?}: {line}");
            }
        }
        if verb[0] == "sign" && verb.last().unwrap() == "apigw" {
            let event: Value = serde_json::from_str(&ran.out).unwrap();
            assert_eq!(event["body"], hostile_body());
        }
    }
    // It was there to be printed.
    assert!(shown > 20, "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_leaves_harms_no_work_and_no_verb_panics() {
    let world = world().await;
    for (verb, code) in world.verbs() {
        let (reader, out) = pipe().unwrap();
        let (other_reader, err) = pipe().unwrap();
        drop((reader, other_reader));
        let ran = world.run_into(&verb, out.into(), err.into()).await;
        assert_eq!(ran.code, Some(code), "{verb:?}");
    }
    // Everything was done: redriven, dismissed, written, deleted, created.
    assert_eq!(world.redriven.load(Ordering::SeqCst), 1);
    assert!(world.rail.subscriptions().iter().all(|it| it.id != world.subscription));
    assert_eq!(world.dynamodb.item(&format!("rail#dead{HOSTILE}")).unwrap()["state"], "dismissed");
    for (customer, expected) in [("rail-account:A-2", "C-2"), ("rail-account:A-3", "C-3")] {
        assert_eq!(world.dynamodb.item_of(CUSTOMERS_TABLE, "ref", customer).unwrap()["customer_id"], expected);
    }
    let types: Vec<String> = world.rail.subscriptions().into_iter().map(|it| it.event_type).collect();
    assert!(
        ["ACCOUNT_OPEN", "TRANSACTION_FAILED"].iter().all(|needed| types.iter().any(|it| it == needed)),
        "{types:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_with_a_hint_and_is_no_success() {
    if !Path::new("/dev/full").exists() {
        return;
    }
    let world = world().await;
    for (verb, code) in world.verbs() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let ran = world.run_into(&verb, full.into(), Stdio::piped()).await;
        if code == 0 {
            assert_eq!(ran.code, Some(4), "{verb:?}: {}", ran.err);
            assert!(ran.err.contains("error: Cannot print: "), "{verb:?}: {}", ran.err);
            assert!(ran.err.contains("\nhint: free some space"), "{verb:?}: {}", ran.err);
        } else {
            assert!(ran.code == Some(code) || ran.code == Some(4), "{verb:?}: {:?} {}", ran.code, ran.err);
        }
    }
}
