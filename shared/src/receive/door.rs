//! What API Gateway hands to a function, and what it takes back.
//!
//! `lambda_http` reads payload format 2.0 (HTTP API, function URL) and 1.0 (REST API), and writes the answer in the format of
//! the event. A stranger chooses the path, the query, the host and the headers, and its conversions panic on some of them and
//! call others an error of the function. So this guard reads every event first (`docs/adr/0002-gateway-events.md`).

use std::future::{Future, ready};
use std::pin::Pin;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use http::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use http::uri::Authority;
use lambda_http::aws_lambda_events::apigw::{ApiGatewayProxyRequest, ApiGatewayV2httpRequest};
use lambda_http::request::LambdaRequest;
use lambda_http::{Body, IntoResponse, Response};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::receive::provider::Provider;
use crate::receive::receipt::Answer;

/// Whatever a function was invoked with: reading it never fails.
#[derive(Debug)]
pub struct GatewayEvent {
    /// May begin with the stage, or with a custom domain's mapping.
    path: String,
    is_post: bool,
    /// Headers and body alone. Of the path, the query and the host the adapter would make a URL, which not every text is.
    /// Empty when they cannot be read.
    request: LambdaRequest,
    is_readable: bool,
}

/// `http::HeaderMap` panics at 24,577 names. API Gateway takes 10,240 bytes of headers.
const MAX_HEADER_NAMES: usize = 10_240;

/// A shorter event cannot hold more names: each takes at least these eight bytes, `"a1":"",`.
const MAX_UNCOUNTED_BYTES: usize = 8 * MAX_HEADER_NAMES;

impl GatewayEvent {
    /// What `lambda_http`'s adapter converts without a panic, and the answer if it is no delivery of `provider`.
    pub fn admit(self, provider: &Provider) -> (LambdaRequest, Option<Answer>) {
        let refusal = if !provider.is_at(&self.path) {
            Some(Answer::NotFound)
        } else if !self.is_post {
            Some(Answer::MethodNotAllowed)
        } else if !self.is_readable {
            Some(Answer::BadRequest)
        } else {
            None
        };
        (self.request, refusal)
    }

    fn read(event: &str) -> Self {
        let read = if event.len() > MAX_UNCOUNTED_BYTES {
            None
        } else if event.contains("\"rawPath\"") {
            // Format 2.0 alone has this member. An event that only says the word somewhere is read below.
            serde_json::from_str(event).ok().map(|event: ApiGatewayV2httpRequest| event.into())
        } else {
            serde_json::from_str(event).ok().map(|event: ApiGatewayProxyRequest| event.into())
        };
        read.unwrap_or_else(|| Self::read_leniently(serde_json::from_str(event).unwrap_or_default()))
    }

    /// Reads what the bridge needs, so that no delivery is lost to a null, to a name that no header has, or to a member that
    /// the bridge does not need and `lambda_http` expects otherwise.
    fn read_leniently(mut event: Value) -> Self {
        let is_http_api = event.pointer("/requestContext/http").is_some();
        let mut take = |pointers: &[&str]| {
            let mut members = pointers.iter().filter_map(|pointer| event.pointer_mut(pointer).map(Value::take));
            members.find(|member| !member.is_null())
        };
        let path = take(&["/rawPath", "/path"]).unwrap_or_default();
        let method = take(&["/requestContext/http/method", "/httpMethod"]).unwrap_or_default();
        let mut needed = json!({
            "path": path,
            "httpMethod": method,
            "requestContext": { "httpMethod": method, "http": { "method": method } },
        });
        let mut most_names = 0;
        for name in ["headers", "multiValueHeaders", "body", "isBase64Encoded"] {
            let Some(mut member) = take(&[&format!("/{name}")]) else { continue };
            if let Some(headers) = member.as_object_mut() {
                headers.retain(|name, value| !value.is_null() && HeaderName::try_from(name).is_ok());
                most_names = most_names.max(headers.len());
            }
            needed[name] = member;
        }
        let read = match is_http_api {
            _ if most_names > MAX_HEADER_NAMES => None,
            true => serde_json::from_value(needed).ok().map(|event: ApiGatewayV2httpRequest| event.into()),
            false => serde_json::from_value(needed).ok().map(|event: ApiGatewayProxyRequest| event.into()),
        };
        read.unwrap_or_else(|| Self {
            path: path.as_str().unwrap_or_default().to_owned(),
            is_post: method == "POST",
            request: match is_http_api {
                true => LambdaRequest::ApiGatewayV2(ApiGatewayV2httpRequest::default()),
                false => LambdaRequest::ApiGatewayV1(ApiGatewayProxyRequest::default()),
            },
            is_readable: false,
        })
    }
}

impl<'de> Deserialize<'de> for GatewayEvent {
    fn deserialize<D: Deserializer<'de>>(event: D) -> Result<Self, D::Error> {
        Ok(Self::read(<&RawValue>::deserialize(event).map_or("", RawValue::get)))
    }
}

impl From<ApiGatewayV2httpRequest> for GatewayEvent {
    fn from(event: ApiGatewayV2httpRequest) -> Self {
        let mut request = ApiGatewayV2httpRequest::default();
        let is_readable = is_readable(&event.headers, event.body.as_deref(), event.is_base64_encoded);
        if is_readable {
            request.headers = event.headers;
            request.headers.remove(HOST);
            request.body = event.body;
            request.is_base64_encoded = event.is_base64_encoded;
        }
        Self {
            path: event.raw_path.unwrap_or_default(),
            is_post: event.request_context.http.method == Method::POST,
            request: LambdaRequest::ApiGatewayV2(request),
            is_readable,
        }
    }
}

impl From<ApiGatewayProxyRequest> for GatewayEvent {
    fn from(event: ApiGatewayProxyRequest) -> Self {
        let mut request = ApiGatewayProxyRequest::default();
        // They stand side by side: the first holds every value, and the adapter would put the second in its place.
        let headers = if event.multi_value_headers.is_empty() { event.headers } else { event.multi_value_headers };
        let is_readable = is_readable(&headers, event.body.as_deref(), event.is_base64_encoded);
        if is_readable {
            request.multi_value_headers = headers;
            request.multi_value_headers.remove(HOST);
            request.body = event.body;
            request.is_base64_encoded = event.is_base64_encoded;
        }
        Self {
            path: event.path.unwrap_or_default(),
            is_post: event.http_method == Method::POST,
            request: LambdaRequest::ApiGatewayV1(request),
            is_readable,
        }
    }
}

/// A `Host` that is none is a bad request by RFC 9112, section 3.2; the adapter panics on a body that is not base64.
fn is_readable(headers: &HeaderMap, body: Option<&str>, is_base64: bool) -> bool {
    let is_host = |host: &HeaderValue| host.is_empty() || Authority::try_from(host.as_bytes()).is_ok();
    let is_body = || !is_base64 || body.is_none_or(|body| STANDARD.decode(body).is_ok());
    headers.get_all(HOST).iter().all(is_host) && is_body()
}

impl IntoResponse for Answer {
    fn into_response(self) -> Pin<Box<dyn Future<Output = Response<Body>> + Send>> {
        Box::pin(ready(self.to_http()))
    }
}

#[cfg(test)]
mod tests;
