use std::cell::{Cell, RefCell};

use local::aws::AwsFault;
use local::dynamodb::{CUSTOMERS_TABLE, DynamoDb, EVENTS_TABLE};
use local::faults::When;
use serde_json::{Value, json};
use shared::record::store::once::ClaimOutcome;

use super::*;
use crate::error::ErrorKind;

const NOW: UnixMillis = UnixMillis(1_738_784_271_042);
const HEADER: &str = "ref,customer_id,email,once";

/// Both tables of a DynamoDB of its own.
async fn tables() -> (DynamoDb, Tables) {
    let (dynamodb, events) = crate::testing::store().await;
    let client = crate::testing::client(&dynamodb);
    (dynamodb, Tables { customers: Customers::new(client, CUSTOMERS_TABLE.to_owned()), events: Some(events) })
}

async fn never() {
    std::future::pending::<()>().await;
}

/// Imports these lines; what became of them, and the bad ones.
async fn imported(tables: Option<&Tables>, lines: &[String]) -> (Counts, Ending, Vec<u64>) {
    let text = format!("{HEADER}\n{}", lines.iter().map(|line| format!("{line}\n")).collect::<String>());
    let mut lines = Lines::open(text.as_bytes()).unwrap().with_once_routes(["first-deposit".to_owned()].into());
    let bad = RefCell::new(Vec::new());
    let on_bad = |line: &BadLine| bad.borrow_mut().push(line.line);
    let (counts, ended) = import(&mut lines, tables, NOW, never, on_bad, |_| {}).await;
    (counts, ended, bad.into_inner())
}

fn customer_of(dynamodb: &DynamoDb, reference: &str) -> Option<Value> {
    dynamodb.item_of(CUSTOMERS_TABLE, "ref", reference)
}

fn rows(from: usize, to: usize) -> Vec<String> {
    (from..to).map(|n| format!("user:{n},C-{n},,")).collect()
}

#[tokio::test]
async fn every_good_line_is_in_the_table_and_every_bad_one_is_told() {
    let (dynamodb, tables) = tables().await;
    let mut lines = rows(0, 130);
    lines[7] = "user:7,C-7,sample@example.com,".to_owned();
    lines[60] = "user,C-60,,".to_owned();
    lines.push("user:130,,,".to_owned());
    let (counts, ended, bad) = imported(Some(&tables), &lines).await;
    assert!(matches!(ended, Ending::Complete), "{ended:?}");
    assert_eq!(counts, Counts { lines: 131, written: 129, bad: 2, ..Counts::default() });
    assert_eq!(bad, [62, 132]);
    assert_eq!(dynamodb.items_of(CUSTOMERS_TABLE).len(), 129);
    let expected = json!({ "ref": "user:7", "customer_id": "C-7", "email": "sample@example.com", "updated_at": 1_738_784_271_042_u64 });
    assert_eq!(customer_of(&dynamodb, "user:7"), Some(expected));
    assert_eq!(customer_of(&dynamodb, "user:60"), None);
    assert_eq!(dynamodb.count("BatchWriteItem"), 6);
}

#[tokio::test]
async fn the_last_line_of_a_ref_wins_in_one_batch() {
    let (dynamodb, tables) = tables().await;
    let mut lines = rows(0, 10);
    lines.push("user:3,C-later,,".to_owned());
    let (counts, ..) = imported(Some(&tables), &lines).await;
    assert_eq!(counts, Counts { lines: 11, written: 10, replaced: 1, ..Counts::default() });
    assert_eq!(customer_of(&dynamodb, "user:3").unwrap()["customer_id"], "C-later");
}

#[tokio::test]
async fn a_later_batch_does_not_overtake_an_earlier_one_with_the_same_ref() {
    let (dynamodb, tables) = tables().await;
    let mut lines = rows(0, 50);
    lines[4] = "user:again,C-first,,".to_owned();
    lines[40] = "user:again,C-last,,".to_owned();
    // The first batch's first call is lost, and made again a second later.
    dynamodb.inject(Some("BatchWriteItem"), AwsFault::Hang, When::Next(1));
    let (counts, ended, _) = imported(Some(&tables), &lines).await;
    assert!(matches!(ended, Ending::Complete), "{ended:?}");
    assert_eq!(counts.written, 50);
    assert_eq!(customer_of(&dynamodb, "user:again").unwrap()["customer_id"], "C-last");
}

