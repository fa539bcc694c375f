//! What the documents say of the code is so.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use local::stack::{FUNCTIONS, RECEIVERS};

use crate::bridge::invariants::{root, rust_files, same};
use crate::bridge::template::{allowed_actions, logical_id};

#[test]
fn every_test_that_the_threat_model_names_is_there() {
    let document = fs::read_to_string(root().join("docs/threat-model.md")).unwrap();
    let threats: Vec<_> = document.lines().filter(|line| line.starts_with("| T")).collect();
    assert!(threats.len() >= 15, "{} threats", threats.len());
    let is_test = is_test();
    for threat in threats {
        let shown_by = threat.trim_end_matches('|').rsplit('|').next().unwrap();
        let named: Vec<_> = shown_by.split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "nothing shows: {threat}");
        for name in named {
            assert!(is_test(name), "there is no test {name}");
        }
    }
}

#[test]
fn every_test_that_the_guide_to_adding_a_provider_names_is_there() {
    let guide = fs::read_to_string(root().join("docs/adding-a-provider.md")).unwrap();
    let (_, table) = guide.split_once("| forgotten |").unwrap();
    let named = table.lines().skip(2).filter_map(|row| row.split(" | ").nth(1)?.strip_prefix('`')?.strip_suffix('`'));
    let named: BTreeSet<_> = named.collect();
    assert!(named.len() >= 15, "{named:?}");
    let is_test = is_test();
    for name in named {
        assert!(is_test(name), "there is no test {name}");
    }
}

/// Whether a test of the workspace has this name.
fn is_test() -> impl Fn(&str) -> bool {
    let sources = ["functions", "shared", "tools", "tests"].map(|folder| rust_files(&root().join(folder)));
    let sources: Vec<(PathBuf, String)> = sources.into_iter().flatten().collect();
    move |name| {
        let declared = format!("fn {name}(");
        sources.iter().any(|(_, text)| {
            text.match_indices(&declared).any(|(at, _)| {
                let before = text[..at].trim_end_matches("async ").trim_end();
                before.ends_with("#[test]") || before.ends_with("#[tokio::test]") || before.ends_with(")]")
            })
        })
    }
}

#[test]
fn every_path_that_a_document_or_a_comment_names_is_there() {
    let (mut looked_at, mut missing) = (0, Vec::new());
    for (file, text) in documents().into_iter().chain(comments()) {
        let root = root();
        // As written, and the module or the room of that name.
        let exists = |path: &Path| root.join(path).exists() || root.join(path).with_extension("rs").exists();
        let in_document = file.extension().is_none_or(|extension| extension != "rs");
        for (line, text) in (1..).zip(text.lines()) {
            let words = text.split(|c: char| c.is_whitespace() || "`()[]\"'|,;".contains(c));
            let words = words.map(|word| word.trim_end_matches(['.', ':', '/']));
            for word in words {
                let (path, heading) = word.split_once('#').unwrap_or((word, ""));
                if !is_path(path, in_document) {
                    continue;
                }
                let candidates = [PathBuf::from(path), file.parent().unwrap().join(path)];
                match candidates.iter().find(|path| exists(path)) {
                    Some(path) if !heading.is_empty() && !headings(&root.join(path)).contains(heading) => {
                        missing.push(format!("{}:{line}: there is no heading #{heading} in {path:?}", file.display()));
                    }
                    Some(_) => {}
                    None => missing.push(format!("{}:{line}: there is no {path}", file.display())),
                }
                looked_at += 1;
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
    assert!(looked_at > 300, "{looked_at} paths");
}

/// The headings of a document as GitHub links to them.
fn headings(document: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(document).unwrap();
    let slug = |line: &str| -> String {
        let kept = line.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
    };
    text.lines().filter(|line| line.starts_with('#')).map(|line| slug(line.trim_start_matches('#').trim())).collect()
}

/// What people read and what they configure, from the workspace's root, each with its text.
pub(crate) fn documents() -> Vec<(PathBuf, String)> {
    let also = [".ci/run", ".github/workflows/ci.yml", "justfile"].map(PathBuf::from);
    let mut documents = Vec::from(also);
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                folders.push(path);
            } else if [".md", ".toml", ".yaml"].iter().any(|ending| name.ends_with(ending)) {
                documents.push(path.strip_prefix(root()).unwrap().to_owned());
            }
        }
    }
    documents.into_iter().map(|file| (file.clone(), fs::read_to_string(root().join(file)).unwrap())).collect()
}

