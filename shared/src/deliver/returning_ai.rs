//! The one door to Returning.AI: workflow webhooks behind a handshake, and incoming webhooks (`docs/contracts/returning-ai.md`).

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Request, Url};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use crate::clock::{Clock, UnixMillis};
use crate::config::kill_point;
use crate::outside::http::{Answer, Http};
use crate::outside::http::{SAFE_URL, is_safe_url};
use crate::outside::secrets::{CachedSecret, Problem, Versions};
use crate::outside::token_slot::{Token, TokenSlot};
use crate::record::destination::Destination;
use crate::record::event::Failure;

/// One client for all workflows and incoming webhooks, with the workflows' session tokens.
pub struct ReturningAi {
    http: Http,
    webhooks: CachedSecret<Webhooks>,
    clock: Clock,
    sessions: Mutex<HashMap<String, Arc<TokenSlot>>>,
}

/// What the secret `RETURNING_AI_SECRET_ID` says, by name.
pub struct Webhooks {
    workflows: HashMap<String, Workflow>,
    incoming: HashMap<String, IncomingWebhook>,
}

struct Workflow {
    handshake_url: Option<Url>,
    webhook_url: Url,
    api_key: ApiKey,
}

struct IncomingWebhook {
    url: Url,
    api_key: Option<ApiKey>,
}

/// An API key under its header; marked sensitive, so that it is not shown.
type ApiKey = (HeaderName, HeaderValue);

/// Returning.AI's documented lifetime, for an answer that does not tell.
const DEFAULT_TOKEN_LIFE_S: u64 = 300;

/// One call to Returning.AI: long enough for a slow workflow, short enough for three tries within an invocation.
const CALL_TIMEOUT: Duration = Duration::from_secs(8);

static SESSION_TOKEN: HeaderName = HeaderName::from_static("x-session-token");
static API_KEY: HeaderName = HeaderName::from_static("x-api-key");
static JSON: HeaderValue = HeaderValue::from_static("application/json");

impl ReturningAi {
    pub fn new(http: Http, webhooks: CachedSecret<Webhooks>, clock: Clock) -> Self {
        Self { http, webhooks, clock, sessions: Mutex::default() }
    }

    /// Delivers `message`: to a workflow with a live session token, or to an incoming webhook with its API key. Ends by
    /// `deadline`.
    ///
    /// A workflow's answer of 401 or 403 drops the token; one more handshake and one more try follow at once.
    ///
    /// Returns the status that it answered.
    ///
    /// # Errors
    /// The failure says whether it passes.
    pub async fn deliver(&self, to: &Destination, message: &Bytes, deadline: Instant) -> Result<u16, Failure> {
        timeout_at(deadline, self.deliver_in_time(to, message))
            .await
            .unwrap_or_else(|_| Err(Failure::passing("timeout")))
    }

    async fn deliver_in_time(&self, to: &Destination, message: &Bytes) -> Result<u16, Failure> {
        let unavailable = |_| Failure::passing("workflows_unavailable");
        let webhooks = self.webhooks.value().await.map_err(unavailable)?;
        kill_point("workflows_read");
        let outcome = self.deliver_with(&webhooks, to, message).await;
        // Somebody may have added the webhook, or changed its key, since the secret was read.
        match outcome {
            Err(failure) if webhooks.may_be_outdated(to, &failure) => {
                match self.webhooks.newer_than(&webhooks).await.map_err(unavailable)? {
                    Some(newer) => self.deliver_with(&newer, to, message).await,
                    None => Err(failure),
                }
            }
            outcome => outcome,
        }
    }

    /// Reads the secret ahead of its first use, or again before it is old.
    pub async fn prepare(&self) {
        // A failure is logged there and met again, with its consequences, by the delivery that needs the secret.
        let _ = self.webhooks.value().await;
        self.webhooks.refresh_ahead().await;
    }

