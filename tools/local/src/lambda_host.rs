//! Lambda on this machine: Lambda's Runtime API for real function binaries, one process per concurrent event.
//!
//! As on Lambda, a process has one event at a time and is busy until it asks for the next, also after its response; it
//! is frozen while it waits, and killed when it exceeds its time. Each process has a Runtime API of its own port, so that
//! it is known by the address it calls, under a path that no other program can guess: the next event goes to the process that
//! asks for it.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};
use tokio::task::AbortHandle;

use crate::front::{Answer, Front, Guests, JSON};
use crate::records::Records;

pub use self::log_sink::LogSink;
use self::process::{Exit, Process};
pub use self::process::{FunctionSpec, LOCAL_ACCOUNT, ProcessStats};

mod log_sink;
mod process;

/// One function and its processes.
///
/// Dropping it kills the processes and waits until they are gone (milliseconds).
#[derive(Debug)]
pub struct LambdaHost {
    inner: Arc<Inner>,
}

/// Why a function cannot be hosted.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    #[error("the function's binary {binary} cannot be read")]
    BinaryMissing {
        binary: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{binary} is not a file")]
    BinaryIsNotAFile { binary: PathBuf },
    #[error("at least one process must be allowed")]
    NoProcesses,
}

/// The response to an event, and how it came about.
#[derive(Clone, Debug)]
pub struct InvokeResult {
    pub response: Bytes,
    pub request_id: String,
    /// From `invoke` to the response, including a cold start and the wait for a free process.
    pub ack: Duration,
    /// Whether it was the first event of its process.
    pub cold: bool,
    pub pid: u32,
}

/// A process that has an event, answered or not, and has not asked for the next.
#[derive(Clone, Debug)]
pub struct BusyProcess {
    pub pid: u32,
    pub event: Bytes,
    pub since: SystemTime,
}

/// Why an event has no response.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvokeError {
    #[error("the function failed: {error_type}: {message}")]
    FunctionError { error_type: String, message: String },
    #[error("the process died ({status}) before it responded")]
    ProcessDied { status: String },
    #[error("no response within {timeout:?}")]
    TimedOut { timeout: Duration },
    #[error("the process did not start: {reason}")]
    InitFailed { reason: String },
    /// As Lambda throttles a function whose reserved concurrency is 0.
    #[error("the function is switched off")]
    SwitchedOff,
    #[error("the host was shut down")]
    Stopped,
}

