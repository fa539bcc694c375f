use super::*;

fn document(value: &Value) -> Document {
    Document::parse(&value.to_string()).unwrap()
}

#[track_caller]
fn check(before: &Value, change: &Change, expected: &Value) {
    let mut changed = document(before);
    changed.apply(change);
    assert_eq!(Value::Object(changed.0.clone()), *expected);
    changed.apply(change);
    assert_eq!(Value::Object(changed.0), *expected, "twice is once");
}

fn adding(id: &str, generation: u32, replaces: &[&str]) -> Change {
    Change::Add {
        subscription: NewSubscription { id: id.to_owned(), key: Key::sample("k") },
        event_type: "A".to_owned(),
        generation,
        replaces: replaces.iter().map(|id| (*id).to_owned()).collect(),
    }
}

#[test]
fn a_byte_order_mark_before_the_secret_is_ignored() {
    assert!(Document::parse("\u{feff}{\"keys\":{\"a1\":\"x\"}}") == Ok(document(&json!({ "keys": { "a1": "x" } }))));
}

#[test]
fn a_key_is_added_beside_all_that_is_there() {
    let before = json!({ "keys": { "label": "x" }, "note": [1, 2] });
    let expected = json!({
        "keys": { "label": "x", "a1": "k" }, "note": [1, 2],
        "subscriptions": { "a1": { "event_type": "A", "generation": 1 } }, "generations": { "A": 1 },
    });
    check(&before, &adding("a1", 1, &[]), &expected);
}

#[test]
fn a_key_takes_the_place_of_placeholders_and_of_what_is_gone_but_never_of_itself() {
    let before = json!({ "keys": { "subscription-id": "REPLACE-ME", "a1": "x" } });
    let expected = json!({
        "keys": { "a2": "k" },
        "subscriptions": { "a2": { "event_type": "A", "generation": 2 } }, "generations": { "A": 2 },
    });
    check(&before, &adding("a2", 2, &["a1", "a2"]), &expected);
}

#[test]
fn generations_never_go_down() {
    let before = json!({ "keys": {}, "generations": { "A": 5 } });
    let change = Change::Plan { generations: vec![("A".to_owned(), 3), ("B".to_owned(), 2)], adopted: Vec::new() };
    check(&before, &change, &json!({ "keys": {}, "generations": { "A": 5, "B": 2 } }));
}

#[test]
fn the_last_key_stays() {
    let before = json!({ "keys": { "a1": "x", "a2": "y" } });
    let change = Change::Remove { ids: vec!["a1".to_owned(), "a2".to_owned()], generations: Vec::new() };
    check(&before, &change, &json!({ "keys": { "a2": "y" }, "subscriptions": {} }));
}

#[test]
fn what_somebody_did_to_one_version_is_done_to_another() {
    let before = json!({ "keys": { "a": "1", "b": "2" }, "note": "x", "gone": true });
    let theirs = json!({ "keys": { "b": "3", "c": "4" }, "note": "y", "owner": { "team": "t" } });
    let mut ours =
        document(&json!({ "keys": { "a": "1", "b": "2", "ours": "5" }, "note": "x", "gone": true, "own": 1 }));
    ours.carry_over(&document(&before), &document(&theirs));
    let expected =
        json!({ "keys": { "b": "3", "c": "4", "ours": "5" }, "note": "y", "owner": { "team": "t" }, "own": 1 });
    assert_eq!(Value::Object(ours.0), expected);
}

#[test]
fn a_secret_is_not_shown() {
    let stored = StoredKeys::sample(&json!({ "keys": { "a1": "hunter2" } }));
    assert_eq!(format!("{stored:?}"), "StoredKeys { document: Document(..), version: None, created_at: 0 }");
}
