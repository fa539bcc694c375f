//! Holds the counts of what is deployed to those in [`FILE`].

use std::fs;
use std::path::Path;

use crate::callgrind::{self, Counts};

/// The function `rail` as `cargo lambda build --release --x86-64` makes it; `.ci/run` says where.
const FUNCTION: &str = "BRIDGE_COUNTED_FUNCTION";

/// A line is a name and a count; `#` begins a comment.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.txt");

/// A count may grow by so many percent without a change of the file.
const TOLERANCE_PERCENT: u64 = 2;

/// Each is a TLS handshake.
const MOST_CONNECTIONS: usize = 2;

#[test]
fn a_start_and_an_event_take_no_more_instructions_than_before() {
    let Some(function) = std::env::var_os(FUNCTION) else {
        println!("left out: {FUNCTION} is not set; .ci/run sets it");
        return;
    };
    assert!(callgrind::is_installed(), "`valgrind` is missing. hint: install Debian's package `valgrind`");
    let counts = Counts::of(Path::new(&function), &providers::routes().workflows()).unwrap();
    let expected = fs::read_to_string(FILE).unwrap();
    let (report, grown) = compare(&expected, &counts);
    println!("{report}");
    assert!(
        grown.is_empty(),
        "More instructions than before: {grown:?}. hint: find what changed (tools/benches/README.md, \"Instructions\"). \
         If it is worth its cost, write these counts into tools/benches/instructions.txt:\n{report}"
    );
    let connections = counts.connections;
    assert!(connections <= MOST_CONNECTIONS, "{connections} connections before the first `next`");
}

/// The counts as lines of the file, each with how it differs, and the names of those that have grown or are not in it.
fn compare(expected: &str, counts: &Counts) -> (String, Vec<&'static str>) {
    let (mut report, mut grown) = (String::new(), Vec::new());
    let counts =
        [("start", counts.start), ("event", counts.event), ("delivery", counts.delivery), ("forged", counts.forged)];
    for (name, count) in counts {
        let before =
            expected.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse::<u64>().ok());
        let growth = before.map(|before| format!("{:+.2} %", (count as f64 / before as f64 - 1.0) * 100.0));
        report += &format!("{name} {count}  # {}\n", growth.as_deref().unwrap_or("new"));
        if before.is_none_or(|before| count * 100 > before * (100 + TOLERANCE_PERCENT)) {
            grown.push(name);
        }
    }
    (report, grown)
}

#[test]
fn what_has_grown_by_more_than_two_percent_or_is_not_in_the_file_is_named() {
    let counts = Counts { start: 1_020, connections: 2, event: 1_021, delivery: 900, forged: 500 };
    let file = "# instructions\nstart 1000\nevent 1000\ndelivery 1000\nforged 500\n";
    let (report, grown) = compare(file, &counts);
    assert_eq!(grown, ["event"]);
    assert_eq!(
        report,
        "start 1020  # +2.00 %\nevent 1021  # +2.10 %\ndelivery 900  # -10.00 %\nforged 500  # +0.00 %\n"
    );
    assert_eq!(compare("event 2000\ndelivery 900\nforged 500\n", &counts).1, ["start"]);
    assert!(compare(&report, &counts).1.is_empty(), "the report is what goes into the file");
}
