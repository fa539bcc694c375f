//! What goes through a storm, and what happens to it on the way.

use std::time::SystemTime;

use bytes::Bytes;
use fastrand::Rng;
use shared::receive::provider::Provider;

/// What is sent through a storm.
#[derive(Clone, Debug)]
pub struct Event {
    pub provider: &'static Provider,
    /// Its key in the table. No two events of a storm have the same.
    pub pk: String,
    pub body: Bytes,
    /// The routes that want it.
    pub routes: Vec<String>,
}

/// An event on its way to the bridge.
pub(super) struct Outgoing {
    pub(super) event: Event,
    pub(super) rng: Rng,
    pub(super) times_sent: u32,
    pub(super) acknowledged: bool,
}

/// A process that was killed at work.
pub(super) struct Interruption {
    pub(super) function: &'static str,
    /// The event it had; `None` for redrive, which has many.
    pub(super) pk: Option<String>,
    pub(super) since: SystemTime,
    pub(super) at: SystemTime,
}
