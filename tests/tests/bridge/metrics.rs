//! What CloudWatch reads in the functions' lines, and that the documentation says the same.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use local::aws::AwsFault;
use local::dynamodb::EVENTS_TABLE;
use local::faults::When;
use local::returning_ai::{At, Fault};
use local::stack::signing_secret;
use serde_json::{Value, json};
use shared::observe::metrics::{ALL, By, Dimension, FUNCTION_NAME, Means, NAMESPACE};

use crate::bridge::fixture::*;
use crate::bridge::redrive::{left, now_ms, pause};

/// The embedded metric format's limits for one line.
const MOST_METRICS: usize = 100;
const MOST_DIMENSIONS: usize = 30;
const MOST_VALUES: usize = 100;

/// What CloudWatch makes of a line: every metric under every set of dimensions, as `Name{Dimension=value,...}`.
fn extracted(line: &Value) -> Vec<(String, Vec<f64>)> {
    let meta = line["_aws"].as_object().unwrap_or_else(|| panic!("no metrics in {line}"));
    let members: BTreeSet<_> = meta.keys().map(String::as_str).collect();
    assert_eq!(members, BTreeSet::from(["CloudWatchMetrics", "Timestamp"]), "{line}");
    let age_ms = (now_s() * 1000).abs_diff(meta["Timestamp"].as_u64().unwrap());
    assert!(age_ms < 120_000, "{age_ms} ms away: milliseconds? {line}");
    let mut extracted = Vec::new();
    for directive in meta["CloudWatchMetrics"].as_array().unwrap() {
        assert_eq!(directive["Namespace"], NAMESPACE, "{line}");
        let metrics = directive["Metrics"].as_array().unwrap();
        assert!((1..=MOST_METRICS).contains(&metrics.len()), "{line}");
        let sets = directive["Dimensions"].as_array().unwrap();
        assert!(!sets.is_empty(), "{line}");
        for set in sets {
            let set = set.as_array().unwrap();
            assert!((1..=MOST_DIMENSIONS).contains(&set.len()), "{line}");
            let dimensions = set.iter().map(|dimension| {
                let dimension = dimension.as_str().unwrap();
                let value = line[dimension].as_str().unwrap_or_else(|| panic!("{dimension} has no value in {line}"));
                assert!((1..=1024).contains(&value.len()), "{line}");
                format!("{dimension}={value}")
            });
            let dimensions = dimensions.collect::<Vec<_>>().join(",");
            for metric in metrics {
                let name = metric["Name"].as_str().unwrap();
                let known = ALL.iter().find(|known| known.name == name);
                let known = known.unwrap_or_else(|| panic!("{name} is not in the table"));
                assert_eq!(metric["Unit"], known.unit.name(), "{line}");
                let values = match &line[name] {
                    Value::Array(values) => values.clone(),
                    value => vec![value.clone()],
                };
                assert!((1..=MOST_VALUES).contains(&values.len()), "{line}");
                let values = values.iter().map(|value| value.as_f64().unwrap_or_else(|| panic!("{value} in {line}")));
                extracted.push((format!("{name}{{{dimensions}}}"), values.collect()));
            }
        }
    }
    extracted
}

impl Bridge {
    /// The lines with metrics, once `invocations` of functions have written theirs.
    async fn metric_lines(&self, invocations: usize) -> Vec<Value> {
        self.settled().await;
        let of = |line: &Value| line["_aws"].is_object();
        let invocations_in =
            |lines: &[Value]| lines.iter().map(|line| line["requestId"].to_string()).collect::<BTreeSet<_>>().len();
        let read = |lines: &mut dyn Iterator<Item = &String>| {
            lines.map(|line| serde_json::from_str(line).unwrap()).filter(of).collect::<Vec<Value>>()
        };
        let written =
            self.stack.log().wait_until(|lines| invocations_in(&read(&mut lines.iter())) >= invocations, BOUND);
        written.await.unwrap();
        let lines = read(&mut self.stack.log().lines().iter());
        assert_eq!(invocations_in(&lines), invocations);
        lines
    }

    /// The sum of a metric as CloudWatch has it after `invocations`.
    pub(crate) async fn sum(&self, metric: &str, invocations: usize) -> f64 {
        let lines = self.metric_lines(invocations).await;
        let all = lines.iter().flat_map(extracted);
        all.filter(|(name, _)| name == metric).flat_map(|(_, values)| values).sum()
    }
}

