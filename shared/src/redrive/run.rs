//! Redrive: every event that is due is taken over, delivered and settled; by the schedule each minute, or by hand.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use tokio::time::Instant;

use crate::config::kill_point;
use crate::deliver::attempt::{AttemptOutcome, AttemptReport, Deliverer, Run, measure_attempt, measure_ends};
use crate::observe::metrics::{
    DEAD_EVENTS, Measurements, OLDEST_PENDING_AGE, PAUSES_UNREADABLE, PENDING_EVENTS, REDRIVE_INCOMPLETE,
};
use crate::record::destination::Destination;
use crate::record::event::{
    AttemptBy, DispatchOutcome, EventRecord, EventState, MAX_UNSETTLED, SHARDS, holder, shard_name,
};
use crate::record::failure::Blame;
use crate::record::store::error::StoreError;
use crate::record::store::index::{DUE_PAGE, IndexRange};
use crate::record::store::{SettleOutcome, TakeOverOutcome};
use crate::redrive::backlog::Backlog;
use crate::redrive::contract::{Counts, Request};
use json::Document;

/// One run over what is due.
pub struct Redrive<'d> {
    deliverer: &'d Deliverer,
    run: Run<'d>,
    request_id: String,
    stops_at: Instant,
    breaker: Breaker,
    in_time: AtomicBool,
    counts: Mutex<Counts>,
    measured: Mutex<Measurements>,
}

/// Events processed concurrently: enough to fill a second with calls of 10 ms, few enough for 128 MB.
const AT_ONCE: usize = 32;

/// No new event is started in the last ten seconds of an invocation: an attempt takes up to eight, settling the rest.
pub const STOP_BEFORE_END: Duration = Duration::from_secs(10);

/// The longest an attempt may take.
const ATTEMPT_TIME: Duration = Duration::from_secs(8);

/// After so many consecutive failures a destination is skipped for the rest of the run.
const FAILURES_IN_A_ROW: u32 = 5;

/// Consecutive failures of each destination; a success resets them.
struct Breaker(HashMap<Destination, AtomicU32>);

/// The outcome of one event in this run.
enum EventOutcome {
    Delivered,
    Retried,
    Dead,
    Lost,
    HeldBack,
    NothingToDo,
    Troubled(StoreError),
}

impl<'d> Redrive<'d> {
    /// A run that starts no event after `stops_at`.
    pub async fn begin(deliverer: &'d Deliverer, request_id: &str, stops_at: Instant) -> Self {
        let destinations = deliverer.routes.destinations().into_iter().cloned();
        let breaker = Breaker(destinations.map(|destination| (destination, AtomicU32::new(0))).collect());
        let (counts, measured) = Default::default();
        let run = deliverer.run().await;
        let request_id = request_id.to_owned();
        Self { deliverer, run, request_id, stops_at, breaker, in_time: AtomicBool::new(true), counts, measured }
    }

    /// Does what was asked, as far as time allows. Measures the backlog first, unless single events were asked for.
    pub async fn run(self, request: &Request) -> (Counts, Measurements) {
        let mut backlog = None;
        match &request.keys {
            Some(keys) => self.all(keys.iter().cloned(), AttemptBy::Manual).await,
            None => {
                let store = &self.deliverer.store;
                backlog = Backlog::measure(store, self.deliverer.clock.now(), self.stops_at).await;
                self.shards(request.shards.as_deref()).await;
            }
        }
        let counts = self.counts.into_inner().unwrap_or_else(PoisonError::into_inner);
        let counts = Counts { complete: self.in_time.into_inner(), ..counts };
        let mut measured = self.measured.into_inner().unwrap_or_else(PoisonError::into_inner);
        measure_run(&mut measured, backlog.as_ref(), &counts);
        let unreadable = self.run.unreadable_destinations();
        if unreadable > 0 {
            measured.count(PAUSES_UNREADABLE, unreadable as u64);
        }
        (counts, measured)
    }

