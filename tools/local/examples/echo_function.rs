//! A function on AWS's own runtime that does what its event says, for the tests of the Lambda host.
//!
//! `before` and `after` name an address to connect to before the response or after it: the function goes on when the
//! connection is closed at the other end, so that a test decides how long it works.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use lambda_runtime::tower::Layer;
use lambda_runtime::{Error, LambdaEvent, LambdaInvocation, Runtime, Service, service_fn};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    println!("up");
    match std::env::var("INIT").as_deref() {
        Ok("exit") => std::process::exit(7),
        Ok("hang") => std::future::pending().await,
        _ => Runtime::new(service_fn(answer)).layer(AfterResponse).run().await,
    }
}

async fn answer(event: LambdaEvent<Value>) -> Result<Value, Error> {
    let LambdaEvent { payload, context } = event;
    println!("event {}", context.request_id);
    pass_gate(&payload["before"]).await;
    match payload["do"].as_str() {
        Some("fail") => return Err("asked to fail".into()),
        Some("exit") => std::process::exit(3),
        _ => {}
    }
    if let Some(name) = payload["env"].as_str() {
        return Ok(json!(std::env::var(name).ok()));
    }
    Ok(json!({
        "echo": payload,
        "request_id": context.request_id,
        "deadline_ms": context.deadline,
        "arn": context.invoked_function_arn,
    }))
}

/// Goes on working after the response was posted, as the bridge's functions do.
struct AfterResponse;

struct WorkAfter<S>(S);

impl<S> Layer<S> for AfterResponse {
    type Service = WorkAfter<S>;

    fn layer(&self, inner: S) -> WorkAfter<S> {
        WorkAfter(inner)
    }
}

impl<S> Service<LambdaInvocation> for WorkAfter<S>
where
    S: Service<LambdaInvocation, Response = (), Error = Error>,
    S::Future: Send + 'static,
{
    type Response = ();
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, invocation: LambdaInvocation) -> Self::Future {
        let event: Value = serde_json::from_slice(&invocation.body).unwrap_or_default();
        let responded = self.0.call(invocation);
        Box::pin(async move {
            responded.await?;
            pass_gate(&event["after"]).await;
            Ok(())
        })
    }
}

async fn pass_gate(address: &Value) {
    let Some(address) = address.as_str() else { return };
    let Ok(mut gate) = TcpStream::connect(address).await else { return };
    let _ = gate.read(&mut [0]).await;
}
