//! Redrive: every event that is due is taken over, delivered and settled; by the schedule each minute, or by hand.

use std::time::Duration;

use futures_util::future::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::clock::UnixMillis;
use crate::config::{DEFAULT_MAX_BODY_BYTES, kill_point};
use crate::deliver::attempt::{AttemptOutcome, AttemptReport, Deliverer, Run, measure_attempt, measure_ends};
use crate::observe::metrics::{
    DEAD_EVENTS, Measurements, OLDEST_PENDING_AGE, PAUSES_UNREADABLE, PENDING_EVENTS, REDRIVE_INCOMPLETE, REDRIVE_RUNS,
};
use crate::record::event::{AttemptBy, EventRecord, EventState, MAX_UNSETTLED, holder, pending_part};
use crate::record::store::error::StoreError;
use crate::record::store::index::IndexPage;
use crate::record::store::{SettleOutcome, TakeOverOutcome};
use crate::redrive::backlog::Backlog;
use crate::redrive::contract::{Counts, Request, Share};
use crate::redrive::due::{Bookmarks, DueReader};
use crate::redrive::schedule::{Schedule, Turn};
use json::Document;

/// What the redrive function keeps between its runs.
pub struct Redriver {
    pub deliverer: Deliverer,
    bookmarks: Bookmarks,
}

/// One run over what is due.
struct Redrive<'d> {
    redriver: &'d Redriver,
    run: Run<'d>,
    request_id: &'d str,
    stops_at: Instant,
    /// Of the bodies that are in memory, in KiB.
    room: Semaphore,
}

/// What a run has done so far.
#[derive(Default)]
struct Tally {
    counts: Counts,
    measured: Measurements,
    /// How long the oldest of the due events that the index told of has waited, as [`Backlog::oldest_pending`] counts.
    oldest_due: Option<Duration>,
    /// Events whose last attempts were lost, each with their number: they are tried alone, after all others.
    suspects: Vec<(u32, String)>,
}

/// Events in hand at once: enough to fill a second with calls of 10 ms, few enough for 128 MB.
pub const AT_ONCE: usize = 32;

/// The bodies that are in memory at once, in KiB: eight of the largest. Parsed and in messages, one takes up to forty times
/// its size.
const ROOM_KIB: u32 = 8 * LARGEST_BODY_KIB;

/// Reserved before an event is read.
const LARGEST_BODY_KIB: u32 = DEFAULT_MAX_BODY_BYTES as u32 / 1024;

/// After so many lost attempts in a row an event is tried alone: whatever ends the process must not take others with it.
const SUSPECT_FROM: u32 = 2;

/// How many suspects a run remembers.
const MAX_SUSPECTS: usize = 1_000;

/// No new event is started in the last ten seconds of an invocation: an attempt takes up to eight, settling the rest.
pub const STOP_BEFORE_END: Duration = Duration::from_secs(10);

/// The longest an attempt may take.
const ATTEMPT_TIME: Duration = Duration::from_secs(8);

/// The outcome of one event in this run.
enum EventOutcome {
    Delivered,
    Retried,
    Dead,
    Lost,
    HeldBack,
    NothingToDo,
    /// So many attempts were lost: it is to be tried alone.
    Suspect(u32),
    Troubled,
}

/// A step of a run that has ended.
enum Step {
    Event(Ended),
    Page(usize, Result<IndexPage, StoreError>),
}

/// An event whose turn is over.
struct Ended {
    turn: Turn,
    outcome: EventOutcome,
    change: Option<Change>,
}

/// What was made of an event.
enum Change {
    Attempt { before: Box<EventRecord>, report: Box<AttemptReport> },
    GivenUp { before: Box<EventRecord>, after: Box<EventRecord> },
}

impl Redriver {
    pub fn new(deliverer: Deliverer) -> Self {
        Self { deliverer, bookmarks: Bookmarks::default() }
    }

