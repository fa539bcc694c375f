//! The state of the page: the events that changed last, their rates, and the latency of answers. It is bounded, however many
//! events pass.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use route::routes::Routes;
use serde::Serialize;
use shared::clock::UnixMillis;
use shared::record::event::{DispatchState, EventState};
use shared::record::store::listing::EventSummary;
use tokio::sync::Notify;

/// How many events are listed: a browser scrolls and filters this many without a pause. They take about 10 MB here.
pub(crate) const MAX_ROWS: usize = 10_000;

/// The period of the rates.
const MINUTES: usize = 60;

/// How many answers the latency covers.
const ACKS: usize = 200;

/// How many answers may be known before their events: an event is read after it is written, and its answer is measured
/// meanwhile.
const EARLY_ACKS: usize = 256;

/// A source of live events writes to it, every viewer reads from it.
#[derive(Debug)]
pub struct Board {
    inner: Mutex<Inner>,
    viewers: AtomicUsize,
    viewer_came: Notify,
}

#[derive(Debug)]
struct Inner {
    rows: HashMap<String, Row>,
    /// The keys of `rows` in the order of their changes: settled events, and the others.
    settled: BTreeMap<Version, String>,
    open: BTreeMap<Version, String>,
    version: Version,
    /// Earlier events were not seen when they changed, so no rate counts them.
    watched_since: UnixMillis,
    minutes: VecDeque<Minute>,
    /// `None` if they are not measured.
    acks: Option<VecDeque<f64>>,
    early_acks: VecDeque<(String, f64)>,
    /// The table has more pending or dead events than are listed.
    more: bool,
    trouble: Option<String>,
}

/// Counts changes.
type Version = u64;

#[derive(Clone, Debug)]
struct Row {
    event: Arc<EventSummary>,
    ack_ms: Option<f64>,
    version: Version,
}

/// Epoch minute, events delivered, attempts failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub(crate) struct Minute(pub(crate) u64, pub(crate) u32, pub(crate) u32);

/// An event as the browser gets it.
#[derive(Debug, Serialize)]
pub(crate) struct Line<'e> {
    pk: &'e str,
    #[serde(rename = "type")]
    event_type: Option<&'e str>,
    received: u64,
    state: &'static str,
    attempts: u32,
    /// Epoch seconds.
    next: Option<u64>,
    #[serde(rename = "inHand")]
    in_hand: bool,
    error: Option<&'e str>,
    #[serde(rename = "ack")]
    ack_ms: Option<f64>,
    deliveries: Vec<DeliveryLine<'e>>,
}

#[derive(Debug, Serialize)]
struct DeliveryLine<'e> {
    route: &'e str,
    to: Option<String>,
    state: &'static str,
    code: Option<&'e str>,
    at: Option<u64>,
}

/// A row of the board, from which a [`Line`] is made.
#[derive(Clone, Debug)]
pub(crate) struct ListedEvent {
    pub(crate) event: Arc<EventSummary>,
    pub(crate) ack_ms: Option<f64>,
}

/// The figures over the list.
#[derive(Debug, Serialize)]
pub(crate) struct Stats {
    now: u64,
    pending: usize,
    dead: usize,
    /// There are more pending or dead events than these.
    #[serde(rename = "atLeast")]
    at_least: bool,
    /// When the oldest pending event was received.
    oldest: Option<u64>,
    minutes: Vec<Minute>,
    /// The newest last.
    acks: Option<Vec<f64>>,
    /// Why the list may be old, with a hint.
    trouble: Option<String>,
}

/// Counts as a viewer of the board until it is dropped.
#[derive(Debug)]
pub(crate) struct Viewer(Arc<Board>);

impl Board {
    /// An empty board; `acks` if answers are measured.
    pub fn new(acks: bool, now: UnixMillis) -> Self {
        let inner = Inner {
            rows: HashMap::new(),
            settled: BTreeMap::new(),
            open: BTreeMap::new(),
            version: 0,
            watched_since: now,
            minutes: VecDeque::new(),
            acks: acks.then(VecDeque::new),
            early_acks: VecDeque::new(),
            more: false,
            trouble: None,
        };
        Self { inner: Mutex::new(inner), viewers: AtomicUsize::new(0), viewer_came: Notify::new() }
    }

    /// Replaces what is known of an event by its state `now`, unless that is the same.
    pub(crate) fn put(&self, event: EventSummary, now: UnixMillis) {
        self.lock().put(event, now);
    }

