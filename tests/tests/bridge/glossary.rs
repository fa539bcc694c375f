//! The documents, the help and the messages are written in the words of `docs/glossary.toml`.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use proc_macro2::{TokenStream, TokenTree};

use crate::bridge::invariants::{root, rust_files};

#[test]
fn the_documents_the_help_and_the_messages_avoid_the_phrases_of_the_glossary() {
    let glossary = glossary();
    assert!(glossary.len() >= 60, "{} phrases", glossary.len());
    let (mut findings, mut words) = (Vec::new(), 0);
    for (file, prose) in documents().into_iter().chain(configuration()).chain(messages()) {
        words += prose.words.len();
        findings.extend(prose.findings(&glossary).into_iter().map(|found| format!("{}:{found}", file.display())));
    }
    assert!(findings.is_empty(), "{} findings\n{}", findings.len(), findings.join("\n"));
    assert!(words > 30_000, "{words} words");
}

#[test]
fn a_phrase_is_found_over_the_end_of_a_line_and_only_as_whole_words_of_prose() {
    let glossary = BTreeMap::from([("for good".to_owned(), "permanently".to_owned())]);
    let found = |text: &str| markdown(text).findings(&glossary);
    assert_eq!(found("It is refused\nFor\n  good."), ["2: `for good`: say permanently"]);
    assert_eq!(found("| a | it is refused for good |"), ["1: `for good`: say permanently"]);
    for text in [
        "for goods",
        "`for good`",
        "```sh\nfor good\n```",
        "| word | do not say |\n|---|---|\n| permanent | for good |",
    ] {
        assert!(found(text).is_empty(), "{text}");
    }
    assert_eq!(found("```sh\nrun it   # for good\n```"), ["2: `for good`: say permanently"]);
    assert_eq!(
        rust("/// Refused for\n/// good.\nfn refuse() {}").findings(&glossary),
        ["1: `for good`: say permanently"]
    );
    assert_eq!(rust(r#"fn f() { say!("one", "for good") }"#).findings(&glossary), ["1: `for good`: say permanently"]);
    assert!(rust("// for good\nlet for_good = 1;").findings(&glossary).is_empty());
}

/// The phrases that are not used, each with what to say.
fn glossary() -> BTreeMap<String, String> {
    let file = fs::read_to_string(root().join("docs/glossary.toml")).unwrap();
    let groups: BTreeMap<String, BTreeMap<String, String>> = toml::from_str(&file).unwrap();
    groups.into_values().flatten().collect()
}

/// The words of a text in lower case, each with its line.
#[derive(Default)]
struct Prose {
    words: Vec<(usize, String)>,
}

impl Prose {
    fn add(&mut self, line: usize, text: &str) {
        let words = text.split(|c: char| !c.is_alphanumeric() && !"'_-".contains(c)).filter(|word| !word.is_empty());
        self.words.extend(words.map(|word| (line, word.to_lowercase())));
    }

    /// Without what is between backticks. A phrase ends where a sentence, a clause or a cell of a table does.
    fn add_but_code(&mut self, line: usize, text: &str) {
        for (n, part) in text.split('`').enumerate() {
            let is_code = n % 2 == 1;
            for (n, clause) in part.split(['|', '.', ':', ';']).enumerate() {
                if n > 0 || is_code {
                    self.end(line);
                }
                self.add(line, if is_code { "" } else { clause });
            }
        }
    }

    /// Ends a sentence: no phrase goes on beyond it.
    fn end(&mut self, line: usize) {
        self.words.push((line, ".".to_owned()));
    }

    fn findings(&self, glossary: &BTreeMap<String, String>) -> Vec<String> {
        let mut findings = Vec::new();
        for (phrase, instead) in glossary {
            let phrase_words: Vec<&str> = phrase.split(' ').collect();
            for words in self.words.windows(phrase_words.len()) {
                if words.iter().zip(&phrase_words).all(|((_, word), wanted)| word == wanted) {
                    findings.push((words[0].0, format!("{}: `{phrase}`: say {instead}", words[0].0)));
                }
            }
        }
        findings.sort();
        findings.into_iter().map(|(_, finding)| finding).collect()
    }
}

/// Every Markdown document of the repository.
fn documents() -> Vec<(PathBuf, Prose)> {
    let documents = crate::bridge::documents::documents().into_iter();
    let documents = documents.filter(|(file, _)| file.extension().is_some_and(|ending| ending == "md"));
    documents.map(|(file, text)| (file, markdown(&text))).collect()
}

/// The prose of a document: neither code, but for the comments in blocks of it, nor a table of words that are not to be used.
fn markdown(text: &str) -> Prose {
    let (mut prose, mut in_block, mut of_words) = (Prose::default(), false, false);
    for (line, text) in (1..).zip(text.lines()) {
        of_words = text.starts_with('|') && (of_words || text.contains("| do not say |"));
        if text.trim_start().starts_with("```") {
            in_block = !in_block;
        } else if in_block {
            prose.end(line);
            prose.add(line, text.split_once("# ").map_or("", |(_, comment)| comment));
        } else if !of_words {
            prose.add_but_code(line, text);
        }
        if text.trim().is_empty() {
            prose.end(line);
        }
    }
    prose
}

/// The comments and descriptions of the template, and the comments of the routes.
fn configuration() -> Vec<(PathBuf, Prose)> {
    let of = |file: &str| {
        let mut prose = Prose::default();
        for (line, text) in (1..).zip(fs::read_to_string(root().join(file)).unwrap().lines()) {
            let description = text.split_once("Description: ").map(|(_, description)| description);
            match text.split_once("# ").map(|(_, comment)| comment).or(description) {
                Some(text) => prose.add(line, text),
                None => prose.end(line),
            }
        }
        (PathBuf::from(file), prose)
    };
    vec![of("template.yaml"), of("routes.toml")]
}

/// The help and the messages of the tools: string literals and doc comments, which are string literals, too.
fn messages() -> Vec<(PathBuf, Prose)> {
    let folders = ["tools/cli/src", "tools/operator/src", "tools/page/src"];
    let sources = folders.into_iter().flat_map(|folder| rust_files(&root().join(folder)));
    let sources = sources.map(|(file, text)| (file.strip_prefix(root()).unwrap().to_owned(), text));
    let sources = sources.filter(|(file, _)| !file.ends_with("tests.rs") && !file.iter().any(|part| part == "tests"));
    sources.map(|(file, text)| (file, rust(&text))).collect()
}

fn rust(text: &str) -> Prose {
    let mut prose = Prose::default();
    literals(text.parse().unwrap(), &mut prose);
    prose
}

fn literals(tokens: TokenStream, prose: &mut Prose) {
    let mut last_doc = 0;
    for token in tokens {
        match token {
            TokenTree::Literal(literal) => {
                let line = literal.span().start().line;
                let text = literal.to_string();
                if text.contains('"') {
                    for (line, text) in (line..).zip(text.lines()) {
                        prose.add_but_code(line, text);
                    }
                    prose.end(line);
                }
            }
            TokenTree::Group(group) => {
                let line = group.span_open().start().line;
                // `#[doc = "..."]`, a line of a doc comment each.
                let is_doc = group.stream().into_iter().next().is_some_and(|first| first.to_string() == "doc");
                if !is_doc || line != last_doc + 1 {
                    prose.end(line);
                }
                if is_doc {
                    last_doc = line;
                    let text = group.stream().into_iter().last();
                    prose.add_but_code(line, &text.map(|text| text.to_string()).unwrap_or_default());
                } else {
                    literals(group.stream(), prose);
                }
            }
            TokenTree::Ident(_) | TokenTree::Punct(_) => {}
        }
    }
}