#[tokio::test]
async fn every_metric_reaches_cloudwatch_from_a_real_function() {
    let bridge = Bridge::with(one_process).await;
    let wrong = Delivery::signed_by(RAIL, "another key", deposit("e1"));
    for (delivery, answer) in [
        (Delivery::signed(RAIL, deposit("e1")), ACCEPTED),
        (Delivery::signed(RAIL, deposit("e1")), DUPLICATE),
        (Delivery::signed(RAIL, deposit("e1").replace("1000.00", "1.00")), DUPLICATE),
        (Delivery::signed(RAIL, deposit("e2").replace("DEPOSIT", "OTHER")), IGNORED),
        (Delivery::signed(RAIL, r#"{"event_id":"e3","event_type":"NEVER_HEARD_OF"}"#), IGNORED),
        (Delivery::signed(RAIL, r#"{"event_id":"e4"}"#), ACCEPTED),
        (Delivery::signed(RAIL, withdrawal("e1")), ACCEPTED),
        (Delivery::signed(RAIL, "[]"), BAD_REQUEST),
        (Delivery::signed(RAIL, " ".repeat(256 * 1024 + 1)), TOO_LARGE),
        // As Rillis signs it, it has more than 256 KiB: each number is printed with 21 digits.
        (Delivery::signed_by(RILLIS, "another key", format!("[{}1]", "1e20,".repeat(15_000))), UNAUTHORIZED),
        (wrong.clone(), UNAUTHORIZED),
        (wrong.without(header("x-rail-signature")), UNAUTHORIZED),
    ] {
        assert_eq!(bridge.send(&delivery).await.told(), answer);
    }
    bridge.settled().await;
    bridge.stack.dynamodb.inject(Some("PutItem"), AwsFault::InternalError, When::UntilCleared);
    assert_eq!(bridge.post(RAIL, deposit("e5")).await.told(), UNAVAILABLE);
    bridge.stack.dynamodb.clear_faults();
    let at = Some(At::Webhook("deposit".to_owned()));
    bridge.stack.returning_ai.inject(at, Fault::Status(422), When::Next(1));
    assert_eq!(bridge.post(RAIL, deposit("e6")).await.told(), ACCEPTED);
    bridge.settled().await;
    // Somebody deletes the record while its message is on its way.
    let slow = Fault::SlowBody(Duration::from_secs(1));
    bridge.stack.returning_ai.inject(Some(At::Webhook("withdrawal".to_owned())), slow, When::Next(1));
    let before = bridge.stack.returning_ai.attempts().len();
    assert_eq!(bridge.post(RAIL, withdrawal("e11")).await.told(), ACCEPTED);
    bridge.stack.returning_ai.wait_for(|attempts| attempts.len() > before, BOUND).await.unwrap();
    bridge.stack.dynamodb.delete("rail#e11").unwrap();
    bridge.settled().await;
    // A new process knows both keys.
    bridge
        .stack
        .secrets_manager
        .put(&signing_secret(RAIL), &json!({ "keys": { "new": "a newer key", "empty": "" } }))
        .unwrap();
    bridge.function(RAIL).kill(bridge.function(RAIL).pids()[0]);
    assert_eq!(bridge.post(RAIL, deposit("e7")).await.told(), ACCEPTED);
    bridge.settled().await;
    // A workflow that hangs is called once.
    let at = Some(At::Webhook("withdrawal".to_owned()));
    bridge.stack.returning_ai.inject(at, Fault::Hang, When::Next(1));
    for id in ["e9", "e10"] {
        assert_eq!(bridge.post(RAIL, withdrawal(id)).await.told(), ACCEPTED);
        bridge.settled().await;
    }
    // A process that cannot read whether a workflow is paused.
    bridge.stack.dynamodb.inject(Some("BatchGetItem"), AwsFault::Refuse, When::UntilCleared);
    bridge.function(RAIL).kill(bridge.function(RAIL).pids()[0]);
    assert_eq!(bridge.post(RAIL, withdrawal("e8")).await.told(), ACCEPTED);
    bridge.settled().await;
    bridge.stack.dynamodb.clear_faults();
    // A customer who has not registered for three days.
    left(&bridge, RILLIS, "nobody", |item| {
        let body = flow_completed("nobody").replace(r#""metadata":{"customerId":"C-1001"},"#, "");
        item["body"] = json!({ "B": STANDARD.encode(body) });
        item["received_at"] = json!({ "N": ((now_s() - 73 * 3600) * 1000).to_string() });
    });
    // A run that cannot read what is due.
    bridge.stack.dynamodb.inject(Some("Query"), AwsFault::Refuse, When::UntilCleared);
    bridge.redrive(json!({})).await;
    bridge.stack.dynamodb.clear_faults();
    bridge.redrive(json!({})).await;

    let lines = bridge.metric_lines(21).await;
    let mut seen = BTreeSet::new();
    for line in &lines {
        let function = line[FUNCTION_NAME].as_str().unwrap();
        for (name, _) in extracted(line) {
            let metric = ALL.iter().find(|metric| name.starts_with(&format!("{}{{", metric.name))).unwrap();
            let by = if function == "redrive" { By::Redrive } else { By::Receivers };
            assert!(metric.by == By::All || metric.by == by, "{name} by {function}");
            seen.insert(metric.name);
        }
    }
    let all: BTreeSet<_> = ALL.iter().map(|metric| metric.name).collect();
    assert_eq!(&all - &seen, BTreeSet::new());

    for (metric, expected) in [
        ("Received{FunctionName=rail}", 18.0),
        ("Refused{FunctionName=rail}", 4.0),
        ("TooLarge{FunctionName=rail}", 1.0),
        ("SignedAndRefused{FunctionName=rail}", 1.0),
        ("Refused{FunctionName=rail,Code=signature_mismatch}", 1.0),
        ("Refused{FunctionName=rail,Code=header_missing}", 1.0),
        ("Unavailable{FunctionName=rail,Code=table_unavailable}", 1.0),
        ("Duplicate{FunctionName=rail}", 2.0),
        ("ConflictingDuplicate{FunctionName=rail}", 1.0),
        ("IdConflict{FunctionName=rail}", 1.0),
        ("Ignored{FunctionName=rail}", 2.0),
        ("UnknownEventType{FunctionName=rail}", 2.0),
        ("AcceptedByPreviousKey{FunctionName=rail}", 4.0),
        ("Verified{FunctionName=rail,Form=raw}", 14.0),
        // The first deposit goes two ways, the later ones of the same customer go one.
        ("Delivered{FunctionName=rail}", 4.0),
        ("Skipped{FunctionName=rail}", 2.0),
        ("Dead{FunctionName=rail}", 2.0),
        ("EventGone{FunctionName=rail}", 1.0),
        ("Failed{FunctionName=rail,Code=refused}", 1.0),
        ("Failed{FunctionName=rail,Code=timeout}", 1.0),
        ("DispatchFailed{FunctionName=rail,Destination=withdrawal}", 1.0),
        ("DispatchFailed{FunctionName=rail}", 1.0),
        ("CoolingOff{FunctionName=rail}", 1.0),
        ("ColdStart{FunctionName=rail}", 3.0),
        ("PausesUnreadable{FunctionName=rail}", 1.0),
        ("ColdStart{FunctionName=redrive}", 1.0),
        ("RedriveIncomplete{FunctionName=redrive}", 1.0),
        ("DeadWithoutCustomer{FunctionName=redrive}", 1.0),
        ("Dead{FunctionName=redrive}", 0.0),
        ("RedriveRuns{FunctionName=redrive,Share=0}", 2.0),
        ("DeadEvents{FunctionName=redrive}", 4.0),
    ] {
        assert_eq!(bridge.sum(metric, 21).await, expected, "{metric}");
    }
    let bounds = lines.iter().filter_map(|line| line["AckLatency"].as_f64());
    assert!(bounds.into_iter().all(|ms| (0.0..4000.0).contains(&ms)));
}

#[tokio::test]
async fn an_invocation_s_lines_are_known_by_its_request_and_trace() {
    let bridge = Bridge::start().await;
    assert_eq!(bridge.post(RAIL, deposit("e1")).await.told(), ACCEPTED);
    let metrics = bridge.metric_lines(1).await.remove(0);
    let log = bridge.last_line().await;
    assert_eq!((&metrics["requestId"], &metrics["traceId"]), (&log["requestId"], &log["traceId"]));
    assert_eq!(metrics["requestId"].as_str().unwrap().len(), 36);
    assert_eq!(metrics["traceId"].as_str().unwrap().len(), "1-67891233-abcdef012345678912345678".len());
}

#[tokio::test]
async fn nothing_is_written_before_the_answer_is_in() {
    let bridge = Bridge::start().await;
    bridge.function(RAIL).set_kill_after_ack(true);
    for delivery in [
        Delivery::signed(RAIL, deposit("e1")),
        Delivery::signed(RAIL, r#"{"event_id":"e2","event_type":"ACCOUNT_DORMANT"}"#),
        Delivery::signed_by(RAIL, "another key", deposit("e3")),
    ] {
        assert!([200, 401].contains(&bridge.send(&delivery).await.status));
        bridge.settled().await;
    }
    assert_eq!(bridge.stack.log().lines(), [""; 0]);
}

#[tokio::test]
async fn an_event_whose_routes_fail_differently_has_a_line_for_each_code() {
    let bridge = Bridge::with(|options| options.workflows.extend(["money", "vip"].map(str::to_owned))).await;
    let function = many_routes(&bridge);
    let returning_ai = &bridge.stack.returning_ai;
    returning_ai.inject(Some(At::Webhook("money".to_owned())), Fault::Status(422), When::UntilCleared);
    returning_ai.inject(Some(At::Webhook("vip".to_owned())), Fault::Status(500), When::UntilCleared);
    assert_eq!(bridge.deliver_to(&function, &Delivery::signed(RAIL, deposit("e1"))).await.unwrap().0, 200);
    within(function.idle()).await;

    let lines = bridge.metric_lines(1).await;
    let failed: Vec<_> = lines.iter().map(|line| (line["Code"].as_str(), line["Failed"].as_f64())).collect();
    assert_eq!(failed, [(Some("refused"), Some(2.0)), (Some("server_error"), Some(1.0))]);
    for (metric, expected) in [
        ("Received{FunctionName=rail}", 1.0),
        ("Failed{FunctionName=rail}", 3.0),
        ("Failed{FunctionName=rail,Code=refused}", 2.0),
        ("Failed{FunctionName=rail,Code=server_error}", 1.0),
        ("Dead{FunctionName=rail}", 2.0),
    ] {
        assert_eq!(bridge.sum(metric, 1).await, expected, "{metric}");
    }
}

#[tokio::test]
async fn redrive_tells_how_much_waits_and_how_long_the_oldest_has_waited() {
    let bridge = Bridge::start().await;
    let ms_ago = |seconds: u64| json!({ "N": ((now_s() - seconds) * 1000).to_string() });
    left(&bridge, RAIL, "due", |item| item["received_at"] = ms_ago(60));
    left(&bridge, RILLIS, "later", |item| {
        item["received_at"] = ms_ago(1200);
        item["next_attempt_at"] = json!({ "N": (now_s() + 3000).to_string() });
    });
    // A customer who may never register.
    left(&bridge, RILLIS, "nobody's", |item| {
        let at = json!({ "N": (now_s() + 900).to_string() });
        let route = &route_of_wanted(RILLIS).name;
        item["received_at"] = ms_ago(86_400);
        item["next_attempt_at"] = at.clone();
        item["waits_for"] = json!({ "M": { route: at, format!("customer:{route}"): at } });
    });
    for id in ["dead1", "dead2", "dead3"] {
        left(&bridge, RAIL, id, |item| {
            item["received_at"] = ms_ago(86_400);
            item["state"] = json!({ "S": "dead" });
            item["due"] = json!({ "S": "d0" });
        });
    }
    bridge.redrive(json!({})).await;
    let line = bridge.metric_lines(1).await.remove(0);
    assert_eq!((&line["PendingEvents"], &line["DeadEvents"]), (&json!(3), &json!(3)), "{line}");
    assert!((1200.0..1260.0).contains(&line["OldestPendingAge"].as_f64().unwrap()), "{line}");
    assert_eq!(line.get("atLeast"), None, "{line}");
    assert_eq!((&line["Delivered"], line.get("RedriveIncomplete")), (&json!(1), None), "{line}");
    assert!((60_000.0..120_000.0).contains(&line["AgeAtDelivery"].as_f64().unwrap()), "{line}");

    // By hand nobody asks how much else waits.
    bridge.redrive(json!({ "keys": ["rillis#later"] })).await;
    let line = bridge.metric_lines(2).await.pop().unwrap();
    assert_eq!((&line["Delivered"], line.get("PendingEvents")), (&json!(1), None), "{line}");

    bridge.redrive(json!({ "share": [0, 8] })).await;
    let line = bridge.metric_lines(3).await.pop().unwrap();
    assert_eq!((&line["PendingEvents"], &line["OldestPendingAge"]), (&json!(1), &json!(0)), "{line}");
}

#[tokio::test]
async fn what_is_only_counted_or_read_in_part_says_so() {
    let bridge = Bridge::start().await;
    let old = now_s() - 5000;
    // Of 5,100 such entries, a page holds some 3,500.
    let long_name = "a".repeat(200);
    for n in 0..5_100_u64 {
        left(&bridge, RAIL, &format!("e{n}"), |item| {
            item["due"] = json!({ "S": "p3" });
            item["received_at"] = json!({ "N": (old * 1000).to_string() });
            item["next_attempt_at"] = json!({ "N": (now_s() + 600 + n).to_string() });
            item["waits_for"] = json!({ "M": { &long_name: { "N": (now_s() + 600).to_string() } } });
        });
    }
    // Received first, and due before all others.
    left(&bridge, RAIL, "held back", |item| {
        item["due"] = json!({ "S": "p3" });
        item["received_at"] = json!({ "N": ((old - 10_000) * 1000).to_string() });
        item["next_attempt_at"] = json!({ "N": (now_s() - 60).to_string() });
        item["deliveries"] = json!({ "M": {} });
    });
    bridge.redrive(json!({})).await;
    let line = bridge.metric_lines(1).await.remove(0);
    assert_eq!(line["atLeast"], json!(["PendingEvents", "OldestPendingAge"]), "{line}");
    assert!((1_000..5_100).contains(&line["PendingEvents"].as_u64().unwrap()), "{line}");
    assert!((15_000.0..15_300.0).contains(&line["OldestPendingAge"].as_f64().unwrap()), "{line}");
}

/// A part with more than 512 entries is measured by its ends.
#[tokio::test]
async fn an_old_event_in_the_midst_of_a_thousand_that_are_paused_is_the_oldest() {
    let bridge = Bridge::start().await;
    pause(&bridge, workflow_of_wanted(RAIL), now_ms(), None);
    let due = |n: u64| {
        move |item: &mut Value| {
            item["due"] = json!({ "S": "p3" });
            item["next_attempt_at"] = json!({ "N": (now_s() - 2_000 + n).to_string() });
        }
    };
    for n in 0..1_000 {
        left(&bridge, RAIL, &format!("paused-{n}"), due(n));
    }
    left(&bridge, RILLIS, "old", |item| {
        due(500)(item);
        item["received_at"] = json!({ "N": ((now_s() - 1_200) * 1000).to_string() });
    });
    // Another share measures no backlog, and has none of these.
    for (runs, share, expected) in [(1, [2, 8], None), (2, [3, 8], Some(1_200.0..1_260.0))] {
        bridge.redrive(json!({ "share": share })).await;
        let line = bridge.metric_lines(runs).await.pop().unwrap();
        let oldest = line.get("OldestPendingAge").and_then(Value::as_f64);
        assert_eq!(oldest.is_some(), expected.is_some(), "{line}");
        assert!(oldest.is_none_or(|oldest| expected.unwrap().contains(&oldest)), "{line}");
    }
    left(&bridge, RILLIS, "older", |item| {
        due(500)(item);
        item["received_at"] = json!({ "N": ((now_s() - 2_400) * 1000).to_string() });
    });
    bridge.redrive(json!({})).await;
    let line = bridge.metric_lines(3).await.pop().unwrap();
    assert_eq!((&line["PendingEvents"], &line["Delivered"]), (&json!(1_001), &json!(1)), "{line}");
    assert!((2_400.0..2_460.0).contains(&line["OldestPendingAge"].as_f64().unwrap()), "{line}");
}

#[tokio::test]
async fn without_its_figures_redrive_works_all_the_same() {
    let bridge = Bridge::start().await;
    left(&bridge, RAIL, "e1", |_| {});
    bridge.stack.dynamodb.inject(Some("Scan"), AwsFault::Hang, When::UntilCleared);
    assert_eq!(bridge.redrive(json!({})).await["delivered"], 1);
    let line = bridge.metric_lines(1).await.remove(0);
    assert_eq!((&line["Delivered"], line.get("PendingEvents"), line.get("DeadEvents")), (&json!(1), None, None));
    bridge.stack.log().wait_for("the backlog could not be measured in time", BOUND).await.unwrap();
    assert!(bridge.stack.dynamodb.item("rail#e1").is_some_and(|item| item["state"] == "delivered"));
    assert_eq!(bridge.stack.dynamodb.items().len(), 1, "{EVENTS_TABLE}");
}

#[test]
fn the_documentation_has_the_table_of_the_code() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md")).unwrap();
    let documented: Vec<_> = page.lines().filter(|line| line.starts_with("| `")).collect();
    let expected: Vec<_> = ALL
        .iter()
        .map(|metric| {
            let by = match metric.by {
                By::Receivers => "receivers",
                By::Redrive => "`redrive`",
                By::All => "all",
            };
            let dimension = metric.dimension.map_or("", Dimension::name);
            let dimension = if dimension.is_empty() { "–".to_owned() } else { format!("`{dimension}`") };
            let alarm = if metric.means == Means::Harm { "yes" } else { "" };
            format!(
                "| `{}` | {} | {by} | {dimension} | {alarm} | {} |",
                metric.name,
                metric.unit.name(),
                metric.meaning
            )
        })
        .collect();
    assert_eq!(documented, expected, "the rows should be\n{}", expected.join("\n"));
}
