//! The one door to Returning.AI: handshake, session token, workflow webhook (`docs/contracts/returning-ai.md`).

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Request, StatusCode, Url};
use serde_json::Value;
use tokio::time::{Instant, timeout, timeout_at};

use crate::clock::{Clock, UnixMillis};
use crate::config::kill_point;
use crate::event::{Failure, RouteOutcome};
use crate::http::Http;
use crate::secrets::{CachedSecret, Problem, Versions};

/// One client for all workflows, with their session tokens.
pub struct ReturningAi {
    http: Http,
    workflows: CachedSecret<Workflows>,
    clock: Clock,
    sessions: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Option<Session>>>>>,
}

/// What the secret `RETURNING_AI_SECRET_ID` says, by workflow name.
pub struct Workflows(HashMap<String, Workflow>);

struct Workflow {
    handshake_url: Option<Url>,
    webhook_url: Url,
    /// The API key under its header; marked sensitive, so that it is not shown.
    api_key: (HeaderName, HeaderValue),
}

/// A session token and when to stop using it.
struct Session {
    token: HeaderValue,
    ends_at: UnixMillis,
}

/// Tokens are given up this long before they expire, so that none expires under way.
const TOKEN_MARGIN: Duration = Duration::from_secs(30);

/// Returning.AI's documented lifetime, for an answer that does not tell.
const DEFAULT_TOKEN_LIFE_S: u64 = 300;

/// One call to Returning.AI: long enough for a slow workflow, short enough for three tries within an invocation.
const CALL_TIMEOUT: Duration = Duration::from_secs(8);

/// Answers are a few dozen bytes; of a longer one this much is read.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

static SESSION_TOKEN: HeaderName = HeaderName::from_static("x-session-token");
static API_KEY: HeaderName = HeaderName::from_static("x-api-key");
static JSON: HeaderValue = HeaderValue::from_static("application/json");

impl ReturningAi {
    pub fn new(http: Http, workflows: CachedSecret<Workflows>, clock: Clock) -> Self {
        Self { http, workflows, clock, sessions: Mutex::default() }
    }

    /// Delivers `message` to `workflow`, with a new handshake where there is no live session token. Ends by `deadline`.
    ///
    /// An answer of 401 or 403 drops the token; one more handshake and one more try follow at once.
    ///
    /// # Errors
    /// The failure says whether it passes.
    pub async fn deliver(&self, name: &str, message: &Bytes, deadline: Instant) -> RouteOutcome {
        timeout_at(deadline, self.deliver_in_time(name, message))
            .await
            .unwrap_or_else(|_| Err(Failure::passing("timeout")))
    }

    async fn deliver_in_time(&self, name: &str, message: &Bytes) -> RouteOutcome {
        let unavailable = |_| Failure::passing("workflows_unavailable");
        let workflows = self.workflows.value().await.map_err(unavailable)?;
        kill_point("workflows_read");
        let outcome = self.deliver_with(&workflows, name, message).await;
        // Somebody may have added the workflow, or changed its key, since the secret was read.
        match outcome {
            Err(failure) if workflows.may_be_outdated(name, &failure) => {
                match self.workflows.newer_than(&workflows).await.map_err(unavailable)? {
                    Some(newer) => self.deliver_with(&newer, name, message).await,
                    None => Err(failure),
                }
            }
            outcome => outcome,
        }
    }

    /// Reads the workflows ahead of their first use, or again before they are old.
    pub async fn prepare(&self) {
        // A failure is logged there and met again, with its consequences, by the delivery that needs them.
        let _ = self.workflows.value().await;
        self.workflows.refresh_ahead().await;
    }

    async fn deliver_with(&self, workflows: &Workflows, name: &str, message: &Bytes) -> RouteOutcome {
        let workflow = workflows.0.get(name).ok_or_else(|| Failure::passing("workflow_unknown"))?;
        match self.call(name, workflow, message).await {
            Err(failure) if failure.code == "unauthorized" && workflow.handshake_url.is_some() => {
                self.call(name, workflow, message).await
            }
            outcome => outcome,
        }
    }

