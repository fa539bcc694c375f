//! An HTTP/1.1 server on loopback that can also fail the way networks do: every server of this machine is one, and its
//! guard stands before all that it answers.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http::{Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};
use tower::Service;

pub use self::guard::Guests;
use self::guard::{Refusal, admit};

mod guard;

/// What goes back over the connection for one request.
pub enum Answer {
    /// An ordinary response.
    Http(Response<Bytes>),
    /// The head and half of the body at once, the rest after the pause.
    SlowBody(Response<Bytes>, Duration),
    /// The head at once, then each chunk of the body as soon as there is one.
    ///
    /// The next chunk is requested when the connection has room for it. The body is dropped as soon as the client disconnects.
    Stream(Response<Body>),
    /// The connection is reset (RST) before a byte of the answer.
    Reset,
    /// These bytes instead of a response, then the end of the stream.
    Raw(Bytes),
    /// Nothing, until the client gives up.
    Hang,
}

impl Answer {
    /// A JSON response; `content_type` because AWS's protocols have their own.
    pub fn json(status: StatusCode, content_type: &'static str, body: &serde_json::Value) -> Self {
        Self::Http(json_response(status, content_type, body))
    }

    /// The answer of `router`.
    pub async fn of(router: &Router, request: Request<Bytes>) -> Self {
        // `poll_ready` is not needed: a router is always ready.
        let Ok(response) = router.clone().call(request.map(Body::from)).await;
        Self::Stream(response)
    }
}

/// A response with `body` printed as JSON.
pub fn json_response(status: StatusCode, content_type: &'static str, body: &serde_json::Value) -> Response<Bytes> {
    text_response(status, content_type, body.to_string())
}

/// A response with this body, of this type.
pub(crate) fn text_response(status: StatusCode, content_type: &'static str, body: String) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    response
}

/// The content type of most answers.
pub const JSON: &str = "application/json";

/// A listening server; dropping it closes the port and every connection.
#[derive(Debug)]
pub struct Front {
    addr: SocketAddr,
    accept: AbortHandle,
    close: mpsc::UnboundedSender<oneshot::Sender<()>>,
}

impl Front {
    /// Listens on `127.0.0.1:port` (0: any free port), on `[::1]:port` too where this machine has IPv6, and answers each
    /// request with what `serve` returns for it. `guests` says whom a path is for; others are answered 403 without `serve`.
    ///
    /// `serve` sees whole bodies; one above `max_body` bytes is answered 413 without it. A client that goes away drops
    /// the future of `serve`, so an effect that must outlive the client belongs into a task of its own. Call this inside
    /// a Tokio runtime.
    ///
    /// # Errors
    /// The port is taken.
    pub fn start<S, F>(port: u16, max_body: usize, guests: fn(&str) -> Guests, serve: S) -> io::Result<Self>
    where
        S: Fn(Request<Bytes>) -> F + Send + Sync + 'static,
        F: Future<Output = Answer> + Send + 'static,
    {
        let (listener, listener_v6) = listen(port)?;
        let addr = listener.local_addr()?;
        let (close, closing) = mpsc::unbounded_channel();
        let terms = Terms { port: addr.port(), max_body, guests };
        let accept = tokio::spawn(accept(closing, listener, listener_v6, terms, Arc::new(serve))).abort_handle();
        Ok(Self { addr, accept, close })
    }

    /// The address on which it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `http://127.0.0.1:port`, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Closes every connection and still listens; returns when they are closed.
    pub async fn close_connections(&self) {
        let (closed, done) = oneshot::channel();
        if self.close.send(closed).is_ok() {
            let _ = done.await;
        }
    }

    /// Closes the port and every connection; returns when they are closed and `serve` is dropped.
    pub async fn close(&self) {
        // First the connections: aborting what owns them does not wait for them.
        self.close_connections().await;
        self.accept.abort();
        self.close.closed().await;
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.accept.abort();
    }
}

/// On what terms a request is served.
#[derive(Clone, Copy)]
struct Terms {
    port: u16,
    max_body: usize,
    guests: fn(&str) -> Guests,
}

