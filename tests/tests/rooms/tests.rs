//! The scanner itself, on a workspace of a few lines.

use crate::rooms::invariants::{CLOCK, ENVIRONMENT, INSTANT, SPAWN};
use crate::rooms::rules::Scan;
use crate::rooms::workspace::Files;

const ARCHITECTURE: &str = "\
| room | may import | never |
|---|---|---|
| `shared/src/config` | nothing | |
| `shared/src/clock` | `shared/src/config` | |
| `shared/src/record` | `shared/src/clock` | |
| `shared/src/route` | `shared/src/clock`, and the nouns in `shared/src/record/event` | `tokio`, `aws_sdk_*` |
| `shared/src/deliver` | `shared/src/record`, `shared/src/route` | `shared/src/record/store` |
| `shared/src/receive` | `shared/src/deliver` | |
| `functions/*` | `shared/src/receive` | |
| `functions/providers` | `functions/*` | |
| `functions/redrive` | `shared/src/record`, `functions/providers` | `functions/*` |
| `tools/operator` | `functions/*` | `clap`, `println!`, `std::io::stdout` |
| `tools/cli` | `tools/operator` | |

| another | table |
";

/// A workspace in which nothing is wrong.
fn sound() -> Files {
    let manifest =
        |name: &str, dependencies: &str| format!("[package]\nname = \"{name}\"\n[dependencies]\n{dependencies}");
    let members = [
        "shared",
        "functions/alpha",
        "functions/beta",
        "functions/providers",
        "functions/redrive",
        "tools/operator",
        "tools/cli",
    ];
    let files = [
        ("Cargo.toml", format!("[workspace]\nmembers = {members:?}\n")),
        ("ARCHITECTURE.md", ARCHITECTURE.to_owned()),
        ("shared/Cargo.toml", manifest("shared", "tokio.workspace = true\n")),
        (
            "shared/src/lib.rs",
            "pub mod clock;\npub mod config;\npub mod deliver;\npub mod receive;\npub mod record;\npub mod route;\n"
                .into(),
        ),
        ("shared/src/clock.rs", "use std::time::{Duration, SystemTime};\npub fn now() {}\n".into()),
        ("shared/src/config.rs", "pub fn read() { std::env::var(\"A\"); }\n".into()),
        ("shared/src/record.rs", "pub mod event;\npub mod store;\n".into()),
        ("shared/src/record/event.rs", "pub struct Event;\n".into()),
        ("shared/src/record/store.rs", "use super::event::Event;\npub fn write(_: Event) {}\n".into()),
        ("shared/src/route.rs", "use crate::record::event::Event;\n".into()),
        ("shared/src/deliver.rs", "use crate::route;\n".into()),
        ("shared/src/receive.rs", "pub mod verification;\n".into()),
        (
            "shared/src/receive/verification.rs",
            "pub struct VerifiedEvent<'a> { id: &'a str }\nfn verify() { VerifiedEvent { id } }\n".into(),
        ),
        ("functions/alpha/Cargo.toml", manifest("alpha", "shared.workspace = true\n")),
        ("functions/alpha/src/lib.rs", "pub use shared::receive::verification;\n".into()),
        ("functions/alpha/src/main.rs", "fn main() { alpha::run() }\n".into()),
        ("functions/beta/Cargo.toml", manifest("beta", "shared = { path = \"../../shared\" }\n")),
        ("functions/beta/src/lib.rs", "".into()),
        ("functions/providers/Cargo.toml", manifest("providers", "alpha.workspace = true\nbeta.workspace = true\n")),
        ("functions/providers/src/lib.rs", "pub use alpha::verification;\npub use beta::two;\n".into()),
        ("functions/redrive/Cargo.toml", manifest("redrive", "providers.workspace = true\nshared.workspace = true\n")),
        ("functions/redrive/src/main.rs", "fn main() {}\n".into()),
        ("tools/operator/Cargo.toml", manifest("operator", "alpha.workspace = true\nshared.workspace = true\n")),
        ("tools/operator/src/lib.rs", "".into()),
        ("tools/cli/Cargo.toml", manifest("bridge-cli", "clap = \"4\"\noperator.workspace = true\n")),
        ("tools/cli/src/main.rs", "mod verb;\nfn main() { verb::run(); println!(); }\n".into()),
        ("tools/cli/src/verb.rs", "use clap::Parser;\npub fn run() {}\n".into()),
    ];
    files.into_iter().map(|(file, text)| (file.to_owned(), text)).collect()
}

