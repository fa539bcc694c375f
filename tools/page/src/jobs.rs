//! Redrive and dismissal from the page: the events are counted and shown first, then worked through at a rate, and the run can
//! be stopped.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use operator::events::candidates::{Action, Candidates};
use operator::events::dismiss::{CLAIMS_STAY, DISMISSALS_A_SECOND, dismiss_at};
use operator::events::redrive::redrive;
use operator::events::run::{Progress, Tally, Verdict, run};
use operator::redrive_function::RedriveFunction;
use operator::words::counted;
use operator::{OperatorError, Place};
use serde::Serialize;
use shared::clock::UnixMillis;
use tokio::sync::Notify;

use crate::problem::Problem;

/// The plan and the run; at most one of each.
#[derive(Debug, Default)]
pub(crate) struct Jobs(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Only the newest plan can be started: it is the one that was shown last.
    plan: Option<(Action, String, Vec<String>)>,
    job: Option<Job>,
    /// Ends the job.
    stop: Arc<Notify>,
}

/// What a person is asked to confirm.
#[derive(Debug, Serialize)]
pub(crate) struct Plan {
    #[serde(rename = "plan")]
    id: String,
    action: &'static str,
    count: usize,
    /// Sentences: what is left alone and why, and what the action leaves as it is.
    remarks: Vec<String>,
}

/// What is done with the events of a plan.
pub(crate) enum Work {
    /// So many a second.
    Redrive {
        function: Arc<RedriveFunction>,
        rate: u32,
    },
    Dismiss {
        place: Box<Place>,
        reason: Option<String>,
    },
}

/// A run, as the page shows it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(crate) struct Job {
    id: String,
    action: &'static str,
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

impl Jobs {
    /// Finds which of these events the action applies to.
    ///
    /// # Errors
    /// The table does not answer.
    pub(crate) async fn plan(
        &self,
        action: Action,
        place: &Place,
        keys: &[String],
        now: UnixMillis,
    ) -> Result<Plan, OperatorError> {
        let chosen = Candidates::by_keys(&place.events()?, keys, action, now).await;
        let chosen = chosen.map_err(|error| place.store_error(&error))?;
        let mut remarks: Vec<_> = chosen.skipped().collect();
        for (count, why) in [(chosen.missing.len(), "deleted"), (chosen.unreadable.len(), "unreadable")] {
            if count > 0 {
                remarks.push(format!("Skipped {}: {why}.", counted(count, "event")));
            }
        }
        if action == Action::Dismiss && !chosen.keys.is_empty() {
            remarks.push(CLAIMS_STAY.to_owned());
        }
        let id = format!("{:016x}", fastrand::u64(..));
        let plan = Plan { id: id.clone(), action: action.name(), count: chosen.keys.len(), remarks };
        self.lock().plan = Some((action, id, chosen.keys));
        Ok(plan)
    }

    /// Starts the plan. The run continues when its viewer leaves.
    pub(crate) fn start(self: &Arc<Self>, plan: &str, work: Work) -> Result<String, Problem> {
        let action = match work {
            Work::Redrive { .. } => Action::Redrive,
            Work::Dismiss { .. } => Action::Dismiss,
        };
        let (keys, stop) = {
            let mut inner = self.lock();
            if let Some(job) = inner.job.as_ref().filter(|job| job.state == JobState::Running) {
                let problem =
                    format!("Another {} is running", if job.action == "redrive" { "redrive" } else { "dismissal" });
                return Err(Problem::conflict(problem, "stop it, or wait until it is complete"));
            }
            let planned = inner.plan.take_if(|(planned, id, _)| *planned == action && id == plan);
            let (_, id, keys) =
                planned.ok_or_else(|| Problem::conflict("This plan is outdated", "count the events again"))?;
            inner.job = Some(Job {
                id,
                action: action.name(),
                total: keys.len(),
                done: 0,
                state: JobState::Running,
                counts: String::new(),
                problem: None,
            });
            inner.stop = Arc::default();
            (keys, Arc::clone(&inner.stop))
        };
        let jobs = Arc::clone(self);
        tokio::spawn(async move {
            match work {
                Work::Redrive { function, rate } => {
                    jobs.run(|keys| redrive(&function, keys), &keys, rate.clamp(1, FASTEST), &stop).await;
                }
                Work::Dismiss { place, reason } => {
                    let (place, reason) = (&*place, reason.as_deref());
                    let dismiss = |keys: Vec<String>| async move { dismiss_at(place, &keys, reason).await };
                    jobs.run(dismiss, &keys, DISMISSALS_A_SECOND, &stop).await;
                }
            }
        });
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

    async fn run<T: Tally, I: Future<Output = Result<T, OperatorError>>>(
        &self,
        invoke: impl FnMut(Vec<String>) -> I,
        keys: &[String],
        rate: u32,
        stop: &Notify,
    ) {
        let on_progress = |update: Progress<'_, T>| {
            if let (Progress::Done(done, counts), Some(job)) = (update, &mut self.lock().job) {
                (job.done, job.counts) = (done, counts.summary());
            }
        };
        let result = run(invoke, keys, rate, || stop.notified(), on_progress).await;
        if let Some(job) = &mut self.lock().job {
            (job.done, job.counts) = (result.done, result.counts.summary());
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