    async fn deliver_with(&self, webhooks: &Webhooks, to: &Destination, message: &Bytes) -> Result<u16, Failure> {
        match to {
            Destination::Workflow(name) => {
                let unknown = || Failure::passing("workflow_unknown");
                let workflow = webhooks.workflows.get(name).ok_or_else(unknown)?;
                match self.call_workflow(name, workflow, message).await {
                    Err(failure) if failure.code == "unauthorized" && workflow.handshake_url.is_some() => {
                        self.call_workflow(name, workflow, message).await
                    }
                    outcome => outcome,
                }
            }
            Destination::IncomingWebhook(name) => {
                let unknown = || Failure::passing("incoming_webhook_unknown");
                let webhook = webhooks.incoming.get(name).ok_or_else(unknown)?;
                self.post(&webhook.url, webhook.api_key.clone(), message.clone()).await?.outcome()
            }
        }
    }

    async fn call_workflow(&self, name: &str, workflow: &Workflow, message: &Bytes) -> Result<u16, Failure> {
        let (header, value) = match &workflow.handshake_url {
            Some(url) => (SESSION_TOKEN.clone(), self.session_token(name, workflow, url).await?),
            None => workflow.api_key.clone(),
        };
        kill_point("handshaken");
        let answer = self.post(&workflow.webhook_url, Some((header, value.clone())), message.clone()).await?;
        let outcome = answer.outcome();
        if matches!(&outcome, Err(failure) if failure.code == "unauthorized") {
            self.slot(name).drop_refused(&value).await;
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
        let handshake = async {
            let answer = self.post(handshake_url, Some(workflow.api_key.clone()), Bytes::new()).await?;
            answer.session(self.clock.now())
        };
        self.slot(name).live(self.clock, handshake).await
    }

    fn slot(&self, name: &str) -> Arc<TokenSlot> {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(sessions.entry(name.to_owned()).or_default())
    }

    async fn post(&self, url: &Url, header: Option<ApiKey>, body: Bytes) -> Result<Answer, Failure> {
        let mut request = Request::new(reqwest::Method::POST, url.clone());
        request.headers_mut().insert(CONTENT_TYPE, JSON.clone());
        request.headers_mut().extend(header);
        *request.body_mut() = Some(body.into());
        let answer = self.http.exchange(request, CALL_TIMEOUT, self.clock.now()).await;
        answer.map_err(|error| Failure::passing(error.code()))
    }
}

impl Answer {
    /// The outcome of a message: success is 2xx and `success` not false.
    fn outcome(&self) -> Result<u16, Failure> {
        self.json().map(|_| self.status.as_u16())
    }

    /// The session that a handshake opened.
    fn session(&self, now: UnixMillis) -> Result<Token, Failure> {
        let answer = self.json().map_err(|failure| match failure.code {
            // A handshake holds nothing of the event: whatever refuses it can be mended, so the event must wait.
            "unauthorized" | "refused" => Failure { code: "handshake_refused", for_good: false, ..failure },
            _ => failure,
        })?;
        let unreadable = || Failure { status: Some(self.status.as_u16()), ..Failure::passing("handshake_unreadable") };
        let token = answer.pointer("/data/sessionToken").and_then(Value::as_str).filter(|token| !token.is_empty());
        let token = token.and_then(|token| HeaderValue::from_str(token).ok()).ok_or_else(unreadable)?;
        let life_s = answer.pointer("/data/expiresIn").and_then(Value::as_u64).unwrap_or(DEFAULT_TOKEN_LIFE_S);
        Ok(Token::given(token, life_s, now))
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

impl Webhooks {
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
        let incoming = secret
            .get("incoming_webhooks")
            .map_or(Some(&serde_json::Map::new()), Value::as_object)
            .cloned()
            .ok_or_else(|| Problem {
                field: "incoming_webhooks".to_owned(),
                expected: "an object of name and incoming webhook",
            })?;
        let workflows = workflows.iter().map(|(name, workflow)| Ok((name.clone(), Workflow::parse(name, workflow)?)));
        let incoming =
            incoming.iter().map(|(name, webhook)| Ok((name.clone(), IncomingWebhook::parse(name, webhook)?)));
        Ok(Self {
            workflows: workflows.collect::<Result<_, Problem>>()?,
            incoming: incoming.collect::<Result<_, Problem>>()?,
        })
    }

    /// Whether a newer secret may help: the webhook is not in this one, or the API key in it was refused.
    fn may_be_outdated(&self, to: &Destination, failure: &Failure) -> bool {
        let uses_a_session = match to {
            Destination::Workflow(name) => {
                self.workflows.get(name).is_some_and(|workflow| workflow.handshake_url.is_some())
            }
            Destination::IncomingWebhook(_) => false,
        };
        match failure.code {
            "workflow_unknown" | "incoming_webhook_unknown" | "handshake_refused" => true,
            "unauthorized" => !uses_a_session,
            _ => false,
        }
    }

    /// Whether the secret says where this is.
    pub fn knows(&self, to: &Destination) -> bool {
        match to {
            Destination::Workflow(name) => self.workflows.contains_key(name),
            Destination::IncomingWebhook(name) => self.incoming.contains_key(name),
        }
    }

    /// All that the secret names, in no order.
    pub fn destinations(&self) -> impl Iterator<Item = Destination> {
        let workflows = self.workflows.keys().cloned().map(Destination::Workflow);
        workflows.chain(self.incoming.keys().cloned().map(Destination::IncomingWebhook))
    }
}

impl fmt::Debug for Webhooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Webhooks({} workflows, {} incoming)", self.workflows.len(), self.incoming.len())
    }
}

