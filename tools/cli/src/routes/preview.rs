//! `bridge routes preview`: the messages that a body would become, and why a route does not match. No table and no API is read.

use std::io;
use std::path::PathBuf;

use clap::Args;
use operator::OperatorError;
use operator::routes::preview::{self, FieldPreview, RoutePreview};
use shared::receive::provider::Provider;

use crate::delivery::{provider_parser, read_file};
use crate::routes::file::RoutesFile;
use crate::terminal::{self, Lines, Table, print, write_members};

/// Print the message that each route would make of a body, and why the other routes do not match
///
/// Uses the functions' own code, and the redacted body. Looks up no customer: it prints what a function would look up.
#[derive(Args)]
#[command(after_help = EXAMPLES, after_long_help = EXAMPLES)]
pub(super) struct Preview {
    /// File with the body; - for standard input
    #[arg(value_name = "BODY")]
    body: PathBuf,
    /// Whose body it is; without it, the provider whose envelope it has, or else the one that its folder is named after
    #[arg(long, value_name = "PROVIDER", value_parser = provider_parser())]
    provider: Option<&'static Provider>,
    /// Print one JSON object per route
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    routes: RoutesFile,
}

const EXAMPLES: &str = "Examples:
  bridge routes preview events/rail/transaction_posted_deposit.json
  bridge routes preview body.json --provider rail --routes new-routes.toml
  bridge events show 'rail#evt_1' --body --json | jq .body | bridge routes preview -";

impl Preview {
    pub(super) fn run(self) -> Result<(), OperatorError> {
        let routes = self.routes.read()?;
        let preview = preview::Preview::new(&read_file(&self.body)?, &self.body, self.provider, &routes)?;
        print(|out| match self.json {
            true => terminal::write_json(out, &preview.routes),
            false => write(out, &preview),
        })?;
        Ok(())
    }
}

fn write(out: &mut Lines, preview::Preview { event, routes }: &preview::Preview<'_>) -> io::Result<()> {
    let event_type = event.event_type.as_deref().unwrap_or("(no type)");
    writeln!(out, "{} {event_type} {}", event.provider, event.event_id)?;
    for route in routes.iter().filter(|route| route.matches) {
        writeln!(out)?;
        writeln!(out, "{} → {}", route.route, route.to)?;
        if route.once_per_customer {
            writeln!(out, "  once per customer: skipped if another event was first")?;
        }
        for source in &route.customer {
            writeln!(out, "  customer {source}")?;
        }
        for FieldPreview { field, optional, from } in &route.fields {
            writeln!(out, "  field {field}{}: {from}", if *optional { "?" } else { "" })?;
        }
        match (&route.message, &route.problem) {
            (Some(message), _) => write_members(out, message.get())?,
            (None, problem) => writeln!(out, "  no message: {}", problem.as_deref().unwrap_or_default())?,
        }
    }
    let silent: Vec<_> = routes.iter().filter(|route| !route.matches).collect();
    if silent.len() == routes.len() {
        writeln!(out)?;
        writeln!(out, "No route matches: the event would be recorded as `ignored`.")?;
    }
    if !silent.is_empty() {
        writeln!(out)?;
        writeln!(out, "Routes that do not match:")?;
    }
    let row = |it: &&RoutePreview<'_>| [format!("  {}", it.route), it.why_not.clone().unwrap_or_default()];
    Table::default().write(out, &silent.iter().map(row).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests;
