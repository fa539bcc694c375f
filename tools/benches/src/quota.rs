//! A share of one core for the function, as Lambda gives it in proportion to its memory.

use std::error::Error;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Lambda's, by which a process that has used up its share stands still until the next period begins.
const PERIOD: Duration = Duration::from_millis(20);

/// How the share is kept.
pub(crate) enum Quota {
    /// It is the whole core.
    Whole,
    /// By the kernel, in a control group of this name. Dropping it removes the group, which must be empty by then.
    ControlGroup(PathBuf),
    /// By stopping the processes for the rest of each period, whether they have used their share or not.
    Signals(f64),
}

impl Quota {
    pub(crate) fn of(share: f64) -> Self {
        if share >= 1.0 {
            return Self::Whole;
        }
        let name = format!("bridge-drain-{}", std::process::id());
        let (period, quota) = (PERIOD.as_micros(), PERIOD.mul_f64(share).as_micros());
        let unified = [("cpu.max", format!("{quota} {period}"))];
        let legacy = [("cpu.cfs_period_us", period.to_string()), ("cpu.cfs_quota_us", quota.to_string())];
        control_group(Path::new("/sys/fs/cgroup").join(&name), &unified)
            .or_else(|_| control_group(Path::new("/sys/fs/cgroup/cpu").join(&name), &legacy))
            .map_or(Self::Signals(share), Self::ControlGroup)
    }

    pub(crate) fn describe(&self) -> &'static str {
        match self {
            Self::Whole => "no quota",
            Self::ControlGroup(_) => "the kernel's CFS quota, periods of 20 ms",
            Self::Signals(_) => "SIGSTOP for the rest of each 20 ms",
        }
    }

    /// A folder whose program `name` is that of `functions`, within the quota from its first instruction.
    pub(crate) fn wrap(&self, functions: &Path, name: &str, folder: &Path) -> Result<(), Box<dyn Error>> {
        let join = match self {
            Self::ControlGroup(group) => format!("echo $$ > '{}'\n", group.join("cgroup.procs").display()),
            Self::Whole | Self::Signals(_) => String::new(),
        };
        let program = std::path::absolute(functions.join(name))?;
        fs::write(folder.join(name), format!("#!/bin/sh\n{join}exec '{}'\n", program.display()))?;
        fs::set_permissions(folder.join(name), Permissions::from_mode(0o755))?;
        Ok(())
    }

    /// Keeps the share of the processes that `pids` names, as long as the guard lives.
    pub(crate) fn keep(&self, pids: impl Fn() -> Vec<u32> + Send + 'static) -> Option<Keeper> {
        let Self::Signals(share) = *self else { return None };
        let keeper = Keeper(Arc::new(AtomicBool::new(true)));
        let goes_on = keeper.0.clone();
        thread::spawn(move || {
            while goes_on.load(Ordering::Relaxed) {
                signal(&pids(), Signal::SIGCONT);
                thread::sleep(PERIOD.mul_f64(share));
                signal(&pids(), Signal::SIGSTOP);
                thread::sleep(PERIOD.mul_f64(1.0 - share));
            }
            signal(&pids(), Signal::SIGCONT);
        });
        Some(keeper)
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        if let Self::ControlGroup(group) = self {
            let _ = fs::remove_dir(group);
        }
    }
}

/// Ends the thread that stops and continues.
pub(crate) struct Keeper(Arc<AtomicBool>);

impl Drop for Keeper {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

fn control_group(group: PathBuf, settings: &[(&str, String)]) -> io::Result<PathBuf> {
    fs::create_dir(&group)?;
    let set = settings.iter().try_for_each(|(name, value)| {
        let file = group.join(name);
        // Never created: elsewhere than in a control group it would be an ordinary file.
        fs::OpenOptions::new()
            .write(true)
            .open(file)
            .and_then(|mut file| io::Write::write_all(&mut file, value.as_bytes()))
    });
    if set.is_err() {
        let _ = fs::remove_dir(&group);
    }
    set.map(|()| group)
}

fn signal(pids: &[u32], signal: Signal) {
    for pid in pids {
        let _ = kill(Pid::from_raw(pid.cast_signed()), signal);
    }
}
