//! What the page of `bridge dev` can do: send deliveries, good and bad, choose how Returning.AI behaves, and stop functions.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::future::join_all;
use http::header;
use local::delivery::{SignedHeaders, signed_headers, with_fresh_id};
use local::faults::When;
use local::returning_ai::Fault;
use local::samples::Sample;
use local::stack::{FUNCTIONS, RECEIVERS, RETURNING_AI_SECRET, Stack, api_secret, signing_secret};
use operator::cloudformation::capitalized;
use operator::error::with_causes;
use operator::verify::{Capture, header_map};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use shared::clock::{Clock, UnixSeconds};
use shared::receive::provider::Provider;
use shared::record::key;

use crate::problem::Problem;

/// The stack on this machine, as long as it runs.
pub(crate) struct Playground {
    stack: Weak<Stack>,
    samples: Vec<Sample>,
    behaviour: Mutex<Behaviour>,
}

/// How Returning.AI answers.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
enum Behaviour {
    #[default]
    #[serde(rename = "fine")]
    Fine,
    /// It accepts each message, slowly.
    #[serde(rename = "slow")]
    Slow,
    #[serde(rename = "500")]
    ServerError,
    /// Too many requests; it asks the bridge to wait some seconds.
    #[serde(rename = "429")]
    TooMany,
    #[serde(rename = "401")]
    Unauthorized,
    #[serde(rename = "reset")]
    Reset,
    #[serde(rename = "garbage")]
    Garbage,
}

#[derive(Debug, Deserialize)]
struct BehaviourChoice {
    behaviour: Behaviour,
}

#[derive(Debug, Deserialize)]
struct SwitchFunction {
    name: String,
    running: bool,
}

/// A delivery, or many of one.
#[derive(Debug, Deserialize)]
struct SendRequest {
    provider: String,
    /// The sample whose bytes are sent if there is no `body`.
    sample: Option<String>,
    body: Option<String>,
    how: SendMode,
    /// With a new event id.
    fresh: bool,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
enum SendMode {
    AsIs,
    Twice,
    SixtyFour,
    /// Signed too long ago.
    Stale,
    /// Changed after it was signed.
    Tampered,
    /// Signed with a key that the bridge does not know.
    OtherKey,
}

#[derive(Serialize)]
struct SampleLine<'s> {
    name: &'s str,
    provider: &'static str,
    ends: &'s str,
}

#[derive(Serialize)]
struct SendResult {
    /// The key of the event, if the delivery is genuine.
    pk: Option<String>,
    answers: Vec<Answers>,
    /// Milliseconds.
    p50: f64,
    longest: f64,
}

#[derive(Serialize)]
struct Answers {
    count: usize,
    status: u16,
    answer: String,
}

#[derive(Deserialize)]
struct Name {
    name: String,
}

/// What is chosen and what runs now.
#[derive(Serialize)]
pub(super) struct PlaygroundStatus {
    /// Which parts are real; `null` if none is.
    real: Option<String>,
    /// `null` if Returning.AI is real.
    behaviour: Option<Behaviour>,
    functions: Vec<FunctionLine>,
}

#[derive(Serialize)]
struct FunctionLine {
    name: &'static str,
    running: bool,
    processes: usize,
    #[serde(rename = "atWork")]
    at_work: usize,
}

/// Twice what both providers allow.
const STALE_BY_S: u64 = 600;

const OTHER_KEY: &str = "whsec_sample_other_key_do_not_use";

/// The delay of Returning.AI when it is slow: less than what has a destination cool off, so that the next message is sent at once.
const SLOW: Duration = Duration::from_secs(1);

/// The `retry-after` of Returning.AI when there are too many requests, in seconds.
const TOO_MANY_WAIT_S: &str = "10";

type ThePlayground = State<Arc<Playground>>;

/// The paths of the playground.
pub(super) fn router(playground: &Arc<Playground>) -> Router {
    Router::new()
        .route("/api/samples", get(samples))
        .route("/api/sample", get(sample))
        .route("/api/send", post(async |State(it): ThePlayground, Json(request)| it.send(request).await))
        .route(
            "/api/returning-ai",
            post(async |State(it): ThePlayground, Json(BehaviourChoice { behaviour })| it.behave(behaviour)),
        )
        .route(
            "/api/functions",
            post(async |State(it): ThePlayground, Json(SwitchFunction { name, running })| it.switch(&name, running)),
        )
        .route("/api/due", post(async |State(it): ThePlayground| it.make_due().await))
        .with_state(Arc::clone(playground))
}

async fn samples(State(playground): ThePlayground) -> Response {
    let lines: Vec<_> = playground.samples.iter().map(SampleLine::of).collect();
    Json(lines).into_response()
}

