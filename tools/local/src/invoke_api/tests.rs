use http::{Method, Request};

use super::*;
use crate::gateway::{Gateway, Route};
use crate::http_client::HttpClient;
use crate::lambda_host::FunctionSpec;
use crate::testing::{echo_function, within};

#[tokio::test]
async fn a_function_gets_the_payload_and_its_answer_comes_back() {
    let gateway = gateway();
    for named in [
        "echo",
        "echo:live",
        "000000000000:function:echo",
        "arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3Afunction%3Aecho",
    ] {
        let response = invoke(&gateway, named, &[], r#"{"keys":["rail#evt_1"]}"#).await;
        assert_eq!(response.status(), StatusCode::OK, "{named}");
        assert_eq!(response.headers()["x-amz-executed-version"], "$LATEST");
        assert!(!response.headers().contains_key("x-amz-function-error"));
        assert_eq!(body(&response)["echo"], json!({ "keys": ["rail#evt_1"] }));
        assert_eq!(body(&response)["request_id"], response.headers()["x-amzn-requestid"].to_str().unwrap());
    }
}

#[tokio::test]
async fn no_payload_is_an_empty_object() {
    assert_eq!(body(&invoke(&gateway(), "echo", &[], "").await)["echo"], json!({}));
}

#[tokio::test]
async fn a_function_error_is_a_200_with_a_header() {
    let gateway = gateway();
    let failed = invoke(&gateway, "echo", &[], r#"{"do":"fail"}"#).await;
    let (status, error) = (failed.status(), failed.headers()["x-amz-function-error"].to_str().unwrap());
    assert_eq!((status, error), (StatusCode::OK, "Unhandled"));
    assert_eq!(body(&failed)["errorMessage"], "asked to fail");

    let died = invoke(&gateway, "echo", &[], r#"{"do":"exit"}"#).await;
    assert_eq!(died.headers()["x-amz-function-error"], "Unhandled");
    assert_eq!(body(&died)["errorType"], "Runtime.ExitError");
}

#[tokio::test]
async fn what_cannot_be_invoked_is_told_as_aws_tells_it() {
    let gateway = gateway();
    for (named, headers, payload, status, kind) in [
        ("nobody", [].as_slice(), "{}", 404, "ResourceNotFoundException"),
        ("echo", &[], "{", 400, "InvalidRequestContentException"),
        ("echo", &[("x-amz-invocation-type", "Later")], "{}", 400, "InvalidParameterValueException"),
    ] {
        let response = invoke(&gateway, named, headers, payload).await;
        let told = (response.status().as_u16(), response.headers()["x-amzn-errortype"].to_str().unwrap());
        assert_eq!(told, (status, kind));
        assert_eq!(body(&response)["Type"], "User");
    }
    for header in [("origin", "http://evil.example"), ("sec-fetch-site", "same-origin"), ("host", "evil.example")] {
        let from_a_page = invoke(&gateway, "echo", &[header], "{}").await;
        assert_eq!(from_a_page.status(), StatusCode::FORBIDDEN, "{header:?}");
        assert_eq!(body(&from_a_page)["__type"], "AccessDeniedException");
    }
    let unknown = invoke(&gateway, "nobody", &[], "{}").await;
    let expected = "Function not found: arn:aws:lambda:us-east-1:000000000000:function:nobody";
    assert_eq!(body(&unknown)["Message"], expected);
}

#[tokio::test]
async fn a_function_that_is_switched_off_is_throttled() {
    let (gateway, host) = gateway_and_host();
    host.switch_off();
    let throttled = invoke(&gateway, "echo", &[], "{}").await;
    assert_eq!(throttled.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(throttled.headers()["x-amzn-errortype"], "TooManyRequestsException");
    assert_eq!(body(&throttled)["Reason"], "ReservedFunctionConcurrentInvocationLimitExceeded");
    host.switch_on();
    assert_eq!(invoke(&gateway, "echo", &[], "{}").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn an_asynchronous_invocation_is_accepted_and_runs() {
    let (gateway, host) = gateway_and_host();
    let accepted = invoke(&gateway, "echo", &[("X-Amz-Invocation-Type", "Event")], "{}").await;
    assert_eq!((accepted.status(), accepted.body().len()), (StatusCode::ACCEPTED, 0));
    host.log().wait_for("event ", crate::testing::BOUND).await.unwrap();
    let dry = invoke(&gateway, "echo", &[("X-Amz-Invocation-Type", "DryRun")], "{}").await;
    assert_eq!(dry.status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn other_operations_of_lambda_are_refused_with_what_there_is() {
    let gateway = gateway();
    for (method, path) in [
        (Method::GET, path("echo")),
        (Method::POST, "/2015-03-31/functions/echo".to_owned()),
        (Method::GET, "/2015-03-31/functions/echo/configuration".to_owned()),
        (Method::GET, "/2015-03-31/event-source-mappings/".to_owned()),
    ] {
        let mut request = Request::new(Bytes::new());
        *request.method_mut() = method;
        *request.uri_mut() = format!("{}{path}", gateway.url()).parse().unwrap();
        let response = within(HttpClient::default().send(request)).await.unwrap();
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        assert_eq!(response.headers()["x-amzn-errortype"], "UnknownOperationException");
        assert!(body(&response)["Message"].as_str().unwrap().contains("Invoke and ListFunctions"));
    }
}

#[tokio::test]
async fn the_functions_are_listed() {
    let gateway = gateway();
    for path in ["/2015-03-31/functions", "/2015-03-31/functions/", "/2015-03-31/functions/?MaxItems=50"] {
        let request = Request::get(format!("{}{path}", gateway.url())).body(Bytes::new()).unwrap();
        let response = within(HttpClient::default().send(request)).await.unwrap();
        assert_eq!(body(&response)["Functions"][0]["FunctionName"], "echo", "{path}");
    }
}

async fn invoke(gateway: &Gateway, function: &str, headers: &[(&str, &str)], payload: &'static str) -> Response<Bytes> {
    let url = format!("{}{}", gateway.url(), path(function));
    within(HttpClient::default().post(&url, headers, Bytes::from_static(payload.as_bytes()))).await.unwrap()
}

fn body(response: &Response<Bytes>) -> Value {
    serde_json::from_slice(response.body()).unwrap()
}

fn gateway() -> Gateway {
    gateway_and_host().0
}

fn gateway_and_host() -> (Gateway, Arc<LambdaHost>) {
    let host = Arc::new(LambdaHost::start(FunctionSpec::new("echo", echo_function())).unwrap());
    let routes = vec![Route { path: "/webhooks/echo".to_owned(), function: host.clone() }];
    (Gateway::start(0, routes, vec![host.clone()], None).unwrap(), host)
}
