//! The one door to a provider's own API: OAuth2 client credentials (RFC 6749 §4.4), customer lookups, and any other call.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use json::{Document, Pointer};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Method, Request, StatusCode, Url};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use crate::clock::{Clock, UnixMillis};
use crate::customer::provider_api::{Lookup, ProviderApi};
use crate::outside::cool_off::CoolOff;
use crate::outside::http::{CallTime, ExchangeError, Http, HttpAnswer};
use crate::outside::secrets::{self, CachedSecret, Problem, SecretError};
use crate::outside::token_slot::{Token, TokenSlot, is_token};
use crate::record::failure::{DispatchFailure, FailureCode};

/// One call, in the API's own terms.
#[derive(Debug)]
pub struct ApiCall<'c> {
    pub method: Method,
    /// Below the base URL. Each is one segment, whatever it holds.
    pub path: &'c [&'c str],
    /// As it stands in a URL, without the question mark.
    pub query: Option<&'c str>,
    pub header: Option<(HeaderName, HeaderValue)>,
    pub body: Option<&'c Value>,
}

/// One provider's API, with its access token.
pub struct ApiClient {
    pub provider: &'static str,
    pub lookups: &'static [Lookup],
    scope: &'static str,
    http: Http,
    account: CachedSecret<ApiAccount>,
    clock: Clock,
    token: TokenSlot,
    cool_off: CoolOff,
    asking: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

/// What the API's secret says.
pub struct ApiAccount {
    base_url: Url,
    token_url: Url,
    /// `Basic ..`, marked sensitive.
    authorization: HeaderValue,
}

/// RFC 6749 lets an answer omit the lifetime: it is assumed to be short.
const DEFAULT_TOKEN_LIFE_S: u64 = 60;

/// A lookup reads one record. Two calls and the dispatch fit into an invocation.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

impl ApiClient {
    pub fn new(
        provider: &'static str,
        api: &ProviderApi,
        http: Http,
        account: CachedSecret<ApiAccount>,
        clock: Clock,
    ) -> Self {
        let (lookups, scope) = (api.lookups, api.scope);
        let (token, cool_off, asking) = Default::default();
        Self { provider, lookups, scope, http, account, clock, token, cool_off, asking }
    }

    /// The customer of the record `id`; `None` when the API knows no such record, or no customer of it.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub async fn customer_of(
        &self,
        lookup: &Lookup,
        id: &str,
        time: CallTime,
    ) -> Result<Option<String>, DispatchFailure> {
        let path: Vec<&str> = lookup.path.split('/').filter(|part| !part.is_empty()).chain([id]).collect();
        let Some(answer) = self.find(&path, time).await? else { return Ok(None) };
        let text = answer.text();
        let read = Document::of(&*text).map_err(|_| failure_of(&answer, FailureCode::ProviderApiUnreadable))?;
        let pointer = Pointer::parse(lookup.answer).ok();
        let customer = pointer.and_then(|pointer| read.root().at(&pointer)?.text_or_digits());
        Ok(customer.filter(|id| !id.is_empty()).map(Cow::into_owned))
    }

    /// The record at `path`, whose segments may hold anything; `None` when the API knows no such record.
    ///
    /// An answer of 401 drops the token; a new one is fetched and the question is asked once more.
    ///
    /// # Errors
    /// All are transient; 403 needs an operator to add the missing scope. `cooling_off` when the API was slow a moment ago and
    /// `time` spares it.
    pub async fn find(&self, path: &[&str], time: CallTime) -> Result<Option<HttpAnswer>, DispatchFailure> {
        // The URL standard would resolve these as the folder itself and the one above it.
        if path.iter().any(|segment| matches!(*segment, "" | "." | "..")) {
            return Ok(None);
        }
        if time.spares_slow_systems
            && let Some(left) = self.cool_off.left(self.clock.now())
        {
            return Err(DispatchFailure::cooling_off(left));
        }
        let question = ApiCall { method: Method::GET, path, query: None, header: None, body: None };
        let answer = self.call(&question, time).await?;
        match answer.status.as_u16() {
            200..=299 => Ok(Some(answer)),
            // 400 is the answer to an id of another shape.
            400 | 404 | 410 => Ok(None),
            403 => Err(failure_of(&answer, FailureCode::ProviderApiForbidden)),
            429 => Err(failure_of(&answer, FailureCode::ProviderApiThrottled)),
            _ => Err(failure_of(&answer, FailureCode::ProviderApiError)),
        }
    }

    /// The answer to a call, whatever its status but 401.
    ///
    /// An answer of 401 drops the token; a new one is fetched and the call is made once more. A call is also repeated when its
    /// connection died before a byte of the answer.
    ///
    /// # Errors
    /// There is no token, no answer, or the second one is 401, too.
    pub async fn call(&self, call: &ApiCall<'_>, time: CallTime) -> Result<HttpAnswer, DispatchFailure> {
        let account = self.account().await?;
        match self.call_once(&account, call, time).await {
            Err(failure) if failure.code == FailureCode::ProviderApiUnauthorized => {
                self.call_once(&account, call, time).await
            }
            // The client's secret may have changed since it was read.
            Err(failure)
                if matches!(
                    failure.code,
                    FailureCode::ProviderApiLoginRefused | FailureCode::ProviderApiScopeRefused
                ) =>
            {
                match self.account.newer_than(&account).await.ok().flatten() {
                    Some(newer) => self.call_once(&newer, call, time).await,
                    None => Err(failure),
                }
            }
            result => result,
        }
    }

    /// Whether the API's secret can be read and used, and if not, why.
    ///
    /// # Errors
    /// As [`CachedSecret::value`] has them.
    pub async fn check_account(&self) -> Result<(), SecretError> {
        self.account.value().await.map(drop)
    }