async fn sample(State(playground): ThePlayground, Query(Name { name }): Query<Name>) -> Result<Response, Problem> {
    let body = playground.named(&name)?.body.clone();
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], body).into_response())
}

impl Playground {
    pub(crate) fn new(stack: Weak<Stack>, samples: Vec<Sample>) -> Self {
        Self { stack, samples, behaviour: Mutex::default() }
    }

    /// `None` once the stack has ended.
    pub(super) fn status(&self) -> Option<PlaygroundStatus> {
        let stack = self.stack.upgrade()?;
        let functions = FUNCTIONS.into_iter().filter_map(|name| {
            let host = stack.function(name)?;
            let (processes, at_work) = (host.pids().len(), host.at_work().len());
            Some(FunctionLine { name, running: host.is_on(), processes, at_work })
        });
        let behaviour = (!stack.is_real(RETURNING_AI_SECRET)).then(|| *self.behaviour());
        Some(PlaygroundStatus { real: real_parts(&stack), behaviour, functions: functions.collect() })
    }

    /// Signs and sends a delivery, and returns the answers.
    async fn send(&self, request: SendRequest) -> Result<Json<SendResult>, Problem> {
        let stack = self.stack()?;
        let provider = providers::by_name(&request.provider)
            .ok_or_else(|| Problem::unusable("No such provider", format!("one of {}", RECEIVERS.join(", "))))?;
        let mut body = match (&request.body, &request.sample) {
            (Some(text), _) => text.as_bytes().to_vec(),
            (None, Some(name)) => self.named(name)?.body.clone(),
            (None, None) => {
                return Err(Problem::unusable("Missing body", "choose a sample or write a body"));
            }
        };
        if request.fresh {
            body = with_fresh_id(provider, &body, &mut fastrand::Rng::new()).ok_or_else(|| {
                let id = provider.envelope.event_id;
                Problem::unusable(format!("The body has no `{id}` to replace"), "send it with its own id")
            })?;
        }
        let no_key = || Problem::conflict("The bridge has no signing key of this provider", "put one into its secret");
        let key = stack.signing_key(provider.name).ok_or_else(no_key)?;
        let (headers, body) = signed(provider, body, request.how, &key)?;
        let count = match request.how {
            SendMode::Twice => 2,
            SendMode::SixtyFour => 64,
            SendMode::AsIs | SendMode::Stale | SendMode::Tampered | SendMode::OtherKey => 1,
        };

        let post = async || {
            let began = Instant::now();
            let answer = stack.send(provider, &headers, body.clone()).await;
            (answer, began.elapsed().as_secs_f64() * 1000.0)
        };
        let mut answers = BTreeMap::<(u16, String), usize>::new();
        let mut took = Vec::new();
        for (answer, ms) in join_all((0..count).map(|_| post())).await {
            let (status, text) = answer.map_err(|error| {
                Problem::conflict(
                    format!("No answer: {}", with_causes(&error)),
                    "check that `bridge dev` is still running",
                )
            })?;
            *answers.entry((status, word(&text))).or_default() += 1;
            took.push(ms);
        }
        took.sort_by(f64::total_cmp);
        let answers = answers.into_iter().map(|((status, answer), count)| Answers { count, status, answer });
        Ok(Json(SendResult {
            pk: recorded_as(provider, &headers, &body, &key),
            answers: answers.collect(),
            p50: took[(took.len() - 1) / 2],
            longest: took[took.len() - 1],
        }))
    }

    fn behave(&self, behaviour: Behaviour) -> Result<Json<Value>, Problem> {
        let stack = self.stack()?;
        if stack.is_real(RETURNING_AI_SECRET) {
            return Err(Problem::conflict(
                "Returning.AI is real here",
                "start `bridge dev` without its secret to choose how it behaves",
            ));
        }
        let mut current = self.behaviour();
        stack.returning_ai.clear_faults();
        if let Some(fault) = behaviour.fault() {
            stack.returning_ai.inject(None, fault, When::UntilCleared);
        }
        *current = behaviour;
        Ok(Json(json!({})))
    }

    fn switch(&self, name: &str, running: bool) -> Result<Json<Value>, Problem> {
        let stack = self.stack()?;
        let host = stack
            .function(name)
            .ok_or_else(|| Problem::unusable("No such function", format!("one of {}", FUNCTIONS.join(", "))))?;
        match running {
            true => host.switch_on(),
            false => host.switch_off(),
        }
        Ok(Json(json!({})))
    }

    async fn make_due(&self) -> Result<Json<Value>, Problem> {
        let due = self.stack()?.make_due().await.map_err(|error| {
            Problem::conflict(format!("The embedded table failed: {}", with_causes(&error)), "try again")
        })?;
        Ok(Json(json!({ "due": due })))
    }