/// The sources, from the workspace's root, each with its comments alone.
fn comments() -> Vec<(PathBuf, String)> {
    let folders = ["functions", "shared", "tools", "tests"].map(|folder| rust_files(&root().join(folder)));
    let sources = folders.into_iter().flatten();
    let comment = |line: &str| line.trim_start().strip_prefix("//").unwrap_or_default().to_owned();
    let sources = sources.map(|(file, text)| {
        let comments: Vec<_> = text.lines().map(comment).collect();
        (file.strip_prefix(root()).unwrap().to_owned(), comments.join("\n"))
    });
    sources.collect()
}

/// Whether a word is the path of a file or a folder of ours, and neither a URL nor a pattern.
fn is_path(word: &str, in_document: bool) -> bool {
    let folders = ["docs/", "events/", "functions/", "shared/", "tests/", "tools/"];
    let endings = ["css", "csv", "html", "js", "json", "md", "mjs", "png", "rs", "toml", "yaml", "yml"];
    let from_root = folders.iter().any(|folder| word.starts_with(folder));
    let ends = word.rsplit_once('.').is_some_and(|(_, ending)| endings.contains(&ending));
    // In a comment a file without its folders may be anywhere, or one that a test makes.
    (from_root || in_document && ends && (word.contains('/') || word.ends_with(".md")))
        && !word.contains("//")
        && !word.starts_with("target/")
        && !word.starts_with(".bridge/")
        && !word.contains(['<', '*', '{', '$'])
}

#[test]
fn the_readme_fits_on_a_page() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let lines = readme.lines().count();
    assert!(lines <= 120, "README.md has {lines} lines: move details to docs/");
}

#[test]
fn no_line_of_prose_is_longer_than_the_editors_bound() {
    let editors = fs::read_to_string(root().join(".editorconfig")).unwrap();
    let (_, of_documents) = editors.split_once("[*.md]\n").unwrap();
    let bound: usize =
        of_documents.lines().find_map(|line| line.strip_prefix("max_line_length = ")).unwrap().parse().unwrap();
    let (mut looked_at, mut long) = (0, Vec::new());
    for (file, text) in documents().into_iter().filter(|(file, _)| file.extension().is_some_and(|it| it == "md")) {
        let mut in_code = false;
        for (number, line) in (1..).zip(text.lines()) {
            let start = line.trim_start();
            in_code ^= start.starts_with("```");
            // A link cannot be broken.
            let is_a_link = start.starts_with('[') && start.ends_with(')') && start.matches("](").count() == 1;
            if in_code || start.starts_with('|') || is_a_link {
                continue;
            }
            looked_at += 1;
            let length = line.chars().count();
            if length > bound {
                long.push(format!("{}:{number}: {length} characters", file.display()));
            }
        }
    }
    assert!(long.is_empty(), "longer than {bound} characters:\n{}", long.join("\n"));
    assert!(looked_at > 1000, "{looked_at} lines");
}

#[test]
fn the_walk_through_tells_of_the_event_what_the_samples_do() {
    const SAMPLE: &str = "rail/transaction_posted_deposit.json";
    let page = fs::read_to_string(root().join("docs/an-events-life.md")).unwrap();
    let body = fs::read_to_string(root().join("events").join(SAMPLE)).unwrap();
    assert!(page.contains(body.trim()), "docs/an-events-life.md has another body than events/{SAMPLE}");
    let expected = fs::read_to_string(root().join("events/expected.toml")).unwrap();
    let expected: toml::Table = toml::from_str(&expected).unwrap();
    let delivers = expected[SAMPLE]["delivers"].as_table().unwrap();
    for (route, members) in delivers {
        assert!(page.contains(&format!("`{route}`")), "docs/an-events-life.md does not name route {route}");
        for member in ["workflow", "eventType", "customerId", "occurredAt", "idempotencyKey", "amount"] {
            let value = members[member].as_str().unwrap();
            let row = page.lines().find(|line| line.contains(member) && line.contains(&format!("`{value}`")));
            assert!(row.is_some(), "docs/an-events-life.md does not say that {member} of {route} is {value}");
        }
    }
}