impl LambdaHost {
    /// Hosts a function. No process is started before the first event. Call it inside a Tokio runtime.
    ///
    /// # Errors
    /// There is no such binary, or no process is allowed.
    pub fn start(spec: FunctionSpec) -> Result<Self, HostError> {
        let binary = spec.binary.clone();
        match spec.binary.metadata() {
            Err(source) => return Err(HostError::BinaryMissing { binary, source }),
            Ok(found) if !found.is_file() => return Err(HostError::BinaryIsNotAFile { binary }),
            Ok(_) => {}
        }
        if spec.max_processes == 0 {
            return Err(HostError::NoProcesses);
        }
        let inner = Inner {
            spec,
            runtime: Handle::current(),
            state: Mutex::default(),
            changed: Notify::new(),
            cold_starts: Records::default(),
            kill_after_ack: AtomicBool::new(false),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    pub fn name(&self) -> &str {
        &self.inner.spec.name
    }

    pub fn log(&self) -> &LogSink {
        &self.inner.spec.log
    }

    /// Gives the function one event and returns as soon as its response is posted; the process may continue to work.
    ///
    /// Dropping the future does not take the event back.
    ///
    /// # Errors
    /// There is no response, and why.
    pub async fn invoke(&self, event: Bytes) -> Result<InvokeResult, InvokeError> {
        let (answer, answered) = oneshot::channel();
        {
            let mut state = self.inner.state();
            if state.stopped {
                return Err(InvokeError::Stopped);
            }
            if state.switched_off {
                return Err(InvokeError::SwitchedOff);
            }
            state.queue.push_back(Invocation {
                request_id: crate::random_uuid(),
                event,
                asked: Instant::now(),
                answer,
            });
            self.inner.dispatch(&mut state);
        }
        answered.await.unwrap_or(Err(InvokeError::Stopped))
    }

    /// Returns when every process waits for an event and no event waits for a process.
    pub async fn idle(&self) {
        self.inner.wait_until(State::is_idle).await;
    }

    /// The processes alive, oldest first.
    pub fn pids(&self) -> Vec<u32> {
        let state = self.inner.state();
        let mut alive: Vec<_> = state.processes.iter().filter(|(_, p)| !p.killed).collect();
        alive.sort_by_key(|(id, _)| **id);
        alive.into_iter().map(|(_, p)| p.process.pid()).collect()
    }

    /// Kills a process (SIGKILL, also when frozen); an event it has not answered ends as [`InvokeError::ProcessDied`].
    /// False if this host has no such process.
    pub fn kill(&self, pid: u32) -> bool {
        let mut state = self.inner.state();
        let found = state.processes.values_mut().find(|p| p.process.pid() == pid);
        found.is_some_and(|worker| {
            worker.kill();
            true
        })
    }

    /// The processes at work, oldest first.
    pub fn at_work(&self) -> Vec<BusyProcess> {
        self.inner.state().at_work().into_iter().map(|(_, at_work)| at_work).collect()
    }

    /// Kills one of the processes at work, which `draw` picks, and says what it was interrupted in.
    pub fn interrupt(&self, draw: usize) -> Option<BusyProcess> {
        let mut state = self.inner.state();
        let mut at_work = state.at_work();
        if at_work.is_empty() {
            return None;
        }
        let (id, interrupted) = at_work.swap_remove(draw % at_work.len());
        state.processes.get_mut(&id)?.kill();
        Some(interrupted)
    }

    /// From now on (or no longer) a process is killed the moment its response is in, before it learns so.
    pub fn set_kill_after_ack(&self, kill: bool) {
        self.inner.kill_after_ack.store(kill, Ordering::SeqCst);
    }

    /// Kills all processes and refuses every event until [`switch_on`](Self::switch_on). Events that wait end as
    /// [`InvokeError::SwitchedOff`], those under way as [`InvokeError::ProcessDied`].
    pub fn switch_off(&self) {
        let mut state = self.inner.state();
        state.switched_off = true;
        state.end_all(&InvokeError::SwitchedOff);
        self.inner.changed.notify_waiters();
    }

    /// Takes events again; the next one starts a process.
    pub fn switch_on(&self) {
        self.inner.state().switched_off = false;
    }

    /// Whether it is enabled, and so accepts events.
    pub fn is_on(&self) -> bool {
        !self.inner.state().switched_off
    }

    /// Peak memory and CPU time of a process that is alive.
    pub fn process_stats(&self, pid: u32) -> Option<ProcessStats> {
        self.pids().contains(&pid).then(|| ProcessStats::read(pid))?
    }

    /// How long each process took from its start to its first request for an event, in the order of these requests.
    pub fn cold_starts(&self) -> Vec<Duration> {
        self.inner.cold_starts.all()
    }

    /// Remembers only the newest cold starts from now on: between `at_least` and twice as many.
    pub fn remember(&self, at_least: usize) {
        self.inner.cold_starts.keep(at_least);
    }

    /// Kills all processes and returns when they are gone; events without a response end as [`InvokeError::Stopped`].
    pub async fn shutdown(&self) {
        self.inner.stop();
        self.inner.wait_until(|state| state.processes.is_empty()).await;
    }
}

impl Drop for LambdaHost {
    fn drop(&mut self) {
        self.inner.stop();
        let reapers = std::mem::take(&mut self.inner.state().reapers);
        for reaper in reapers {
            let _ = reaper.join();
        }
    }
}

#[derive(Debug)]
struct Inner {
    spec: FunctionSpec,
    /// Processes are also started from the thread that saw another one die.
    runtime: Handle,
    state: Mutex<State>,
    changed: Notify,
    cold_starts: Records<Duration>,
    kill_after_ack: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    stopped: bool,
    switched_off: bool,
    queue: VecDeque<Invocation>,
    processes: HashMap<ProcessId, Worker>,
    last_id: ProcessId,
    /// One thread per process ever started and not joined yet.
    reapers: Vec<JoinHandle<()>>,
}

type ProcessId = u64;

/// A process and what it is doing.
#[derive(Debug)]
struct Worker {
    process: Process,
    phase: Phase,
    /// A kill signal was sent: it gets no more events and does not count as a process.
    killed: bool,
    served: u64,
    /// Counts the phases, so that a late time limit does not end the next one.
    phase_number: u64,
    _runtime_api: Front,
}

#[derive(Debug)]
enum Phase {
    /// It has not asked for an event yet.
    Starting { limit: AbortHandle },
    /// It waits for an event; the sender completes its `next`.
    Waiting(oneshot::Sender<NextEvent>),
    /// It has an event, answered (`answer` is `None`) or not.
    Busy {
        request_id: String,
        event: Bytes,
        since: SystemTime,
        asked: Instant,
        answer: Option<oneshot::Sender<Result<InvokeResult, InvokeError>>>,
        limit: AbortHandle,
    },
    /// It reported an init error, with which its event was answered; it is about to exit.
    Failed,
}

/// An event that waits for a process.
#[derive(Debug)]
struct Invocation {
    request_id: String,
    event: Bytes,
    asked: Instant,
    answer: oneshot::Sender<Result<InvokeResult, InvokeError>>,
}

/// What answers `next`.
#[derive(Debug)]
struct NextEvent {
    request_id: String,
    event: Bytes,
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn wait_until(&self, reached: impl Fn(&State) -> bool) {
        loop {
            let mut changed = pin!(self.changed.notified());
            // Registered before looking, so that a change in between is not missed.
            changed.as_mut().enable();
            if reached(&self.state()) {
                return;
            }
            changed.await;
        }
    }

    /// Gives waiting events to waiting processes, and starts processes for the rest.
    fn dispatch(self: &Arc<Self>, state: &mut State) {
        while !state.queue.is_empty()
            && let Some(id) = state.waiting_process()
        {
            self.give(state, id);
        }
        while state.queue.len() > state.starting() && state.alive() < self.spec.max_processes {
            if let Err(error) = self.start_process(state) {
                let reason = format!("{}: {error}", self.spec.binary.display());
                state.fail_one(InvokeError::InitFailed { reason });
                self.changed.notify_waiters();
            }
        }
    }

    /// Gives the oldest waiting event to a process that waits for one.
    fn give(self: &Arc<Self>, state: &mut State, id: ProcessId) {
        let Some(invocation) = state.queue.pop_front() else {
            return;
        };
        let Some(worker) = state.processes.get_mut(&id) else {
            return state.queue.push_front(invocation);
        };
        worker.phase_number += 1;
        let phase = Phase::Busy {
            request_id: invocation.request_id.clone(),
            event: invocation.event.clone(),
            since: SystemTime::now(),
            asked: invocation.asked,
            answer: Some(invocation.answer),
            limit: self.limit(id, worker.phase_number, self.spec.timeout),
        };
        let Phase::Waiting(next) = std::mem::replace(&mut worker.phase, phase) else {
            return;
        };
        if self.spec.freeze {
            worker.process.thaw();
        }
        let given = NextEvent { request_id: invocation.request_id, event: invocation.event };
        if next.send(given).is_err() {
            // It closed the connection while it waited, which no runtime does: its state is unknown.
            worker.kill();
        }
    }

    fn start_process(self: &Arc<Self>, state: &mut State) -> io::Result<()> {
        state.last_id += 1;
        let id = state.last_id;
        let _in_runtime = self.runtime.enter();
        let host = Arc::downgrade(self);
        let base = format!("/{}", crate::unguessable()?);
        let at = base.clone();
        let runtime_api = Front::start(
            0,
            MAX_RESPONSE_BYTES,
            |_| Guests::Programs,
            move |request| {
                let (host, at) = (host.clone(), at.clone());
                async move { answer_runtime_api(&host, id, &at, request).await }
            },
        )?;
        let host = self.clone();
        let reaped = move |exited: Exit| host.exited(id, exited);
        let (process, reaper) = Process::spawn(&self.spec, &format!("{}{base}", runtime_api.url()), reaped)?;
        // Those that have ended are only handles by now.
        state.reapers.retain(|reaper| !reaper.is_finished());
        state.reapers.push(reaper);
        let worker = Worker {
            process,
            phase: Phase::Starting { limit: self.limit(id, 0, INIT_LIMIT) },
            killed: false,
            served: 0,
            phase_number: 0,
            _runtime_api: runtime_api,
        };
        state.processes.insert(id, worker);
        Ok(())
    }

    /// Kills the process after this long, unless the phase it is entering has ended by then.
    fn limit(self: &Arc<Self>, id: ProcessId, phase: u64, after: Duration) -> AbortHandle {
        let host = Arc::downgrade(self);
        let limit = async move {
            tokio::time::sleep(after).await;
            if let Some(host) = host.upgrade() {
                host.took_too_long(id, phase, after);
            }
        };
        self.runtime.spawn(limit).abort_handle()
    }

    fn took_too_long(&self, id: ProcessId, phase: u64, timeout: Duration) {
        let mut state = self.state();
        let Some(worker) = state.processes.get_mut(&id) else {
            return;
        };
        if worker.phase_number != phase {
            return;
        }
        worker.kill();
        if let Phase::Busy { answer, .. } = &mut worker.phase
            && let Some(answer) = answer.take()
        {
            let _ = answer.send(Err(InvokeError::TimedOut { timeout }));
        }
    }

    /// A process asks for an event. It gets one, or is frozen until there is one.
    fn next(self: &Arc<Self>, id: ProcessId) -> Option<oneshot::Receiver<NextEvent>> {
        let (next, given) = oneshot::channel();
        let mut state = self.state();
        let state = &mut *state;
        let worker = state.processes.get_mut(&id)?;
        if let Phase::Starting { .. } = worker.phase {
            self.cold_starts.push(worker.process.age());
        }
        let unanswered = worker.enter(Phase::Waiting(next));
        if let Some(answer) = unanswered {
            let _ = answer.send(Err(InvokeError::FunctionError {
                error_type: "Runtime.NoResponse".to_owned(),
                message: "the function asked for the next event without a response".to_owned(),
            }));
        }
        if !worker.killed {
            match state.queue.is_empty() {
                false => self.give(state, id),
                true if self.spec.freeze => worker.process.freeze(),
                true => {}
            }
        }
        self.changed.notify_waiters();
        Some(given)
    }

    /// A process posts the response or the error of its event. False when it has no such event.
    fn answered(&self, id: ProcessId, request_id: &str, outcome: Result<Bytes, InvokeError>) -> bool {
        let mut state = self.state();
        let Some(worker) = state.processes.get_mut(&id) else {
            return false;
        };
        let Phase::Busy { request_id: current, asked, answer, .. } = &mut worker.phase else {
            return false;
        };
        let (true, Some(answer)) = (current == request_id, answer.take()) else {
            return false;
        };
        let ack = asked.elapsed();
        if self.kill_after_ack.load(Ordering::SeqCst) {
            worker.kill();
        }
        worker.served += 1;
        let _ = answer.send(outcome.map(|response| InvokeResult {
            response,
            request_id: request_id.to_owned(),
            ack,
            cold: worker.served == 1,
            pid: worker.process.pid(),
        }));
        true
    }

    fn init_failed(&self, id: ProcessId, reason: String) {
        let mut state = self.state();
        if let Some(worker) = state.processes.get_mut(&id)
            && matches!(worker.phase, Phase::Starting { .. })
        {
            // Its time limit still runs: a process that does not exit is killed.
            worker.phase = Phase::Failed;
            state.fail_one(InvokeError::InitFailed { reason });
        }
    }

    /// A process is gone; called by the thread that waited for it.
    fn exited(self: &Arc<Self>, id: ProcessId, exited: Exit) {
        let mut state = self.state();
        let exited = exited.reap();
        let Some(mut worker) = state.processes.remove(&id) else {
            return;
        };
        let stopped = state.stopped;
        let starting = matches!(worker.phase, Phase::Starting { .. });
        if let Some(answer) = worker.enter(Phase::Failed) {
            let _ = answer.send(Err(match stopped {
                true => InvokeError::Stopped,
                false => InvokeError::ProcessDied { status: exited },
            }));
        } else if starting && !stopped {
            let reason = format!("it ended ({exited}) before it asked for an event");
            state.fail_one(InvokeError::InitFailed { reason });
        }
        if !stopped {
            self.dispatch(&mut state);
        }
        drop(state);
        self.changed.notify_waiters();
    }

    fn stop(&self) {
        let mut state = self.state();
        state.stopped = true;
        state.end_all(&InvokeError::Stopped);
        self.changed.notify_waiters();
    }
}

impl State {
    fn is_idle(&self) -> bool {
        let waits = |worker: &Worker| matches!(worker.phase, Phase::Waiting(_)) && !worker.killed;
        self.queue.is_empty() && self.processes.values().all(waits)
    }

    /// Lambda may also choose the one that served last; the oldest is predictable.
    fn waiting_process(&self) -> Option<ProcessId> {
        let mut waiting =
            self.processes.iter().filter(|(_, worker)| matches!(worker.phase, Phase::Waiting(_)) && !worker.killed);
        let first = waiting.next()?.0;
        Some(*waiting.map(|(id, _)| id).fold(first, Ord::min))
    }

    fn at_work(&self) -> Vec<(ProcessId, BusyProcess)> {
        let mut at_work: Vec<_> =
            self.processes.iter().filter_map(|(id, worker)| Some((*id, worker.at_work()?))).collect();
        at_work.sort_by_key(|(id, _)| *id);
        at_work
    }

    fn starting(&self) -> usize {
        let starting = |worker: &&Worker| matches!(worker.phase, Phase::Starting { .. });
        self.processes.values().filter(starting).count()
    }

    fn alive(&self) -> usize {
        self.processes.values().filter(|p| !p.killed).count()
    }

    /// Kills the processes, and answers the waiting events with `error`.
    fn end_all(&mut self, error: &InvokeError) {
        for invocation in self.queue.drain(..) {
            let _ = invocation.answer.send(Err(error.clone()));
        }
        for worker in self.processes.values_mut() {
            worker.kill();
            if matches!(worker.phase, Phase::Starting { .. }) {
                // Its end must not fail an event, and in particular no later one.
                worker.enter(Phase::Failed);
            }
        }
    }

    /// Fails the event that has waited longest: the process for it did not start.
    fn fail_one(&mut self, error: InvokeError) {
        if let Some(invocation) = self.queue.pop_front() {
            let _ = invocation.answer.send(Err(error));
        }
    }
}

impl Worker {
    /// Enters another phase; returns the sender that still waits for an answer of the last one.
    fn enter(&mut self, phase: Phase) -> Option<oneshot::Sender<Result<InvokeResult, InvokeError>>> {
        self.phase_number += 1;
        match std::mem::replace(&mut self.phase, phase) {
            Phase::Starting { limit } => {
                limit.abort();
                None
            }
            Phase::Busy { limit, answer, .. } => {
                limit.abort();
                answer
            }
            Phase::Waiting(_) | Phase::Failed => None,
        }
    }

    fn at_work(&self) -> Option<BusyProcess> {
        match &self.phase {
            Phase::Busy { event, since, .. } if !self.killed => {
                Some(BusyProcess { pid: self.process.pid(), event: event.clone(), since: *since })
            }
            _ => None,
        }
    }

    fn kill(&mut self) {
        self.killed = true;
        self.process.kill();
    }
}

/// Lambda's Runtime API, version 2018-06-01, for one process, under the path `at`.
async fn answer_runtime_api(host: &Weak<Inner>, id: ProcessId, at: &str, request: Request<Bytes>) -> Answer {
    let path = request.uri().path().strip_prefix(at);
    let Some(path) = path.and_then(|path| path.strip_prefix("/2018-06-01/runtime/")) else {
        return runtime_api_error(StatusCode::NOT_FOUND, "InvalidPath");
    };
    if request.method() == Method::GET && path == "invocation/next" {
        let given = host.upgrade().and_then(|host| host.next(id));
        // The host must not be kept alive by a process that waits.
        let given = match given {
            Some(given) => given.await.ok(),
            None => None,
        };
        return match (given, host.upgrade()) {
            (Some(given), Some(host)) => Answer::Http(next_response(&host.spec, given)),
            // Killed or shut down while it waited.
            _ => Answer::Reset,
        };
    }
    let Some(host) = host.upgrade() else {
        return Answer::Reset;
    };
    if request.method() == Method::POST && path == "init/error" {
        host.init_failed(id, error_text(request.body()));
        return accepted();
    }
    let invocation = path.strip_prefix("invocation/");
    let known = match invocation.and_then(|rest| rest.split_once('/')) {
        Some((request_id, "response")) if request.method() == Method::POST => {
            host.answered(id, request_id, Ok(request.body().clone()))
        }
        Some((request_id, "error")) if request.method() == Method::POST => {
            host.answered(id, request_id, Err(function_error(request.body())))
        }
        _ => return runtime_api_error(StatusCode::NOT_FOUND, "InvalidPath"),
    };
    match known {
        true => accepted(),
        false => runtime_api_error(StatusCode::BAD_REQUEST, "InvalidRequestID"),
    }
}

fn next_response(spec: &FunctionSpec, given: NextEvent) -> Response<Bytes> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.unwrap_or_default();
    let deadline_ms = (now + spec.timeout).as_millis();
    let trace = format!("Root=1-{:08x}-{:024x};Sampled=0", now.as_secs(), fastrand::u128(..) >> 32);
    let name = &spec.name;
    let mut response = Response::new(given.event);
    for (header, value) in [
        ("content-type", "application/json".to_owned()),
        ("lambda-runtime-aws-request-id", given.request_id),
        ("lambda-runtime-deadline-ms", deadline_ms.to_string()),
        ("lambda-runtime-invoked-function-arn", format!("arn:aws:lambda:us-east-1:000000000000:function:{name}")),
        ("lambda-runtime-trace-id", trace),
    ] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(header, value);
        }
    }
    response
}

fn accepted() -> Answer {
    Answer::json(StatusCode::ACCEPTED, JSON, &json!({ "status": "OK" }))
}

fn runtime_api_error(status: StatusCode, kind: &str) -> Answer {
    let body = json!({ "errorType": kind, "errorMessage": kind });
    Answer::json(status, JSON, &body)
}

fn function_error(body: &[u8]) -> InvokeError {
    let error: Value = serde_json::from_slice(body).unwrap_or_default();
    let field = |name: &str| error[name].as_str().unwrap_or("unknown").to_owned();
    InvokeError::FunctionError { error_type: field("errorType"), message: field("errorMessage") }
}

fn error_text(body: &[u8]) -> String {
    let error: Value = serde_json::from_slice(body).unwrap_or_default();
    match error["errorMessage"].as_str() {
        Some(message) => message.to_owned(),
        None => String::from_utf8_lossy(body).into_owned(),
    }
}

/// Lambda's limit of a buffered response is 6 MB.
const MAX_RESPONSE_BYTES: usize = 6 * 1024 * 1024 + 100;
/// Lambda gives the init phase 10 s.
const INIT_LIMIT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
