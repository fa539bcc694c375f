//! The page over the events: what arrives, what waits and why, and what an operator can do about it. [`dev`] serves it beside the
//! webhooks, [`console`] over a deployed table. They differ in the source of live events, and only `dev` has a playground.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Json;
use operator::events::candidates::Action;
use operator::events::dismiss::reason;
use operator::events::filter::known_destination;
use operator::pauses::{pause, resume};
use operator::redrive_function::RedriveFunction;
use operator::{OperatorError, Place};
use route::routes::Routes;
use serde::Serialize;
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::deliver::resolver::Resolver;
use shared::record::key;
use shared::record::pauses::Pauses;
use shared::record::store::EventStore;

mod alarms;
pub mod board;
pub mod console;
mod details;
pub mod dev;
mod files;
mod guard;
mod indent;
mod jobs;
mod live;
mod playground;
mod problem;
mod router;

use self::board::{Board, ListedEvent, MAX_ROWS};
use self::guard::Guard;
use self::jobs::{Jobs, Plan, Work};
use self::playground::Playground;
use self::problem::Problem;

/// A page over one bridge.
pub(crate) struct Page {
    pub(crate) guard: Guard,
    pub(crate) place: Place,
    pub(crate) store: EventStore,
    /// Says who customers are without asking a provider.
    pub(crate) resolver: Resolver,
    /// The function that redrives, or why there is none.
    pub(crate) function: Result<Arc<RedriveFunction>, OperatorError>,
    pub(crate) routes: Arc<Routes>,
    /// A source of live events writes to it.
    pub(crate) board: Arc<Board>,
    /// What the list cannot show, in sentences.
    pub(crate) limits: Vec<String>,
    /// `None` for a deployed bridge.
    pub(crate) playground: Option<Arc<Playground>>,
    pub(crate) jobs: Arc<Jobs>,
    /// As of the last reading.
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

/// How often pauses are read, which others may have changed.
const PAUSES_EVERY: Duration = Duration::from_secs(5);

impl Page {
    /// Reads the pauses again and again, as long as there is a viewer. Does not end.
    pub(crate) async fn keep_up(&self) {
        loop {
            if self.board.is_viewed() {
                // After an error, the last reading is still shown.
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
            keys = self.routes.providers().into_iter().map(|provider| key::event(provider, id)).collect();
        }
        let found = self.store.summaries(&keys).await.map_err(|error| self.place.store_error(&error))?;
        let found: Vec<ListedEvent> = found.into_iter().flatten().map(ListedEvent::of).collect();
        let now = Clock::system().now();
        let rows: Vec<_> = found.iter().map(|listed| listed.line(&self.routes, now)).collect();
        Ok(Json(json!({ "rows": rows })))
    }

    async fn plan(&self, action: Action, keys: &[String]) -> Result<Plan, Problem> {
        Ok(self.jobs.plan(action, &self.place, keys, Clock::system().now()).await?)
    }

    fn redrive(&self, plan: &str, rate: u32) -> Result<String, Problem> {
        let function = self.function.as_ref().map_err(|error| Problem::conflict(error.problem(), error.hint()))?;
        self.jobs.start(plan, Work::Redrive { function: Arc::clone(function), rate })
    }

    fn dismiss(&self, plan: &str, why: &str) -> Result<String, Problem> {
        self.jobs.start(plan, Work::Dismiss { place: Box::new(self.place.clone()), reason: reason(why)? })
    }

    async fn set_paused(&self, name: &str, paused: bool) -> Result<String, Problem> {
        let destination = known_destination(&self.routes, name)?;
        let now = Clock::system().now();
        let changed = match paused {
            true => pause(&self.store, &destination, now).await,
            false => resume(&self.store, &destination, now).await,
        };
        let message = changed.map_err(|error| self.place.store_error(&error))?;
        self.read_pauses().await?;
        Ok(message)
    }

    fn pauses(&self) -> Pauses {
        self.pauses.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn read_pauses(&self) -> Result<(), Problem> {
        let read = self.store.pauses(self.routes.destinations()).await;
        // What cannot be read must not be shown as delivering.
        *self.pauses.lock().unwrap_or_else(PoisonError::into_inner) = read.clone().unwrap_or_default();
        read.map_err(|error| self.place.store_error(&error))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
