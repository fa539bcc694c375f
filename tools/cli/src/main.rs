//! `bridge`: the bridge on one machine, and its operator's hands.

mod console;
mod customers;
mod delivery;
mod dev;
mod doctor;
mod events;
mod rail;
mod routes;
mod send;
mod sign;
mod target;
mod terminal;
mod verify;
mod workflows;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use operator::OperatorError;
use operator::error::ErrorKind;

use crate::terminal::{all_is_printed, note_lines};

/// Operates the bridge, which delivers signed webhooks of Rail and Rillis to Returning.AI: run it on this machine, send
/// samples, check routes, list pending and dead events, and deliver them again.
#[derive(Parser)]
#[command(name = "bridge", version, arg_required_else_help = true, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

const EXAMPLES: &str = "Examples:
  bridge dev                                                    the whole bridge on this machine
  bridge send rail events/rail/account_open.json --fresh        a new event for it
  bridge verify rail --headers headers.txt --body body.json     why was this delivery refused?
  bridge events list                                            what is pending or dead?
  bridge doctor                                                 is everything set up correctly?

Exit codes: 0 done, 1 bug, 2 usage, 3 refused, 4 an outside system failed";

#[derive(Subcommand)]
enum Verb {
    Dev(dev::Dev),
    Sign(sign::Sign),
    Send(send::Send),
    Verify(verify::Verify),
    Routes(routes::Routes),
    Rail(rail::Rail),
    Events(events::Events),
    Workflows(workflows::Workflows),
    Customers(customers::Customers),
    Console(console::Console),
    Doctor(doctor::Doctor),
}

fn main() -> ExitCode {
    let verb = Cli::parse().verb;
    let done = match verb {
        Verb::Dev(dev) => block_on(dev.run()),
        Verb::Send(send) => block_on(send.run()),
        Verb::Sign(sign) => block_on(sign.run()),
        Verb::Verify(verify) => verify.run(),
        Verb::Routes(routes) => routes.run(),
        Verb::Rail(rail) => block_on(rail.run()),
        Verb::Events(events) => block_on(events.run()),
        Verb::Workflows(workflows) => block_on(workflows.run()),
        Verb::Customers(customers) => block_on(customers.run()),
        Verb::Console(console) => block_on(console.run()),
        Verb::Doctor(doctor) => block_on(doctor.run()),
    };
    match done.and_then(|()| all_is_printed()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            note_lines(&format!("error: {}", failure.problem()));
            note_lines(&format!("hint: {}", failure.hint()));
            ExitCode::from(match failure.kind() {
                ErrorKind::Usage => 2,
                ErrorKind::Refused => 3,
                ErrorKind::Outside => 4,
            })
        }
    }
}

fn block_on(verb: impl Future<Output = Result<(), OperatorError>>) -> Result<(), OperatorError> {
    tokio::runtime::Runtime::new()
        .map_err(|error| {
            OperatorError::outside(
                format!("Cannot start the async runtime: {error}"),
                "check this machine's limit of threads",
            )
        })?
        .block_on(verb)
}
