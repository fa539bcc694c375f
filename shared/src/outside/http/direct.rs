//! The functions' way to AWS: hyper alone, since what `reqwest` does around it is a tenth of an event.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;

use crate::outside::http::exchange_error::ExchangeError;

/// DynamoDB, Secrets Manager and Returning.AI are at most a continent away; a slower connection is given up.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Shorter than the idle limits of AWS's endpoints and of common load balancers (60 s).
pub(super) const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// A client with connections of its own: nothing else calls AWS.
#[derive(Debug)]
pub(super) struct Direct(Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

/// TCP's own signs that the other side is gone, as `reqwest` sets them.
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVE_RETRIES: u32 = 3;

impl Direct {
    pub(super) fn new(tls: ClientConfig) -> Self {
        let mut tcp = HttpConnector::new();
        // The scheme is the TLS connector's business.
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        tcp.set_keepalive(Some(KEEPALIVE));
        tcp.set_keepalive_interval(Some(KEEPALIVE));
        tcp.set_keepalive_retries(Some(KEEPALIVE_RETRIES));
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .pool_timer(TokioTimer::new())
            .build(connector);
        Self(client)
    }

    /// Sends `request` and reads the head of the answer.
    pub(super) async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Incoming>, ExchangeError> {
        Ok(self.0.request(request.map(Full::new)).await?)
    }
}

/// The rest of an answer.
pub(super) async fn read(body: Incoming) -> Result<Bytes, ExchangeError> {
    let read = body.collect().await.map_err(|error| ExchangeError::ConnectionLost(error.into()))?;
    Ok(read.to_bytes())
}

impl From<Error> for ExchangeError {
    fn from(error: Error) -> Self {
        match () {
            () if timed_out(&error) => Self::Timeout,
            () if error.is_connect() => Self::ConnectionFailed(error.into()),
            () => Self::ConnectionLost(error.into()),
        }
    }
}

fn timed_out(error: &Error) -> bool {
    let mut source = error.source();
    while let Some(error) = source {
        if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::TimedOut) {
            return true;
        }
        source = error.source();
    }
    false
}

#[cfg(test)]
mod tests;
