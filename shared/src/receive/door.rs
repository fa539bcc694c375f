//! What API Gateway hands to a function, and what it takes back.
//!
//! Reads payload format 2.0 (HTTP API, function URL) and 1.0 (REST API), and of them only what the bridge needs. It is
//! our own reading, not `lambda_http`'s, because a stranger chooses the path and the headers: that crate builds a URI of
//! them and panics where they make none, and it reads every event twice (`docs/adr/0002-gateway-events.md`).

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// One HTTP request as API Gateway describes it.
#[derive(Debug, Default, Deserialize)]
#[serde(from = "ProxyEvent")]
pub struct HttpRequest {
    pub method: String,
    /// May begin with the stage, or with a custom domain's mapping.
    pub path: String,
    pub headers: Headers,
    pub body: Body,
}

/// Request headers, looked up without regard to case.
#[derive(Debug, Default)]
pub struct Headers(Vec<(String, String)>);

/// The body as received.
#[derive(Debug, Default, Eq, PartialEq)]
pub enum Body {
    #[default]
    Empty,
    Bytes(Vec<u8>),
    /// Said to be base64 and is not. API Gateway never does this; whoever may invoke the function directly can.
    NotBase64,
}

/// What API Gateway turns into the HTTP response.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpResponse {
    pub status_code: u16,
    pub headers: HashMap<&'static str, &'static str>,
    pub body: &'static str,
    pub is_base64_encoded: bool,
}

/// Both payload formats at once: their fields do not clash.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct ProxyEvent {
    raw_path: Option<String>,
    path: Option<String>,
    http_method: Option<String>,
    headers: Option<HashMap<String, Option<String>>>,
    multi_value_headers: Option<HashMap<String, Option<Vec<String>>>>,
    request_context: Option<RequestContext>,
    body: Option<String>,
    is_base64_encoded: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RequestContext {
    http: Option<HttpContext>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct HttpContext {
    method: Option<String>,
}

impl Headers {
    /// Every value sent under `name`; payload format 2.0 has joined repeated ones by commas.
    pub fn all<'h>(&'h self, name: &'h str) -> impl Iterator<Item = &'h str> {
        self.0.iter().filter(move |(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

impl FromIterator<(String, String)> for Headers {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

impl From<ProxyEvent> for HttpRequest {
    fn from(event: ProxyEvent) -> Self {
        let context = event.request_context.unwrap_or_default();
        // Format 1.0 sends single and multi-value headers side by side: the second holds every value.
        let headers = match event.multi_value_headers.filter(|headers| !headers.is_empty()) {
            Some(headers) => headers
                .into_iter()
                .flat_map(|(name, values)| values.unwrap_or_default().into_iter().map(move |v| (name.clone(), v)))
                .collect(),
            None => {
                event.headers.unwrap_or_default().into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
            }
        };
        let body = match (event.body, event.is_base64_encoded.unwrap_or_default()) {
            (None, _) => Body::Empty,
            (Some(text), false) => Body::Bytes(text.into_bytes()),
            (Some(text), true) => STANDARD.decode(text).map_or(Body::NotBase64, Body::Bytes),
        };
        Self {
            method: context.http.and_then(|http| http.method).or(event.http_method).unwrap_or_default(),
            path: event.raw_path.or(event.path).unwrap_or_default(),
            headers,
            body,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(event: Value) -> HttpRequest {
        serde_json::from_value(event).unwrap()
    }

    #[test]
    fn an_http_api_event_gives_method_path_headers_and_body() {
        let request = read(json!({
            "version": "2.0", "rawPath": "/webhooks/x", "headers": {"x-signature": "ab", "host": "é"},
            "requestContext": {"http": {"method": "POST", "path": "/webhooks/x"}, "stage": "$default"},
            "body": "{\"a\":1}", "isBase64Encoded": false,
        }));
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/webhooks/x"));
        assert_eq!(request.headers.all("X-Signature").collect::<Vec<_>>(), ["ab"]);
        assert_eq!(request.body, Body::Bytes(b"{\"a\":1}".to_vec()));
    }

    #[test]
    fn a_rest_api_event_keeps_repeated_headers_apart() {
        let request = read(json!({
            "path": "/webhooks/x", "httpMethod": "POST", "headers": {"X-Signature": "b"},
            "multiValueHeaders": {"X-Signature": ["a", "b"]}, "requestContext": {"stage": "prod"},
            "body": "e30=", "isBase64Encoded": true,
        }));
        assert_eq!(request.path, "/webhooks/x");
        assert_eq!(request.headers.all("x-signature").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(request.body, Body::Bytes(b"{}".to_vec()));
    }

    #[test]
    fn whatever_is_absent_or_null_reads_as_empty() {
        for event in [json!({}), json!({"headers": null, "body": null, "requestContext": null, "headers": {"a": null}})]
        {
            let request = read(event);
            assert_eq!((request.method.as_str(), request.body), ("", Body::Empty));
        }
        assert_eq!(read(json!({"body": "%%", "isBase64Encoded": true})).body, Body::NotBase64);
    }
}
