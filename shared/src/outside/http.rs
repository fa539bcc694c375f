//! The one door to HTTP: the AWS SDK and the calls to Returning.AI and to a provider's API have its TLS settings and its rules in common.
//!
//! Lambda freezes a function between events, and its idle connections die unnoticed meanwhile. So idle connections are dropped
//! early, and a request whose connection died before a byte of the answer is sent once more without counting as an attempt.
//! Both sides recognise a repeated request: DynamoDB by its conditions, Returning.AI by the idempotency key.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use std::{io, mem};

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use reqwest::header::{CONTENT_LENGTH, DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, ClientBuilder, Method, Proxy, Request, Response, StatusCode, Url, redirect};
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::{Instant, timeout_at};

use crate::clock::UnixMillis;

use self::direct::{CONNECT_TIMEOUT, Direct, POOL_IDLE_TIMEOUT};
pub use self::exchange_error::ExchangeError;

/// The client, cheap to clone. Mozilla's roots are compiled in: reading the system's would be the slowest step of a start.
#[derive(Clone, Debug)]
pub struct Http {
    client: Client,
    /// To AWS; over another network than the functions' `client` takes its place.
    direct: Option<Arc<Direct>>,
    /// What answers in place of the network, in the simulation.
    in_process: Option<in_process::InProcess>,
}

/// The client could not be set up: TLS settings that this build does not support.
#[derive(Debug, thiserror::Error)]
pub enum HttpSetupError {
    #[error("TLS could not be set up")]
    Tls(#[source] rustls::Error),
    #[error("the HTTP client could not be set up")]
    Client(#[source] reqwest::Error),
}

/// An answer, with as much of the body as is needed.
pub struct HttpAnswer {
    pub status: StatusCode,
    /// `Retry-After`, if the answer has one.
    pub retry_after: Option<Duration>,
    /// The time by the other side's clock, as it wrote it.
    pub date: Option<HeaderValue>,
    /// At most 256 KiB.
    pub body: Vec<u8>,
}

/// The time that the calls of one attempt have together.
#[derive(Clone, Copy, Debug)]
pub struct CallTime {
    pub ends_at: Instant,
    /// Whether a system that cools off is left alone: in an attempt that holds up what comes behind it.
    pub spares_slow_systems: bool,
}

/// Firewalls answer 403 to a request that does not say what sent it.
const USER_AGENT: &str = concat!("bridge/", env!("CARGO_PKG_VERSION"));

/// Most answers have a few hundred bytes, a provider's list a hundred times that; of a longer one this much is read.
const MAX_ANSWER_BYTES: usize = 256 * 1024;

/// Nobody waits longer because another system asks for it.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(12 * 60 * 60);

/// The least that somebody asks for whose `Retry-After` cannot be read: longer than a quick try waits.
pub(crate) const UNREADABLE_RETRY_AFTER: Duration = Duration::from_secs(1);

/// A call that has had less time than this when its attempt ends says nothing about the other system.
pub(crate) const LEAST_TIME: Duration = Duration::from_secs(3);

/// The longest that a person waits for calls.
const A_PERSON_S_PATIENCE: Duration = Duration::from_secs(60);

impl CallTime {
    /// For calls that no event waits for.
    pub fn of_a_person() -> Self {
        Self { ends_at: Instant::now() + A_PERSON_S_PATIENCE, spares_slow_systems: false }
    }

    /// Why there is no answer to a call that began at `began` and that the end of its attempt cut off.
    pub(crate) fn cut_off(began: Instant) -> ExchangeError {
        if began.elapsed() < LEAST_TIME { ExchangeError::NoTime } else { ExchangeError::Timeout }
    }
}

impl HttpAnswer {
    /// The body as text, without a byte order mark. A byte that is not UTF-8 spoils nothing but itself.
    pub fn text(&self) -> Cow<'_, str> {
        let body = self.body.trim_ascii_start();
        String::from_utf8_lossy(body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body))
    }
}

impl Http {
    /// # Errors
    /// Only on a build without the TLS versions asked for.
    pub fn new() -> Result<Self, HttpSetupError> {
        let tls = tls(Vec::new())?;
        let direct = Some(Arc::new(Direct::new(tls.clone())));
        Ok(Self { direct, ..Self::with(tls, CONNECT_TIMEOUT, Vec::new())? })
    }

