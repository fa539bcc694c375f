//! Holds counts to those in a file of the repository.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use crate::callgrind::Counts;

/// What may grow or shrink by so much without a change of the file.
const TOLERANCE: f64 = 0.02;

/// Prints the counts beside those of `file`; fails when one has grown by more than [`TOLERANCE`], or is not in it.
///
/// A line of the file is a name and a count; `#` begins a comment.
pub(crate) fn hold(file: &Path, counts: Counts) -> Result<ExitCode, Box<dyn Error>> {
    let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let mut holds = true;
    for (name, count) in [("start", counts.start), ("event", counts.event), ("delivery", counts.delivery)] {
        let expected = expected(&text, name).ok_or_else(|| format!("{}: no `{name}`", file.display()))?;
        let ratio = count as f64 / expected as f64;
        let verdict = match ratio {
            _ if ratio > 1.0 + TOLERANCE => "grown",
            _ if ratio < 1.0 - TOLERANCE => "shrunk",
            _ => "as before",
        };
        println!("{name} {count} instructions, {:+.2} %: {verdict}", (ratio - 1.0) * 100.0);
        holds &= verdict == "as before";
    }
    println!("connections before the first `next`: {} (at most {MOST_CONNECTIONS})", counts.connections);
    holds &= counts.connections <= MOST_CONNECTIONS;
    if holds {
        return Ok(ExitCode::SUCCESS);
    }
    println!("hint: find what changed (tools/benches/README.md), or write the new counts into {}", file.display());
    Ok(ExitCode::FAILURE)
}

/// Each is a TLS handshake.
const MOST_CONNECTIONS: usize = 2;

fn expected(text: &str, name: &str) -> Option<u64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once(' ')).find(|(its_name, _)| *its_name == name)?.1.trim().parse().ok()
}
