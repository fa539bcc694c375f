//! Which file names what of which other file, by `use` or by a path anywhere in the code.

use std::collections::BTreeMap;

use crate::rooms::source::Token;
use crate::rooms::workspace::{Crate, Workspace};

#[derive(Clone, Debug)]
pub(crate) struct Import {
    pub(crate) file: String,
    pub(crate) line: usize,
    /// As written, but for what `use` has given another name.
    pub(crate) path: String,
    pub(crate) target: Target,
}

impl Import {
    pub(crate) fn place(&self) -> (&str, usize) {
        (&self.file, self.line)
    }

    /// Whether it names `path`, which is outside the workspace, or what is below it.
    pub(crate) fn is_below(&self, path: &str) -> bool {
        let rest = self.path.strip_prefix(path);
        self.target == Target::Elsewhere && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    }

    /// The first word of the path.
    pub(crate) fn crate_name(&self) -> &str {
        self.path.split("::").next().unwrap()
    }
}

#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Target {
    /// A file of the workspace.
    File(String),
    /// A crate from elsewhere, the standard library, or a name that needs no import.
    Elsewhere,
}

/// A path with the line it starts in.
struct Named {
    line: usize,
    segments: Vec<String>,
}

pub(crate) fn imports(workspace: &Workspace) -> Vec<Import> {
    let libraries: BTreeMap<&str, &Crate> =
        workspace.crates.iter().filter_map(|one| Some((one.library.as_deref()?, one))).collect();
    let mut imports = Vec::new();
    for home in &workspace.crates {
        for (module, (file, index)) in &home.modules {
            let (uses, paths) = read(&workspace.sources[file].modules[*index].tokens);
            let scope = Scope { home, module, libraries: &libraries, uses: &uses };
            for named in uses.iter().map(|(_, named)| named).chain(&paths) {
                let (target, segments) = scope.resolve(&named.segments, 0);
                let import = Import { file: file.clone(), line: named.line, path: segments.join("::"), target };
                if import.target != Target::File(file.clone()) {
                    imports.push(import);
                }
            }
        }
    }
    imports
}

struct Scope<'a> {
    home: &'a Crate,
    module: &'a [String],
    libraries: &'a BTreeMap<&'a str, &'a Crate>,
    uses: &'a [(String, Named)],
}

impl Scope<'_> {
    fn resolve(&self, segments: &[String], depth: usize) -> (Target, Vec<String>) {
        let first = segments[0].as_str();
        let child = [self.module, &segments[..1]].concat();
        if first == "crate" {
            return (file(self.home, &segments[1..]), segments.to_vec());
        }
        if first == "self" {
            return (file(self.home, &[self.module, &segments[1..]].concat()), segments.to_vec());
        }
        if first == "super" {
            let ups = segments.iter().take_while(|segment| *segment == "super").count();
            let parent = &self.module[..self.module.len().saturating_sub(ups)];
            return (file(self.home, &[parent, &segments[ups..]].concat()), segments.to_vec());
        }
        if self.home.modules.contains_key(&child) {
            return (file(self.home, &[self.module, segments].concat()), segments.to_vec());
        }
        let alias = self.uses.iter().find(|(name, named)| name == first && named.segments != segments);
        if let Some((_, named)) = alias.filter(|_| depth < 4) {
            return self.resolve(&[&named.segments, &segments[1..]].concat(), depth + 1);
        }
        match self.libraries.get(first) {
            Some(library) => (file(library, &segments[1..]), segments.to_vec()),
            None => (Target::Elsewhere, segments.to_vec()),
        }
    }
}

/// The file of the longest part of `path` that is a module.
fn file(of: &Crate, path: &[String]) -> Target {
    let known = (0..=path.len()).rev().find_map(|length| of.modules.get(&path[..length]));
    Target::File(known.unwrap().0.clone())
}

/// What is imported, each under its name here, and the paths of more than one segment elsewhere in the code.
fn read(tokens: &[Token]) -> (Vec<(String, Named)>, Vec<Named>) {
    let (mut uses, mut paths) = (Vec::new(), Vec::new());
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        // `use<'a>` in a bound imports nothing.
        if token.text == "use" && text(tokens, at + 1) != "<" {
            at = read_use(tokens, at + 1, &[], &mut uses) + 1;
        } else if is_name(&token.text) {
            let mut named = Named { line: token.line, segments: vec![token.text.clone()] };
            while is_path_separator(tokens, at + 1) && is_name(text(tokens, at + 3)) {
                at += 3;
                named.segments.push(tokens[at].text.clone());
            }
            if named.segments.len() > 1 {
                paths.push(named);
            }
            at += 1;
        } else {
            at += 1;
        }
    }
    (uses, paths)
}

/// Reads one tree of a `use` and says where it ends: at `;`, `,` or `}`.
fn read_use(tokens: &[Token], mut at: usize, before: &[String], uses: &mut Vec<(String, Named)>) -> usize {
    let line = tokens[at].line;
    let mut segments = before.to_vec();
    loop {
        match text(tokens, at) {
            ":" => at += 1,
            "{" => {
                at += 1;
                while text(tokens, at) != "}" {
                    at = read_use(tokens, at, &segments, uses);
                    at += usize::from(text(tokens, at) == ",");
                }
                return at + 1;
            }
            "*" => {
                uses.push(("*".to_owned(), Named { line, segments }));
                return at + 1;
            }
            "as" => {
                uses.push((text(tokens, at + 1).to_owned(), Named { line, segments }));
                return at + 2;
            }
            "self" if !segments.is_empty() => {
                at += 1;
            }
            name if is_name(name) => {
                segments.push(name.to_owned());
                at += 1;
            }
            _ => {
                let name = segments.last().cloned().unwrap_or_default();
                uses.push((name, Named { line, segments }));
                return at;
            }
        }
    }
}

fn text(tokens: &[Token], at: usize) -> &str {
    tokens.get(at).map_or("", |token| &token.text)
}

fn is_path_separator(tokens: &[Token], at: usize) -> bool {
    text(tokens, at) == ":" && text(tokens, at + 1) == ":"
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_') && !["as", "use", "dyn", "impl", "for"].contains(&text)
}