#[test]
fn the_documents_name_the_version_of_rust_that_the_workspace_does() {
    let manifest: toml::Table = toml::from_str(&fs::read_to_string(root().join("Cargo.toml")).unwrap()).unwrap();
    let version = manifest["workspace"]["package"]["rust-version"].as_str().unwrap();
    let mut named = 0;
    for (document, text) in documents() {
        for (before, _) in text.match_indices("Rust 1.") {
            let rest = &text[before + "Rust ".len()..];
            let said = rest.split(|c: char| !c.is_ascii_digit() && c != '.').next().unwrap().trim_end_matches('.');
            assert_eq!(said, version, "{}", document.display());
            named += 1;
        }
    }
    assert!(named > 0);
    assert!(!root().join("rust-toolchain.toml").exists(), "the version has one place");
}

#[test]
fn every_action_is_pinned_to_a_commit_with_its_version_beside_it() {
    let workflow = fs::read_to_string(root().join(".github/workflows/ci.yml")).unwrap();
    let actions: Vec<_> = workflow.lines().filter_map(|line| line.trim().strip_prefix("- uses: ")).collect();
    assert!(!actions.is_empty());
    for action in actions {
        let (_, version) = action.split_once('@').unwrap();
        let (commit, version) = version.split_once(" # v").unwrap_or((version, ""));
        assert!(commit.len() == 40 && commit.chars().all(|c| c.is_ascii_hexdigit()), "{action}");
        assert!(version.starts_with(|c: char| c.is_ascii_digit()), "{action}");
    }
}

#[test]
fn the_reference_allows_each_function_what_the_template_does() {
    let reference = fs::read_to_string(root().join("docs/reference.md")).unwrap();
    let (_, table) = reference.split_once("what each function may do").unwrap();
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
    for function in FUNCTIONS {
        let of_data = |action: &String| action.starts_with("dynamodb:") || action.starts_with("secretsmanager:");
        let allowed = allowed_actions(function).into_iter().filter(of_data).collect();
        let told = said.remove(function).unwrap_or_default();
        same(&format!("the row of {function} in docs/reference.md"), &told, "what template.yaml allows it", &allowed);
    }
    assert!(said.is_empty(), "{said:?}");
}

#[test]
fn the_guide_to_deploying_says_how_each_function_is_built_and_each_provider_is_set_up() {
    let guide = fs::read_to_string(root().join("docs/deploy.md")).unwrap();
    let build = guide.lines().find(|line| line.starts_with("cargo lambda build")).unwrap();
    let deploy = guide.lines().find(|line| line.starts_with("for function in")).unwrap();
    let has = |line: &str, word: &str| line.split([' ', ';']).any(|other| other == word);
    for function in FUNCTIONS {
        assert!(has(build, function) && has(deploy, function), "docs/deploy.md neither builds nor deploys {function}");
    }
    for provider in providers::ALL {
        let of_api = provider.api.iter().map(|_| "ApiSecretId");
        for part in ["WebhookUrl", "SigningSecretId"].into_iter().chain(of_api) {
            let output = format!("`{}`", logical_id(provider.name, part));
            assert!(guide.contains(&output), "docs/deploy.md does not say what {output} is for");
        }
    }
}

#[test]
fn the_reference_says_how_large_each_function_is_and_what_its_signing_secret_holds() {
    let reference = fs::read_to_string(root().join("docs/reference.md")).unwrap();
    for function in FUNCTIONS {
        let start = format!("| `{function}` | ");
        let sizes =
            reference.lines().filter_map(|line| line.strip_prefix(&start)).filter(|rest| rest.contains(" MB |"));
        assert_eq!(sizes.count(), 1, "docs/reference.md does not say how large {function} is");
    }
    for provider in RECEIVERS {
        let start = format!("| `SIGNING_SECRET_ID` of `{provider}` | ");
        let told = reference.lines().any(|line| line.starts_with(&start));
        assert!(told, "docs/reference.md does not say what the signing secret of {provider} holds");
    }
}

#[test]
fn the_page_on_logging_knows_each_form_of_a_signature() {
    let page = fs::read_to_string(root().join("docs/logging.md")).unwrap();
    let row = page.lines().find(|line| line.starts_with("| `signed_form` |")).unwrap();
    for provider in providers::ALL {
        for form in provider.forms {
            let name = form.name;
            assert!(
                row.contains(&format!("`{name}`")),
                "docs/logging.md does not know {}'s form {name}",
                provider.name
            );
        }
    }
}
