//! One event's record and the pure transitions between its states; what is durable is exactly this.

use std::collections::BTreeMap;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::clock::{UnixMillis, UnixSeconds};
use crate::config::MAX_DUE_PARTS;
use crate::record::failure::{Blame, DispatchFailure, FailureCode};
use crate::record::key;
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
    /// While pending: when the lease ends, or the earliest time of its pending routes. While dead: when it died, since an item
    /// without the index's range key is not in the index.
    pub next_attempt_at: Option<UnixSeconds>,
    /// When an operator last revived it; the age counts from here.
    pub revived_at: Option<UnixMillis>,
    /// Take-overs since the last settle: attempts whose process died.
    pub unsettled: u32,
    /// The signed text without what `[redact]` names.
    pub body: String,
    /// Of the bytes as received, in hexadecimal.
    pub body_sha256: String,
    /// Whose attempt the latest one is: `{request id}/{random}`. A repeated write recognises itself by it, and settling
    /// demands it.
    pub taken_by: String,
    /// A stable code, and the HTTP status where there was one.
    pub last_error: Option<String>,
    /// The newest [`MAX_HISTORY`] attempts, oldest first.
    pub history: Vec<Attempt>,
    /// By the name of the route, as the attribute `deliveries` has them.
    pub deliveries: BTreeMap<String, Dispatch>,
    /// By the name of the route: what look-ups gave for its fields, which is the same in every attempt.
    pub fetched: BTreeMap<String, Fetched>,
    pub delivered_at: Option<UnixMillis>,
    /// When DynamoDB may delete it: 90 days after the end of the work; `None` while anything is left to do.
    pub expires_at: Option<UnixSeconds>,
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
    /// An operator has closed a dead event.
    Dismissed,
}

/// The state of an event on one route.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Dispatch {
    pub state: DispatchState,
    /// Why not, as of the latest attempt.
    pub code: Option<String>,
    pub at: Option<UnixMillis>,
    /// How often it was tried since it was last revived.
    pub attempts: u32,
    /// While pending: its own time; `None` when it is due at once.
    pub next_attempt_at: Option<UnixSeconds>,
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
    /// The code of the first route that failed; else `delivered`, or `skipped` when no route sent anything. `attempts_lost`
    /// when the event was given up, `dismissed` when an operator closed it.
    pub outcome: String,
    pub http_status: Option<u16>,
    pub ms: u64,
    /// What the operator said about a dismissal.
    pub reason: Option<String>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AttemptBy {
    /// The invocation that received the event.
    First,
    Redrive,
    Manual,
}

/// What look-ups gave for the fields of one route, as JSON; `None` for a field that is sent without.
pub type Fetched = BTreeMap<String, Option<String>>;

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

const API_ENTRY: &str = "api:";
const CUSTOMER_ENTRY: &str = "customer:";

/// The outcome in the history of an event that an operator has closed.
pub const DISMISSED: &str = "dismissed";

/// How many attempts a record remembers.
pub const MAX_HISTORY: usize = 20;

/// Of names and values in `fetched`, over all routes of an event.
pub const MAX_FETCHED_BYTES: usize = 4096;

/// An event expires 90 days after the end of the work on it.
const KEPT_FOR_S: u64 = 90 * 24 * 60 * 60;

/// Pending events are read from so many parts of the index, however many a writer spreads them over.
pub const PENDING_PARTS: u8 = MAX_DUE_PARTS;

/// Dead events lie in so many parts: they are few, and nobody waits for them to be read.
pub const DEAD_PARTS: u8 = 8;

/// After so many attempts without an outcome an event is dead: whatever ends the process must not be tried for ever.
pub const MAX_UNSETTLED: u32 = 10;

