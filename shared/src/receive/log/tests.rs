use std::collections::BTreeSet;
use std::time::Duration;

use super::*;
use crate::clock::UnixMillis;
use crate::deliver::attempt::AttemptReport;
use crate::observe::metrics::{ALL, By};
use crate::receive::provider::HeaderPart;
use crate::receive::receipt::InternalError;
use crate::record::event::{AttemptBy, DispatchOutcome, DispatchSuccess, EventRecord};
use crate::record::failure::{DispatchFailure, FailureCode};
use crate::record::retry_plan::Draw;
use crate::record::store::SettleOutcome;
use crate::record::store::error::StoreError;
use crate::testing::by_metric;

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
fn attempted(receipt: &Receipt, outcomes: Vec<(&str, DispatchOutcome)>) -> AttemptOutcome {
    let outcomes: Vec<_> = outcomes.into_iter().map(|(route, outcome)| (route.to_owned(), outcome)).collect();
    let (began, ended) = (RECEIVED_AT.0 + 20, RECEIVED_AT.0 + 61);
    let event = receipt.event.as_ref().unwrap();
    let after =
        event.settle(AttemptBy::First, &outcomes, UnixMillis(began), UnixMillis(ended), |_| Duration::ZERO, Draw(0.5));
    AttemptOutcome::Made(Box::new(AttemptReport {
        outcomes,
        after,
        failed: Vec::new(),
        pauses_unreadable: 0,
        settled: Ok(SettleOutcome::Written),
    }))
}

fn delivered() -> DispatchOutcome {
    Ok(DispatchSuccess::Delivered { http_status: 200 })
}

fn failed(code: FailureCode, status: u16) -> DispatchOutcome {
    Err(DispatchFailure { status: Some(status), ..code.into() })
}

/// What is measured of a delivery besides that it was received and answered.
#[track_caller]
fn check(receipt: &Receipt, attempted: Option<&AttemptOutcome>, type_is_known: bool, expected: &[(&str, &[f64])]) {
    let mut measured = by_metric(&measure_delivery(receipt, attempted, type_is_known));
    assert_eq!(measured.remove("Received"), Some(vec![1.0]));
    assert_eq!(measured.remove("AckLatency"), Some(vec![3.1]));
    let expected = expected.iter().map(|(name, values)| ((*name).to_owned(), values.to_vec()));
    assert_eq!(measured, expected.collect());
}

#[test]
fn what_was_refused_is_counted_by_its_code() {
    let refused = |refusal| Receipt { refusal: Some(refusal), ..receipt(Answer::Unauthorized) };
    for (receipt, expected) in [
        (refused(Refusal::HeaderMissing(HeaderPart::Whole("x"))), "Refused header_missing"),
        (refused(Refusal::OutsideTolerance { skew_s: 301 }), "Refused outside_tolerance"),
        (refused(Refusal::SignatureMismatch { form_left_out: false }), "Refused signature_mismatch"),
        (
            Receipt { refusal: Some(Refusal::HeaderMissing(HeaderPart::Whole("x"))), ..receipt(Answer::TooLarge) },
            "Refused header_missing",
        ),
        (receipt(Answer::BadRequest), "Refused bad_request"),
        (receipt(Answer::NotFound), "Refused not_found"),
        (receipt(Answer::MethodNotAllowed), "Refused method_not_allowed"),
    ] {
        check(&receipt, None, false, &[(expected, &[1.0])]);
    }
}

#[test]
fn what_is_signed_and_refused_counts_apart_from_what_is_too_large_to_be_looked_at() {
    let refused: (&str, &[f64]) = ("Refused too_large", &[1.0]);
    check(&receipt(Answer::TooLarge), None, false, &[refused, ("TooLarge", &[1.0])]);
    let no_item_holds_it = recorded(Answer::TooLarge, Some("PAID"), &["first"]);
    let expected: [(&str, &[f64]); 3] = [("Verified raw", &[1.0]), refused, ("SignedAndRefused", &[1.0])];
    check(&no_item_holds_it, None, true, &expected);
    let no_object = Receipt { refusal: Some(Refusal::BodyNotAnObject), ..receipt(Answer::BadRequest) };
    check(&no_object, None, false, &[("Refused body_not_an_object", &[1.0]), ("SignedAndRefused", &[1.0])]);
}

#[test]
fn the_bound_on_what_verifying_may_cost_is_counted_where_it_is_met() {
    let refusal = Some(Refusal::SignatureMismatch { form_left_out: true });
    let left_out = Receipt { refusal, ..receipt(Answer::Unauthorized) };
    let expected: [(&str, &[f64]); 2] =
        [("Refused signature_mismatch", &[1.0]), ("VerificationBound form_left_out", &[1.0])];
    check(&left_out, None, false, &expected);
    let many_keys = Receipt { too_many_keys: true, ..receipt(Answer::Duplicate) };
    let expected: [(&str, &[f64]); 2] = [("Duplicate", &[1.0]), ("VerificationBound too_many_keys", &[1.0])];
    check(&many_keys, None, false, &expected);
}

