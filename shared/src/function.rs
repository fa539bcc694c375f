//! A receiving function from start to end: everything its `main` has to say.

use std::marker::PhantomData;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join3;
use lambda_runtime::{LambdaEvent, Runtime, service_fn};
use tokio::time::{Instant, timeout};
use tracing::level_filters::LevelFilter;

use crate::after_ack::AfterAck;
use crate::api_gateway::{HttpRequest, HttpResponse};
use crate::clock::{Clock, UnixMillis};
use crate::config::{Config, ConfigError};
use crate::delivery::Deliverer;
use crate::event_store::EventStore;
use crate::http::{Http, HttpSetupError};
use crate::receiver::{ACK_BUDGET, Invocation, Receiver};
use crate::returning_ai::{ReturningAi, Workflows};
use crate::routes::{Routes, RoutesError};
use crate::secrets::CachedSecret;
use crate::signing_keys::KeySet;
use crate::verification::Provider;
use crate::{aws, telemetry};

/// Why a function does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Routes(#[from] RoutesError),
    #[error(transparent)]
    Http(#[from] HttpSetupError),
    #[error("the Lambda runtime ended")]
    Runtime(#[source] lambda_runtime::Error),
}

/// The first event waits for this at most: what could not be fetched by then is fetched when it is needed.
const PREPARATION_LIMIT: Duration = Duration::from_secs(1);

/// Runs the function of provider `P` until Lambda ends it. `routes` is the text of `routes.toml`.
pub async fn run<P: Provider>(routes: &str) -> ExitCode {
    match serve::<P>(routes).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            telemetry::start(LevelFilter::INFO);
            tracing::error!(provider = P::NAME, error = %error, "the function cannot run");
            ExitCode::FAILURE
        }
    }
}

async fn serve<P: Provider>(routes: &str) -> Result<(), StartError> {
    let began = Instant::now();
    let config = Config::from_env()?;
    telemetry::start(config.log_level);
    let routes = Routes::parse("routes.toml", routes)?;
    let http = Http::new()?;
    let receiver = Arc::new(receiver::<P>(&config, &http, routes));

    let dynamodb = aws::dynamodb_url(&config.aws);
    let prepared =
        join3(receiver.signing_keys.value(), receiver.deliverer.returning_ai.prepare(), http.open(&dynamodb));
    // What failed is logged there, and met again by the delivery that needs it: answered 503, not by a crash.
    let _ = timeout(PREPARATION_LIMIT, prepared).await;

    let after_ack = AfterAck::default();
    let layer = after_ack.clone();
    let first_has_spent_ms = Arc::new(AtomicU64::new(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)));
    let answer = service_fn(move |event: LambdaEvent<HttpRequest>| {
        let spent = Duration::from_millis(first_has_spent_ms.swap(0, Ordering::Relaxed));
        answer(Arc::clone(&receiver), after_ack.clone(), event, spent)
    });
    Runtime::new(answer).layer(layer).run_concurrent().await.map_err(StartError::Runtime)
}

fn receiver<P: Provider>(config: &Config, http: &Http, routes: Routes) -> Receiver<P> {
    let clock = Clock::system();
    let secrets = aws::secrets_manager(&config.aws, http);
    let workflows = CachedSecret::new(secrets.clone(), config.returning_ai_secret_id.clone(), clock, Workflows::parse)
        .current_only();
    Receiver {
        clock,
        signing_keys: CachedSecret::new(secrets, config.signing_secret_id.clone(), clock, KeySet::parse),
        deliverer: Deliverer {
            clock,
            store: EventStore::new(aws::dynamodb(&config.aws, http), config.table_name.clone()),
            returning_ai: ReturningAi::new(http.clone(), workflows, clock),
            routes,
        },
        max_body_bytes: config.max_body_bytes,
        provider: PhantomData,
    }
}

async fn answer<P: Provider>(
    receiver: Arc<Receiver<P>>,
    after_ack: AfterAck,
    event: LambdaEvent<HttpRequest>,
    spent: Duration,
) -> Result<HttpResponse, std::convert::Infallible> {
    let invocation = Invocation {
        request_id: event.context.request_id,
        ends_at: UnixMillis(event.context.deadline),
        answer_by: Instant::now() + ACK_BUDGET.saturating_sub(spent),
    };
    let receipt = receiver.receive(event.payload, &invocation).await;
    let answer = receipt.answer.to_http();
    let request_id = invocation.request_id.clone();
    after_ack.leave(&request_id, receiver.after_ack(receipt, invocation));
    Ok(answer)
}
