//! Work that goes on after the answer has left, in the same invocation (`docs/adr/0001-deliver-after-the-ack.md`).
//!
//! The runtime posts the answer inside the service that this layer wraps, and asks for the next event only when the layer's
//! future is done; until then Lambda keeps the environment running. Nothing is spawned: what outlives its invocation is
//! frozen with it.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use lambda_runtime::LambdaInvocation;
use tower::{Layer, Service};

use crate::observe::telemetry::InvocationIds;

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The work that waits for its invocation's answer to be posted, by request id: invocations may run side by side.
#[derive(Clone, Default)]
pub struct AfterAck {
    waiting: Arc<Mutex<HashMap<String, Work>>>,
}

/// The runtime's service with the work behind it.
#[derive(Clone)]
pub struct AfterAckService<S> {
    inner: S,
    after_ack: AfterAck,
}

impl AfterAck {
    /// Defers `work` until the answer of this invocation has been posted.
    pub fn defer(&self, request_id: &str, work: impl Future<Output = ()> + Send + 'static) {
        self.waiting().insert(request_id.to_owned(), Box::pin(work));
    }

    fn take(&self, request_id: &str) -> Option<Work> {
        self.waiting().remove(request_id)
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<String, Work>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> Layer<S> for AfterAck {
    type Service = AfterAckService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        AfterAckService { inner, after_ack: self.clone() }
    }
}

impl<S> Service<LambdaInvocation> for AfterAckService<S>
where
    S: Service<LambdaInvocation, Response = ()>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = ();
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<(), S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, invocation: LambdaInvocation) -> Self::Future {
        let request_id = invocation.context.request_id.clone();
        let after_ack = self.after_ack.clone();
        let ids = InvocationIds::of(&invocation.context);
        let answered = self.inner.call(invocation);
        Box::pin(ids.with(async move {
            let posted = answered.await;
            // Also when posting failed: the event is recorded, so it must be delivered.
            if let Some(work) = after_ack.take(&request_id) {
                work.await;
            }
            posted
        }))
    }
}

#[cfg(test)]
mod tests;
