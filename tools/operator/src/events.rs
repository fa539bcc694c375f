//! The events in the table: which are meant, what is known of one, and another try.

pub mod filter;
#[cfg(any(test, feature = "fixtures"))]
pub mod fixtures;
pub mod redrive;
pub mod report;
pub mod selection;