    fn stack(&self) -> Result<Arc<Stack>, Problem> {
        self.stack.upgrade().ok_or_else(|| Problem::conflict("The bridge is shutting down", "start `bridge dev` again"))
    }

    fn named(&self, name: &str) -> Result<&Sample, Problem> {
        let mut samples = self.samples.iter();
        samples
            .find(|sample| sample.name == name)
            .ok_or_else(|| Problem::not_found("No such sample", "the samples are the files of `events/`"))
    }

    fn behaviour(&self) -> MutexGuard<'_, Behaviour> {
        self.behaviour.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'s> SampleLine<'s> {
    fn of(sample: &'s Sample) -> Self {
        Self { name: &sample.name, provider: sample.provider.name, ends: &sample.expected.state }
    }
}

impl Behaviour {
    /// The fault of each call of the bridge; `None` without one.
    fn fault(self) -> Option<Fault> {
        match self {
            Self::Fine => None,
            Self::Slow => Some(Fault::SlowBody(SLOW)),
            Self::ServerError => Some(Fault::Status(500)),
            Self::TooMany => Some(Fault::RetryAfter { status: 429, after: TOO_MANY_WAIT_S.to_owned() }),
            Self::Unauthorized => Some(Fault::Status(401)),
            Self::Reset => Some(Fault::Reset),
            Self::Garbage => Some(Fault::Garbage),
        }
    }
}

/// Which parts are real, and which are stand-ins; `None` if all are stand-ins as usual.
pub fn real_parts(stack: &Stack) -> Option<String> {
    let (real, stand_ins): (Vec<_>, Vec<_>) = secrets().partition(|(_, secret)| stack.is_real(secret));
    let listed = |parts: Vec<(String, String)>| match parts.is_empty() {
        true => "nothing".to_owned(),
        false => parts.into_iter().map(|(part, _)| part).collect::<Vec<_>>().join(", "),
    };
    stack.uses_real_systems().then(|| format!("Real: {}. Stand-ins: {}.", listed(real), listed(stand_ins)))
}

/// Each part that may be real, and its secret.
pub(crate) fn secrets() -> impl Iterator<Item = (String, String)> {
    let of_providers = providers::ALL.iter().flat_map(|provider| {
        let name = capitalized(provider.name);
        let keys = (format!("{name}'s signing keys"), signing_secret(provider.name));
        let api = provider.api.as_ref().map(|_| (format!("{name}'s API"), api_secret(provider.name)));
        [Some(keys), api].into_iter().flatten()
    });
    of_providers.chain([("Returning.AI".to_owned(), RETURNING_AI_SECRET.to_owned())])
}

/// The delivery as it is sent.
fn signed(
    provider: &Provider,
    mut body: Vec<u8>,
    how: SendMode,
    key: &str,
) -> Result<(SignedHeaders, Vec<u8>), Problem> {
    let key = if how == SendMode::OtherKey { OTHER_KEY } else { key };
    let now = Clock::system().now().seconds();
    let signed_at = if how == SendMode::Stale { UnixSeconds(now.0.saturating_sub(STALE_BY_S)) } else { now };
    let headers = signed_headers(provider, signed_at, &body, key)
        .map_err(|error| Problem::unusable(format!("The body is {error}"), "this provider signs JSON"))?;
    if how == SendMode::Tampered {
        tamper(&mut body);
    }
    Ok((headers, body))
}

/// Changes a letter or a digit: a change of white space may not matter to the signature.
fn tamper(body: &mut Vec<u8>) {
    match body.iter_mut().rev().find(|byte| byte.is_ascii_alphanumeric()) {
        Some(byte) => *byte = if *byte == b'0' { b'1' } else { b'0' },
        None => body.push(b'0'),
    }
}

/// The key of the event that the bridge records for a delivery, unless it refuses it.
fn recorded_as(provider: &'static Provider, headers: &SignedHeaders, body: &[u8], key: &str) -> Option<String> {
    let headers = header_map(headers.iter().map(|(name, value)| (*name, value.as_str())));
    let capture = Capture { provider, headers: &headers, body, now: Clock::system().now(), as_of: false };
    let accepted = capture.check(&[key]).ok()?;
    Some(key::event(provider.name, &accepted.event_id))
}

/// The word in the bridge's answer: its status or error.
fn word(answer: &str) -> String {
    let said = serde_json::from_str::<serde_json::Value>(answer).ok();
    // The last is the gateway's own.
    let named =
        |said: &serde_json::Value| ["status", "error", "message"].iter().find_map(|name| said.get(name)).cloned();
    let word = said.and_then(|said| Some(named(&said)?.as_str()?.to_owned()));
    word.unwrap_or_else(|| "an unknown answer".to_owned())
}
