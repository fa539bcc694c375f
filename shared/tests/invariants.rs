//! What must not be there, looked for in the sources.

#![allow(clippy::unwrap_used, reason = "clippy.toml allows it in test functions; some of these are called by them")]

use std::fs;
use std::path::{Path, PathBuf};

/// Code that ships: no test modules, and of each file what stands above its `#[cfg(test)]`.
struct Source {
    /// From the workspace's root, with `/`.
    path: String,
    code: String,
}

const PROVIDERS: [&str; 2] = ["rail", "rillis"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

#[track_caller]
fn sources(folders: &[&str]) -> Vec<Source> {
    let mut sources = Vec::new();
    let mut open: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() {
                open.push(path);
            } else if name.ends_with(".rs") && name != "tests.rs" && name != "testing.rs" {
                let text = fs::read_to_string(&path).unwrap();
                let (code, tests) = text.split_once("#[cfg(test)]\n").unwrap_or((&text, ""));
                let path = path.strip_prefix(root()).unwrap().to_str().unwrap().replace('\\', "/");
                // Below it stand the tests and nothing else, or this would look at too little.
                let declared = tests.is_empty() || tests.trim_start_matches("pub(crate) ").starts_with("mod test");
                assert!(declared && tests.matches("\n}\n").count() <= 1, "{path}: code below #[cfg(test)]");
                sources.push(Source { path, code: code.to_owned() });
            }
        }
    }
    assert!(sources.len() >= folders.len(), "no sources, so nothing was looked at");
    sources
}

/// The files in which a line fits, each line as `path:line: text`.
fn places(sources: &[Source], fits: impl Fn(&str) -> bool) -> Vec<String> {
    let lines = |source: &Source| {
        let numbered = (1..).zip(source.code.lines());
        let fitting = numbered.filter(|(_, line)| fits(line));
        fitting.map(|(number, line)| format!("{}:{number}: {}", source.path, line.trim())).collect::<Vec<_>>()
    };
    sources.iter().flat_map(lines).collect()
}

/// Only `owner` has such lines, and it has some: else the search looks for the wrong thing.
#[track_caller]
fn check_owner(folders: &[&str], fits: impl Fn(&str) -> bool, owner: &str) {
    let places = places(&sources(folders), fits);
    let (owned, strays): (Vec<_>, Vec<_>) =
        places.into_iter().partition(|place| place.starts_with(&format!("{owner}:")));
    assert!(strays.is_empty(), "only {owner} may do this:\n{}", strays.join("\n"));
    assert!(!owned.is_empty(), "{owner} does not do it either");
}

#[track_caller]
fn check_nowhere(folders: &[&str], fits: impl Fn(&str) -> bool) {
    let places = places(&sources(folders), fits);
    assert!(places.is_empty(), "{}", places.join("\n"));
}

fn has_word(line: &str, word: &str) -> bool {
    line.split(|c: char| !c.is_ascii_alphanumeric()).any(|part| part.eq_ignore_ascii_case(word))
}

const OURS: &[&str] = &["shared/src", "functions"];

#[test]
fn shared_names_no_provider() {
    for provider in PROVIDERS {
        check_nowhere(&["shared/src"], |line| has_word(line, provider));
    }
}

#[test]
fn providers_do_not_know_each_other() {
    for (provider, other) in [("rail", "rillis"), ("rillis", "rail")] {
        check_nowhere(&[&format!("functions/{provider}/src")], |line| has_word(line, other));
        let manifest = fs::read_to_string(root().join(format!("functions/{provider}/Cargo.toml"))).unwrap();
        assert!(!has_word(&manifest, other), "functions/{provider} depends on {other}");
    }
}

#[test]
fn shared_depends_on_no_crate_of_the_workspace() {
    let manifest = fs::read_to_string(root().join("shared/Cargo.toml")).unwrap();
    for line in manifest.lines().filter(|line| line.contains("workspace = true") || line.contains("path =")) {
        let name = line.split(['.', ' ', '=']).next().unwrap();
        assert!(!["rail", "rillis", "redrive", "local", "cli", "tests"].contains(&name), "{line}");
    }
}

#[test]
fn no_function_holds_what_only_operators_need() {
    for package in ["shared", "functions/rail", "functions/rillis", "functions/redrive", "functions/providers"] {
        let manifest = fs::read_to_string(root().join(package).join("Cargo.toml")).unwrap();
        assert!(!manifest.contains("operator"), "{package} depends on operator");
    }
}

#[test]
fn only_verify_makes_a_verified_event() {
    let made = |line: &str| line.contains("VerifiedEvent {") && !line.contains("impl ") && !line.contains("struct ");
    check_owner(&["shared/src", "functions", "tools/cli", "tools/local"], made, "shared/src/receive/verification.rs");
    let verification = fs::read_to_string(root().join("shared/src/receive/verification.rs")).unwrap();
    assert_eq!(verification.matches("VerifiedEvent {").count(), 1);
    let fields = verification.split_once("pub struct VerifiedEvent<'a> {").unwrap().1.split_once('}').unwrap().0;
    assert!(!fields.contains("pub "), "{fields}");
}

#[test]
fn only_the_clock_reads_the_time_of_day() {
    let reads = |line: &str| line.contains("SystemTime") || line.contains("now_utc(") || line.contains("now_local(");
    check_owner(OURS, reads, "shared/src/clock.rs");
    // Spans are measured by tokio's, which tests can stop.
    check_nowhere(OURS, |line| line.contains("std::time") && line.contains("Instant"));
}

#[test]
fn only_the_config_reads_the_environment() {
    check_owner(&["shared/src"], |line| line.contains("env::"), "shared/src/config.rs");
    let functions = fs::read_dir(root().join("functions")).unwrap().map(|entry| entry.unwrap().file_name());
    let functions: Vec<_> = functions.map(|name| format!("functions/{}/src", name.to_str().unwrap())).collect();
    check_nowhere(&functions.iter().map(String::as_str).collect::<Vec<_>>(), |line| line.contains("env::"));
}

#[test]
fn a_word_is_found_whatever_its_case_and_neighbours() {
    for line in ["Rail wants", "docs/contracts/rail.md", "rail_account", "`RAIL`", "use rail::Rail;"] {
        assert!(has_word(line, "rail"), "{line}");
    }
    for line in ["the trail of an event", "derail", "railing", ""] {
        assert!(!has_word(line, "rail"), "{line}");
    }
}
