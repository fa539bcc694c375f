//! `bridge events`: what waits, what died, another try for it, and its end.

mod arguments;
mod dismiss;
mod list;
mod many;
mod redrive;
mod show;

use clap::{Args, Subcommand};
use operator::OperatorError;

/// The events in the table: list, show, redrive, dismiss
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
    Dismiss(dismiss::Dismiss),
}

impl Events {
    pub(crate) async fn run(self) -> Result<(), OperatorError> {
        match self.verb {
            EventsVerb::List(list) => list.run().await,
            EventsVerb::Show(show) => show.run().await,
            EventsVerb::Redrive(redrive) => redrive.run().await,
            EventsVerb::Dismiss(dismiss) => dismiss.run().await,
        }
    }
}

#[cfg(test)]
mod tests;
