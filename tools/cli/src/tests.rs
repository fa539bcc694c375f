use std::fs;
use std::path::{Path, PathBuf};

use super::*;

/// The words of a line of a shell, up to a comment or another command.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for c in line.chars() {
        match quote {
            Some(open) if open == c => quote = None,
            None if c == '"' || c == '\'' => quote = Some(c),
            None if c.is_whitespace() => words.push(String::new()),
            Some(_) | None => words.last_mut().unwrap().push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    let ends = |word: &String| word.starts_with('#') || ["|", ">", "&&", ";"].contains(&word.as_str());
    words.truncate(words.iter().position(ends).unwrap_or(words.len()));
    words
}

/// The documents in which people find commands.
fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let docs = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let docs = docs.filter(|path| path.extension().is_some_and(|ending| ending == "md"));
    let others = ["README.md", "CONTRIBUTING.md", "fuzz/README.md", "tools/benches/README.md"];
    docs.chain(others.map(|file| root.join(file))).collect()
}

/// The lines of the `sh` blocks of a document, each with what `\\` continues.
fn commands(document: &Path) -> Vec<String> {
    let text = fs::read_to_string(document).unwrap();
    let blocks = text.split("\n```sh\n").skip(1).map(|block| block.split("\n```").next().unwrap());
    let lines = blocks.flat_map(|block| block.replace("\\\n", " ").lines().map(str::to_owned).collect::<Vec<_>>());
    let lines = lines.filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
    lines.map(|line| without_variables(&line).to_owned()).collect()
}

/// A command without the variables that are set for it alone.
fn without_variables(line: &str) -> &str {
    let set = line.split_once(' ').filter(|(word, _)| {
        word.split_once('=').is_some_and(|(name, _)| name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
    });
    set.map_or(line, |(_, rest)| without_variables(rest))
}

/// Who reads them at three in the morning types them.
#[test]
fn every_command_in_a_block_of_the_documents_is_one_that_is_understood() {
    let (mut wrong, mut looked_at) = (Vec::new(), 0);
    for document in documents() {
        for line in commands(&document) {
            let bridge = line.strip_prefix("cargo run -- ").or(line.strip_prefix("bridge "));
            let Some(line) = bridge else { continue };
            if let Err(error) = Cli::try_parse_from(["bridge".to_owned()].into_iter().chain(words(line))) {
                let error = error.to_string();
                wrong.push(format!("{}: {line}: {}", document.display(), error.lines().next().unwrap_or_default()));
            }
            looked_at += 1;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(looked_at >= 40, "{looked_at}");
}

/// What the documents call of AWS. Each document that has one says that it requires an account.
const OF_AWS: [&str; 13] = [
    "aws cloudformation describe-stack-resource",
    "aws cloudformation describe-stacks",
    "aws dynamodb delete-item",
    "aws dynamodb get-item",
    "aws dynamodb restore-table-to-point-in-time",
    "aws lambda get-account-settings",
    "aws lambda invoke",
    "aws logs tail",
    "aws secretsmanager put-secret-value",
    "aws sqs receive-message",
    "cargo lambda deploy",
    "sam build",
    "sam deploy",
];

/// Of a shell, of other tools that `.ci/run` uses, and the one call of Rail's API.
const OTHERS: [&str; 15] = [
    "$EDITOR .bridge/secrets.json",
    "$EDITOR secret.json",
    "cargo lambda build",
    "cargo lambda invoke",
    "cargo lambda watch",
    "cargo run -- ",
    "chmod 600 ",
    "curl -s https://sandbox.layer2financial.com/api/v1/subscriptions",
    "done",
    "for ",
    "fuzz/run ",
    "just ",
    "mkdir -p .bridge",
    "rm secret.json",
    "umask 077",
];

/// Why a command of cargo's is not one, if it names a package, a binary or a test that is not there.
fn trouble_of_cargo(command: &str, root: &Path) -> Option<String> {
    let words = words(command);
    let after = |flag: &str| words.iter().position(|word| word == flag).and_then(|at| words.get(at + 1));
    let named = |manifest: &str, name: &str| manifest.contains(&format!("name = \"{name}\""));
    let folders = ["shared", "tests", "tools/benches", "tools/cli", "tools/operator", "tools/page", "tools/simulation"];
    let manifests = folders.map(|folder| fs::read_to_string(root.join(folder).join("Cargo.toml")).unwrap());
    let Some(package) = after("-p") else {
        return (!words.contains(&"--workspace".to_owned())).then(|| "names no package".to_owned());
    };
    let Some(manifest) = manifests.iter().find(|manifest| named(manifest, package)) else {
        return Some(format!("there is no package {package}"));
    };
    let target = after("--bin").or(after("--test"))?;
    (!named(manifest, target)).then(|| format!("{package} has no {target}"))
}

#[test]
fn every_other_command_in_a_block_is_known_and_each_document_says_which_require_an_aws_account() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let template = fs::read_to_string(root.join("template.yaml")).unwrap();
    let (mut wrong, mut looked_at) = (Vec::new(), 0);
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for line in commands(&document).iter().filter(|line| !line.starts_with("bridge ")) {
            let mut note = |what: &str| wrong.push(format!("{}: {line}: {what}", document.display()));
            looked_at += 1;
            let says_so =
                ["requires an AWS account", "require an AWS account"].iter().any(|words| text.contains(words));
            let of_aws = OF_AWS.iter().any(|command| line.contains(command));
            let of_cargo = ["cargo run ", "cargo test "].iter().any(|start| line.starts_with(start));
            if of_aws && !says_so {
                note("the document does not say that this requires an AWS account");
            } else if of_cargo && !line.starts_with("cargo run -- ") {
                trouble_of_cargo(line, &root).inspect(|trouble| note(trouble));
            } else if !of_aws && !OTHERS.iter().any(|start| line.starts_with(start)) {
                note("is not known: add it to the lists of this test");
            }
            // Parameters, outputs and resources are the template's.
            for mark in ["--parameter-overrides ", "$(output ", "--logical-resource-id "] {
                for after in line.split(mark).skip(1) {
                    let name = after.split(|c: char| !c.is_alphanumeric()).next().unwrap();
                    if !template.contains(&format!("\n  {name}:\n")) {
                        note(&format!("template.yaml has no {name}"));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(looked_at >= 40, "{looked_at}");
}
