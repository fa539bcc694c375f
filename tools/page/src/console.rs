//! The page of `bridge console`: over a deployed table, whose index is polled.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use axum::Router;
use local::front::{Answer, Front, Guests};
use operator::{OperatorError, Place};
use route::routes::Routes;
use shared::clock::Clock;
use shared::customer::reference::CustomerRef;
use shared::record::event::dead_part;
use shared::record::store::index::IndexRange;
use tokio::task::JoinSet;

use crate::Page;
use crate::board::{Board, MAX_ROWS};
use crate::guard::{Guard, ReadAccess};
use crate::router::router;

mod index;

/// Serves a page until it is dropped.
pub struct PageServer {
    front: Front,
    page: Arc<Page>,
    _working: JoinSet<()>,
}

/// The keys of ten thousand events are a tenth of it.
const MAX_BODY_BYTES: usize = 8 * 1024 * 1024;

/// A customer reference that cannot exist: the answer shows whether the table can be read.
const NO_CUSTOMER: &str = "bridge-console:none";

/// Reads a little of the tables, so that a problem is reported at once, then serves the page.
pub async fn serve(place: Place, routes: Routes, port: u16) -> Result<PageServer, OperatorError> {
    serve_polling(place, routes, port, index::READ_EVERY).await
}

async fn serve_polling(
    place: Place,
    routes: Routes,
    port: u16,
    read_every: Duration,
) -> Result<PageServer, OperatorError> {
    let store = place.events()?;
    let resolver = place.resolver();
    store
        .indexed(&dead_part(0), IndexRange::LatestFirst, Some(1), None)
        .await
        .map_err(|error| place.store_error(&error))?;
    if let (Some(customers), Ok(nobody)) = (&resolver.customers, CustomerRef::parse(NO_CUSTOMER)) {
        customers.find(&nobody).await.map_err(|error| place.store_error(&error))?;
    }
    let function = place.redrive_function().map(Arc::new);

    // The page must know its port, which is known once the server listens.
    let answering: Arc<OnceLock<Router>> = Arc::default();
    let serving = Arc::clone(&answering);
    let front = Front::start(
        port,
        MAX_BODY_BYTES,
        |_| Guests::Page,
        move |request| {
            let router = serving.get().cloned();
            async move {
                match router {
                    Some(router) => Answer::of(&router, request).await,
                    None => Answer::Reset,
                }
            }
        },
    );
    let front = front.map_err(|error| {
        OperatorError::outside(
            format!("Cannot listen on 127.0.0.1:{port}: {error}"),
            "check whether another `bridge console` is running; `--port 0` takes any free port",
        )
    })?;
    let page = Arc::new(Page {
        guard: Guard::new(ReadAccess::WithToken)?,
        limits: limits(resolver.customers.is_some()),
        place,
        store,
        resolver,
        function,
        routes: Arc::new(routes),
        board: Arc::new(Board::new(false, Clock::system().now())),
        playground: None,
        jobs: Arc::default(),
        pauses: Mutex::default(),
    });
    // It is set here only.
    let _ = answering.set(router(&page));

    let mut working = JoinSet::new();
    let following = Arc::clone(&page);
    working.spawn(async move { index::follow(&following.place, &following.store, &following.board, read_every).await });
    let keeping_up = Arc::clone(&page);
    working.spawn(async move { keeping_up.keep_up().await });
    Ok(PageServer { front, page, _working: working })
}

impl PageServer {
    /// The URL to open.
    pub fn url(&self) -> String {
        self.page.guard.open_url(&self.front.url())
    }
}

/// What the page cannot show, for its reader; docs/console.md has the reasons of the figures.
fn limits(with_customers: bool) -> Vec<String> {
    let every = index::READ_EVERY.as_secs();
    let customers = match with_customers {
        true => "A customer is shown if the body or the customers table names it; no provider is asked.",
        false => "A customer is shown if the body names it: no customers table was given, and no provider is asked.",
    };
    vec![
        format!(
            "A deployed table does not push its changes. While this page is open, its index is read every {every} s (every {} s \
             with 10,000 events in it), and changed events are looked up.",
            2 * every
        ),
        "The index has pending and dead events. Delivered and ignored events are listed only if this page has seen them wait; \
         most are delivered too fast for that. A search by event id finds an event in any state."
            .to_owned(),
        format!(
            "At most {},{:03} events are listed. If there are more, the page lists the newest dead events and those that are \
             due next, and then those that change.",
            MAX_ROWS / 1000,
            MAX_ROWS % 1000,
        ),
        "Rates count what this page has seen, at the time it was seen. The duration of acknowledgements is not in the table: \
         see the metrics of the functions."
            .to_owned(),
        customers.to_owned(),
        "One reading of the index costs 36 read units with up to about 450 events in it, and about 130 with 10,000. Each \
         changed event costs one unit more for each 4 KB."
            .to_owned(),
    ]
}

#[cfg(test)]
pub(crate) mod tests;
