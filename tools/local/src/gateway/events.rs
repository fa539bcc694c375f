//! The events that API Gateway gives a function, and the HTTP answer that it makes of what the function returns.
//!
//! The shapes are AWS's: [payload format 2.0 and 1.0][http-api], [REST API][rest-api], [function URL][function-url].
//!
//! [http-api]: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
//! [rest-api]: https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
//! [function-url]: https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use crate::front::{JSON, json_response};

/// An HTTP request as it reached the gateway.
#[derive(Clone, Debug)]
pub struct HttpRequest {
    pub method: String,
    /// Without the query.
    pub path: String,
    /// Without the question mark; empty when there is none.
    pub query: String,
    /// As sent; a name may occur more than once.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

impl HttpRequest {
    /// A POST without a query.
    pub fn post(path: &str, headers: Vec<(String, String)>, body: impl Into<Bytes>) -> Self {
        Self { method: "POST".to_owned(), path: path.to_owned(), query: String::new(), headers, body: body.into() }
    }

    /// The first value of a header.
    pub(crate) fn header(&self, wanted: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.as_str())
    }
}

/// The event of an HTTP API, payload format 2.0: header names in lower case, repeated ones joined by commas. The body is
/// base64 when it is not UTF-8.
pub fn http_api_event(request: &HttpRequest) -> Value {
    let route = format!("{} {}", request.method, request.path);
    format_2_0(request, &route, "local.execute-api.us-east-1.amazonaws.com")
}

/// The event of a function URL: payload format 2.0 with a route of `$default`.
pub fn function_url_event(request: &HttpRequest) -> Value {
    format_2_0(request, "$default", "local.lambda-url.us-east-1.on.aws")
}

/// The event of a REST API (payload format 1.0): header names as sent, the last of repeated ones in `headers` and all of
/// them in `multiValueHeaders`.
pub fn rest_api_event(request: &HttpRequest) -> Value {
    let now = OffsetDateTime::now_utc();
    let headers = pairs(&request.headers);
    let query: Vec<_> = query_parameters(&request.query).collect();
    let (body, is_base64) = event_body(&request.body);
    json!({
        "resource": request.path,
        "path": request.path,
        "httpMethod": request.method,
        "headers": last_values(headers.clone()),
        "multiValueHeaders": all_values(headers),
        "queryStringParameters": null_when_empty(last_values(pairs(&query))),
        "multiValueQueryStringParameters": null_when_empty(all_values(pairs(&query))),
        "pathParameters": null,
        "stageVariables": null,
        "requestContext": {
            "accountId": ACCOUNT,
            "apiId": "local",
            "domainName": "local.execute-api.us-east-1.amazonaws.com",
            "domainPrefix": "local",
            "extendedRequestId": crate::random_uuid(),
            "httpMethod": request.method,
            "identity": { "sourceIp": SOURCE_IP, "userAgent": request.header("user-agent") },
            "path": request.path,
            "protocol": "HTTP/1.1",
            "requestId": crate::random_uuid(),
            "requestTime": clf_time(now),
            "requestTimeEpoch": epoch_ms(now),
            "resourceId": "local",
            "resourcePath": request.path,
            "stage": "prod",
        },
        "body": body,
        "isBase64Encoded": is_base64,
    })
}

/// Any of the events with its body in base64, as API Gateway sends a body that it considers binary.
pub fn with_base64_body(mut event: Value) -> Value {
    if event["isBase64Encoded"] == false
        && let Some(text) = event["body"].as_str()
    {
        event["body"] = json!(STANDARD.encode(text));
        event["isBase64Encoded"] = json!(true);
    }
    event
}

/// What an HTTP API makes of a function's answer; `None` when it is not one that API Gateway takes.
///
/// A JSON value without `statusCode` is a 200 with that value as its body (payload format 2.0 only).
pub fn http_response(answer: &[u8]) -> Option<Response<Bytes>> {
    let answer: Value = serde_json::from_slice(answer).ok()?;
    let Some(status) = answer.get("statusCode") else {
        return Some(json_response(StatusCode::OK, JSON, &answer));
    };
    let status = u16::try_from(status.as_u64()?).ok()?;
    let text = match answer.get("body") {
        None | Some(Value::Null) => "",
        Some(body) => body.as_str()?,
    };
    let body = match answer["isBase64Encoded"].as_bool() {
        Some(true) => Bytes::from(STANDARD.decode(text).ok()?),
        _ => Bytes::from(text.to_owned()),
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).ok()?;
    let headers = response.headers_mut();
    headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    for (name, value) in answer["headers"].as_object().into_iter().flatten() {
        let value = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        headers.insert(name.parse::<HeaderName>().ok()?, value.parse().ok()?);
    }
    for cookie in answer["cookies"].as_array().into_iter().flatten() {
        headers.append(http::header::SET_COOKIE, cookie.as_str()?.parse().ok()?);
    }
    // The server frames the body itself; a length or an encoding from the function could only contradict it.
    headers.remove(http::header::CONTENT_LENGTH);
    headers.remove(http::header::TRANSFER_ENCODING);
    Some(response)
}