impl EventState {
    pub const ALL: [Self; 5] = [Self::Pending, Self::Delivered, Self::Ignored, Self::Dead, Self::Dismissed];

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Ignored => "ignored",
            Self::Dead => "dead",
            Self::Dismissed => "dismissed",
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
            revived_at: None,
            unsettled: 0,
            body,
            body_sha256: String::new(),
            taken_by: String::new(),
            last_error: None,
            history: Vec::new(),
            deliveries: BTreeMap::new(),
            fetched: BTreeMap::new(),
            delivered_at: None,
            expires_at: None,
        }
    }

    /// `{provider}#{event id}`: the table's key.
    pub fn pk(&self) -> String {
        key::event(&self.provider, &self.event_id)
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
            self.expires_at = Some(now.seconds().plus(KEPT_FOR_S));
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
            *dispatch = Dispatch {
                state: DispatchState::Dead,
                code: Some(code.to_owned()),
                at: Some(now),
                ..Dispatch::pending()
            };
        }
        self.state = EventState::Dead;
        self.attempts = 0;
        self.next_attempt_at = Some(now.seconds());
        self.last_error = Some(code.to_owned());
        self.expires_at = None;
        self
    }

    /// The routes whose message is still to be delivered.
    pub fn pending_routes(&self) -> impl Iterator<Item = &str> {
        self.pending().map(|(route, _)| route)
    }

    /// The pending routes whose own time has come.
    pub fn due_routes(&self, now: UnixMillis) -> impl Iterator<Item = &str> {
        let is_due = move |dispatch: &Dispatch| dispatch.next_attempt_at.is_none_or(|at| at <= now.seconds());
        self.pending().filter(move |(_, dispatch)| is_due(dispatch)).map(|(route, _)| route)
    }

    fn pending(&self) -> impl Iterator<Item = (&str, &Dispatch)> {
        self.deliveries
            .iter()
            .filter(|(_, it)| it.state == DispatchState::Pending)
            .map(|(name, it)| (name.as_str(), it))
    }

    /// Whether somebody may take a pending event over: its lease has run out, or a route is due.
    pub fn is_due(&self, now: UnixMillis) -> bool {
        self.state == EventState::Pending && self.next_attempt_at.is_some_and(|at| at <= now.seconds())
    }

    /// From when on the age counts.
    pub fn waits_since(&self) -> UnixMillis {
        self.revived_at.unwrap_or(self.received_at)
    }

    /// What the event waits for, as the index has it: each pending route with the second from which it is due, and with the same
    /// `api:{provider}` when the provider's API failed last, and `customer:{route}` when the route waits for its customer.
    pub fn waits_for(&self) -> BTreeMap<String, UnixSeconds> {
        let mut waits_for = BTreeMap::new();
        for (route, dispatch) in self.pending() {
            let at = dispatch.next_attempt_at.unwrap_or(self.waits_since().seconds());
            waits_for.insert(route.to_owned(), at);
            if dispatch.waits_for_the_api() {
                waits_for.insert(api_entry(&self.provider), at);
            }
            if dispatch.failure().is_some_and(FailureCode::waits_for_the_customer) {
                waits_for.insert(customer_entry(route), at);
            }
        }
        waits_for
    }

    /// The record for the next attempt, with a lease of its own.
    pub fn take_over(&self, now: UnixMillis, taken_by: String) -> Self {
        let mut lease_ends = now.seconds().plus(LEASE_S);
        // An event is in hand while this is no route's own time.
        while self.pending().any(|(_, dispatch)| dispatch.next_attempt_at == Some(lease_ends)) {
            lease_ends = lease_ends.plus(1);
        }
        Self {
            attempts: self.attempts.saturating_add(1),
            unsettled: self.unsettled.saturating_add(1),
            next_attempt_at: Some(lease_ends),
            taken_by,
            expires_at: None,
            ..self.clone()
        }
    }

    /// The record for an attempt that an operator asked for. A dead or dismissed event: its dead dispatches are pending again,
    /// and go to the `routes` that want the event today if their own `is_gone`. An ignored one goes to those `routes`. A pending
    /// one is due at once. `None` when there is nothing to deliver.
    pub fn revive<'r>(
        &self,
        routes: impl IntoIterator<Item = &'r str>,
        is_gone: impl Fn(&str) -> bool,
        now: UnixMillis,
        taken_by: String,
    ) -> Option<Self> {
        let mut revived = self.clone();
        let dead = |dispatch: &Dispatch| dispatch.state == DispatchState::Dead;
        match self.state {
            EventState::Delivered => return None,
            EventState::Pending => {
                let pending = revived.deliveries.values_mut().filter(|it| it.state == DispatchState::Pending);
                pending.for_each(|dispatch| dispatch.next_attempt_at = None);
            }
            EventState::Ignored | EventState::Dead | EventState::Dismissed => {
                let ignored = self.state == EventState::Ignored;
                let all = revived.deliveries.len();
                revived.deliveries.retain(|route, dispatch| !(dead(dispatch) && is_gone(route)));
                if ignored || revived.deliveries.len() < all {
                    for route in routes {
                        revived.deliveries.entry(route.to_owned()).or_insert_with(Dispatch::pending);
                    }
                }
                for dispatch in revived.deliveries.values_mut().filter(|dispatch| dead(dispatch)) {
                    *dispatch = Dispatch { code: dispatch.code.take(), ..Dispatch::pending() };
                }
                revived.revived_at = Some(now);
            }
        }
        revived.state = EventState::Pending;
        let something_to_do = revived.pending().next().is_some();
        something_to_do.then(|| revived.take_over(now, taken_by))
    }

    /// The record after an attempt that ended `now`, having begun at `began_at`; `age` is how long a route has waited, without
    /// the time in which its destination was paused. Routes that were not tried stay as they are.
    pub fn settle(
        &self,
        by: AttemptBy,
        outcomes: &[(String, DispatchOutcome)],
        began_at: UnixMillis,
        now: UnixMillis,
        age: impl Fn(&str) -> Duration,
        draw: Draw,
    ) -> Self {
        let mut after = Self { unsettled: 0, ..self.clone() };
        for (route, outcome) in outcomes {
            let before = self.deliveries.get(route).map_or(0, |dispatch| dispatch.attempts);
            let dispatch = Dispatch::after(outcome, before, now, age(route), draw);
            after.deliveries.insert(route.clone(), dispatch);
        }
        after.plan_apart(self.next_attempt_at);

        let failure = outcomes.iter().find_map(|(_, outcome)| outcome.as_ref().err());
        let delivered = outcomes.iter().rev().find_map(|(_, outcome)| outcome.as_ref().ok()?.http_status());
        let (outcome, http_status) = match (failure, delivered) {
            (Some(failure), _) => (failure.code.code(), failure.status),
            (None, Some(status)) => ("delivered", Some(status)),
            (None, None) => ("skipped", None),
        };
        after.last_error = failure.map(DispatchFailure::summary);
        let ms = u64::try_from(now.since(began_at).as_millis()).unwrap_or(u64::MAX);
        after.remember(Attempt { at: began_at, by, outcome: outcome.to_owned(), http_status, ms, reason: None });

        let next = after.pending().map(|(_, dispatch)| dispatch.next_attempt_at.unwrap_or(now.seconds())).min();
        match next {
            Some(at) => {
                after.next_attempt_at = Some(if self.next_attempt_at == next { at.plus(1) } else { at });
                after
            }
            None => after.ended(now),
        }
    }

    /// The record after an attempt that sends nothing, because those before it have all ended without an outcome.
    pub fn give_up(&self, by: AttemptBy, now: UnixMillis) -> Self {
        let outcome = FailureCode::AttemptsLost.code().to_owned();
        let code = Some(outcome.clone());
        let mut after = Self { unsettled: 0, last_error: code.clone(), ..self.clone() };
        for dispatch in after.deliveries.values_mut().filter(|it| it.state == DispatchState::Pending) {
            let (state, code) = (DispatchState::Dead, code.clone());
            *dispatch = Dispatch { state, code, at: Some(now), next_attempt_at: None, ..dispatch.clone() };
        }
        after.remember(Attempt { at: now, by, outcome, http_status: None, ms: 0, reason: None });
        after.ended(now)
    }

    /// The record of a dead event that an operator closes, and why if they say so; `None` of any other.
    pub fn dismiss(&self, reason: Option<String>, now: UnixMillis) -> Option<Self> {
        if self.state != EventState::Dead {
            return None;
        }
        let mut after = Self {
            state: EventState::Dismissed,
            next_attempt_at: None,
            expires_at: Some(now.seconds().plus(KEPT_FOR_S)),
            ..self.clone()
        };
        let outcome = DISMISSED.to_owned();
        after.remember(Attempt { at: now, by: AttemptBy::Manual, outcome, http_status: None, ms: 0, reason });
        Some(after)
    }

    /// Nothing is pending: delivered, or dead if any route is.
    fn ended(mut self, now: UnixMillis) -> Self {
        if let Some(dead) = self.deliveries.values().find(|delivery| delivery.state == DispatchState::Dead) {
            // The route may have died in an earlier attempt than this one.
            self.last_error = self.last_error.or_else(|| dead.code.clone());
            self.state = EventState::Dead;
            self.next_attempt_at = Some(now.seconds());
        } else {
            self.state = EventState::Delivered;
            self.next_attempt_at = None;
            self.delivered_at = Some(now);
            self.expires_at = Some(now.seconds().plus(KEPT_FOR_S));
        }
        self
    }

    /// No route is due in the second in which the lease ends: a take-over is conditional on state, attempts and this time. If a
    /// settle left all three as they were, a take-over of the older record would succeed and undo what was delivered.
    ///
    /// Routes that wait for the provider's API are due together, and no other route with them: by this time the index's
    /// reader knows which they are.
    fn plan_apart(&mut self, lease_ends: Option<UnixSeconds>) {
        let pending = |it: &&mut Dispatch| it.state == DispatchState::Pending;
        let mut pending: Vec<&mut Dispatch> = self.deliveries.values_mut().filter(pending).collect();
        let after_lease = |at: UnixSeconds| if Some(at) == lease_ends { at.plus(1) } else { at };
        for dispatch in &mut pending {
            dispatch.next_attempt_at = dispatch.next_attempt_at.map(after_lease);
        }
        let times = pending.iter().filter(|it| it.waits_for_the_api()).filter_map(|it| it.next_attempt_at);
        let Some(first) = times.min() else { return };
        for dispatch in &mut pending {
            if dispatch.waits_for_the_api() {
                dispatch.next_attempt_at = Some(first);
            } else if dispatch.next_attempt_at == Some(first) {
                dispatch.next_attempt_at = Some(after_lease(first.plus(1)));
            }
        }
    }

    fn remember(&mut self, attempt: Attempt) {
        self.history.push(attempt);
        let surplus = self.history.len().saturating_sub(MAX_HISTORY);
        self.history.drain(..surplus);
    }

    /// Hash key of the sparse index: one of `p0` to `p63` while pending, for a writer who spreads over `due_parts` of them; one
    /// of `d0` to `d7` while dead.
    pub fn due(&self, due_parts: u8) -> Option<String> {
        match self.state {
            EventState::Pending => Some(pending_part(self.part_of(due_parts))),
            EventState::Dead => Some(dead_part(self.part_of(DEAD_PARTS))),
            EventState::Delivered | EventState::Ignored | EventState::Dismissed => None,
        }
    }

    /// A stable hash of the key, modulo `parts`: two bytes of it, so that no number of parts is filled unevenly.
    fn part_of(&self, parts: u8) -> u8 {
        let digest = Sha256::digest(self.pk().as_bytes());
        let hash = u16::from_le_bytes([digest[0], digest[1]]);
        (hash % u16::from(parts)) as u8
    }
}

