//! The functions' binaries, built by cargo when a test, a bench or `bridge dev` wants them.

use std::collections::HashMap;
use std::io::{self, IsTerminal, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde::Deserialize;

use crate::stack::FUNCTIONS;

/// How they are compiled.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Profile {
    Debug,
    /// As they are deployed.
    Release,
}

/// Why there are no binaries.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("cargo cannot be run")]
    Cargo(#[source] io::Error),
    #[error("cargo could not build the functions ({0})")]
    Failed(ExitStatus),
    #[error("cargo built no binary called {0}")]
    NotBuilt(&'static str),
}

/// Builds the functions and returns the folder they are in; cargo's progress goes to stderr.
///
/// At most one build of a process runs at a time, and each profile is built once.
///
/// # Errors
/// They do not build, or there is no cargo (on a machine that has only the binaries, name their folder instead).
pub fn build_functions(profile: Profile) -> Result<PathBuf, BuildError> {
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    let built = built.get_or_insert_default();
    if let Some(folder) = built.get(&profile) {
        return Ok(folder.clone());
    }
    let folder = build(profile)?;
    built.insert(profile, folder.clone());
    Ok(folder)
}

static BUILT: Mutex<Option<HashMap<Profile, PathBuf>>> = Mutex::new(None);

/// As [`build_functions`], but dropping the future ends cargo and its compilers.
///
/// # Errors
/// As [`build_functions`].
pub async fn build_functions_unless_dropped(profile: Profile) -> Result<PathBuf, BuildError> {
    // A group of its own, so that the compilers can be ended with it.
    let mut cargo = Cargo(cargo_build(profile)?.process_group(0).spawn().map_err(BuildError::Cargo)?);
    let read = tokio::task::spawn_blocking(read_output(&mut cargo.0));
    let stdout = read.await.map_err(io::Error::other).flatten().map_err(BuildError::Cargo)?;
    // It has printed all it had to print, so it is about to end.
    let status = cargo.0.wait().map_err(BuildError::Cargo)?;
    folder(&stdout, status)
}

/// Cargo at work, the leader of a process group. Dropping it ends the group.
struct Cargo(Child);

impl Drop for Cargo {
    fn drop(&mut self) {
        // Its pid is not reused until it is reaped, which happens here.
        if matches!(self.0.try_wait(), Ok(None)) {
            let _ = killpg(Pid::from_raw(self.0.id().cast_signed()), Signal::SIGTERM);
            let _ = self.0.wait();
        }
    }
}

fn build(profile: Profile) -> Result<PathBuf, BuildError> {
    let mut cargo = cargo_build(profile)?.spawn().map_err(BuildError::Cargo)?;
    let stdout = read_output(&mut cargo)().map_err(BuildError::Cargo)?;
    folder(&stdout, cargo.wait().map_err(BuildError::Cargo)?)
}

/// Reads to their ends what cargo prints for programs, which it returns, and what it prints for people, which goes to stderr.
fn read_output(cargo: &mut Child) -> impl FnOnce() -> io::Result<Vec<u8>> + use<> {
    let (stdout, stderr) = (cargo.stdout.take(), cargo.stderr.take());
    move || {
        let forwarding = stderr.map(|stderr| thread::spawn(|| forward(stderr)));
        let mut read = Vec::new();
        stdout.map_or(Ok(0), |mut stdout| stdout.read_to_end(&mut read))?;
        forwarding.map(JoinHandle::join);
        Ok(read)
    }
}

/// Cargo fails when it cannot print, and a reader of our stderr may leave (`2>&1 | head -1`): that ends no build.
fn forward(mut stderr: ChildStderr) {
    let mut part = [0; 4096];
    while let Ok(read @ 1..) = stderr.read(&mut part) {
        let _ = io::stderr().write_all(&part[..read]);
    }
}

fn cargo_build(profile: Profile) -> Result<Command, BuildError> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .arg("build")
        // The folder of the binaries depends on cargo's configuration, so cargo is asked.
        .arg("--message-format=json-render-diagnostics")
        .args(match profile {
            // With the program that `cargo run` builds, so that the dependencies' features are the same and nothing is
            // compiled twice.
            Profile::Debug => ["-p", "bridge"].as_slice(),
            Profile::Release => ["--release"].as_slice(),
        })
        .args(FUNCTIONS.iter().flat_map(|function| ["-p", function]))
        .current_dir(workspace_root())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        // Only on a terminal does cargo draw its progress.
        .stderr(if io::stderr().is_terminal() { Stdio::inherit() } else { Stdio::piped() });
    // Relative to the current folder, not to the folder in which cargo runs.
    if let Some(target) = std::env::var_os("CARGO_TARGET_DIR") {
        let target = std::path::absolute(target).map_err(BuildError::Cargo)?;
        command.env("CARGO_TARGET_DIR", target);
    }
    // What `cargo run` and `cargo test` tell a program about its own package makes build scripts that watch these
    // variables (ring's does) run again, and everything above them compile again.
    for (name, _) in std::env::vars_os() {
        let told = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"].iter().any(|prefix| told.starts_with(prefix))
        {
            command.env_remove(&name);
        }
    }
    Ok(command)
}

/// The folder of the binaries that cargo reports.
fn folder(cargo_says: &[u8], status: ExitStatus) -> Result<PathBuf, BuildError> {
    if !status.success() {
        return Err(BuildError::Failed(status));
    }
    let mut folder = PathBuf::new();
    for function in FUNCTIONS {
        let mut binary = executable(cargo_says, function).ok_or(BuildError::NotBuilt(function))?;
        binary.pop();
        folder = binary;
    }
    Ok(folder)
}

/// The workspace in which this crate was compiled, or the current folder if that does not exist here.
pub fn workspace_root() -> PathBuf {
    match Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2) {
        Some(root) if root.join("Cargo.toml").is_file() => root.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Cargo's line about a finished piece of work, the two fields that matter.
#[derive(Deserialize)]
struct Artifact {
    target: Target,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

fn executable(cargo_says: &[u8], name: &str) -> Option<PathBuf> {
    cargo_says
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<Artifact>(line).ok())
        .find_map(|artifact| artifact.executable.filter(|_| artifact.target.name == name))
}

#[cfg(test)]
mod tests;
