//! `bridge events`: what waits, what died, and another try for it.

mod filter;
mod list;
pub(crate) mod redrive;
pub(crate) mod report;
mod selection;
mod show;

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use operator::OperatorError;
use shared::record::destination::Destination;
use shared::route::routes::Routes;

pub(crate) use self::filter::Filter;
pub(crate) use self::redrive::interrupted;
pub(crate) use self::selection::Selection;
pub(crate) use self::show::write_members;
pub(crate) use operator::times::{age, span};

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

/// Today's routes.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct RoutesFile {
    /// The routes file that is deployed; without it, the one of this checkout
    #[arg(long, value_name = "FILE")]
    routes: Option<PathBuf>,
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

impl RoutesFile {
    pub(crate) fn read(&self) -> Result<Routes, OperatorError> {
        crate::routes::read(self.routes.as_deref())
    }

    /// The names of the routes that deliver to a workflow.
    fn delivering_to(&self, workflow: &str) -> Result<BTreeSet<String>, OperatorError> {
        let routes = self.read()?;
        let destination = known_destination(&routes, workflow)?;
        let to_it = routes.all().iter().filter(|route| route.destination == destination);
        Ok(to_it.map(|route| route.name.clone()).collect())
    }
}

/// The destination of this name: a workflow's own, or `incoming-webhook:NAME`. Refuses one that no route delivers to.
pub(crate) fn known_destination(routes: &Routes, name: &str) -> Result<Destination, OperatorError> {
    let known = routes.destinations();
    if let Some(destination) = known.iter().find(|destination| destination.to_string() == name) {
        return Ok((*destination).clone());
    }
    let known: Vec<_> = known.iter().map(ToString::to_string).collect();
    Err(OperatorError::usage(
        format!("no route delivers to a workflow `{name}`"),
        format!("known: {}", known.join(", ")),
    ))
}

/// Gives `write` the standard output. Whoever closes it (`| head`) has seen enough: that is no failure.
pub(crate) fn print(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<Printed, OperatorError> {
    let mut out = io::stdout().lock();
    match write(&mut out).and_then(|()| out.flush()) {
        Ok(()) => Ok(Printed::All),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Printed::Enough),
        Err(error) => Err(OperatorError::outside(format!("nothing can be printed: {error}"), "is the disk full?")),
    }
}

/// What a provider wrote, without what a terminal would act on.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// Whether somebody still reads.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Printed {
    All,
    Enough,
}

#[cfg(test)]
pub(crate) mod tests;
