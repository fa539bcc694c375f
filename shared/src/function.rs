//! The functions from start to end, for their `main`s to call.

pub mod after_ack;

use std::convert::Infallible;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join;
use lambda_http::{Adapter, Service};
use lambda_runtime::{LambdaEvent, Runtime, service_fn};
use tokio::time::{Instant, timeout};
use tracing::level_filters::LevelFilter;

use self::after_ack::AfterAck;
use crate::clock::{Clock, UnixMillis};
use crate::config::{self, Config, ConfigError, ReceiverConfig};
use crate::customer::api_client::{ApiAccount, ApiClient};
use crate::customer::table::Customers;
use crate::deliver::attempt::Deliverer;
use crate::deliver::pauses::PauseCache;
use crate::deliver::resolver::Resolver;
use crate::deliver::returning_ai::ReturningAi;
use crate::deliver::webhooks::Webhooks;
use crate::observe::meter::Meter;
use crate::observe::metrics::SECRET_ENTRY_LEFT_OUT;
use crate::observe::telemetry;
use crate::outside::aws;
use crate::outside::http::{Http, HttpSetupError};
use crate::outside::secrets::CachedSecret;
use crate::receive::door::GatewayEvent;
use crate::receive::provider::Provider;
use crate::receive::receipt::{Answer, Receipt};
use crate::receive::receiver::{ACK_BUDGET, Invocation, Receiver};
use crate::receive::signing_keys::SigningKeys;
use crate::record::store::EventStore;
use crate::redrive::contract::{Counts, Request};
use crate::redrive::run::{Redriver, STOP_BEFORE_END};
use route::routes::Routes;

/// Why a function does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Http(#[from] HttpSetupError),
    #[error("the Lambda runtime ended")]
    Runtime(#[source] lambda_runtime::Error),
}

/// The first event waits for this at most: secrets that have not been read by then are read when they are needed.
const PREPARATION_LIMIT: Duration = Duration::from_secs(1);

/// The functions' `Timeout` in `template.yaml`.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// Runs the receiving function of a provider until Lambda ends it.
pub async fn run(provider: &'static Provider, routes: Routes) -> ExitCode {
    exit_code(provider.name, serve(provider, routes).await)
}

/// Runs the function that redrives what is due, whoever sent it, until Lambda ends it; as [`run`].
pub async fn run_redrive(providers: &[&'static Provider], routes: Routes) -> ExitCode {
    exit_code("redrive", serve_redrive(providers, routes).await)
}

async fn serve(provider: &'static Provider, routes: Routes) -> Result<(), StartError> {
    let began = Instant::now();
    let config = Config::from_env()?;
    let receiver_config = ReceiverConfig::from_env()?;
    telemetry::start(config.log_level);
    let parts = Parts::new(&config, routes, &[provider])?;
    let receiver = Arc::new(Receiver {
        provider,
        clock: parts.clock,
        signing_keys: SigningKeys::new(parts.secrets, receiver_config.signing_secret_id, parts.clock),
        deliverer: parts.deliverer,
        max_body_bytes: receiver_config.max_body_bytes,
    });
    let meter = Arc::new(Meter::new(config.function_name, parts.clock));

    // The first answer needs the keys and the table, and each of these calls leaves a connection open. What is needed after the
    // answer alone waits until then: each connection is a TLS handshake that the first sender would wait for. A failure is logged
    // there, and the delivery that needs the value is answered 503 instead of the function crashing.
    let prepared = join(receiver.signing_keys.value(), receiver.deliverer.refresh_pauses());
    let _ = timeout(PREPARATION_LIMIT, prepared).await;

    let after_ack = AfterAck::default();
    let layer = after_ack.clone();
    let first_has_spent_ms = Arc::new(AtomicU64::new(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)));
    let answer = service_fn(move |event: LambdaEvent<GatewayEvent>| {
        let (event, context) = event.into_parts();
        let spent = Duration::from_millis(first_has_spent_ms.swap(0, Ordering::Relaxed));
        let invocation = Invocation {
            request_id: context.request_id.clone(),
            ends_at: ends_at(UnixMillis(context.deadline), receiver.clock.now()),
            answer_by: Instant::now() + ACK_BUDGET.saturating_sub(spent),
        };
        let (request, refusal) = event.admit(provider);
        let (receiver, meter, after_ack) = (Arc::clone(&receiver), Arc::clone(&meter), after_ack.clone());
        let answer = service_fn(move |request| {
            let (receiver, meter) = (Arc::clone(&receiver), Arc::clone(&meter));
            answer(receiver, meter, after_ack.clone(), request, refusal, invocation.clone())
        });
        Adapter::from(answer).call(LambdaEvent::new(request, context))
    });
    Runtime::new(answer).layer(layer).run_concurrent().await.map_err(StartError::Runtime)
}