    async fn shards(&self, wanted: Option<&[u8]>) {
        let wanted: Vec<u8> = match wanted {
            Some(wanted) => wanted.to_vec(),
            // Starts at another shard each time, so that after an outage no shard always waits for all others.
            None => {
                let first = fastrand::u8(..SHARDS);
                (0..SHARDS).map(|shard| (first + shard) % SHARDS).collect()
            }
        };
        for shard in wanted {
            self.shard(&shard_name(shard)).await;
        }
    }

    /// Page by page, so that memory stays flat however much is due.
    async fn shard(&self, due: &str) {
        let by = IndexRange::Due(self.deliverer.clock.now().seconds());
        let mut from = None;
        loop {
            if Instant::now() >= self.stops_at {
                self.in_time.store(false, Ordering::Relaxed);
                return;
            }
            match self.deliverer.store.indexed(due, by, DUE_PAGE, from.as_ref()).await {
                Ok(page) => {
                    kill_point("queried");
                    self.all(page.keys.into_iter().map(|(pk, _)| pk), AttemptBy::Redrive).await;
                    from = page.next;
                }
                Err(error) => {
                    tracing::error!(error = %error, "the events that are due cannot be read");
                    return self.count(&EventOutcome::Troubled(error));
                }
            }
            if from.is_none() {
                return;
            }
        }
    }

    async fn all(&self, pks: impl Iterator<Item = String>, by: AttemptBy) {
        stream::iter(pks)
            .for_each_concurrent(AT_ONCE, |pk| async move {
                if Instant::now() >= self.stops_at {
                    self.in_time.store(false, Ordering::Relaxed);
                    return;
                }
                let became = self.one(&pk, by).await.unwrap_or_else(EventOutcome::Troubled);
                if let EventOutcome::Troubled(error) = &became {
                    tracing::error!(event.pk = pk, error = %error, "an event could not be redriven");
                }
                self.count(&became);
            })
            .await;
    }

    async fn one(&self, pk: &str, by: AttemptBy) -> Result<EventOutcome, StoreError> {
        let deliverer = self.deliverer;
        let Some(before) = deliverer.store.read(pk).await? else {
            return Ok(EventOutcome::NothingToDo);
        };
        kill_point("read");
        let now = deliverer.clock.now();
        let ours = match by {
            AttemptBy::Manual => match self.revived(&before) {
                Some(revived) => revived,
                None => return Ok(EventOutcome::NothingToDo),
            },
            // The index may lag behind: only the item itself says whether the event is due.
            _ if before.is_due(now) => before.take_over(now, holder(&self.request_id)),
            _ => return Ok(EventOutcome::Lost),
        };
        if before.unsettled >= MAX_UNSETTLED {
            let after = before.give_up(now);
            let written = deliverer.store.take_over(&before, &after).await? == TakeOverOutcome::Ours;
            if !written {
                return Ok(EventOutcome::Lost);
            }
            measure_ends(&mut self.measured.lock().unwrap_or_else(PoisonError::into_inner), &before, &after);
            return Ok(EventOutcome::Dead);
        }
        let routes = self.run.open_routes(&ours);
        let routes: Vec<&str> = routes.into_iter().filter(|route| !self.is_broken(route)).collect();
        if routes.is_empty() {
            return Ok(EventOutcome::HeldBack);
        }
        if deliverer.store.take_over(&before, &ours).await? == TakeOverOutcome::Lost {
            return Ok(EventOutcome::Lost);
        }
        kill_point("taken_over");

        match self.run.attempt(&ours, &routes, by, Instant::now() + ATTEMPT_TIME).await {
            AttemptOutcome::NoTime
            | AttemptOutcome::Paused
            | AttemptOutcome::PausesUnreadable
            | AttemptOutcome::CoolingOff => Ok(EventOutcome::HeldBack),
            AttemptOutcome::Made(report) => {
                self.note(&report.outcomes);
                log_attempt(&report, by);
                let mut measured = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
                measure_attempt(&mut measured, &ours, &report);
                drop(measured);
                Ok(match (report.settled?, report.after.state) {
                    (SettleOutcome::Superseded, _) => EventOutcome::Lost,
                    (SettleOutcome::Written, EventState::Pending) => EventOutcome::Retried,
                    (SettleOutcome::Written, EventState::Dead) => EventOutcome::Dead,
                    (SettleOutcome::Gone, _) => EventOutcome::Lost,
                    (SettleOutcome::Written, _) => EventOutcome::Delivered,
                })
            }
        }
    }

