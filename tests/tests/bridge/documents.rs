//! What the documents say of the code is so.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use local::stack::FUNCTIONS;

use crate::bridge::invariants::{root, rust_files};
use crate::bridge::template::allowed_actions;

#[test]
fn every_test_that_the_threat_model_names_is_there() {
    let document = fs::read_to_string(root().join("docs/threat-model.md")).unwrap();
    let threats: Vec<_> = document.lines().filter(|line| line.starts_with("| T")).collect();
    assert!(threats.len() >= 15, "{} threats", threats.len());
    let sources = ["functions", "shared", "tools", "tests"].map(|folder| rust_files(&root().join(folder)));
    let sources: Vec<(PathBuf, String)> = sources.into_iter().flatten().collect();
    for threat in threats {
        let shown_by = threat.trim_end_matches('|').rsplit('|').next().unwrap();
        let named: Vec<_> = shown_by.split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "nothing shows: {threat}");
        for name in named {
            let declared = format!("fn {name}(");
            let found = sources.iter().any(|(_, text)| {
                text.match_indices(&declared).any(|(at, _)| {
                    let before = text[..at].trim_end_matches("async ").trim_end();
                    before.ends_with("#[test]") || before.ends_with("#[tokio::test]") || before.ends_with(")]")
                })
            });
            assert!(found, "there is no test {name}");
        }
    }
}

#[test]
fn the_readme_allows_each_function_what_the_template_does() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let (_, table) = readme.split_once("What a function may do").unwrap();
    let mut said: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for row in table.lines().skip_while(|line| !line.starts_with("| `")).take_while(|line| line.starts_with('|')) {
        let mut cells = row.trim_matches('|').splitn(2, '|');
        let (functions, allowed) = (cells.next().unwrap(), cells.next().unwrap());
        let words = |text: &str| -> Vec<String> { text.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
        let actions: BTreeSet<_> = words(allowed).into_iter().filter(|word| word.contains(':')).collect();
        for function in FUNCTIONS.into_iter().filter(|function| words(functions).iter().any(|word| word == function)) {
            said.entry(function).or_default().extend(actions.clone());
        }
    }
    let mut expected: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for function in FUNCTIONS {
        let of_data = |action: &String| action.starts_with("dynamodb:") || action.starts_with("secretsmanager:");
        expected.insert(function, allowed_actions(function).into_iter().filter(of_data).collect());
    }
    assert_eq!(said, expected);
}