    /// Does what was asked, as far as time allows: no event is started after `stops_at`. Share 0 measures the backlog first.
    pub async fn run(&self, request: &Request, request_id: &str, stops_at: Instant) -> (Counts, Measurements) {
        // Without the pauses a run holds everything back: each of them asks.
        self.deliverer.pauses.forget_failure();
        let run = self.deliverer.run().await;
        let room = Semaphore::new(ROOM_KIB as usize);
        Redrive { redriver: self, run, request_id, stops_at, room }.run(request).await
    }
}

impl Redrive<'_> {
    async fn run(self, request: &Request) -> (Counts, Measurements) {
        let mut tally = Tally::default();
        let Redriver { deliverer, bookmarks } = self.redriver;
        let now = deliverer.clock.now();
        let mut schedule = Schedule::new(&deliverer.routes, &self.run.pauses, now);
        let mut backlog = None;
        let (by, parts) = match request {
            Request::Keys(keys) => {
                keys.iter().cloned().for_each(|pk| schedule.add(pk));
                (AttemptBy::Manual, Vec::new())
            }
            Request::Due(share) => {
                let seen = Backlog::measure(&deliverer.store, &self.run, *share, now, self.stops_at).await;
                let mut parts = parts_of(*share);
                parts.retain(|part| seen.as_ref().is_none_or(|seen| seen.due_parts.contains(part)));
                backlog = seen.filter(|_| share.measures());
                (AttemptBy::Redrive, parts)
            }
        };
        let mut reader = DueReader::new(parts, now.seconds(), bookmarks);
        self.work(&mut schedule, &mut reader, now, by, &mut tally).await;
        tally.counts.hold_back(schedule.hold_back());
        tally.counts.complete = reader.is_complete() && schedule.is_empty();
        reader.leave(bookmarks);
        self.work_alone(&mut schedule, by, &mut tally).await;

        let Tally { counts, mut measured, oldest_due, .. } = tally;
        measure_run(&mut measured, request, backlog.as_ref(), oldest_due, &counts);
        measured.count_any(PAUSES_UNREADABLE, self.run.unreadable_destinations() as u64);
        (counts, measured)
    }

    /// Tries what is on the schedule, and reads what is to come onto it, side by side.
    async fn work(
        &self,
        schedule: &mut Schedule<'_>,
        reader: &mut DueReader,
        now: UnixMillis,
        by: AttemptBy,
        tally: &mut Tally,
    ) {
        let mut steps = FuturesUnordered::new();
        let (mut in_hand, mut is_reading) = (0, false);
        loop {
            if self.is_in_time() {
                while in_hand < AT_ONCE
                    && let Some(turn) = schedule.next_turn()
                {
                    in_hand += 1;
                    steps.push(self.one(turn, by).map(Step::Event).left_future());
                }
                if !is_reading && let Some(request) = reader.next_page(schedule) {
                    is_reading = true;
                    let store = &self.redriver.deliverer.store;
                    let page = async move { Step::Page(request.part, request.send(store).await) };
                    steps.push(page.right_future());
                }
            }
            match steps.next().await {
                None => return,
                Some(Step::Event(ended)) => {
                    in_hand -= 1;
                    schedule.end(&ended.turn, ended.attempt());
                    tally.event(ended, by);
                }
                Some(Step::Page(part, page)) => {
                    is_reading = false;
                    kill_point("queried");
                    match page {
                        Ok(page) => {
                            let waited =
                                page.entries.iter().filter_map(|entry| self.run.waiting_time(entry, now)).max();
                            tally.oldest_due = tally.oldest_due.max(waited);
                            tally.counts.hold_back(reader.take(part, page, schedule));
                        }
                        Err(error) => {
                            tracing::error!(error = %error, "the events that are due cannot be read");
                            reader.skip(part);
                            tally.count(&EventOutcome::Troubled);
                        }
                    }
                }
            }
        }
    }

    /// Tries the suspects one by one, those with the fewest lost attempts first.
    async fn work_alone(&self, schedule: &mut Schedule<'_>, by: AttemptBy, tally: &mut Tally) {
        let mut suspects = std::mem::take(&mut tally.suspects);
        suspects.sort_unstable();
        for (_, pk) in suspects {
            if !self.is_in_time() {
                tally.counts.complete = false;
                return;
            }
            let ended = self.one(schedule.start_alone(pk), by).await;
            schedule.end(&ended.turn, ended.attempt());
            tally.event(ended, by);
        }
    }

    fn is_in_time(&self) -> bool {
        Instant::now() < self.stops_at
    }

    async fn one(&self, turn: Turn, by: AttemptBy) -> Ended {
        match self.look(&turn, by).await {
            Ok((outcome, change)) => Ended { turn, outcome, change },
            Err(error) => Ended { outcome: troubled(&turn.pk, &error), turn, change: None },
        }
    }

    async fn look(&self, turn: &Turn, by: AttemptBy) -> Result<(EventOutcome, Option<Change>), StoreError> {
        let deliverer = &self.redriver.deliverer;
        // It is never closed.
        let mut room = self.room.acquire_many(LARGEST_BODY_KIB).await.ok();
        let Some(before) = deliverer.store.read(&turn.pk).await? else {
            return Ok((EventOutcome::NothingToDo, None));
        };
        kill_point("read");
        let spare = (LARGEST_BODY_KIB as usize).saturating_sub(before.body.len().div_ceil(1024));
        drop(room.as_mut().and_then(|room| room.split(spare)));
        let now = deliverer.clock.now();
        let ours = match by {
            AttemptBy::Manual => match self.revived(&before) {
                Some(revived) => revived,
                None => return Ok((EventOutcome::NothingToDo, None)),
            },
            // The index may lag behind: only the item itself says whether the event is due.
            _ if before.is_due(now) => before.take_over(now, holder(self.request_id)),
            _ => return Ok((EventOutcome::Lost, None)),
        };
        if before.unsettled >= MAX_UNSETTLED {
            let after = ours.give_up(by, now);
            return Ok(match deliverer.store.take_over(&before, &after).await? {
                TakeOverOutcome::Ours => {
                    (EventOutcome::Dead, Some(Change::GivenUp { before: Box::new(before), after: Box::new(after) }))
                }
                TakeOverOutcome::Lost => (EventOutcome::Lost, None),
            });
        }
        if before.unsettled >= SUSPECT_FROM && !turn.is_alone() {
            return Ok((EventOutcome::Suspect(before.unsettled), None));
        }
        let open = self.run.open_routes(&ours);
        let routes: Vec<&str> = open.into_iter().filter(|route| turn.allows(&deliverer.routes, &ours, route)).collect();
        if routes.is_empty() {
            return Ok((EventOutcome::HeldBack, None));
        }
        if deliverer.store.take_over(&before, &ours).await? == TakeOverOutcome::Lost {
            return Ok((EventOutcome::Lost, None));
        }
        kill_point("taken_over");

        match self.run.attempt(&ours, &routes, by, Instant::now() + ATTEMPT_TIME).await {
            AttemptOutcome::NoTime
            | AttemptOutcome::Paused
            | AttemptOutcome::PausesUnreadable
            | AttemptOutcome::CoolingOff => Ok((EventOutcome::HeldBack, None)),
            AttemptOutcome::Made(report) => {
                let outcome = match (&report.settled, report.after.state) {
                    (Err(error), _) => troubled(&turn.pk, error),
                    (Ok(SettleOutcome::Superseded | SettleOutcome::Gone), _) => EventOutcome::Lost,
                    (Ok(SettleOutcome::Written), EventState::Pending) => EventOutcome::Retried,
                    (Ok(SettleOutcome::Written), EventState::Dead) => EventOutcome::Dead,
                    (Ok(SettleOutcome::Written), _) => EventOutcome::Delivered,
                };
                drop(routes);
                Ok((outcome, Some(Change::Attempt { before: Box::new(ours), report })))
            }
        }
    }

    /// The event for an operator's attempt; an ignored one goes to the routes that want it today.
    fn revived(&self, before: &EventRecord) -> Option<EventRecord> {
        let document = Document::parse(before.body.as_bytes()).ok()?;
        let event_type = before.event_type.as_deref()?;
        let deliverer = &self.redriver.deliverer;
        let routes = deliverer.routes.matching(&before.provider, event_type, document.root());
        let is_gone = |route: &str| deliverer.routes.destination(route).is_none();
        let names = routes.map(|route| route.name.as_str());
        before.revive(names, is_gone, deliverer.clock.now(), holder(self.request_id))
    }
}

