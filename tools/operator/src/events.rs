//! The events in the table: which are meant, what is known of one, another try, and dismissals.

pub mod candidates;
pub mod dismiss;
pub mod filter;
#[cfg(test)]
pub(crate) mod fixtures;
pub mod redrive;
pub mod report;
pub mod run;
pub mod selection;
