//! What was found at a bridge, before it is judged. An `Err` is AWS's code, or how a call failed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use route::destination::Destination;
use route::routes::Routes;
use shared::clock::UnixMillis;
use shared::record::pauses::PauseStatus;

use crate::parts::Parts;

/// All that the checks look at. `None` is what this bridge does not have, or what was not asked for.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) scope: Scope,
    /// When all this was read.
    pub(super) now: UnixMillis,
    pub(super) needs: RouteNeeds,
    pub(super) webhooks: Vec<Webhook>,
    pub(super) events: Option<Result<Table, String>>,
    pub(super) customers: Option<Result<Table, String>>,
    /// By the name of the provider.
    pub(super) signing: BTreeMap<String, Secret>,
    pub(super) returning_ai: Option<Secret>,
    /// The secrets of the providers' own APIs, by the name of the provider.
    pub(super) apis: BTreeMap<String, Secret>,
    /// By the name of the workflow.
    pub(super) handshakes: BTreeMap<String, Handshake>,
    /// Only those that get no messages.
    pub(super) held: BTreeMap<Destination, PauseStatus>,
    pub(super) clocks: Vec<ClockOffset>,
    /// By their names.
    pub(super) schedules: BTreeMap<String, Result<Schedule, String>>,
    pub(super) queue: Option<Result<Queue, String>>,
}

/// Which bridge it is, and the names of its parts.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    /// `None` on this machine.
    pub(super) stack: Option<StackStatus>,
    pub(super) parts: Parts,
    /// What every `bridge` and `aws` command to this bridge needs: ` --region eu-west-1`, or nothing.
    pub(super) flags: String,
}

#[derive(Clone, Debug)]
pub(super) struct StackStatus {
    pub(super) name: String,
    /// CloudFormation's word.
    pub(super) status: String,
}

/// What the routes file needs.
#[derive(Clone, Debug, Default)]
pub(super) struct RouteNeeds {
    pub(super) workflows: BTreeSet<String>,
    pub(super) incoming_webhooks: BTreeSet<String>,
    pub(super) providers: BTreeSet<String>,
    /// By the name of the route.
    pub(super) destinations: BTreeMap<String, Destination>,
}

/// A provider's URL, and the status of its answer to a delivery without a signature.
#[derive(Clone, Debug)]
pub(super) struct Webhook {
    pub(super) provider: String,
    pub(super) url: String,
    pub(super) status: Result<u16, String>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    /// DynamoDB's word: `ACTIVE`.
    pub(super) status: String,
    /// Name and kind, `pk HASH`, in the table's order.
    pub(super) keys: Vec<String>,
    /// By the name of the index.
    pub(super) indexes: BTreeMap<String, Index>,
    /// The attribute that items expire by, if they do.
    pub(super) ttl: Option<Result<Option<String>, String>>,
    /// Whether it has point-in-time recovery.
    pub(super) recovery: Option<Result<bool, String>>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    pub(super) status: String,
    pub(super) keys: Vec<String>,
    /// The attributes that it has besides its keys.
    pub(super) projects: BTreeSet<String>,
}

/// A secret's name and its current text, which no `Debug` shows.
#[derive(Clone)]
pub(super) struct Secret {
    pub(super) id: String,
    pub(super) text: Result<String, String>,
}

/// The answer of a workflow to a handshake.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Handshake {
    Opened,
    /// In legacy mode there is none.
    Legacy,
    /// This status, or a 2xx without a session token.
    Rejected(u16),
    NoAnswer(String),
}

/// How far this machine's clock is ahead of another one, in seconds; below zero it is behind.
#[derive(Clone, Debug)]
pub(super) struct ClockOffset {
    pub(super) from: String,
    pub(super) ahead_s: i64,
}

#[derive(Clone, Debug)]
pub(super) struct Schedule {
    pub(super) enabled: bool,
    /// `rate(1 minute)`.
    pub(super) expression: String,
    /// The ARN of the function that it calls.
    pub(super) target: String,
}

/// What waits in the index, as far as the first page of each part of it shows.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue {
    /// Due for longer than redrive needs, in workflows that get their messages.
    pub(super) overdue: usize,
    /// How long the oldest of them has been due, in seconds.
    pub(super) overdue_s: u64,
    /// The newest attempt by redrive among the events that were read.
    pub(super) redrive_seen: Option<UnixMillis>,
    /// Not all of them were counted.
    pub(super) more_overdue: bool,
    pub(super) dead: usize,
    pub(super) more_dead: bool,
}

impl RouteNeeds {
    pub(super) fn of(routes: &Routes) -> Self {
        let all = || routes.all().iter();
        Self {
            workflows: routes.workflows().into_iter().collect(),
            incoming_webhooks: routes.incoming_webhooks().into_iter().collect(),
            providers: all().map(|route| route.provider.clone()).collect(),
            destinations: all().map(|route| (route.name.clone(), route.destination.clone())).collect(),
        }
    }
}

impl Scope {
    pub(super) fn is_deployed(&self) -> bool {
        self.stack.is_some()
    }

    /// Redrive runs each minute in AWS and every few seconds on this machine. An event that is due for longer is overdue.
    pub(super) fn patience_s(&self) -> u64 {
        if self.is_deployed() { 300 } else { 120 }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({})", self.id)
    }
}
