//! One attempt: every pending route's message to its workflow, then the settling write.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use crate::clock::{Clock, UnixMillis};
use crate::event::{AttemptBy, EventRecord, Failure, RouteOutcome};
use crate::event_store::{EventStore, Settled, StoreError};
use crate::json::Document;
use crate::message;
use crate::retry_plan::{Draw, quick_wait};
use crate::returning_ai::ReturningAi;
use crate::routes::Routes;

/// What an attempt needs.
pub struct Deliverer {
    pub clock: Clock,
    pub store: EventStore,
    pub returning_ai: ReturningAi,
    pub routes: Routes,
}

/// How an attempt ended.
#[derive(Debug)]
pub enum Attempted {
    /// No time was left to begin: the lease runs out, and redrive makes the next attempt.
    NoTime,
    /// The outcome of each route, and what became of the settling write.
    Made { after: Box<EventRecord>, settled: Result<Settled, StoreError> },
}

/// Kept back from an invocation's time for the settling write and for the log line.
const SETTLE_MARGIN: Duration = Duration::from_secs(4);

impl Deliverer {
    /// The attempt of the invocation that recorded `event`: up to three quick tries per route while time is left.
    pub async fn first_attempt(&self, event: &EventRecord, invocation_ends_at: UnixMillis) -> Attempted {
        let began_at = self.clock.now();
        let left = invocation_ends_at.since(began_at).saturating_sub(SETTLE_MARGIN);
        if left.is_zero() {
            return Attempted::NoTime;
        }
        let deadline = Instant::now() + left;

        let mut outcomes = self.try_routes(event, event.pending_routes(), deadline).await;
        for made in 1.. {
            let again: Vec<usize> = (0..outcomes.len()).filter(|at| is_passing(&outcomes[*at].1)).collect();
            let pause = again.iter().filter_map(|at| outcomes[*at].1.as_ref().err()?.retry_after).max();
            let Some(wait) = quick_wait(made, pause, Draw::random()) else { break };
            if again.is_empty() || Instant::now() + wait >= deadline {
                break;
            }
            sleep(wait).await;
            let routes = again.iter().map(|at| outcomes[*at].0.as_str());
            let retried = self.try_routes(event, routes, deadline).await;
            for (at, outcome) in again.into_iter().zip(retried) {
                outcomes[at] = outcome;
            }
        }

        let after = event.settle(AttemptBy::First, &outcomes, began_at, self.clock.now(), Draw::random());
        let settled = self.store.settle(&after).await;
        Attempted::Made { after: Box::new(after), settled }
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
        let route = self.routes.named(route).ok_or_else(|| Failure::passing("route_unknown"))?;
        let message = {
            let body = Document::parse(event.body.as_bytes()).map_err(|_| Failure::passing("body_unreadable"))?;
            Bytes::from(message::compose(event, body.root(), route)?)
        };
        self.returning_ai.deliver(&route.workflow, &message, deadline).await
    }
}

/// Worth a quick try: Returning.AI or the way to it failed. A customer that is unknown now is so in 100 ms, too.
fn is_passing(outcome: &RouteOutcome) -> bool {
    matches!(outcome, Err(failure) if !failure.for_good && failure.code != "customer_unknown")
}
