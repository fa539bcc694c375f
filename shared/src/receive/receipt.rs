//! The answer to a delivery, and all that is known of the delivery by then.

use std::time::Duration;

use http::StatusCode;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use lambda_http::{Body, Response};

use crate::receive::signing_keys::KeyVersion;
use crate::receive::verification::Refusal;
use crate::record::event::EventRecord;

/// The answer to the provider.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Answer {
    Accepted,
    Duplicate,
    Ignored,
    Unauthorized,
    BadRequest,
    TooLarge,
    NotFound,
    MethodNotAllowed,
    Unavailable,
}

/// All that is known of a delivery once it is answered: for the log line, and for the work after the answer.
#[derive(Debug)]
pub struct Receipt {
    pub answer: Answer,
    pub refusal: Option<Refusal>,
    /// The event of a verified delivery.
    pub event: Option<EventRecord>,
    pub signed_form: Option<&'static str>,
    pub key_version: Option<KeyVersion>,
    /// The event has no time that can be read: that of its signature stands for it.
    pub dated_by_signature: bool,
    /// A duplicate whose body is not the recorded one.
    pub conflicting: bool,
    /// The provider's id of the event, where another fact has it: `event` has one of its own.
    pub conflicts_with: Option<String>,
    /// More than [`MAX_KEYS`](crate::receive::signing_keys::MAX_KEYS) keys are tried for each delivery.
    pub too_many_keys: bool,
    /// Why the answer is `Unavailable` or `TooLarge`.
    pub error: Option<InternalError>,
    pub ack: Duration,
}

/// A failure on our side.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct InternalError {
    /// Stable once shipped.
    pub code: &'static str,
    pub text: String,
}

impl Answer {
    /// As in the log line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::Ignored => "ignored",
            Self::Unauthorized => "unauthorized",
            Self::BadRequest => "bad_request",
            Self::TooLarge => "too_large",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Unavailable => "unavailable",
        }
    }

    /// Tells the provider not to send it again.
    pub fn is_acknowledgement(self) -> bool {
        matches!(self, Self::Accepted | Self::Duplicate | Self::Ignored)
    }

    /// One fixed body per answer: the reason stays inside.
    pub fn to_http(self) -> Response<Body> {
        let (status, body) = match self {
            Self::Accepted => (StatusCode::OK, r#"{"status":"accepted"}"#),
            Self::Duplicate => (StatusCode::OK, r#"{"status":"duplicate"}"#),
            Self::Ignored => (StatusCode::OK, r#"{"status":"ignored"}"#),
            Self::BadRequest => (StatusCode::BAD_REQUEST, r#"{"error":"bad_request"}"#),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, r#"{"error":"unauthorized"}"#),
            Self::NotFound => (StatusCode::NOT_FOUND, r#"{"error":"not_found"}"#),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, r#"{"error":"method_not_allowed"}"#),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, r#"{"error":"too_large"}"#),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, r#"{"error":"unavailable"}"#),
        };
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        match self {
            Self::MethodNotAllowed => headers.insert(ALLOW, HeaderValue::from_static("POST")),
            Self::Unavailable => headers.insert(RETRY_AFTER, HeaderValue::from_static("5")),
            _ => None,
        };
        response
    }
}

impl Receipt {
    /// With this answer, and everything else empty.
    pub(crate) fn of(answer: Answer) -> Self {
        Self {
            answer,
            refusal: None,
            event: None,
            signed_form: None,
            key_version: None,
            dated_by_signature: false,
            conflicting: false,
            conflicts_with: None,
            too_many_keys: false,
            error: None,
            ack: Duration::ZERO,
        }
    }

    pub(crate) fn refused(refusal: Refusal) -> Self {
        let answer = match refusal {
            Refusal::BodyNotAnObject => Answer::BadRequest,
            _ => Answer::Unauthorized,
        };
        Self { refusal: Some(refusal), ..Self::of(answer) }
    }

    pub(crate) fn unavailable(code: &'static str, text: String) -> Self {
        Self { error: Some(InternalError { code, text }), ..Self::of(Answer::Unavailable) }
    }
}

#[cfg(test)]
mod tests;