    /// Over another network than the functions': one that needs more time, proxies, or roots of its own.
    ///
    /// # Errors
    /// As of [`new`](Self::new), or one of the roots is no certificate.
    pub fn over(
        connect_timeout: Duration,
        proxies: Vec<Proxy>,
        own_roots: Vec<CertificateDer<'static>>,
    ) -> Result<Self, HttpSetupError> {
        Self::with(tls(own_roots)?, connect_timeout, proxies)
    }

    fn with(tls: ClientConfig, connect_timeout: Duration, proxies: Vec<Proxy>) -> Result<Self, HttpSetupError> {
        // Without this it would ask the environment.
        let direct = Client::builder().no_proxy();
        let client = proxies
            .into_iter()
            .fold(direct, ClientBuilder::proxy)
            .tls_backend_preconfigured(tls)
            .user_agent(USER_AGENT)
            // A redirect would send an API key or a session token to an address that is not configured.
            .redirect(redirect::Policy::none())
            .referer(false)
            .connect_timeout(connect_timeout)
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .build()
            .map_err(HttpSetupError::Client)?;
        Ok(Self { client, direct: None, in_process: None })
    }

    /// The same client, answered by `in_process` instead of a network.
    #[must_use]
    pub fn ending_in(self, in_process: in_process::InProcess) -> Self {
        Self { in_process: Some(in_process), direct: None, ..self }
    }

    /// The client that requests are built with.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Sends `request`, once more when its connection died before a byte of the answer.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn send(&self, mut request: Request) -> Result<Response, ExchangeError> {
        if request.method() == Method::POST && is_empty(&request) {
            // hyper says it of no empty body, and load balancers answer 411 then (RFC 9110 §8.6).
            request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(0));
        }
        let again = request.try_clone();
        once_more(request, again, |request| self.send_once(request)).await
    }

    async fn send_once(&self, request: Request) -> Result<Response, ExchangeError> {
        if let Some(in_process) = &self.in_process {
            return Ok(in_process.answer(request).await?);
        }
        Ok(self.client.execute(request).await?)
    }

    /// Sends `request` and reads the answer, whatever its status, within `limit` and the `time` of the attempt.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn exchange(
        &self,
        request: Request,
        limit: Duration,
        time: CallTime,
        now: UnixMillis,
    ) -> Result<HttpAnswer, ExchangeError> {
        let began = Instant::now();
        let own_end = began + limit;
        match timeout_at(own_end.min(time.ends_at), self.read_answer(request, now)).await {
            Ok(result) => result,
            Err(_) if own_end <= time.ends_at => Err(ExchangeError::Timeout),
            Err(_) => Err(CallTime::cut_off(began)),
        }
    }

    async fn read_answer(&self, request: Request, now: UnixMillis) -> Result<HttpAnswer, ExchangeError> {
        let mut response = self.send(request).await?;
        let status = response.status();
        let retry_after = retry_after(response.headers(), now);
        let date = response.headers().get(DATE).cloned();
        let mut body = Vec::new();
        while body.len() < MAX_ANSWER_BYTES
            && let Some(chunk) = response.chunk().await?
        {
            body.extend_from_slice(&chunk);
        }
        body.truncate(MAX_ANSWER_BYTES);
        Ok(HttpAnswer { status, retry_after, date, body })
    }
}

/// Without the URL, which may hold a customer's path.
impl From<reqwest::Error> for ExchangeError {
    fn from(error: reqwest::Error) -> Self {
        match () {
            () if error.is_timeout() => Self::Timeout,
            () if error.is_connect() => Self::ConnectionFailed(error.without_url().into()),
            () => Self::ConnectionLost(error.without_url().into()),
        }
    }
}

impl From<in_process::NoAnswer> for ExchangeError {
    fn from(no_answer: in_process::NoAnswer) -> Self {
        use in_process::NoAnswer::{Broken, Died, Refused};
        let cause = |kind: io::ErrorKind| io::Error::from(kind).into();
        match no_answer {
            Refused => Self::ConnectionFailed(cause(io::ErrorKind::ConnectionRefused)),
            Died => Self::ConnectionLost(cause(io::ErrorKind::ConnectionReset)),
            Broken => Self::ConnectionLost(cause(io::ErrorKind::UnexpectedEof)),
        }
    }
}

/// TLS by ring, with Mozilla's roots and those of one's own.
fn tls(own_roots: Vec<CertificateDer<'static>>) -> Result<ClientConfig, HttpSetupError> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for root in own_roots {
        roots.add(root).map_err(HttpSetupError::Tls)?;
    }
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(HttpSetupError::Tls)?;
    Ok(tls.with_root_certificates(roots).with_no_client_auth())
}

