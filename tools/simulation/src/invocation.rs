//! A process of the bridge: a future with a clock of its own, which may be dropped at any await.

use std::cell::Cell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::timeout;

use crate::process::{Doom, ProcessId};
use crate::time::skewed;
use crate::world::{Shared, lock};

thread_local! {
    static RUNNING: Cell<Option<ProcessId>> = const { Cell::new(None) };
}

/// The process whose code is running.
pub fn running() -> Option<ProcessId> {
    RUNNING.get()
}

/// Runs `work` as a process that Lambda ends after `limit`; `None` when it died.
pub async fn run<T>(world: &Shared, id: ProcessId, limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    let (skew_ms, doom) = {
        let world = lock(world);
        let process = &world.processes[id as usize];
        (process.skew_ms, process.doom)
    };
    let work = Running { world, id, skew_ms, doom, polls: 0, work: Some(Box::pin(work)) };
    let ended = timeout(limit, work).await;
    if ended.is_err() {
        lock(world).died(id, "it took too long");
    }
    ended.ok().flatten()
}

struct Running<'w, F> {
    world: &'w Shared,
    id: ProcessId,
    skew_ms: i64,
    doom: Option<Doom>,
    polls: u32,
    work: Option<Pin<Box<F>>>,
}

impl<F: Future> Future for Running<'_, F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.polls += 1;
        if let Some(Doom::AtPoll(at)) = self.doom
            && self.polls >= at
        {
            self.work = None;
            lock(self.world).died(self.id, "it was killed between two steps");
            return Poll::Ready(None);
        }
        let (id, skew_ms) = (self.id, self.skew_ms);
        let Some(work) = self.work.as_mut() else { return Poll::Ready(None) };
        let before = RUNNING.replace(Some(id));
        let polled = catch_unwind(AssertUnwindSafe(|| skewed(skew_ms, || work.as_mut().poll(context))));
        RUNNING.set(before);
        let Ok(polled) = polled else {
            lock(self.world).violate("no process panics", &format!("p{id}"), "it panicked");
            self.work = None;
            return Poll::Ready(None);
        };
        if lock(self.world).processes[id as usize].dead {
            // Dropping it ends whatever it was doing, as a kill does.
            self.work = None;
            return Poll::Ready(None);
        }
        polled.map(Some)
    }
}
