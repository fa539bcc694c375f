//! The one door to Returning.AI: workflow webhooks behind a handshake, and incoming webhooks (`docs/contracts/returning-ai.md`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Request, Url};
use tokio::time::{Instant, timeout_at};

use crate::clock::Clock;
use crate::config::kill_point;
use crate::deliver::encryption::Sealed;
use crate::deliver::webhooks::{ApiKey, Webhooks, Workflow};
use crate::outside::cool_off::CoolOff;
use crate::outside::http::{CallTime, ExchangeError, Http, HttpAnswer};
use crate::outside::secrets::CachedSecret;
use crate::outside::token_slot::TokenSlot;
use crate::record::failure::{DispatchFailure, FailureCode};
use route::destination::Destination;

/// One client for all workflows and incoming webhooks, with the workflows' session tokens.
pub struct ReturningAi {
    http: Http,
    webhooks: CachedSecret<Webhooks>,
    clock: Clock,
    sessions: Mutex<HashMap<Destination, Arc<TokenSlot>>>,
    cool_offs: Mutex<HashMap<Destination, Arc<CoolOff>>>,
}

/// The answer to a handshake.
pub struct Handshake {
    /// Whether it opened a session.
    pub opened: bool,
    pub answer: HttpAnswer,
}

/// What is posted.
enum Content {
    /// A message, or nothing.
    Json(Bytes),
    Encrypted(Sealed),
}

/// One call to Returning.AI: long enough for a slow workflow, short enough for three tries within an invocation.
const CALL_TIMEOUT: Duration = Duration::from_secs(8);

static SESSION_TOKEN: HeaderName = HeaderName::from_static("x-session-token");
static ENCRYPTED: HeaderName = HeaderName::from_static("x-encrypted");
static JSON: HeaderValue = HeaderValue::from_static("application/json");
static TRUE: HeaderValue = HeaderValue::from_static("true");

impl ReturningAi {
    pub fn new(http: Http, webhooks: CachedSecret<Webhooks>, clock: Clock) -> Self {
        Self { http, webhooks, clock, sessions: Mutex::default(), cool_offs: Mutex::default() }
    }

    /// For how much longer a destination that was slow is left alone; `None` when it may be called.
    pub fn cools_off_for(&self, to: &Destination) -> Option<Duration> {
        self.cool_off(to).left(self.clock.now())
    }

    /// Delivers `message`: to a workflow with a live session token, or to an incoming webhook with its API key. Ends within
    /// `time`, also when the destination cools off.
    ///
    /// An answer of 401 or 403 from a workflow drops the token; one more handshake and one more try follow at once.
    ///
    /// Returns the status of the answer.
    ///
    /// # Errors
    /// The failure's code says whether another attempt can help.
    pub async fn deliver(&self, to: &Destination, message: &Bytes, time: CallTime) -> Result<u16, DispatchFailure> {
        // A call to the destination ends by itself, with a code of its own; what is cut off here is one of our own systems.
        timeout_at(time.ends_at, self.deliver_in_time(to, message, time))
            .await
            .unwrap_or_else(|_| Err(FailureCode::NoTime.into()))
    }

    async fn deliver_in_time(&self, to: &Destination, message: &Bytes, time: CallTime) -> Result<u16, DispatchFailure> {
        let unavailable = |_| FailureCode::WorkflowsUnavailable;
        let webhooks = self.webhooks.value().await.map_err(unavailable)?;
        kill_point("workflows_read");
        let outcome = self.deliver_with(&webhooks, to, message, time).await;
        // The webhook may have been added, or its key changed, since the secret was read.
        match outcome {
            Err(failure) if webhooks.may_be_outdated(to, &failure) => {
                match self.webhooks.newer_than(&webhooks).await.map_err(unavailable)? {
                    Some(newer) => self.deliver_with(&newer, to, message, time).await,
                    None => Err(failure),
                }
            }
            outcome => outcome,
        }
    }

    /// Reads the secret again if it will be old soon; used after an answer.
    pub async fn refresh_ahead(&self) {
        self.webhooks.refresh_ahead().await;
    }

    /// As [`CachedSecret::take_left_out`].
    pub fn take_left_out(&self) -> u64 {
        self.webhooks.take_left_out()
    }

    async fn deliver_with(
        &self,
        webhooks: &Webhooks,
        to: &Destination,
        message: &Bytes,
        time: CallTime,
    ) -> Result<u16, DispatchFailure> {
        match to {
            Destination::Workflow(name) => {
                let workflow = webhooks.workflows.get(name).ok_or(FailureCode::WorkflowUnknown)?;
                let workflow = workflow.as_ref().ok_or(FailureCode::WorkflowUnusable)?;
                match self.call_workflow(to, workflow, message, time).await {
                    Err(failure) if failure.code == FailureCode::Unauthorized && workflow.handshake_url.is_some() => {
                        self.call_workflow(to, workflow, message, time).await
                    }
                    outcome => outcome,
                }
            }
            Destination::IncomingWebhook(name) => {
                let webhook = webhooks.incoming.get(name).ok_or(FailureCode::IncomingWebhookUnknown)?;
                let webhook = webhook.as_ref().ok_or(FailureCode::IncomingWebhookUnusable)?;
                let content = match &webhook.encryption {
                    Some(encryption) => {
                        Content::Encrypted(encryption.seal(message).ok_or(FailureCode::IncomingWebhookUnusable)?)
                    }
                    None => Content::Json(message.clone()),
                };
                self.post(to, &webhook.url, webhook.api_key.clone(), content, time).await?.outcome()
            }
        }
    }

