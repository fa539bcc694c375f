use std::fs;
use std::path::Path;

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

/// Who reads them at three in the morning types them.
#[test]
fn every_command_in_a_block_of_the_documents_is_one_that_is_understood() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let documents = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let documents = documents.filter(|path| path.extension().is_some_and(|ending| ending == "md"));
    let (mut wrong, mut looked_at) = (Vec::new(), 0);
    for document in documents.chain([root.join("README.md"), root.join("CONTRIBUTING.md")]) {
        let text = fs::read_to_string(&document).unwrap();
        let blocks = text.split("\n```sh\n").skip(1).map(|block| block.split("\n```").next().unwrap());
        for line in blocks.flat_map(str::lines) {
            let bridge = line.strip_prefix("cargo run -- ").or(line.strip_prefix("bridge "));
            let Some(line) = bridge.filter(|line| !line.ends_with('\\')) else { continue };
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
