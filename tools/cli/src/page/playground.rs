//! What the page of `bridge dev` has to play with: deliveries good and bad, Returning.AI's moods, and the functions' processes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::future::join_all;
use http::header;
use local::delivery::{SignedHeaders, signed_headers};
use local::faults::When;
use local::returning_ai::Fault;
use local::samples::Sample;
use local::stack::{FUNCTIONS, RECEIVERS, Stack, sample_key};
use operator::error::with_causes;
use operator::verify::{Capture, header_map};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use shared::clock::{Clock, UnixSeconds};
use shared::receive::provider::Provider;

use crate::delivery::{not_json, with_fresh_id};
use crate::page::problem::Problem;

/// The stack that runs here, for as long as it does.
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
    /// It takes each message, and its time.
    #[serde(rename = "slow")]
    Slow,
    #[serde(rename = "500")]
    ServerError,
    /// Too many requests; it asks for some seconds.
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
struct Behave {
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
    /// The sample whose own bytes are sent where there is no `body`.
    sample: Option<String>,
    body: Option<String>,
    how: How,
    /// With an event id of its own.
    fresh: bool,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
enum How {
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
struct SendReply {
    /// Of what a genuine delivery has become.
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

/// Where the play stands.
#[derive(Serialize)]
pub(super) struct Now {
    behaviour: Behaviour,
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

/// How long Returning.AI takes when it is slow: well within what the bridge waits.
const SLOW: Duration = Duration::from_secs(2);

/// What it asks for when there are too many requests, in seconds.
const TOO_MANY_WAIT_S: &str = "10";

type ThePlayground = State<Arc<Playground>>;

/// What can be asked of it.
pub(super) fn router(playground: &Arc<Playground>) -> Router {
    Router::new()
        .route("/api/samples", get(samples))
        .route("/api/sample", get(sample))
        .route("/api/send", post(async |State(it): ThePlayground, Json(request)| it.send(request).await))
        .route(
            "/api/returning-ai",
            post(async |State(it): ThePlayground, Json(Behave { behaviour })| it.behave(behaviour)),
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

    /// `None` once the stack has gone.
    pub(super) fn now(&self) -> Option<Now> {
        let stack = self.stack.upgrade()?;
        let functions = FUNCTIONS.into_iter().filter_map(|name| {
            let host = stack.function(name)?;
            let (processes, at_work) = (host.pids().len(), host.at_work().len());
            Some(FunctionLine { name, running: host.is_on(), processes, at_work })
        });
        Some(Now { behaviour: *self.behaviour(), functions: functions.collect() })
    }

    /// Signs and sends, and says what was answered.
    async fn send(&self, request: SendRequest) -> Result<Json<SendReply>, Problem> {
        let stack = self.stack()?;
        let provider = providers::by_name(&request.provider).ok_or_else(|| {
            Problem::unusable("there is no such provider", format!("one of {}", RECEIVERS.join(", ")))
        })?;
        let mut body = match (&request.body, &request.sample) {
            (Some(text), _) => text.as_bytes().to_vec(),
            (None, Some(name)) => self.named(name)?.body.clone(),
            (None, None) => {
                return Err(Problem::unusable("there is nothing to send", "choose a sample or write a body"));
            }
        };
        if request.fresh {
            body = with_fresh_id(provider, &body, &mut fastrand::Rng::new())?;
        }
        let (headers, body) = signed(provider, body, request.how)?;
        let count = match request.how {
            How::Twice => 2,
            How::SixtyFour => 64,
            How::AsIs | How::Stale | How::Tampered | How::OtherKey => 1,
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
                Problem::conflict(format!("no answer: {}", with_causes(&error)), "is `bridge dev` shutting down?")
            })?;
            *answers.entry((status, word(&text))).or_default() += 1;
            took.push(ms);
        }
        took.sort_by(f64::total_cmp);
        let answers = answers.into_iter().map(|((status, answer), count)| Answers { count, status, answer });
        Ok(Json(SendReply {
            pk: recorded_as(provider, &headers, &body),
            answers: answers.collect(),
            p50: took[(took.len() - 1) / 2],
            longest: took[took.len() - 1],
        }))
    }

    fn behave(&self, behaviour: Behaviour) -> Result<Json<Value>, Problem> {
        let stack = self.stack()?;
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
        let host = stack.function(name).ok_or_else(|| {
            Problem::unusable("there is no such function", format!("one of {}", FUNCTIONS.join(", ")))
        })?;
        match running {
            true => host.switch_on(),
            false => host.switch_off(),
        }
        Ok(Json(json!({})))
    }

    async fn make_due(&self) -> Result<Json<Value>, Problem> {
        let due =
            self.stack()?.make_due().await.map_err(|error| {
                Problem::conflict(format!("the embedded table: {}", with_causes(&error)), "try again")
            })?;
        Ok(Json(json!({ "due": due })))
    }

    fn stack(&self) -> Result<Arc<Stack>, Problem> {
        self.stack.upgrade().ok_or_else(|| Problem::conflict("the bridge is shutting down", "start `bridge dev` again"))
    }

    fn named(&self, name: &str) -> Result<&Sample, Problem> {
        let mut samples = self.samples.iter();
        samples
            .find(|sample| sample.name == name)
            .ok_or_else(|| Problem::not_found("there is no such sample", "events/ holds those that there are"))
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
    /// What each call of the bridge's meets; `None` when all is well.
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

/// The delivery as it goes out.
fn signed(provider: &Provider, mut body: Vec<u8>, how: How) -> Result<(SignedHeaders, Vec<u8>), Problem> {
    let key = if how == How::OtherKey { OTHER_KEY.to_owned() } else { sample_key(provider.name) };
    let now = Clock::system().now().seconds();
    let signed_at = if how == How::Stale { UnixSeconds(now.0.saturating_sub(STALE_BY_S)) } else { now };
    let headers = signed_headers(provider, signed_at, &body, &key).map_err(|error| not_json(&error))?;
    if how == How::Tampered {
        tamper(&mut body);
    }
    Ok((headers, body))
}

/// Changes a character that means something: white space may be spelled anew without harm.
fn tamper(body: &mut Vec<u8>) {
    match body.iter_mut().rev().find(|byte| byte.is_ascii_alphanumeric()) {
        Some(byte) => *byte = if *byte == b'0' { b'1' } else { b'0' },
        None => body.push(b'0'),
    }
}

/// The key of the event that the bridge makes of a delivery which it does not refuse.
fn recorded_as(provider: &'static Provider, headers: &SignedHeaders, body: &[u8]) -> Option<String> {
    let headers = header_map(headers.iter().map(|(name, value)| (*name, value.as_str())));
    let capture = Capture { provider, headers: &headers, body, now: Clock::system().now(), as_of: false };
    let accepted = capture.check(&[&sample_key(provider.name)]).ok()?;
    Some(format!("{}#{}", provider.name, accepted.event_id))
}

/// What the bridge answered, in its own word.
fn word(answer: &str) -> String {
    let said = serde_json::from_str::<serde_json::Value>(answer).ok();
    // The last is what the gateway itself says.
    let named =
        |said: &serde_json::Value| ["status", "error", "message"].iter().find_map(|name| said.get(name)).cloned();
    let word = said.and_then(|said| Some(named(&said)?.as_str()?.to_owned()));
    word.unwrap_or_else(|| "an answer of another's".to_owned())
}
