use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value as Json;

use super::*;
use crate::clock::UnixMillis;
use crate::receive::receiver::Trouble;
use crate::record::event::{AttemptBy, Done, Failure, RouteOutcome};
use crate::record::retry_plan::Draw;
use crate::record::store::error::StoreError;

const RECEIVED_AT: UnixMillis = UnixMillis(1_738_784_271_042);

/// A receipt of this answer, and what came to it.
fn receipt(answer: Answer) -> Receipt {
    Receipt { ack: Duration::from_micros(3_100), ..Receipt::of(answer) }
}

/// A verified event that `routes` want.
fn recorded(answer: Answer, event_type: Option<&str>, routes: &[&str]) -> Receipt {
    let event_type = event_type.map(str::to_owned);
    let event =
        EventRecord::received("sample", "evt_1".to_owned(), event_type, RECEIVED_AT, RECEIVED_AT, "{}".to_owned());
    Receipt {
        event: Some(event.begin(routes.iter().copied(), RECEIVED_AT)),
        signed_form: Some("raw"),
        key_version: Some(KeyVersion::Current),
        ..receipt(answer)
    }
}

/// The first attempt, which began 20 ms after the receipt and took 41 ms.
fn attempted(receipt: &Receipt, outcomes: Vec<(&str, RouteOutcome)>) -> Attempted {
    let outcomes: Vec<_> = outcomes.into_iter().map(|(route, outcome)| (route.to_owned(), outcome)).collect();
    let (began, ended) = (RECEIVED_AT.0 + 20, RECEIVED_AT.0 + 61);
    let event = receipt.event.as_ref().unwrap();
    let after =
        event.settle(AttemptBy::First, &outcomes, UnixMillis(began), UnixMillis(ended), Duration::ZERO, Draw(0.5));
    Attempted::Made { after: Box::new(after), settled: Ok(Settled::Written) }
}

fn delivered() -> RouteOutcome {
    Ok(Done::Delivered { http_status: 200 })
}

fn failed(code: &'static str, status: u16, for_good: bool) -> RouteOutcome {
    Err(Failure { status: Some(status), for_good, ..Failure::passing(code) })
}

/// Every metric with its values, by name and label.
fn told(measured: &Measured) -> BTreeMap<String, Vec<f64>> {
    let name = |entry: &Entry| match &entry.label {
        Some(label) => format!("{} {label}", entry.metric.name),
        None => entry.metric.name.to_owned(),
    };
    measured.entries.iter().map(|entry| (name(entry), entry.values.clone())).collect()
}

/// What is measured of a delivery besides that it was received and answered.
#[track_caller]
fn check(receipt: &Receipt, attempted: Option<&Attempted>, type_is_known: bool, expected: &[(&str, &[f64])]) {
    let mut told = told(&Measured::of_delivery(receipt, attempted, type_is_known));
    assert_eq!(told.remove("Received"), Some(vec![1.0]));
    assert_eq!(told.remove("AckLatency"), Some(vec![3.1]));
    let expected = expected.iter().map(|(name, values)| ((*name).to_owned(), values.to_vec()));
    assert_eq!(told, expected.collect());
}

#[test]
fn what_was_refused_is_counted_by_its_code() {
    let refused = |refusal| Receipt { refusal: Some(refusal), ..receipt(Answer::Unauthorized) };
    for (receipt, expected) in [
        (refused(Refusal::HeaderMissing("x")), "Refused header_missing"),
        (refused(Refusal::OutsideTolerance { skew_s: 301 }), "Refused outside_tolerance"),
        (refused(Refusal::SignatureMismatch), "Refused signature_mismatch"),
        (
            Receipt { refusal: Some(Refusal::BodyNotAnObject), ..receipt(Answer::BadRequest) },
            "Refused body_not_an_object",
        ),
        (receipt(Answer::BadRequest), "Refused bad_request"),
        (receipt(Answer::TooLarge), "Refused too_large"),
        (receipt(Answer::NotFound), "Refused not_found"),
        (receipt(Answer::MethodNotAllowed), "Refused method_not_allowed"),
    ] {
        check(&receipt, None, false, &[(expected, &[1.0])]);
    }
}