impl Tally {
    fn event(&mut self, ended: Ended, by: AttemptBy) {
        match &ended.change {
            Some(Change::Attempt { before, report }) => {
                log_attempt(report, by);
                measure_attempt(&mut self.measured, before, report);
            }
            Some(Change::GivenUp { before, after }) => {
                log_given_up(after, by);
                measure_ends(&mut self.measured, before, after);
            }
            None => {}
        }
        match ended.outcome {
            EventOutcome::Suspect(unsettled) if self.suspects.len() < MAX_SUSPECTS => {
                self.suspects.push((unsettled, ended.turn.pk));
            }
            outcome => self.count(&outcome),
        }
    }

    fn count(&mut self, outcome: &EventOutcome) {
        let counts = &mut self.counts;
        counts.found += 1;
        let counter = match outcome {
            EventOutcome::Delivered => &mut counts.delivered,
            EventOutcome::Retried => &mut counts.retried,
            EventOutcome::Dead => &mut counts.dead,
            EventOutcome::Lost => &mut counts.lost,
            EventOutcome::HeldBack | EventOutcome::Suspect(_) => &mut counts.held_back,
            EventOutcome::NothingToDo => &mut counts.nothing_to_do,
            EventOutcome::Troubled => &mut counts.troubled,
        };
        *counter += 1;
    }
}

