use std::collections::HashSet;
use std::net::Ipv4Addr;

use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::testing::{BOUND, echo_function, within};

#[tokio::test]
async fn an_event_gets_its_response_and_the_runtime_gets_lambdas_headers() {
    let host = host(|_| {});
    let invoked = within(host.invoke(event(&json!({ "n": 1 })))).await.unwrap();
    let response: Value = serde_json::from_slice(&invoked.response).unwrap();
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    assert_eq!(response["echo"], json!({ "n": 1 }));
    assert_eq!(response["request_id"], invoked.request_id);
    assert_eq!(response["arn"], "arn:aws:lambda:us-east-1:000000000000:function:echo");
    assert!(u128::from(response["deadline_ms"].as_u64().unwrap()) > now_ms);
    assert!(invoked.cold);
    assert_eq!(host.pids(), [invoked.pid]);
    assert_eq!(host.cold_starts().len(), 1);
}

#[tokio::test]
async fn a_process_serves_one_event_after_the_other() {
    let host = host(|_| {});
    let mut seen = HashSet::new();
    let mut pids = HashSet::new();
    for n in 0..20 {
        let invoked = within(host.invoke(event(&json!({ "n": n })))).await.unwrap();
        assert_eq!(invoked.cold, n == 0);
        seen.insert(invoked.request_id);
        pids.insert(invoked.pid);
        within(host.idle()).await;
    }
    assert_eq!((seen.len(), pids.len()), (20, 1));
}

#[tokio::test]
async fn overlapping_events_get_processes_of_their_own() {
    let host = Arc::new(host(|_| {}));
    let gate = Gate::open().await;
    let (first, second) = (host.clone(), host.clone());
    let event = event(&json!({ "before": gate.address }));
    let first = tokio::spawn({
        let event = event.clone();
        async move { first.invoke(event).await }
    });
    let second = tokio::spawn(async move { second.invoke(event).await });
    let (one, other) = (gate.arrival().await, gate.arrival().await);
    assert_eq!(host.pids().len(), 2);
    drop((one, other));
    let (first, second) = (within(first).await.unwrap(), within(second).await.unwrap());
    assert_ne!(first.unwrap().pid, second.unwrap().pid);
}

