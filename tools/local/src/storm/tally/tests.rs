use bytes::Bytes;
use serde_json::json;

use super::*;
use crate::aws::AwsFault;
use crate::returning_ai::At;
use crate::storm::Event;

const PK: &str = "rail#evt_1";
const KEY: &str = "rail:evt_1/account-open";

#[test]
fn an_event_that_arrived_and_is_settled_is_delivered() {
    let tally = tally(&[message(0)], &[item("delivered", "delivered")], &[], &[]);
    assert_eq!((tally.acknowledged, tally.delivered, tally.messages), (1, 1, 1));
    assert_eq!(tally.verdict(), Ok(()));
}

#[test]
fn an_event_is_lost_unless_it_arrived_and_the_table_says_so() {
    for (calls, items, said) in [
        (vec![], vec![item("delivered", "delivered")], "Returning.AI does not have it"),
        (vec![message(0)], vec![item("pending", "pending")], "pending after attempt 2"),
        (vec![message(0)], vec![], "not in the table"),
        (vec![Message { accepted: false, ..message(0) }], vec![item("delivered", "delivered")], "does not have it"),
    ] {
        let tally = tally(&calls, &items, &[], &[]);
        assert!(tally.lost[0].1.contains(said), "{:?}", tally.lost);
        assert_eq!(tally.verdict(), Err("1 lost: rail#evt_1".to_owned()));
    }
}

#[test]
fn an_event_rejected_permanently_is_dead_and_not_lost() {
    let tally = tally(&[], &[item("dead", "dead")], &[], &[]);
    assert_eq!((tally.dead, tally.verdict()), (1, Ok(())));
}

#[test]
fn messages_of_one_key_that_differ_and_strangers_are_inconsistent() {
    let other = json!({ "idempotencyKey": KEY, "occurredAt": "2026-01-02T00:00:00.000Z" });
    let calls = [message(0), Message { raw: other.to_string().into(), body: other, ..message(1) }];
    let tally_of_two = tally(&calls, &[item("delivered", "delivered")], &[], &[]);
    assert_eq!(tally_of_two.verdict(), Err("1 inconsistent: rail#evt_1".to_owned()));

    let stranger = Message { body: json!({ "idempotencyKey": "rail:evt_1/other" }), ..message(1) };
    let tally = tally(&[message(0), stranger], &[item("delivered", "delivered")], &[], &[]);
    assert_eq!(tally.verdict(), Err("1 inconsistent: rail:evt_1/other".to_owned()));
}

#[test]
fn a_duplicate_is_explained_by_what_fell_between_the_answer_and_the_settling() {
    let twice = [message(100), message(200)];
    let killed = |pk: Option<&str>, since, at| Interruption {
        function: "rail",
        pk: pk.map(str::to_owned),
        since: second(since),
        at: second(at),
    };
    let strike = |pk: &str, expression: &str, at| Strike {
        operation: "UpdateItem".to_owned(),
        fault: AwsFault::Throttle,
        request: json!({ "Key": { "pk": { "S": pk } }, "UpdateExpression": expression }).to_string().into(),
        at: second(at),
    };
    let spoiled = [Message { fault: Some(Fault::ResetAfterAccept), ..message(100) }, message(200)];
    let slow = [Message { fault: Some(Fault::SlowBody(Duration::from_millis(1))), ..message(100) }, message(200)];
    for (calls, killed, struck, expected) in [
        (&twice, vec![], vec![], None),
        (&spoiled, vec![], vec![], Some(Cause::Answer)),
        (&slow, vec![], vec![], None),
        (&twice, vec![killed(Some(PK), 99, 101)], vec![], Some(Cause::Killed)),
        (&twice, vec![killed(None, 90, 150)], vec![], Some(Cause::Killed)),
        (&twice, vec![killed(Some("rail#evt_2"), 99, 101)], vec![], None),
        (&twice, vec![killed(Some(PK), 101, 102)], vec![], None),
        (&twice, vec![killed(Some(PK), 90, 95)], vec![], None),
        (&twice, vec![], vec![strike(PK, "SET history = :history", 101)], Some(Cause::Settling)),
        (&twice, vec![], vec![strike(PK, "SET attempts = :attempts", 101)], None),
        (&twice, vec![], vec![strike(PK, "SET history = :history", 99)], None),
        (&twice, vec![], vec![strike("rail#evt_2", "SET history = :history", 101)], None),
    ] {
        let tally = tally(calls, &[item("delivered", "delivered")], &killed, &struck);
        let (why, unexplained) = match expected {
            Some(why) => (BTreeMap::from([(why, 1)]), vec![]),
            None => (BTreeMap::new(), vec![PK.to_owned()]),
        };
        assert_eq!((tally.duplicates, tally.unexplained), (why, unexplained));
    }
}

