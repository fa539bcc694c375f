//! `bridge events`: what waits, what died, and another try for it.

mod arguments;
mod list;
mod redrive;
mod show;

use clap::{Args, Subcommand};
use operator::OperatorError;

/// The events in the table: list them, look at one, try again
#[derive(Args)]
pub(crate) struct Events {
    #[command(subcommand)]
    verb: EventsVerb,
}

#[derive(Subcommand)]
enum EventsVerb {
    List(list::List),
    Show(show::Show),
    Redrive(redrive::Redrive),
}

impl Events {
    pub(crate) async fn run(self) -> Result<(), OperatorError> {
        match self.verb {
            EventsVerb::List(list) => list.run().await,
            EventsVerb::Show(show) => show.run().await,
            EventsVerb::Redrive(redrive) => redrive.run().await,
        }
    }
}

#[cfg(test)]
mod tests;