    /// Notes how long the acknowledgement of an event took.
    pub(crate) fn acknowledged(&self, pk: &str, ms: f64) {
        self.lock().acknowledged(pk, ms);
    }

    /// Whether the table has more pending or dead events than are listed.
    pub(crate) fn set_more(&self, more: bool) {
        self.lock().more = more;
    }

    pub(crate) fn has_more(&self) -> bool {
        self.lock().more
    }

    /// Notes why the table cannot be read; `None` if it can.
    pub(crate) fn set_trouble(&self, trouble: Option<String>) {
        self.lock().trouble = trouble;
    }

    /// All events, the newest received first, and their version.
    pub(crate) fn all(&self) -> (Vec<ListedEvent>, Version) {
        let inner = self.lock();
        let mut all: Vec<_> = inner.rows.values().map(Row::listed).collect();
        let version = inner.version;
        drop(inner);
        all.sort_by(|a, b| b.event.received_at.cmp(&a.event.received_at).then_with(|| a.event.pk.cmp(&b.event.pk)));
        (all, version)
    }

    /// The events that have changed since `version`, each once, and the new version.
    pub(crate) fn changed_since(&self, version: Version) -> (Vec<ListedEvent>, Version) {
        let inner = self.lock();
        let newer = version + 1..;
        let keys = inner.settled.range(newer.clone()).chain(inner.open.range(newer));
        let changed = keys.filter_map(|(_, pk)| inner.rows.get(pk)).map(Row::listed).collect();
        (changed, inner.version)
    }

    /// The keys of pending and dead events, the longest unchanged first.
    pub(crate) fn open_keys(&self) -> Vec<String> {
        self.lock().open.values().cloned().collect()
    }

    /// The listed event of this key.
    pub(crate) fn listed(&self, pk: &str) -> Option<ListedEvent> {
        self.lock().rows.get(pk).map(Row::listed)
    }

    pub(crate) fn stats(&self, now: UnixMillis) -> Stats {
        let mut inner = self.lock();
        inner.forget_minutes(now);
        let mut stats = Stats {
            now: now.0,
            pending: 0,
            dead: 0,
            at_least: inner.more,
            oldest: None,
            minutes: inner.minutes.iter().copied().collect(),
            acks: inner.acks.as_ref().map(|acks| acks.iter().copied().collect()),
            trouble: inner.trouble.clone(),
        };
        for event in inner.open.values().filter_map(|pk| inner.rows.get(pk)).map(|row| &row.event) {
            if event.state == EventState::Dead {
                stats.dead += 1;
                continue;
            }
            stats.pending += 1;
            let received = event.received_at.0;
            stats.oldest = Some(stats.oldest.map_or(received, |oldest: u64| oldest.min(received)));
        }
        stats
    }

    /// How many messages are pending on each route.
    pub(crate) fn pending_by_route(&self) -> BTreeMap<String, usize> {
        let inner = self.lock();
        let mut pending = BTreeMap::new();
        for row in inner.open.values().filter_map(|pk| inner.rows.get(pk)) {
            let deliveries = row.event.deliveries.iter();
            for (route, _) in deliveries.filter(|(_, delivery)| delivery.state == DispatchState::Pending) {
                *pending.entry(route.clone()).or_default() += 1;
            }
        }
        pending
    }

    pub(crate) fn viewer(self: &Arc<Self>) -> Viewer {
        self.viewers.fetch_add(1, Ordering::SeqCst);
        self.viewer_came.notify_one();
        Viewer(Arc::clone(self))
    }

    /// Returns as soon as there is a viewer. Only one task may wait at a time.
    pub(crate) async fn until_viewed(&self) {
        while !self.is_viewed() {
            self.viewer_came.notified().await;
        }
    }

