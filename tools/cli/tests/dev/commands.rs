//! Each command in a block of the documents runs on a bridge of this machine, or is named here with what runs it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use local::binaries::workspace_root;
use operator::dev_file::DevFile;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{EVENTS, Running, ended, run, text};

/// What a command prints, where its exit code alone says little.
const PRINTS: [(&str, &str); 9] = [
    ("send rail events/rail/transaction_posted_deposit.json --fresh", "New event: rail#"),
    ("--as curl | sh", r#"{"status":"duplicate"}"#),
    ("events show 'rail#evt_abc123456789'", "delivered"),
    ("events redrive --state dead", "event"),
    ("routes preview events/rail/transaction_posted_deposit.json", "deposit.first"),
    ("customers get customer:C-1001", "sample.one@example.com"),
    ("workflows pause deposit", "paused"),
    ("verify rail --headers headers.txt --body body.json", "accepted"),
    ("rail subscriptions list", "ACCOUNT_OPEN"),
];

/// Of AWS. Each document that has one says that it requires an account.
const OF_AWS: [&str; 14] = [
    "aws cloudformation describe-stack-resource",
    "aws cloudformation describe-stacks",
    "aws dynamodb delete-item",
    "aws dynamodb get-item",
    "aws dynamodb restore-table-to-point-in-time",
    "aws lambda get-account-settings",
    "aws lambda invoke",
    "aws logs tail",
    "aws secretsmanager get-secret-value",
    "aws secretsmanager put-secret-value",
    "aws sqs receive-message",
    "cargo lambda deploy",
    "sam build",
    "sam deploy",
];

/// How other commands begin, and what runs them.
const OTHERS: [(&str, &str); 15] = [
    ("$EDITOR secret.json", "a person"),
    ("cargo lambda build", ".ci/run"),
    ("cargo lambda invoke", ".ci/cargo_lambda.py"),
    ("cargo lambda watch", ".ci/cargo_lambda.py"),
    ("cargo run -- sign rail events/rail/account_open.json --fresh --as apigw > ", ".ci/cargo_lambda.py"),
    ("cargo run -- events show 'rail#evt_5c1b0d6f2a9e4b37'", ".ci/cargo_lambda.py, with the key that `sign` printed"),
    (
        "cargo run -- send rail events/rail/account_open.json --fresh --url http://localhost:9001/",
        ".ci/cargo_lambda.py",
    ),
    ("curl -s https://sandbox.layer2financial.com/api/v1/subscriptions", "a person with a client at Rail"),
    ("done", "a person"),
    ("for ", "a person"),
    ("fuzz/run ", ".ci/run"),
    ("just ", ".ci/run"),
    ("rm keys.json", "a person"),
    ("rm secret.json", "a person"),
    ("umask 077", "a person"),
];

/// What a person fills in, in a command of the documents. The first that fits a place counts.
const FILLED_IN: [(&str, &str); 15] = [
    ("--signing-secret ID", "--signing-secret $RAIL_SIGNING"),
    ("--api-secret ID", "--api-secret $RAIL_API_SECRET_ID"),
    ("STACK-redrive", "$REDRIVE"),
    ("bridge-redrive", "$REDRIVE"),
    ("--customers-table CUSTOMERS", "--customers-table $CUSTOMERS_TABLE_NAME"),
    ("--customers-table customers", "--customers-table $CUSTOMERS_TABLE_NAME"),
    ("--table TABLE", "--table $TABLE_NAME"),
    ("--table events", "--table $TABLE_NAME"),
    ("rail#sha256:9f86d0...", "rail#evt_1"),
    (
        "rillis --headers headers.txt --body body.json",
        "rillis --headers rillis.txt --body events/rillis/flow_completed.json",
    ),
    (" --key-file keys.json --at 2025-05-14T20:12:57Z", ""),
    ("--error CODE", "--error mapping_failed"),
    ("--type TYPE", "--type TRANSACTION_POSTED"),
    ("workflows pause NAME", "workflows pause deposit"),
    ("workflows resume NAME", "workflows resume deposit"),
];

/// A deposit without an amount: its route gives it up at once.
const DEAD: &str = r#"{"event_id":"evt_1","event_date":"2026-11-01T10:00:00Z","event_type":"TRANSACTION_POSTED",
    "event_data":{"customer_id":"C-1001","category":"DEPOSIT","status":"POSTED"}}"#;

