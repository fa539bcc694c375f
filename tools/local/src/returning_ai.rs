//! A stand-in for Returning.AI: strict about tokens and keys, remembers every message, fails by script.
//!
//! What it insists on is in `docs/contracts/returning-ai.md`.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use serde_json::{Value, json};

use crate::faults::{Faults, When};
use crate::front::{Answer, Front, Guests, JSON, json_response};
use crate::records::{Records, Timeout};

mod decryption;

/// One workflow: a handshake URL, a webhook URL and an API key.
#[derive(Clone, Debug)]
pub struct Workflow {
    pub name: String,
    pub api_key: String,
    pub mode: Mode,
    /// `expiresIn` of its session tokens, in seconds; 0 gives tokens that have expired already.
    pub expires_in_s: u64,
    pub token_use: TokenUse,
}

/// How the main call proves who it is from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// A session token from a handshake; the API key belongs on the handshake alone.
    Session,
    /// The API key, for workflows whose token exchange is disabled.
    Legacy,
}

/// How often one session token serves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TokenUse {
    UntilExpiry,
    Once,
}

/// One incoming webhook: a single URL, and an API key if it requires one.
#[derive(Clone, Debug)]
pub struct IncomingWebhook {
    pub name: String,
    pub api_key: Option<String>,
    /// As in the secret; then only encrypted messages are accepted.
    pub encryption: Option<Value>,
}

/// One of the URLs.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum At {
    Handshake(String),
    Webhook(String),
    Incoming(String),
}

/// What goes wrong with a call.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Fault {
    /// This status with a JSON body that says `success: false`.
    Status(u16),
    /// This status with `Retry-After`, in seconds or as an HTTP date.
    RetryAfter { status: u16, after: String },
    /// No answer.
    Hang,
    /// The connection is reset before a byte of the answer; the message was not taken.
    Reset,
    /// The message is accepted, then the connection is reset.
    ResetAfterAccept,
    /// Bytes that are not HTTP.
    Garbage,
    /// Accepted: 200 with JSON that breaks off.
    GarbageBody,
    /// 200 with `success: false`; not accepted.
    SuccessFalse,
    /// 200 with a page of HTML, as a proxy in between answers; not accepted.
    WrongContentType,
    /// Accepted; half of the body, and the rest after this pause.
    SlowBody(Duration),
    /// 401, and every session token of the workflow is void.
    RevokeTokens,
}

/// One call to a webhook or an incoming webhook that came with a JSON object.
#[derive(Clone, Debug)]
pub struct Message {
    pub at: At,
    /// The workflow's or the incoming webhook's name.
    pub workflow: String,
    /// Decrypted, if it came encrypted.
    pub body: Value,
    pub raw: Bytes,
    /// The request's body, if it came encrypted.
    pub sealed: Option<Bytes>,
    pub token: Option<String>,
    pub received_at: SystemTime,
    /// The fault that struck it.
    pub fault: Option<Fault>,
    /// Returning.AI has accepted it, even if the caller got no answer.
    pub accepted: bool,
}

/// A rule of Returning.AI's that a caller broke.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{rule:?} at {at:?}")]
pub struct Violation {
    /// `None` for a URL that is none of ours.
    pub at: Option<At>,
    pub rule: Rule,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Rule {
    UnknownUrl,
    NotPost,
    ContentTypeIsNotJson,
    BodyIsNotAnObject,
    /// A message to an incoming webhook with encryption came without the header that says so, or cannot be decrypted; or one
    /// came with the header where none is expected.
    NotEncryptedAsAgreed,
    /// The API key of a session workflow came along on the main call.
    ApiKeyOnMainCall,
    TokenOfAnotherWorkflow,
    /// `Authorization: Bearer ...`; the key goes raw.
    BearerPrefix,
}

/// A running Returning.AI; dropping it closes the port.
#[derive(Debug)]
pub struct ReturningAi {
    world: Arc<World>,
    front: Front,
}

impl ReturningAi {
    /// Starts it with these workflows and incoming webhooks.
    ///
    /// # Errors
    /// There is no port.
    pub fn start(workflows: Vec<Workflow>, incoming_webhooks: Vec<IncomingWebhook>) -> io::Result<Self> {
        let world = Arc::new(World::default());
        {
            let mut state = world.state();
            for workflow in workflows {
                state.workflows.insert(workflow.name.clone(), workflow);
            }
            for webhook in incoming_webhooks {
                state.incoming.insert(webhook.name.clone(), webhook);
            }
        }
        let answering = world.clone();
        let front = Front::start(
            0,
            MAX_MESSAGE_BYTES,
            |_| Guests::Programs,
            move |request| {
                let world = answering.clone();
                async move { world.answer(&request) }
            },
        )?;
        Ok(Self { world, front })
    }

