//! Lambda's Invoke API for the functions hosted here, so that the AWS CLI, cargo-lambda and the SDKs call them as on AWS.
//!
//! `aws lambda invoke --endpoint-url http://127.0.0.1:9000 --function-name redrive --payload '{}' out.json`; the shapes are
//! [AWS's](https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html). Signatures are not looked at. An asynchronous
//! invocation that fails is not tried again.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use crate::front::{JSON, json_response};
use crate::gateway::events::HttpRequest;
use crate::lambda_host::{InvokeError, LambdaHost};

/// The path at which a function of this name is invoked.
pub fn path(function: &str) -> String {
    format!("{API}functions/{function}{SUFFIX}")
}

/// Whether a path is one of Lambda's API.
pub(crate) fn is_at(path: &str) -> bool {
    path.starts_with(API)
}

/// Invokes the function that the request names, or lists them; `None` for a request that is none of this API's.
pub(crate) async fn answer(functions: &[Arc<LambdaHost>], request: &HttpRequest) -> Option<Response<Bytes>> {
    let path = request.path.strip_prefix(API)?;
    let named = path.strip_prefix("functions/").and_then(|named| named.strip_suffix(SUFFIX));
    let named = match (request.method.as_str(), named) {
        ("POST", Some(named)) => named,
        ("GET", None) if path.trim_end_matches('/') == "functions" => return Some(list(functions)),
        _ => {
            let message = "`bridge dev` answers Invoke and ListFunctions of Lambda's API, and nothing else";
            return Some(exception(StatusCode::NOT_FOUND, "UnknownOperationException", message));
        }
    };
    let named = percent_decode_str(named).decode_utf8_lossy();
    let Some(function) = functions.iter().find(|function| function.name() == name_of(&named)) else {
        let message = format!("Function not found: {ARN_PREFIX}{}", name_of(&named));
        return Some(exception(StatusCode::NOT_FOUND, "ResourceNotFoundException", &message));
    };
    let payload = match request.body.is_empty() {
        true => Bytes::from_static(b"{}"),
        false => request.body.clone(),
    };
    if let Err(error) = serde_json::from_slice::<Value>(&payload) {
        let message = format!("Could not parse request body into json: {error}");
        return Some(exception(StatusCode::BAD_REQUEST, "InvalidRequestContentException", &message));
    }
    Some(match request.header("x-amz-invocation-type").unwrap_or("RequestResponse") {
        "RequestResponse" => response(function.invoke(payload).await),
        "Event" => {
            let function = Arc::clone(function);
            // No caller waits for it, so it must not end with the connection.
            tokio::spawn(async move { function.invoke(payload).await });
            empty(StatusCode::ACCEPTED)
        }
        "DryRun" => empty(StatusCode::NO_CONTENT),
        _ => exception(StatusCode::BAD_REQUEST, "InvalidParameterValueException", "no such invocation type"),
    })
}

fn list(functions: &[Arc<LambdaHost>]) -> Response<Bytes> {
    let functions = functions.iter().map(|function| {
        let name = function.name();
        json!({ "FunctionName": name, "FunctionArn": format!("{ARN_PREFIX}{name}"), "Version": VERSION })
    });
    json_response(StatusCode::OK, JSON, &json!({ "Functions": functions.collect::<Vec<_>>() }))
}

/// A name alone, with a version behind it, or as the end of a whole or partial ARN.
fn name_of(named: &str) -> &str {
    let name = named.rsplit_once("function:").map_or(named, |(_, name)| name);
    name.split(':').next().unwrap_or(name)
}

/// A function's failure is a 200, too; the header shows it.
fn response(outcome: Result<crate::lambda_host::InvokeResult, InvokeError>) -> Response<Bytes> {
    let (error_type, message) = match outcome {
        Ok(invoked) => {
            let mut response = Response::new(invoked.response);
            set(&mut response, "content-type", JSON);
            set(&mut response, "x-amz-executed-version", VERSION);
            set(&mut response, "x-amzn-requestid", &invoked.request_id);
            return response;
        }
        Err(InvokeError::SwitchedOff) => return throttled(),
        Err(InvokeError::Stopped) => {
            return exception(StatusCode::INTERNAL_SERVER_ERROR, "ServiceException", "the host was shut down");
        }
        Err(InvokeError::FunctionError { error_type, message }) => (error_type, message),
        Err(error @ InvokeError::TimedOut { .. }) => ("Sandbox.Timedout".to_owned(), error.to_string()),
        Err(error @ (InvokeError::ProcessDied { .. } | InvokeError::InitFailed { .. })) => {
            ("Runtime.ExitError".to_owned(), error.to_string())
        }
    };
    let body = json!({ "errorMessage": message, "errorType": error_type });
    let mut response = json_response(StatusCode::OK, JSON, &body);
    set(&mut response, "x-amz-function-error", "Unhandled");
    set(&mut response, "x-amz-executed-version", VERSION);
    response
}

fn exception(status: StatusCode, name: &str, message: &str) -> Response<Bytes> {
    let side = if status.is_client_error() { "User" } else { "Service" };
    let mut response = json_response(status, JSON, &json!({ "Type": side, "Message": message }));
    set(&mut response, "x-amzn-errortype", name);
    response
}

/// The answer for [a function with a reserved concurrency of 0][reserved]; AWS writes `message` in lower case here.
///
/// [reserved]: https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html
fn throttled() -> Response<Bytes> {
    let reason = "ReservedFunctionConcurrentInvocationLimitExceeded";
    let body = json!({ "Reason": reason, "Type": "User", "message": "Rate Exceeded." });
    let mut response = json_response(StatusCode::TOO_MANY_REQUESTS, JSON, &body);
    set(&mut response, "x-amzn-errortype", "TooManyRequestsException");
    response
}

fn empty(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}

fn set(response: &mut Response<Bytes>, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(HeaderName::from_static(name), value);
    }
}

const API: &str = "/2015-03-31/";
const SUFFIX: &str = "/invocations";
const ARN_PREFIX: &str = "arn:aws:lambda:us-east-1:000000000000:function:";
const VERSION: &str = "$LATEST";

#[cfg(test)]
mod tests;