/// A person's folder beside a running bridge: files that the documents name, and `cargo run --` and `bridge` on the path.
struct Desk {
    folder: TempDir,
    environment: BTreeMap<String, String>,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let customers = fs::read_to_string(workspace_root().join("docs/customers.md")).unwrap();
        let customers = customers.split_once("```csv\n").unwrap().1.split_once("```").unwrap().0;
        fs::write(path("customers.csv"), customers).unwrap();
        fs::write(path("dead.json"), DEAD).unwrap();
        symlink(EVENTS, path("events")).unwrap();
        symlink(workspace_root().join("routes.toml"), path("routes.toml")).unwrap();
        fs::create_dir(path("bin")).unwrap();
        symlink(env!("CARGO_BIN_EXE_bridge"), path("bin/bridge")).unwrap();
        fs::write(path("bin/cargo"), "#!/bin/sh\n[ \"$1 $2\" = 'run --' ] && shift 2 && exec bridge \"$@\"\n").unwrap();
        fs::set_permissions(path("bin/cargo"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(path("aws"), "[profile prod]\naws_access_key_id = sample\naws_secret_access_key = sample\n").unwrap();
        Self { environment: environment(&folder), folder }
    }

    fn command(&self, line: &str) -> Command {
        let line = FILLED_IN.iter().fold(line.to_owned(), |line, (from, to)| line.replace(from, to));
        let mut shell = Command::new("sh");
        shell.args(["-c", &line]).current_dir(self.folder.path()).envs(&self.environment).stdin(Stdio::null());
        shell
    }

    /// Runs a line as a person would, who confirms what it asks.
    fn run(&self, line: &str) -> Output {
        let output = self.command(line).output().unwrap();
        match text(&output).contains("error: Cannot ask for confirmation") {
            true => self.command(&format!("{} --yes", without_comment(line))).output().unwrap(),
            false => output,
        }
    }

    /// Starts what stays up, and ends it as Ctrl-C does.
    fn serve(&self, line: &str) -> Output {
        let line = format!("exec {} --port 0", without_comment(line));
        let mut server = self.command(&line).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(server.stdout.take().unwrap()).lines().map(Result::unwrap);
        lines.by_ref().find(|line| line.contains("Ctrl-C ends "));
        let _ = Command::new("kill").args(["-s", "INT", &server.id().to_string()]).status();
        lines.for_each(drop);
        server.wait_with_output().unwrap()
    }
}

/// As the running bridge says for `cargo lambda`, and where a person's own clients find its parts.
fn environment(folder: &TempDir) -> BTreeMap<String, String> {
    let bridge = workspace_root().join(".bridge");
    let read = |function: &str| fs::read_to_string(bridge.join(format!("{function}.env"))).unwrap();
    let (redrive, rail) = (read("redrive"), read("rail"));
    let pairs = |text: &str| -> BTreeMap<String, String> {
        text.lines().filter_map(|line| line.split_once('=')).map(|(a, b)| (a.to_owned(), b.to_owned())).collect()
    };
    let dev = DevFile::read(&workspace_root()).unwrap().unwrap();
    let mut environment = pairs(&redrive);
    let path = std::env::var("PATH").unwrap_or_default();
    environment.extend(
        [
            ("PATH", format!("{}:{path}", folder.path().join("bin").display())),
            ("EDITOR", "true".to_owned()),
            ("RAIL_SIGNING", pairs(&rail)["SIGNING_SECRET_ID"].clone()),
            ("REDRIVE", dev.parts.redrive_function.unwrap()),
            ("AWS_ENDPOINT_URL_LAMBDA", dev.gateway_url),
            ("AWS_CONFIG_FILE", folder.path().join("aws").display().to_string()),
            // No port of this machine: a stack cannot be read here.
            ("AWS_ENDPOINT_URL_CLOUDFORMATION", "http://127.0.0.1:1".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    environment
}

/// The documents in which people find commands, those of the README first.
fn documents() -> Vec<PathBuf> {
    let root = workspace_root();
    let mut docs: Vec<PathBuf> = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path()).collect();
    docs.retain(|path| path.extension().is_some_and(|ending| ending == "md"));
    docs.sort();
    let others = ["README.md", "CONTRIBUTING.md", "fuzz/README.md", "tools/benches/README.md"];
    others.map(|file| root.join(file)).into_iter().chain(docs).collect()
}

/// The lines of the `sh` blocks, each with what `\` continues.
fn commands(document: &str) -> Vec<String> {
    let blocks = document.split("\n```sh\n").skip(1).map(|block| block.split("\n```").next().unwrap());
    let lines = blocks.flat_map(|block| block.replace("\\\n", " ").lines().map(str::to_owned).collect::<Vec<_>>());
    lines.filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#')).collect()
}

fn without_comment(line: &str) -> &str {
    line.split(" #").next().unwrap().trim_end()
}

/// The arguments of a command of `bridge`.
fn of_bridge(line: &str) -> Option<&str> {
    line.strip_prefix("cargo run -- ").or(line.strip_prefix("bridge ")).map(without_comment)
}

#[test]
fn every_command_of_bridge_in_a_block_of_the_documents_does_what_is_said_of_it() {
    let bridge = Running::start(&[]);
    let desk = Desk::new();
    let prepared = [
        "bridge send rail dead.json",
        "cp dead.json body.json",
        "bridge sign rail body.json > headers.txt",
        "bridge sign rillis events/rillis/flow_completed.json > rillis.txt",
    ];
    for line in prepared {
        let output = desk.run(line);
        assert!(output.status.success(), "{line}: {}", text(&output));
    }

    let (mut wrong, mut ran, mut starts) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    for document in documents() {
        for line in commands(&fs::read_to_string(&document).unwrap()) {
            let of_a_folder = line.contains(".bridge");
            let elsewhere = OTHERS.iter().any(|(start, _)| line.starts_with(start));
            let Some(arguments) = of_bridge(&line).or(of_a_folder.then_some(line.as_str())).filter(|_| !elsewhere)
            else {
                continue;
            };
            // Some documents have the same command.
            if !ran.insert(without_comment(&line).to_owned()) {
                continue;
            }
            let (output, code) = match arguments.split(' ').collect::<Vec<_>>()[..] {
                ["dev", ref flags @ ..] if !arguments.contains('>') => {
                    starts.insert(flags.iter().map(|&flag| flag.to_owned()).collect::<Vec<_>>());
                    continue;
                }
                ["console", ..] if !arguments.contains("--stack") => (desk.serve(&line), 0),
                // It would wait for minutes.
                ["rail", "subscriptions", "rotate", ..] => (desk.run(&format!("bridge {arguments} --dry-run")), 0),
                ["rail", "subscriptions", "delete", .., _] => (desk.run(&with_an_id(&desk, arguments)), 0),
                _ => (desk.run(&line), if arguments.contains("--stack ") { 4 } else { 0 }),
            };
            let printed = text(&output);
            let says =
                PRINTS.iter().filter(|(part, _)| arguments.contains(part)).all(|(_, says)| printed.contains(says));
            if output.status.code() != Some(code) || !says {
                wrong.push(format!("{}: {line}: {}: {printed}", document.display(), output.status));
            }
        }
    }
    drop(bridge);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(ran.len() >= 50, "{ran:?}");
    starts_as_each_document_says(&desk, &starts);
}

fn starts_as_each_document_says(desk: &Desk, starts: &BTreeSet<Vec<String>>) {
    let secrets = desk.folder.path().join("secrets.json");
    fs::write(&secrets, json!({ "rillis_signing": { "keys": { "current": "a key of a sandbox" } } }).to_string())
        .unwrap();
    fs::set_permissions(&secrets, fs::Permissions::from_mode(0o600)).unwrap();
    let on_this_desk = |flag: &str| match flag {
        ".bridge/secrets.json" => secrets.to_str().unwrap().to_owned(),
        "9100" => "0".to_owned(),
        flag => flag.to_owned(),
    };
    for flags in starts.iter().filter(|flags| !flags.is_empty()) {
        let flags: Vec<String> = flags.iter().map(|flag| on_this_desk(flag)).collect();
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        match flags.contains(&"--chaos") {
            true => ended(&run(&[&["dev", "--port", "0", "--events", "8"], &flags[..]].concat()), 0, ""),
            false => drop(Running::start(&flags)),
        }
    }
}

/// With a subscription that is there in place of the one that is named.
fn with_an_id(desk: &Desk, arguments: &str) -> String {
    let list = desk.run("bridge rail subscriptions list --json");
    let listed = String::from_utf8(list.stdout).unwrap();
    let mut ids = listed.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["subscription"].clone());
    let id = ids.find(Value::is_string).unwrap();
    let (rest, _) = arguments.rsplit_once(' ').unwrap();
    format!("bridge {rest} {}", id.as_str().unwrap())
}

/// Why a command of cargo's is not one, if it names a package, a binary or a test that is not there.
fn trouble_of_cargo(command: &str) -> Option<String> {
    let words: Vec<&str> = without_comment(command).split_whitespace().collect();
    let after = |flag: &str| words.iter().position(|&word| word == flag).and_then(|at| words.get(at + 1));
    let named = |manifest: &str, name: &str| manifest.contains(&format!("name = \"{name}\""));
    let folders = ["shared", "tests", "tools/benches", "tools/cli", "tools/operator", "tools/page", "tools/simulation"];
    let manifests = folders.map(|folder| fs::read_to_string(workspace_root().join(folder).join("Cargo.toml")).unwrap());
    let Some(package) = after("-p") else {
        return (!words.contains(&"--workspace")).then(|| "names no package".to_owned());
    };
    let Some(manifest) = manifests.iter().find(|manifest| named(manifest, package)) else {
        return Some(format!("there is no package {package}"));
    };
    let target = after("--bin").or(after("--test"))?;
    (!named(manifest, target)).then(|| format!("{package} has no {target}"))
}

#[test]
fn every_other_command_in_a_block_is_known_and_each_document_says_which_require_an_aws_account() {
    let template = fs::read_to_string(workspace_root().join("template.yaml")).unwrap();
    let (mut wrong, mut looked_at) = (Vec::new(), 0);
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        let says_so = ["requires an AWS account", "require an AWS account"].iter().any(|words| text.contains(words));
        for line in commands(&text).iter().filter(|line| of_bridge(line).is_none() && !line.contains(".bridge")) {
            let mut note = |what: &str| wrong.push(format!("{}: {line}: {what}", document.display()));
            looked_at += 1;
            let of_cargo = ["cargo run ", "cargo test "].iter().any(|start| without_variables(line).starts_with(start));
            if OF_AWS.iter().any(|command| line.contains(command)) {
                if !says_so {
                    note("the document does not say that this requires an AWS account");
                }
            } else if of_cargo {
                trouble_of_cargo(line).inspect(|trouble| note(trouble));
            } else if !OTHERS.iter().any(|(start, _)| line.starts_with(start)) {
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
    assert!(looked_at >= 30, "{looked_at}");
}

/// A command without the variables that are set for it alone.
fn without_variables(line: &str) -> &str {
    let set = line.split_once(' ').filter(|(word, _)| {
        word.split_once('=').is_some_and(|(name, _)| name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
    });
    set.map_or(line, |(_, rest)| without_variables(rest))
}
