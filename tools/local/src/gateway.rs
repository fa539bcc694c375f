//! API Gateway on this machine: HTTP requests become the events functions get, their answers become HTTP again.
//!
//! The shapes are AWS's: [payload format 2.0 and 1.0][http-api], [REST API][rest-api], [function URL][function-url].
//!
//! [http-api]: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
//! [rest-api]: https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
//! [function-url]: https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html

use std::fmt;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use crate::front::{Answer, Front, json_response};
use crate::invoke_api;
use crate::lambda_host::{InvokeError, LambdaHost};

/// An HTTP request as it reached the gateway.
#[derive(Clone, Debug)]
pub struct HttpRequest {
    pub method: String,
    /// Without the query.
    pub path: String,
    /// Without the question mark; empty when there is none.
    pub query: String,
    /// As sent; a name may occur more than once.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

impl HttpRequest {
    /// A POST without a query.
    pub fn post(path: &str, headers: Vec<(String, String)>, body: impl Into<Bytes>) -> Self {
        Self { method: "POST".to_owned(), path: path.to_owned(), query: String::new(), headers, body: body.into() }
    }
}

/// The event of an HTTP API, payload format 2.0: header names in lower case, repeated ones joined by commas. The body is
/// base64 when it is not UTF-8.
pub fn http_api_event(request: &HttpRequest) -> Value {
    let route = format!("{} {}", request.method, request.path);
    format_2_0(request, &route, "local.execute-api.us-east-1.amazonaws.com")
}

/// The event of a function URL: payload format 2.0 with a route of `$default`.
pub fn function_url_event(request: &HttpRequest) -> Value {
    format_2_0(request, "$default", "local.lambda-url.us-east-1.on.aws")
}

/// The event of a REST API (payload format 1.0): header names as sent, the last of repeated ones in `headers` and all of
/// them in `multiValueHeaders`.
pub fn rest_api_event(request: &HttpRequest) -> Value {
    let now = OffsetDateTime::now_utc();
    let headers = pairs(&request.headers);
    let query: Vec<_> = query_parameters(&request.query).collect();
    let (body, is_base64) = event_body(&request.body);
    json!({
        "resource": request.path,
        "path": request.path,
        "httpMethod": request.method,
        "headers": last_values(headers.clone()),
        "multiValueHeaders": all_values(headers),
        "queryStringParameters": null_when_empty(last_values(pairs(&query))),
        "multiValueQueryStringParameters": null_when_empty(all_values(pairs(&query))),
        "pathParameters": null,
        "stageVariables": null,
        "requestContext": {
            "accountId": ACCOUNT,
            "apiId": "local",
            "domainName": "local.execute-api.us-east-1.amazonaws.com",
            "domainPrefix": "local",
            "extendedRequestId": crate::random_uuid(),
            "httpMethod": request.method,
            "identity": { "sourceIp": SOURCE_IP, "userAgent": header(request, "user-agent") },
            "path": request.path,
            "protocol": "HTTP/1.1",
            "requestId": crate::random_uuid(),
            "requestTime": clf_time(now),
            "requestTimeEpoch": epoch_ms(now),
            "resourceId": "local",
            "resourcePath": request.path,
            "stage": "prod",
        },
        "body": body,
        "isBase64Encoded": is_base64,
    })
}

/// Any of the events with its body in base64, as API Gateway sends what it takes for binary.
pub fn with_base64_body(mut event: Value) -> Value {
    if event["isBase64Encoded"] == false
        && let Some(text) = event["body"].as_str()
    {
        event["body"] = json!(STANDARD.encode(text));
        event["isBase64Encoded"] = json!(true);
    }
    event
}

/// One request that the gateway has answered.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub method: String,
    pub path: String,
    /// As sent; a name may occur more than once.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    pub status: u16,
    /// The answer's body.
    pub answer: Bytes,
    /// From the whole request to the answer.
    pub ack: Duration,
}

/// Told of every exchange, but for those with what is served [beside](Beside) the functions.
pub type Observer = Arc<dyn Fn(&Exchange) + Send + Sync>;

/// Answers what is neither at a function's path nor of Lambda's [Invoke API](invoke_api).
pub type Beside = Arc<dyn Fn(Request<Bytes>) -> BoxFuture<'static, Answer> + Send + Sync>;

/// A path and the function that gets what is sent there, whatever the method.
#[derive(Clone, Debug)]
pub struct Route {
    pub path: String,
    pub function: Arc<LambdaHost>,
}

/// A running HTTP API; dropping it closes the port.
pub struct Gateway {
    front: Front,
    hosted: Arc<Hosted>,
}

struct Hosted {
    routes: Vec<Route>,
    functions: Vec<Arc<LambdaHost>>,
    observer: Option<Observer>,
    beside: RwLock<Option<Beside>>,
}