    async fn call(&self, name: &str, workflow: &Workflow, message: &Bytes) -> RouteOutcome {
        let (header, value) = match &workflow.handshake_url {
            Some(url) => (SESSION_TOKEN.clone(), self.session_token(name, workflow, url).await?),
            None => workflow.api_key.clone(),
        };
        kill_point("handshaken");
        let answer = self.post(&workflow.webhook_url, [(header, value.clone())], message.clone()).await?;
        let outcome = answer.outcome();
        if matches!(&outcome, Err(failure) if failure.code == "unauthorized") {
            self.drop_session(name, &value).await;
        }
        outcome
    }

    /// The workflow's live token. However many deliveries wait for it, one handshake is made.
    async fn session_token(
        &self,
        name: &str,
        workflow: &Workflow,
        handshake_url: &Url,
    ) -> Result<HeaderValue, Failure> {
        let slot = self.slot(name);
        let mut session = slot.lock().await;
        if let Some(session) = session.as_ref().filter(|session| self.clock.now() < session.ends_at) {
            return Ok(session.token.clone());
        }
        let answer = self.post(handshake_url, [workflow.api_key.clone()], Bytes::new()).await?;
        let fresh = answer.session(self.clock.now())?;
        let token = fresh.token.clone();
        *session = Some(fresh);
        Ok(token)
    }

    /// Drops the token that was refused, unless another delivery has replaced it meanwhile.
    async fn drop_session(&self, name: &str, refused: &HeaderValue) {
        let slot = self.slot(name);
        let mut session = slot.lock().await;
        if session.as_ref().is_some_and(|session| session.token == *refused) {
            *session = None;
        }
    }

    fn slot(&self, name: &str) -> Arc<tokio::sync::Mutex<Option<Session>>> {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(sessions.entry(name.to_owned()).or_default())
    }

    async fn post(&self, url: &Url, headers: [(HeaderName, HeaderValue); 1], body: Bytes) -> Result<Answer, Failure> {
        let mut request = Request::new(reqwest::Method::POST, url.clone());
        request.headers_mut().insert(CONTENT_TYPE, JSON.clone());
        request.headers_mut().extend(headers);
        *request.body_mut() = Some(body.into());

        match timeout(CALL_TIMEOUT, self.exchange(request)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(Failure::passing(connection_failure(&error))),
            Err(_) => Err(Failure::passing("timeout")),
        }
    }

    async fn exchange(&self, request: Request) -> Result<Answer, reqwest::Error> {
        let mut response = self.http.send(request).await?;
        let status = response.status();
        let retry_after = retry_after(response.headers(), self.clock.now());
        let mut body = Vec::new();
        while body.len() < MAX_ANSWER_BYTES
            && let Some(chunk) = response.chunk().await?
        {
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, retry_after, body })
    }
}

/// What Returning.AI answered.
struct Answer {
    status: StatusCode,
    retry_after: Option<Duration>,
    body: Vec<u8>,
}

impl Answer {
    /// The outcome of a message: success is 2xx and `success` not false.
    fn outcome(&self) -> RouteOutcome {
        self.json().map(|_| self.status.as_u16())
    }

    /// The session that a handshake opened.
    fn session(&self, now: UnixMillis) -> Result<Session, Failure> {
        let answer = self.json().map_err(|failure| match failure.code {
            // A handshake holds nothing of the event: whatever refuses it can be mended, so the event must wait.
            "unauthorized" | "refused" => Failure { code: "handshake_refused", for_good: false, ..failure },
            _ => failure,
        })?;
        let unreadable = || Failure { status: Some(self.status.as_u16()), ..Failure::passing("handshake_unreadable") };
        let token = answer.pointer("/data/sessionToken").and_then(Value::as_str).filter(|token| !token.is_empty());
        let mut token = token.and_then(|token| HeaderValue::from_str(token).ok()).ok_or_else(unreadable)?;
        token.set_sensitive(true);
        let life_s = answer.pointer("/data/expiresIn").and_then(Value::as_u64).unwrap_or(DEFAULT_TOKEN_LIFE_S);
        let life = Duration::from_secs(life_s).saturating_sub(TOKEN_MARGIN);
        Ok(Session { token, ends_at: now.plus(life) })
    }

