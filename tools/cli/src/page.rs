//! The page over the events: what crosses the bridge, what waits and why, and an operator's hands on it. `bridge dev` serves it
//! beside the webhooks, `bridge console` over a deployed table; what differs is where live events come from, and what is here
//! to play with.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use local::front::Answer;
use operator::error::ErrorKind;
use operator::redrive_function::RedriveFunction;
use operator::{OperatorError, Place};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;
use shared::clock::Clock;
use shared::deliver::resolver::Resolver;
use shared::record::pauses::Pauses;
use shared::record::store::{EventStore, MAX_BATCH};
use shared::route::routes::Routes;

use crate::events::known_destination;
use crate::workflows::{switch_off, switch_on};

pub(crate) mod bench;
pub(crate) mod board;
pub(crate) mod guard;
mod indent;
mod live;
mod opened;
mod redriving;

use self::bench::Bench;
use self::board::{Board, Listed, MAX_ROWS};
use self::guard::Guard;
use self::redriving::Redriving;

/// A page over one bridge.
pub(crate) struct Page {
    pub(crate) guard: Guard,
    pub(crate) place: Place,
    pub(crate) store: EventStore,
    /// Says who customers are without asking a provider.
    pub(crate) resolver: Resolver,
    /// The function that redrives, or why there is none.
    pub(crate) function: Result<Arc<RedriveFunction>, OperatorError>,
    pub(crate) routes: Routes,
    /// Somebody else writes into it what is live.
    pub(crate) board: Arc<Board>,
    /// What a reader of the list has to know of what it lacks, in sentences.
    pub(crate) limits: Vec<String>,
    /// What only a bridge on this machine has.
    pub(crate) bench: Option<Bench>,
    pub(crate) redriving: Arc<Redriving>,
    /// As they were read last.
    pub(crate) pauses: Mutex<Pauses>,
}

/// The beginning of a viewer's stream.
#[derive(Serialize)]
struct Hello<'p> {
    mode: &'static str,
    name: String,
    limits: &'p [String],
    cap: usize,
    providers: BTreeSet<&'p str>,
    routes: Vec<RouteLine<'p>>,
    /// Why redrive is not possible here.
    redrive: Option<&'p str>,
}

#[derive(Serialize)]
struct RouteLine<'p> {
    name: &'p str,
    provider: &'p str,
    to: String,
}

/// What is told instead of what was asked for.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    problem: String,
    hint: String,
}

/// What is answered.
enum Said {
    Json(String),
    Text(Bytes),
    File(&'static str, Bytes),
}

#[derive(Deserialize)]
struct Keys {
    keys: Vec<String>,
}

#[derive(Deserialize)]
struct Start {
    plan: String,
    rate: u32,
}

#[derive(Deserialize)]
struct Switch {
    name: String,
    paused: bool,
}

const HTML: &str = include_str!("page/assets/index.html");

/// Where the token goes in the HTML.
const TOKEN_PLACE: &str = "{{token}}";

/// What helps whoever asks otherwise than the page does.
const PAGE_ASKS: &str = "only the page itself asks here: load it anew, so that it is of this version";

const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";

/// A file that the browser loads: at which path, what it is, what is in it.
macro_rules! file {
    ($name:literal, $kind:expr) => {
        (concat!("/", $name), $kind, include_str!(concat!("page/assets/", $name)))
    };
}

/// What the HTML loads. A module that another one imports is here and among the HTML's `modulepreload`s.
const FILES: [(&str, &str, &str); 18] = [
    file!("icon.svg", "image/svg+xml"),
    file!("page.css", CSS),
    file!("page.js", JS),
    file!("asking.js", JS),
    file!("bench.js", JS),
    file!("customers.js", JS),
    file!("elements.js", JS),
    file!("figures.js", JS),
    file!("filters.js", JS),
    file!("fragment.js", JS),
    file!("keys.js", JS),
    file!("list.js", JS),
    file!("opened.js", JS),
    file!("redrive.js", JS),
    file!("rows.js", JS),
    file!("state.js", JS),
    file!("words.js", JS),
    file!("workflows.js", JS),
];

/// Switches that somebody else turned are noticed so soon.
const PAUSES_EVERY: Duration = Duration::from_secs(5);

impl Page {
    /// Keeps up with what the table says besides events, as long as somebody looks. Does not end.
    pub(crate) async fn keep_up(&self) {
        loop {
            if self.board.is_viewed() {
                // What was read before is shown on; the next look may do better.
                let _ = self.read_pauses().await;
            }
            tokio::time::sleep(PAUSES_EVERY).await;
        }
    }

