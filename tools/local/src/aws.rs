//! What the two AWS stand-ins share: the JSON protocol's operations, counted and failing by script.

use std::future::Future;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use serde_json::json;

use crate::faults::{Faults, When};
use crate::front::{Answer, json_response};
use crate::records::{Records, Timeout};

/// What goes wrong with a call to AWS.
#[derive(Clone, Debug, PartialEq)]
pub enum AwsFault {
    /// No answer, and the call has no effect.
    Hang,
    /// The connection is reset, and the call has no effect.
    Refuse,
    /// 400 with the service's throttling exception.
    Throttle,
    /// 500 `InternalServerError`.
    InternalError,
    /// This status with an exception of this name, for example 400 `AccessDeniedException`.
    Exception { status: u16, name: &'static str },
    /// The call takes effect, then the connection is reset before the answer.
    ResetAfter,
    /// The call takes effect at once, the answer comes this much later.
    Slow(Duration),
}

/// One AWS service: how its JSON protocol spells things.
#[derive(Clone, Copy, Debug)]
pub struct Dialect {
    /// What precedes the operation in `X-Amz-Target`, with the dot.
    pub target_prefix: &'static str,
    pub content_type: &'static str,
    /// What precedes an exception's name in `__type`.
    pub exception_prefix: &'static str,
    pub throttle: &'static str,
}

/// A call that a fault has struck.
#[derive(Clone, Debug)]
pub struct Strike {
    pub operation: String,
    pub fault: AwsFault,
    /// The call's body.
    pub request: Bytes,
    pub at: SystemTime,
}

/// Counts the calls to one service and lets its scripted faults strike.
#[derive(Debug)]
pub struct AwsFront {
    dialect: Dialect,
    calls: Records<String>,
    strikes: Records<Strike>,
    faults: Faults<String, AwsFault>,
}

impl AwsFront {
    pub(crate) fn new(dialect: Dialect) -> Self {
        Self { dialect, calls: Records::default(), strikes: Records::default(), faults: Faults::default() }
    }

    /// Remembers only the newest calls and strikes from now on: between `at_least` and twice as many of each.
    pub fn remember(&self, at_least: usize) {
        self.calls.keep(at_least);
        self.strikes.keep(at_least);
    }

    /// The operations called, in order.
    pub fn calls(&self) -> Vec<String> {
        self.calls.all()
    }

    /// How often `operation` was called.
    pub fn count(&self, operation: &str) -> usize {
        self.calls.count(|call| call == operation)
    }

    /// The calls that faults have struck, in order.
    pub fn strikes(&self) -> Vec<Strike> {
        self.strikes.all()
    }

    /// Forgets calls and strikes; faults stay.
    pub fn reset_calls(&self) {
        self.calls.clear();
        self.strikes.clear();
    }

    /// Returns once `reached` holds of the calls so far.
    ///
    /// # Errors
    /// It did not within `bound`.
    pub async fn wait_for_calls(&self, reached: impl Fn(&[String]) -> bool, bound: Duration) -> Result<(), Timeout> {
        self.calls.wait_for(reached, bound).await
    }

    /// Scripts a fault of one operation (`Some("PutItem")`) or of any (`None`).
    pub fn inject(&self, operation: Option<&str>, fault: AwsFault, when: When) {
        self.faults.inject(operation.map(str::to_owned), fault, when);
    }

    pub fn clear_faults(&self) {
        self.faults.clear();
    }

    /// Answers one request: `take_effect` is given the operation and does it, unless a fault comes first.
    ///
    /// `GET /` is what functions open their connections with: answered like DynamoDB does, and no call.
    pub(crate) async fn answer<T, F>(&self, request: Request<Bytes>, take_effect: T) -> Answer
    where
        T: FnOnce(String, Request<Bytes>) -> F,
        F: Future<Output = Response<Bytes>>,
    {
        if request.method() == Method::GET {
            return Answer::Http(Response::new(Bytes::from_static(b"healthy")));
        }
        let Some(operation) = self.operation(&request) else {
            let message = "The header `X-Amz-Target` names no operation of this service";
            return Answer::Http(self.exception(StatusCode::BAD_REQUEST, "UnknownOperationException", message));
        };
        let fault = self.faults.draw(&operation);
        // Counted after the draw and before the effect: a test that waits for the call can then change the script.
        self.calls.push(operation.clone());
        if let Some(fault) = fault.clone() {
            let (operation, request) = (operation.clone(), request.body().clone());
            self.strikes.push(Strike { operation, fault, request, at: SystemTime::now() });
        }
        match fault {
            None => Answer::Http(take_effect(operation, request).await),
            Some(AwsFault::Hang) => Answer::Hang,
            Some(AwsFault::Refuse) => Answer::Reset,
            Some(AwsFault::Throttle) => {
                Answer::Http(self.exception(StatusCode::BAD_REQUEST, self.dialect.throttle, "Rate exceeded"))
            }
            Some(AwsFault::InternalError) => {
                Answer::Http(self.exception(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError", "injected"))
            }
            Some(AwsFault::Exception { status, name }) => Answer::Http(self.exception(
                StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST),
                name,
                "injected",
            )),
            Some(AwsFault::ResetAfter) => {
                take_effect(operation, request).await;
                Answer::Reset
            }
            Some(AwsFault::Slow(pause)) => {
                let response = take_effect(operation, request).await;
                tokio::time::sleep(pause).await;
                Answer::Http(response)
            }
        }
    }

    /// An error as the service spells it.
    pub(crate) fn exception(&self, status: StatusCode, name: &str, message: &str) -> Response<Bytes> {
        let kind = format!("{}{name}", self.dialect.exception_prefix);
        json_response(status, self.dialect.content_type, &json!({ "__type": kind, "message": message }))
    }

    /// The answer to an operation that this stand-in does not know.
    pub(crate) fn unknown_operation(&self, operation: &str) -> Response<Bytes> {
        let message = format!("{operation} is not among the operations that `bridge dev` answers for this service");
        self.exception(StatusCode::BAD_REQUEST, "UnknownOperationException", &message)
    }

    fn operation(&self, request: &Request<Bytes>) -> Option<String> {
        let target = request.headers().get("x-amz-target")?.to_str().ok()?;
        let operation = target.strip_prefix(self.dialect.target_prefix)?;
        Some(operation.to_owned())
    }
}

#[cfg(test)]
mod tests;