#[test]
fn what_could_not_be_recorded_is_counted_by_what_was_in_the_way() {
    let error = InternalError { code: "secret_unreachable", text: "secret `signing` cannot be read".to_owned() };
    let without_keys = Receipt { error: Some(error), ..receipt(Answer::Unavailable) };
    check(&without_keys, None, false, &[("Unavailable secret_unreachable", &[1.0])]);

    let error = InternalError { code: "table_unavailable", text: "table `events` cannot be used".to_owned() };
    let previous = Some(KeyVersion::Previous);
    let recorded = recorded(Answer::Unavailable, Some("PAID"), &["first"]);
    let not_recorded = Receipt { error: Some(error), key_version: previous, ..recorded };
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

    let known_id = Receipt { conflicts_with: Some("evt_0".to_owned()), ..recorded(Answer::Ignored, Some("PAID"), &[]) };
    check(&known_id, None, true, &[verified, ("Ignored", &[1.0]), ("IdConflict", &[1.0])]);
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
        ("b", failed(FailureCode::ServerError, 503)),
        ("c", failed(FailureCode::Refused, 422)),
        ("d", failed(FailureCode::ServerError, 500)),
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
    let unavailable = StoreError::Unavailable { table: "events".to_owned(), reason: "timeout".to_owned() };
    for settled in [Ok(SettleOutcome::Superseded), Err(unavailable)] {
        let outcomes = vec![("a", delivered()), ("b", failed(FailureCode::ServerError, 503))];
        let mut attempted = attempted(&receipt, outcomes);
        let AttemptOutcome::Made(report) = &mut attempted else { panic!("an attempt was made") };
        report.settled = settled;
        let expected: [(&str, &[f64]); 3] =
            [("Verified raw", &[1.0]), ("DeliveryLatency", &[41.0]), ("Failed server_error", &[1.0])];
        check(&receipt, Some(&attempted), true, &expected);
    }
}

#[test]
fn an_attempt_whose_record_is_gone_is_counted_as_that_alone() {
    let receipt = recorded(Answer::Accepted, Some("PAID"), &["a"]);
    let mut attempted = attempted(&receipt, vec![("a", delivered())]);
    let AttemptOutcome::Made(report) = &mut attempted else { panic!("an attempt was made") };
    report.settled = Ok(SettleOutcome::Gone);
    let expected: [(&str, &[f64]); 3] = [("Verified raw", &[1.0]), ("DeliveryLatency", &[41.0]), ("EventGone", &[1.0])];
    check(&receipt, Some(&attempted), true, &expected);
}

#[test]
fn every_metric_of_the_table_but_redrive_s_and_the_cold_start_is_counted() {
    let receipt = Receipt {
        conflicting: true,
        conflicts_with: Some("evt_0".to_owned()),
        key_version: Some(KeyVersion::Previous),
        dated_by_signature: true,
        ..recorded(Answer::Accepted, Some("PAID"), &["a", "b", "c", "d"])
    };
    let outcomes = vec![
        ("a", delivered()),
        ("b", failed(FailureCode::ServerError, 503)),
        ("c", failed(FailureCode::Refused, 422)),
        ("d", Ok(DispatchSuccess::Skipped)),
    ];
    let mut attempted = attempted(&receipt, outcomes);
    if let AttemptOutcome::Made(report) = &mut attempted {
        report.failed.push("kyc".to_owned());
    }
    let mut measured = vec![measure_delivery(&receipt, Some(&attempted), false)];
    let refused = Receipt {
        refusal: Some(Refusal::SignatureMismatch { form_left_out: true }),
        ..self::receipt(Answer::Unauthorized)
    };
    let no_object = Receipt { refusal: Some(Refusal::BodyNotAnObject), ..self::receipt(Answer::BadRequest) };
    let others = [Answer::Duplicate, Answer::Ignored, Answer::Unavailable, Answer::TooLarge].map(self::receipt);
    for receipt in others.into_iter().chain([refused, no_object]) {
        measured.push(measure_delivery(&receipt, None, true));
    }
    let event = recorded(Answer::Accepted, Some("PAID"), &["a"]);
    for left in [AttemptOutcome::PausesUnreadable, AttemptOutcome::CoolingOff] {
        measured.push(measure_delivery(&event, Some(&left), true));
    }
    let counted: BTreeSet<_> = measured.iter().flat_map(|measured| by_metric(measured).into_keys()).collect();
    let counted: BTreeSet<_> = counted.iter().filter_map(|metric| metric.split(' ').next()).collect();
    let of_receivers = ALL.iter().filter(|metric| metric.by != By::Redrive && metric.name != "ColdStart");
    // Nobody waits 72 hours for a first attempt, and a record that is gone and a flawed secret have tests of their own.
    let of_receivers = of_receivers
        .filter(|metric| !["DeadWithoutCustomer", "EventGone", "SecretEntryLeftOut"].contains(&metric.name));
    assert_eq!(counted, of_receivers.map(|metric| metric.name).collect());
}
