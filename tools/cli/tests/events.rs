//! `bridge events`, the program itself, on an embedded table.
#![allow(clippy::unwrap_used, reason = "clippy.toml allows it in test functions; these are called by them")]

use std::process::{Command, Stdio};

use local::aws::AwsFault;
use local::dynamodb::{DynamoDb, EVENTS_TABLE};
use local::faults::When;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

struct Ran {
    code: i32,
    out: String,
    err: String,
}

/// An event that died of `error`, received at the second `received`, or one in another state.
fn put(dynamodb: &DynamoDb, id: &str, state: &str, error: &str, received: u64) {
    let mut item = json!({
        "pk": { "S": format!("rail#{id}") },
        "provider": { "S": "rail" },
        "event_type": { "S": "ACCOUNT_OPEN" },
        "occurred_at": { "N": (received * 1000).to_string() },
        "received_at": { "N": (received * 1000).to_string() },
        "state": { "S": state },
        "attempts": { "N": "1" },
        "next_attempt_at": { "N": received.to_string() },
        "body": { "B": "e30=" },
        "body_encoding": { "S": "identity" },
        "body_sha256": { "S": "5e1f" },
        "taken_by": { "S": "a test" },
        "last_error": { "S": error },
        "history": { "L": [] },
        "deliveries": { "M": { "account-open": { "M": { "state": { "S": state }, "code": { "S": error } } } } },
    });
    if state == "dead" {
        item["due"] = json!({ "S": "d0" });
    }
    dynamodb.put_raw(EVENTS_TABLE, &item).unwrap();
}

async fn events(dynamodb: &DynamoDb, arguments: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bridge"));
    command.arg("events").args(arguments).args(["--table", EVENTS_TABLE, "--region", "eu-west-1"]);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AWS_")) {
        command.env_remove(name);
    }
    command.envs([("AWS_ACCESS_KEY_ID", "sample"), ("AWS_SECRET_ACCESS_KEY", "sample")]);
    command.env("AWS_EC2_METADATA_DISABLED", "true").env("AWS_ENDPOINT_URL", dynamodb.url()).stdin(Stdio::null());
    let output = spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

fn state(dynamodb: &DynamoDb, id: &str) -> Value {
    dynamodb.item(&format!("rail#{id}")).unwrap()["state"].clone()
}

const CLAIMS: &str = "Claims of `once_per` stay: ";

#[tokio::test(flavor = "multi_thread")]
async fn one_dead_event_is_dismissed_by_its_key_and_what_is_not_dead_is_told() {
    let dynamodb = DynamoDb::start(None).await.unwrap();
    put(&dynamodb, "dead", "dead", "id_conflict", 1_738_784_271);
    put(&dynamodb, "done", "delivered", "", 1_738_784_271);

    let ran = events(&dynamodb, &["dismiss", "rail#dead", "rail#done", "--reason", "a test of Rail's"]).await;
    assert_eq!((ran.code, ran.out.as_str()), (0, "1 of 1 event: 1 dismissed\n"), "{}", ran.err);
    assert!(ran.err.starts_with("Skipped 1 event: already delivered.\n"), "{}", ran.err);
    assert!(ran.err.contains(CLAIMS), "{}", ran.err);
    assert_eq!((state(&dynamodb, "dead"), state(&dynamodb, "done")), (json!("dismissed"), json!("delivered")));
    let shown = events(&dynamodb, &["show", "rail#dead"]).await;
    assert!(shown.out.contains("  state       dismissed: a person has closed it\n"), "{}", shown.out);
    assert!(shown.out.contains("  dismissed by an operator: a test of Rail's\n"), "{}", shown.out);

    let again = events(&dynamodb, &["dismiss", "rail#dead"]).await;
    let expected = format!("Nothing to dismiss at table {EVENTS_TABLE} in eu-west-1.\n");
    assert_eq!((again.code, again.out), (0, expected));
    assert_eq!(again.err, "Skipped 1 event: already dismissed.\n");
    let absent = events(&dynamodb, &["dismiss", "rail#nowhere"]).await;
    assert_eq!(absent.code, 2);
    assert!(absent.err.contains("error: No event rail#nowhere in table") && absent.err.contains("hint: "));
    let reason = "x".repeat(501);
    let long = events(&dynamodb, &["dismiss", "rail#dead", "--reason", &reason]).await;
    assert_eq!(long.code, 2, "{}", long.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_are_dismissed_by_the_filters_of_redrive_counted_first_and_asked_for() {
    let dynamodb = DynamoDb::start(None).await.unwrap();
    for n in 0..40 {
        put(&dynamodb, &format!("conflict_{n}"), "dead", "id_conflict", 1_738_784_271 + n);
    }
    put(&dynamodb, "refused", "dead", "refused 422", 1_738_784_271);
    let filters = ["--error", "id_conflict", "--workflow", "account-status", "--since", "2025-02-05T19:37:53Z"];

    let dry = events(&dynamodb, &[&["dismiss", "--dry-run"], filters.as_slice()].concat()).await;
    assert_eq!(dry.code, 0, "{}", dry.err);
    assert!(dry.out.starts_with("38 events would be dismissed.\nClaims of `once_per` stay: "), "{}", dry.out);
    assert!(dry.out.contains("\nThe first 10:\n") && dry.out.contains("rail#conflict_2 "), "{}", dry.out);
    let unasked = events(&dynamodb, &[&["dismiss"], filters.as_slice()].concat()).await;
    assert_eq!(unasked.code, 2);
    assert!(unasked.err.contains("error: Cannot ask for confirmation: not a terminal."), "{}", unasked.err);
    let unfiltered = events(&dynamodb, &["dismiss", "--yes"]).await;
    assert_eq!(unfiltered.code, 2);
    assert!(unfiltered.err.starts_with("error: No events selected\n"), "{}", unfiltered.err);
    assert_eq!(dynamodb.count("UpdateItem"), 0);

    let done = events(&dynamodb, &[&["dismiss", "--yes"], filters.as_slice()].concat()).await;
    assert_eq!((done.code, done.out.as_str()), (0, "38 of 38 events: 38 dismissed\n"), "{}", done.err);
    for (id, expected) in [("conflict_2", "dismissed"), ("conflict_1", "dead"), ("refused", "dead")] {
        assert_eq!(state(&dynamodb, id), expected, "{id}");
    }
    let listed = events(&dynamodb, &["list", "--state", "dismissed", "--json"]).await;
    assert_eq!(listed.out.lines().count(), 38);
    let again = events(&dynamodb, &["redrive", "--state", "dismissed", "--dry-run"]).await;
    assert!(again.out.starts_with("38 events would be redriven.\n"), "{}", again.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_fails_on_the_way_is_told_with_the_command_that_goes_on() {
    let dynamodb = DynamoDb::start(None).await.unwrap();
    put(&dynamodb, "dead", "dead", "id_conflict", 1_738_784_271);
    let denied = AwsFault::Exception { status: 400, name: "AccessDeniedException" };
    dynamodb.inject(Some("UpdateItem"), denied, When::UntilCleared);
    let ran = events(&dynamodb, &["dismiss", "--state", "dead", "--yes"]).await;
    assert_eq!(ran.code, 4, "{}", ran.err);
    assert!(ran.err.contains("Stopped with 1 event left; when the cause is fixed,\n"), "{}", ran.err);
    assert!(ran.err.contains("continue with: bridge events dismiss --state dead --yes --table"), "{}", ran.err);
    assert!(ran.err.contains("`UpdateItem`"), "{}", ran.err);
    assert_eq!(state(&dynamodb, "dead"), "dead");
}
