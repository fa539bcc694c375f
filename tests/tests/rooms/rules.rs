//! The table against the code.

use std::collections::{BTreeMap, BTreeSet};

use crate::rooms::circles::{Graph, circles};
use crate::rooms::imports::{Import, Target, imports};
use crate::rooms::invariants::{Act, DEPLOYED, PROOF, forgeries, names, places, strays};
use crate::rooms::table::Table;
use crate::rooms::workspace::{Files, Workspace};

/// The workspace, read once. Each rule gives what is not as it must be, with file, line and rule.
pub(crate) struct Scan {
    files: Files,
    workspace: Workspace,
    table: Table,
    imports: Vec<Import>,
}

impl Scan {
    #[track_caller]
    pub(crate) fn of(files: Files) -> Self {
        let workspace = Workspace::parse(&files);
        Self { table: Table::parse(&files), imports: imports(&workspace), workspace, files }
    }

    /// Rooms that only the table or only the disk has.
    pub(crate) fn rooms(&self) -> Vec<String> {
        self.table.findings(&self.workspace, &self.files)
    }

    /// Imports, dependencies and macros that the table does not allow.
    pub(crate) fn imports(&self) -> Vec<String> {
        // One line is enough for each two files.
        let mut told = BTreeSet::new();
        let mut findings = Vec::new();
        for import in &self.imports {
            let finding = against_the_table(&self.table, import);
            if finding.is_some() && told.insert((&import.file, &import.target, import.crate_name())) {
                findings.extend(finding);
            }
        }
        findings.extend(dependencies(&self.table, &self.workspace));
        findings.extend(macros(&self.table, &self.workspace));
        findings
    }

    /// Modules and crates that import each other.
    pub(crate) fn circles(&self) -> Vec<String> {
        [module_circles(&self.imports), crate_circles(&self.workspace)].concat()
    }

    pub(crate) fn strays(&self, act: &Act) -> Vec<String> {
        strays(act, &self.workspace, &self.imports)
    }

    pub(crate) fn forgeries(&self) -> Vec<String> {
        [self.strays(&PROOF), forgeries(&self.workspace)].concat()
    }

    /// Where a provider is named that is not the folder's own.
    pub(crate) fn names(&self, folder: &str) -> Vec<String> {
        let unnamed =
            self.providers().into_iter().filter(|name| folder != format!("functions/{name}/")).collect::<Vec<_>>();
        names(&self.workspace, &self.files, folder, &unnamed)
    }

    /// The functions that have a contract.
    pub(crate) fn providers(&self) -> Vec<&str> {
        let contracts =
            self.files.keys().filter_map(|file| file.strip_prefix("functions/")?.strip_suffix("/src/lib.rs"));
        contracts.filter(|name| !["providers", "routes"].contains(name)).collect()
    }
}

fn against_the_table(table: &Table, import: &Import) -> Option<String> {
    let (file, line) = import.place();
    let room = table.room(file)?;
    let forbidden = match &import.target {
        Target::File(to) => !table.may_import(room, to),
        Target::Elsewhere => table.never(room).iter().any(|never| match never.contains("::") {
            true => import.is_below(never),
            false => is_named(never, import.crate_name()),
        }),
    };
    forbidden.then(|| format!("{file}:{line}: `{room}` may not import {}", import.path))
}

/// What `Cargo.toml` asks for and no room of the package may import. The tests of what is deployed know no tool either; the
/// tests of tools may use one another, and all tests may use any crate from elsewhere.
fn dependencies(table: &Table, workspace: &Workspace) -> Vec<String> {
    let mut findings = Vec::new();
    for package in &workspace.packages {
        let rooms = table.rooms_of(&package.folder);
        let shipped = package.depends_on.iter().map(|dependency| (dependency, false));
        let deployed = DEPLOYED.iter().any(|folder| format!("{}/", package.folder).starts_with(folder));
        let tested = package.tests_depend_on.iter().filter(|_| deployed).map(|dependency| (dependency, true));
        for ((name, line), of_tests) in shipped.chain(tested) {
            let other = workspace.packages.iter().find(|other| other.name == *name);
            let allowed = rooms.iter().any(|room| match other {
                Some(other) => table.rooms_of(&other.folder).iter().any(|to| table.may_import(room, to)),
                None => of_tests || !table.never(room).iter().any(|never| is_named(never, name)),
            });
            if !allowed && !rooms.is_empty() {
                findings.push(format!(
                    "{}/Cargo.toml:{line}: `{}` may not depend on {name}",
                    package.folder, package.folder
                ));
            }
        }
    }
    findings
}

fn macros(table: &Table, workspace: &Workspace) -> Vec<String> {
    let mut findings = Vec::new();
    for name in ["print", "println", "eprint", "eprintln", "dbg"] {
        for (file, line) in places(workspace, &format!("{name} !")) {
            let room = table.room(file).unwrap_or_default();
            if table.never(room).contains(&format!("{name}!")) {
                findings.push(format!("{file}:{line}: `{room}` may not use {name}!"));
            }
        }
    }
    findings
}

fn module_circles(imports: &[Import]) -> Vec<String> {
    let mut graph = Graph::new();
    let mut lines: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for import in imports {
        if let Target::File(to) = &import.target {
            graph.entry(import.file.clone()).or_default().insert(to.clone());
            lines.entry((&import.file, to)).or_insert(import.line);
        }
    }
    let spelled = |circle: &Vec<String>| {
        let steps = circle.windows(2).map(|step| format!("{}:{}", step[0], lines[&(&*step[0], &*step[1])]));
        format!("{}: circle of imports: {}", circle[0], steps.collect::<Vec<_>>().join(" -> "))
    };
    circles(&graph).iter().map(spelled).collect()
}

fn crate_circles(workspace: &Workspace) -> Vec<String> {
    let graph: Graph = workspace
        .packages
        .iter()
        .map(|package| (package.name.clone(), package.depends_on.keys().cloned().collect()))
        .collect();
    circles(&graph).iter().map(|circle| format!("Cargo.toml: circle of crates: {}", circle.join(" -> "))).collect()
}

/// `aws_sdk_*` is every crate whose name starts so.
fn is_named(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |start| name.starts_with(start))
}
