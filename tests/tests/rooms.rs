//! The structure of the workspace: who may import whom, and what only one file may do. ARCHITECTURE.md has the table of
//! rooms; these tests read it and hold it against the sources and manifests.
#![expect(clippy::unwrap_used, reason = "a test that unwraps fails where it should")]

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::LazyLock;

use local::stack::FUNCTIONS;
use rooms::invariants::{CLOCK, ENVIRONMENT, IN_PROCESS, INSTANT, PRINT, SPAWN};
use rooms::rules::Scan;

mod rooms {
    pub(crate) mod circles;
    pub(crate) mod imports;
    pub(crate) mod invariants;
    pub(crate) mod rules;
    pub(crate) mod source;
    pub(crate) mod table;
    pub(crate) mod workspace;

    mod tests;
}

static SCAN: LazyLock<Scan> = LazyLock::new(|| Scan::of(rooms::workspace::files()));

#[test]
fn every_room_is_in_the_table_and_on_the_disk() {
    check(&SCAN.rooms());
}

#[test]
fn nothing_is_imported_against_the_table() {
    check(&SCAN.imports());
}

#[test]
fn neither_modules_nor_crates_import_each_other_in_a_circle() {
    check(&SCAN.circles());
}

#[test]
fn only_verify_makes_a_verified_event() {
    check(&SCAN.forgeries());
}

#[test]
fn only_the_clock_reads_the_time_of_day() {
    check(&SCAN.strays(&CLOCK));
    check(&SCAN.strays(&INSTANT));
}

#[test]
fn only_the_config_reads_the_environment() {
    check(&SCAN.strays(&ENVIRONMENT));
}

#[test]
fn only_the_terminal_prints() {
    check(&SCAN.strays(&PRINT));
}

#[test]
fn nothing_is_spawned_that_could_outlive_its_invocation() {
    check(&SCAN.strays(&SPAWN));
}

#[test]
fn only_the_simulation_has_an_http_client_that_ends_in_its_process() {
    check(&SCAN.strays(&IN_PROCESS));
}

#[test]
fn shared_and_redrive_name_no_provider() {
    check(&SCAN.names("shared/"));
    check(&SCAN.names("functions/redrive/"));
}

#[test]
fn providers_do_not_know_each_other() {
    let providers = SCAN.providers();
    assert!(providers.len() >= 2, "{providers:?}");
    for provider in providers {
        check(&SCAN.names(&format!("functions/{provider}/")));
    }
}

#[test]
fn cargo_run_and_cargo_test_compile_each_dependency_once() {
    let functions = FUNCTIONS.iter().flat_map(|function| ["-p", function]);
    let run = dependencies(["-p", "bridge", "-e", "normal,build"].into_iter().chain(functions));
    let tested = dependencies(["--workspace", "-e", "normal,build,dev"]);
    assert!(run.len() > 100, "{run:?}");
    let twice: Vec<_> = run.difference(&tested).collect();
    assert!(twice.is_empty(), "the tests want other features; add them to tools/cli/Cargo.toml: {twice:#?}");
}

/// Every crate from a registry that these arguments select, with its features.
fn dependencies(selection: impl IntoIterator<Item = &'static str>) -> BTreeSet<String> {
    let mut tree = Command::new(env!("CARGO"));
    tree.args(["tree", "--locked", "--offline", "--prefix", "none", "--format", "{p} [{f}]"]);
    let listed = tree.args(selection).current_dir(rooms::workspace::root()).output().unwrap();
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let lines = String::from_utf8(listed.stdout).unwrap();
    let lines = lines.lines().filter(|line| !line.contains(" (/"));
    // What was listed above is marked.
    lines.map(|line| line.trim_end_matches(" (*)").to_owned()).collect()
}

#[track_caller]
fn check(findings: &[String]) {
    assert!(findings.is_empty(), "{} findings:\n{}\n", findings.len(), findings.join("\n"));
}