    /// The event for an operator's attempt; an ignored one goes to the routes that want it today.
    fn revived(&self, before: &EventRecord) -> Option<EventRecord> {
        let document = Document::parse(before.body.as_bytes()).ok()?;
        let event_type = before.event_type.as_deref()?;
        let routes = self.deliverer.routes.matching(&before.provider, event_type, document.root());
        let is_gone = |route: &str| self.deliverer.destination(route).is_none();
        let names = routes.map(|route| route.name.as_str());
        before.revive(names, is_gone, self.deliverer.clock.now(), holder(&self.request_id))
    }

    fn is_broken(&self, route: &str) -> bool {
        let failures = self.deliverer.destination(route).and_then(|destination| self.breaker.0.get(destination));
        failures.is_some_and(|count| count.load(Ordering::Relaxed) >= FAILURES_IN_A_ROW)
    }

    /// Counts consecutive failures of destinations; failures that blame the event or its customer do not count.
    fn note(&self, outcomes: &[(String, DispatchOutcome)]) {
        for (route, outcome) in outcomes {
            let Some(failures) = self.deliverer.destination(route).and_then(|to| self.breaker.0.get(to)) else {
                continue;
            };
            match outcome {
                Ok(_) => failures.store(0, Ordering::Relaxed),
                Err(failure) if failure.code.blames() == Blame::Destination => {
                    failures.fetch_add(1, Ordering::Relaxed);
                }
                Err(_) => {}
            }
        }
    }

    fn count(&self, became: &EventOutcome) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.found += 1;
        let counter = match became {
            EventOutcome::Delivered => &mut counts.delivered,
            EventOutcome::Retried => &mut counts.retried,
            EventOutcome::Dead => &mut counts.dead,
            EventOutcome::Lost => &mut counts.lost,
            EventOutcome::HeldBack => &mut counts.held_back,
            EventOutcome::NothingToDo => &mut counts.nothing_to_do,
            EventOutcome::Troubled(_) => &mut counts.troubled,
        };
        *counter += 1;
    }
}

/// Writes the one line of an attempt, with the fields of a delivery's line.
fn log_attempt(report: &AttemptReport, by: AttemptBy) {
    let (after, settled) = (&report.after, report.not_settled());
    macro_rules! line {
        ($level:ident, $message:expr) => {
            tracing::$level!(
                provider = after.provider,
                event.id = after.event_id,
                event.type = after.event_type.as_deref(),
                by = by.name(),
                attempts = after.attempts,
                state = settled.is_none().then_some(after.state.name()),
                error = after.last_error.as_deref(),
                settled,
                delivery_ms = after.history.last().map(|attempt| attempt.ms),
                $message
            )
        };
    }
    match settled {
        Some("gone") => line!(error, "the record of an event was deleted before its work was done"),
        _ => line!(info, "an event was redriven"),
    }
}

/// Counts the backlog, if it was measured, and the result of the run.
fn measure_run(measured: &mut Measurements, backlog: Option<&Backlog>, counts: &Counts) {
    if let Some(backlog) = backlog {
        let gauges = [
            (PENDING_EVENTS, backlog.pending, backlog.pending_at_least),
            (OLDEST_PENDING_AGE, backlog.oldest_pending.as_secs(), backlog.oldest_at_least),
            (DEAD_EVENTS, backlog.dead, backlog.dead_at_least),
        ];
        for (metric, value, is_bound) in gauges {
            measured.gauge(metric, value, is_bound);
        }
    }
    if !counts.complete || counts.troubled > 0 {
        measured.count(REDRIVE_INCOMPLETE, 1);
    }
}

#[cfg(test)]
mod tests;
