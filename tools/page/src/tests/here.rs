//! The bridge with its page, as `bridge dev` has them.

use std::sync::Arc;

use local::binaries::{Profile, build_functions, workspace_root};
use local::delivery::SignedHeaders;
use local::samples;
use local::stack::{Stack, StackOptions, sample_key};
use operator::Place;
use operator::customers::import::import_file;
use operator::network::http;
use route::routes::Routes;
use serde_json::{Value, json};
use shared::clock::Clock;
use tokio::task::JoinSet;

use crate::board::Board;
use crate::dev::{dev_file, note_answer, serve};

/// A bridge that is up, with its page. No schedule: a test says when redrive runs.
pub(crate) struct Here {
    pub(crate) stack: Arc<Stack>,
    pub(crate) board: Arc<Board>,
    _working: JoinSet<()>,
}

impl Here {
    /// With the sample customers.
    pub(crate) async fn start() -> Self {
        Self::with(|options| options).await
    }

    /// With other options of the stack's.
    pub(crate) async fn with(change: impl FnOnce(StackOptions) -> StackOptions) -> Self {
        let routes = routes();
        let functions = tokio::task::spawn_blocking(|| build_functions(Profile::Debug)).await.unwrap().unwrap();
        let board = Arc::new(Board::new(true, Clock::system().now()));
        let noting = Arc::clone(&board);
        let options = StackOptions {
            workflows: routes.workflows(),
            incoming_webhooks: routes.incoming_webhooks(),
            observer: Some(Arc::new(move |exchange| note_answer(&noting, exchange))),
            ..StackOptions::new(functions)
        };
        let stack = Arc::new(Stack::start(change(options)).await.unwrap());
        let customers = Place::local(&dev_file(&stack), http().unwrap());
        let file = workspace_root().join("events/customers.csv");
        import_file(&file, &routes, &customers).await.unwrap();
        let samples = samples::load(&workspace_root().join("events")).unwrap();
        let working = serve(&stack, samples, Arc::new(routes), Arc::clone(&board)).unwrap();
        Self { stack, board, _working: working }
    }

    /// The page's address.
    pub(crate) fn url(&self) -> String {
        format!("{}/", self.stack.url())
    }

    /// One run of the schedule.
    pub(crate) async fn redrive(&self) {
        self.stack.redrive(json!({})).await.unwrap();
    }

    /// Signs a body and posts it, as its provider does; the answer's status.
    pub(crate) async fn deliver(&self, provider: &str, body: &str) -> u16 {
        let headers = signed_headers(provider, body);
        self.stack.send(providers::by_name(provider).unwrap(), &headers, body.to_owned()).await.unwrap().0
    }

    /// Everything in the events table.
    pub(crate) fn table(&self) -> Vec<Value> {
        self.stack.dynamodb.items()
    }

    /// How many events the table has in this state.
    pub(crate) fn count(&self, state: &str) -> usize {
        self.table().iter().filter(|item| item["state"] == state).count()
    }

    pub(crate) async fn end(self) {
        self.stack.shutdown().await;
    }
}

/// The routes of this checkout.
pub(crate) fn routes() -> Routes {
    let text = std::fs::read_to_string(workspace_root().join("routes.toml")).unwrap();
    providers::parse_routes("routes.toml", &text).unwrap()
}

/// With the sample key.
pub(crate) fn signed_headers(provider: &str, body: &str) -> SignedHeaders {
    let now = Clock::system().now().seconds();
    let key = sample_key(provider);
    local::delivery::signed_headers(providers::by_name(provider).unwrap(), now, body.as_bytes(), &key).unwrap()
}
