//! A function under valgrind's callgrind, which counts the instructions that it runs.

use std::error::Error;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::canned::Canned;
use crate::events::{Events, Fate};

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
}

/// The mean of so many events.
pub(crate) const EVENTS: u64 = 200;

/// These come before, and are not counted.
const FIRST_EVENTS: u64 = 20;

/// The function has asked for an event, and may still be on its way to sleep.
const FALLS_ASLEEP: Duration = Duration::from_millis(200);

impl Counts {
    pub(crate) fn of(function: &Path, workflows: &[String]) -> Result<Self> {
        let run = |fate, events| Run::new(function, workflows, fate, events);
        let start = run(Fate::Ignored, 0)?;
        let mean = |fate| -> Result<u64> {
            let before = run(fate, FIRST_EVENTS)?.instructions;
            Ok((run(fate, FIRST_EVENTS + EVENTS)?.instructions - before) / EVENTS)
        };
        let (event, delivery) = (mean(Fate::Ignored)?, mean(Fate::Delivered)?);
        Ok(Self { start: start.instructions, connections: start.connections, event, delivery })
    }
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
    fn new(function: &Path, workflows: &[String], fate: Fate, events: u64) -> Result<Self> {
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
        let mut made = Events::default();
        for _ in 0..events {
            canned.give(made.next(fate));
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
