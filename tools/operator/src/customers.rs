//! The customers table: a file into it, line by line.

pub mod import;
pub mod lines;
