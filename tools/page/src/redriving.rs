//! Redrive from the page: what would be tried is counted and shown first, then tried at a rate, and can be stopped.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use operator::events::redrive::{Candidates, Progress, Verdict, redrive, run, summary};
use operator::redrive_function::RedriveFunction;
use operator::{OperatorError, Place};
use serde::Serialize;
use shared::clock::UnixMillis;
use shared::redrive::contract::Counts;
use tokio::sync::Notify;

use crate::problem::Problem;

/// What is planned and what is under way; one at a time of either.
#[derive(Debug, Default)]
pub(crate) struct RedriveJobs(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// The newest plan alone can be begun: it is what was last shown.
    plan: Option<(String, Vec<String>)>,
    job: Option<Job>,
    /// Ends that job.
    stop: Arc<Notify>,
}

/// What somebody is asked about.
#[derive(Debug, Serialize)]
pub(crate) struct Plan {
    #[serde(rename = "plan")]
    id: String,
    count: usize,
    /// Left alone, since somebody is delivering it.
    #[serde(rename = "inHand")]
    in_hand: usize,
    /// Delivered already, or not there.
    nothing: usize,
}

/// A run, as the page shows it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(crate) struct Job {
    id: String,
    total: usize,
    done: usize,
    state: JobState,
    counts: String,
    problem: Option<String>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum JobState {
    Running,
    Done,
    Stopped,
    Failed,
}

/// No faster than this.
const FASTEST: u32 = 1000;

impl RedriveJobs {
    /// Looks up what would be tried of these events.
    ///
    /// # Errors
    /// The table does not answer.
    pub(crate) async fn plan(&self, place: &Place, keys: &[String], now: UnixMillis) -> Result<Plan, OperatorError> {
        let Candidates { keys, in_hand, delivered, missing, unreadable, .. } =
            Candidates::by_keys(place, keys, now).await?;
        let id = format!("{:016x}", fastrand::u64(..));
        let nothing = delivered + missing.len() + unreadable.len();
        let plan = Plan { id: id.clone(), count: keys.len(), in_hand, nothing };
        self.lock().plan = Some((id, keys));
        Ok(plan)
    }

    /// Begins what was planned; the run goes on when the page that began it is closed.
    pub(crate) fn start(
        self: &Arc<Self>,
        plan: &str,
        rate: u32,
        function: Arc<RedriveFunction>,
    ) -> Result<String, Problem> {
        let (keys, stop) = {
            let mut inner = self.lock();
            if inner.job.as_ref().is_some_and(|job| job.state == JobState::Running) {
                return Err(Problem::conflict("a redrive is under way", "stop it, or wait for its end"));
            }
            let planned = inner.plan.take_if(|(id, _)| id == plan);
            let (id, keys) = planned
                .ok_or_else(|| Problem::conflict("this is not what was counted last", "ask for the count again"))?;
            inner.job = Some(Job {
                id,
                total: keys.len(),
                done: 0,
                state: JobState::Running,
                counts: summary(&Counts::default()),
                problem: None,
            });
            inner.stop = Arc::default();
            (keys, Arc::clone(&inner.stop))
        };
        let redriving = Arc::clone(self);
        tokio::spawn(async move { redriving.run(function, keys, rate.clamp(1, FASTEST), stop).await });
        Ok(plan.to_owned())
    }

    /// Finishes the events in hand and begins no more.
    pub(crate) fn stop(&self) {
        self.lock().stop.notify_one();
    }

    /// The newest run, at an end or not.
    pub(crate) fn job(&self) -> Option<Job> {
        self.lock().job.clone()
    }

    async fn run(&self, function: Arc<RedriveFunction>, keys: Vec<String>, rate: u32, stop: Arc<Notify>) {
        let on_progress = |update: Progress<'_>| {
            if let (Progress::Done(done, counts), Some(job)) = (update, &mut self.lock().job) {
                (job.done, job.counts) = (done, summary(counts));
            }
        };
        let invoke = |keys| redrive(&function, keys);
        let result = run(invoke, &keys, rate, || stop.notified(), on_progress).await;
        if let Some(job) = &mut self.lock().job {
            (job.done, job.counts) = (result.done, summary(&result.counts));
            (job.state, job.problem) = match result.verdict {
                Verdict::Complete => (JobState::Done, None),
                Verdict::Stopped { .. } => (JobState::Stopped, None),
                Verdict::Incomplete { events } => (JobState::Failed, Some(Verdict::incomplete(events))),
                Verdict::Failed { error, .. } => (JobState::Failed, Some(error.problem().to_owned())),
            };
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
