use http::Method;
use tokio::io::AsyncReadExt;

use super::*;
use crate::http_client::HttpClient;
use crate::testing::{MOMENT, within};

#[tokio::test]
async fn a_request_is_answered_and_the_connection_serves_the_next() {
    let front = front();
    let mut stream = connect(&front).await;
    for _ in 0..3 {
        ask(&mut stream, "/http").await;
        let answer = read_until(&mut stream, "whole answer").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }
}

#[tokio::test]
async fn a_reset_is_a_reset_without_a_byte() {
    let front = front();
    let mut stream = connect(&front).await;
    ask(&mut stream, "/reset").await;
    let ended = within(stream.read(&mut [0; 100])).await;
    assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn raw_bytes_come_as_they_are_and_then_the_end() {
    let front = front();
    let mut stream = connect(&front).await;
    ask(&mut stream, "/raw").await;
    let mut read = String::new();
    within(stream.read_to_string(&mut read)).await.unwrap();
    assert_eq!(read, "not HTTP");
}

#[tokio::test]
async fn a_hanging_answer_never_comes() {
    let front = front();
    let mut stream = connect(&front).await;
    ask(&mut stream, "/hang").await;
    let read = tokio::time::timeout(MOMENT, stream.read(&mut [0; 100])).await;
    assert!(read.is_err(), "{read:?}");
}

#[tokio::test]
async fn a_slow_body_stops_half_way() {
    let front = front();
    let mut stream = connect(&front).await;
    ask(&mut stream, "/slow").await;
    let answer = read_until(&mut stream, "whole ").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(!answer.contains("answer"), "{answer}");
    read_until(&mut stream, "answer").await;
}

#[tokio::test]
async fn the_pieces_of_a_stream_come_one_by_one_and_the_connection_serves_the_next() {
    let (front, mut streams) = streaming();
    let mut stream = connect(&front).await;
    for _ in 0..2 {
        ask(&mut stream, "/").await;
        let (pieces, _dropped) = within(streams.recv()).await.unwrap();
        let head = read_until(&mut stream, "\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        for piece in ["first", "second"] {
            pieces.send(Bytes::from(piece)).await.unwrap();
            let read = read_until(&mut stream, &format!("{piece}\r\n")).await;
            assert_eq!(read, format!("{:X}\r\n{piece}\r\n", piece.len()));
        }
        drop(pieces);
        read_until(&mut stream, "0\r\n\r\n").await;
    }
}

#[tokio::test]
async fn a_stream_is_dropped_as_soon_as_its_client_is_gone() {
    let (front, mut streams) = streaming();
    let mut stream = connect(&front).await;
    ask(&mut stream, "/").await;
    // Nothing is sent: that the client is gone must be seen without a piece to write.
    let (_pieces, dropped) = within(streams.recv()).await.unwrap();
    read_until(&mut stream, "\r\n\r\n").await;
    drop(stream);
    assert_eq!(within(dropped).await, Ok(()));
}

#[tokio::test]
async fn a_stream_is_dropped_when_its_client_goes_without_having_read() {
    let (front, mut streams) = streaming();
    let mut stream = connect(&front).await;
    ask(&mut stream, "/").await;
    let (pieces, dropped) = within(streams.recv()).await.unwrap();
    fill(&pieces).await;
    drop(stream);
    assert_eq!(within(dropped).await, Ok(()));
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_the_stream_up() {
    let (front, mut streams) = streaming();
    let mut stream = connect(&front).await;
    ask(&mut stream, "/").await;
    let (pieces, _dropped) = within(streams.recv()).await.unwrap();
    let sent = fill(&pieces).await;
    // Reading what came is what lets it go on.
    let mut read = 0;
    while read < sent {
        read += within(stream.read(&mut [0; 64 * 1024])).await.unwrap();
    }
    within(pieces.send(Bytes::from_static(b"the next"))).await.unwrap();
}

#[tokio::test]
async fn closing_the_connections_ends_their_streams() {
    let (front, mut streams) = streaming();
    let mut stream = connect(&front).await;
    ask(&mut stream, "/").await;
    let (_pieces, dropped) = within(streams.recv()).await.unwrap();
    within(front.close_connections()).await;
    assert_eq!(within(dropped).await, Ok(()));
}

#[tokio::test]
async fn a_body_above_the_limit_is_answered_413_and_one_at_the_limit_is_served() {
    let front = front();
    let client = HttpClient::default();
    for (size, status) in [(1000, 200), (1001, 413), (5_000_000, 413)] {
        let mut request = Request::new(Bytes::from(vec![b'x'; size]));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = format!("{}/http", front.url()).parse().unwrap();
        let response = within(client.send(request)).await.unwrap();
        assert_eq!(response.status(), status, "{size} bytes");
    }
}

#[tokio::test]
async fn a_dropped_front_closes_its_port_and_its_connections() {
    let front = front();
    let mut stream = connect(&front).await;
    ask(&mut stream, "/hang").await;
    let addr = front.addr();
    drop(front);
    let end = within(stream.read(&mut [0; 100])).await;
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    assert!(within(TcpStream::connect(addr)).await.is_err());
}

#[tokio::test]
async fn a_closed_front_has_closed_its_port_and_its_connections() {
    let front = front();
    let mut stream = connect(&front).await;
    ask(&mut stream, "/hang").await;
    within(front.close()).await;
    let end = within(stream.read(&mut [0; 100])).await;
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    let refused = within(TcpStream::connect(front.addr())).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    within(front.close()).await;
}

#[tokio::test]
async fn closed_connections_end_and_new_ones_are_served() {
    let front = front();
    let mut idle = connect(&front).await;
    ask(&mut idle, "/http").await;
    read_until(&mut idle, "whole answer").await;
    within(front.close_connections()).await;
    let end = within(idle.read(&mut [0; 100])).await;
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    let mut next = connect(&front).await;
    ask(&mut next, "/http").await;
    read_until(&mut next, "whole answer").await;
}

fn front() -> Front {
    let answer = |request: Request<Bytes>| async move {
        let whole = Response::new(Bytes::from_static(b"whole answer"));
        match request.uri().path() {
            "/reset" => Answer::Reset,
            "/raw" => Answer::Raw(Bytes::from_static(b"not HTTP")),
            "/hang" => Answer::Hang,
            "/slow" => Answer::SlowBody(whole, MOMENT),
            _ => Answer::Http(whole),
        }
    };
    Front::start(0, 1000, |_| Guests::Programs, answer).unwrap()
}

#[tokio::test]
async fn both_loopback_addresses_are_answered() {
    let front =
        Front::start(0, 1000, |_| Guests::Programs, async |_| Answer::Http(Response::new(Bytes::new()))).unwrap();
    let port = front.addr().port();
    // A machine without IPv6 has the first alone.
    let has_v6 = std::net::TcpListener::bind("[::1]:0").is_ok();
    for name in ["127.0.0.1", "[::1]"].into_iter().take(1 + usize::from(has_v6)) {
        let mut stream = within(TcpStream::connect(format!("{name}:{port}"))).await.unwrap();
        let request = format!("GET / HTTP/1.1\r\nhost: {name}:{port}\r\n\r\n");
        within(stream.write_all(request.as_bytes())).await.unwrap();
        assert!(read_until(&mut stream, "\r\n\r\n").await.starts_with("HTTP/1.1 200"), "{name}");
    }
    assert!(!has_v6 || Front::start(port, 0, |_| Guests::Programs, async |_| Answer::Hang).is_err(), "it is taken");
}

#[tokio::test]
async fn who_is_refused_is_told_why_and_nothing_is_served() {
    let front = Front::start(0, 1000, |_| Guests::Programs, async |_| panic!("it was served")).unwrap();
    let mut stream = connect(&front).await;
    within(stream.write_all(b"POST / HTTP/1.1\r\nhost: evil.example\r\ncontent-length: 2\r\n\r\n{}")).await.unwrap();
    let answer = read_until(&mut stream, "\"}").await;
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    assert!(answer.contains("AccessDeniedException") && answer.contains("\"hint\""), "{answer}");
}

/// What a test makes a stream yield, and what resolves when the stream was dropped.
type OpenStream = (mpsc::Sender<Bytes>, oneshot::Receiver<()>);

/// Answers every request with a stream that the test feeds.
fn streaming() -> (Front, mpsc::UnboundedReceiver<OpenStream>) {
    let (opened, streams) = mpsc::unbounded_channel();
    let answer = move |_| {
        let opened = opened.clone();
        async move {
            let (pieces, yielded) = mpsc::channel(1);
            let (flag, dropped) = oneshot::channel();
            let _ = opened.send((pieces, dropped));
            let pieces = stream::unfold((yielded, DropFlag(Some(flag))), |(mut yielded, flag)| async move {
                Some((Ok::<_, Infallible>(yielded.recv().await?), (yielded, flag)))
            });
            Answer::Stream(Response::new(Body::from_stream(pieces)))
        }
    };
    (Front::start(0, 1000, |_| Guests::Programs, answer).unwrap(), streams)
}

struct DropFlag(Option<oneshot::Sender<()>>);

impl Drop for DropFlag {
    fn drop(&mut self) {
        let _ = self.0.take().map(|flag| flag.send(()));
    }
}

/// Sends until nothing more is taken; how many bytes that were. A megabyte at a time: a socket takes a few of them.
async fn fill(pieces: &mpsc::Sender<Bytes>) -> usize {
    let piece = Bytes::from(vec![b'x'; 1 << 20]);
    let mut sent = 0;
    while let Ok(taken) = tokio::time::timeout(MOMENT, pieces.send(piece.clone())).await {
        taken.unwrap();
        sent += piece.len();
        assert!(sent < 100 << 20, "{sent} bytes were taken and nobody has read one");
    }
    sent
}

async fn connect(front: &Front) -> TcpStream {
    within(TcpStream::connect(front.addr())).await.unwrap()
}

async fn ask(stream: &mut TcpStream, path: &str) {
    let port = stream.peer_addr().unwrap().port();
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost:{port}\r\n\r\n");
    within(stream.write_all(request.as_bytes())).await.unwrap();
}

async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains(end) {
        let got = within(stream.read_buf(&mut read)).await.unwrap();
        assert_ne!(got, 0, "ended before {end:?}: {}", String::from_utf8_lossy(&read));
    }
    String::from_utf8(read).unwrap()
}
