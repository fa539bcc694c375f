//! One attempt: the message of every pending route is sent, then the event is settled.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use json::{Document, Value};
use tokio::time::{Instant, sleep, timeout_at};

use crate::clock::{Clock, UnixMillis};
use crate::config::kill_point;
use crate::deliver::lookups::Lookups;
use crate::deliver::message;
use crate::deliver::pauses::PauseCache;
use crate::deliver::resolver::Resolver;
use crate::deliver::returning_ai::ReturningAi;
use crate::observe::metrics::{
    AGE_AT_DELIVERY, COOLING_OFF, DEAD, DEAD_WITHOUT_CUSTOMER, DELIVERED, DELIVERY_LATENCY, DISPATCH_FAILED,
    EVENT_GONE, FAILED, Measurements, SKIPPED,
};
use crate::outside::http::CallTime;
use crate::record::event::{
    AttemptBy, DispatchOutcome, DispatchState, DispatchSuccess, EventRecord, api_entry, customer_entry, is_route_entry,
};
use crate::record::failure::{Blame, DispatchFailure, FailureCode};
use crate::record::pauses::{PauseStatus, Pauses};
use crate::record::retry_plan::{Draw, quick_wait};
use crate::record::store::error::StoreError;
use crate::record::store::index::IndexEntry;
use crate::record::store::once::ClaimOutcome;
use crate::record::store::{EventStore, SettleOutcome};
use route::routes::{Route, Routes};

/// What an attempt needs.
pub struct Deliverer {
    pub clock: Clock,
    pub store: EventStore,
    pub returning_ai: ReturningAi,
    pub resolver: Resolver,
    pub routes: Routes,
    pub pauses: PauseCache,
}

/// Attempts at one event or many, all under the pauses that held when the run began.
pub struct Run<'d> {
    deliverer: &'d Deliverer,
    pub pauses: Pauses,
}

/// How an attempt ended.
#[derive(Debug)]
pub enum AttemptOutcome {
    /// No time was left: the lease runs out, and redrive makes the next attempt.
    NoTime,
    /// Every destination that still needs a message is paused: the event waits unchanged.
    Paused,
    /// The same, but of at least one it is unknown whether it is paused.
    PausesUnreadable,
    /// What every open route needs cools off: nothing was sent and nothing is written, and redrive has it when the lease ends.
    CoolingOff,
    Made(Box<AttemptReport>),
}

/// An attempt that was made.
#[derive(Debug)]
pub struct AttemptReport {
    /// Of each route that was tried.
    pub outcomes: Vec<(String, DispatchOutcome)>,
    /// The event as it was to be settled.
    pub after: EventRecord,
    /// Of each route that failed because of another system, which one: the destination, or `api:{provider}`.
    pub failed: Vec<String>,
    /// How many routes were left because it is unknown whether their destinations are paused.
    pub pauses_unreadable: usize,
    /// The outcome of the settling write.
    pub settled: Result<SettleOutcome, StoreError>,
}

impl AttemptReport {
    /// Why the table does not hold `after`, as in the log line; `None` when it does.
    pub fn not_settled(&self) -> Option<&'static str> {
        match self.settled {
            Ok(SettleOutcome::Written) => None,
            Ok(SettleOutcome::Superseded) => Some("superseded"),
            Ok(SettleOutcome::Gone) => Some("gone"),
            Err(_) => Some("not_settled"),
        }
    }
}

/// Reserved of an invocation's time for the settling write and the log line.
const SETTLE_MARGIN: Duration = Duration::from_secs(4);

/// The longest that the attempt of a receiving invocation takes over all its routes: meanwhile its process receives nothing.
pub const FIRST_ATTEMPT_TIME: Duration = Duration::from_secs(5);

/// Clocks of two functions differ by less: a claim may seem older than the receipt of the event that took it.
const CLAIM_MARGIN_MS: u64 = 60 * 60 * 1000;