    pub fn url(&self) -> String {
        self.front.url()
    }

    /// Closes the connections that callers keep open, as idle ones are.
    pub async fn close_connections(&self) {
        self.front.close_connections().await;
    }

    pub fn handshake_url(&self, workflow: &str) -> String {
        format!("{}/{workflow}/handshake", self.url())
    }

    pub fn webhook_url(&self, workflow: &str) -> String {
        format!("{}/{workflow}/webhook", self.url())
    }

    pub fn incoming_url(&self, name: &str) -> String {
        format!("{}/incoming/{name}", self.url())
    }

    /// The value of the secret that `RETURNING_AI_SECRET_ID` names.
    pub fn secret(&self) -> Value {
        let state = self.world.state();
        let workflows = state.workflows.values().map(|workflow| {
            let mode = match workflow.mode {
                Mode::Session => "session",
                Mode::Legacy => "legacy",
            };
            let entry = json!({
                "handshake_url": self.handshake_url(&workflow.name),
                "webhook_url": self.webhook_url(&workflow.name),
                "api_key": workflow.api_key,
                "mode": mode,
            });
            (workflow.name.clone(), entry)
        });
        let incoming = state.incoming.values().map(|webhook| {
            let mut entry = json!({ "url": self.incoming_url(&webhook.name) });
            if let Some(key) = &webhook.api_key {
                entry["api_key"] = json!(key);
            }
            if let Some(encryption) = &webhook.encryption {
                entry["encryption"] = encryption.clone();
            }
            (webhook.name.clone(), entry)
        });
        json!({
            "workflows": workflows.collect::<serde_json::Map<_, _>>(),
            "incoming_webhooks": incoming.collect::<serde_json::Map<_, _>>(),
        })
    }

    /// Adds a workflow, or changes one: its new settings hold for the tokens given from now on.
    pub fn set_workflow(&self, workflow: Workflow) {
        let mut state = self.world.state();
        state.workflows.insert(workflow.name.clone(), workflow);
    }

    /// Adds an incoming webhook, or changes one.
    pub fn set_incoming_webhook(&self, webhook: IncomingWebhook) {
        let mut state = self.world.state();
        state.incoming.insert(webhook.name.clone(), webhook);
    }

    /// Voids every session token of a workflow, as when Returning.AI restarts.
    pub fn revoke_tokens(&self, workflow: &str) {
        self.world.revoke_tokens(workflow);
    }

    /// Scripts a fault of one URL, or of all (`None`).
    pub fn inject(&self, at: Option<At>, fault: Fault, when: When) {
        self.world.faults.inject(at, fault, when);
    }

    pub fn clear_faults(&self) {
        self.world.faults.clear();
    }

    /// Remembers only the newest calls, handshakes and violations from now on: between `at_least` and twice as many of each.
    pub fn remember(&self, at_least: usize) {
        self.world.messages.keep(at_least);
        self.world.handshakes.keep(at_least);
        self.world.violations.keep(at_least);
    }

    /// The messages a workflow (or incoming webhook) accepted, in order.
    pub fn messages(&self, workflow: &str) -> Vec<Message> {
        let wanted = |m: &Message| m.accepted && m.workflow == workflow;
        self.world.messages.matching(wanted)
    }

    /// All messages accepted, in order.
    pub fn all_messages(&self) -> Vec<Message> {
        self.world.messages.matching(|m| m.accepted)
    }

    /// The total of [`attempts`](Self::attempts), including those that are no longer remembered.
    pub fn attempts_ever(&self) -> usize {
        self.world.messages.ever()
    }

    /// The messages accepted after the first `attempts` [attempts](Self::attempts_ever), in order, as far as they are remembered.
    pub fn messages_since(&self, attempts: usize) -> Vec<Message> {
        let mut messages = self.world.messages.since(attempts);
        messages.retain(|message| message.accepted);
        messages
    }

    /// All calls that came with a JSON object, accepted or not, in order.
    pub fn attempts(&self) -> Vec<Message> {
        self.world.messages.all()
    }

    /// How many handshakes a workflow was asked for, whatever it answered.
    pub fn handshakes(&self, workflow: &str) -> usize {
        self.world.handshakes.count(|name| name == workflow)
    }