/// The port on both loopback addresses: `localhost` is the one or the other. Without IPv6 there is the first alone.
fn listen(port: u16) -> io::Result<(TcpListener, Option<TcpListener>)> {
    let bind = |addr: SocketAddr| {
        let listener = std::net::TcpListener::bind(addr)?;
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    };
    for _ in 0..PORTS_TRIED {
        let listener = bind((Ipv4Addr::LOCALHOST, port).into())?;
        match bind((Ipv6Addr::LOCALHOST, listener.local_addr()?.port()).into()) {
            Ok(listener_v6) => return Ok((listener, Some(listener_v6))),
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => return Ok((listener, None)),
            // Another program would get what is sent to `localhost`.
            Err(error) if port != 0 => return Err(error),
            Err(_) => {}
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

/// How often a free port is looked for.
const PORTS_TRIED: u32 = 100;

/// The task that owns the connections, so that aborting it closes them all.
///
/// `closing` is dropped last of all that it holds: [`Front::close`] waits for that.
async fn accept<S, F>(
    mut closing: mpsc::UnboundedReceiver<oneshot::Sender<()>>,
    listener: TcpListener,
    listener_v6: Option<TcpListener>,
    terms: Terms,
    serve: Arc<S>,
) where
    S: Fn(Request<Bytes>) -> F + Send + Sync + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    let mut connections = JoinSet::new();
    let accept_v6 = async || match &listener_v6 {
        Some(listener) => listener.accept().await,
        None => pending().await,
    };
    loop {
        let accept = async {
            tokio::select! {
                accepted = listener.accept() => accepted,
                accepted = accept_v6() => accepted,
            }
        };
        tokio::select! {
            accepted = accept => {
                // An error here is the client's (it disconnected before it was accepted) or a temporary lack of descriptors.
                let Ok((stream, _)) = accepted else {
                    tokio::task::yield_now().await;
                    continue;
                };
                connections.spawn(serve_connection(stream, terms, serve.clone()));
            }
            Some(_) = connections.join_next() => {}
            Some(closed) = closing.recv() => {
                connections.shutdown().await;
                let _ = closed.send(());
            }
        }
    }
}

/// How a connection ends when its answer is not HTTP.
enum Break {
    Reset,
    Raw(Bytes),
}

type AnswerFuture = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

async fn serve_connection<S, F>(stream: TcpStream, terms: Terms, serve: Arc<S>)
where
    S: Fn(Request<Bytes>) -> F + Send + Sync + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    let _ = stream.set_nodelay(true);
    // The service cannot touch the socket, so it asks the connection's task to break it, and never completes.
    let (breaks, mut broken) = mpsc::channel(1);
    let service = service_fn(move |request: Request<Incoming>| -> AnswerFuture {
        let serve = serve.clone();
        let breaks = breaks.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let admitted = admit((terms.guests)(head.uri.path()), terms.port, &head);
            let answer = match (admitted, read_body(body, terms.max_body).await) {
                (Err(refusal), _) => refused(refusal),
                (Ok(()), Some(body)) => serve(Request::from_parts(head, body)).await,
                (Ok(()), None) => too_large(),
            };
            let end = match answer {
                Answer::Http(response) => return Ok(response.map(Body::from)),
                Answer::SlowBody(response, pause) => {
                    return Ok(response.map(|body| in_two_halves(&body, pause)));
                }
                Answer::Stream(response) => return Ok(response),
                Answer::Reset => Break::Reset,
                Answer::Raw(bytes) => Break::Raw(bytes),
                Answer::Hang => pending().await,
            };
            let _ = breaks.send(end).await;
            pending().await
        })
    });
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let end = tokio::select! {
        _ = &mut connection => return,
        Some(end) = broken.recv() => end,
    };
    let mut stream = connection.into_parts().io.into_inner();
    match end {
        Break::Reset => {
            let _ = stream.set_zero_linger();
        }
        Break::Raw(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
        }
    }
}

/// The whole body; `None` when it is larger than allowed, or when the client went away.
async fn read_body(mut body: Incoming, max_body: usize) -> Option<Bytes> {
    let mut read = BytesMut::new();
    let mut fits = true;
    // Read to the end even when it is too large: closing on a client that is still sending resets the connection, and
    // the 413 would be lost with it.
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.ok()?.into_data() else {
            continue;
        };
        fits = fits && read.len() + data.len() <= max_body;
        if fits {
            read.extend_from_slice(&data);
        }
    }
    fits.then(|| read.freeze())
}

/// As AWS's clients read it, and as the page does.
fn refused(Refusal { message, hint }: Refusal) -> Answer {
    let body = serde_json::json!({ "__type": "AccessDeniedException", "message": message, "hint": hint });
    Answer::json(StatusCode::FORBIDDEN, JSON, &body)
}

fn too_large() -> Answer {
    Answer::json(StatusCode::PAYLOAD_TOO_LARGE, JSON, &serde_json::json!({ "message": "Request Entity Too Large" }))
}

fn in_two_halves(body: &Bytes, pause: Duration) -> Body {
    let rest = body.slice(body.len() / 2..);
    let first = body.slice(..body.len() / 2);
    let halves = stream::unfold((vec![rest, first], Duration::ZERO), move |(mut halves, wait)| async move {
        let half = halves.pop()?;
        tokio::time::sleep(wait).await;
        Some((Ok::<_, Infallible>(half), (halves, pause)))
    });
    Body::from_stream(halves)
}

#[cfg(test)]
mod tests;