    /// Answers one request.
    pub(crate) async fn answer(self: Arc<Self>, request: Request<Bytes>) -> Answer {
        if !is_ours(request.uri().path()) {
            // As API Gateway says it: somebody has mistaken the path of a webhook.
            return Answer::json(StatusCode::NOT_FOUND, "application/json", &json!({ "message": "Not Found" }));
        }
        if let Err(problem) = self.guard.admit(&request) {
            return problem.into();
        }
        if request.uri().path() == "/api/live" && request.method() == Method::GET {
            // Whoever opens the page shall see today's switches.
            let _ = self.read_pauses().await;
            return live::answer(self);
        }
        match self.said(&request).await {
            Ok(said) => said.into(),
            Err(problem) => problem.into(),
        }
    }

    async fn said(&self, request: &Request<Bytes>) -> Result<Said, Problem> {
        let query = Query::of(request);
        match (request.method().as_str(), request.uri().path()) {
            ("GET" | "HEAD", path) => match path {
                "/" => {
                    let html = HTML.replace(TOKEN_PLACE, self.guard.token());
                    Ok(Said::File("text/html; charset=utf-8", html.into()))
                }
                "/api/event" => self.opened(query.one("pk")?).await.map(Said::Json),
                "/api/find" => self.found(query.one("id")?).await,
                "/api/customers" => {
                    let keys = query.all("pk");
                    if keys.len() > MAX_BATCH {
                        return Err(Problem::unusable(
                            format!("more than {MAX_BATCH} keys"),
                            "ask for the rows in view",
                        ));
                    }
                    self.customers(&keys).await.map(Said::Json)
                }
                "/api/samples" => self.bench()?.samples(),
                "/api/sample" => self.bench()?.sample(query.one("name")?),
                path => file(path).ok_or_else(Problem::no_such_path),
            },
            ("POST", path) => match path {
                "/api/redrive/plan" => self.plan(read(request)?).await,
                "/api/redrive/start" => self.start(&read(request)?),
                "/api/redrive/stop" => {
                    self.redriving.stop();
                    Ok(Said::nothing())
                }
                "/api/workflows" => self.switch(&read(request)?).await,
                "/api/send" => self.bench()?.send(read(request)?).await,
                "/api/returning-ai" => self.bench()?.behave(&read(request)?),
                "/api/functions" => self.bench()?.switch(&read(request)?),
                "/api/due" => self.bench()?.make_due().await,
                _ => Err(Problem::no_such_path()),
            },
            _ => Err(Problem::new(StatusCode::METHOD_NOT_ALLOWED, "the page takes GET and POST", PAGE_ASKS)),
        }
    }

    fn hello(&self) -> Hello<'_> {
        Hello {
            mode: if self.bench.is_some() { "dev" } else { "console" },
            name: self.place.name(),
            limits: &self.limits,
            cap: MAX_ROWS,
            providers: self.routes.providers(),
            routes: self
                .routes
                .all()
                .iter()
                .map(|route| RouteLine {
                    name: &route.name,
                    provider: &route.provider,
                    to: route.destination.to_string(),
                })
                .collect(),
            redrive: self.function.as_ref().err().map(OperatorError::problem),
        }
    }

    fn bench(&self) -> Result<&Bench, Problem> {
        self.bench
            .as_ref()
            .ok_or_else(|| Problem::not_found("a deployed bridge has no bench", "`bridge dev` runs one to play with"))
    }

    /// The event of this key, or the events of this id.
    async fn found(&self, id: &str) -> Result<Said, Problem> {
        let mut keys = vec![id.to_owned()];
        if !id.contains('#') {
            keys = self.routes.providers().into_iter().map(|provider| format!("{provider}#{id}")).collect();
        }
        let found = self.store.summaries(&keys).await.map_err(|error| self.place.store_error(&error))?;
        let found: Vec<Listed> = found.into_iter().flatten().map(Listed::of).collect();
        let now = Clock::system().now();
        let rows: Vec<_> = found.iter().map(|listed| listed.line(&self.routes, now)).collect();
        Ok(Said::json(&json!({ "rows": rows })))
    }

    async fn plan(&self, Keys { keys }: Keys) -> Result<Said, Problem> {
        if keys.is_empty() || keys.len() > MAX_ROWS {
            return Err(Problem::unusable(
                format!("not between 1 and {MAX_ROWS} keys"),
                "choose some of the events listed",
            ));
        }
        let now = Clock::system().now();
        let planned = self.redriving.plan(&self.store, keys, now).await;
        Ok(Said::json(&planned.map_err(|error| self.place.store_error(&error))?))
    }

