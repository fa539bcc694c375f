//! What was found at a stack, before anybody judges it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use shared::clock::UnixMillis;
use shared::record::destination::Destination;
use shared::route::routes::Routes;

/// An answer, or why there was none: a code of AWS's, or how the call failed.
pub(super) type Asked<T> = Result<T, String>;

/// Everything that the checks look at. `None` is what this stack does not have, or what was not asked for.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) place: Place,
    /// When all this was read.
    pub(super) now: UnixMillis,
    pub(super) wanted: Wanted,
    pub(super) webhooks: Vec<Webhook>,
    pub(super) events: Asked<Table>,
    pub(super) customers: Option<Asked<Table>>,
    pub(super) signing: Vec<Secret>,
    pub(super) returning_ai: Secret,
    /// Of the providers' own APIs.
    pub(super) apis: Vec<Secret>,
    /// By the name of the workflow.
    pub(super) handshakes: BTreeMap<String, Handshake>,
    pub(super) paused: BTreeSet<Destination>,
    pub(super) clocks: Vec<OtherClock>,
    pub(super) schedule: Option<Asked<Schedule>>,
    pub(super) queue: Asked<Queue>,
}

/// Which stack it is, and what it calls its parts.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// `None` for the bridge that runs here.
    pub(super) stack: Option<Stack>,
    pub(super) events_table: String,
    pub(super) customers_table: Option<String>,
    pub(super) redrive_function: String,
    /// Flags that every `bridge` and `aws` command to this stack takes: ` --region eu-west-1`, or nothing.
    pub(super) flags: String,
}

#[derive(Clone, Debug)]
pub(super) struct Stack {
    pub(super) name: String,
    /// CloudFormation's word.
    pub(super) status: String,
    /// Outputs that the template has and this stack has not.
    pub(super) missing: Vec<String>,
    pub(super) schedule: Option<String>,
}

/// What the routes file asks for.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    pub(super) workflows: BTreeSet<String>,
    pub(super) incoming_webhooks: BTreeSet<String>,
    pub(super) providers: BTreeSet<String>,
    /// What each route delivers to, by the name of the route.
    pub(super) destination_of: BTreeMap<String, Destination>,
}

/// A provider's URL, and what it answered to a delivery without a signature.
#[derive(Clone, Debug)]
pub(super) struct Webhook {
    pub(super) provider: &'static str,
    pub(super) url: String,
    pub(super) status: Asked<u16>,
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
    pub(super) ttl: Option<Asked<Option<String>>>,
    /// Whether it can be brought back to any second of the last weeks.
    pub(super) recovery: Option<Asked<bool>>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    pub(super) status: String,
    pub(super) keys: Vec<String>,
}

/// A secret's name and its current text, which no `Debug` shows.
#[derive(Clone)]
pub(super) struct Secret {
    /// Whose it is: a provider's name, or `workflows`.
    pub(super) of: &'static str,
    pub(super) id: String,
    pub(super) text: Asked<String>,
}

/// What a workflow said to a handshake.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Handshake {
    Opened,
    /// Legacy mode has none.
    Legacy,
    /// This status, or a 2xx without a session token.
    Answered(u16),
    NoAnswer(String),
}

/// How far this machine's clock is ahead of somebody's, in seconds; below zero it is behind.
#[derive(Clone, Debug)]
pub(super) struct OtherClock {
    pub(super) of: String,
    pub(super) ahead_s: i64,
}

#[derive(Clone, Debug)]
pub(super) struct Schedule {
    pub(super) enabled: bool,
    /// `rate(1 minute)`.
    pub(super) expression: String,
    /// ARN of what it calls.
    pub(super) target: String,
}

/// What waits in the index, as far as the first page of each part of it tells.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue {
    /// Due for longer than redrive needs, in workflows that are not paused.
    pub(super) overdue: usize,
    /// For how long the oldest of them, in seconds.
    pub(super) overdue_s: u64,
    /// The newest attempt of redrive's among the events that were looked at.
    pub(super) redrive_seen: Option<UnixMillis>,
    /// Not all of them were counted.
    pub(super) more_overdue: bool,
    pub(super) dead: usize,
    pub(super) more_dead: bool,
}

impl Wanted {
    pub(super) fn by(routes: &Routes) -> Self {
        let all = || routes.all().iter();
        Self {
            workflows: routes.workflows().into_iter().collect(),
            incoming_webhooks: routes.incoming_webhooks().into_iter().collect(),
            providers: all().map(|route| route.provider.clone()).collect(),
            destination_of: all().map(|route| (route.name.clone(), route.destination.clone())).collect(),
        }
    }
}

impl Place {
    pub(super) fn is_deployed(&self) -> bool {
        self.stack.is_some()
    }

    /// Redrive runs each minute in AWS and every few seconds here; an event that is due for longer waits for nobody.
    pub(super) fn patience_s(&self) -> u64 {
        if self.is_deployed() { 300 } else { 120 }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({})", self.id)
    }
}