    /// The rules broken so far.
    pub fn violations(&self) -> Vec<Violation> {
        self.world.violations.all()
    }

    /// Forgets messages, handshakes and violations; tokens and faults stay.
    pub fn reset_records(&self) {
        self.world.messages.clear();
        self.world.handshakes.clear();
        self.world.violations.clear();
    }

    /// Returns once `reached` holds of all attempts so far ([`Message::accepted`] shows which were accepted).
    ///
    /// # Errors
    /// It did not within `bound`.
    pub async fn wait_for(&self, reached: impl Fn(&[Message]) -> bool, bound: Duration) -> Result<(), Timeout> {
        self.world.messages.wait_for(reached, bound).await
    }

    /// Returns once a workflow was asked for this many handshakes, whatever it answered.
    ///
    /// # Errors
    /// It was not within `bound`.
    pub async fn wait_for_handshakes(&self, workflow: &str, many: usize, bound: Duration) -> Result<(), Timeout> {
        let of_workflow = |names: &[String]| names.iter().filter(|name| *name == workflow).count();
        self.world.handshakes.wait_for(|names| of_workflow(names) >= many, bound).await
    }
}

impl Workflow {
    /// A session workflow as Returning.AI makes them, with a sample key.
    pub fn session(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            api_key: format!("rai_sample_{name}_key_do_not_use"),
            mode: Mode::Session,
            expires_in_s: 300,
            token_use: TokenUse::UntilExpiry,
        }
    }

    /// A workflow whose token exchange is disabled, with a sample key.
    pub fn legacy(name: &str) -> Self {
        Self { mode: Mode::Legacy, ..Self::session(name) }
    }
}

impl IncomingWebhook {
    /// One that wants a key, with a sample key.
    pub fn with_sample_key(name: &str) -> Self {
        let api_key = Some(format!("rai_sample_{name}_key_do_not_use"));
        Self { name: name.to_owned(), api_key, encryption: None }
    }
}

impl At {
    fn name(&self) -> &str {
        match self {
            Self::Handshake(name) | Self::Webhook(name) | Self::Incoming(name) => name,
        }
    }
}

#[derive(Debug, Default)]
struct World {
    state: Mutex<State>,
    faults: Faults<At, Fault>,
    messages: Records<Message>,
    /// The workflows' names.
    handshakes: Records<String>,
    violations: Records<Violation>,
}

#[derive(Debug, Default)]
struct State {
    workflows: HashMap<String, Workflow>,
    incoming: HashMap<String, IncomingWebhook>,
    tokens: HashMap<String, Token>,
}

#[derive(Debug)]
struct Token {
    workflow: String,
    expires: Instant,
    token_use: TokenUse,
}

