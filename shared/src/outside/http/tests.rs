use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use super::*;
use crate::testing::{Loopback, Reply};

async fn post(http: &Http, url: &str) -> Result<(u16, String), ExchangeError> {
    let request = http.client().post(format!("{url}/x")).body("{}").build()?;
    let response = http.send(request).await?;
    Ok((response.status().as_u16(), response.text().await?))
}

fn answered() -> (u16, String) {
    (200, "ok".to_owned())
}

#[tokio::test]
async fn connections_are_kept_and_used_again() {
    let server = Loopback::start(|_, _| Reply::json(200, "ok"));
    let http = Http::new().unwrap();
    for _ in 0..3 {
        assert_eq!(post(&http, &server.url).await.unwrap(), answered());
    }
    assert_eq!(server.asked().iter().map(|asked| asked.connection).collect::<Vec<_>>(), [0, 0, 0]);
}

#[tokio::test]
async fn a_request_whose_connection_dies_before_the_answer_is_sent_once_more() {
    // The second request comes over the connection that was kept, which ends under it.
    let server = Loopback::start(|earlier, _| if earlier == 1 { Reply::HangUp } else { Reply::json(200, "ok") });
    let http = Http::new().unwrap();
    for _ in 0..2 {
        assert_eq!(post(&http, &server.url).await.unwrap(), answered());
    }
    let asked = server.asked();
    assert_eq!(asked.iter().map(|asked| asked.connection).collect::<Vec<_>>(), [0, 0, 1]);
    assert!(asked.iter().all(|asked| (asked.method.as_str(), asked.body.as_str()) == ("POST", "{}")), "{asked:?}");
}

#[tokio::test]
async fn a_request_is_not_sent_a_third_time() {
    let server = Loopback::start(|_, _| Reply::HangUp);
    let error = post(&Http::new().unwrap(), &server.url).await.unwrap_err();
    assert!(matches!(error, ExchangeError::ConnectionLost(_)), "{error:?}");
    assert_eq!(server.asked().len(), 2);
}

#[tokio::test]
async fn an_error_does_not_tell_the_url() {
    for server in [Loopback::start(|_, _| Reply::HangUp), Loopback::nobody()] {
        let error = post(&Http::new().unwrap(), &server.url).await.unwrap_err();
        let cause = error.source().unwrap();
        assert!(![format!("{error} {error:?}"), cause.to_string()].concat().contains("/x"), "{error:?}");
    }
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let elsewhere = Loopback::start(|_, _| Reply::json(200, "ok"));
    let location = format!("{}/y", elsewhere.url);
    let server = Loopback::start(move |_, _| Reply::Answer(307, vec![("location", location.clone())], String::new()));
    assert_eq!(post(&Http::new().unwrap(), &server.url).await.unwrap().0, 307);
    assert_eq!(elsewhere.asked().len(), 0);
}

#[test]
fn retry_after_is_read_in_every_form_and_never_longer_than_twelve_hours() {
    // Wed, 14 May 2025 21:59:37 GMT.
    let now = UnixMillis(1_747_259_977_000);
    const LONGEST: u64 = 12 * 3_600_000;
    const UNREADABLE: u64 = 1_000;
    for (text, expected_ms) in [
        ("0", 0),
        ("120", 120_000),
        (" 7 ", 7_000),
        ("\t 299.997 \t", 299_997),
        (" Wed, 14 May 2025 22:00:37 GMT\t", 60_000),
        ("1.5", 1_500),
        ("0.25", 250),
        ("-1", 0),
        ("-0.5", 0),
        ("43201", LONGEST),
        ("99999999999999999999999999", LONGEST),
        ("1e3", UNREADABLE),
        ("inf", UNREADABLE),
        ("NaN", UNREADABLE),
        (".5", UNREADABLE),
        ("5.", UNREADABLE),
        ("1.2.3", UNREADABLE),
        ("+5", UNREADABLE),
        ("0x10", UNREADABLE),
        ("soon", UNREADABLE),
        ("5, 10", UNREADABLE),
        ("120s", UNREADABLE),
        ("", UNREADABLE),
        ("-", UNREADABLE),
        ("Wed, 14 May 2025 22:00:37 GMT", 60_000),
        ("Wednesday, 14-May-25 22:00:37 GMT", 60_000),
        ("Wed May 14 22:00:37 2025", 60_000),
        ("Wed, 14 May 2025 21:00:00 GMT", 0),
        ("Thu, 31 Dec 2099 23:59:59 GMT", LONGEST),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Wed, 14 May 2025 22:00:37", UNREADABLE),
    ] {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_str(text).unwrap())]);
        assert_eq!(retry_after(&headers, now), Some(Duration::from_millis(expected_ms)), "{text:?}");
    }
    let not_ascii = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_bytes(b"\xff").unwrap())]);
    assert_eq!(retry_after(&not_ascii, now), Some(Duration::from_millis(UNREADABLE)));
    assert_eq!(retry_after(&HeaderMap::new(), now), None);
}

