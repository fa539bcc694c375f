//! Redrive from the page: the events are counted and shown first, then redriven at a rate, and the run can be stopped.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use operator::events::redrive::{Candidates, Progress, Verdict, redrive, run, summary};
use operator::redrive_function::RedriveFunction;
use operator::{OperatorError, Place};
use serde::Serialize;
use shared::clock::UnixMillis;
use shared::redrive::contract::Counts;
use tokio::sync::Notify;

use crate::problem::Problem;

/// The plan and the run; at most one of each.
#[derive(Debug, Default)]
pub(crate) struct Redrives(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Only the newest plan can be started: it is the one that was shown last.
    plan: Option<(String, Vec<String>)>,
    job: Option<Job>,
    /// Ends the job.
    stop: Arc<Notify>,
}

/// What a person is asked to confirm.
#[derive(Debug, Serialize)]
pub(crate) struct Plan {
    #[serde(rename = "plan")]
    id: String,
    count: usize,
    /// Skipped, because it is being delivered.
    #[serde(rename = "inHand")]
    in_hand: usize,
    /// Already delivered, or missing.
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

/// The highest rate, whatever is requested.
const FASTEST: u32 = 1000;

impl Redrives {
    /// Finds which of these events can be redriven.
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

    /// Starts the plan. The run continues when its viewer leaves.
    pub(crate) fn start(
        self: &Arc<Self>,
        plan: &str,
        rate: u32,
        function: Arc<RedriveFunction>,
    ) -> Result<String, Problem> {
        let (keys, stop) = {
            let mut inner = self.lock();
            if inner.job.as_ref().is_some_and(|job| job.state == JobState::Running) {
                return Err(Problem::conflict("Another redrive is running", "stop it, or wait until it is complete"));
            }
            let planned = inner.plan.take_if(|(id, _)| id == plan);
            let (id, keys) =
                planned.ok_or_else(|| Problem::conflict("This plan is outdated", "count the events again"))?;
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
        let redrives = Arc::clone(self);
        tokio::spawn(async move { redrives.run(function, keys, rate.clamp(1, FASTEST), stop).await });
        Ok(plan.to_owned())
    }

    /// Finishes the current events and starts no more.
    pub(crate) fn stop(&self) {
        self.lock().stop.notify_one();
    }

    /// The newest run, finished or not.
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