/// All that is found, by every rule.
#[track_caller]
fn findings(files: &Files) -> Vec<String> {
    let scan = Scan::of(files.clone());
    let strays = [CLOCK, INSTANT, ENVIRONMENT, SPAWN].iter().flat_map(|act| scan.strays(act)).collect();
    let folders = ["shared/", "functions/redrive/", "functions/alpha/", "functions/beta/"];
    let names = folders.into_iter().flat_map(|folder| scan.names(folder)).collect();
    [scan.rooms(), scan.imports(), scan.circles(), scan.forgeries(), strays, names].concat()
}

/// What is found once `text` is added to the end of `file`.
#[track_caller]
fn found_with(file: &str, text: &str) -> Vec<String> {
    let mut files = sound();
    files.entry(file.to_owned()).or_default().push_str(text);
    findings(&files)
}

#[track_caller]
fn check(file: &str, text: &str, expected: &[&str]) {
    assert_eq!(found_with(file, text), expected, "{file} with {text}");
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    assert_eq!(findings(&sound()), [""; 0]);
}

#[test]
fn an_import_against_the_table_is_found_with_file_line_and_rule() {
    let rule =
        "shared/src/record/event.rs:2: `shared/src/record` may not import crate::receive::verification::VerifiedEvent";
    for text in [
        "use crate::receive::verification::VerifiedEvent;\n",
        "use crate::{receive::{verification::{self, VerifiedEvent as Proof}}};\n",
        "fn one() -> Vec<crate::receive::verification::VerifiedEvent> { Vec::new() }\n",
        "fn one() { log!(\"{}\", id = crate::receive::verification::VerifiedEvent); }\n",
    ] {
        let found = found_with("shared/src/record/event.rs", text);
        assert!(found[0].starts_with(&rule[..rule.len() - "::VerifiedEvent".len()]), "{text}: {found:?}");
        assert!(found.iter().all(|finding| finding.starts_with("shared/src/record/event.rs:2: ")), "{found:?}");
    }
    check(
        "shared/src/record/event.rs",
        "use super::super::receive::verification::VerifiedEvent;\n",
        &[
            "shared/src/record/event.rs:2: `shared/src/record` may not import super::super::receive::verification::VerifiedEvent",
        ],
    );
    check(
        "shared/src/clock.rs",
        "use crate::record;\nfn one() { record::store::write() }\n",
        &[
            "shared/src/clock.rs:3: `shared/src/clock` may not import crate::record",
            "shared/src/clock.rs:4: `shared/src/clock` may not import crate::record::store::write",
        ],
    );
    check(
        "functions/redrive/src/main.rs",
        "use alpha::verification;\n",
        &[
            "functions/redrive/src/main.rs:2: `functions/redrive` may not import alpha::verification",
            "functions/redrive/src/main.rs:2: names the provider alpha",
        ],
    );
}

#[test]
fn what_a_row_excludes_is_found_although_the_rest_would_allow_it() {
    check(
        "shared/src/deliver.rs",
        "use crate::record::{event, store::write};\n",
        &["shared/src/deliver.rs:2: `shared/src/deliver` may not import crate::record::store::write"],
    );
    check(
        "shared/src/route.rs",
        "async fn one() { tokio::time::sleep().await }\nuse aws_sdk_dynamodb::Client;\n",
        &[
            "shared/src/route.rs:3: `shared/src/route` may not import aws_sdk_dynamodb::Client",
            "shared/src/route.rs:2: `shared/src/route` may not import tokio::time::sleep",
        ],
    );
    check(
        "tools/operator/src/lib.rs",
        "fn one() { println!(\"told\") }\n",
        &["tools/operator/src/lib.rs:1: `tools/operator` may not use println!"],
    );
    check(
        "tools/operator/src/lib.rs",
        "use std::io::{self, Write};\nfn one() { io::stdout().write_all(TOLD) }\n",
        &["tools/operator/src/lib.rs:2: `tools/operator` may not import std::io::stdout"],
    );
    check(
        "tools/operator/Cargo.toml",
        "clap.workspace = true\n",
        &["tools/operator/Cargo.toml:6: `tools/operator` may not depend on clap"],
    );
}