impl Deliverer {
    /// A run under the pauses as they are now.
    pub async fn run(&self) -> Run<'_> {
        self.refresh_pauses().await;
        Run { deliverer: self, pauses: self.pauses.as_of(self.clock.now()) }
    }

    /// The attempt of the invocation that recorded `event`: up to three quick tries per route within 5 s, the pauses included.
    pub async fn first_attempt(&self, event: &EventRecord, invocation_ends_at: UnixMillis) -> AttemptOutcome {
        let began = Instant::now();
        let run = self.run().await;
        kill_point("pauses_read");
        let left = invocation_ends_at.since(self.clock.now()).saturating_sub(SETTLE_MARGIN);
        let ends_at = (Instant::now() + left).min(began + FIRST_ATTEMPT_TIME);
        run.attempt(event, &run.open_routes(event), AttemptBy::First, ends_at).await
    }

    /// Reads the pauses that are not known as of the last 30 s.
    pub async fn refresh_pauses(&self) {
        self.pauses.refresh(&self.store, &self.routes.destinations(), self.clock).await;
    }
}

impl Run<'_> {
    /// The routes that are due and whose destination is not paused, as far as that is known.
    pub fn open_routes<'e>(&self, event: &'e EventRecord) -> Vec<&'e str> {
        let due = event.due_routes(self.deliverer.clock.now());
        due.filter(|route| self.status(route) == PauseStatus::Delivering).collect()
    }

    /// How long an event has waited for what is not paused, and for no customer; `None` when it waits for nothing else. A customer
    /// may never register.
    pub fn waiting_time(&self, entry: &IndexEntry, now: UnixMillis) -> Option<Duration> {
        let since = entry.waits_since()?;
        if entry.waits_for.is_empty() {
            return Some(now.since(since));
        }
        let names = || entry.waits_for.iter().map(|(name, _)| name);
        let routes = names().filter(|name| is_route_entry(name));
        let routes = routes.filter(|route| !names().any(|name| *name == customer_entry(route)));
        let open = routes.filter(|route| !matches!(self.status(route), PauseStatus::Paused { .. }));
        open.map(|route| self.age(since, route, now)).max()
    }

    fn failed(&self, event: &EventRecord, outcomes: &[(String, DispatchOutcome)]) -> Vec<String> {
        let failed = |(route, outcome): &(String, DispatchOutcome)| match outcome.as_ref().err()?.code.blames() {
            Blame::Destination => self.deliverer.routes.destination(route).map(ToString::to_string),
            Blame::ProviderApi => Some(api_entry(&event.provider)),
            Blame::Event | Blame::Customer | Blame::Nobody => None,
        };
        outcomes.iter().filter_map(failed).collect()
    }

    /// How many pending routes wait because it is unknown whether their destinations are paused.
    pub fn unreadable_routes(&self, event: &EventRecord) -> usize {
        event.pending_routes().filter(|route| self.status(route) == PauseStatus::Unreadable).count()
    }

    /// How many destinations get nothing because it is unknown whether they are paused.
    pub fn unreadable_destinations(&self) -> usize {
        let destinations = self.deliverer.routes.destinations();
        destinations.into_iter().filter(|to| self.pauses.status(to) == PauseStatus::Unreadable).count()
    }

    /// A route that no longer exists has no destination that could be paused.
    fn status(&self, route: &str) -> PauseStatus {
        let destination = self.deliverer.routes.destination(route);
        destination.map_or(PauseStatus::Delivering, |destination| self.pauses.status(destination))
    }

    /// One attempt at these routes of an event whose lease is ours, which ends by `ends_at`.
    pub async fn attempt(
        &self,
        event: &EventRecord,
        routes: &[&str],
        by: AttemptBy,
        ends_at: Instant,
    ) -> AttemptOutcome {
        if routes.is_empty() {
            return match self.unreadable_routes(event) {
                0 => AttemptOutcome::Paused,
                _ => AttemptOutcome::PausesUnreadable,
            };
        }
        if ends_at <= Instant::now() {
            return AttemptOutcome::NoTime;
        }
        let clock = self.deliverer.clock;
        let began_at = clock.now();
        let body = Document::parse(event.body.as_bytes()).ok();
        // Others wait behind a first attempt. Redrive has a limit of its own for what fails.
        let time = CallTime { ends_at, spares_slow_systems: by == AttemptBy::First };
        let attempt = AttemptContext {
            deliverer: self.deliverer,
            event,
            body: body.as_ref().map(Document::root),
            lookups: Lookups::new(&self.deliverer.routes, &self.deliverer.resolver.apis, event, routes, time),
            time,
        };

        let mut outcomes = attempt.try_routes(routes.iter().copied()).await;
        if by == AttemptBy::First {
            attempt.quick_tries(&mut outcomes).await;
        }

        if outcomes.iter().all(|(_, outcome)| matches!(outcome, Err(failure) if !failure.code.was_tried())) {
            return AttemptOutcome::CoolingOff;
        }
        kill_point("delivered");
        let now = clock.now();
        let mut after = event.settle(
            by,
            &outcomes,
            began_at,
            now,
            |route| self.age(event.waits_since(), route, now),
            Draw::random(),
        );
        after.fetched = attempt.lookups.into_fetched();
        let settled = self.deliverer.store.settle(&after).await;
        kill_point("settled");
        let pauses_unreadable = self.unreadable_routes(event);
        let failed = self.failed(event, &outcomes);
        AttemptOutcome::Made(Box::new(AttemptReport { outcomes, after, failed, pauses_unreadable, settled }))
    }

    /// How long a route has waited, without the pauses of its destination.
    fn age(&self, since: UnixMillis, route: &str, now: UnixMillis) -> Duration {
        match self.deliverer.routes.destination(route) {
            Some(destination) => self.pauses.age(destination, since, now),
            None => now.since(since),
        }
    }
}