    fn start(&self, Start { plan, rate }: &Start) -> Result<Said, Problem> {
        let function = self.function.as_ref().map_err(|error| Problem::conflict(error.problem(), error.hint()))?;
        let id = self.redriving.start(plan, *rate, Arc::clone(function))?;
        Ok(Said::json(&json!({ "job": id })))
    }

    async fn switch(&self, Switch { name, paused }: &Switch) -> Result<Said, Problem> {
        let destination = known_destination(&self.routes, name)?;
        let now = Clock::system().now();
        let switched = match paused {
            true => switch_off(&self.store, &destination, now).await,
            false => switch_on(&self.store, &destination, now).await,
        };
        let said = switched.map_err(|error| self.place.store_error(&error))?;
        self.read_pauses().await?;
        Ok(Said::json(&json!({ "said": said })))
    }

    fn pauses(&self) -> Pauses {
        self.pauses.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn read_pauses(&self) -> Result<(), Problem> {
        let read = self.store.pauses(self.routes.destinations()).await;
        let pauses = read.map_err(|error| self.place.store_error(&error))?;
        *self.pauses.lock().unwrap_or_else(PoisonError::into_inner) = pauses;
        Ok(())
    }
}

fn is_ours(path: &str) -> bool {
    path == "/" || path.starts_with("/api/") || file(path).is_some()
}

fn file(path: &str) -> Option<Said> {
    let (_, kind, text) = FILES.into_iter().find(|(at, ..)| *at == path)?;
    Some(Said::File(kind, text.into()))
}

/// The parameters of a request.
struct Query(Vec<(String, String)>);

impl Query {
    fn of(request: &Request<Bytes>) -> Self {
        let query = request.uri().query().unwrap_or_default();
        Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    fn one(&self, name: &'static str) -> Result<&str, Problem> {
        let mut named = self.0.iter().filter(|(it, _)| it == name);
        match (named.next(), named.next()) {
            (Some((_, value)), None) if !value.is_empty() => Ok(value),
            _ => Err(Problem::unusable(format!("`{name}` is not said once"), PAGE_ASKS)),
        }
    }

    fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(it, value)| it == name && !value.is_empty()).map(|(_, value)| value.clone()).collect()
    }
}

/// What a request's body says.
fn read<T: DeserializeOwned>(request: &Request<Bytes>) -> Result<T, Problem> {
    serde_json::from_slice(request.body())
        .map_err(|_| Problem::unusable("the request's body is not what this path takes", PAGE_ASKS))
}

impl Problem {
    fn new(status: StatusCode, problem: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { status, problem: problem.into(), hint: hint.into() }
    }

    pub(crate) fn unusable(problem: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, problem, hint)
    }

    pub(crate) fn forbidden(problem: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, problem, hint)
    }

    pub(crate) fn not_found(problem: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, problem, hint)
    }

    fn no_such_path() -> Self {
        Self::not_found("there is nothing at this path", "the page is at /")
    }

    pub(crate) fn conflict(problem: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, problem, hint)
    }
}

impl From<OperatorError> for Problem {
    fn from(failure: OperatorError) -> Self {
        let status =
            if failure.kind() == ErrorKind::Outside { StatusCode::BAD_GATEWAY } else { StatusCode::BAD_REQUEST };
        Self::new(status, failure.problem(), failure.hint())
    }
}

impl From<Problem> for Answer {
    fn from(Problem { status, problem, hint }: Problem) -> Self {
        let body = json!({ "problem": problem, "hint": hint }).to_string();
        response(status, "application/json", body.into())
    }
}

impl Said {
    fn json(what: &impl Serialize) -> Self {
        Self::Json(serde_json::to_string(what).unwrap_or_default())
    }

    fn nothing() -> Self {
        Self::Json("{}".to_owned())
    }
}

impl From<Said> for Answer {
    fn from(said: Said) -> Self {
        match said {
            Said::Json(json) => response(StatusCode::OK, "application/json", json.into()),
            Said::Text(text) => response(StatusCode::OK, "text/plain; charset=utf-8", text),
            Said::File(kind, file) => response(StatusCode::OK, kind, file),
        }
    }
}

fn response(status: StatusCode, content_type: &'static str, body: Bytes) -> Answer {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    guard::protect(response.headers_mut());
    Answer::Http(response)
}

#[cfg(test)]
pub(crate) mod tests;