#[tokio::test]
async fn an_import_may_be_run_again_and_replaces_what_the_table_said() {
    let (dynamodb, tables) = tables().await;
    imported(Some(&tables), &["user:1,C-1,sample@example.com,first-deposit".to_owned()]).await;
    let (counts, ..) = imported(Some(&tables), &["user:1,C-1,,first-deposit".to_owned()]).await;
    assert_eq!(counts, Counts { lines: 1, written: 1, once_noted: 1, ..Counts::default() });
    assert_eq!(customer_of(&dynamodb, "user:1").unwrap()["email"], Value::Null);
}

#[tokio::test]
async fn what_a_customer_has_had_is_noted_unless_an_event_was_first() {
    let (dynamodb, tables) = tables().await;
    let events = tables.events.as_ref().unwrap();
    assert_eq!(events.claim_once("first-deposit", "C-2", "rail#evt_1", NOW, NOW).await, Ok(ClaimOutcome::Ours));
    let lines = ["user:1,C-1,,first-deposit", "user:2,C-2,,first-deposit", "user:3,C-3,,"].map(str::to_owned);
    let (counts, ..) = imported(Some(&tables), &lines).await;
    assert_eq!(counts, Counts { lines: 3, written: 3, once_noted: 1, once_taken: 1, ..Counts::default() });
    let owner = |customer: &str| dynamodb.item(&format!("once#first-deposit#{customer}")).map(|it| it["owner"].clone());
    assert_eq!([owner("C-1"), owner("C-2"), owner("C-3")], [Some(json!("import")), Some(json!("rail#evt_1")), None]);
    // The event that has it still finds itself there, and one that comes later does not.
    assert_eq!(events.claim_once("first-deposit", "C-2", "rail#evt_1", NOW, NOW).await, Ok(ClaimOutcome::Ours));
    assert_eq!(events.claim_once("first-deposit", "C-1", "rail#evt_2", NOW, NOW).await, Ok(ClaimOutcome::Taken));
}

#[tokio::test]
async fn a_claim_is_noted_before_the_link_that_an_event_waits_for() {
    let (dynamodb, tables) = tables().await;
    imported(Some(&tables), &["user:1,C-1,,first-deposit".to_owned()]).await;
    assert_eq!(dynamodb.calls(), ["PutItem", "BatchWriteItem"]);
}

#[tokio::test]
async fn a_dry_run_reads_all_and_calls_nobody() {
    let mut lines = rows(0, 1000);
    lines[900] = "user:900,,,".to_owned();
    let (counts, ended, bad) = imported(None, &lines).await;
    assert!(matches!(ended, Ending::Complete), "{ended:?}");
    assert_eq!((counts, bad), (Counts { lines: 1000, bad: 1, ..Counts::default() }, vec![902]));
}

#[tokio::test]
async fn a_table_that_is_busy_is_waited_for() {
    let (dynamodb, tables) = tables().await;
    dynamodb.inject(Some("BatchWriteItem"), AwsFault::Throttle, When::Next(5));
    dynamodb.inject(Some("PutItem"), AwsFault::Throttle, When::Next(5));
    let (counts, ended, _) = imported(Some(&tables), &["user:1,C-1,,first-deposit".to_owned()]).await;
    assert!(matches!(ended, Ending::Complete), "{ended:?}");
    assert_eq!((counts.written, counts.once_noted), (1, 1));
}

#[tokio::test]
async fn a_batch_that_is_refused_ends_the_import_and_the_others_are_finished() {
    let (dynamodb, tables) = tables().await;
    let refusal = AwsFault::Exception { status: 400, name: "AccessDeniedException" };
    dynamodb.inject(Some("BatchWriteItem"), refusal, When::OnceAfter(3));
    let (counts, ended, _) = imported(Some(&tables), &rows(0, 10_000)).await;
    let Ending::Failed(error) = ended else { panic!("{ended:?}") };
    assert_eq!(error.to_string(), "table `customers` cannot be used: AccessDeniedException");
    assert!(counts.lines < 10_000, "{counts:?}");
    assert_eq!(dynamodb.items_of(CUSTOMERS_TABLE).len() as u64, counts.written);
}

