use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::*;
use crate::observe::metrics::{
    ACK_LATENCY, ALL, DELIVERY_LATENCY, FAILED, OLDEST_PENDING_AGE, PENDING_EVENTS, RECEIVED, VERIFIED,
};

const RECEIVED_AT: UnixMillis = UnixMillis(1_738_784_271_042);

fn lines(measured: &Measurements) -> Vec<Json> {
    let text = text(measured, "rail-\"prod\"", RECEIVED_AT, None);
    assert!(text.ends_with('\n'));
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

#[test]
fn a_usual_invocation_is_one_line_that_names_function_form_and_code() {
    let mut measured = Measurements::default();
    measured.count(RECEIVED, 1);
    measured.count_by(VERIFIED, "raw");
    measured.duration(ACK_LATENCY, 3.1);
    measured.duration(DELIVERY_LATENCY, 41.0);
    measured.count_by(FAILED, "server_error");
    let lines = lines(&measured);
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

/// Every metric of the table, with two codes.
fn everything() -> Measurements {
    let mut measured = Measurements::default();
    for metric in ALL {
        match metric.dimension {
            None => measured.count(*metric, 2),
            Some(Dimension::Code) => {
                measured.count_by(*metric, "server_error");
                measured.count_by(*metric, "refused");
            }
            Some(Dimension::Destination) => measured.count_by(*metric, "kyc"),
            Some(Dimension::Form) => measured.count_by(*metric, "raw"),
            Some(Dimension::Share) => measured.count_by(*metric, "0"),
        }
    }
    measured.gauge(PENDING_EVENTS, 40_000, true);
    measured.gauge(OLDEST_PENDING_AGE, 901, true);
    measured
}

#[test]
fn a_metric_stands_in_the_table_once() {
    let names: BTreeSet<_> = ALL.iter().map(|metric| metric.name).collect();
    assert_eq!(names.len(), ALL.len());
}

#[test]
fn a_further_code_and_a_further_hundred_durations_take_a_further_line_and_nothing_counts_twice() {
    let mut measured = everything();
    for ms in 0..250 {
        measured.duration(DELIVERY_LATENCY, f64::from(ms));
    }
    let lines = lines(&measured);
    let codes: Vec<_> = lines.iter().map(|line| line["Code"].as_str()).collect();
    // In the order in which they were counted.
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
    let meter = Meter::new("rail".to_owned(), Clock::from_fn(|| RECEIVED_AT));
    let starts = [(); 3].map(|()| meter.text(Measurements::default()).contains(r#""ColdStart":1"#));
    assert_eq!(starts, [true, false, false]);
}
