//! What must not be in the sources, and what must agree between files.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use local::dynamodb::{customers_table_definition, events_table_definition, time_to_live_definition};
use local::stack::{FUNCTIONS, RECEIVERS};
use serde_json::json;

use crate::bridge::examples::{expectations, folder};

#[test]
fn the_providers_functions_do_not_know_each_other() {
    for (function, other) in [("rail", "rillis"), ("rillis", "rail")] {
        let sources = sources(&root().join("functions").join(function));
        assert!(sources.len() >= 3, "{sources:?}");
        for (file, text) in sources {
            assert!(!words(&text).contains(other), "{} names {other}", file.display());
        }
    }
}

#[test]
fn the_library_and_redrive_name_no_provider() {
    let folders = ["shared", "functions/redrive"].map(|folder| sources(&root().join(folder)));
    for (file, text) in folders.into_iter().flatten() {
        let code = without_comments_and_tests(&text);
        let named: Vec<_> = RECEIVERS.into_iter().filter(|provider| words(&code).contains(*provider)).collect();
        assert!(is_test(&file) || named.is_empty(), "{} names {named:?}", file.display());
    }
}

#[test]
fn one_file_reads_the_clock_and_one_the_environment() {
    let readers = [("SystemTime::now", "clock.rs"), ("now_utc", "clock.rs"), ("env::var", "config.rs")];
    for folder in ["shared", "functions/rail", "functions/rillis", "functions/redrive"] {
        for (file, text) in sources(&root().join(folder)).into_iter().filter(|(file, _)| !is_test(file)) {
            let code = without_comments_and_tests(&text);
            for (call, reader) in readers {
                assert!(!code.contains(call) || file.ends_with(reader), "{} calls {call}", file.display());
            }
        }
    }
}

#[test]
fn only_verify_makes_a_verified_event() {
    for (file, text) in sources(&root().join("shared")) {
        let made = text.matches("VerifiedEvent {").count() - text.matches("for VerifiedEvent {").count();
        let expected = if file.ends_with("src/verification.rs") {
            // Its definition is `VerifiedEvent<'a> {`.
            1
        } else {
            0
        };
        assert_eq!(made, expected, "{}", file.display());
    }
}

#[test]
fn nothing_is_spawned_that_could_outlive_its_invocation() {
    for folder in ["shared", "functions/rail", "functions/rillis", "functions/redrive"] {
        for (file, text) in sources(&root().join(folder)).into_iter().filter(|(file, _)| !is_test(file)) {
            let code = without_comments_and_tests(&text);
            for call in ["tokio::spawn", "spawn_local", "spawn_blocking", "thread::spawn"] {
                assert!(!code.contains(call), "{} calls {call}", file.display());
            }
        }
    }
}

#[test]
fn every_provider_of_the_routes_is_a_function_and_every_function_is_in_the_workspace() {
    let routes = providers::routes().unwrap();
    assert_eq!(routes.providers(), BTreeSet::from(RECEIVERS));
    let workspace: toml::Table = toml::from_str(&fs::read_to_string(root().join("Cargo.toml")).unwrap()).unwrap();
    let members = workspace["workspace"]["members"].as_array().unwrap();
    for function in FUNCTIONS {
        let member = format!("functions/{function}");
        assert!(members.iter().any(|listed| listed.as_str() == Some(&member)), "{member}");
    }
}

#[test]
fn every_example_is_expected_to_become_something_and_nothing_else_is() {
    let mut found = BTreeSet::new();
    for provider in RECEIVERS {
        for entry in fs::read_dir(folder().join(provider)).unwrap() {
            found.insert(format!("{provider}/{}", entry.unwrap().file_name().to_str().unwrap()));
        }
    }
    let expected: BTreeSet<_> = expectations().into_keys().collect();
    assert_eq!(found, expected);
}

#[test]
fn every_route_is_shown_by_an_example() {
    let expectations = expectations();
    let shown: BTreeSet<_> = expectations
        .values()
        .filter_map(|expected| expected.get("delivers")?.as_table())
        .flat_map(|delivers| delivers.keys().cloned())
        .collect();
    let routes = providers::routes().unwrap();
    let named: BTreeSet<_> = routes.all().iter().map(|route| route.name.clone()).collect();
    assert_eq!(shown, named);
}

#[test]
fn the_tables_have_the_keys_that_the_functions_write() {
    let events = events_table_definition("events");
    assert_eq!(events["KeySchema"], json!([{ "AttributeName": "pk", "KeyType": "HASH" }]));
    assert_eq!(events["BillingMode"], "PAY_PER_REQUEST");
    let index = &events["GlobalSecondaryIndexes"][0];
    assert_eq!(index["IndexName"], "due-index");
    assert_eq!(
        index["KeySchema"],
        json!([
            { "AttributeName": "due", "KeyType": "HASH" },
            { "AttributeName": "next_attempt_at", "KeyType": "RANGE" },
        ])
    );
    assert_eq!(index["Projection"]["ProjectionType"], "KEYS_ONLY");
    let customers = customers_table_definition("customers");
    assert_eq!(customers["KeySchema"], json!([{ "AttributeName": "ref", "KeyType": "HASH" }]));
    let time_to_live = time_to_live_definition("events");
    assert_eq!(time_to_live["TimeToLiveSpecification"]["AttributeName"], "expires_at");
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The Rust files below `package/src`, each with its text.
#[track_caller]
fn sources(package: &Path) -> Vec<(PathBuf, String)> {
    rust_files(&package.join("src"))
}

/// The Rust files below `folder`, each with its text.
#[track_caller]
pub(crate) fn rust_files(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                files.push((path, text));
            }
        }
    }
    assert!(!files.is_empty(), "{}", folder.display());
    files
}

fn is_test(file: &Path) -> bool {
    file.ends_with("tests.rs") || file.ends_with("testing.rs")
}

fn without_comments_and_tests(text: &str) -> String {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = code.lines().map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// In lower case, so that `Rail` and `rail` are one; `trailing` is neither.
fn words(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !c.is_alphanumeric()).map(str::to_lowercase).collect()
}
