//! One attempt: every pending route's message to where it goes, then the settling write.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::time::{Instant, sleep, timeout_at};

use crate::clock::{Clock, UnixMillis};
use crate::config::kill_point;
use crate::deliver::message;
use crate::deliver::resolver::Resolver;
use crate::deliver::returning_ai::ReturningAi;
use crate::observe::metrics::{AGE_AT_DELIVERY, DEAD, DELIVERED, DELIVERY_LATENCY, FAILED, Measurements, SKIPPED};
use crate::record::destination::Destination;
use crate::record::event::{AttemptBy, DeliveryState, Done, EventRecord, RouteOutcome};
use crate::record::failure::{DispatchFailure, FailureCode};
use crate::record::pauses::Pauses;
use crate::record::retry_plan::{Draw, quick_wait};
use crate::record::store::error::StoreError;
use crate::record::store::once::Claimed;
use crate::record::store::{EventStore, Settled};
use crate::route::routes::{Route, Routes};
use json::Document;

/// What an attempt needs.
pub struct Deliverer {
    pub clock: Clock,
    pub store: EventStore,
    pub returning_ai: ReturningAi,
    pub resolver: Resolver,
    pub routes: Routes,
    pub switches: Switches,
}

/// Which destinations are paused, as last read from the table.
#[derive(Default)]
pub struct Switches(Mutex<ReadSwitches>);

#[derive(Default)]
struct ReadSwitches {
    pauses: Arc<Pauses>,
    read_at: Option<UnixMillis>,
}

/// How an attempt ended.
#[derive(Debug)]
pub enum Attempted {
    /// No time was left to begin: the lease runs out, and redrive makes the next attempt.
    NoTime,
    /// Every destination that is still to get a message is paused: the event waits as it is.
    Paused,
    Made(Box<AttemptReport>),
}

/// An attempt that was made.
#[derive(Debug)]
pub struct AttemptReport {
    /// Of each route that was tried.
    pub outcomes: Vec<(String, RouteOutcome)>,
    /// The event as it was to be settled.
    pub after: EventRecord,
    /// What became of the settling write.
    pub settled: Result<Settled, StoreError>,
}

/// A pause takes effect in every function within this time.
const SWITCHES_MAX_AGE: Duration = Duration::from_secs(30);

/// Kept back from an invocation's time for the settling write and for the log line.
const SETTLE_MARGIN: Duration = Duration::from_secs(4);

impl Deliverer {
    /// The attempt of the invocation that recorded `event`: up to three quick tries per route while time is left.
    pub async fn first_attempt(&self, event: &EventRecord, invocation_ends_at: UnixMillis) -> Attempted {
        self.refresh_pauses().await;
        kill_point("pauses_read");
        let left = invocation_ends_at.since(self.clock.now()).saturating_sub(SETTLE_MARGIN);
        let pauses = self.pauses();
        let routes = self.open_routes(event, &pauses);
        self.attempt(event, &routes, &pauses, AttemptBy::First, left).await
    }

    /// One attempt at these routes of an event that is ours, within the time that is `left`.
    pub async fn attempt(
        &self,
        event: &EventRecord,
        routes: &[&str],
        pauses: &Pauses,
        by: AttemptBy,
        left: Duration,
    ) -> Attempted {
        if routes.is_empty() {
            return Attempted::Paused;
        }
        if left.is_zero() {
            return Attempted::NoTime;
        }
        let began_at = self.clock.now();
        let deadline = Instant::now() + left;

        let mut outcomes = self.try_routes(event, routes.iter().copied(), deadline).await;
        if by == AttemptBy::First {
            self.quick_tries(event, &mut outcomes, deadline).await;
        }

        kill_point("delivered");
        let now = self.clock.now();
        let after = event.settle(by, &outcomes, began_at, now, self.age(event, pauses, now), Draw::random());
        let settled = self.store.settle(&after).await;
        kill_point("settled");
        Attempted::Made(Box::new(AttemptReport { outcomes, after, settled }))
    }