impl Gateway {
    /// Listens on `127.0.0.1:port` (0: any free one). `functions` can be called by Lambda's [Invoke API](invoke_api) too.
    ///
    /// # Errors
    /// The port is taken.
    pub fn start(
        port: u16,
        routes: Vec<Route>,
        functions: Vec<Arc<LambdaHost>>,
        observer: Option<Observer>,
    ) -> io::Result<Self> {
        let hosted = Arc::new(Hosted { routes, functions, observer, beside: RwLock::default() });
        let answering = hosted.clone();
        let front = Front::start(port, MAX_BODY_BYTES, move |request| {
            let hosted = answering.clone();
            async move { hosted.answer(request).await }
        })?;
        Ok(Self { front, hosted })
    }

    pub fn url(&self) -> String {
        self.front.url()
    }

    pub fn port(&self) -> u16 {
        self.front.addr().port()
    }

    /// From now on gives `beside` every request that is for no function, instead of answering 404 itself; `None` ends that.
    ///
    /// What it is answering goes on until [`close`](Self::close). As long as it is set, the gateway keeps alive what it holds.
    pub fn serve_beside(&self, beside: Option<Beside>) {
        let mut set = self.hosted.beside.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *set, beside);
        // It may hold whatever holds this gateway: not to be dropped under the lock.
        drop(set);
        drop(before);
    }

    /// Closes the port and every connection, and lets go of what is served beside the functions; returns when that is done.
    pub async fn close(&self) {
        self.serve_beside(None);
        self.front.close().await;
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").field("front", &self.front).finish_non_exhaustive()
    }
}

impl Hosted {
    async fn answer(&self, request: Request<Bytes>) -> Answer {
        let began = Instant::now();
        let read = read(&request);
        let response = match (invoke_api::answer(&self.functions, &read).await, self.function_at(&read.path)) {
            (Some(response), _) => response,
            (None, Some(function)) => pass_on(function, &read).await,
            (None, None) => match self.beside() {
                Some(beside) => return beside(request).await,
                None => message(StatusCode::NOT_FOUND, "Not Found"),
            },
        };
        if let Some(observer) = &self.observer {
            observer(&Exchange {
                method: read.method,
                path: read.path,
                headers: read.headers,
                body: read.body,
                status: response.status().as_u16(),
                answer: response.body().clone(),
                ack: began.elapsed(),
            });
        }
        Answer::Http(response)
    }

    fn function_at(&self, path: &str) -> Option<&LambdaHost> {
        let route = self.routes.iter().find(|route| route.path == path)?;
        Some(&route.function)
    }

    fn beside(&self) -> Option<Beside> {
        self.beside.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn pass_on(function: &LambdaHost, request: &HttpRequest) -> Response<Bytes> {
    let event = Bytes::from(http_api_event(request).to_string());
    match tokio::time::timeout(INTEGRATION_TIMEOUT, function.invoke(event)).await {
        Ok(Ok(invoked)) => {
            http_response(&invoked.response).unwrap_or_else(|| message(StatusCode::INTERNAL_SERVER_ERROR, INTERNAL))
        }
        // AWS does not say what an HTTP API answers when Lambda throttles. A REST API answers 500 (repost.aws/knowledge-center/
        // api-gateway-internal-server-error), like for a function that failed; here the two are to be told apart.
        Ok(Err(InvokeError::SwitchedOff)) | Err(_) => message(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable"),
        Ok(Err(_)) => message(StatusCode::INTERNAL_SERVER_ERROR, INTERNAL),
    }
}

/// What an HTTP API makes of a function's answer; `None` when it is not one that API Gateway takes.
///
/// A JSON value without `statusCode` is a 200 with that value as its body (payload format 2.0 only).
pub fn http_response(answer: &[u8]) -> Option<Response<Bytes>> {
    let answer: Value = serde_json::from_slice(answer).ok()?;
    let Some(status) = answer.get("statusCode") else {
        return Some(json_response(StatusCode::OK, JSON, &answer));
    };
    let status = u16::try_from(status.as_u64()?).ok()?;
    let text = match answer.get("body") {
        None | Some(Value::Null) => "",
        Some(body) => body.as_str()?,
    };
    let body = match answer["isBase64Encoded"].as_bool() {
        Some(true) => Bytes::from(STANDARD.decode(text).ok()?),
        _ => Bytes::from(text.to_owned()),
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).ok()?;
    let headers = response.headers_mut();
    headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    for (name, value) in answer["headers"].as_object().into_iter().flatten() {
        let value = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        headers.insert(name.parse::<HeaderName>().ok()?, value.parse().ok()?);
    }
    for cookie in answer["cookies"].as_array().into_iter().flatten() {
        headers.append(http::header::SET_COOKIE, cookie.as_str()?.parse().ok()?);
    }
    // The server frames the body itself; a length or an encoding from the function could only contradict it.
    headers.remove(http::header::CONTENT_LENGTH);
    headers.remove(http::header::TRANSFER_ENCODING);
    Some(response)
}

fn read(request: &Request<Bytes>) -> HttpRequest {
    let headers = request.headers().iter().map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        (name.as_str().to_owned(), value)
    });
    HttpRequest {
        method: request.method().to_string(),
        path: request.uri().path().to_owned(),
        query: request.uri().query().unwrap_or_default().to_owned(),
        headers: headers.collect(),
        body: request.body().clone(),
    }
}

fn message(status: StatusCode, text: &str) -> Response<Bytes> {
    json_response(status, JSON, &json!({ "message": text }))
}

fn format_2_0(request: &HttpRequest, route: &str, domain: &str) -> Value {
    let now = OffsetDateTime::now_utc();
    let mut headers: Map<String, Value> = Map::new();
    let mut cookies = Vec::new();
    for (name, value) in &request.headers {
        let name = name.to_ascii_lowercase();
        if name == "cookie" {
            cookies.extend(value.split(';').map(|cookie| json!(cookie.trim())));
            continue;
        }
        let joined = match headers.get(&name).and_then(Value::as_str) {
            Some(before) => format!("{before},{value}"),
            None => value.clone(),
        };
        headers.insert(name, Value::String(joined));
    }
    let mut event = json!({
        "version": "2.0",
        "routeKey": route,
        "rawPath": request.path,
        "rawQueryString": request.query,
        "headers": headers,
        "requestContext": {
            "accountId": ACCOUNT,
            "apiId": "local",
            "domainName": domain,
            "domainPrefix": "local",
            "http": {
                "method": request.method,
                "path": request.path,
                "protocol": "HTTP/1.1",
                "sourceIp": SOURCE_IP,
                "userAgent": header(request, "user-agent").unwrap_or_default(),
            },
            "requestId": crate::random_uuid(),
            "routeKey": route,
            "stage": "$default",
            "time": clf_time(now),
            "timeEpoch": epoch_ms(now),
        },
        "isBase64Encoded": false,
    });
    if !cookies.is_empty() {
        event["cookies"] = Value::Array(cookies);
    }
    if !request.query.is_empty() {
        let mut parameters: Map<String, Value> = Map::new();
        for (name, value) in query_parameters(&request.query) {
            let joined = match parameters.get(&name).and_then(Value::as_str) {
                Some(before) => format!("{before},{value}"),
                None => value,
            };
            parameters.insert(name, Value::String(joined));
        }
        event["queryStringParameters"] = Value::Object(parameters);
    }
    // AWS leaves the member out when there is no body.
    if !request.body.is_empty() {
        let (body, is_base64) = event_body(&request.body);
        event["body"] = body;
        event["isBase64Encoded"] = json!(is_base64);
    }
    event
}

fn event_body(body: &[u8]) -> (Value, bool) {
    match std::str::from_utf8(body) {
        Ok("") => (Value::Null, false),
        Ok(text) => (json!(text), false),
        Err(_) => (json!(STANDARD.encode(body)), true),
    }
}

pub(crate) fn header<'a>(request: &'a HttpRequest, wanted: &str) -> Option<&'a str> {
    let mut headers = request.headers.iter();
    headers.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.as_str())
}

