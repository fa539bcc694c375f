//! What only one file may do, what none may, and who may name a provider.

use crate::rooms::imports::Import;
use crate::rooms::workspace::{Files, Workspace};

/// Something that code does, and what gives it away.
pub(crate) struct Act {
    what: &'static str,
    signs: &'static [Sign],
    within: &'static [&'static str],
    /// The files that do it.
    only: &'static [&'static str],
}

enum Sign {
    /// Tokens in a row, with a space between them.
    Tokens(&'static str),
    /// A path outside the workspace, or what is below it.
    Path(&'static str),
}

use Sign::{Path, Tokens};

pub(crate) const DEPLOYED: &[&str] = &["shared/", "functions/"];

pub(crate) const PROOF: Act = Act {
    what: "makes a VerifiedEvent",
    signs: &[Tokens("VerifiedEvent {")],
    within: &["shared/", "functions/", "tools/"],
    only: &["shared/src/receive/verification.rs"],
};

pub(crate) const CLOCK: Act = Act {
    what: "reads the clock",
    signs: &[Path("std::time::SystemTime"), Tokens("now_utc ("), Tokens("now_local (")],
    within: DEPLOYED,
    only: &["shared/src/clock.rs"],
};

/// Spans are measured by tokio's clock, which tests can stop.
pub(crate) const INSTANT: Act =
    Act { what: "measures by std's clock", signs: &[Path("std::time::Instant")], within: DEPLOYED, only: &[] };

pub(crate) const ENVIRONMENT: Act = Act {
    what: "reads the environment",
    signs: &[Path("std::env")],
    within: DEPLOYED,
    only: &["shared/src/config.rs"],
};

/// Lambda freezes what outlives an invocation.
pub(crate) const SPAWN: Act = Act {
    what: "spawns a task",
    signs: &[Tokens("spawn"), Tokens("spawn_local"), Tokens("spawn_blocking")],
    within: DEPLOYED,
    only: &[],
};

/// What prints elsewhere escapes nothing, and panics when its reader leaves.
pub(crate) const PRINT: Act = Act {
    what: "prints",
    signs: &[
        Path("std::io::stdout"),
        Path("std::io::stderr"),
        Tokens("println !"),
        Tokens("eprintln !"),
        Tokens("print !"),
        Tokens("eprint !"),
    ],
    within: &["tools/cli/src/", "tools/local/src/", "tools/operator/src/", "tools/page/src/"],
    // The second passes on what cargo prints.
    only: &["tools/cli/src/terminal.rs", "tools/local/src/binaries.rs"],
};

/// A function that did would not reach the network.
pub(crate) const IN_PROCESS: Act = Act {
    what: "ends HTTP in its own process",
    signs: &[Tokens(". ending_in (")],
    within: &["functions/", "shared/src/", "tools/"],
    only: &["tools/simulation/src/environment.rs"],
};

/// Who does it and may not. If the owner does not do it either, the sign is the wrong one.
pub(crate) fn strays(act: &Act, workspace: &Workspace, imports: &[Import]) -> Vec<String> {
    let places = act.signs.iter().flat_map(|sign| match sign {
        Tokens(tokens) => places(workspace, tokens),
        Path(path) => imports.iter().filter(|import| import.is_below(path)).map(Import::place).collect(),
    });
    let within = |file: &str| act.within.iter().any(|folder| file.starts_with(folder));
    let (owned, strays): (Vec<_>, Vec<_>) =
        places.filter(|(file, _)| within(file)).partition(|(file, _)| act.only.contains(file));
    let owner = match act.only {
        [] => "no file may".to_owned(),
        only => format!("only {} may", only.join(" and ")),
    };
    let strays = strays.iter().map(|(file, line)| format!("{file}:{line}: {}, which {owner}", act.what));
    let idle = act.only.iter().filter(|only| owned.iter().all(|(file, _)| file != *only));
    strays.chain(idle.map(|only| format!("{only}: is to be the one that {}, and does not", act.what))).collect()
}

/// A `VerifiedEvent` proves something only while it is made in one place and cannot be made by naming its fields.
pub(crate) fn forgeries(workspace: &Workspace) -> Vec<String> {
    let owner = PROOF.only[0];
    let made = places(workspace, "VerifiedEvent {").len();
    let tokens = workspace.sources.get(owner).map(|source| source.modules[0].tokens.as_slice()).unwrap_or_default();
    let words: Vec<_> = tokens.iter().map(|token| token.text.as_str()).collect();
    let declared = words.windows(2).position(|pair| pair == ["struct", "VerifiedEvent"]);
    let mut fields = words[declared.unwrap_or(words.len())..].iter().take_while(|word| **word != "}");
    let mut findings = Vec::new();
    if made > 1 {
        findings.push(format!("{owner}: VerifiedEvent is made in {made} places instead of one"));
    }
    if declared.is_none() || fields.any(|word| *word == "pub") {
        findings.push(format!("{owner}: VerifiedEvent is not here, or has a field that others can set"));
    }
    findings
}

/// Where a manifest or a source in `folder` has one of these names, be it in a comment. In `shared` tests may.
pub(crate) fn names(workspace: &Workspace, files: &Files, folder: &str, unnamed: &[&str]) -> Vec<String> {
    let tests_may = folder == "shared/";
    let looked_at = |file: &str| {
        let source = file.starts_with(&format!("{folder}src/")) && file.ends_with(".rs") && !tests_may;
        file.starts_with(folder) && (source || workspace.sources.contains_key(file) || file.ends_with("Cargo.toml"))
    };
    let files: Vec<_> = files.iter().filter(|(file, _)| looked_at(file)).collect();
    if files.len() < 2 {
        return vec![format!("{folder}: has no sources, so nothing was looked at")];
    }
    let mut findings = Vec::new();
    for (file, text) in files {
        let source = workspace.sources.get(file).filter(|_| tests_may);
        let tests = source.map(|source| source.test_lines.as_slice()).unwrap_or_default();
        for (line, text) in (1..).zip(text.lines()) {
            let found = unnamed.iter().filter(|name| has_word(text, name));
            let found = found.filter(|_| !tests.iter().any(|lines| lines.contains(&line)));
            findings.extend(found.map(|name| format!("{file}:{line}: names the provider {name}")));
        }
    }
    findings
}

/// Each place that has these tokens in a row; a type's declaration and its `impl` do not count, nor does a return type.
pub(crate) fn places<'a>(workspace: &'a Workspace, tokens: &str) -> Vec<(&'a str, usize)> {
    let wanted: Vec<_> = tokens.split(' ').collect();
    let mut places = Vec::new();
    for (file, source) in &workspace.sources {
        for module in &source.modules {
            for (at, row) in module.tokens.windows(wanted.len()).enumerate() {
                let before = at.checked_sub(1).map_or("", |before| &module.tokens[before].text);
                let fits = row.iter().map(|token| &token.text).eq(&wanted);
                if fits && !["struct", "impl", "for", ">"].contains(&before) {
                    places.push((file.as_str(), row[0].line));
                }
            }
        }
    }
    places
}

/// `Rail` and `rail_account` name `rail`; `trail` does not.
fn has_word(line: &str, word: &str) -> bool {
    line.split(|c: char| !c.is_ascii_alphanumeric()).any(|part| part.eq_ignore_ascii_case(word))
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