/// Whether a deliverer holds a pending event: `next_attempt_at` lies ahead and is no pending route's own time.
pub fn is_in_hand(
    state: EventState,
    next_attempt_at: Option<UnixSeconds>,
    deliveries: &BTreeMap<String, Dispatch>,
    now: UnixMillis,
) -> bool {
    let is_own_time = |at| deliveries.values().any(|dispatch| dispatch.next_attempt_at == Some(at));
    state == EventState::Pending && next_attempt_at.is_some_and(|at| at > now.seconds() && !is_own_time(at))
}

/// The entry of `waits_for` that speaks of the provider's API.
pub fn api_entry(provider: &str) -> String {
    format!("{API_ENTRY}{provider}")
}

/// Whether an entry of `waits_for` speaks of a provider's API.
pub fn is_api_entry(name: &str) -> bool {
    name.starts_with(API_ENTRY)
}

/// The entry of `waits_for` that says of a route that it waits for its customer.
pub fn customer_entry(route: &str) -> String {
    format!("{CUSTOMER_ENTRY}{route}")
}

/// Whether an entry of `waits_for` is a route. No route's name has a colon.
pub fn is_route_entry(name: &str) -> bool {
    !name.contains(':')
}

/// The name of a new attempt, for `taken_by`.
pub fn holder(request_id: &str) -> String {
    format!("{request_id}/{:016x}", fastrand::u64(..))
}

