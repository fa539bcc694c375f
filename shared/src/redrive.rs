//! Everything that is due: a run over it, and how much waits.

pub mod backlog;
pub mod contract;
pub mod due;
pub mod run;
pub mod schedule;