#[test]
fn a_part_of_a_room_can_be_imported_without_the_rest() {
    check(
        "shared/src/route.rs",
        "use crate::record::store::write;\nuse crate::config;\n",
        &["shared/src/route.rs:2: `shared/src/route` may not import crate::record::store::write"],
    );
}

#[test]
fn a_dependency_against_the_table_is_found_in_its_manifest() {
    check(
        "functions/beta/Cargo.toml",
        "alpha.workspace = true\n",
        &[
            "functions/beta/Cargo.toml:5: `functions/beta` may not depend on alpha",
            "functions/beta/Cargo.toml:5: names the provider alpha",
        ],
    );
    check(
        "functions/redrive/Cargo.toml",
        "operator.workspace = true\n",
        &["functions/redrive/Cargo.toml:6: `functions/redrive` may not depend on operator"],
    );
    check(
        "functions/beta/Cargo.toml",
        "[dev-dependencies]\noperator.workspace = true\n",
        &["functions/beta/Cargo.toml:6: `functions/beta` may not depend on operator"],
    );
    check(
        "shared/Cargo.toml",
        "[target.'cfg(unix)'.dependencies]\nbeta.workspace = true\n",
        &[
            "shared/Cargo.toml:6: `shared` may not depend on beta",
            "Cargo.toml: circle of crates: beta -> shared -> beta",
            "shared/Cargo.toml:6: names the provider beta",
        ],
    );
    check("tools/operator/Cargo.toml", "[dev-dependencies]\nbridge-cli.workspace = true\n", &[]);
    check("tools/operator/Cargo.toml", "[dev-dependencies]\nclap.workspace = true\n", &[]);
}

#[test]
fn comments_text_and_tests_import_nothing() {
    for text in [
        "/// See [`crate::receive::verification`].\npub fn one() {}\n",
        "// use crate::receive::verification;\n",
        "fn one() -> &'static str { \"crate::receive::verification SystemTime\" }\n",
        "#[cfg(test)]\nmod tests {\n    use crate::receive::verification;\n    fn one() { tokio::spawn(two()) }\n}\n",
        "#[cfg(test)]\nuse crate::receive::verification;\n",
        "#[cfg(test)]\nuse crate::receive::{verification, verification as other};\n",
    ] {
        check("shared/src/record.rs", text, &[]);
    }
    check(
        "shared/src/record.rs",
        "#[cfg(not(test))]\nuse crate::receive::verification;\n",
        &["shared/src/record.rs:4: `shared/src/record` may not import crate::receive::verification"],
    );
}

#[test]
fn a_circle_of_modules_is_found() {
    check(
        "shared/src/record/event.rs",
        "use super::store;\n",
        &[
            "shared/src/record/event.rs: circle of imports: shared/src/record/event.rs:2 -> shared/src/record/store.rs:1",
        ],
    );
    // A parent and its child count like any other two.
    check(
        "tools/cli/src/verb.rs",
        "fn again() { super::main() }\n",
        &["tools/cli/src/main.rs: circle of imports: tools/cli/src/main.rs:2 -> tools/cli/src/verb.rs:3"],
    );
    let mut files = sound();
    files.insert("tools/cli/src/main.rs".into(), "mod a;\nmod b;\nmod c;\n".into());
    files.insert("tools/cli/src/a.rs".into(), "use crate::b::B;\n".into());
    files.insert("tools/cli/src/b.rs".into(), "use super::c as other;\nfn one() { other::run() }\n".into());
    files.insert("tools/cli/src/c.rs".into(), "mod inner { fn one() { super::super::a::run() } }\n".into());
    assert_eq!(
        findings(&files),
        ["tools/cli/src/a.rs: circle of imports: tools/cli/src/a.rs:1 -> tools/cli/src/b.rs:1 -> tools/cli/src/c.rs:1"]
    );
}

#[test]
fn a_circle_of_crates_is_found() {
    check("functions/beta/Cargo.toml", "beta = { path = \".\" }\n", &["Cargo.toml: circle of crates: beta -> beta"]);
}

