//! The workspace's files, and which of them are modules of which crate.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::rooms::source::Source;

/// Paths from the workspace's root, with `/`, each with its text.
pub(crate) type Files = BTreeMap<String, String>;

/// The code that ships, of all members.
pub(crate) struct Workspace {
    pub(crate) packages: Vec<Package>,
    /// Each library and each binary.
    pub(crate) crates: Vec<Crate>,
    pub(crate) sources: BTreeMap<String, Source>,
}

pub(crate) struct Package {
    /// As code names it: with `_`.
    pub(crate) name: String,
    pub(crate) folder: String,
    /// What the code that ships depends on, as code names it, each with its line in `Cargo.toml`.
    pub(crate) depends_on: BTreeMap<String, usize>,
    /// What its tests depend on.
    pub(crate) tests_depend_on: BTreeMap<String, usize>,
}

pub(crate) struct Crate {
    /// The name that others import it by; binaries have none.
    pub(crate) library: Option<String>,
    /// Where a module is: the file, and which of the file's modules it is.
    pub(crate) modules: BTreeMap<Vec<String>, (String, usize)>,
}

impl Workspace {
    #[track_caller]
    pub(crate) fn parse(files: &Files) -> Self {
        let manifest = toml(files, "Cargo.toml");
        let members =
            manifest["workspace"]["members"].as_array().unwrap().iter().map(|member| member.as_str().unwrap());
        let mut workspace = Self { packages: Vec::new(), crates: Vec::new(), sources: BTreeMap::new() };
        for folder in members {
            let manifest = toml(files, &format!("{folder}/Cargo.toml"));
            let name = in_code(manifest["package"]["name"].as_str().unwrap());
            let library = format!("{folder}/src/lib.rs");
            if files.contains_key(&library) {
                workspace.add_crate(files, Some(name.clone()), &library);
            }
            let explicit = manifest.get("bin").and_then(toml::Value::as_array).into_iter().flatten();
            let explicit = explicit.map(|binary| format!("{folder}/{}", binary["path"].as_str().unwrap()));
            let binaries: BTreeSet<String> = explicit.chain([format!("{folder}/src/main.rs")]).collect();
            for binary in binaries.iter().filter(|binary| files.contains_key(*binary)) {
                workspace.add_crate(files, None, binary);
            }
            let text = &files[&format!("{folder}/Cargo.toml")];
            let targets = manifest.get("target").and_then(toml::Value::as_table);
            let targets = targets.into_iter().flat_map(toml::Table::values).filter_map(toml::Value::as_table);
            let tables: Vec<&toml::Table> = targets.chain([&manifest]).collect();
            let listed = |key: &str| -> BTreeMap<String, usize> {
                let lists = tables.iter().filter_map(|table| table.get(key)?.as_table());
                lists.flat_map(toml::Table::keys).map(|name| (in_code(name), line_of(text, name))).collect()
            };
            let depends_on = listed("dependencies").into_iter().chain(listed("build-dependencies")).collect();
            let tests_depend_on = listed("dev-dependencies");
            workspace.packages.push(Package { name, folder: folder.to_owned(), depends_on, tests_depend_on });
        }
        workspace
    }

    /// Reads `root` and every module that is declared from there on.
    #[track_caller]
    fn add_crate(&mut self, files: &Files, library: Option<String>, root: &str) {
        let mut modules = BTreeMap::new();
        let mut open = vec![(Vec::new(), root.to_owned())];
        while let Some((path, file)) = open.pop() {
            let source = Source::parse(&file, &files[&file]);
            for (index, module) in source.modules.iter().enumerate() {
                modules.insert([path.as_slice(), &module.path].concat(), (file.clone(), index));
            }
            let folder = match path.is_empty() {
                true => file.rsplit_once('/').unwrap().0,
                false => file.strip_suffix(".rs").unwrap(),
            };
            for declared in &source.declared {
                let child = format!("{folder}/{}.rs", declared.join("/"));
                assert!(files.contains_key(&child), "{file} declares a module that is not in {child}");
                open.push(([path.as_slice(), declared].concat(), child));
            }
            self.sources.insert(file, source);
        }
        self.crates.push(Crate { library, modules });
    }
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// All that the rules are about: sources, manifests and ARCHITECTURE.md.
#[track_caller]
pub(crate) fn files() -> Files {
    let mut files = Files::new();
    let mut open = vec![root()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                open.push(path);
            } else if name.ends_with(".rs") || ["Cargo.toml", "ARCHITECTURE.md"].contains(&name) {
                let from_root = path.strip_prefix(root()).unwrap().to_str().unwrap().replace('\\', "/");
                files.insert(from_root, fs::read_to_string(&path).unwrap());
            }
        }
    }
    files
}

#[track_caller]
fn toml(files: &Files, file: &str) -> toml::Table {
    let text = files.get(file).unwrap_or_else(|| panic!("there is no {file}"));
    toml::from_str(text).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn in_code(name: &str) -> String {
    name.replace('-', "_")
}

fn line_of(manifest: &str, dependency: &str) -> usize {
    let names = |line: &str| line.strip_prefix(dependency).is_some_and(|rest| rest.starts_with(['.', ' ', '=']));
    (1..).zip(manifest.lines()).find_map(|(number, line)| names(line).then_some(number)).unwrap_or(1)
}
