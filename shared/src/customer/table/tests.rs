use super::*;
use crate::outside::aws;
use crate::outside::http::Http;
use crate::testing::{Loopback, Reply};

const NOW: UnixMillis = UnixMillis(1_747_253_577_000);

fn table_at(server: &Loopback) -> Customers {
    let customers = Customers::new(aws::dynamodb(&server.aws(), &Http::new().unwrap()), "customers".to_owned());
    Customers { first_wait: Duration::from_millis(1), ..customers }
}

fn batch(count: usize) -> Vec<(CustomerRef, Customer)> {
    let row = |n: usize| (CustomerRef::new("sample", &n.to_string()).unwrap(), Customer::new(&format!("C-{n}"), NOW));
    (0..count).map(row).collect()
}

/// The requests of the only table in a `BatchWriteItem`.
fn writes(asked: &crate::testing::Asked) -> Vec<serde_json::Value> {
    asked.json()["RequestItems"]["customers"].as_array().unwrap().clone()
}

fn exception(name: &str) -> Reply {
    Reply::json(400, format!(r#"{{"__type":"com.amazonaws.dynamodb.v20120810#{name}","message":"sample"}}"#))
}

#[test]
fn an_item_reads_back_as_the_customer_that_was_written() {
    let reference = CustomerRef::parse("rail-account:CUSTOMER_USD_001").unwrap();
    let known = Customer {
        email: Some("sample@example.com".to_owned()),
        first_name: Some("Sample".to_owned()),
        last_name: Some("Person".to_owned()),
        trading_accounts: vec!["5001".to_owned(), "5002".to_owned()],
        ..Customer::new("C-1001", NOW)
    };
    for customer in [known, Customer::new("C-1001", NOW)] {
        assert_eq!(customer_of(&reference, &item_of(&reference, &customer)), Ok(customer));
    }
    let bare = item_of(&reference, &Customer::new("C-1001", NOW));
    let mut names: Vec<_> = bare.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["customer_id", "ref", "updated_at"]);
}

#[test]
fn an_item_of_somebody_else_s_is_unreadable_by_the_name_of_its_attribute() {
    let reference = CustomerRef::parse("user:1").unwrap();
    let number = AttributeValue::N("1".to_owned());
    for (attribute, value) in [
        ("customer_id", number.clone()),
        ("customer_id", string("")),
        ("email", number.clone()),
        ("trading_accounts", string("5001")),
        ("trading_accounts", AttributeValue::L(vec![number])),
        ("updated_at", string("today")),
    ] {
        let mut item = item_of(&reference, &Customer::new("C-1", NOW));
        item.insert(attribute.to_owned(), value);
        let expected = StoreError::Unreadable { pk: "user:1".to_owned(), attribute };
        assert_eq!(customer_of(&reference, &item), Err(expected));
    }
}

#[tokio::test]
async fn a_reference_is_read_as_it_was_last_written() {
    let server = Loopback::start(|_, _| Reply::json(200, "{}"));
    let found = table_at(&server).find(&CustomerRef::parse("user:1").unwrap()).await;
    assert_eq!(found, Ok(None));
    let asked = server.asked()[0].json();
    assert_eq!((&asked["ConsistentRead"], &asked["Key"]["ref"]["S"]), (&true.into(), &"user:1".into()));
}

#[tokio::test]
async fn what_a_batch_left_out_is_sent_again_until_nothing_is_left() {
    let server = Loopback::start(|earlier, asked| match earlier {
        0 | 1 => {
            let left = &writes(asked)[1..];
            Reply::json(200, serde_json::json!({ "UnprocessedItems": { "customers": left } }).to_string())
        }
        _ => Reply::json(200, r#"{"UnprocessedItems":{}}"#),
    });
    table_at(&server).write_batch(&batch(4)).await.unwrap();
    let sent: Vec<_> = server.asked().iter().map(|asked| writes(asked).len()).collect();
    assert_eq!(sent, [4, 3, 2]);
    assert_eq!(writes(&server.asked()[2]), writes(&server.asked()[0])[2..]);
}

#[tokio::test]
async fn a_batch_is_sent_again_when_the_table_is_busy_longer_than_the_sdk_waits() {
    let server = Loopback::start(|earlier, _| match earlier {
        0..5 => exception("ProvisionedThroughputExceededException"),
        _ => Reply::json(200, r#"{"UnprocessedItems":{}}"#),
    });
    table_at(&server).write_batch(&batch(25)).await.unwrap();
    assert_eq!(server.asked().len(), 6);
}

#[tokio::test]
async fn a_batch_that_is_never_taken_ends_in_a_bounded_number_of_calls() {
    let server = Loopback::start(|_, asked| {
        Reply::json(200, serde_json::json!({ "UnprocessedItems": { "customers": writes(asked) } }).to_string())
    });
    let expected = StoreError::Unavailable { table: "customers".to_owned(), reason: "answered in part".to_owned() };
    assert_eq!(table_at(&server).write_batch(&batch(2)).await, Err(expected));
    assert_eq!(server.asked().len(), BATCH_TRIES as usize);
}

#[tokio::test]
async fn a_refusal_is_told_by_its_code_and_not_sent_again() {
    let server = Loopback::start(|_, _| exception("AccessDeniedException"));
    let expected =
        StoreError::Unavailable { table: "customers".to_owned(), reason: "AccessDeniedException".to_owned() };
    assert_eq!(table_at(&server).write_batch(&batch(1)).await, Err(expected));
    assert_eq!(server.asked().len(), 1);
}