/// Sends a request, and `again`, which is the same, when its connection died before a byte of the answer.
async fn once_more<R, A, F>(request: R, again: Option<R>, send: impl Fn(R) -> F) -> Result<A, ExchangeError>
where
    F: Future<Output = Result<A, ExchangeError>>,
{
    match (send(request).await, again) {
        (Err(error), Some(again)) if died_before_an_answer(&error) => send(again).await,
        (result, _) => result,
    }
}

fn is_empty(request: &Request) -> bool {
    request.body().is_none_or(|body| body.as_bytes().is_some_and(<[u8]>::is_empty))
}

/// `Retry-After` (RFC 9110 §10.2.3) in seconds or as a date in any of the three formats; decimals too, which services send.
/// A time that has passed is zero, one that is far away twelve hours, and one that cannot be read a second.
pub fn retry_after(headers: &HeaderMap, now: UnixMillis) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?;
    let pause = value.to_str().ok().and_then(|text| read_pause(text.trim(), now)).unwrap_or(UNREADABLE_RETRY_AFTER);
    Some(pause.min(LONGEST_RETRY_AFTER))
}

fn read_pause(text: &str, now: UnixMillis) -> Option<Duration> {
    match text.strip_prefix('-').unwrap_or(text) {
        digits if is_decimal(digits) => {
            // Negative: it has passed.
            let seconds = if digits == text { text.parse::<f64>().ok()? } else { 0.0 };
            Some(Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST_RETRY_AFTER))
        }
        _ => Some(UnixMillis::from_http_date(text)?.since(now)),
    }
}

/// Digits, and a point between some of them: `f64` would read `inf`, `NaN` and `1e3`, too.
fn is_decimal(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    match text.split_once('.') {
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => digits(text),
    }
}

/// True for a connection that was closed or reset during the request; false for a refused one, a timeout, or a bad answer.
fn died_before_an_answer(error: &ExchangeError) -> bool {
    let ExchangeError::ConnectionLost(cause) = error else { return false };
    let mut cause: Option<&(dyn StdError + 'static)> = Some(cause.as_ref());
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<hyper::Error>()
            && (error.is_incomplete_message() || error.is_canceled() || error.is_closed())
        {
            return true;
        }
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return matches!(
                error.kind(),
                io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe
            );
        }
        cause = error.source();
    }
    false
}

/// What [`is_safe_url`] requires.
pub const SAFE_URL: &str = "an https URL, or an http one on this machine";

/// Keys and personal data travel encrypted, or do not leave the machine.
pub fn is_safe_url(url: &Url) -> bool {
    match (url.scheme(), url.host_str()) {
        ("https", Some(_)) => true,
        ("http", Some(host)) => {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        _ => false,
    }
}

/// The same client behind the AWS SDK. Its timeouts per attempt and operation are the SDK's own.
impl HttpClient for Http {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Http {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let http = self.clone();
        HttpConnectorFuture::new(async move { http.call_aws(request).await })
    }
}

impl Http {
    async fn call_aws(&self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
        let request = request.map(|body| body.bytes().map(Bytes::copy_from_slice).unwrap_or_default());
        let answer = match &self.direct {
            Some(direct) => {
                let again = Some(request.clone());
                let response = once_more(request, again, |request| direct.send(request)).await.map_err(sdk_error)?;
                let (head, body) = response.into_parts();
                http::Response::from_parts(head, direct::read(body).await.map_err(sdk_error)?)
            }
            None => {
                let request = Request::try_from(request).map_err(|error| ConnectorError::user(error.into()))?;
                let mut response = self.send(request).await.map_err(sdk_error)?;
                let (status, headers) = (response.status(), mem::take(response.headers_mut()));
                let mut answer = http::Response::new(response.bytes().await.map_err(|error| sdk_error(error.into()))?);
                (*answer.status_mut(), *answer.headers_mut()) = (status, headers);
                answer
            }
        };
        HttpResponse::try_from(answer.map(SdkBody::from)).map_err(|error| ConnectorError::other(error.into(), None))
    }
}

/// Tells the SDK's retry strategy what it may repeat.
fn sdk_error(error: ExchangeError) -> ConnectorError {
    match error {
        ExchangeError::Timeout | ExchangeError::NoTime => ConnectorError::timeout(error.into()),
        ExchangeError::ConnectionFailed(_) | ExchangeError::ConnectionLost(_) => ConnectorError::io(error.into()),
    }
}

mod direct;
mod exchange_error;
pub mod in_process;

#[cfg(test)]
mod tests;
