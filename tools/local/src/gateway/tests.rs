use std::convert::Infallible;
use std::sync::Mutex;

use axum::body::Body;
use futures_util::stream::{self, StreamExt};
use http::{Method, Uri};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::http_client::HttpClient;
use crate::lambda_host::FunctionSpec;
use crate::testing::{echo_function, within};

#[tokio::test]
async fn a_request_reaches_its_function_and_the_answer_comes_back() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let exchanges = seen.clone();
    let observer: Observer = Arc::new(move |exchange| exchanges.lock().unwrap().push(exchange.clone()));
    let gateway = gateway(Some(observer));
    let client = HttpClient::default();
    let url = format!("{}/webhooks/echo?a=1", gateway.url());
    let response = within(client.post(&url, &[("X-Sent", "1"), ("X-Sent", "2")], Bytes::from_static(b"{}"))).await;
    let answer: Value = serde_json::from_slice(response.unwrap().body()).unwrap();
    assert_eq!(answer["echo"]["rawPath"], "/webhooks/echo");
    assert_eq!(answer["echo"]["headers"]["x-sent"], "1,2");
    assert_eq!(answer["echo"]["body"], "{}");
    let seen = seen.lock().unwrap();
    assert_eq!((seen.len(), seen[0].path.as_str(), seen[0].status), (1, "/webhooks/echo", 200));
    let sent: Vec<_> = seen[0].headers.iter().filter(|(name, _)| name == "x-sent").map(|(_, value)| value).collect();
    assert_eq!(sent, ["1", "2"]);
    assert_eq!(seen[0].body, "{}");
    assert_eq!(serde_json::from_slice::<Value>(&seen[0].answer).unwrap(), answer);
}

