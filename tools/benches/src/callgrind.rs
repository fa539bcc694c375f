//! A function under valgrind's callgrind, which counts the instructions that it runs.

use std::error::Error;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{fs, iter, thread};

use bytes::Bytes;
use local::gateway::events::{HttpRequest, http_api_event};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use shared::clock::Clock;
use shared::config::DEFAULT_MAX_BODY_BYTES;
use shared::receive::provider::Provider;

use crate::canned::Canned;
use crate::events::{Events, Fate};
use crate::hostile::kinds;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What was counted of a function.
#[derive(Clone, Copy)]
pub(crate) struct Counts {
    /// From the start of the process until it asks for an event.
    pub(crate) start: u64,
    /// Opened until then, those to the Runtime API not counted.
    pub(crate) connections: usize,
    /// Of a warm event that is acknowledged and not delivered, until the function asks for the next.
    pub(crate) event: u64,
    /// Of a warm event that is delivered to one workflow.
    pub(crate) delivery: u64,
    /// Of a forged delivery of the largest size until its 401: the mean of every kind of costly body.
    pub(crate) forged: u64,
}

/// The mean of so many events.
pub(crate) const EVENTS: usize = 200;

/// These come before, and are not counted.
const FIRST_EVENTS: usize = 20;

/// The function has asked for an event, and may still be on its way to sleep.
const FALLS_ASLEEP: Duration = Duration::from_millis(200);

impl Counts {
    pub(crate) fn of(function: &Path, workflows: &[String]) -> Result<Self> {
        let start = Run::new(function, workflows, iter::empty())?;
        let mean = |fate| -> Result<u64> {
            let run = |events| {
                let mut made = Events::default();
                Run::new(function, workflows, iter::repeat_with(|| made.next(fate)).take(events))
            };
            let before = run(FIRST_EVENTS)?.instructions;
            Ok((run(FIRST_EVENTS + EVENTS)?.instructions - before) / EVENTS as u64)
        };
        let (event, delivery) = (mean(Fate::Ignored)?, mean(Fate::Delivered)?);
        let rail = providers::by_name("rail").ok_or("there is no provider `rail`")?;
        let kinds = kinds(DEFAULT_MAX_BODY_BYTES);
        let all = Run::new(function, workflows, kinds.iter().map(|(_, body)| forged(rail, body)))?;
        let forged = (all.instructions - start.instructions) / kinds.len() as u64;
        Ok(Self { start: start.instructions, connections: start.connections, event, delivery, forged })
    }
}

/// A delivery of this moment with a signature that no key gives.
fn forged(provider: &Provider, body: &str) -> Bytes {
    let headers = provider.headers(Clock::system().now().seconds(), &"0".repeat(64));
    let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Bytes::from(http_api_event(&HttpRequest::post(&provider.path(), headers, body.to_owned())).to_string())
}

pub(crate) fn is_installed() -> bool {
    let version = Command::new("valgrind").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}

/// One process from its start until it has done with its events.
struct Run {
    instructions: u64,
    connections: usize,
}

impl Run {
    fn new(function: &Path, workflows: &[String], events: impl Iterator<Item = Bytes>) -> Result<Self> {
        let canned = Canned::start(workflows.to_vec())?;
        let profile = std::env::temp_dir().join(format!("bridge-instructions-{}", std::process::id()));
        let mut process = Process(
            Command::new("valgrind")
                .arg("--tool=callgrind")
                .arg(format!("--callgrind-out-file={}", profile.display()))
                .arg(function)
                .env_clear()
                .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
                .envs(canned.environment())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()?,
        );
        let asked = || canned.asked_for_event().ok_or_else(|| format!("{} asks for no event", function.display()));
        asked()?;
        let connections = canned.connections();
        for event in events {
            canned.give(event);
            asked()?;
        }
        thread::sleep(FALLS_ASLEEP);
        process.end()?;
        let counted = fs::read_to_string(&profile)?;
        fs::remove_file(profile)?;
        let total = counted.lines().find_map(|line| line.strip_prefix("totals: "));
        Ok(Self { instructions: total.ok_or("callgrind counted nothing")?.trim().parse()?, connections })
    }
}

struct Process(Child);

impl Process {
    /// Ends it by a signal, after which callgrind writes down what it has counted.
    fn end(&mut self) -> Result<()> {
        kill(Pid::from_raw(self.0.id().cast_signed()), Signal::SIGTERM)?;
        match self.0.wait()?.signal() {
            Some(_) => Ok(()),
            None => Err("the function ended by itself".into()),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