    /// A lock for `question`, so that others wait for the first one's answer and find it in the table.
    pub fn turn(&self, question: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        // Locks that nobody holds are dropped.
        asking.retain(|_, turn| Arc::strong_count(turn) > 1);
        Arc::clone(asking.entry(question.to_owned()).or_default())
    }

    async fn account(&self) -> Result<Arc<ApiAccount>, DispatchFailure> {
        self.account.value().await.map_err(|_| FailureCode::ProviderApiSecretUnavailable.into())
    }

    async fn call_once(
        &self,
        account: &ApiAccount,
        call: &ApiCall<'_>,
        time: CallTime,
    ) -> Result<HttpAnswer, DispatchFailure> {
        let authorization = self.authorization(account, time).await?;
        let answer = self.send(account.request(call, authorization.clone()), time).await?;
        if answer.status == StatusCode::UNAUTHORIZED {
            self.token.drop_refused(&authorization).await;
            return Err(failure_of(&answer, FailureCode::ProviderApiUnauthorized));
        }
        Ok(answer)
    }

    /// The live access token, fetched once however many wait for it.
    async fn authorization(&self, account: &ApiAccount, time: CallTime) -> Result<HeaderValue, DispatchFailure> {
        let fetch = async {
            let answer = self.send(account.token_request(self.scope), time).await?;
            access_token(&answer, self.clock.now())
        };
        let began = Instant::now();
        let token = timeout_at(time.ends_at, self.token.live(self.clock, fetch)).await;
        token.unwrap_or_else(|_| Err(no_answer(&CallTime::cut_off(began))))
    }

    async fn send(&self, request: Request, time: CallTime) -> Result<HttpAnswer, DispatchFailure> {
        let began = Instant::now();
        let answer = self.http.exchange(request, CALL_TIMEOUT, time, self.clock.now()).await;
        self.cool_off.note(began.elapsed(), &answer, self.clock.now());
        answer.map_err(|error| no_answer(&error))
    }
}

impl ApiAccount {
    /// Reads the text of the secret: nothing can be used of one with any problem.
    pub fn parse(secret: &str) -> (Option<Self>, Vec<Problem>) {
        secrets::read(secret, |fields| {
            let (base_url, token_url) = (fields.url("base_url"), fields.url("token_url"));
            let client = |field| fields.text(field, "a non-empty string");
            let (id, secret) = (client("client_id"), client("client_secret"));
            let credentials = STANDARD.encode(format!("{}:{}", id?, secret?));
            let mut authorization = HeaderValue::try_from(format!("Basic {credentials}")).ok()?;
            authorization.set_sensitive(true);
            Some(Self { base_url: base_url?, token_url: token_url?, authorization })
        })
    }

    fn request(&self, call: &ApiCall<'_>, authorization: HeaderValue) -> Request {
        let mut url = self.base_url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(call.path);
        }
        url.set_query(call.query);
        let mut request = request(call.method.clone(), url, authorization);
        if let Some((name, value)) = &call.header {
            request.headers_mut().insert(name, value.clone());
        }
        if let Some(body) = call.body {
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            *request.body_mut() = Some(body.to_string().into());
        }
        request
    }

    fn token_request(&self, scope: &str) -> Request {
        let mut url = self.token_url.clone();
        url.query_pairs_mut().append_pair("grant_type", "client_credentials");
        if !scope.is_empty() {
            url.query_pairs_mut().append_pair("scope", scope);
        }
        request(Method::POST, url, self.authorization.clone())
    }
}

impl fmt::Debug for ApiAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiAccount(..)")
    }
}

fn request(method: Method, url: Url, authorization: HeaderValue) -> Request {
    let mut request = Request::new(method, url);
    request.headers_mut().insert(AUTHORIZATION, authorization);
    request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
    request
}

fn no_answer(error: &ExchangeError) -> DispatchFailure {
    let code = match error {
        ExchangeError::NoTime => FailureCode::NoTime,
        ExchangeError::Timeout => FailureCode::ProviderApiTimeout,
        ExchangeError::ConnectionFailed(_) | ExchangeError::ConnectionLost(_) => FailureCode::ProviderApiUnreachable,
    };
    code.into()
}

fn failure_of(answer: &HttpAnswer, code: FailureCode) -> DispatchFailure {
    let (status, retry_after) = (Some(answer.status.as_u16()), answer.retry_after);
    DispatchFailure { status, retry_after, ..code.into() }
}

/// The token in the answer to a login.
fn access_token(answer: &HttpAnswer, now: UnixMillis) -> Result<Token, DispatchFailure> {
    let text = answer.text();
    let said = Document::of(&*text).ok();
    let member = |name| said.as_ref().and_then(|said| said.root().get(name));
    let failure = |code| failure_of(answer, code);
    match answer.status.as_u16() {
        200..=299 => {}
        // RFC 6749 §5.2: 400 and 401 mean that the client or the scope is unknown.
        400 | 401 | 403 => {
            let scope = member("error").and_then(json::Value::text).is_some_and(|error| error == "invalid_scope");
            return Err(failure(if scope {
                FailureCode::ProviderApiScopeRefused
            } else {
                FailureCode::ProviderApiLoginRefused
            }));
        }
        429 => return Err(failure(FailureCode::ProviderApiThrottled)),
        _ => return Err(failure(FailureCode::ProviderApiError)),
    }
    let token = member("access_token").and_then(json::Value::text).filter(|token| is_token(token));
    let token = token.and_then(|token| HeaderValue::try_from(format!("Bearer {token}")).ok());
    let token = token.ok_or_else(|| failure(FailureCode::ProviderApiUnreadable))?;
    Ok(Token::given(token, member("expires_in"), DEFAULT_TOKEN_LIFE_S, now))
}

#[cfg(test)]
mod tests;
