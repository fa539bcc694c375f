//! One process of a function: started with Lambda's environment, signalled, reaped, measured.

use std::io::{self, BufRead, BufReader, PipeReader};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

use super::log_sink::LogSink;

/// A function as it is deployed.
#[derive(Clone, Debug)]
pub struct FunctionSpec {
    pub name: String,
    pub binary: PathBuf,
    /// On top of what Lambda sets itself.
    pub env: Vec<(String, String)>,
    /// From the moment an event is given until the process asks for the next.
    pub timeout: Duration,
    /// Beyond it, events wait.
    pub max_processes: usize,
    /// Stop a process while it waits for an event, as Lambda does.
    pub freeze: bool,
    pub log: LogSink,
}

impl FunctionSpec {
    /// The function `name` as `binary`, with Lambda's behaviour, 30 s and up to ten processes.
    pub fn new(name: &str, binary: PathBuf) -> Self {
        Self {
            name: name.to_owned(),
            binary,
            env: Vec::new(),
            timeout: Duration::from_secs(30),
            max_processes: 10,
            freeze: true,
            log: LogSink::default(),
        }
    }
}

/// A process that has not been reaped. A signal to it cannot reach another process, because a pid is not reused before it is
/// reaped, and [`Exit::reap`] is called under the same lock that guards the `Process`.
#[derive(Debug)]
pub(super) struct Process {
    pid: Pid,
    started: Instant,
}

/// A process that has ended but keeps its pid until [`reap`](Self::reap).
pub(super) struct Exit {
    child: Child,
}

/// What a process has used so far.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ProcessStats {
    /// The most memory it had resident (`VmHWM`).
    pub peak_rss_bytes: u64,
    /// In user and kernel mode, of all its threads.
    pub cpu: Duration,
}

impl Process {
    /// Starts the function's binary; `ended` is called from the reaping thread when the process is gone and its output
    /// has been read.
    pub(super) fn spawn(
        spec: &FunctionSpec,
        runtime_api: &str,
        ended: impl FnOnce(Exit) + Send + 'static,
    ) -> io::Result<(Self, JoinHandle<()>)> {
        // One pipe for both streams keeps the order in which lines were written.
        let (output, writer) = io::pipe()?;
        let mut command = Command::new(&spec.binary);
        command
            .env_clear()
            .envs(lambda_environment(spec, runtime_api))
            .envs(spec.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(writer.try_clone()?)
            .stderr(writer)
            // A group of its own: Ctrl-C at the terminal is for the host, which decides. Should the host be killed, the
            // kernel ends a stopped process whose group is orphaned, so that none stays behind frozen.
            .process_group(0);
        let started = Instant::now();
        let child = command.spawn()?;
        // It holds our ends of the pipe; the log ends when the process's own are closed.
        drop(command);
        let pid = Pid::from_raw(child.id().cast_signed());

        let (reader, read) = channel();
        let log = spec.log.clone();
        thread::Builder::new().name("function-log".to_owned()).spawn(move || copy_lines(output, &log, reader))?;
        let reaper = thread::Builder::new().name("function-reaper".to_owned()).spawn(move || {
            wait_for_end(pid, &read);
            ended(Exit { child });
        })?;
        Ok((Self { pid, started }, reaper))
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid.as_raw().cast_unsigned()
    }

    pub(super) fn age(&self) -> Duration {
        self.started.elapsed()
    }

    pub(super) fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    pub(super) fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    pub(super) fn kill(&self) {
        self.signal(Signal::SIGKILL);
    }

    /// A process that has ended meanwhile cannot be signalled, and need not be.
    fn signal(&self, signal: Signal) {
        let _ = kill(self.pid, signal);
    }
}

impl Exit {
    /// Gives the pid back and says how the process ended.
    pub(super) fn reap(mut self) -> String {
        match self.child.wait() {
            Ok(status) => match status.signal() {
                Some(signal) => format!("signal {signal}"),
                None => format!("exit code {}", status.code().unwrap_or_default()),
            },
            Err(_) => "status unknown".to_owned(),
        }
    }
}

impl ProcessStats {
    pub(super) fn read(pid: u32) -> Option<Self> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        let peak_kib: u64 = peak.trim().trim_end_matches(" kB").parse().ok()?;
        Some(Self { peak_rss_bytes: peak_kib * 1024, cpu: cpu_of_threads(pid).max(cpu_in_ticks(pid)?) })
    }
}

/// To the nanosecond, but without the threads that have ended.
fn cpu_of_threads(pid: u32) -> Duration {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task"));
    let threads = tasks.into_iter().flatten().flatten();
    let on_cpu_ns = threads.filter_map(|thread| {
        let schedstat = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        schedstat.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(on_cpu_ns.sum())
}

/// Of all threads, but in hundredths of a second, rounded down.
fn cpu_in_ticks(pid: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may have spaces; what follows does not. There, utime is the 12th and stime the 13th.
    let (_, fields) = stat.rsplit_once(") ")?;
    let ticks = fields.split(' ').skip(11).take(2);
    let ticks: u64 = ticks.filter_map(|field| field.parse::<u64>().ok()).sum();
    Some(Duration::from_millis(ticks * 10))
}

fn copy_lines(output: PipeReader, log: &LogSink, _finished: Sender<()>) {
    for line in BufReader::new(output).split(b'\n') {
        let Ok(line) = line else { return };
        log.push(String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned());
    }
}

/// Returns when the process has ended (it is not reaped yet) and its last lines are in the log.
fn wait_for_end(pid: Pid, log_read: &Receiver<()>) {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
    while waitid(Id::Pid(pid), flags) == Err(nix::errno::Errno::EINTR) {}
    // Bounded, because a process of its own making may hold the pipe open.
    let _ = log_read.recv_timeout(Duration::from_secs(1));
}

/// What Lambda sets for a function on `provided.al2023`.
fn lambda_environment(spec: &FunctionSpec, runtime_api: &str) -> Vec<(String, String)> {
    let name = &spec.name;
    [
        ("PATH", "/usr/local/bin:/usr/bin:/bin".to_owned()),
        ("LANG", "en_US.UTF-8".to_owned()),
        ("TZ", ":UTC".to_owned()),
        ("_HANDLER", "bootstrap".to_owned()),
        ("AWS_LAMBDA_RUNTIME_API", runtime_api.to_owned()),
        ("AWS_LAMBDA_FUNCTION_NAME", name.clone()),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256".to_owned()),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand".to_owned()),
        ("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{name}")),
        ("AWS_LAMBDA_LOG_STREAM_NAME", "local/[$LATEST]".to_owned()),
    ]
    .into_iter()
    .chain(LOCAL_ACCOUNT.map(|(name, value)| (name, value.to_owned())))
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

/// Region and credentials, which the local parts of AWS do not check.
pub const LOCAL_ACCOUNT: [(&str, &str); 4] = [
    ("AWS_REGION", "us-east-1"),
    ("AWS_DEFAULT_REGION", "us-east-1"),
    ("AWS_ACCESS_KEY_ID", "AKIASAMPLELOCALONLY0"),
    ("AWS_SECRET_ACCESS_KEY", "sample-secret-of-this-machine-do-not-use"),
];