async fn serve_redrive(providers: &[&'static Provider], routes: Routes) -> Result<(), StartError> {
    let config = Config::from_env()?;
    telemetry::start(config.log_level);
    let parts = Parts::new(&config, routes, providers)?;
    let redriver = Arc::new((Redriver::new(parts.deliverer), Meter::new(config.function_name, parts.clock)));
    let after_ack = AfterAck::default();
    let layer = after_ack.clone();
    let redrive =
        service_fn(move |event: LambdaEvent<Request>| redrive(Arc::clone(&redriver), after_ack.clone(), event));
    Runtime::new(redrive).layer(layer).run_concurrent().await.map_err(StartError::Runtime)
}

/// What receiving and redriving functions have in common.
struct Parts {
    clock: Clock,
    secrets: aws_sdk_secretsmanager::Client,
    deliverer: Deliverer,
}

impl Parts {
    /// Asks no other API than these providers' own.
    fn new(config: &Config, routes: Routes, providers: &[&'static Provider]) -> Result<Self, StartError> {
        let clock = Clock::system();
        let http = Http::new()?;
        let dynamodb = aws::dynamodb(&config.aws, &http);
        let secrets = aws::secrets_manager(&config.aws, &http);
        let webhooks =
            CachedSecret::new(secrets.clone(), config.returning_ai_secret_id.clone(), clock, Webhooks::parse);
        let api_client = |provider: &&'static Provider| {
            let api = provider.api.as_ref()?;
            let id = config::provider_api_secret_id(api.secret_variable)?;
            let account = CachedSecret::new(secrets.clone(), id, clock, ApiAccount::parse);
            Some(ApiClient::new(provider.name, api, http.clone(), account, clock))
        };
        let resolver = Resolver {
            clock,
            customers: config.customers_table_name.clone().map(|table| Customers::new(dynamodb.clone(), table)),
            apis: providers.iter().filter_map(api_client).collect(),
        };
        let deliverer = Deliverer {
            clock,
            store: EventStore::new(dynamodb, config.table_name.clone()).spreading_over(config.due_parts),
            returning_ai: ReturningAi::new(http, webhooks, clock),
            resolver,
            routes,
            pauses: PauseCache::default(),
        };
        Ok(Self { clock, secrets, deliverer })
    }
}

async fn answer(
    receiver: Arc<Receiver>,
    meter: Arc<Meter>,
    after_ack: AfterAck,
    request: lambda_http::Request,
    refusal: Option<Answer>,
    invocation: Invocation,
) -> Result<Answer, Infallible> {
    let receipt = match refusal {
        Some(answer) => Receipt::of(answer),
        None => receiver.receive(&request, &invocation).await,
    };
    let answer = receipt.answer;
    let request_id = invocation.request_id.clone();
    after_ack.defer(&request_id, async move {
        meter.write(receiver.after_ack(&receipt, &invocation).await);
        if receipt.event.is_some() {
            receiver.refresh_secrets().await;
        }
    });
    Ok(answer)
}

async fn redrive(
    redriver: Arc<(Redriver, Meter)>,
    after_ack: AfterAck,
    event: LambdaEvent<Request>,
) -> Result<Counts, Infallible> {
    let deliverer = &redriver.0.deliverer;
    let now = deliverer.clock.now();
    let left = ends_at(UnixMillis(event.context.deadline), now).since(now);
    let stops_at = Instant::now() + left.saturating_sub(STOP_BEFORE_END);
    let (counts, mut measured) = redriver.0.run(&event.payload, &event.context.request_id, stops_at).await;
    let left_out = deliverer.returning_ai.take_left_out();
    measured.count_any(SECRET_ENTRY_LEFT_OUT, left_out);
    let meter = Arc::clone(&redriver);
    after_ack.defer(&event.context.request_id, async move { meter.1.write(measured) });
    Ok(counts)
}

/// When an invocation ends. A deadline that is over when the event arrives says nothing: `cargo lambda watch` sends one.
fn ends_at(deadline: UnixMillis, now: UnixMillis) -> UnixMillis {
    let latest = now.plus(TIMEOUT);
    if deadline <= now { latest } else { deadline.min(latest) }
}

fn exit_code(function: &str, ended: Result<(), StartError>) -> ExitCode {
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            telemetry::start(LevelFilter::INFO);
            tracing::error!(function, error = %error, "the function cannot run");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests;