#[test]
fn what_could_not_be_recorded_is_counted_by_what_was_in_the_way() {
    let trouble = Trouble { code: "secret_unreachable", text: "secret `signing` cannot be read".to_owned() };
    let without_keys = Receipt { trouble: Some(trouble), ..receipt(Answer::Unavailable) };
    check(&without_keys, None, false, &[("Unavailable secret_unreachable", &[1.0])]);

    let trouble = Trouble { code: "table_unavailable", text: "table `events` cannot be used".to_owned() };
    let previous = Some(KeyVersion::Previous);
    let recorded = recorded(Answer::Unavailable, Some("PAID"), &["first"]);
    let not_recorded = Receipt { trouble: Some(trouble), key_version: previous, ..recorded };
    // It was not accepted, by whatever key; it will come again.
    check(&not_recorded, None, true, &[("Unavailable table_unavailable", &[1.0]), ("Verified raw", &[1.0])]);
}

#[test]
fn duplicates_ignored_and_unknown_events_are_told_apart() {
    let verified: (&str, &[f64]) = ("Verified raw", &[1.0]);
    let duplicate = recorded(Answer::Duplicate, Some("PAID"), &["first"]);
    check(&duplicate, None, false, &[verified, ("Duplicate", &[1.0])]);
    let conflicting = Receipt { conflicting: true, key_version: Some(KeyVersion::Previous), ..duplicate };
    let expected: [(&str, &[f64]); 4] =
        [verified, ("Duplicate", &[1.0]), ("ConflictingDuplicate", &[1.0]), ("AcceptedByPreviousKey", &[1.0])];
    check(&conflicting, None, true, &expected);

    let ignored = recorded(Answer::Ignored, Some("PAID"), &[]);
    check(&ignored, None, true, &[verified, ("Ignored", &[1.0])]);
    check(&ignored, None, false, &[verified, ("Ignored", &[1.0]), ("UnknownEventType", &[1.0])]);
    let unreadable = recorded(Answer::Accepted, None, &[]);
    check(&unreadable, None, false, &[verified, ("UnknownEventType", &[1.0]), ("Dead", &[1.0])]);
}

#[test]
fn an_attempt_is_counted_route_by_route() {
    let receipt = recorded(Answer::Accepted, Some("PAID"), &["a", "b", "c", "d"]);
    let outcomes = vec![
        ("a", delivered()),
        ("b", failed("server_error", 503, false)),
        ("c", failed("refused", 422, true)),
        ("d", failed("server_error", 500, false)),
    ];
    let attempted = attempted(&receipt, outcomes);
    let expected: [(&str, &[f64]); 7] = [
        ("Verified raw", &[1.0]),
        ("Delivered", &[1.0]),
        ("Dead", &[1.0]),
        ("Failed server_error", &[2.0]),
        ("Failed refused", &[1.0]),
        ("DeliveryLatency", &[41.0]),
        ("AgeAtDelivery", &[61.0]),
    ];
    check(&receipt, Some(&attempted), true, &expected);
}

#[test]
fn what_was_delivered_and_not_settled_counts_when_it_is_delivered_again() {
    let receipt = recorded(Answer::Accepted, Some("PAID"), &["a", "b"]);
    let Attempted::Made { after, .. } =
        attempted(&receipt, vec![("a", delivered()), ("b", failed("server_error", 503, false))])
    else {
        panic!("an attempt was made")
    };
    let unavailable = StoreError::Unavailable { table: "events".to_owned(), reason: "timeout".to_owned() };
    for settled in [Ok(Settled::Superseded), Err(unavailable)] {
        let attempted = Attempted::Made { after: after.clone(), settled };
        let expected: [(&str, &[f64]); 3] =
            [("Verified raw", &[1.0]), ("DeliveryLatency", &[41.0]), ("Failed server_error", &[1.0])];
        check(&receipt, Some(&attempted), true, &expected);
    }
}