#[tokio::test]
async fn a_call_that_its_attempt_cuts_off_before_it_had_three_seconds_had_no_time() {
    let server = Loopback::start(|_, _| Reply::Silence);
    let http = Http::new().unwrap();
    let call = async |limit_ms, left_ms| {
        let request = http.client().get(format!("{}/x", server.url)).build().unwrap();
        let ends_at = Instant::now() + Duration::from_millis(left_ms);
        let time = CallTime { ends_at, spares_slow_systems: false };
        http.exchange(request, Duration::from_millis(limit_ms), time, UnixMillis(0)).await.map(|_| ()).unwrap_err()
    };
    assert!(matches!(call(10, 60_000).await, ExchangeError::Timeout));
    assert!(matches!(call(60_000, 10).await, ExchangeError::NoTime));
    assert!(matches!(call(60_000, 3_001).await, ExchangeError::Timeout));
    assert!(matches!(call(60_000, 0).await, ExchangeError::NoTime));
}

/// The bytes that `request` is sent as.
async fn sent(request: impl FnOnce(&Client, &str) -> reqwest::RequestBuilder) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}/x", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut sent, mut part) = (Vec::new(), [0; 1024]);
        while !sent.ends_with(b"\r\n\r\n") && !sent.ends_with(b"{}") {
            let read = stream.read(&mut part).unwrap();
            sent.extend_from_slice(&part[..read]);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
        String::from_utf8(sent).unwrap()
    });
    let http = Http::new().unwrap();
    http.send(request(http.client(), &url).build().unwrap()).await.unwrap();
    server.join().unwrap()
}

#[tokio::test]
async fn a_request_says_what_sends_it_and_that_its_body_is_empty() {
    let own_name = format!("\r\nuser-agent: bridge/{}\r\n", env!("CARGO_PKG_VERSION"));
    let lengths = |bytes: &str| bytes.matches("content-length").count();

    for empty in [sent(|client, url| client.post(url)).await, sent(|client, url| client.post(url).body("")).await] {
        assert!(empty.starts_with("POST /x HTTP/1.1\r\n"), "{empty}");
        assert!(empty.contains(&own_name) && empty.contains("\r\ncontent-length: 0\r\n"), "{empty}");
        assert_eq!(lengths(&empty), 1, "{empty}");
    }
    let full = sent(|client, url| client.post(url).body("{}")).await;
    assert!(full.contains(&own_name) && full.contains("\r\ncontent-length: 2\r\n"), "{full}");
    assert_eq!(lengths(&full), 1, "{full}");
    let question = sent(|client, url| client.get(url)).await;
    assert!(question.contains(&own_name), "{question}");
    assert_eq!(lengths(&question), 0, "{question}");
    // The AWS SDK has a name of its own.
    let aws = sent(|client, url| client.get(url).header("user-agent", "aws-sdk-rust")).await;
    assert!(aws.contains("\r\nuser-agent: aws-sdk-rust\r\n") && !aws.contains("bridge/"), "{aws}");
}