#[tokio::test]
async fn events_beyond_the_limit_of_processes_wait() {
    let host = Arc::new(host(|spec| spec.max_processes = 1));
    let gate = Gate::open().await;
    let invocations: Vec<_> = (0..3)
        .map(|_| {
            let host = host.clone();
            let event = event(&json!({ "before": gate.address }));
            tokio::spawn(async move { host.invoke(event).await })
        })
        .collect();
    for _ in 0..3 {
        let working = gate.arrival().await;
        assert_eq!(host.pids().len(), 1);
        drop(working);
    }
    for invocation in invocations {
        within(invocation).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn many_events_at_once_are_all_answered() {
    let host = Arc::new(host(|spec| spec.max_processes = 4));
    let invocations: Vec<_> = (0..200)
        .map(|n| {
            let host = host.clone();
            tokio::spawn(async move { host.invoke(event(&json!({ "n": n }))).await })
        })
        .collect();
    for (n, invocation) in invocations.into_iter().enumerate() {
        let invoked = within(invocation).await.unwrap().unwrap();
        let response: Value = serde_json::from_slice(&invoked.response).unwrap();
        assert_eq!(response["echo"]["n"], n);
    }
    within(host.idle()).await;
    assert!(host.pids().len() <= 4);
}

#[tokio::test]
async fn a_process_that_waits_is_frozen_and_goes_on_with_the_next_event() {
    let host = host(|_| {});
    let pid = within(host.invoke(event(&json!({})))).await.unwrap().pid;
    within(host.idle()).await;
    stopped(pid).await;
    let again = within(host.invoke(event(&json!({})))).await.unwrap();
    assert_eq!((again.pid, again.cold), (pid, false));
}

#[tokio::test]
async fn without_freezing_a_process_that_waits_is_not_stopped() {
    let host = host(|spec| spec.freeze = false);
    let pid = within(host.invoke(event(&json!({})))).await.unwrap().pid;
    within(host.idle()).await;
    assert_ne!(state_of(pid), Some('T'));
}

#[tokio::test]
async fn a_process_that_works_after_its_response_is_busy() {
    let host = host(|_| {});
    let gate = Gate::open().await;
    let first = within(host.invoke(event(&json!({ "after": gate.address })))).await.unwrap();
    let working = gate.arrival().await;
    assert!(!host.inner.state().is_idle());
    let second = within(host.invoke(event(&json!({})))).await.unwrap();
    assert_ne!(first.pid, second.pid);
    drop(working);
    within(host.idle()).await;
    assert_eq!(host.pids().len(), 2);
}

#[tokio::test]
async fn a_killed_process_ends_its_event_and_the_next_event_starts_another() {
    let host = Arc::new(host(|_| {}));
    let gate = Gate::open().await;
    let killed = tokio::spawn({
        let (host, event) = (host.clone(), event(&json!({ "before": gate.address })));
        async move { host.invoke(event).await }
    });
    let _working = gate.arrival().await;
    let pid = host.pids()[0];
    assert!(host.kill(pid));
    let status = "signal 9".to_owned();
    assert_eq!(within(killed).await.unwrap().unwrap_err(), InvokeError::ProcessDied { status });
    let next = within(host.invoke(event(&json!({})))).await.unwrap();
    assert_ne!(next.pid, pid);
    assert!(!host.kill(pid));
}

#[tokio::test]
async fn a_frozen_process_that_is_killed_gets_no_further_event() {
    let host = host(|_| {});
    let pid = within(host.invoke(event(&json!({})))).await.unwrap().pid;
    within(host.idle()).await;
    assert!(host.kill(pid));
    let next = within(host.invoke(event(&json!({})))).await.unwrap();
    assert_ne!(next.pid, pid);
}

#[tokio::test]
async fn a_process_at_work_can_be_interrupted_and_one_that_waits_cannot() {
    let host = host(|_| {});
    assert!(host.interrupt(0).is_none());
    let gate = Gate::open().await;
    let sent = event(&json!({ "after": gate.address }));
    let answered = within(host.invoke(sent.clone())).await.unwrap();
    let _working = gate.arrival().await;
    let at_work = host.at_work();
    assert_eq!((at_work.len(), at_work[0].pid, &at_work[0].event), (1, answered.pid, &sent));
    assert!(at_work[0].since <= SystemTime::now());

    let interrupted = host.interrupt(7).unwrap();

    assert_eq!((interrupted.pid, &interrupted.event), (answered.pid, &sent));
    assert!(host.at_work().is_empty());
    within(host.idle()).await;
    assert!(host.pids().is_empty());
    within(host.invoke(event(&json!({})))).await.unwrap();
    within(host.idle()).await;
    assert!(host.interrupt(0).is_none());
    assert_eq!(host.pids().len(), 1);
}

#[tokio::test]
async fn a_process_can_be_killed_the_moment_its_response_is_in() {
    let host = host(|_| {});
    let gate = Gate::open().await;
    host.set_kill_after_ack(true);
    let invoked = within(host.invoke(event(&json!({ "after": gate.address })))).await.unwrap();
    within(host.idle()).await;
    assert_eq!(state_of(invoked.pid), None);
    assert_eq!(gate.arrived_already().await, 0);
    host.set_kill_after_ack(false);
    assert!(within(host.invoke(event(&json!({})))).await.unwrap().cold);
}

#[tokio::test]
async fn a_process_that_takes_too_long_to_respond_is_killed() {
    let timeout = Duration::from_millis(300);
    let host = host(|spec| spec.timeout = timeout);
    let gate = Gate::open().await;
    let outcome = within(host.invoke(event(&json!({ "before": gate.address })))).await;
    assert_eq!(outcome.unwrap_err(), InvokeError::TimedOut { timeout });
    within(host.idle()).await;
    assert!(host.pids().is_empty());
}

#[tokio::test]
async fn a_process_that_works_too_long_after_its_response_is_killed() {
    // Long enough to respond in, on any machine.
    let host = host(|spec| spec.timeout = Duration::from_secs(1));
    let gate = Gate::open().await;
    within(host.invoke(event(&json!({ "after": gate.address })))).await.unwrap();
    within(host.idle()).await;
    assert!(host.pids().is_empty());
}

#[tokio::test]
async fn a_function_that_fails_keeps_its_process() {
    let host = host(|_| {});
    let failed = within(host.invoke(event(&json!({ "do": "fail" })))).await.unwrap_err();
    let InvokeError::FunctionError { message, .. } = failed else {
        panic!("{failed}");
    };
    assert_eq!(message, "asked to fail");
    within(host.idle()).await;
    assert!(!within(host.invoke(event(&json!({})))).await.unwrap().cold);
}

#[tokio::test]
async fn a_process_that_exits_ends_its_event() {
    let host = host(|_| {});
    let outcome = within(host.invoke(event(&json!({ "do": "exit" })))).await;
    let status = "exit code 3".to_owned();
    assert_eq!(outcome.unwrap_err(), InvokeError::ProcessDied { status });
}

#[tokio::test]
async fn a_process_that_does_not_come_up_fails_one_event() {
    let host = host(|spec| spec.env.push(("INIT".to_owned(), "exit".to_owned())));
    let outcome = within(host.invoke(event(&json!({})))).await;
    let reason = "it ended (exit code 7) before it asked for an event".to_owned();
    assert_eq!(outcome.unwrap_err(), InvokeError::InitFailed { reason });
    assert!(host.log().contains("up"));
}

#[tokio::test]
async fn a_file_that_is_no_program_fails_the_event() {
    let folder = tempfile::tempdir().unwrap();
    let binary = folder.path().join("text");
    std::fs::write(&binary, "not a program").unwrap();
    let host = LambdaHost::start(FunctionSpec::new("text", binary)).unwrap();
    let failed = within(host.invoke(event(&json!({})))).await.unwrap_err();
    assert!(matches!(failed, InvokeError::InitFailed { .. }), "{failed}");
    within(host.idle()).await;
}

#[tokio::test]
async fn a_missing_binary_is_told_before_any_event() {
    let failed = LambdaHost::start(FunctionSpec::new("none", "/nowhere/none".into())).unwrap_err();
    assert!(matches!(failed, HostError::BinaryMissing { .. }), "{failed}");
}

#[tokio::test]
async fn the_environment_is_lambdas_and_the_specs_and_nothing_of_ours() {
    let host = host(|spec| spec.env.push(("TABLE_NAME".to_owned(), "events".to_owned())));
    for (name, expected) in [
        ("TABLE_NAME", json!("events")),
        ("AWS_LAMBDA_FUNCTION_NAME", json!("echo")),
        ("AWS_REGION", json!("us-east-1")),
        ("HOME", json!(null)),
        ("CARGO_MANIFEST_DIR", json!(null)),
    ] {
        let invoked = within(host.invoke(event(&json!({ "env": name })))).await.unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&invoked.response).unwrap(), expected, "{name}");
    }
}