#[test]
fn a_later_attempt_counts_only_what_it_tried_and_what_it_ended() {
    let first = recorded(Answer::Accepted, Some("PAID"), &["a", "b", "c"]);
    let Attempted::Made { after: before, .. } = attempted(
        &first,
        vec![("a", delivered()), ("b", failed("timeout", 0, false)), ("c", failed("timeout", 0, false))],
    ) else {
        panic!("an attempt was made")
    };
    let mut after = before.clone();
    after.deliveries.get_mut("b").unwrap().state = DeliveryState::Skipped;
    let mut measured = Measured::default();
    // `c` was held back.
    measured.attempt(&before, &after, |route| route == "b", true);
    let expected = [("Skipped", vec![1.0]), ("DeliveryLatency", vec![41.0])];
    assert_eq!(told(&measured), expected.map(|(name, values)| (name.to_owned(), values)).into());
}

fn backlog() -> Backlog {
    Backlog {
        pending: 40_000,
        pending_at_least: true,
        oldest_pending: Duration::from_millis(901_500),
        oldest_at_least: true,
        dead: 2,
        dead_at_least: false,
    }
}

#[test]
fn a_run_of_redrive_tells_what_it_found_and_whether_it_left_something() {
    let complete = Counts { complete: true, ..Counts::default() };
    for (counts, is_incomplete) in
        [(complete, false), (Counts { complete: false, ..complete }, true), (Counts { troubled: 1, ..complete }, true)]
    {
        let mut measured = Measured::default();
        measured.run(Some(&backlog()), &counts);
        let mut expected =
            vec![("PendingEvents", vec![40_000.0]), ("OldestPendingAge", vec![901.0]), ("DeadEvents", vec![2.0])];
        expected.extend(is_incomplete.then_some(("RedriveIncomplete", vec![1.0])));
        let expected = expected.into_iter().map(|(name, values)| (name.to_owned(), values));
        assert_eq!(told(&measured), expected.collect());
        assert_eq!(measured.at_least, ["PendingEvents", "OldestPendingAge"]);
    }
    let mut by_hand = Measured::default();
    by_hand.run(None, &complete);
    assert!(by_hand.entries.is_empty());
}

/// Every path that the tests above take, in one invocation.
fn everything() -> Measured {
    let receipt = Receipt {
        conflicting: true,
        key_version: Some(KeyVersion::Previous),
        ..recorded(Answer::Accepted, Some("PAID"), &["a", "b", "c", "d"])
    };
    let outcomes = vec![
        ("a", delivered()),
        ("b", failed("server_error", 503, false)),
        ("c", failed("refused", 422, true)),
        ("d", delivered()),
    ];
    let Attempted::Made { mut after, settled } = attempted(&receipt, outcomes) else { panic!("an attempt was made") };
    after.deliveries.get_mut("d").unwrap().state = DeliveryState::Skipped;
    let attempted = Attempted::Made { after, settled };
    let mut measured = Measured::of_delivery(&receipt, Some(&attempted), false);
    let refused = Receipt { refusal: Some(Refusal::SignatureMismatch), ..self::receipt(Answer::Unauthorized) };
    for receipt in
        [self::receipt(Answer::Duplicate), self::receipt(Answer::Ignored), self::receipt(Answer::Unavailable), refused]
    {
        measured.entries.extend(Measured::of_delivery(&receipt, None, true).entries);
    }
    measured.run(Some(&backlog()), &Counts::default());
    measured
}