#[test]
fn a_room_that_only_the_table_or_only_the_disk_has_is_found() {
    let mut files = sound();
    files.insert(
        "ARCHITECTURE.md".into(),
        ARCHITECTURE.replace("\n| `shared/src/receive`", "\n| `shared/src/receive`, `shared/src/attic`"),
    );
    assert_eq!(findings(&files), ["ARCHITECTURE.md: `shared/src/attic` is no room on the disk"]);
    let mut files = sound();
    files.insert("shared/src/lib.rs".into(), format!("{}mod cellar;\n", files["shared/src/lib.rs"]));
    files.insert("shared/src/cellar.rs".into(), "fn one() {}\n".into());
    assert_eq!(findings(&files), ["shared/src/cellar.rs: is in no room of ARCHITECTURE.md"]);
    check("shared/src/lib.rs", "fn one() {}\n", &["shared/src/lib.rs: is in no room of ARCHITECTURE.md"]);
}

#[test]
fn a_table_that_leads_in_a_circle_is_found() {
    let mut files = sound();
    let row = "| `shared/src/record` | `shared/src/clock` | |";
    files.insert("ARCHITECTURE.md".into(), ARCHITECTURE.replace(row, "| `shared/src/record` | `shared/src/route` | |"));
    assert_eq!(
        findings(&files),
        ["ARCHITECTURE.md: by this table `shared/src/record` may import itself by way of others",]
    );
}

#[test]
fn what_only_one_file_may_do_is_found_in_any_other() {
    check(
        "tools/cli/src/verb.rs",
        "fn one() { let proof = VerifiedEvent { id: 1 }; }\n",
        &[
            "tools/cli/src/verb.rs:3: makes a VerifiedEvent, which only shared/src/receive/verification.rs may",
            "shared/src/receive/verification.rs: VerifiedEvent is made in 2 places instead of one",
        ],
    );
    check(
        "shared/src/record.rs",
        "fn one() { std::time::SystemTime::now(); }\n",
        &["shared/src/record.rs:3: reads the clock, which only shared/src/clock.rs may"],
    );
    check(
        "functions/beta/src/lib.rs",
        "use std::time::Instant;\nfn one() { Instant::now() }\n",
        &[
            "functions/beta/src/lib.rs:1: measures by std's clock, which no file may",
            "functions/beta/src/lib.rs:2: measures by std's clock, which no file may",
        ],
    );
    check(
        "functions/beta/src/lib.rs",
        "use std::env;\nfn one() { env::var(\"A\") }\n",
        &[
            "functions/beta/src/lib.rs:1: reads the environment, which only shared/src/config.rs may",
            "functions/beta/src/lib.rs:2: reads the environment, which only shared/src/config.rs may",
        ],
    );
    check(
        "shared/src/record.rs",
        "fn one() { tokio::task::spawn_local(two()); }\n",
        &["shared/src/record.rs:3: spawns a task, which no file may"],
    );
}

#[test]
fn an_owner_that_does_not_do_it_is_found() {
    let mut files = sound();
    files.insert("shared/src/config.rs".into(), String::new());
    assert_eq!(findings(&files), ["shared/src/config.rs: is to be the one that reads the environment, and does not"]);
}

#[test]
fn a_proof_that_others_can_make_by_its_fields_is_found() {
    let mut files = sound();
    let text = &files["shared/src/receive/verification.rs"];
    let text = text.replace("{ id: &'a str }", "{ pub(crate) id: &'a str }");
    files.insert("shared/src/receive/verification.rs".into(), text);
    let finding = "shared/src/receive/verification.rs: VerifiedEvent is not here, or has a field that others can set";
    assert_eq!(findings(&files), [finding]);
}

#[test]
fn a_provider_is_named_by_nobody_but_itself_not_even_in_a_comment() {
    check("shared/src/record.rs", "// As Alpha has it.\n", &["shared/src/record.rs:3: names the provider alpha"]);
    check(
        "functions/redrive/src/main.rs",
        "const A: &str = \"beta\";\n",
        &["functions/redrive/src/main.rs:2: names the provider beta"],
    );
    check(
        "functions/beta/src/lib.rs",
        "// Alpha has alphabets.\n",
        &["functions/beta/src/lib.rs:1: names the provider alpha"],
    );
    check("functions/alpha/src/lib.rs", "// Alpha is itself.\n", &[]);
    let test = "#[cfg(test)]\nmod tests {\n    // As alpha has it.\n}\n";
    check("shared/src/record.rs", test, &[]);
    check("functions/beta/src/lib.rs", test, &["functions/beta/src/lib.rs:3: names the provider alpha"]);
}
