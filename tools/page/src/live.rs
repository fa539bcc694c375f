//! The page's live part: server-sent events, made anew for each viewer out of the board, so that nobody's slowness costs memory.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, Sse};
use futures_util::stream::{self, Stream};
use operator::pauses::paused_since;
use serde::Serialize;
use shared::clock::{Clock, UnixMillis};
use shared::record::pauses::Pauses;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use crate::Page;
use crate::board::ListedEvent;

/// How often changes are told: often enough to be seen as they happen, seldom enough for a browser to draw.
const CHANGES_EVERY: Duration = Duration::from_millis(200);

/// The figures are told each second.
const TICKS_PER_STATS: u32 = 5;

/// Rows in one message: the first of them can be drawn before the last have come.
const ROWS_AT_ONCE: usize = 500;

/// Messages that may be on their way to a viewer who does not read.
const UNREAD: usize = 8;

/// A browser that has lost the stream asks for it again after this.
const RETRY: Duration = Duration::from_secs(1);

/// One viewer's stream.
struct Viewer {
    page: Arc<Page>,
    to: mpsc::Sender<Event>,
    /// By its name, what was said last, of what is said when it changes.
    said: HashMap<&'static str, String>,
}

/// The viewer has gone.
struct Gone;

#[derive(Serialize)]
struct WorkflowLine<'p> {
    name: String,
    paused: bool,
    since: Option<u64>,
    pending: usize,
    routes: Vec<&'p str>,
}

/// Tells everything from the beginning, then what changes, until the viewer goes.
pub(super) async fn live(State(page): State<Arc<Page>>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    // A page that is opened shows the current pauses.
    let _ = page.read_pauses().await;
    let (to, from) = mpsc::channel(UNREAD);
    let viewer = Viewer { page, to, said: HashMap::new() };
    tokio::spawn(async move {
        // Ends only when there is nobody to tell.
        let Err(Gone) = viewer.tell().await;
    });
    Sse::new(stream::unfold(from, |mut from| async { Some((Ok(from.recv().await?), from)) }))
}

impl Viewer {
    async fn tell(mut self) -> Result<Infallible, Gone> {
        let _viewer = self.page.board.viewer();
        self.to.send(Event::default().retry(RETRY)).await.map_err(|_| Gone)?;
        self.say("hello", &self.page.hello()).await?;
        self.tell_figures().await?;
        let (all, mut version) = self.page.board.all();
        self.tell_rows(&all).await?;
        drop(all);
        self.say("loaded", &serde_json::json!({ "more": self.page.board.has_more() })).await?;

        let mut ticks = interval(CHANGES_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut tick = 0_u32;
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.to.closed() => return Err(Gone),
            }
            let (changed, now_at) = self.page.board.changed_since(version);
            version = now_at;
            self.tell_rows(&changed).await?;
            self.tell_if_changed("job", self.page.redriving.job()).await?;
            tick = tick.wrapping_add(1);
            if tick.is_multiple_of(TICKS_PER_STATS) {
                self.tell_figures().await?;
            }
        }
    }

    async fn tell_figures(&mut self) -> Result<(), Gone> {
        let stats = self.page.board.stats(Clock::system().now());
        self.say("stats", &stats).await?;
        let page = Arc::clone(&self.page);
        self.tell_if_changed("workflows", Some(workflows(&page))).await?;
        self.tell_if_changed("playground", page.playground.as_ref().and_then(|playground| playground.status())).await
    }

    async fn tell_rows(&self, rows: &[ListedEvent]) -> Result<(), Gone> {
        let now: UnixMillis = Clock::system().now();
        for some in rows.chunks(ROWS_AT_ONCE) {
            let lines: Vec<_> = some.iter().map(|row| row.line(&self.page.routes, now)).collect();
            self.say("rows", &lines).await?;
        }
        Ok(())
    }

    async fn tell_if_changed(&mut self, name: &'static str, what: Option<impl Serialize>) -> Result<(), Gone> {
        let Some(what) = what else { return Ok(()) };
        let json = serde_json::to_string(&what).unwrap_or_default();
        if self.said.get(name) != Some(&json) {
            self.send(name, &json).await?;
            self.said.insert(name, json);
        }
        Ok(())
    }

    async fn say(&self, name: &str, what: &impl Serialize) -> Result<(), Gone> {
        self.send(name, &serde_json::to_string(what).unwrap_or_default()).await
    }

    async fn send(&self, name: &str, json: &str) -> Result<(), Gone> {
        self.to.send(Event::default().event(name).data(json)).await.map_err(|_| Gone)
    }
}

fn workflows(page: &Page) -> Vec<WorkflowLine<'_>> {
    let pauses: Pauses = page.pauses();
    let pending = page.board.pending_by_route();
    let lines = page.routes.destinations().into_iter().map(|destination| {
        let routes = page.routes.all().iter().filter(|route| route.destination == *destination);
        let routes: Vec<&str> = routes.map(|route| route.name.as_str()).collect();
        WorkflowLine {
            name: destination.to_string(),
            paused: pauses.is_paused(destination),
            since: paused_since(&pauses, destination).map(|at| at.0),
            pending: routes.iter().filter_map(|route| pending.get(*route)).sum(),
            routes,
        }
    });
    lines.collect()
}