    /// The pending routes whose destination is not paused.
    pub fn open_routes<'e>(&self, event: &'e EventRecord, pauses: &Pauses) -> Vec<&'e str> {
        event
            .pending_routes()
            .filter(|route| !self.destination(route).is_some_and(|destination| pauses.is_paused(destination)))
            .collect()
    }

    /// Where a route delivers to; `None` for a route that is no longer there.
    pub fn destination(&self, route: &str) -> Option<&Destination> {
        self.routes.named(route).map(|route| &route.destination)
    }

    /// Which destinations are paused, as far as we know.
    pub fn pauses(&self) -> Arc<Pauses> {
        Arc::clone(&self.switches.0.lock().unwrap_or_else(PoisonError::into_inner).pauses)
    }

    /// Reads the switches again if they were read too long ago. While that fails, what was read last goes on counting.
    pub async fn refresh_pauses(&self) {
        let read_at = self.switches.0.lock().unwrap_or_else(PoisonError::into_inner).read_at;
        let now = self.clock.now();
        if read_at.is_some_and(|at| now.since(at) < SWITCHES_MAX_AGE) {
            return;
        }
        match self.store.pauses(self.routes.destinations()).await {
            Ok(pauses) => {
                let mut switches = self.switches.0.lock().unwrap_or_else(PoisonError::into_inner);
                *switches = ReadSwitches { pauses: Arc::new(pauses), read_at: Some(now) };
            }
            Err(error) => tracing::error!(error = %error, "which destinations are paused cannot be read"),
        }
    }

    /// How long an event has waited, by the destination that has been paused longest: none dies for another's sake.
    fn age(&self, event: &EventRecord, pauses: &Pauses, now: UnixMillis) -> Duration {
        let ages = event.pending_routes().filter_map(|route| self.destination(route));
        let ages = ages.map(|destination| pauses.age(destination, event.received_at, now));
        ages.min().unwrap_or_else(|| now.since(event.received_at))
    }

    /// Tries again, within half a second, what failed and may pass.
    async fn quick_tries(&self, event: &EventRecord, outcomes: &mut [(String, RouteOutcome)], deadline: Instant) {
        for made in 1.. {
            let again: Vec<usize> = (0..outcomes.len()).filter(|at| is_transient(&outcomes[*at].1)).collect();
            let pause = again.iter().filter_map(|at| outcomes[*at].1.as_ref().err()?.retry_after).max();
            let Some(wait) = quick_wait(made, pause, Draw::random()) else { return };
            if again.is_empty() || Instant::now() + wait >= deadline {
                return;
            }
            sleep(wait).await;
            kill_point("waited");
            let routes = again.iter().map(|at| outcomes[*at].0.as_str());
            let retried = self.try_routes(event, routes, deadline).await;
            for (at, outcome) in again.into_iter().zip(retried) {
                outcomes[at].1 = outcome.1;
            }
        }
    }

    /// One try of each route, side by side, in the order given.
    async fn try_routes<'r>(
        &self,
        event: &EventRecord,
        routes: impl Iterator<Item = &'r str>,
        deadline: Instant,
    ) -> Vec<(String, RouteOutcome)> {
        join_all(routes.map(|route| async move { (route.to_owned(), self.try_route(event, route, deadline).await) }))
            .await
    }

    async fn try_route(&self, event: &EventRecord, route: &str, deadline: Instant) -> RouteOutcome {
        let route = self.routes.named(route).ok_or(FailureCode::RouteUnknown)?;
        let composed = timeout_at(deadline, self.message(event, route)).await;
        let Some(message) = composed.unwrap_or_else(|_| Err(FailureCode::Timeout.into()))? else {
            return Ok(Done::Skipped);
        };
        kill_point("composed");
        let http_status = self.returning_ai.deliver(&route.destination, &message, deadline).await?;
        Ok(Done::Delivered { http_status })
    }

    /// What this route is to send; `None` when another event of the customer's has used its `once_per`.
    async fn message(&self, event: &EventRecord, route: &Route) -> Result<Option<Bytes>, DispatchFailure> {
        let body = Document::parse(event.body.as_bytes()).map_err(|_| FailureCode::BodyUnreadable)?;
        let customer = self.resolver.resolve(route, body.root()).await?;
        kill_point("resolved");
        // Before the claim: what cannot be sent must not stand in the way of an event that can.
        let message = message::compose(event, body.root(), route, &customer)?;
        if route.once_per_customer {
            let claimed = self
                .store
                .claim_once(&route.name, &customer.customer_id, &event.pk(), self.clock.now())
                .await
                .map_err(|error| {
                    tracing::warn!(error = %error, "whether the customer had this message before is not known");
                    FailureCode::TableUnavailable
                })?;
            kill_point("claimed");
            if claimed == Claimed::Taken {
                return Ok(None);
            }
        }
        Ok(Some(Bytes::from(message)))
    }
}

/// Worth a quick try: Returning.AI or the way to it failed. A customer that is unknown now is so in 100 ms, too.
fn is_transient(outcome: &RouteOutcome) -> bool {
    matches!(outcome, Err(failure) if !failure.code.is_permanent() && !failure.code.waits_for_the_customer())
}

/// Counts one attempt at the event `before`. What was delivered and could not be settled is delivered again, and counts then.
pub fn measure_attempt(measured: &mut Measurements, before: &EventRecord, report: &AttemptReport) {
    let AttemptReport { outcomes, after, settled } = report;
    if let Some(attempt) = after.history.last() {
        measured.duration(DELIVERY_LATENCY, attempt.ms as f64);
    }
    for failure in outcomes.iter().filter_map(|(_, outcome)| outcome.as_ref().err()) {
        measured.count_by(FAILED, failure.code.code());
    }
    if !matches!(settled, Ok(Settled::Written)) {
        return;
    }
    for (route, delivery) in &after.deliveries {
        let was_pending = before.deliveries.get(route).is_none_or(|was| was.state == DeliveryState::Pending);
        match delivery.state {
            _ if !was_pending => {}
            DeliveryState::Pending => {}
            DeliveryState::Delivered => {
                measured.count(DELIVERED, 1);
                let at = delivery.at.unwrap_or(before.received_at);
                measured.duration(AGE_AT_DELIVERY, at.since(before.received_at).as_millis() as f64);
            }
            DeliveryState::Skipped => measured.count(SKIPPED, 1),
            DeliveryState::Dead => measured.count(DEAD, 1),
        }
    }
}

#[cfg(test)]
mod tests;
