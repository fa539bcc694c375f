//! `bridge doctor`: is a bridge set up so that events get through? Each line is `ok`, or says what to do.

use std::io;

use clap::Args;
use operator::doctor::{Line, Verdict, examine};
use operator::{OperatorError, Parts};
use shared::clock::Clock;

use crate::routes::file::RoutesFile;
use crate::target::Account;
use crate::terminal::{Lines, print, write_json};

/// Check a bridge: tables, secrets, routes, handshakes, clocks, schedule, waiting events
///
/// It only reads, with two exceptions: it sends each provider's URL a delivery without a signature, which must be refused, and
/// makes a handshake with each workflow. It sends no message, and prints no key, token or URL of a workflow.
#[derive(Args)]
#[command(after_help = EXAMPLES, after_long_help = EXAMPLES)]
pub(crate) struct Doctor {
    /// Print one JSON object per line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    routes: RoutesFile,
    /// The CloudFormation stack to check. Without it: the bridge that `bridge dev` runs on this machine
    #[arg(long, value_name = "NAME", help_heading = "Where", group = "deployed")]
    stack: Option<String>,
    #[command(flatten)]
    account: Account,
}

const EXAMPLES: &str = "Examples:
  bridge doctor                                      the bridge on this machine
  bridge doctor --stack bridge --profile prod        one in AWS
  bridge doctor --stack bridge --json | jq 'select(.verdict != \"ok\")'

Exit codes: 0 no check failed, 3 a check failed, 4 the stack cannot be reached";

impl Doctor {
    pub(crate) async fn run(self) -> Result<(), OperatorError> {
        let routes = self.routes.read()?;
        let place = self.account.open(self.stack.as_deref(), Parts::default(), "--stack").await?;
        let lines = examine(&place, &routes, Clock::system()).await;
        print(|out| write(out, &lines, self.json))?;
        verdict(&lines)
    }
}

fn write(out: &mut Lines, lines: &[Line], json: bool) -> io::Result<()> {
    for line in lines {
        match json {
            true => write_json(out, [line])?,
            false => {
                writeln!(out, "{:<4}  {}: {}", line.verdict.name(), line.check, line.says)?;
                if let Some(hint) = &line.hint {
                    writeln!(out, "      → {hint}")?;
                }
            }
        }
    }
    if json {
        return Ok(());
    }
    let [ok, warn, fail] = [Verdict::Ok, Verdict::Warn, Verdict::Fail].map(|verdict| count(lines, verdict));
    writeln!(out)?;
    writeln!(out, "{} checks: {ok} ok, {warn} warn, {fail} fail", lines.len())
}

fn verdict(lines: &[Line]) -> Result<(), OperatorError> {
    match count(lines, Verdict::Fail) {
        0 => Ok(()),
        failed => Err(OperatorError::refused(
            format!("{failed} of {} checks failed", lines.len()),
            "follow the hints of the failed checks, the first one first, then run this again",
        )),
    }
}

fn count(lines: &[Line], verdict: Verdict) -> usize {
    lines.iter().filter(|line| line.verdict == verdict).count()
}

#[cfg(test)]
mod tests;
