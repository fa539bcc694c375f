//! The live part of the page: server-sent events, made for each viewer from the board, so that a slow viewer costs no memory.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, Sse};
use futures_util::stream::{self, Stream};
use serde::Serialize;
use shared::clock::{Clock, UnixMillis};
use shared::record::pauses::{PauseStatus, Pauses};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use crate::Page;
use crate::board::ListedEvent;

/// How often changes are sent: often enough to look immediate, and not more than a browser can draw.
const CHANGES_EVERY: Duration = Duration::from_millis(200);

/// The figures are sent every second.
const TICKS_PER_STATS: u32 = 5;

/// Rows in one message: the browser can draw the first ones before the last arrive.
const ROWS_AT_ONCE: usize = 500;

/// Messages that are buffered for a viewer that does not read.
const UNREAD: usize = 8;

/// A browser that has lost the stream reconnects after this.
const RETRY: Duration = Duration::from_secs(1);

/// One viewer's stream.
struct Viewer {
    page: Arc<Page>,
    to: mpsc::Sender<Event>,
    /// The last JSON of each message that is sent on change only, by name.
    last_sent: HashMap<&'static str, String>,
}

/// The viewer has disconnected.
struct Disconnect;

#[derive(Serialize)]
struct WorkflowLine<'p> {
    name: String,
    /// `null` when its pauses cannot be read.
    paused: Option<bool>,
    since: Option<u64>,
    pending: usize,
    routes: Vec<&'p str>,
}

/// Sends everything, then what changes, until the viewer disconnects.
pub(super) async fn live(State(page): State<Arc<Page>>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    // A new viewer must see the current pauses.
    let _ = page.read_pauses().await;
    let (to, from) = mpsc::channel(UNREAD);
    let viewer = Viewer { page, to, last_sent: HashMap::new() };
    tokio::spawn(async move {
        // It ends only when the viewer disconnects.
        let Err(Disconnect) = viewer.run().await;
    });
    Sse::new(stream::unfold(from, |mut from| async { Some((Ok(from.recv().await?), from)) }))
}

impl Viewer {
    async fn run(mut self) -> Result<Infallible, Disconnect> {
        let _viewer = self.page.board.viewer();
        self.to.send(Event::default().retry(RETRY)).await.map_err(|_| Disconnect)?;
        self.send("hello", &self.page.hello()).await?;
        self.send_figures().await?;
        let (all, mut version) = self.page.board.all();
        self.send_rows(&all).await?;
        drop(all);
        self.send("loaded", &serde_json::json!({ "more": self.page.board.has_more() })).await?;

        let mut ticks = interval(CHANGES_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut tick = 0_u32;
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.to.closed() => return Err(Disconnect),
            }
            let (changed, now_at) = self.page.board.changed_since(version);
            version = now_at;
            self.send_rows(&changed).await?;
            self.send_if_changed("job", self.page.jobs.job()).await?;
            tick = tick.wrapping_add(1);
            if tick.is_multiple_of(TICKS_PER_STATS) {
                self.send_figures().await?;
            }
        }
    }

    async fn send_figures(&mut self) -> Result<(), Disconnect> {
        let stats = self.page.board.stats(Clock::system().now());
        self.send("stats", &stats).await?;
        let page = Arc::clone(&self.page);
        self.send_if_changed("workflows", Some(workflows(&page))).await?;
        self.send_if_changed("playground", page.playground.as_ref().and_then(|playground| playground.status())).await
    }

    async fn send_rows(&self, rows: &[ListedEvent]) -> Result<(), Disconnect> {
        let now: UnixMillis = Clock::system().now();
        for some in rows.chunks(ROWS_AT_ONCE) {
            let lines: Vec<_> = some.iter().map(|row| row.line(&self.page.routes, now)).collect();
            self.send("rows", &lines).await?;
        }
        Ok(())
    }

    async fn send_if_changed(&mut self, name: &'static str, what: Option<impl Serialize>) -> Result<(), Disconnect> {
        let Some(what) = what else { return Ok(()) };
        let json = serde_json::to_string(&what).unwrap_or_default();
        if self.last_sent.get(name) != Some(&json) {
            self.send_json(name, &json).await?;
            self.last_sent.insert(name, json);
        }
        Ok(())
    }

    async fn send(&self, name: &str, what: &impl Serialize) -> Result<(), Disconnect> {
        self.send_json(name, &serde_json::to_string(what).unwrap_or_default()).await
    }

    async fn send_json(&self, name: &str, json: &str) -> Result<(), Disconnect> {
        self.to.send(Event::default().event(name).data(json)).await.map_err(|_| Disconnect)
    }
}

fn workflows(page: &Page) -> Vec<WorkflowLine<'_>> {
    let pauses: Pauses = page.pauses();
    let pending = page.board.pending_by_route();
    let lines = page.routes.destinations().into_iter().map(|destination| {
        let routes = page.routes.all().iter().filter(|route| route.destination == *destination);
        let routes: Vec<&str> = routes.map(|route| route.name.as_str()).collect();
        let (paused, since) = match pauses.status(destination) {
            PauseStatus::Delivering => (Some(false), None),
            PauseStatus::Paused { since } => (Some(true), Some(since.0)),
            PauseStatus::Unreadable => (None, None),
        };
        WorkflowLine {
            name: destination.to_string(),
            paused,
            since,
            pending: routes.iter().filter_map(|route| pending.get(*route)).sum(),
            routes,
        }
    });
    lines.collect()
}