    /// Whether there is a viewer.
    pub(crate) fn is_viewed(&self) -> bool {
        self.viewers.load(Ordering::SeqCst) > 0
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.0.viewers.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Inner {
    fn put(&mut self, event: EventSummary, now: UnixMillis) {
        let before = self.rows.get(&event.pk).cloned();
        if before.as_ref().is_some_and(|row| *row.event == event) {
            return;
        }
        let known = match &before {
            Some(row) => Some((row.event.outcomes, row.event.state)),
            None if event.received_at >= self.watched_since => Some((0, EventState::Pending)),
            None => None,
        };
        if let Some((outcomes, state)) = known {
            let delivered = u32::from(event.state == EventState::Delivered && state != EventState::Delivered);
            let attempts = u32::try_from(event.outcomes.saturating_sub(outcomes)).unwrap_or(u32::MAX);
            self.count(now, delivered, attempts.saturating_sub(delivered));
        }
        let ack_ms = before.and_then(|row| row.ack_ms).or_else(|| self.take_early_ack(&event.pk));
        self.place(Row { event: Arc::new(event), ack_ms, version: 0 });
        while self.rows.len() > MAX_ROWS {
            self.forget_one();
        }
    }

    fn acknowledged(&mut self, pk: &str, ms: f64) {
        if let Some(acks) = &mut self.acks {
            keep_newest(acks, ACKS, ms);
        }
        match self.rows.get(pk).cloned() {
            // For a redelivered event, the first answer is shown.
            Some(row) if row.ack_ms.is_some() => {}
            Some(row) => self.place(Row { ack_ms: Some(ms), ..row }),
            None => keep_newest(&mut self.early_acks, EARLY_ACKS, (pk.to_owned(), ms)),
        }
    }

    /// Stores a row as the newest change.
    fn place(&mut self, mut row: Row) {
        self.version += 1;
        row.version = self.version;
        let pk = row.event.pk.clone();
        let is_open = matches!(row.event.state, EventState::Pending | EventState::Dead);
        if let Some(before) = self.rows.insert(pk.clone(), row) {
            self.settled.remove(&before.version);
            self.open.remove(&before.version);
        }
        if is_open { &mut self.open } else { &mut self.settled }.insert(self.version, pk);
    }

    /// Drops a settled event first, the longest unchanged one.
    fn forget_one(&mut self) {
        let forgotten = self.settled.pop_first().or_else(|| {
            self.more = true;
            self.open.pop_first()
        });
        if let Some((_, pk)) = forgotten {
            self.rows.remove(&pk);
        }
    }

    fn take_early_ack(&mut self, pk: &str) -> Option<f64> {
        let at = self.early_acks.iter().position(|(early, _)| early == pk)?;
        self.early_acks.remove(at).map(|(_, ms)| ms)
    }

    fn count(&mut self, now: UnixMillis, delivered: u32, failed: u32) {
        if delivered + failed == 0 {
            return;
        }
        let minute = now.seconds().0 / 60;
        match self.minutes.back_mut() {
            Some(last) if last.0 >= minute => {
                last.1 += delivered;
                last.2 += failed;
            }
            _ => self.minutes.push_back(Minute(minute, delivered, failed)),
        }
        self.forget_minutes(now);
    }

    fn forget_minutes(&mut self, now: UnixMillis) {
        let oldest = (now.seconds().0 / 60).saturating_sub(MINUTES as u64 - 1);
        while self.minutes.front().is_some_and(|minute| minute.0 < oldest) {
            self.minutes.pop_front();
        }
    }
}

impl Row {
    fn listed(&self) -> ListedEvent {
        ListedEvent { event: Arc::clone(&self.event), ack_ms: self.ack_ms }
    }
}

impl ListedEvent {
    /// The entry of an event that is not on the board.
    pub(crate) fn of(event: EventSummary) -> Self {
        Self { event: Arc::new(event), ack_ms: None }
    }

    pub(crate) fn line(&self, routes: &Routes, now: UnixMillis) -> Line<'_> {
        let event = &*self.event;
        let deliveries = event.deliveries.iter().map(|(route, delivery)| DeliveryLine {
            route,
            to: routes.by_name(route).map(|route| route.destination.to_string()),
            state: delivery.state.name(),
            code: delivery.code.as_deref(),
            at: delivery.at.map(|at| at.0),
        });
        Line {
            pk: &event.pk,
            event_type: event.event_type.as_deref(),
            received: event.received_at.0,
            state: event.state.name(),
            attempts: event.attempts,
            next: event.next_attempt_at.map(|at| at.0),
            in_hand: event.is_in_hand(now),
            error: event.last_error.as_deref(),
            ack_ms: self.ack_ms,
            deliveries: deliveries.collect(),
        }
    }
}

fn keep_newest<T>(all: &mut VecDeque<T>, at_most: usize, newest: T) {
    if all.len() == at_most {
        all.pop_front();
    }
    all.push_back(newest);
}

#[cfg(test)]
mod tests;
