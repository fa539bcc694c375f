//! One event's record and the pure transitions between its states; what is durable is exactly this.

use std::collections::BTreeMap;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::clock::{UnixMillis, UnixSeconds};
use crate::record::failure::{DispatchFailure, FailureCode};
use crate::record::retry_plan::{self, Draw, LEASE_S, LONGEST_WAIT, LONGEST_WAIT_FOR_A_CUSTOMER};

/// An event as the table keeps it. `attempts` is the fencing token: only the latest attempt may settle.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EventRecord {
    pub provider: String,
    pub event_id: String,
    /// `None` when the envelope is unreadable.
    pub event_type: Option<String>,
    pub occurred_at: UnixMillis,
    pub received_at: UnixMillis,
    pub state: EventState,
    pub attempts: u32,
    /// While pending: when the lease ends or the next attempt is due. While dead: when it died, since an item without the
    /// index's range key is not in the index.
    pub next_attempt_at: Option<UnixSeconds>,
    /// The signed text without what `[redact]` names.
    pub body: String,
    /// Of the bytes as received, in hexadecimal.
    pub body_sha256: String,
    /// The invocation that recorded it, so that a repeated write recognises itself.
    pub recorded_by: String,
    /// A stable code, and the HTTP status where there was one.
    pub last_error: Option<String>,
    /// The newest [`MAX_HISTORY`] attempts, oldest first.
    pub history: Vec<Attempt>,
    /// By the name of the route, as the attribute `deliveries` has them.
    pub deliveries: BTreeMap<String, Dispatch>,
    pub delivered_at: Option<UnixMillis>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EventState {
    /// Some dispatch is pending: a deliverer holds the lease, or a retry is planned.
    Pending,
    /// All dispatches are delivered or skipped.
    Delivered,
    /// No route wants this event.
    Ignored,
    /// Nothing is pending and something is dead: an operator has to look.
    Dead,
}

/// The state of an event on one route.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Dispatch {
    pub state: DispatchState,
    /// Why not, as of the latest attempt.
    pub code: Option<String>,
    pub at: Option<UnixMillis>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DispatchState {
    Pending,
    Delivered,
    /// The route's `once_per` was used by another event.
    Skipped,
    Dead,
}

/// One attempt of ours, over all the routes that were pending.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Attempt {
    pub at: UnixMillis,
    pub by: AttemptBy,
    /// The code of the first route that failed; else `delivered`, or `skipped` when no route sent anything.
    pub outcome: String,
    pub http_status: Option<u16>,
    pub ms: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AttemptBy {
    /// The invocation that received the event.
    First,
    Redrive,
    Manual,
}

/// The outcome of an attempt on one route.
pub type DispatchOutcome = Result<DispatchSuccess, DispatchFailure>;

/// Nothing is left to do on the route.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DispatchSuccess {
    /// Returning.AI answered success.
    Delivered { http_status: u16 },
    /// Another event of the customer has used the route's `once_per`.
    Skipped,
}

/// The index's hash key of all dead events.
pub const DUE_DEAD: &str = "dead";

/// How many attempts a record remembers.
pub const MAX_HISTORY: usize = 20;

/// Delivered and ignored events expire 90 days after receipt; dead ones never.
const KEPT_FOR_S: u64 = 90 * 24 * 60 * 60;

/// Redrive reads the pending events in this many parts, which several schedules can share.
pub const SHARDS: u8 = 8;

impl EventState {
    pub const ALL: [Self; 4] = [Self::Pending, Self::Delivered, Self::Ignored, Self::Dead];

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Ignored => "ignored",
            Self::Dead => "dead",
        }
    }
}

impl DispatchState {
    pub const ALL: [Self; 4] = [Self::Pending, Self::Delivered, Self::Skipped, Self::Dead];

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Skipped => "skipped",
            Self::Dead => "dead",
        }
    }
}

impl AttemptBy {
    pub const ALL: [Self; 3] = [Self::First, Self::Redrive, Self::Manual];

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|by| by.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Redrive => "redrive",
            Self::Manual => "manual",
        }
    }
}

impl DispatchSuccess {
    fn http_status(self) -> Option<u16> {
        match self {
            Self::Delivered { http_status } => Some(http_status),
            Self::Skipped => None,
        }
    }
}

