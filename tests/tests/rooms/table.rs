//! The table of rooms in ARCHITECTURE.md.

use std::collections::BTreeSet;

use crate::rooms::workspace::{Files, Workspace};

/// What starts the table.
const HEADER: &str = "| room | may import | never |";

pub(crate) struct Table {
    rows: Vec<Row>,
}

struct Row {
    /// Folders and files.
    rooms: Vec<String>,
    may_import: Vec<String>,
    never: Vec<String>,
}

impl Table {
    /// Reads what is in backticks; the words around it are for people. `functions/*` is each folder there that has no row
    /// of its own.
    #[track_caller]
    pub(crate) fn parse(files: &Files) -> Self {
        let lines = files["ARCHITECTURE.md"].lines().skip_while(|line| *line != HEADER).skip(2);
        let cells = lines.take_while(|line| line.starts_with('|')).map(|line| {
            let names = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect();
            let cells: Vec<Vec<String>> = line.trim_matches('|').split('|').map(names).collect();
            <[Vec<String>; 3]>::try_from(cells).unwrap_or_else(|_| panic!("not three cells: {line}"))
        });
        let cells: Vec<_> = cells.collect();
        assert!(!cells.is_empty(), "ARCHITECTURE.md has no table that starts with {HEADER}");
        let named: BTreeSet<String> = cells.iter().flat_map(|[rooms, ..]| rooms).cloned().collect();
        let folders = |above: &str| -> BTreeSet<String> {
            let below = files.keys().filter_map(|file| Some(file.strip_prefix(above)?.split_once('/')?.0));
            below.map(|name| format!("{above}{name}")).filter(|folder| !named.contains(folder)).collect()
        };
        let expand = |names: Vec<String>| -> Vec<String> {
            let folders = |name: String| match name.strip_suffix('*').filter(|above| above.ends_with('/')) {
                Some(above) => folders(above),
                None => BTreeSet::from([name]),
            };
            names.into_iter().flat_map(folders).collect()
        };
        let rows = cells.into_iter().map(|cells| {
            let [rooms, may_import, never] = cells.map(&expand);
            Row { rooms, may_import, never }
        });
        Self { rows: rows.collect() }
    }

    /// The room that a file, or a part of a room, is in.
    pub(crate) fn room(&self, path: &str) -> Option<&str> {
        let rooms = self.rows.iter().flat_map(|row| &row.rooms);
        // An inner room counts before the outer one.
        rooms.filter(|room| contains(room, path)).max_by_key(|room| room.len()).map(String::as_str)
    }

    fn row(&self, room: &str) -> &Row {
        self.rows.iter().find(|row| row.rooms.iter().any(|named| named == room)).unwrap()
    }

    /// What `room` may import: what its row names, and whatever the rooms among those may import.
    fn reach(&self, room: &str) -> BTreeSet<&str> {
        let mut reach = BTreeSet::new();
        let mut open: Vec<&str> = self.row(room).may_import.iter().map(String::as_str).collect();
        while let Some(next) = open.pop() {
            // A part of a room brings nothing with it.
            if reach.insert(next) && self.room(next) == Some(next) {
                open.extend(self.row(next).may_import.iter().map(String::as_str));
            }
        }
        reach
    }

    /// Whether a file of the room `from` may import the file `to`.
    pub(crate) fn may_import(&self, from: &str, to: &str) -> bool {
        let allowed = self.room(to) == Some(from) || self.reach(from).into_iter().any(|name| contains(name, to));
        allowed && !self.never(from).iter().any(|never| contains(never, to))
    }

    /// The room that a package is, or the rooms inside it.
    pub(crate) fn rooms_of(&self, package: &str) -> Vec<&str> {
        let inside = self.rows.iter().flat_map(|row| &row.rooms).filter(|room| contains(package, room));
        self.room(package).into_iter().chain(inside.map(String::as_str)).collect()
    }

    /// The crates from elsewhere and the macros that `room` may not name.
    pub(crate) fn never(&self, room: &str) -> &[String] {
        &self.row(room).never
    }

    /// Where the table and the disk differ, and where the table itself leads in a circle.
    pub(crate) fn findings(&self, workspace: &Workspace, files: &Files) -> Vec<String> {
        let mut findings = Vec::new();
        for row in &self.rows {
            for name in row.rooms.iter().chain(&row.may_import) {
                if self.room(name).is_none() || !files.keys().any(|file| contains(name, file)) {
                    findings.push(format!("ARCHITECTURE.md: `{name}` is no room on the disk"));
                }
            }
            for room in &row.rooms {
                if self.reach(room).into_iter().any(|name| contains(room, name)) {
                    findings
                        .push(format!("ARCHITECTURE.md: by this table `{room}` may import itself by way of others"));
                }
            }
        }
        for (file, source) in &workspace.sources {
            // The root of a crate that has rooms inside declares them and does nothing else.
            let declares = source.modules[0].tokens.iter().all(|token| token.text == "pub");
            if self.room(file).is_none() && !declares {
                findings.push(format!("{file}: is in no room of ARCHITECTURE.md"));
            }
        }
        findings
    }
}

/// Whether `path` is what is named, or is inside it.
fn contains(name: &str, path: &str) -> bool {
    path.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || rest == ".rs")
}
