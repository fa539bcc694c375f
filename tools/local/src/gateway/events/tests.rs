use super::*;

#[test]
fn an_http_api_event_is_payload_format_2_0() {
    let event = http_api_event(&request());
    assert_eq!(event["version"], "2.0");
    assert_eq!(event["routeKey"], "POST /webhooks/rail");
    assert_eq!(event["rawPath"], "/webhooks/rail");
    assert_eq!(event["rawQueryString"], "a=1&a=2&b=x%20y+z");
    let headers = json!({ "content-type": "application/json", "x-rail-timestamp": "1,2", "user-agent": "rail/1" });
    assert_eq!(event["headers"], headers);
    assert_eq!(event["cookies"], json!(["c=1", "d=2"]));
    assert_eq!(event["queryStringParameters"], json!({ "a": "1,2", "b": "x y z" }));
    assert_eq!((&event["body"], &event["isBase64Encoded"]), (&json!("{\"a\":\"é\"}"), &json!(false)));
    let http = &event["requestContext"]["http"];
    assert_eq!((&http["method"], &http["path"]), (&json!("POST"), &json!("/webhooks/rail")));
    assert_eq!(event["requestContext"]["stage"], "$default");
}

#[test]
fn a_function_url_event_differs_in_its_route_alone() {
    let (mut url, mut api) = (function_url_event(&request()), http_api_event(&request()));
    assert_eq!((&url["routeKey"], &url["requestContext"]["routeKey"]), (&json!("$default"), &json!("$default")));
    for event in [&mut url, &mut api] {
        event["routeKey"] = json!(null);
        event["requestContext"] = json!(null);
    }
    assert_eq!(url, api);
}

#[test]
fn a_rest_api_event_keeps_names_as_sent_and_every_value() {
    let event = rest_api_event(&request());
    assert_eq!(event["headers"]["X-Rail-Timestamp"], "1");
    assert_eq!(event["headers"]["x-rail-timestamp"], "2");
    assert_eq!(event["multiValueHeaders"]["Content-Type"], json!(["application/json"]));
    assert_eq!(event["queryStringParameters"], json!({ "a": "2", "b": "x y z" }));
    assert_eq!(event["multiValueQueryStringParameters"], json!({ "a": ["1", "2"], "b": ["x y z"] }));
    assert_eq!((&event["httpMethod"], &event["path"]), (&json!("POST"), &json!("/webhooks/rail")));
    assert_eq!((&event["body"], &event["isBase64Encoded"]), (&json!("{\"a\":\"é\"}"), &json!(false)));
    assert_eq!(event["pathParameters"], json!(null));
}

#[test]
fn a_body_that_is_not_text_comes_as_base64() {
    for event in [http_api_event, function_url_event, rest_api_event] {
        let binary = event(&HttpRequest { body: Bytes::from_static(&[0xff, 0x00]), ..request() });
        assert_eq!((&binary["body"], &binary["isBase64Encoded"]), (&json!("/wA="), &json!(true)));
        assert_eq!(with_base64_body(binary.clone()), binary);
        let forced = with_base64_body(event(&HttpRequest { body: Bytes::from_static(b"text"), ..request() }));
        assert_eq!((&forced["body"], &forced["isBase64Encoded"]), (&json!("dGV4dA=="), &json!(true)));
    }
}

#[test]
fn an_event_without_a_body_or_a_query_does_not_have_them() {
    let bare = HttpRequest::post("/webhooks/rail", vec![], "");
    let event = http_api_event(&bare);
    assert_eq!([event.get("body"), event.get("queryStringParameters"), event.get("cookies")], [None; 3]);
    assert_eq!(event["isBase64Encoded"], false);
    let event = rest_api_event(&bare);
    assert_eq!((&event["body"], &event["queryStringParameters"]), (&json!(null), &json!(null)));
}

#[test]
fn times_are_written_as_api_gateway_does() {
    let time = OffsetDateTime::from_unix_timestamp(1_583_348_638).unwrap();
    assert_eq!(clf_time(time), "04/Mar/2020:19:03:58 +0000");
    assert_eq!(epoch_ms(time), 1_583_348_638_000);
}

#[test]
fn a_percent_sign_that_escapes_nothing_stays() {
    for (text, expected) in [("100%", "100%"), ("%zz", "%zz"), ("%C3%A9", "é"), ("a%2", "a%2"), ("%é1", "%é1")] {
        let parameters: Vec<_> = query_parameters(text).collect();
        assert_eq!(parameters, [(expected.to_owned(), String::new())], "{text}");
    }
}

#[test]
fn a_functions_answer_becomes_http() {
    let answer = json!({
        "statusCode": 503,
        "headers": { "Retry-After": "5", "Content-Type": "application/json", "Content-Length": "999" },
        "cookies": ["a=1"],
        "body": "eyJlcnJvciI6MX0=",
        "isBase64Encoded": true,
    });
    let response = http_response(answer.to_string().as_bytes()).unwrap();
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["retry-after"], "5");
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.headers()["set-cookie"], "a=1");
    assert!(!response.headers().contains_key("content-length"));
    assert_eq!(response.body(), "{\"error\":1}");
}

#[test]
fn an_answer_without_a_status_is_a_body() {
    let response = http_response(br#"{"a":1}"#).unwrap();
    assert_eq!((response.status(), response.body().as_ref()), (StatusCode::OK, b"{\"a\":1}".as_slice()));
}

#[test]
fn an_answer_that_is_not_one_is_refused() {
    for answer in [
        "not JSON",
        r#"{"statusCode":"200"}"#,
        r#"{"statusCode":99999}"#,
        r#"{"statusCode":200,"body":{"a":1}}"#,
        r#"{"statusCode":200,"body":"*","isBase64Encoded":true}"#,
        r#"{"statusCode":200,"headers":{"a b":"c"}}"#,
    ] {
        assert!(http_response(answer.as_bytes()).is_none(), "{answer}");
    }
}

fn request() -> HttpRequest {
    let headers = [
        ("Content-Type", "application/json"),
        ("X-Rail-Timestamp", "1"),
        ("x-rail-timestamp", "2"),
        ("User-Agent", "rail/1"),
        ("Cookie", "c=1; d=2"),
    ];
    HttpRequest {
        query: "a=1&a=2&b=x%20y+z".to_owned(),
        ..HttpRequest::post(
            "/webhooks/rail",
            headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
            "{\"a\":\"é\"}",
        )
    }
}