/// The status and the message of a call that is not accepted.
struct Refusal(StatusCode, &'static str);

impl World {
    fn answer(&self, request: &Request<Bytes>) -> Answer {
        let Some(at) = self.place(request.uri().path()) else {
            self.violated(None, Rule::UnknownUrl);
            return refusal(&Refusal(StatusCode::NOT_FOUND, "no such workflow"));
        };
        if request.method() != Method::POST {
            self.violated(Some(&at), Rule::NotPost);
            return refusal(&Refusal(StatusCode::METHOD_NOT_ALLOWED, "POST only"));
        }
        match &at {
            At::Handshake(workflow) => self.answer_handshake(&at, workflow, request.headers()),
            At::Webhook(_) | At::Incoming(_) => self.answer_message(&at, request),
        }
    }

    fn answer_handshake(&self, at: &At, workflow: &str, headers: &HeaderMap) -> Answer {
        self.handshakes.push(workflow.to_owned());
        let fault = self.faults.draw(at);
        if let Some(answer) = fault.as_ref().and_then(|fault| self.without_effect(at, fault)) {
            return answer;
        }
        if text(headers, "authorization").is_some_and(|key| key.starts_with("Bearer ")) {
            self.violated(Some(at), Rule::BearerPrefix);
        }
        let mut state = self.state();
        let Some(workflow) = state.workflows.get(workflow).cloned() else {
            return refusal(&Refusal(StatusCode::NOT_FOUND, "no such workflow"));
        };
        if !presents_key(headers, &workflow.api_key) {
            return refusal(&Refusal(StatusCode::UNAUTHORIZED, "Invalid API key"));
        }
        if workflow.mode == Mode::Legacy {
            return refusal(&Refusal(StatusCode::FORBIDDEN, "Token exchange is disabled"));
        }
        let token = format!("st_{:032x}", fastrand::u128(..));
        let now = Instant::now();
        // One that has expired is refused like one that never was.
        state.tokens.retain(|_, token| token.expires > now);
        let given = Token {
            workflow: workflow.name.clone(),
            expires: now + Duration::from_secs(workflow.expires_in_s),
            token_use: workflow.token_use,
        };
        state.tokens.insert(token.clone(), given);
        let data = json!({ "sessionToken": token, "expiresIn": workflow.expires_in_s });
        with_effect(fault.as_ref(), &json!({ "success": true, "data": data }))
    }

    fn answer_message(&self, at: &At, request: &Request<Bytes>) -> Answer {
        let (raw, sealed) = match self.decrypted(at, request) {
            Ok(Some(plaintext)) => (plaintext, Some(request.body().clone())),
            Ok(None) => (request.body().clone(), None),
            Err(refused) => return refusal(&refused),
        };
        let body = match self.read_object(at, &raw) {
            Ok(body) => body,
            Err(refused) => return refusal(&refused),
        };
        let fault = self.faults.draw(at);
        let mut message = Message {
            at: at.clone(),
            workflow: at.name().to_owned(),
            body,
            raw,
            sealed,
            token: text(request.headers(), "x-session-token").map(str::to_owned),
            received_at: SystemTime::now(),
            fault: fault.clone(),
            accepted: false,
        };
        // The answer comes before the record: when a test sees the record, the tokens are already revoked.
        if let Some(answer) = fault.as_ref().and_then(|fault| self.without_effect(at, fault)) {
            self.messages.push(message);
            return answer;
        }
        let admitted = self.admit(at, request.headers());
        message.accepted = admitted.is_ok();
        self.messages.push(message);
        match admitted {
            Ok(()) => {
                let data = json!({ "received": true });
                with_effect(fault.as_ref(), &json!({ "success": true, "data": data }))
            }
            Err(refused) => refusal(&refused),
        }
    }

    fn place(&self, path: &str) -> Option<At> {
        let (first, second) = path.strip_prefix('/')?.split_once('/')?;
        let state = self.state();
        match (first, second) {
            ("incoming", name) if state.incoming.contains_key(name) => Some(At::Incoming(name.to_owned())),
            (name, _) if !state.workflows.contains_key(name) => None,
            (name, "handshake") => Some(At::Handshake(name.to_owned())),
            (name, "webhook") => Some(At::Webhook(name.to_owned())),
            _ => None,
        }
    }

    /// The plaintext, where messages are encrypted; elsewhere they must be JSON as they are.
    fn decrypted(&self, at: &At, request: &Request<Bytes>) -> Result<Option<Bytes>, Refusal> {
        let encryption = match at {
            At::Incoming(name) => self.state().incoming.get(name).and_then(|webhook| webhook.encryption.clone()),
            At::Handshake(_) | At::Webhook(_) => None,
        };
        let content_type = text(request.headers(), "content-type").unwrap_or_default();
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        let is_text = encryption.as_ref().is_some_and(|encryption| encryption["body"].is_string());
        if !media_type.eq_ignore_ascii_case(if is_text { "text/plain" } else { JSON }) {
            self.violated(Some(at), Rule::ContentTypeIsNotJson);
            return Err(Refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, "JSON only"));
        }
        let says_so = text(request.headers(), "x-encrypted");
        let plaintext = encryption
            .as_ref()
            .map(|it| says_so.filter(|says| *says == "true").and_then(|_| decryption::decrypt(it, request.body())));
        match (plaintext, says_so) {
            (Some(Some(plaintext)), _) => Ok(Some(plaintext.into())),
            (None, None) => Ok(None),
            (Some(None), _) | (None, Some(_)) => {
                self.violated(Some(at), Rule::NotEncryptedAsAgreed);
                Err(Refusal(StatusCode::BAD_REQUEST, "Cannot decrypt"))
            }
        }
    }

    fn read_object(&self, at: &At, text: &[u8]) -> Result<Value, Refusal> {
        match serde_json::from_slice::<Value>(text) {
            Ok(body) if body.is_object() => Ok(body),
            Ok(_) | Err(_) => {
                self.violated(Some(at), Rule::BodyIsNotAnObject);
                Err(Refusal(StatusCode::BAD_REQUEST, "Invalid payload"))
            }
        }
    }

    /// Whether a message may come in: by token, by key, or with none, as its URL wants it.
    fn admit(&self, at: &At, headers: &HeaderMap) -> Result<(), Refusal> {
        let mut state = self.state();
        let unauthorized = Err(Refusal(StatusCode::UNAUTHORIZED, "Unauthorized"));
        if let Some(webhook) = state.incoming.get(at.name())
            && matches!(at, At::Incoming(_))
        {
            let wanted = webhook.api_key.as_deref();
            let presented = text(headers, "x-api-key");
            return match wanted.is_none() || presented == wanted {
                true => Ok(()),
                false => unauthorized,
            };
        }
        let Some(workflow) = state.workflows.get(at.name()).cloned() else {
            return unauthorized;
        };
        if workflow.mode == Mode::Legacy {
            return match presents_key(headers, &workflow.api_key) {
                true => Ok(()),
                false => unauthorized,
            };
        }
        if headers.contains_key("authorization") || headers.contains_key("x-api-key") {
            self.violated(Some(at), Rule::ApiKeyOnMainCall);
        }
        let Some(name) = text(headers, "x-session-token") else {
            return unauthorized;
        };
        let Some(token) = state.tokens.get(name) else {
            return unauthorized;
        };
        if token.workflow != workflow.name {
            self.violated(Some(at), Rule::TokenOfAnotherWorkflow);
            return unauthorized;
        }
        if token.expires <= Instant::now() {
            return unauthorized;
        }
        if token.token_use == TokenUse::Once {
            state.tokens.remove(name);
        }
        Ok(())
    }

    /// The answer of a fault that lets the call have no effect; `None` for the others.
    fn without_effect(&self, at: &At, fault: &Fault) -> Option<Answer> {
        match fault {
            Fault::Status(status) => Some(refusal(&Refusal(code(*status), "injected"))),
            Fault::RetryAfter { status, after } => {
                let mut response = failure(&Refusal(code(*status), "injected"));
                if let Ok(after) = HeaderValue::from_str(after) {
                    response.headers_mut().insert(header::RETRY_AFTER, after);
                }
                Some(Answer::Http(response))
            }
            Fault::Hang => Some(Answer::Hang),
            Fault::Reset => Some(Answer::Reset),
            Fault::Garbage => Some(Answer::Raw(Bytes::from_static(GARBAGE))),
            Fault::SuccessFalse => Some(refusal(&Refusal(StatusCode::OK, "injected"))),
            Fault::WrongContentType => {
                let mut response = Response::new(Bytes::from_static(PAGE));
                response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
                Some(Answer::Http(response))
            }
            Fault::RevokeTokens => {
                self.revoke_tokens(at.name());
                Some(refusal(&Refusal(StatusCode::UNAUTHORIZED, "Unauthorized")))
            }
            Fault::ResetAfterAccept | Fault::GarbageBody | Fault::SlowBody(_) => None,
        }
    }

    fn revoke_tokens(&self, workflow: &str) {
        let mut state = self.state();
        state.tokens.retain(|_, token| token.workflow != workflow);
    }

    fn violated(&self, at: Option<&At>, rule: Rule) {
        let at = at.cloned();
        self.violations.push(Violation { at, rule });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The answer to a call that took effect, as its fault spoils it.
fn with_effect(fault: Option<&Fault>, body: &Value) -> Answer {
    let response = json_response(StatusCode::OK, JSON, body);
    match fault {
        Some(Fault::ResetAfterAccept) => Answer::Reset,
        Some(Fault::SlowBody(pause)) => Answer::SlowBody(response, *pause),
        Some(Fault::GarbageBody) => Answer::Http(response.map(|body| body.slice(..body.len() - body.len() / 3))),
        _ => Answer::Http(response),
    }
}

fn refusal(refused: &Refusal) -> Answer {
    Answer::Http(failure(refused))
}

fn failure(Refusal(status, message): &Refusal) -> Response<Bytes> {
    let body = json!({ "success": false, "message": message });
    json_response(*status, JSON, &body)
}

fn code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// The key raw in `authorization`, or in `x-api-key`.
fn presents_key(headers: &HeaderMap, api_key: &str) -> bool {
    ["authorization", "x-api-key"].into_iter().any(|name| text(headers, name) == Some(api_key))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

const GARBAGE: &[u8] = b"\x16\x03\x01\x02\x00 this is not HTTP\r\n\r\n";
const PAGE: &[u8] = b"<!doctype html><title>Sign in</title><p>Please sign in.";
const MAX_MESSAGE_BYTES: usize = 4 * 1024 * 1024;

#[cfg(test)]
mod tests;