/// What the tries of one attempt have in common.
struct AttemptContext<'a> {
    deliverer: &'a Deliverer,
    event: &'a EventRecord,
    /// Parsed once for all routes and tries; `None` when it is not JSON.
    body: Option<Value<'a>>,
    lookups: Lookups<'a>,
    time: CallTime,
}

impl<'a> AttemptContext<'a> {
    /// Tries again, within half a second, the routes that may succeed soon.
    async fn quick_tries(&self, outcomes: &mut [(String, DispatchOutcome)]) {
        for made in 1.. {
            // Each by its own answer: that one destination asks for a pause says nothing of the others.
            let draw = Draw::random();
            let wait = |outcome: &DispatchOutcome| quick_wait(made, may_succeed_soon(outcome)?.retry_after, draw);
            let waits = outcomes.iter().enumerate().filter_map(|(at, (_, outcome))| Some((at, wait(outcome)?)));
            let (again, waits): (Vec<usize>, Vec<Duration>) = waits.unzip();
            let Some(wait) = waits.into_iter().max().filter(|wait| Instant::now() + *wait < self.time.ends_at) else {
                return;
            };
            sleep(wait).await;
            kill_point("waited");
            let retried = self.try_routes(again.iter().map(|at| outcomes[*at].0.as_str())).await;
            for (at, (_, outcome)) in again.into_iter().zip(retried) {
                match outcome {
                    // The try before it says more.
                    Err(failure) if failure.code.blames() == Blame::Nobody => {}
                    outcome => outcomes[at].1 = outcome,
                }
            }
        }
    }