fn format_2_0(request: &HttpRequest, route: &str, domain: &str) -> Value {
    let now = OffsetDateTime::now_utc();
    let mut headers: Map<String, Value> = Map::new();
    let mut cookies = Vec::new();
    for (name, value) in &request.headers {
        let name = name.to_ascii_lowercase();
        if name == "cookie" {
            cookies.extend(value.split(';').map(|cookie| json!(cookie.trim())));
            continue;
        }
        let joined = match headers.get(&name).and_then(Value::as_str) {
            Some(before) => format!("{before},{value}"),
            None => value.clone(),
        };
        headers.insert(name, Value::String(joined));
    }
    let mut event = json!({
        "version": "2.0",
        "routeKey": route,
        "rawPath": request.path,
        "rawQueryString": request.query,
        "headers": headers,
        "requestContext": {
            "accountId": ACCOUNT,
            "apiId": "local",
            "domainName": domain,
            "domainPrefix": "local",
            "http": {
                "method": request.method,
                "path": request.path,
                "protocol": "HTTP/1.1",
                "sourceIp": SOURCE_IP,
                "userAgent": request.header("user-agent").unwrap_or_default(),
            },
            "requestId": crate::random_uuid(),
            "routeKey": route,
            "stage": "$default",
            "time": clf_time(now),
            "timeEpoch": epoch_ms(now),
        },
        "isBase64Encoded": false,
    });
    if !cookies.is_empty() {
        event["cookies"] = Value::Array(cookies);
    }
    if !request.query.is_empty() {
        let mut parameters: Map<String, Value> = Map::new();
        for (name, value) in query_parameters(&request.query) {
            let joined = match parameters.get(&name).and_then(Value::as_str) {
                Some(before) => format!("{before},{value}"),
                None => value,
            };
            parameters.insert(name, Value::String(joined));
        }
        event["queryStringParameters"] = Value::Object(parameters);
    }
    // AWS omits the member if there is no body.
    if !request.body.is_empty() {
        let (body, is_base64) = event_body(&request.body);
        event["body"] = body;
        event["isBase64Encoded"] = json!(is_base64);
    }
    event
}

fn event_body(body: &[u8]) -> (Value, bool) {
    match std::str::from_utf8(body) {
        Ok("") => (Value::Null, false),
        Ok(text) => (json!(text), false),
        Err(_) => (json!(STANDARD.encode(body)), true),
    }
}

fn pairs(pairs: &[(String, String)]) -> impl Iterator<Item = (&str, &str)> + Clone {
    pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))
}

fn last_values<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Map<String, Value> {
    pairs.map(|(name, value)| (name.to_owned(), json!(value))).collect()
}

fn all_values<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Map<String, Value> {
    let mut all = Map::new();
    for (name, value) in pairs {
        let values = all.entry(name).or_insert_with(|| json!([]));
        if let Some(values) = values.as_array_mut() {
            values.push(json!(value));
        }
    }
    all
}

fn null_when_empty(map: Map<String, Value>) -> Value {
    match map.is_empty() {
        true => Value::Null,
        false => Value::Object(map),
    }
}

/// The parameters of a query, decoded.
fn query_parameters(query: &str) -> impl Iterator<Item = (String, String)> {
    form_urlencoded::parse(query.as_bytes()).into_owned()
}

/// The time in the format of access logs, as API Gateway writes it.
fn clf_time(now: OffsetDateTime) -> String {
    now.format(CLF).unwrap_or_default()
}

fn epoch_ms(now: OffsetDateTime) -> i64 {
    now.unix_timestamp() * 1000 + i64::from(now.millisecond())
}

const CLF: &[BorrowedFormatItem<'_>] =
    format_description!("[day]/[month repr:short]/[year]:[hour]:[minute]:[second] +0000");
const ACCOUNT: &str = "000000000000";
const SOURCE_IP: &str = "127.0.0.1";

#[cfg(test)]
mod tests;
