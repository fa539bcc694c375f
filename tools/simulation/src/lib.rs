//! The bridge's own code, many lives of it in one process on a paused clock (`docs/simulation.md`).

pub mod table;
pub mod tables;