    /// One try of each route, side by side, in the order given.
    async fn try_routes<'r>(&self, routes: impl Iterator<Item = &'r str>) -> Vec<(String, DispatchOutcome)> {
        join_all(routes.map(|route| async move { (route.to_owned(), self.try_route(route).await) })).await
    }

    async fn try_route(&self, route: &str) -> DispatchOutcome {
        let Deliverer { routes, returning_ai, .. } = self.deliverer;
        let route = routes.by_name(route).ok_or(FailureCode::RouteUnknown)?;
        if self.time.spares_slow_systems
            && let Some(left) = returning_ai.cools_off_for(&route.destination)
        {
            return Err(DispatchFailure::cooling_off(left));
        }
        // The provider's API ends by itself, with a code of its own; what is cut off here is one of our own systems.
        let composed = timeout_at(self.time.ends_at, self.message(route)).await;
        let Some(message) = composed.unwrap_or_else(|_| Err(FailureCode::NoTime.into()))? else {
            return Ok(DispatchSuccess::Skipped);
        };
        kill_point("composed");
        let http_status = returning_ai.deliver(&route.destination, &message, self.time).await?;
        Ok(DispatchSuccess::Delivered { http_status })
    }

    /// From when on a claim of this event's key is its own, and not that of a namesake whose record has expired.
    fn claims_from(&self) -> UnixMillis {
        UnixMillis(self.event.received_at.0.saturating_sub(CLAIM_MARGIN_MS))
    }

    /// The message of this route; `None` when another event of the customer has used its `once_per`.
    async fn message(&self, route: &'a Route) -> Result<Option<Bytes>, DispatchFailure> {
        let Deliverer { clock, store, resolver, .. } = self.deliverer;
        let body = self.body.ok_or(FailureCode::BodyUnreadable)?;
        let customer = resolver.resolve(route, body, self.time).await?;
        kill_point("resolved");
        let fetched = self.lookups.fetch(route, body).await?;
        // Before the claim: an event that cannot be sent must not use up the claim of one that can.
        let message = message::compose(self.event, body, route, &customer, &fetched)?;
        if route.once_per_customer {
            let claimed = store
                .claim_once(&route.name, &customer.customer_id, &self.event.pk(), self.claims_from(), clock.now())
                .await
                .map_err(|error| {
                    tracing::warn!(error = %error, "cannot check whether the customer had this message before");
                    FailureCode::TableUnavailable
                })?;
            kill_point("claimed");
            if claimed == ClaimOutcome::Taken {
                return Ok(None);
            }
        }
        Ok(Some(Bytes::from(message)))
    }
}

/// The failure, if a try within half a second may succeed, and costs little if it does not.
fn may_succeed_soon(outcome: &DispatchOutcome) -> Option<&DispatchFailure> {
    outcome.as_ref().err().filter(|failure| match failure.code {
        // It would hang once more, or be turned away once more; a look-up is asked once.
        FailureCode::LookupIncomplete
        | FailureCode::LookupNotFound
        | FailureCode::Timeout
        | FailureCode::Throttled
        | FailureCode::ProviderApiTimeout
        | FailureCode::ProviderApiThrottled => false,
        code => !code.is_permanent() && !code.waits_for_the_customer() && code.blames() != Blame::Nobody,
    })
}

/// Counts one attempt at the event `before`. A dispatch that could not be settled is repeated, and counts then.
pub fn measure_attempt(measured: &mut Measurements, before: &EventRecord, report: &AttemptReport) {
    let AttemptReport { outcomes, after, settled, .. } = report;
    if let Some(attempt) = after.history.last() {
        measured.duration(DELIVERY_LATENCY, attempt.ms as f64);
    }
    for failure in outcomes.iter().filter_map(|(_, outcome)| outcome.as_ref().err()) {
        match failure.code.was_tried() {
            true => measured.count_by(FAILED, failure.code.code()),
            false => measured.count(COOLING_OFF, 1),
        }
    }
    for neighbour in &report.failed {
        measured.count_by(DISPATCH_FAILED, neighbour.clone());
    }
    match settled {
        Ok(SettleOutcome::Written) => measure_ends(measured, before, after),
        Ok(SettleOutcome::Gone) => measured.count(EVENT_GONE, 1),
        Ok(SettleOutcome::Superseded) | Err(_) => {}
    }
}

/// Counts what ended on each route of the event `before`, once this is written.
pub fn measure_ends(measured: &mut Measurements, before: &EventRecord, after: &EventRecord) {
    for (route, delivery) in &after.deliveries {
        let was_pending = before.deliveries.get(route).is_none_or(|was| was.state == DispatchState::Pending);
        match delivery.state {
            _ if !was_pending => {}
            DispatchState::Pending => {}
            DispatchState::Delivered => {
                measured.count(DELIVERED, 1);
                let at = delivery.at.unwrap_or(before.received_at);
                measured.duration(AGE_AT_DELIVERY, at.since(before.received_at).as_millis() as f64);
            }
            DispatchState::Skipped => measured.count(SKIPPED, 1),
            DispatchState::Dead => {
                let code = delivery.code.as_deref().and_then(FailureCode::of_summary);
                match code.is_some_and(FailureCode::waits_for_the_customer) {
                    true => measured.count(DEAD_WITHOUT_CUSTOMER, 1),
                    false => measured.count(DEAD, 1),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
