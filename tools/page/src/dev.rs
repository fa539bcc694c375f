//! The page of `bridge dev`: beside the webhooks, with events as they are written.

use std::sync::{Arc, Mutex};

use local::dynamodb::{CUSTOMERS_TABLE, EVENTS_TABLE};
use local::samples::Sample;
use local::stack::{REDRIVE, RETURNING_AI_SECRET, Stack, api_secret, signing_secret};
use operator::dev_file::DevFile;
use operator::network::http;
use operator::{OperatorError, Parts, Place};
use route::routes::Routes;
use shared::receive::provider::Provider;
use tokio::task::JoinSet;

use crate::Page;
use crate::board::{Board, MAX_ROWS};
use crate::guard::{Guard, ReadAccess};
use crate::playground::{Playground, secrets};
use crate::router::router;

mod writes;

pub use self::writes::note_answer;
pub use crate::playground::real_parts;

/// Serves the page beside the webhooks, with live events, until the returned value is dropped.
pub fn serve(
    stack: &Arc<Stack>,
    samples: Vec<Sample>,
    routes: Arc<Routes>,
    board: Arc<Board>,
) -> Result<JoinSet<()>, OperatorError> {
    let place = Place::local(&dev_file(stack), http()?);
    let page = Arc::new(Page {
        guard: Guard::new(ReadAccess::Open)?,
        store: place.events()?,
        resolver: place.resolver(),
        function: place.redrive_function().map(Arc::new),
        place,
        routes,
        board,
        limits: vec![format!(
            "Events are pushed as they happen. The newest {MAX_ROWS} are listed; pending and dead events have priority."
        )],
        playground: Some(Arc::new(Playground::new(Arc::downgrade(stack), samples))),
        jobs: Arc::default(),
        pauses: Mutex::default(),
    });
    stack.serve_beside(Some(router(&page)));

    let mut working = JoinSet::new();
    let writes = stack.dynamodb.subscribe_to_writes();
    let following = Arc::clone(&page);
    working.spawn(async move { writes::follow(&following.store, &following.board, writes).await });
    working.spawn(async move { page.keep_up().await });
    Ok(working)
}

/// The addresses and names with which the verbs that work on a table find this bridge.
pub fn dev_file(stack: &Stack) -> DevFile {
    let by_provider = |of: &dyn Fn(&Provider) -> String| {
        providers::ALL.iter().map(|provider| (provider.name.to_owned(), of(provider))).collect()
    };
    DevFile {
        gateway_url: stack.url(),
        dynamodb_url: stack.dynamodb.url(),
        secrets_manager_url: stack.secrets_manager.url(),
        returning_ai_url: stack.returning_ai.url(),
        rail_api_url: stack.rail_api.url(),
        webhook_port_url: stack.webhook_port_url(),
        real_secrets: secrets().map(|(_, secret)| secret).filter(|secret| stack.is_real(secret)).collect(),
        parts: Parts {
            events_table: Some(EVENTS_TABLE.to_owned()),
            customers_table: Some(CUSTOMERS_TABLE.to_owned()),
            redrive_function: Some(REDRIVE.to_owned()),
            redrive_schedules: Vec::new(),
            webhooks: by_provider(&|provider| stack.webhook_url(provider)),
            signing_secrets: by_provider(&|provider| signing_secret(provider.name)),
            returning_ai_secret: Some(RETURNING_AI_SECRET.to_owned()),
            api_secrets: by_provider(&|provider| api_secret(provider.name)),
        },
        pid: std::process::id(),
    }
}