fn pairs(pairs: &[(String, String)]) -> impl Iterator<Item = (&str, &str)> + Clone {
    pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))
}

fn last_values<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Map<String, Value> {
    pairs.map(|(name, value)| (name.to_owned(), json!(value))).collect()
}

fn all_values<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Map<String, Value> {
    let mut all = Map::new();
    for (name, value) in pairs {
        let values = all.entry(name).or_insert_with(|| json!([]));
        if let Some(values) = values.as_array_mut() {
            values.push(json!(value));
        }
    }
    all
}

fn null_when_empty(map: Map<String, Value>) -> Value {
    match map.is_empty() {
        true => Value::Null,
        false => Value::Object(map),
    }
}

/// The parameters of a query, percent-decoded.
fn query_parameters(query: &str) -> impl Iterator<Item = (String, String)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (percent_decoded(name), percent_decoded(value))
    })
}

pub(crate) fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let escaped = match rest {
            [b'%', hex @ ..] => hex
                .get(..2)
                .and_then(|digits| std::str::from_utf8(digits).ok())
                .and_then(|digits| u8::from_str_radix(digits, 16).ok()),
            _ => None,
        };
        match (escaped, first) {
            (Some(byte), _) => {
                bytes.push(byte);
                rest = &rest[3..];
                continue;
            }
            (None, b'+') => bytes.push(b' '),
            (None, byte) => bytes.push(*byte),
        }
        rest = after;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The time as access logs have it, which is what API Gateway writes.
fn clf_time(now: OffsetDateTime) -> String {
    now.format(CLF).unwrap_or_default()
}

fn epoch_ms(now: OffsetDateTime) -> i64 {
    now.unix_timestamp() * 1000 + i64::from(now.millisecond())
}

const CLF: &[BorrowedFormatItem<'_>] =
    format_description!("[day]/[month repr:short]/[year]:[hour]:[minute]:[second] +0000");
const JSON: &str = "application/json";
const INTERNAL: &str = "Internal Server Error";
const ACCOUNT: &str = "000000000000";
const SOURCE_IP: &str = "127.0.0.1";
/// API Gateway takes bodies up to 10 MB.
const MAX_BODY_BYTES: usize = 10 * 1024 * 1024;
/// API Gateway waits no longer for a function.
const INTEGRATION_TIMEOUT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
