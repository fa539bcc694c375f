use serde_json::json;

use super::*;

#[test]
fn every_call_that_writes_names_its_keys() {
    let item = |pk: &str| json!({ "pk": { "S": pk }, "note": { "S": "x" } });
    let key = |name: &str, key: &str| json!({ name: { "S": key } });
    for (operation, request, expected) in [
        ("PutItem", json!({ "TableName": "events", "Item": item("rail#1") }), vec![("events", "rail#1")]),
        ("UpdateItem", json!({ "TableName": "events", "Key": key("pk", "rail#2") }), vec![("events", "rail#2")]),
        ("DeleteItem", json!({ "TableName": "customers", "Key": key("ref", "a:1") }), vec![("customers", "a:1")]),
        (
            "BatchWriteItem",
            json!({ "RequestItems": {
                "customers": [{ "DeleteRequest": { "Key": key("ref", "a:1") } }],
                "events": [{ "PutRequest": { "Item": item("rail#1") } }, { "PutRequest": { "Item": item("rail#2") } }],
            } }),
            vec![("customers", "a:1"), ("events", "rail#1"), ("events", "rail#2")],
        ),
        (
            "TransactWriteItems",
            json!({ "TransactItems": [
                { "Put": { "TableName": "events", "Item": item("rail#1") } },
                { "ConditionCheck": { "TableName": "events", "Key": key("pk", "rail#2") } },
                { "Update": { "TableName": "customers", "Key": key("ref", "a:1") } },
                { "Delete": { "TableName": "events", "Key": key("pk", "rail#3") } },
            ] }),
            vec![("events", "rail#1"), ("customers", "a:1"), ("events", "rail#3")],
        ),
        ("GetItem", json!({ "TableName": "events", "Key": key("pk", "rail#1") }), vec![]),
        ("PutItem", json!({ "TableName": "others", "Item": { "id": { "N": "1" } } }), vec![]),
        ("PutItem", json!("no request"), vec![]),
    ] {
        let writes = Writes::default();
        let mut told = writes.subscribe();
        writes.tell_call(operation, request.to_string().as_bytes());
        let told: Vec<_> = std::iter::from_fn(|| told.try_recv().ok()).map(|write| (write.table, write.key)).collect();
        let expected: Vec<_> = expected.iter().map(|(table, key)| ((*table).to_owned(), (*key).to_owned())).collect();
        assert_eq!(told, expected, "{operation} {request}");
    }
}

#[test]
fn who_is_too_far_behind_learns_so_and_nobody_waits_for_it() {
    let writes = Writes::default();
    assert!(!writes.somebody_listens());
    let mut late = writes.subscribe();
    assert!(writes.somebody_listens());
    for n in 0..REMEMBERED + 5 {
        writes.tell("events", &n.to_string());
    }
    assert_eq!(late.try_recv(), Err(broadcast::error::TryRecvError::Lagged(5)));
    assert_eq!(late.try_recv().unwrap().key, "5");
}