#[tokio::test]
async fn what_is_beside_the_functions_gets_what_is_for_none_of_them_and_the_observer_is_not_told() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let exchanges = seen.clone();
    let gateway = gateway(Some(Arc::new(move |exchange| {
        exchanges.lock().unwrap().push((exchange.path.clone(), exchange.status));
    })));
    gateway.serve_beside(Some(page("the page")));
    for (method, path, expected) in [
        ("GET", "/?token=1", "the page: GET /?token=1 x"),
        ("POST", "/webhooks/echo/", "the page: POST /webhooks/echo/ x"),
        ("GET", "/2015-03-32/functions/", "the page: GET /2015-03-32/functions/ x"),
    ] {
        assert_eq!(ask(&gateway, method, path).await, (200, expected.to_owned()), "{method} {path}");
    }
    gateway.serve_beside(Some(page("another")));
    assert_eq!(ask(&gateway, "GET", "/").await, (200, "another: GET / x".to_owned()));
    assert_eq!(*seen.lock().unwrap(), []);
    assert_eq!(ask(&gateway, "POST", "/webhooks/echo").await.0, 200);
    assert_eq!(ask(&gateway, "POST", "/2015-03-31/functions/nobody/invocations").await.0, 404);
    gateway.serve_beside(None);
    assert_eq!(ask(&gateway, "GET", "/").await, (404, r#"{"message":"Not Found"}"#.to_owned()));
    let told = ["/webhooks/echo", "/2015-03-31/functions/nobody/invocations", "/"].map(str::to_owned);
    assert_eq!(*seen.lock().unwrap(), told.into_iter().zip([200, 404, 404]).collect::<Vec<_>>());
}

/// `aws sts get-caller-identity --endpoint-url http://127.0.0.1:9000` and others: the AWS CLI shows a message only in the form of
/// the service's own protocol.
#[tokio::test]
async fn another_service_of_aws_is_refused_in_words_that_its_client_shows() {
    let gateway = gateway(None);
    gateway.serve_beside(Some(page("the page")));
    let form = "application/x-www-form-urlencoded; charset=utf-8";
    for (service, content_type, path, answered, begin) in [
        (
            "sts",
            form,
            "/",
            "text/xml",
            "<ErrorResponse><Error><Type>Sender</Type><Code>UnknownOperationException</Code><Message>",
        ),
        ("s3", "", "/bucket?list-type=2", "application/xml", "<Error><Code>UnknownOperationException</Code><Message>"),
        (
            "sqs",
            "application/x-amz-json-1.0",
            "/",
            "application/json",
            r#"{"__type":"UnknownOperationException","message":""#,
        ),
        ("apigateway", "", "/v2/apis", "application/json", r#"{"__type":"UnknownOperationException","message":""#),
    ] {
        let scope =
            format!("AWS4-HMAC-SHA256 Credential=sample/20261126/eu-west-1/{service}/aws4_request, Signature=0");
        let headers = [("authorization", scope.as_str()), ("content-type", content_type)];
        let url = format!("{}{path}", gateway.url());
        let response = within(HttpClient::default().post(&url, &headers, Bytes::new())).await.unwrap();
        assert_eq!(
            (response.status(), response.headers()["content-type"].to_str().unwrap()),
            (StatusCode::BAD_REQUEST, answered),
            "{service}"
        );
        let text = std::str::from_utf8(response.body()).unwrap();
        assert!(
            text.starts_with(&format!("{begin}`bridge dev` answers Lambda here, and DynamoDB")),
            "{service}: {text}"
        );
    }
    assert_eq!(ask(&gateway, "GET", "/").await.1, "the page: GET / x");
}

#[tokio::test]
async fn the_port_for_webhooks_takes_a_post_to_a_function_s_path_from_any_host_and_nothing_else() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let exchanges = seen.clone();
    let mut gateway = gateway(Some(Arc::new(move |exchange| {
        exchanges.lock().unwrap().push((exchange.path.clone(), exchange.status));
    })));
    gateway.serve_beside(Some(page("the page")));
    assert_eq!(gateway.webhook_port_url(), None);
    gateway.listen_for_webhooks(0).unwrap();
    let url = gateway.webhook_port_url().unwrap();
    let ask = async |method: &str, path: &str, headers: &[(&'static str, &str)]| {
        let mut request = Request::new(Bytes::from_static(b"{}"));
        *request.method_mut() = method.parse().unwrap();
        *request.uri_mut() = format!("{url}{path}").parse().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        within(HttpClient::default().send(request)).await
    };
    let mut expected = Vec::new();
    for (method, path, status) in [
        ("POST", "/webhooks/echo", 200),
        ("POST", "/webhooks/echo?a=1", 200),
        ("GET", "/webhooks/echo", 405),
        ("PUT", "/webhooks/echo", 405),
        ("OPTIONS", "/webhooks/echo", 405),
        ("POST", "/webhooks/echo/", 404),
        ("POST", "//webhooks/echo", 404),
        ("POST", "/webhooks/%65cho", 404),
        ("POST", "/webhooks/../webhooks/echo", 404),
        ("POST", "/webhooks", 404),
        ("GET", "/", 404),
        ("GET", "/api/live", 404),
        ("GET", "/2015-03-31/functions/", 404),
        ("POST", "/2015-03-31/functions/echo/invocations", 404),
    ] {
        let answer = ask(method, path, &[("host", "tunnel.example")]).await.unwrap();
        assert_eq!(answer.status(), status, "{method} {path}");
        assert!(!answer.body().starts_with(b"the page"), "{method} {path}");
        expected.push((path.split('?').next().unwrap().to_owned(), status));
        let of_a_browser = [("host", "tunnel.example"), ("origin", "https://evil.example")];
        assert_eq!(ask(method, path, &of_a_browser).await.unwrap().status(), 403, "{method} {path}");
    }
    assert_eq!(*seen.lock().unwrap(), expected, "the observer is told of both ports");
    within(gateway.close()).await;
    assert!(ask("POST", "/webhooks/echo", &[]).await.is_err(), "it is closed");
}

#[tokio::test]
async fn a_closed_gateway_has_let_go_of_what_was_beside_the_functions() {
    let gateway = Arc::new(gateway(None));
    // As a page does that steers what it is served by, and whose answer goes on.
    let held = gateway.clone();
    let answer = || async move {
        let pieces = stream::pending().map(move |()| Ok::<_, Infallible>(held.url()));
        Response::new(Body::from_stream(pieces))
    };
    gateway.serve_beside(Some(Router::new().fallback(answer)));
    let by_the_router = Arc::strong_count(&gateway);
    let mut client = within(tokio::net::TcpStream::connect(("127.0.0.1", gateway.port()))).await.unwrap();
    let request = format!("GET / HTTP/1.1\r\nhost: localhost:{}\r\n\r\n", gateway.port());
    within(client.write_all(request.as_bytes())).await.unwrap();
    within(client.read_exact(&mut [0; 1])).await.unwrap();
    assert!(Arc::strong_count(&gateway) > by_the_router);
    within(gateway.close()).await;
    assert_eq!(Arc::strong_count(&gateway), 1);
}

#[tokio::test]
async fn any_method_reaches_the_function() {
    let gateway = gateway(None);
    for method in [http::Method::GET, http::Method::DELETE, http::Method::PUT] {
        let mut request = Request::new(Bytes::new());
        *request.method_mut() = method.clone();
        *request.uri_mut() = format!("{}/webhooks/echo", gateway.url()).parse().unwrap();
        let response = within(HttpClient::default().send(request)).await.unwrap();
        let answer: Value = serde_json::from_slice(response.body()).unwrap();
        assert_eq!(answer["echo"]["requestContext"]["http"]["method"], method.as_str());
    }
}

#[tokio::test]
async fn the_gateway_answers_itself_what_no_function_can() {
    let gateway = gateway(None);
    for (path, size, status, body) in [
        ("/nowhere", 2, 404, r#"{"message":"Not Found"}"#),
        ("/webhooks/echo/", 2, 404, r#"{"message":"Not Found"}"#),
        ("/webhooks/exits", 2, 500, r#"{"message":"Internal Server Error"}"#),
        ("/webhooks/echo", MAX_BODY_BYTES + 1, 413, r#"{"message":"Request Entity Too Large"}"#),
    ] {
        let url = format!("{}{path}", gateway.url());
        let client = HttpClient::default();
        let sent = client.post::<&str, &str>(&url, &[], Bytes::from(vec![b' '; size]));
        let response = within(sent).await.unwrap();
        assert_eq!((response.status().as_u16(), response.body().as_ref()), (status, body.as_bytes()), "{path}");
    }
}

fn gateway(observer: Option<Observer>) -> Gateway {
    let route = |name: &str, env: &[(&str, &str)]| {
        let mut spec = FunctionSpec::new(name, echo_function());
        spec.env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Route { path: format!("/webhooks/{name}"), function: Arc::new(LambdaHost::start(spec).unwrap()) }
    };
    Gateway::start(0, vec![route("echo", &[]), route("exits", &[("INIT", "exit")])], Vec::new(), observer).unwrap()
}

#[tokio::test]
async fn a_function_that_is_switched_off_is_unavailable() {
    let gateway = gateway(None);
    gateway.backend.routes[0].function.switch_off();
    let unavailable = (503, r#"{"message":"Service Unavailable"}"#.to_owned());
    assert_eq!(ask(&gateway, "POST", "/webhooks/echo").await, unavailable);
    gateway.backend.routes[0].function.switch_on();
    assert_eq!(ask(&gateway, "POST", "/webhooks/echo").await.0, 200);
}

/// Says what it was asked.
fn page(name: &'static str) -> Router {
    Router::new()
        .fallback(move |method: Method, uri: Uri, body: String| async move { format!("{name}: {method} {uri} {body}") })
}

async fn ask(gateway: &Gateway, method: &str, path: &str) -> (u16, String) {
    let mut request = Request::new(Bytes::from_static(b"x"));
    *request.method_mut() = method.parse().unwrap();
    *request.uri_mut() = format!("{}{path}", gateway.url()).parse().unwrap();
    let response = within(HttpClient::default().send(request)).await.unwrap();
    (response.status().as_u16(), String::from_utf8(response.body().to_vec()).unwrap())
}
