//! Log and metrics: their tables and their form. What they tell is named where it happens.

pub mod meter;
pub mod metrics;
pub mod telemetry;
