//! The page over the events: what crosses the bridge, what waits and why, and an operator's hands on it. `bridge dev` serves it
//! beside the webhooks, `bridge console` over a deployed table; what differs is where live events come from, and what is here
//! to play with.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Json;
use operator::events::filter::known_destination;
use operator::pauses::{pause, resume};
use operator::redrive_function::RedriveFunction;
use operator::{OperatorError, Place};
use serde::Serialize;
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::deliver::resolver::Resolver;
use shared::record::pauses::Pauses;
use shared::record::store::EventStore;
use shared::route::routes::Routes;

pub mod board;
pub mod console;
pub mod dev;
mod files;
mod guard;
mod indent;
mod live;
mod opened;
mod playground;
mod problem;
mod redriving;
mod router;

use self::board::{Board, ListedEvent, MAX_ROWS};
use self::guard::Guard;
use self::playground::Playground;
use self::problem::Problem;
use self::redriving::{Plan, RedriveJobs};

/// A page over one bridge.
pub(crate) struct Page {
    pub(crate) guard: Guard,
    pub(crate) place: Place,
    pub(crate) store: EventStore,
    /// Says who customers are without asking a provider.
    pub(crate) resolver: Resolver,
    /// The function that redrives, or why there is none.
    pub(crate) function: Result<Arc<RedriveFunction>, OperatorError>,
    pub(crate) routes: Routes,
    /// Somebody else writes into it what is live.
    pub(crate) board: Arc<Board>,
    /// What a reader of the list has to know of what it lacks, in sentences.
    pub(crate) limits: Vec<String>,
    /// What only a bridge on this machine has.
    pub(crate) playground: Option<Arc<Playground>>,
    pub(crate) redriving: Arc<RedriveJobs>,
    /// As they were read last.
    pub(crate) pauses: Mutex<Pauses>,
}

/// The beginning of a viewer's stream.
#[derive(Serialize)]
struct Hello<'p> {
    mode: &'static str,
    name: String,
    limits: &'p [String],
    cap: usize,
    providers: BTreeSet<&'p str>,
    routes: Vec<RouteLine<'p>>,
    /// Why redrive is not possible here.
    redrive: Option<&'p str>,
}

#[derive(Serialize)]
struct RouteLine<'p> {
    name: &'p str,
    provider: &'p str,
    to: String,
}

/// Switches that somebody else turned are noticed so soon.
const PAUSES_EVERY: Duration = Duration::from_secs(5);

impl Page {
    /// Keeps up with what the table says besides events, as long as somebody looks. Does not end.
    pub(crate) async fn keep_up(&self) {
        loop {
            if self.board.is_viewed() {
                // What was read before is shown on; the next look may do better.
                let _ = self.read_pauses().await;
            }
            tokio::time::sleep(PAUSES_EVERY).await;
        }
    }

    fn hello(&self) -> Hello<'_> {
        Hello {
            mode: if self.playground.is_some() { "dev" } else { "console" },
            name: self.place.name(),
            limits: &self.limits,
            cap: MAX_ROWS,
            providers: self.routes.providers(),
            routes: self
                .routes
                .all()
                .iter()
                .map(|route| RouteLine {
                    name: &route.name,
                    provider: &route.provider,
                    to: route.destination.to_string(),
                })
                .collect(),
            redrive: self.function.as_ref().err().map(OperatorError::problem),
        }
    }

    /// The event of this key, or the events of this id.
    async fn found(&self, id: &str) -> Result<Json<Value>, Problem> {
        let mut keys = vec![id.to_owned()];
        if !id.contains('#') {
            keys = self.routes.providers().into_iter().map(|provider| format!("{provider}#{id}")).collect();
        }
        let found = self.store.summaries(&keys).await.map_err(|error| self.place.store_error(&error))?;
        let found: Vec<ListedEvent> = found.into_iter().flatten().map(ListedEvent::of).collect();
        let now = Clock::system().now();
        let rows: Vec<_> = found.iter().map(|listed| listed.line(&self.routes, now)).collect();
        Ok(Json(json!({ "rows": rows })))
    }

    async fn plan(&self, keys: &[String]) -> Result<Plan, Problem> {
        Ok(self.redriving.plan(&self.place, keys, Clock::system().now()).await?)
    }

    fn start(&self, plan: &str, rate: u32) -> Result<String, Problem> {
        let function = self.function.as_ref().map_err(|error| Problem::conflict(error.problem(), error.hint()))?;
        self.redriving.start(plan, rate, Arc::clone(function))
    }

    async fn switch(&self, name: &str, paused: bool) -> Result<String, Problem> {
        let destination = known_destination(&self.routes, name)?;
        let now = Clock::system().now();
        let switched = match paused {
            true => pause(&self.store, &destination, now).await,
            false => resume(&self.store, &destination, now).await,
        };
        let said = switched.map_err(|error| self.place.store_error(&error))?;
        self.read_pauses().await?;
        Ok(said)
    }

    fn pauses(&self) -> Pauses {
        self.pauses.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn read_pauses(&self) -> Result<(), Problem> {
        let read = self.store.pauses(self.routes.destinations()).await;
        let pauses = read.map_err(|error| self.place.store_error(&error))?;
        *self.pauses.lock().unwrap_or_else(PoisonError::into_inner) = pauses;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
