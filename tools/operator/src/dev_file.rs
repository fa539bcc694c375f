//! `.bridge/dev.json`: where the running `bridge dev` of a checkout is, for the verbs that work on its table.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::parts::Parts;

/// A bridge that is up. The URLs have no slash at the end.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct DevFile {
    /// Webhooks, and Lambda's Invoke API.
    pub gateway_url: String,
    pub dynamodb_url: String,
    pub secrets_manager_url: String,
    pub returning_ai_url: String,
    pub rail_api_url: String,
    /// Of the port that answers the webhooks alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook_port_url: Option<String>,
    /// The names of the secrets that real systems gave; all others are of stand-ins.
    #[serde(default)]
    pub real_secrets: BTreeSet<String>,
    #[serde(flatten)]
    pub parts: Parts,
    /// Of `bridge dev`.
    pub pid: u32,
}

/// The file for as long as it is to be there: dropping this removes it, unless another bridge has written its own.
#[derive(Debug)]
pub struct DevFileGuard {
    path: PathBuf,
    pid: u32,
}

impl DevFile {
    /// Writes it into the checkout at `root`; the newest bridge wins.
    ///
    /// # Errors
    /// The folder or the file cannot be written.
    pub fn write(&self, root: &Path) -> io::Result<DevFileGuard> {
        let path = path(root);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        // Put in place at once, so that no program reads half of it.
        let part = path.with_extension(format!("json.{}", self.pid));
        write_private(&part, &format!("{:#}\n", serde_json::to_value(self)?))?;
        fs::rename(&part, &path)?;
        Ok(DevFileGuard { path, pid: self.pid })
    }

    /// The bridge that is up in the checkout at `root`; `None` when none is. A file left behind by a bridge that was
    /// killed counts as none.
    ///
    /// # Errors
    /// There is a file, and it cannot be read or is not one of ours.
    pub fn read(root: &Path) -> io::Result<Option<Self>> {
        let read = match read(&path(root)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read?,
        };
        Ok(Some(read).filter(|bridge| is_alive(bridge.pid)))
    }
}

impl Drop for DevFileGuard {
    fn drop(&mut self) {
        if read(&self.path).is_ok_and(|bridge| bridge.pid == self.pid) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Writes a file that other users cannot read: with the address of the secrets they could read these.
///
/// # Errors
/// As of [`fs::write`].
pub fn write_private(path: &Path, text: &str) -> io::Result<()> {
    // The mode is that of a new file.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    File::options().write(true).create_new(true).mode(0o600).open(path)?.write_all(text.as_bytes())
}

/// Where the file is in a checkout.
pub fn path(root: &Path) -> PathBuf {
    root.join(".bridge").join("dev.json")
}

fn read(path: &Path) -> io::Result<DevFile> {
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

/// Also true for a process that is not ours to signal.
fn is_alive(pid: u32) -> bool {
    i32::try_from(pid).is_ok_and(|pid| pid > 0 && kill(Pid::from_raw(pid), None) != Err(Errno::ESRCH))
}

#[cfg(test)]
mod tests;
