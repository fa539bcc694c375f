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