    fn json(&self) -> Result<Value, Failure> {
        let failure = |code| Failure {
            status: Some(self.status.as_u16()),
            retry_after: self.retry_after,
            ..Failure::passing(code)
        };
        if self.status.is_success() {
            if self.body.is_empty() {
                return Ok(Value::Null);
            }
            // A page of some proxy is no answer of Returning.AI's: the event is not known to have arrived.
            let answer: Value = serde_json::from_slice(&self.body).map_err(|_| failure("answer_unreadable"))?;
            return match answer.get("success") {
                Some(Value::Bool(false)) => Err(failure("reported_failure")),
                _ => Ok(answer),
            };
        }
        Err(match self.status.as_u16() {
            400 | 413 | 422 => Failure { for_good: true, ..failure("refused") },
            401 | 403 => failure("unauthorized"),
            404 | 410 => failure("not_found"),
            429 => failure("throttled"),
            500..=599 => failure("server_error"),
            _ => failure("unexpected_status"),
        })
    }
}

fn connection_failure(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        "timeout"
    } else if error.is_connect() {
        "connection_failed"
    } else {
        "connection_lost"
    }
}

/// `Retry-After` in seconds or as a date; `None` when there is none that reads.
fn retry_after(headers: &HeaderMap, now: UnixMillis) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = aws_smithy_types::DateTime::from_str(text, aws_smithy_types::date_time::Format::HttpDate).ok()?;
    let at = UnixMillis(u64::try_from(date.to_millis().ok()?).ok()?);
    Some(at.since(now))
}

impl Workflows {
    /// Reads the secret's current version.
    ///
    /// # Errors
    /// Names the field that is wrong, never its value.
    pub fn parse(versions: &Versions) -> Result<Self, Problem> {
        let secret: Value = serde_json::from_str(&versions.current)
            .map_err(|_| Problem { field: "the secret".to_owned(), expected: "a JSON object" })?;
        let workflows = secret
            .get("workflows")
            .and_then(Value::as_object)
            .ok_or_else(|| Problem { field: "workflows".to_owned(), expected: "an object of name and workflow" })?;
        let workflows = workflows
            .iter()
            .map(|(name, workflow)| Ok((name.clone(), Workflow::parse(name, workflow)?)))
            .collect::<Result<_, Problem>>()?;
        Ok(Self(workflows))
    }

    /// Whether a newer secret may help: the workflow is not in this one, or the API key in it was refused.
    fn may_be_outdated(&self, name: &str, failure: &Failure) -> bool {
        let legacy = || self.0.get(name).is_some_and(|workflow| workflow.handshake_url.is_none());
        match failure.code {
            "workflow_unknown" | "handshake_refused" => true,
            "unauthorized" => legacy(),
            _ => false,
        }
    }

    /// The workflows' names, in no order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl fmt::Debug for Workflows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Workflows({} of them)", self.0.len())
    }
}

impl Workflow {
    fn parse(name: &str, workflow: &Value) -> Result<Self, Problem> {
        let problem = |field: &str, expected| Problem { field: format!("workflows.{name}.{field}"), expected };
        let text = |field: &str| workflow.get(field).and_then(Value::as_str).filter(|text| !text.is_empty());
        for field in ["handshake_url", "webhook_url", "api_key"] {
            Problem::refuse_placeholder(&format!("workflows.{name}.{field}"), text(field).unwrap_or_default())?;
        }
        let url = |field: &str| {
            text(field)
                .and_then(|text| Url::parse(text).ok())
                .filter(is_safe)
                .ok_or_else(|| problem(field, "an https URL, or an http one on this machine"))
        };
        let mut api_key = text("api_key")
            .and_then(|key| HeaderValue::from_str(key).ok())
            .ok_or_else(|| problem("api_key", "a non-empty string that a header can hold"))?;
        api_key.set_sensitive(true);

        let given = |field: &str| workflow.get(field).filter(|value| !value.is_null()).map(|value| value.as_str());
        let header = match given("api_key_header") {
            None | Some(Some("authorization")) => AUTHORIZATION,
            Some(Some("x-api-key")) => API_KEY.clone(),
            Some(_) => return Err(problem("api_key_header", "\"authorization\" or \"x-api-key\"")),
        };
        let handshake_url = match given("mode") {
            None | Some(Some("session")) => Some(url("handshake_url")?),
            Some(Some("legacy")) => None,
            Some(_) => return Err(problem("mode", "\"session\" or \"legacy\"")),
        };
        Ok(Self { handshake_url, webhook_url: url("webhook_url")?, api_key: (header, api_key) })
    }
}

/// Keys and customers' facts travel encrypted, or do not leave the machine.
fn is_safe(url: &Url) -> bool {
    match (url.scheme(), url.host_str()) {
        ("https", Some(_)) => true,
        ("http", Some(host)) => {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
