//! What the calls of Rail's API have in common: their paths, how a query is read, how an error is answered.

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use serde_json::json;

use crate::front::{JSON, json_response};

pub(super) const API_PREFIX: &str = "/api";

/// Status, code and description.
pub(super) struct Refusal(pub(super) StatusCode, pub(super) &'static str, pub(super) &'static str);

/// As Rail's API reports errors.
pub(super) fn api_error(Refusal(status, code, description): &Refusal) -> Response<Bytes> {
    let body = json!({ "errors": [{ "code": code, "description": description }] });
    json_response(*status, JSON, &body)
}

/// As RFC 6749 has them, section 5.2.
pub(super) fn oauth_error(Refusal(status, code, description): &Refusal) -> Response<Bytes> {
    json_response(*status, JSON, &json!({ "error": code, "error_description": description }))
}

pub(super) fn query(request: &Request<Bytes>, wanted: &str) -> Option<String> {
    let query = request.uri().query().unwrap_or_default();
    form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == wanted).map(|(_, value)| value.into_owned())
}
