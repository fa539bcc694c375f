use std::os::unix::fs::symlink;

use serde_json::json;

use super::*;
use crate::dynamodb::EVENTS_TABLE;
use crate::http_client::HttpClient;
use crate::stack::{FUNCTIONS, RECEIVERS, StackOptions};
use crate::testing::{MOMENT, echo_function, within};

#[tokio::test]
async fn redrive_is_hosted_without_a_path_and_without_signing_keys() {
    let stack = stack().await;
    assert_eq!(
        within(stack.redrive(json!({ "keys": ["rail#evt_1"] }))).await.unwrap()["echo"]["keys"][0],
        "rail#evt_1"
    );
    let variable = |name: &'static str| {
        let stack = &stack;
        async move { within(stack.redrive(json!({ "env": name }))).await.unwrap() }
    };
    assert_eq!(variable("SIGNING_SECRET_ID").await, Value::Null);
    assert_eq!(variable("TABLE_NAME").await, EVENTS_TABLE);
    assert_eq!(variable("RETURNING_AI_SECRET_ID").await, "bridge/returning-ai");
    let url = format!("{}/webhooks/{REDRIVE}", stack.url());
    let response =
        within(HttpClient::default().post::<&str, &str>(&url, &[], Bytes::from_static(b"{}"))).await.unwrap();
    assert_eq!(response.status(), 404);
    for receiver in RECEIVERS {
        assert!(FUNCTIONS.contains(&receiver), "{receiver}");
    }
    within(stack.shutdown()).await;
}

#[tokio::test]
async fn a_redrive_that_fails_says_how() {
    let stack = stack().await;
    let failed = within(stack.redrive(json!({ "do": "exit" }))).await.unwrap_err();
    assert_eq!(failed, InvokeError::ProcessDied { status: "exit code 3".to_owned() });
    let failed = within(stack.redrive(json!({ "do": "fail" }))).await.unwrap_err();
    assert!(matches!(failed, InvokeError::FunctionError { .. }), "{failed}");
}

#[tokio::test]
async fn what_is_pending_can_be_made_due_and_nothing_else_changes() {
    let stack = stack().await;
    let far = "4000000000";
    for (pk, state, due, at) in [
        ("rail#later", "pending", Some("p0"), Some(far)),
        ("rail#sooner", "pending", Some("p7"), Some("5")),
        ("rail#dead", "dead", Some("dead"), Some(far)),
        ("rail#done", "delivered", None, None),
    ] {
        let mut item = json!({ "pk": { "S": pk }, "state": { "S": state } });
        if let (Some(due), Some(at)) = (due, at) {
            item["due"] = json!({ "S": due });
            item["next_attempt_at"] = json!({ "N": at });
        }
        stack.dynamodb.put_raw(EVENTS_TABLE, &item).unwrap();
    }
    let before = stack.dynamodb.items();
    assert_eq!(
        stack.dynamodb.pending().unwrap(),
        [("rail#sooner".to_owned(), 5), ("rail#later".to_owned(), 4_000_000_000)]
    );

    assert_eq!(within(stack.make_due()).await.unwrap(), 2);

    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let mut after = stack.dynamodb.items();
    let moved = after.iter_mut().find(|item| item["pk"] == "rail#later").unwrap();
    let at = moved["next_attempt_at"].as_u64().unwrap();
    assert!((now - 30..=now).contains(&at), "{at}");
    moved["next_attempt_at"] = json!(4_000_000_000_u64);
    assert_eq!(after, before);
}

#[tokio::test]
async fn an_event_whose_time_was_changed_meanwhile_is_not_made_due() {
    let stack = stack().await;
    let item = json!({
        "pk": { "S": "rail#evt_1" }, "state": { "S": "pending" }, "due": { "S": "p0" }, "next_attempt_at": { "N": "70" },
    });
    stack.dynamodb.put_raw(EVENTS_TABLE, &item).unwrap();
    assert!(!stack.dynamodb.make_due("rail#evt_1", 60, 10).unwrap());
    assert!(!stack.dynamodb.make_due("rail#other", 60, 10).unwrap());
    assert_eq!(stack.dynamodb.item("rail#evt_1").unwrap()["next_attempt_at"], 70);
    assert_eq!(stack.dynamodb.item("rail#other"), None);
}

#[tokio::test]
async fn nothing_is_made_due_while_a_function_works() {
    let stack = stack().await;
    let gate = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let working = stack.redrive(json!({ "before": gate.local_addr().unwrap().to_string() }));
    let during = async {
        let (held, _) = within(gate.accept()).await.unwrap();
        let early = tokio::time::timeout(MOMENT, stack.make_due()).await;
        drop(held);
        early.is_err()
    };
    let (answered, waited) = within(futures_util::future::join(working, during)).await;
    answered.unwrap();
    assert!(waited);
    assert_eq!(within(stack.make_due()).await.unwrap(), 0);
}

async fn stack() -> Stack {
    let folder = tempfile::tempdir().unwrap();
    for name in FUNCTIONS {
        symlink(echo_function(), folder.path().join(name)).unwrap();
    }
    // The processes are started from it later.
    Stack::start(StackOptions::new(folder.keep())).await.unwrap()
}