#[test]
fn every_metric_of_the_table_is_emitted_and_stands_there_once() {
    let mut measured = everything();
    measured.count(COLD_START, 1);
    let emitted: BTreeSet<_> = measured.entries.iter().map(|entry| entry.metric.name).collect();
    let names: BTreeSet<_> = ALL.iter().map(|metric| metric.name).collect();
    assert_eq!(emitted, names);
    assert_eq!(names.len(), ALL.len());
}

fn lines(measured: &Measured) -> Vec<Json> {
    let text = lines::text(measured, "rail-\"prod\"", RECEIVED_AT, None);
    assert!(text.ends_with('\n'));
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

#[test]
fn a_usual_invocation_is_one_line_that_names_function_form_and_code() {
    let receipt = recorded(Answer::Accepted, Some("PAID"), &["a"]);
    let attempted = attempted(&receipt, vec![("a", failed("server_error", 503, false))]);
    let lines = lines(&Measured::of_delivery(&receipt, Some(&attempted), true));
    let [line] = &lines[..] else { panic!("{lines:?}") };
    let expected = serde_json::json!({
        "_aws": {
            "Timestamp": 1_738_784_271_042_u64,
            "CloudWatchMetrics": [
                {
                    "Namespace": "Bridge",
                    "Dimensions": [["FunctionName"]],
                    "Metrics": [
                        { "Name": "Received", "Unit": "Count" },
                        { "Name": "AckLatency", "Unit": "Milliseconds" },
                        { "Name": "DeliveryLatency", "Unit": "Milliseconds" },
                    ],
                },
                {
                    "Namespace": "Bridge",
                    "Dimensions": [["FunctionName"], ["FunctionName", "Code"]],
                    "Metrics": [{ "Name": "Failed", "Unit": "Count" }],
                },
                {
                    "Namespace": "Bridge",
                    "Dimensions": [["FunctionName"], ["FunctionName", "Form"]],
                    "Metrics": [{ "Name": "Verified", "Unit": "Count" }],
                },
            ],
        },
        "FunctionName": "rail-\"prod\"",
        "Code": "server_error",
        "Form": "raw",
        "Received": 1,
        "Verified": 1,
        "AckLatency": 3.1,
        "DeliveryLatency": 41,
        "Failed": 1,
    });
    assert_eq!(line, &expected);
}

#[test]
fn a_further_code_and_a_further_hundred_durations_take_a_further_line_and_nothing_counts_twice() {
    let mut measured = everything();
    for ms in 0..250 {
        measured.duration(DELIVERY_LATENCY, f64::from(ms));
    }
    let lines = lines(&measured);
    let codes: Vec<_> = lines.iter().map(|line| line["Code"].as_str()).collect();
    // In the order of the attempt's routes, then what the other receipts added.
    assert_eq!(codes[..2], [Some("server_error"), Some("refused")]);
    for metric in ALL {
        let written = lines.iter().filter_map(|line| line.get(metric.name));
        let written: Vec<f64> = written
            .flat_map(|value| value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]))
            .map(|value| value.as_f64().unwrap())
            .collect();
        let measured = measured.entries.iter().filter(|entry| entry.metric.name == metric.name);
        let measured: Vec<f64> = measured.flat_map(|entry| entry.values.clone()).collect();
        assert_eq!(written, measured, "{}", metric.name);
    }
    let longest = lines.iter().filter_map(|line| line["DeliveryLatency"].as_array()).map(Vec::len).max();
    assert_eq!(longest, Some(100));
    assert_eq!(lines[0]["atLeast"], serde_json::json!(["PendingEvents", "OldestPendingAge"]));
    assert!(lines[1..].iter().all(|line| line.get("atLeast").is_none()));
}

#[test]
fn only_the_first_invocation_of_a_process_is_a_cold_start() {
    let meter = Meter::new("rail".to_owned(), Clock::from_fn(|| RECEIVED_AT), |_| {});
    let starts = [(); 3].map(|()| meter.text(Measured::default()).contains(r#""ColdStart":1"#));
    assert_eq!(starts, [true, false, false]);
}