#[test]
fn what_is_once_per_customer_is_skipped_by_all_but_one() {
    const ROUTE: &str = "first-deposit";
    let of = |n: usize| {
        let mut event = event();
        event.event.pk = format!("rail#evt_{n}");
        event.event.routes = vec![ROUTE.to_owned()];
        event
    };
    let item = |n: usize, delivery: &str| {
        let pk = format!("rail#evt_{n}");
        json!({ "pk": pk, "state": "delivered", "attempts": 1, "deliveries": { ROUTE: { "state": delivery } } })
    };
    let sent = |n: usize| {
        let key = format!("rail:evt_{n}/{ROUTE}");
        let body = json!({ "idempotencyKey": key, "customerId": "C-1", "occurredAt": "2026-01-01T00:00:00.000Z" });
        Message { raw: body.to_string().into(), body, ..message(0) }
    };
    let tally = |items: [Value; 2], calls: &[Message]| {
        let evidence = Evidence { items: items.to_vec(), calls: calls.to_vec(), interruptions: &[], strikes: vec![] };
        Tally::of(&[of(1), of(2)], &BTreeSet::from([ROUTE.to_owned()]), &evidence)
    };
    let sound = tally([item(1, "delivered"), item(2, "skipped")], &[sent(1)]);
    assert_eq!((sound.skipped, sound.delivered, sound.verdict()), (1, 2, Ok(())));
    let twice = tally([item(1, "delivered"), item(2, "delivered")], &[sent(1), sent(2)]);
    assert_eq!(twice.verdict(), Err("1 not once: first-deposit of C-1".to_owned()));
    let lost = tally([item(1, "delivered"), item(2, "delivered")], &[sent(1)]);
    assert_eq!(lost.verdict(), Err("1 lost: rail#evt_2".to_owned()));
}

#[test]
fn what_is_not_acknowledged_although_everything_works_is_a_failure() {
    let mut event = event();
    event.acknowledged = false;
    let evidence = Evidence { items: vec![], calls: vec![], interruptions: &[], strikes: vec![] };
    assert_eq!(
        Tally::of(&[event], &BTreeSet::new(), &evidence).verdict(),
        Err("1 not acknowledged: rail#evt_1".to_owned())
    );
}

fn tally(calls: &[Message], items: &[Value], interruptions: &[Interruption], strikes: &[Strike]) -> Tally {
    let evidence = Evidence { items: items.to_vec(), calls: calls.to_vec(), interruptions, strikes: strikes.to_vec() };
    Tally::of(&[event()], &BTreeSet::new(), &evidence)
}

fn event() -> Outgoing {
    let provider = providers::by_name("rail").unwrap();
    let event = Event { provider, pk: PK.to_owned(), body: Bytes::new(), routes: vec!["account-open".to_owned()] };
    Outgoing { event, rng: fastrand::Rng::with_seed(1), times_sent: 1, acknowledged: true }
}

fn item(state: &str, delivery: &str) -> Value {
    json!({ "pk": PK, "state": state, "attempts": 2, "deliveries": { "account-open": { "state": delivery } } })
}

fn message(at: u64) -> Message {
    let body = json!({ "idempotencyKey": KEY, "occurredAt": "2026-01-01T00:00:00.000Z" });
    Message {
        at: At::Webhook("account-status".to_owned()),
        workflow: "account-status".to_owned(),
        raw: body.to_string().into(),
        sealed: None,
        body,
        token: None,
        received_at: second(at),
        fault: None,
        accepted: true,
    }
}

fn second(number: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(number)
}