impl EventRecord {
    /// An event as it was received, before its routes and the invocation are known.
    pub fn received(
        provider: &str,
        event_id: String,
        event_type: Option<String>,
        occurred_at: UnixMillis,
        received_at: UnixMillis,
        body: String,
    ) -> Self {
        Self {
            provider: provider.to_owned(),
            event_id,
            event_type,
            occurred_at,
            received_at,
            state: EventState::Ignored,
            attempts: 0,
            next_attempt_at: None,
            body,
            body_sha256: String::new(),
            recorded_by: String::new(),
            last_error: None,
            history: Vec::new(),
            deliveries: BTreeMap::new(),
            delivered_at: None,
        }
    }

    /// `{provider}#{event id}`: the table's key.
    pub fn pk(&self) -> String {
        format!("{}#{}", self.provider, self.event_id)
    }

    /// The key of the message that `route` makes of this event: the same on every attempt.
    pub fn idempotency_key(&self, route: &str) -> String {
        format!("{}:{}/{route}", self.provider, self.event_id)
    }

    /// Sets the first state: `pending` with a lease when a route wants the event, else `ignored`; `dead` at once when its
    /// envelope is unreadable.
    pub fn begin<'r>(mut self, routes: impl IntoIterator<Item = &'r str>, now: UnixMillis) -> Self {
        self.deliveries = routes.into_iter().map(|name| (name.to_owned(), Dispatch::pending())).collect();
        if self.event_type.is_none() {
            self.deliveries.clear();
            self.state = EventState::Dead;
            self.last_error = Some(FailureCode::EnvelopeUnreadable.code().to_owned());
            self.next_attempt_at = Some(now.seconds());
        } else if self.deliveries.is_empty() {
            self.state = EventState::Ignored;
        } else {
            self.state = EventState::Pending;
            self.attempts = 1;
            self.next_attempt_at = Some(now.seconds().plus(LEASE_S));
        }
        self
    }

    /// The same, `dead` before anything was sent: another fact has its id, and a person has to compare the two. A redrive sends
    /// what its routes want.
    pub fn keep_as_conflict(mut self, now: UnixMillis) -> Self {
        let code = FailureCode::IdConflict.code();
        for dispatch in self.deliveries.values_mut() {
            *dispatch = Dispatch { state: DispatchState::Dead, code: Some(code.to_owned()), at: Some(now) };
        }
        self.state = EventState::Dead;
        self.attempts = 0;
        self.next_attempt_at = Some(now.seconds());
        self.last_error = Some(code.to_owned());
        self
    }

    /// The routes whose message is still to be delivered.
    pub fn pending_routes(&self) -> impl Iterator<Item = &str> {
        self.deliveries
            .iter()
            .filter(|(_, delivery)| delivery.state == DispatchState::Pending)
            .map(|(name, _)| name.as_str())
    }

    /// Whether somebody may take a pending event over: its lease has run out, or its retry is due.
    pub fn is_due(&self, now: UnixMillis) -> bool {
        self.state == EventState::Pending && self.next_attempt_at.is_some_and(|at| at <= now.seconds())
    }

    /// The record for the next attempt, with a lease of its own.
    pub fn take_over(&self, now: UnixMillis) -> Self {
        Self {
            attempts: self.attempts.saturating_add(1),
            next_attempt_at: Some(now.seconds().plus(LEASE_S)),
            ..self.clone()
        }
    }

    /// The record for an attempt that an operator asked for: dead dispatches are pending again, and an ignored event goes to
    /// the `routes` that want it today. `None` when there is nothing to deliver.
    pub fn revive<'r>(&self, routes: impl IntoIterator<Item = &'r str>, now: UnixMillis) -> Option<Self> {
        let mut revived = self.take_over(now);
        match self.state {
            EventState::Delivered => return None,
            EventState::Pending => {}
            EventState::Ignored => {
                revived.deliveries = routes.into_iter().map(|name| (name.to_owned(), Dispatch::pending())).collect();
            }
            EventState::Dead => {
                for delivery in revived.deliveries.values_mut().filter(|d| d.state == DispatchState::Dead) {
                    *delivery = Dispatch { code: delivery.code.take(), ..Dispatch::pending() };
                }
            }
        }
        revived.state = EventState::Pending;
        let something_to_do = revived.pending_routes().next().is_some();
        something_to_do.then_some(revived)
    }

    /// The record after an attempt that ended `now`, having begun at `began_at`; `age` is how long the event has waited to
    /// be delivered, without the time in which its workflows were paused.
    pub fn settle(
        &self,
        by: AttemptBy,
        outcomes: &[(String, DispatchOutcome)],
        began_at: UnixMillis,
        now: UnixMillis,
        age: Duration,
        draw: Draw,
    ) -> Self {
        let mut after = self.clone();
        for (route, outcome) in outcomes {
            after.deliveries.insert(route.clone(), Dispatch::after(outcome, now));
        }

        let failure = outcomes.iter().find_map(|(_, outcome)| outcome.as_ref().err());
        let delivered = outcomes.iter().rev().find_map(|(_, outcome)| outcome.as_ref().ok()?.http_status());
        let (outcome, http_status) = match (failure, delivered) {
            (Some(failure), _) => (failure.code.code(), failure.status),
            (None, Some(status)) => ("delivered", Some(status)),
            (None, None) => ("skipped", None),
        };
        after.last_error = failure.map(DispatchFailure::summary);
        after.history.push(Attempt {
            at: began_at,
            by,
            outcome: outcome.to_owned(),
            http_status,
            ms: u64::try_from(now.since(began_at).as_millis()).unwrap_or(u64::MAX),
        });
        let surplus = after.history.len().saturating_sub(MAX_HISTORY);
        after.history.drain(..surplus);

        if after.pending_routes().next().is_some() {
            let failures = || outcomes.iter().filter_map(|(_, outcome)| outcome.as_ref().err());
            let pause = failures().filter_map(|failure| failure.retry_after).max();
            let longest = match failures().any(|failure| failure.code.waits_for_the_customer()) {
                true => LONGEST_WAIT_FOR_A_CUSTOMER,
                false => LONGEST_WAIT,
            };
            let planned = retry_plan::next_attempt_at(now, age, self.attempts, longest, pause, draw);
            // Never the second in which the lease ends: a take-over is conditional on state, attempts and this time. If this
            // write left all three as they were, a take-over of the older record would succeed and undo what was delivered.
            after.next_attempt_at = planned.map(|at| if self.next_attempt_at == Some(at) { at.plus(1) } else { at });
            if after.next_attempt_at.is_some() {
                return after;
            }
            for delivery in after.deliveries.values_mut().filter(|d| d.state == DispatchState::Pending) {
                delivery.state = DispatchState::Dead;
                delivery.at = Some(now);
            }
        }
        if let Some(dead) = after.deliveries.values().find(|delivery| delivery.state == DispatchState::Dead) {
            // The route may have died in an earlier attempt than this one.
            after.last_error = after.last_error.or_else(|| dead.code.clone());
            after.state = EventState::Dead;
            after.next_attempt_at = Some(now.seconds());
        } else {
            after.state = EventState::Delivered;
            after.next_attempt_at = None;
            after.delivered_at = Some(now);
        }
        after
    }

    /// Hash key of the sparse index: `p0` to `p7` while pending, `dead` while dead.
    pub fn due(&self) -> Option<String> {
        match self.state {
            EventState::Pending => Some(shard_name(Sha256::digest(self.pk().as_bytes())[0] % SHARDS)),
            EventState::Dead => Some(DUE_DEAD.to_owned()),
            EventState::Delivered | EventState::Ignored => None,
        }
    }

    /// When DynamoDB may delete it; `None` while dead.
    pub fn expires_at(&self) -> Option<UnixSeconds> {
        (self.state != EventState::Dead).then(|| self.received_at.seconds().plus(KEPT_FOR_S))
    }
}

/// The index's hash key of a shard of the pending events.
pub fn shard_name(shard: u8) -> String {
    format!("p{shard}")
}

impl Dispatch {
    fn pending() -> Self {
        Self { state: DispatchState::Pending, code: None, at: None }
    }

    fn after(outcome: &DispatchOutcome, now: UnixMillis) -> Self {
        match outcome {
            Ok(DispatchSuccess::Delivered { .. }) => {
                Self { state: DispatchState::Delivered, code: None, at: Some(now) }
            }
            Ok(DispatchSuccess::Skipped) => Self { state: DispatchState::Skipped, code: None, at: Some(now) },
            Err(failure) => Self {
                state: if failure.code.is_permanent() { DispatchState::Dead } else { DispatchState::Pending },
                code: Some(failure.summary()),
                at: failure.code.is_permanent().then_some(now),
            },
        }
    }
}

#[cfg(test)]
mod tests;
