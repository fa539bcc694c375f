//! API Gateway on this machine: an HTTP request becomes the [event](events) of a function, whose answer becomes HTTP again.

use std::fmt;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use axum::Router;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use serde_json::json;

use self::events::{HttpRequest, http_api_event, http_response};
use crate::front::{Answer, Front, Guests, JSON, json_response, text_response};
use crate::invoke_api;
use crate::lambda_host::{InvokeError, LambdaHost};

pub mod events;

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

/// Called with every exchange, except those with what is served beside the functions.
pub type Observer = Arc<dyn Fn(&Exchange) + Send + Sync>;

/// A path and the function that gets its requests, of any method.
#[derive(Clone, Debug)]
pub struct Route {
    pub path: String,
    pub function: Arc<LambdaHost>,
}

/// A running HTTP API; dropping it closes its ports.
pub struct Gateway {
    front: Front,
    webhook_front: Option<Front>,
    backend: Arc<Backend>,
}

struct Backend {
    routes: Vec<Route>,
    functions: Vec<Arc<LambdaHost>>,
    observer: Option<Observer>,
    beside: RwLock<Option<Router>>,
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
        let backend = Arc::new(Backend { routes, functions, observer, beside: RwLock::default() });
        let answering = backend.clone();
        let front = Front::start(port, MAX_BODY_BYTES, guests, move |request| {
            let backend = answering.clone();
            async move { backend.answer(request).await }
        })?;
        Ok(Self { front, webhook_front: None, backend })
    }

    /// Also listens on `127.0.0.1:port` (0: any free one) for a tunnel: whatever host a request names, nothing is answered there
    /// but a POST to a function's path.
    ///
    /// # Errors
    /// The port is taken.
    pub fn listen_for_webhooks(&mut self, port: u16) -> io::Result<()> {
        let answering = self.backend.clone();
        let guests = |_: &str| Guests::Senders;
        let front = Front::start(port, MAX_BODY_BYTES, guests, move |request| {
            let backend = answering.clone();
            async move { backend.answer_webhook(&request).await }
        })?;
        self.webhook_front = Some(front);
        Ok(())
    }

    pub fn url(&self) -> String {
        self.front.url()
    }

    pub fn port(&self) -> u16 {
        self.front.addr().port()
    }

    /// Where it [listens for webhooks](Self::listen_for_webhooks) alone.
    pub fn webhook_port_url(&self) -> Option<String> {
        self.webhook_front.as_ref().map(Front::url)
    }

    /// Lets `beside` answer requests that are neither for a function's path nor for Lambda's [Invoke API](invoke_api), instead
    /// of 404; `None` ends that.
    ///
    /// Answers in progress continue until [`close`](Self::close). While it is set, the gateway keeps alive what it holds.
    pub fn serve_beside(&self, beside: Option<Router>) {
        let mut set = self.backend.beside.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *set, beside);
        // It may hold whatever holds this gateway: not to be dropped under the lock.
        drop(set);
        drop(before);
    }

    /// Closes its ports and every connection, and drops what is served beside the functions; returns when that is done.
    pub async fn close(&self) {
        self.serve_beside(None);
        if let Some(front) = &self.webhook_front {
            front.close().await;
        }
        self.front.close().await;
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").field("front", &self.front).finish_non_exhaustive()
    }
}

impl Backend {
    async fn answer(&self, request: Request<Bytes>) -> Answer {
        let began = Instant::now();
        let read = read(&request);
        let response = match (invoke_api::answer(&self.functions, &read).await, self.function_at(&read.path)) {
            (Some(response), _) => response,
            (None, Some(function)) => pass_on(function, &read).await,
            (None, None) => match (signed_for(&read), self.beside()) {
                (Some(service), _) => return Answer::Http(no_such_service(service, &read)),
                (None, Some(beside)) => return Answer::of(&beside, request).await,
                (None, None) => message(StatusCode::NOT_FOUND, "Not Found"),
            },
        };
        self.observed(read, response, began)
    }

    async fn answer_webhook(&self, request: &Request<Bytes>) -> Answer {
        let began = Instant::now();
        let read = read(request);
        let response = match self.function_at(&read.path) {
            None => message(StatusCode::NOT_FOUND, "Not Found"),
            Some(_) if read.method != "POST" => message(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed"),
            Some(function) => pass_on(function, &read).await,
        };
        self.observed(read, response, began)
    }

    /// The answer, after the observer was told of it.
    fn observed(&self, read: HttpRequest, response: Response<Bytes>, began: Instant) -> Answer {
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

    fn beside(&self) -> Option<Router> {
        self.beside.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The page is what is served beside the functions.
fn guests(path: &str) -> Guests {
    match path {
        _ if path.starts_with("/webhooks/") => Guests::Senders,
        _ if invoke_api::is_at(path) => Guests::Programs,
        _ => Guests::Page,
    }
}

/// The service whose call this is, as its signature says: what signs for AWS is none of the page's visitors.
fn signed_for(request: &HttpRequest) -> Option<&str> {
    let scope = request.header("authorization")?.strip_prefix("AWS4-HMAC-SHA256 Credential=")?;
    scope.split([',', ' ']).next()?.split('/').nth(3)
}

/// In the form of the service's own protocol: its clients show no message in another.
fn no_such_service(service: &str, request: &HttpRequest) -> Response<Bytes> {
    const CODE: &str = "UnknownOperationException";
    const MESSAGE: &str = "`bridge dev` answers Lambda here, and DynamoDB and Secrets Manager at the addresses that it prints; no other service of \
                           AWS";
    let is_form = |kind: &str| kind.starts_with("application/x-www-form-urlencoded");
    let (kind, body) = match request.header("content-type") {
        _ if service == "s3" => {
            ("application/xml", format!("<Error><Code>{CODE}</Code><Message>{MESSAGE}</Message></Error>"))
        }
        Some(kind) if is_form(kind) => {
            let error = format!("<Error><Type>Sender</Type><Code>{CODE}</Code><Message>{MESSAGE}</Message></Error>");
            ("text/xml", format!("<ErrorResponse>{error}</ErrorResponse>"))
        }
        _ => ("application/json", json!({ "__type": CODE, "message": MESSAGE }).to_string()),
    };
    text_response(StatusCode::BAD_REQUEST, kind, body)
}

async fn pass_on(function: &LambdaHost, request: &HttpRequest) -> Response<Bytes> {
    let event = Bytes::from(http_api_event(request).to_string());
    match tokio::time::timeout(INTEGRATION_TIMEOUT, function.invoke(event)).await {
        Ok(Ok(invoked)) => {
            http_response(&invoked.response).unwrap_or_else(|| message(StatusCode::INTERNAL_SERVER_ERROR, INTERNAL))
        }
        // AWS does not say what an HTTP API answers when Lambda throttles. A REST API answers 500 (repost.aws/knowledge-center/
        // api-gateway-internal-server-error), like for a function that failed; here the two must differ.
        Ok(Err(InvokeError::SwitchedOff)) | Err(_) => message(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable"),
        Ok(Err(_)) => message(StatusCode::INTERNAL_SERVER_ERROR, INTERNAL),
    }
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

const INTERNAL: &str = "Internal Server Error";
/// API Gateway takes bodies up to 10 MB.
const MAX_BODY_BYTES: usize = 10 * 1024 * 1024;
/// API Gateway waits no longer for a function.
const INTEGRATION_TIMEOUT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
