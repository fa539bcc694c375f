//! A small HTTP client for loopback: what forwards to the embedded engine, and what tests and benches post with.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// Keeps connections open and may be cloned; plain HTTP only.
#[derive(Clone, Debug)]
pub struct HttpClient(Client<HttpConnector, Full<Bytes>>);

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    #[error("the request cannot be written: {0}")]
    Request(#[from] http::Error),
    #[error("no response")]
    NoResponse(#[from] hyper_util::client::legacy::Error),
    #[error("the response broke off")]
    BrokeOff(#[from] hyper::Error),
}

impl Default for HttpClient {
    fn default() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self(Client::builder(TokioExecutor::new()).build(connector))
    }
}

impl HttpClient {
    /// Sends one request and reads the whole response.
    ///
    /// # Errors
    /// There was none, or not all of it.
    pub async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, SendError> {
        let response = self.0.request(request.map(Full::new)).await?;
        let (head, body) = response.into_parts();
        Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
    }

    /// POSTs `body` with these headers; a name may occur twice.
    ///
    /// # Errors
    /// As [`send`](Self::send); also for a URL or a header that is none.
    pub async fn post<N: AsRef<str>, V: AsRef<str>>(
        &self,
        url: &str,
        headers: &[(N, V)],
        body: Bytes,
    ) -> Result<Response<Bytes>, SendError> {
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = url.parse::<Uri>().map_err(http::Error::from)?;
        for (name, value) in headers {
            let name: HeaderName = name.as_ref().parse().map_err(http::Error::from)?;
            let value: HeaderValue = value.as_ref().parse().map_err(http::Error::from)?;
            request.headers_mut().append(name, value);
        }
        self.send(request).await
    }
}
