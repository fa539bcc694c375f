//! The binaries that are compared, built as they are deployed.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

use local::binaries::{Profile, build_functions};

pub(crate) struct Binaries {
    pub(crate) hello: PathBuf,
    pub(crate) naive: PathBuf,
    /// The folder with the bridge's own.
    pub(crate) functions: PathBuf,
    /// The folder with an earlier build of them, to be measured beside them.
    pub(crate) baseline: Option<PathBuf>,
}

/// A workspace of its own.
const NAIVE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/naive");

impl Binaries {
    /// Builds what is compared; the bridge's own functions only when no folder with them is given.
    pub(crate) fn build(functions: Option<PathBuf>, baseline: Option<PathBuf>) -> Result<Self, Box<dyn Error>> {
        let functions = match functions {
            Some(folder) => folder,
            None => build_functions(Profile::Release)?,
        };
        // Inside cargo's target folder, wherever that is: this program is in `release` there.
        let program = std::env::current_exe()?;
        let target = program.ancestors().nth(2).ok_or("this program is not where cargo puts it")?.join("naive");
        Ok(Self { hello: build("hello", &target)?, naive: build("naive", &target)?, functions, baseline })
    }

    pub(crate) fn rail(&self) -> PathBuf {
        self.functions.join("rail")
    }

    pub(crate) fn earlier_rail(&self) -> Option<PathBuf> {
        Some(self.baseline.as_ref()?.join("rail"))
    }
}

/// One at a time: built together, `hello` would get the features that `naive` wants of the crates they share.
fn build(package: &str, target: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--release", "--locked", "-p", package, "--target-dir"])
        .arg(target)
        .current_dir(NAIVE)
        .status()?;
    if !status.success() {
        return Err(format!("cargo could not build {package} ({status})").into());
    }
    Ok(target.join("release").join(package))
}
