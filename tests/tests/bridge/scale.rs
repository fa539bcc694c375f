//! The sums of `docs/scale.md` and `docs/deploy.md` are those of their own assumptions, of the template and of the code.

use std::collections::BTreeMap;
use std::fs;

use shared::function::TIMEOUT;
use shared::record::event::PENDING_PARTS;
use shared::redrive::run::{AT_ONCE, STOP_BEFORE_END};
use shared::redrive::schedule::SLOTS_PER_NEIGHBOUR;

use crate::bridge::invariants::root;
use crate::bridge::template::cloudformation::{Template, holders};

/// Events a second that the tables are for.
const RATES: [f64; 3] = [10.0, 1_000.0, 10_000.0];

/// What a receiver takes for an event until the acknowledgement, and in all, in seconds.
const ACK_S: f64 = 0.015;
const EVENT_S: f64 = 0.2;

/// What an event takes of one of redrive's slots: three calls of the table and one of Returning.AI; and of a whole core.
const REDRIVE_S: f64 = 0.18;
const REDRIVE_CPU_S: f64 = 0.001;

/// Lambda gives a whole core at this memory.
const MB_OF_A_CORE: f64 = 1_769.0;

/// What an hour's outage at 1,000 events a second leaves.
const LEFT: f64 = 3_600_000.0;

/// A figure with as many digits as say something.
fn figure(value: f64) -> String {
    if value >= 10.0 {
        let (mut digits, mut text) = (format!("{value:.0}"), String::new());
        while digits.len() > 3 {
            text = format!(",{}{text}", digits.split_off(digits.len() - 3));
        }
        return digits + &text;
    }
    let text = if value >= 1.0 { format!("{value:.1}") } else { format!("{value:.2}") };
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn page(name: &str) -> String {
    fs::read_to_string(root().join("docs").join(name)).unwrap()
}

/// A row of the first table, with this figure for each of the rates.
fn row(name: &str, unit: &str, of: impl Fn(f64) -> f64) -> String {
    let cells = RATES.map(|rate| format!("{}{unit}", figure(of(rate))));
    format!("| {name} | {} |", cells.join(" | "))
}

/// Every row is in the page as it is here.
#[track_caller]
fn check_rows(rows: &[String]) {
    let page = page("scale.md");
    let missing: Vec<_> = rows.iter().filter(|row| !page.lines().any(|line| line.starts_with(row.as_str()))).collect();
    assert!(missing.is_empty(), "docs/scale.md should have\n{missing:#?}");
}

#[test]
fn the_page_on_scale_has_the_sums_of_its_assumptions() {
    let template = Template::read();
    let default = |name: &str| template.by_default(&serde_json::json!({ "Ref": name })).parse::<f64>().unwrap();
    let (parts, throttle) = (default("DueParts"), default("ThrottleRate"));
    let month = 2.592 * million().0;
    let rows = [
        row("concurrent environments", "", |rate| rate * EVENT_S),
        row("of these, before the acknowledgement", "", |rate| rate * ACK_S),
        row("write units a second of the table, and as many of the index", "", |rate| rate * 2.0),
        row(&format!("the index's in each of {parts} parts (`DueParts`)"), "", |rate| rate * 2.0 / parts),
        row(&format!("the index's in each of {PENDING_PARTS} parts"), "", |rate| rate * 2.0 / f64::from(PENDING_PARTS)),
        row("`GetSecretValue` a second", "", |rate| rate * EVENT_S * 2.0 / 300.0),
        row("TLS handshakes if all environments start at once", "", |rate| rate * EVENT_S * 3.0),
        row("session tokens a second, for each workflow", "", |rate| rate * EVENT_S / 270.0),
        row(&format!("of `ThrottleRate` ({throttle})"), " %", |rate| rate / throttle * 100.0),
        row("of the API's 10,000 requests a second", " %", |rate| rate / 100.0),
        row("of Lambda's concurrency of 1,000", " %", |rate| rate * EVENT_S / 10.0),
        row("of the 4,000 write units that a new table supports at once", " %", |rate| rate * 2.0 / 40.0),
        row("of the 40,000 write units for table and index together", " %", |rate| rate * 4.0 / 400.0),
        row("dollars a month", "", |rate| rate * month),
    ];
    check_rows(&rows);
}

#[test]
fn the_page_on_scale_says_how_long_a_drain_takes() {
    let run_s = (TIMEOUT - STOP_BEFORE_END).as_secs_f64();
    let row = |(shares, memory, workflows): (f64, f64, f64)| {
        let by_slots = (workflows * SLOTS_PER_NEIGHBOUR as f64).min(AT_ONCE as f64) / REDRIVE_S;
        let rate = by_slots.min(memory / MB_OF_A_CORE / REDRIVE_CPU_S);
        let (in_run, a_minute) = (shares * rate, shares * rate * run_s);
        let hours = LEFT / a_minute / 60.0;
        format!(
            "| {shares} | {} | {workflows} | {} | {} | {} |",
            figure(memory),
            figure(in_run),
            figure(a_minute),
            figure(hours)
        )
    };
    let template = Template::read();
    let memory = template.by_default(&serde_json::json!({ "Ref": "RedriveMemorySize" })).parse().unwrap();
    let cases = [
        (1.0, 128.0, 1.0),
        (1.0, 128.0, 4.0),
        (1.0, memory, 4.0),
        (8.0, 128.0, 4.0),
        (8.0, memory, 1.0),
        (8.0, memory, 4.0),
        (64.0, memory, 4.0),
    ];
    check_rows(&cases.map(row));
}

/// What the rows of a table of `docs/deploy.md` add up to, at least and at most; and what its last row says.
fn sum(first: &str) -> ((f64, f64), String) {
    let page = page("deploy.md");
    let table =
        page.lines().skip_while(|line| !line.starts_with(first)).skip(2).take_while(|line| line.starts_with('|'));
    let (mut least, mut most) = (0.0, 0.0);
    for row in table {
        let last = row.trim_end_matches(" |").rsplit("| ").next().unwrap();
        if let Some(told) = last.strip_prefix("**") {
            return ((least, most), told.trim_end_matches("**").to_owned());
        }
        let (from, to) = last.split_once(" to ").unwrap_or((last, last));
        least += from.parse::<f64>().unwrap();
        most += to.parse::<f64>().unwrap();
    }
    panic!("the table of {first} has no sum")
}

/// Dollars for a million events, without X-Ray and with all of it.
fn million() -> (f64, f64) {
    sum("| for each million |").0
}

#[test]
fn the_costs_of_the_guide_to_deploying_add_up() {
    for first in ["| for each million |", "| for each month |"] {
        let ((least, most), told) = sum(first);
        assert_eq!(told, format!("{least:.2} to {most:.2}"), "{first}");
    }
}

#[test]
fn the_costs_count_the_alarms_that_the_template_makes_by_default_and_their_metrics() {
    let template = Template::read();
    let alarms: Vec<_> = template
        .of_type("AWS::CloudWatch::Alarm")
        .into_iter()
        .filter(|(id, _)| template.makes(id, &BTreeMap::new()))
        .map(|(_, alarm)| alarm)
        .collect();
    let metrics: usize = alarms.iter().map(|alarm| holders(alarm, "MetricName").len()).sum();
    let row = format!(
        "| Alarms | {metrics} metrics in {} alarms, with `RedriveShares=1` | 0.10 each | {:.2} |",
        alarms.len(),
        metrics as f64 / 10.0
    );
    assert!(page("deploy.md").lines().any(|line| line == row), "docs/deploy.md should have {row}");
}
