//! A second end of the HTTP client, for a simulation: a function answers in place of the network. No function uses it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use reqwest::{Request, Response};

/// Answers requests in this process.
#[derive(Clone)]
pub struct InProcess(Arc<Answer>);

type Answer = dyn Fn(http::Request<Bytes>) -> Answering + Send + Sync;

/// An answer under way. One that never comes is a peer that hangs.
pub type Answering = Pin<Box<dyn Future<Output = Result<http::Response<Bytes>, NoAnswer>> + Send>>;

/// Why there is no answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NoAnswer {
    /// Nothing was sent.
    Refused,
    /// The connection died before a byte of the answer; the other side may have done what was asked.
    Died,
    /// The connection died within the answer.
    Broken,
}

impl InProcess {
    pub fn new(answer: impl Fn(http::Request<Bytes>) -> Answering + Send + Sync + 'static) -> Self {
        Self(Arc::new(answer))
    }

    pub(super) async fn answer(&self, request: Request) -> Result<Response, NoAnswer> {
        let mut asked = http::Request::new(Bytes::new());
        *asked.method_mut() = request.method().clone();
        *asked.uri_mut() = request.url().as_str().parse().map_err(|_| NoAnswer::Refused)?;
        *asked.headers_mut() = request.headers().clone();
        *asked.body_mut() =
            request.body().and_then(|body| body.as_bytes()).map(Bytes::copy_from_slice).unwrap_or_default();
        Ok((self.0)(asked).await?.into())
    }
}

impl fmt::Debug for InProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InProcess")
    }
}

#[cfg(test)]
mod tests;
