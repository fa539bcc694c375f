//! The bridge's two tables, as `template.yaml` deploys them; a test holds them against it.

use shared::record::store::index::PROJECTED;

use crate::table::{IndexDefinition, Tables};

pub const EVENTS: &str = "events";
pub const CUSTOMERS: &str = "customers";

pub fn empty() -> Tables {
    let mut tables = Tables::default();
    tables.create(EVENTS, "pk", Some(due_index()));
    tables.create(CUSTOMERS, "ref", None);
    tables
}

pub fn due_index() -> IndexDefinition {
    IndexDefinition {
        name: "due-index".to_owned(),
        hash: "due".to_owned(),
        range: "next_attempt_at".to_owned(),
        projects: PROJECTED.map(str::to_owned).to_vec(),
    }
}
