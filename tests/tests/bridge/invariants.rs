//! What must agree between files. The structure of the sources is held by `rooms`.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};

use local::dynamodb::{customers_table_definition, events_table_definition, time_to_live_definition};
use local::stack::{FUNCTIONS, RECEIVERS, REDRIVE};
use serde_json::json;
use shared::record::store::index::PROJECTED;

use crate::bridge::examples::{expectations, folder};

#[test]
fn every_provider_of_the_routes_is_a_function_and_every_function_is_in_the_workspace() {
    let routes = providers::routes();
    same("routes.toml", &routes.providers(), "providers::ALL", &BTreeSet::from(RECEIVERS));
    let workspace: toml::Table = toml::from_str(&fs::read_to_string(root().join("Cargo.toml")).unwrap()).unwrap();
    let members = workspace["workspace"]["members"].as_array().unwrap();
    for function in FUNCTIONS {
        let member = format!("functions/{function}");
        let listed = members.iter().any(|listed| listed.as_str() == Some(&member));
        assert!(listed, "{member} is not among the members in Cargo.toml");
    }
}

/// Checkouts that share a target folder share its build script: with a path of when it was compiled, one checkout's functions
/// would be built with another's routes.
#[test]
fn the_build_asks_which_checkout_it_works_for_each_time_it_runs() {
    let script = fs::read_to_string(root().join("functions/routes/build.rs")).unwrap();
    assert!(script.contains("env::var(\"CARGO_MANIFEST_DIR\")") && !script.contains("env!(\"CARGO_MANIFEST_DIR\")"));
    assert!(script.contains("cargo::rerun-if-env-changed=CARGO_MANIFEST_DIR"));
}

/// A delivery passes through each of these, from API Gateway's event to Returning.AI.
const PATH_OF_A_DELIVERY: [(&str, &[&str]); 9] = [
    ("lambda_http", &["function.rs", "receive/door.rs"]),
    ("lambda_runtime", &["function.rs"]),
    ("aws-sdk-dynamodb", &["record/store.rs"]),
    ("aws-sdk-secretsmanager", &["outside/secrets.rs"]),
    ("reqwest", &["outside/http.rs", "deliver/returning_ai.rs"]),
    ("serde", &["receive/door.rs"]),
    ("hmac", &["receive/signing_keys.rs"]),
    ("sha2", &["receive/signing_keys.rs"]),
    ("subtle", &["receive/signing_keys.rs"]),
];

#[test]
fn the_crates_that_a_delivery_passes_through_are_what_rail_is_built_of() {
    let dependencies = |package: &str| -> BTreeSet<String> {
        let manifest = fs::read_to_string(root().join(package).join("Cargo.toml")).unwrap();
        let manifest: toml::Table = toml::from_str(&manifest).unwrap();
        manifest["dependencies"].as_table().unwrap().keys().cloned().collect()
    };
    let (rail, shared) = (dependencies("functions/rail"), dependencies("shared"));
    assert!(rail.contains("shared"));
    let mut missing = Vec::new();
    for (name, files) in PATH_OF_A_DELIVERY {
        if !rail.contains(name) && !shared.contains(name) {
            missing.push(format!("{name} is no dependency of rail or shared"));
        }
        for file in files {
            let text = fs::read_to_string(root().join("shared/src").join(file)).unwrap();
            if !text.contains(&format!("{}::", name.replace('-', "_"))) {
                missing.push(format!("shared/src/{file} does not use {name}"));
            }
        }
    }
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn every_provider_that_has_a_folder_is_in_the_list_and_has_its_contract_tests_and_examples() {
    let mut functions = folders(&root().join("functions"));
    functions.retain(|name| name != REDRIVE && !["providers", "routes"].contains(&name.as_str()));
    let listed = RECEIVERS.map(str::to_owned).into();
    same("functions/", &functions, "providers::ALL", &listed);
    same("events/", &folders(&folder()), "providers::ALL", &listed);
    for provider in RECEIVERS {
        for file in [format!("docs/contracts/{provider}.md"), format!("functions/{provider}/src/tests.rs")] {
            assert!(root().join(&file).is_file(), "there is no {file}");
        }
    }
}

fn folders(path: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap());
    let folders = entries.filter(|entry| entry.path().is_dir());
    folders.map(|entry| entry.file_name().into_string().unwrap()).collect()
}

#[test]
fn every_example_is_expected_to_become_something_and_nothing_else_is() {
    let mut found = BTreeSet::new();
    for provider in RECEIVERS {
        let files = fs::read_dir(folder().join(provider)).unwrap_or_else(|_| panic!("there is no events/{provider}"));
        for entry in files {
            found.insert(format!("{provider}/{}", entry.unwrap().file_name().to_str().unwrap()));
        }
    }
    same("events/", &found, "events/expected.toml", &expectations().into_keys().collect());
}

#[test]
fn every_route_is_shown_by_an_example() {
    let expectations = expectations();
    let shown: BTreeSet<_> = expectations
        .values()
        .filter_map(|expected| expected.get("delivers")?.as_table())
        .flat_map(|delivers| delivers.keys().cloned())
        .collect();
    let routes = providers::routes();
    let named: BTreeSet<_> = routes.all().iter().map(|route| route.name.clone()).collect();
    same("what events/expected.toml delivers", &shown, "routes.toml", &named);
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
    assert_eq!(index["Projection"], json!({ "ProjectionType": "INCLUDE", "NonKeyAttributes": PROJECTED }));
    let customers = customers_table_definition("customers");
    assert_eq!(customers["KeySchema"], json!([{ "AttributeName": "ref", "KeyType": "HASH" }]));
    let time_to_live = time_to_live_definition("events");
    assert_eq!(time_to_live["TimeToLiveSpecification"]["AttributeName"], "expires_at");
}

/// Fails with what is in one of two places only.
#[track_caller]
pub(crate) fn same<T: Debug + Ord>(place: &str, there: &BTreeSet<T>, other_place: &str, elsewhere: &BTreeSet<T>) {
    for (place, lacking) in [(place, elsewhere.difference(there)), (other_place, there.difference(elsewhere))] {
        let lacking: Vec<_> = lacking.collect();
        assert!(lacking.is_empty(), "{place} lacks {lacking:?}");
    }
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
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