    async fn call_workflow(
        &self,
        to: &Destination,
        workflow: &Workflow,
        message: &Bytes,
        time: CallTime,
    ) -> Result<u16, DispatchFailure> {
        let (header, value) = match &workflow.handshake_url {
            Some(url) => (SESSION_TOKEN.clone(), self.session_token(to, workflow, url, time).await?),
            None => workflow.api_key.clone(),
        };
        kill_point("handshaken");
        let content = Content::Json(message.clone());
        let answer = self.post(to, &workflow.webhook_url, Some((header, value.clone())), content, time).await?;
        let outcome = answer.outcome();
        if matches!(&outcome, Err(failure) if failure.code == FailureCode::Unauthorized) {
            self.slot(to).drop_refused(&value).await;
        }
        outcome
    }

    /// The workflow's live token, by one handshake however many dispatches wait for it.
    async fn session_token(
        &self,
        to: &Destination,
        workflow: &Workflow,
        handshake_url: &Url,
        time: CallTime,
    ) -> Result<HeaderValue, DispatchFailure> {
        let handshake = async {
            let answer =
                self.post(to, handshake_url, Some(workflow.api_key.clone()), Content::Json(Bytes::new()), time).await?;
            answer.session(self.clock.now())
        };
        let began = Instant::now();
        let token = timeout_at(time.ends_at, self.slot(to).live(self.clock, handshake)).await;
        token.unwrap_or_else(|_| Err(FailureCode::from(CallTime::cut_off(began)).into()))
    }

    fn slot(&self, to: &Destination) -> Arc<TokenSlot> {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(sessions.entry(to.clone()).or_default())
    }

    fn cool_off(&self, to: &Destination) -> Arc<CoolOff> {
        let mut cool_offs = self.cool_offs.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(cool_offs.entry(to.clone()).or_default())
    }

    async fn post(
        &self,
        to: &Destination,
        url: &Url,
        header: Option<ApiKey>,
        content: Content,
        time: CallTime,
    ) -> Result<HttpAnswer, DispatchFailure> {
        let began = Instant::now();
        let answer = post(&self.http, self.clock, url, header, content, time).await;
        self.cool_off(to).note(began.elapsed(), &answer, self.clock.now());
        answer.map_err(|error| FailureCode::from(error).into())
    }
}

async fn post(
    http: &Http,
    clock: Clock,
    url: &Url,
    header: Option<ApiKey>,
    content: Content,
    time: CallTime,
) -> Result<HttpAnswer, ExchangeError> {
    let mut request = Request::new(reqwest::Method::POST, url.clone());
    let headers = request.headers_mut();
    headers.extend(header);
    let (content_type, body) = match content {
        Content::Json(body) => (JSON.clone(), body),
        Content::Encrypted(sealed) => {
            headers.insert(ENCRYPTED.clone(), TRUE.clone());
            (sealed.content_type, sealed.body)
        }
    };
    headers.insert(CONTENT_TYPE, content_type);
    *request.body_mut() = Some(body.into());
    http.exchange(request, CALL_TIMEOUT, time, clock.now()).await
}

impl Webhooks {
    /// Makes the handshake that a dispatch to this workflow would make, and sends no message. `None` for a workflow without
    /// one: it is in legacy mode, or not in the secret, or cannot be used.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn handshake(
        &self,
        workflow: &str,
        http: &Http,
        clock: Clock,
    ) -> Option<Result<Handshake, ExchangeError>> {
        let workflow = self.workflows.get(workflow)?.as_ref()?;
        let url = workflow.handshake_url.as_ref()?;
        let time = CallTime::of_a_person();
        let answer = post(http, clock, url, Some(workflow.api_key.clone()), Content::Json(Bytes::new()), time).await;
        Some(answer.map(|answer| Handshake { opened: answer.session(clock.now()).is_ok(), answer }))
    }

    /// Whether a newer secret may help: the webhook is not in this one or cannot be used, or the API key in it was refused.
    fn may_be_outdated(&self, to: &Destination, failure: &DispatchFailure) -> bool {
        let uses_a_session = match to {
            Destination::Workflow(name) => {
                let workflow = self.workflows.get(name).and_then(Option::as_ref);
                workflow.is_some_and(|workflow| workflow.handshake_url.is_some())
            }
            Destination::IncomingWebhook(_) => false,
        };
        match failure.code {
            FailureCode::WorkflowUnknown
            | FailureCode::WorkflowUnusable
            | FailureCode::IncomingWebhookUnknown
            | FailureCode::IncomingWebhookUnusable
            | FailureCode::HandshakeRefused => true,
            FailureCode::Unauthorized => !uses_a_session,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests;