impl Workflow {
    fn parse(name: &str, workflow: &Value) -> Result<Self, Problem> {
        let fields = Fields { of: format!("workflows.{name}"), values: workflow };
        let api_key = fields.header_value("api_key")?;
        let header = match fields.given("api_key_header") {
            None | Some(Some("authorization")) => AUTHORIZATION,
            Some(Some("x-api-key")) => API_KEY.clone(),
            Some(_) => return Err(fields.problem("api_key_header", "\"authorization\" or \"x-api-key\"")),
        };
        let handshake_url = match fields.given("mode") {
            None | Some(Some("session")) => Some(fields.url("handshake_url")?),
            Some(Some("legacy")) => None,
            Some(_) => return Err(fields.problem("mode", "\"session\" or \"legacy\"")),
        };
        Ok(Self { handshake_url, webhook_url: fields.url("webhook_url")?, api_key: (header, api_key) })
    }
}

impl IncomingWebhook {
    fn parse(name: &str, webhook: &Value) -> Result<Self, Problem> {
        let fields = Fields { of: format!("incoming_webhooks.{name}"), values: webhook };
        // Where Returning.AI wants the IV and the tag is not documented: no message is better than one nobody can read.
        if fields.given("encryption").is_some() {
            return Err(
                fields.problem("encryption", "none: encrypted incoming webhooks cannot be served; switch it off")
            );
        }
        let api_key = match fields.given("api_key") {
            None => None,
            Some(_) => Some((API_KEY.clone(), fields.header_value("api_key")?)),
        };
        Ok(Self { url: fields.url("url")?, api_key })
    }
}

/// One entry of the secret.
struct Fields<'v> {
    of: String,
    values: &'v Value,
}

impl Fields<'_> {
    /// `None` when absent or null, `Some(None)` when it is no text.
    fn given(&self, field: &str) -> Option<Option<&str>> {
        self.values.get(field).filter(|value| !value.is_null()).map(Value::as_str)
    }

    fn text(&self, field: &str) -> Option<&str> {
        self.given(field).flatten().filter(|text| !text.is_empty())
    }

    fn url(&self, field: &str) -> Result<Url, Problem> {
        self.refuse_placeholder(field)?;
        let url = self.text(field).and_then(|text| Url::parse(text).ok()).filter(is_safe_url);
        url.ok_or_else(|| self.problem(field, SAFE_URL))
    }

    fn header_value(&self, field: &str) -> Result<HeaderValue, Problem> {
        self.refuse_placeholder(field)?;
        let mut value = self
            .text(field)
            .and_then(|text| HeaderValue::from_str(text).ok())
            .ok_or_else(|| self.problem(field, "a non-empty string that a header can hold"))?;
        value.set_sensitive(true);
        Ok(value)
    }

    fn refuse_placeholder(&self, field: &str) -> Result<(), Problem> {
        Problem::refuse_placeholder(&format!("{}.{field}", self.of), self.text(field).unwrap_or_default())
    }

    fn problem(&self, field: &str, expected: &'static str) -> Problem {
        Problem { field: format!("{}.{field}", self.of), expected }
    }
}

#[cfg(test)]
mod tests;