/// The index's hash key of one part of the pending events.
pub fn pending_part(part: u8) -> String {
    format!("p{part}")
}

/// The index's hash key of one part of the dead events.
pub fn dead_part(part: u8) -> String {
    format!("d{part}")
}

/// The hash keys of all pending events.
pub fn pending_parts() -> impl Iterator<Item = String> {
    (0..PENDING_PARTS).map(pending_part)
}

/// The hash keys of all dead events.
pub fn dead_parts() -> impl Iterator<Item = String> {
    (0..DEAD_PARTS).map(dead_part)
}

impl Dispatch {
    pub fn pending() -> Self {
        Self { state: DispatchState::Pending, code: None, at: None, attempts: 0, next_attempt_at: None }
    }

    /// After an attempt on a route that was tried `before` times and has waited for `age`.
    fn after(outcome: &DispatchOutcome, before: u32, now: UnixMillis, age: Duration, draw: Draw) -> Self {
        let attempts = before.saturating_add(1);
        let done = |state| Self { state, code: None, at: Some(now), attempts, next_attempt_at: None };
        let failure = match outcome {
            Ok(DispatchSuccess::Delivered { .. }) => return done(DispatchState::Delivered),
            Ok(DispatchSuccess::Skipped) => return done(DispatchState::Skipped),
            Err(failure) => failure,
        };
        let code = Some(failure.summary());
        let pending = |attempts, at| Self { code: code.clone(), attempts, next_attempt_at: at, ..Self::pending() };
        if !failure.code.was_tried() {
            let ends_at = now.plus(failure.retry_after.unwrap_or_default()).seconds().plus(1);
            return pending(before, Some(ends_at));
        }
        let longest = match failure.code.waits_for_the_customer() {
            true => LONGEST_WAIT_FOR_A_CUSTOMER,
            false => LONGEST_WAIT,
        };
        match retry_plan::next_attempt_at(now, age, attempts, longest, failure.retry_after, draw) {
            Some(at) if !failure.code.is_permanent() => pending(attempts, Some(at)),
            _ => Self { code, ..done(DispatchState::Dead) },
        }
    }

    /// Whether the provider's API failed last.
    pub fn waits_for_the_api(&self) -> bool {
        self.failure().is_some_and(|code| code.blames() == Blame::ProviderApi)
    }

    fn failure(&self) -> Option<FailureCode> {
        self.code.as_deref().and_then(FailureCode::of_summary)
    }
}

#[cfg(test)]
mod tests;
