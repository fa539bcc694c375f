//! How many instructions the function `rail` takes, which no other program on the machine changes (`tools/benches/README.md`).
//!
//! `instructions FUNCTION [EARLIER]` prints them; a test holds those of what is deployed to a file (`gate.rs`).

mod callgrind;
mod canned;
mod events;
#[cfg(test)]
mod gate;
mod hostile;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::callgrind::{Counts, EVENTS};

/// A workspace of its own.
const NAIVE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/naive");

fn main() -> Result<ExitCode, Box<dyn Error>> {
    if !callgrind::is_installed() {
        println!("Left out: there is no `valgrind` here (Debian's package `valgrind`).");
        return Ok(ExitCode::SUCCESS);
    }
    let workflows = providers::routes().workflows();
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    match arguments.as_slice() {
        [function, earlier @ ..] if earlier.len() < 2 => print(function, earlier.first(), &workflows),
        _ => Err("usage: instructions FUNCTION [EARLIER]".into()),
    }
}

/// A table with a column for each function.
fn print(function: &Path, earlier: Option<&PathBuf>, workflows: &[String]) -> Result<ExitCode, Box<dyn Error>> {
    let floor = Counts::of(&hello()?, workflows)?;
    let now = Counts::of(function, workflows)?;
    let earlier = earlier.map(|function| Counts::of(function, workflows)).transpose()?;
    println!("Instructions by callgrind; events are the mean of {EVENTS}.\n");
    println!("| | hello: the floor | earlier | `rail` | of the earlier |\n|---|---|---|---|---|");
    let row = |name, count: fn(&Counts) -> u64, floor: Option<&Counts>| {
        let thousands = |count: u64| format!("{:.1} k", count as f64 / 1e3);
        let none = || "–".to_owned();
        let before = earlier.as_ref().map(count);
        let ratio = before.map(|before| format!("{:.3}", count(&now) as f64 / before as f64));
        let [floor, before] = [floor.map(count), before].map(|count| count.map_or_else(none, thousands));
        println!("| {name} | {floor} | {before} | {} | {} |", thousands(count(&now)), ratio.unwrap_or_else(none));
    };
    row("start to the first `next`", |counts| counts.start, Some(&floor));
    row("event acknowledged", |counts| counts.event, Some(&floor));
    row("event delivered to one workflow", |counts| counts.delivery, None);
    row("forged body of 256 KiB, the mean of all kinds", |counts| counts.forged, None);
    let before = earlier.as_ref().map_or("–".to_owned(), |earlier| earlier.connections.to_string());
    println!("| connections opened before it | {} | {before} | {} | |", floor.connections, now.connections);
    Ok(ExitCode::SUCCESS)
}

/// The function that does nothing, built as the bridge is.
fn hello() -> Result<PathBuf, Box<dyn Error>> {
    let program = std::env::current_exe()?;
    let target = program.ancestors().nth(2).ok_or("this program is not where cargo puts it")?.join("naive");
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--release", "--locked", "-p", "hello", "--target-dir"])
        .arg(&target)
        .current_dir(NAIVE)
        .status()?;
    if !status.success() {
        return Err(format!("cargo could not build hello ({status})").into());
    }
    Ok(target.join("release/hello"))
}