#[tokio::test]
async fn what_the_function_prints_is_in_the_log() {
    let passed = Arc::new(Mutex::new(Vec::new()));
    let seen = passed.clone();
    let host = host(|spec| spec.log = LogSink::passing_on(move |line| seen.lock().unwrap().push(line.to_owned())));
    let invoked = within(host.invoke(event(&json!({})))).await.unwrap();
    host.log().wait_for(&invoked.request_id, BOUND).await.unwrap();
    let lines = ["up".to_owned(), format!("event {}", invoked.request_id)];
    assert_eq!(host.log().lines(), lines);
    assert_eq!(*passed.lock().unwrap(), lines);
}

#[tokio::test]
async fn memory_and_cpu_of_a_process_are_known_while_it_lives() {
    let host = host(|_| {});
    let pid = within(host.invoke(event(&json!({})))).await.unwrap().pid;
    let stats = host.process_stats(pid).unwrap();
    assert!(stats.peak_rss_bytes > 500_000, "{stats:?}");
    assert!(stats.cpu > Duration::ZERO, "{stats:?}");
    assert_eq!(host.process_stats(std::process::id()), None);
}

#[tokio::test]
async fn nothing_is_left_running_when_the_host_is_dropped() {
    let host = host(|_| {});
    let gate = Gate::open().await;
    let frozen = within(host.invoke(event(&json!({})))).await.unwrap().pid;
    within(host.idle()).await;
    let busy = within(host.invoke(event(&json!({ "after": gate.address })))).await.unwrap().pid;
    let _working = gate.arrival().await;
    let other = within(host.invoke(event(&json!({})))).await.unwrap().pid;
    assert_eq!((frozen, other == busy), (busy, false));
    drop(host);
    assert_eq!([busy, other].map(state_of), [None, None]);
}

