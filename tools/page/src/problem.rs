//! The answer to a request that the page cannot fulfil.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use operator::OperatorError;
use operator::error::ErrorKind;
use serde_json::json;

/// What is wrong, and what helps.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    problem: String,
    hint: String,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, problem: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { status, problem: problem.into(), hint: hint.into() }
    }

    pub(crate) fn unusable(problem: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, problem, hint)
    }

    pub(crate) fn forbidden(problem: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, problem, hint)
    }

    pub(crate) fn not_found(problem: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, problem, hint)
    }

    pub(crate) fn conflict(problem: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, problem, hint)
    }
}

impl From<OperatorError> for Problem {
    fn from(error: OperatorError) -> Self {
        let status = if error.kind() == ErrorKind::Outside { StatusCode::BAD_GATEWAY } else { StatusCode::BAD_REQUEST };
        Self::new(status, error.problem(), error.hint())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self { status, problem, hint } = self;
        (status, Json(json!({ "problem": problem, "hint": hint }))).into_response()
    }
}
