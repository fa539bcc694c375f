use serde_json::json;

use super::*;
use crate::rail_subscriptions::subscription::Key;

const URL: &str = "https://example.com/webhooks/rail";

fn url() -> CallbackUrl {
    CallbackUrl::parse(URL).unwrap()
}

/// Type, id, and the key that the list shows, of subscriptions that deliver to [`URL`].
fn snapshot(subscriptions: &[(&str, &str, Option<&str>)], secret: &serde_json::Value) -> Snapshot {
    let subscriptions = subscriptions.iter().map(|(event_type, id, key)| Subscription {
        id: (*id).to_owned(),
        event_type: (*event_type).to_owned(),
        callback_url: URL.to_owned(),
        key: key.map(Key::sample),
    });
    Snapshot { subscriptions: subscriptions.collect(), stored: StoredKeys::sample(secret) }
}

fn required(types: &[&str]) -> BTreeSet<String> {
    types.iter().map(|name| (*name).to_owned()).collect()
}

fn steps(snapshot: &Snapshot, types: &[&str], prune: bool) -> Vec<Step> {
    plan(snapshot, &required(types), &url(), prune, &BTreeSet::new())
}

fn create(event_type: &str, generation: u32, replaces: &[&str], orphans: &[&str]) -> Step {
    let owned = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
    Step::Create { event_type: event_type.to_owned(), generation, replaces: owned(replaces), orphans: owned(orphans) }
}

/// Two generations of type A: `a1` and, if it is there, `a2`.
fn two_generations() -> serde_json::Value {
    json!({
        "keys": { "a1": "k1", "a2": "k2" },
        "subscriptions": { "a1": { "event_type": "A", "generation": 1 }, "a2": { "event_type": "A", "generation": 2 } },
        "generations": { "A": 2 },
    })
}

#[test]
fn a_key_under_a_subscription_s_id_is_all_it_takes_to_be_in_step() {
    let keys = json!({ "keys": { "a1": "k1", "some label": "k" } });
    for shown in [None, Some("k1")] {
        assert_eq!(steps(&snapshot(&[("A", "a1", shown)], &keys), &["A"], true), []);
    }
}

#[test]
fn what_is_missing_is_created_in_the_generation_that_is_to_be() {
    for (secret, generation) in [
        (json!({}), 1),
        (json!({ "keys": { "subscription-id": "REPLACE-ME" } }), 1),
        (json!({ "generations": { "A": 3 } }), 3),
        (json!({ "generations": { "B": 3 } }), 1),
    ] {
        assert_eq!(steps(&snapshot(&[], &secret), &["A"], true), [create("A", generation, &[], &[])], "{secret}");
    }
}

#[test]
fn a_generation_whose_subscription_is_gone_is_spent() {
    let snapshot = snapshot(&[("B", "b1", None)], &two_generations());
    assert_eq!(steps(&snapshot, &["A"], false), [create("A", 3, &["a1", "a2"], &[])]);
    let removing = steps(&snapshot, &["B"], true).pop();
    assert_eq!(removing, Some(Step::RemoveKeys { ids: vec!["a1".to_owned()] }), "but the secret's last key stays");
}

#[test]
fn what_has_no_key_is_created_anew_and_an_orphan_beside_what_is_in_step_is_deleted() {
    let orphan = snapshot(&[("A", "a1", None)], &json!({}));
    assert_eq!(steps(&orphan, &["A"], false), [create("A", 1, &[], &["a1"])]);
    let beside = snapshot(&[("A", "a1", None), ("A", "a2", None)], &json!({ "keys": { "a2": "k2" } }));
    let delete = Step::DeleteOrphan { event_type: "A".to_owned(), id: "a1".to_owned() };
    assert_eq!(steps(&beside, &["A"], false), [delete]);
    assert_eq!(steps(&beside, &[], false), [], "nobody's business when no route needs it");
}

#[test]
fn while_a_type_is_rotated_what_lacks_its_key_is_asked_for_once_more_and_not_deleted() {
    let secret = json!({
        "keys": { "a1": "k1" },
        "subscriptions": { "a1": { "event_type": "A", "generation": 1 } },
        "generations": { "A": 2 },
    });
    let at_rail = [("A", "a1", None), ("A", "a2", None)];
    assert_eq!(steps(&snapshot(&at_rail, &secret), &["A"], true), [create("A", 2, &[], &["a2"])]);
    let both = [("A", "a1", None), ("A", "a2", None)];
    assert_eq!(steps(&snapshot(&both, &two_generations()), &["A"], true), [], "`rotate` ends it");
}

#[test]
fn rejected_types_are_left_out() {
    let none = snapshot(&[], &json!({}));
    assert_eq!(plan(&none, &required(&["A", "B"]), &url(), true, &required(&["A"])), [create("B", 1, &[], &[])]);
}

#[test]
fn every_subscription_type_and_key_has_its_status() {
    let mut snapshot = snapshot(
        &[
            ("A", "a1", None),
            ("A", "a2", None),
            ("B", "b1", None),
            ("C", "c1", Some("k3")),
            ("D", "d1", None),
            ("E", "e1", None),
            ("E", "e2", None),
        ],
        &json!({
            "keys": { "a1": "k1", "a2": "k2", "c1": "mistyped", "d1": "k4", "e1": "k5", "e2": "k6", "some label": "k" },
            "subscriptions": two_generations()["subscriptions"],
        }),
    );
    let elsewhere = "https://user:hunter2@example.com/x?token=hunter2".to_owned();
    snapshot.subscriptions.push(Subscription {
        id: "a3".to_owned(),
        event_type: "A".to_owned(),
        callback_url: elsewhere,
        key: None,
    });
    let rows = compare(&snapshot, &required(&["A", "B", "C", "E", "F"]), &url());
    let shown: Vec<_> = rows
        .iter()
        .map(|row| (row.event_type.as_deref().unwrap_or("-"), row.id.as_deref().unwrap_or("-"), row.status.name()))
        .collect();
    assert_eq!(
        shown,
        [
            ("A", "a2", "in_step"),
            ("A", "a1", "being_rotated"),
            ("A", "a3", "other_url"),
            ("B", "b1", "key_missing"),
            ("C", "c1", "key_differs"),
            ("D", "d1", "not_needed"),
            ("E", "e2", "in_step"),
            ("E", "e1", "duplicate"),
            ("F", "-", "missing"),
            ("-", "some label", "key_only"),
        ]
    );
    assert!(!format!("{rows:?}").contains("hunter2"), "{rows:?}");
}