#[tokio::test]
async fn shutting_down_ends_the_events_under_way_and_those_that_wait() {
    let host = Arc::new(host(|spec| spec.max_processes = 1));
    let gate = Gate::open().await;
    let invocations: Vec<_> = (0..2)
        .map(|_| {
            let (host, event) = (host.clone(), event(&json!({ "before": gate.address })));
            tokio::spawn(async move { host.invoke(event).await })
        })
        .collect();
    let _working = gate.arrival().await;
    within(host.shutdown()).await;
    for invocation in invocations {
        assert_eq!(within(invocation).await.unwrap().unwrap_err(), InvokeError::Stopped);
    }
    assert_eq!(host.invoke(event(&json!({}))).await.unwrap_err(), InvokeError::Stopped);
    assert!(host.pids().is_empty());
}

#[tokio::test]
async fn a_function_that_is_switched_off_refuses_events_until_it_is_switched_on() {
    let host = host(|_| {});
    let before = within(host.invoke(event(&json!({})))).await.unwrap().pid;
    within(host.idle()).await;
    assert!(host.is_on());
    host.switch_off();
    assert!(!host.is_on());
    assert_eq!(host.pids(), [0; 0]);
    assert_eq!(within(host.invoke(event(&json!({})))).await.unwrap_err(), InvokeError::SwitchedOff);
    within(host.idle()).await;
    assert_eq!(state_of(before), None);
    host.switch_on();
    assert!(host.is_on());
    assert!(within(host.invoke(event(&json!({})))).await.unwrap().cold);
}

#[tokio::test]
async fn switching_off_ends_the_events_under_way_and_those_that_wait() {
    let host = Arc::new(host(|spec| spec.max_processes = 1));
    let gate = Gate::open().await;
    let invoke = || {
        let (host, event) = (host.clone(), event(&json!({ "before": gate.address })));
        tokio::spawn(async move { host.invoke(event).await })
    };
    let under_way = invoke();
    let _working = gate.arrival().await;
    let waiting = invoke();
    while host.inner.state().queue.is_empty() {
        tokio::task::yield_now().await;
    }
    host.switch_off();
    assert_eq!(within(waiting).await.unwrap().unwrap_err(), InvokeError::SwitchedOff);
    let status = "signal 9".to_owned();
    assert_eq!(within(under_way).await.unwrap().unwrap_err(), InvokeError::ProcessDied { status });
    within(host.shutdown()).await;
    assert_eq!(host.invoke(event(&json!({}))).await.unwrap_err(), InvokeError::Stopped);
}

#[tokio::test]
async fn what_was_coming_up_when_it_was_switched_off_fails_no_later_event() {
    let host = Arc::new(host(|_| {}));
    for _ in 0..20 {
        let first = tokio::spawn({
            let host = host.clone();
            async move { host.invoke(event(&json!({}))).await }
        });
        while host.pids().is_empty() {
            tokio::task::yield_now().await;
        }
        host.switch_off();
        host.switch_on();
        assert_eq!(within(first).await.unwrap().unwrap_err(), InvokeError::SwitchedOff);
        within(host.invoke(event(&json!({})))).await.unwrap();
        within(host.idle()).await;
        host.switch_off();
        host.switch_on();
    }
}

/// Where the function connects to, and waits until the connection that arrived here is dropped.
struct Gate {
    listener: TcpListener,
    address: String,
}

impl Gate {
    async fn open() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        Self { listener, address }
    }

    async fn arrival(&self) -> TcpStream {
        within(self.listener.accept()).await.unwrap().0
    }

    async fn arrived_already(&self) -> usize {
        let mut arrivals = 0;
        while tokio::time::timeout(Duration::ZERO, self.listener.accept()).await.is_ok() {
            arrivals += 1;
        }
        arrivals
    }
}

fn host(change: impl FnOnce(&mut FunctionSpec)) -> LambdaHost {
    let mut spec = FunctionSpec::new("echo", echo_function());
    change(&mut spec);
    LambdaHost::start(spec).unwrap()
}

fn event(event: &Value) -> Bytes {
    Bytes::from(event.to_string())
}

/// Returns when the kernel has stopped the process; the kernel notifies its parent, as it does when the process ends.
async fn stopped(pid: u32) {
    let waiting = tokio::task::spawn_blocking(move || {
        let flags = WaitPidFlag::WSTOPPED | WaitPidFlag::WNOWAIT;
        waitid(Id::Pid(Pid::from_raw(pid.cast_signed())), flags).unwrap()
    });
    let status = within(waiting).await.unwrap();
    assert!(matches!(status, WaitStatus::Stopped(..)), "{status:?}");
    assert_eq!(state_of(pid), Some('T'));
}

/// The state in `/proc/pid/stat`; `None` when there is no such process, not even one to reap.
fn state_of(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}