impl Ended {
    fn attempt(&self) -> Option<(&EventRecord, &AttemptReport)> {
        match &self.change {
            Some(Change::Attempt { before, report }) => Some((before, report)),
            Some(Change::GivenUp { .. }) | None => None,
        }
    }
}

fn troubled(pk: &str, error: &StoreError) -> EventOutcome {
    tracing::error!(event.pk = pk, error = %error, "an event could not be redriven");
    EventOutcome::Troubled
}

/// The parts of the index that a run reads, at random another one first, so that none always waits for all others.
fn parts_of(share: Share) -> Vec<String> {
    let mut parts: Vec<String> = share.parts().map(pending_part).collect();
    let first = fastrand::usize(..parts.len());
    parts.rotate_left(first);
    parts
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

/// Writes the same of an event that was given up.
fn log_given_up(after: &EventRecord, by: AttemptBy) {
    tracing::error!(
        provider = after.provider,
        event.id = after.event_id,
        event.type = after.event_type.as_deref(),
        by = by.name(),
        attempts = after.attempts,
        state = after.state.name(),
        error = after.last_error.as_deref(),
        "an event was given up: too many attempts in a row ended without an outcome"
    );
}

/// Counts the backlog, if it was measured, and the result of the run.
fn measure_run(
    measured: &mut Measurements,
    request: &Request,
    backlog: Option<&Backlog>,
    oldest_due: Option<Duration>,
    counts: &Counts,
) {
    if let Request::Due(share) = request {
        measured.count_by(REDRIVE_RUNS, share.number().to_string());
    }
    if let Some(backlog) = backlog {
        let gauges = [
            (PENDING_EVENTS, backlog.pending, backlog.pending_at_least),
            (DEAD_EVENTS, backlog.dead, backlog.dead_at_least),
        ];
        for (metric, value, is_bound) in gauges {
            measured.gauge(metric, value, is_bound);
        }
    }
    // Of a long part of the index the backlog sees the ends only, and a share the due events of its own parts.
    if let Some(oldest) = backlog.map(|backlog| backlog.oldest_pending).max(oldest_due) {
        let is_bound = backlog.is_none_or(|backlog| backlog.oldest_at_least);
        measured.gauge(OLDEST_PENDING_AGE, oldest.as_secs(), is_bound);
    }
    if !counts.complete || counts.troubled > 0 {
        measured.count(REDRIVE_INCOMPLETE, 1);
    }
}

#[cfg(test)]
mod tests;