#[tokio::test]
async fn ctrl_c_stops_reading_and_finishes_what_is_on_its_way() {
    let (dynamodb, tables) = tables().await;
    let text = format!("{HEADER}\n{}\n", rows(0, 5000).join("\n"));
    let mut lines = Lines::open(text.as_bytes()).unwrap();
    // Pressed once, when three batches have arrived.
    let presses = Cell::new(0);
    let interrupted = async || {
        presses.set(presses.get() + 1);
        match presses.get() {
            1 => dynamodb.wait_for_calls(|calls| calls.len() >= 3, Duration::from_secs(30)).await.unwrap(),
            _ => never().await,
        }
    };
    let (counts, ended) = import(&mut lines, Some(&tables), NOW, interrupted, |_| {}, |_| {}).await;
    assert!(matches!(ended, Ending::Interrupted), "{ended:?}");
    assert!((75..5000).contains(&counts.written), "{counts:?}");
    assert_eq!(dynamodb.items_of(CUSTOMERS_TABLE).len() as u64, counts.written);
    assert_eq!(presses.get(), 2);

    let (again, ended, _) = imported(Some(&tables), &rows(0, 5000)).await;
    assert!(matches!(ended, Ending::Complete), "{ended:?}");
    assert_eq!((again.written, dynamodb.items_of(CUSTOMERS_TABLE).len()), (5000, 5000));
}

#[tokio::test]
async fn ctrl_c_when_all_is_read_waits_for_the_last_batches() {
    let (dynamodb, tables) = tables().await;
    dynamodb.inject(Some("BatchWriteItem"), AwsFault::Hang, When::Next(2));
    let text = format!("{HEADER}\n{}\n", rows(0, 30).join("\n"));
    let mut lines = Lines::open(text.as_bytes()).unwrap();
    let presses = Cell::new(0);
    let interrupted = async || {
        presses.set(presses.get() + 1);
        match presses.get() {
            1 => dynamodb.wait_for_calls(|calls| calls.len() >= 2, Duration::from_secs(30)).await.unwrap(),
            _ => never().await,
        }
    };
    let (counts, ended) = import(&mut lines, Some(&tables), NOW, interrupted, |_| {}, |_| {}).await;
    assert!(matches!(ended, Ending::Complete), "{ended:?}");
    assert_eq!((counts.written, presses.get()), (30, 2));
}

#[tokio::test]
async fn pressing_ctrl_c_twice_waits_for_nothing() {
    let (dynamodb, tables) = tables().await;
    dynamodb.inject(None, AwsFault::Hang, When::UntilCleared);
    let text = format!("{HEADER}\n{}\n", rows(0, 100).join("\n"));
    let mut lines = Lines::open(text.as_bytes()).unwrap();
    let interrupted =
        async || dynamodb.wait_for_calls(|calls| !calls.is_empty(), Duration::from_secs(30)).await.unwrap();
    let (counts, ended) = import(&mut lines, Some(&tables), NOW, interrupted, |_| {}, |_| {}).await;
    assert!(matches!(ended, Ending::Interrupted), "{ended:?}");
    assert_eq!(counts.written, 0);
}

#[tokio::test]
async fn how_an_import_ended_is_told_by_its_kind() {
    let code = |counts: Counts, ended: Ending| ended.result(&counts, None).err().map(|failure| failure.kind());
    let counts = Counts { lines: 3, written: 3, ..Counts::default() };
    assert_eq!(code(counts, Ending::Complete), None);
    assert_eq!(code(Counts { bad: 1, ..counts }, Ending::Complete), Some(ErrorKind::Refused));
    assert_eq!(code(counts, Ending::Interrupted), Some(ErrorKind::Refused));
    assert_eq!(code(counts, Ending::Unreadable(io::Error::other("sample"))), Some(ErrorKind::Outside));
    let busy = StoreError::Unavailable { table: EVENTS_TABLE.to_owned(), reason: "no connection".to_owned() };
    assert_eq!(code(counts, Ending::Failed(busy)), Some(ErrorKind::Outside));
}

#[test]
fn what_became_of_a_file_is_told_in_a_line() {
    let counts = Counts { lines: 10, written: 6, replaced: 1, once_noted: 2, once_taken: 1, bad: 3 };
    let expected = "10 lines, 3 bad, 6 written, 1 replaced by a later line, 2 noted in `once`, 1 not noted, because an event already has the claim";
    assert_eq!(counts.to_string(), expected);
    assert_eq!(Counts::default().to_string(), "0 lines");
}
