//! One Rust file as tokens: no comments, no literals' insides, nothing that only tests compile.

use std::ops::RangeInclusive;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A file, taken apart.
pub(crate) struct Source {
    /// The file's own module first, then the modules that are written out inside it.
    pub(crate) modules: Vec<Module>,
    /// The modules that have files of their own, each as the path below the file's module.
    pub(crate) declared: Vec<Vec<String>>,
    /// The lines that only tests compile.
    pub(crate) test_lines: Vec<RangeInclusive<usize>>,
}

/// The tokens of one module.
#[derive(Default)]
pub(crate) struct Module {
    /// Below the file's module; empty for that one.
    pub(crate) path: Vec<String>,
    pub(crate) tokens: Vec<Token>,
}

pub(crate) struct Token {
    /// An identifier, one character of punctuation or a bracket. Literals are `"`.
    pub(crate) text: String,
    pub(crate) line: usize,
}

impl Source {
    #[track_caller]
    pub(crate) fn parse(file: &str, text: &str) -> Self {
        let stream: TokenStream = text.parse().unwrap_or_else(|error| panic!("{file}: {error}"));
        let mut source = Self { modules: vec![Module::default()], declared: Vec::new(), test_lines: Vec::new() };
        source.read(stream, 0);
        source
    }

    fn read(&mut self, stream: TokenStream, module: usize) {
        let trees: Vec<TokenTree> = stream.into_iter().collect();
        let mut at = 0;
        while let Some(tree) = trees.get(at) {
            if let [TokenTree::Punct(hash), TokenTree::Punct(mark), TokenTree::Group(_), ..] = &trees[at..]
                && hash.as_char() == '#'
                && mark.as_char() == '!'
            {
                at += 3;
                continue;
            }
            if let Some(attribute) = outer_attribute(&trees[at..]) {
                if attribute.first().is_some_and(|word| word == "doc") {
                    at += 2;
                    continue;
                }
                if attribute[0] == "cfg"
                    && attribute.iter().any(|word| word == "test")
                    && !attribute.contains(&"not".to_owned())
                {
                    let length = item_length(&trees[at..]);
                    self.test_lines.push(line(tree)..=last_line(&trees[at + length - 1]));
                    at += length;
                    continue;
                }
            }
            if let [TokenTree::Ident(word), TokenTree::Ident(name), body, ..] = &trees[at..]
                && word == "mod"
            {
                let path = [self.modules[module].path.as_slice(), &[name.to_string()]].concat();
                match body {
                    TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                        self.modules.push(Module { path, tokens: Vec::new() });
                        self.read(group.stream(), self.modules.len() - 1);
                    }
                    _ => self.declared.push(path),
                }
                at += 3;
                continue;
            }
            let text = match tree {
                TokenTree::Group(group) => {
                    let (open, close) = match group.delimiter() {
                        Delimiter::Parenthesis => ("(", ")"),
                        Delimiter::Brace => ("{", "}"),
                        Delimiter::Bracket => ("[", "]"),
                        Delimiter::None => ("", ""),
                    };
                    self.modules[module].tokens.push(Token { text: open.to_owned(), line: line(tree) });
                    self.read(group.stream(), module);
                    close.to_owned()
                }
                TokenTree::Literal(_) => "\"".to_owned(),
                tree => tree.to_string(),
            };
            self.modules[module].tokens.push(Token { text, line: last_line(tree) });
            at += 1;
        }
    }
}

/// The words of `#[..]`, if these trees start with one.
fn outer_attribute(trees: &[TokenTree]) -> Option<Vec<String>> {
    match trees {
        [TokenTree::Punct(hash), TokenTree::Group(group), ..]
            if hash.as_char() == '#' && group.delimiter() == Delimiter::Bracket =>
        {
            let words = group.stream().to_string();
            let words = words.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty());
            Some(words.map(str::to_owned).collect())
        }
        _ => None,
    }
}

/// How many trees the item takes that starts with an attribute.
fn item_length(trees: &[TokenTree]) -> usize {
    let keyword = trees.iter().find_map(|tree| match tree {
        TokenTree::Ident(word) if word != "pub" => Some(word.to_string()),
        _ => None,
    });
    // These may have braces before their end.
    let to_semicolon = keyword.is_some_and(|keyword| ["use", "const", "static", "let", "type"].contains(&&*keyword));
    let ends = |tree: &TokenTree| match tree {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace && !to_semicolon,
        TokenTree::Punct(punct) => punct.as_char() == ';',
        _ => false,
    };
    trees.iter().position(ends).map_or(trees.len(), |end| end + 1)
}

fn line(tree: &TokenTree) -> usize {
    tree.span().start().line
}

fn last_line(tree: &TokenTree) -> usize {
    tree.span().end().line
}
