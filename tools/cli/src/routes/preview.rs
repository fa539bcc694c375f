//! `bridge routes preview`: the messages that a body would become, and why a route stays silent. Nothing is asked of anybody.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use json::{Document, Value};
use operator::OperatorError;
use operator::events::report::why_not;
use operator::words::printable;
use serde::Serialize;
use serde_json::value::RawValue;
use shared::clock::Clock;
use shared::customer::reference::Customer;
use shared::deliver::message;
use shared::deliver::resolver::{MessageCustomer, id_at};
use shared::receive::provider::{Envelope, Provider};
use shared::record::event::EventRecord;
use shared::record::failure::FailureCode;
use shared::route::routes::{CustomerSource, Fit, Route, Routes};

use crate::delivery::{provider_parser, read_file};
use crate::routes::file::RoutesFile;
use crate::terminal::{self, print, write_members};

/// Print the message that each route would make of a body, and why the others make none
///
/// Made as the functions make it, of the redacted body. Nobody is asked who the customer is: what would be asked is printed.
#[derive(Args)]
#[command(after_help = EXAMPLES, after_long_help = EXAMPLES)]
pub(super) struct Preview {
    /// File with the body; - for standard input
    #[arg(value_name = "BODY")]
    body: PathBuf,
    /// Whose body it is; without it, the provider whose envelope it has, or else the one that its folder is named after
    #[arg(long, value_name = "PROVIDER", value_parser = provider_parser())]
    provider: Option<&'static Provider>,
    /// One JSON object a route
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    routes: RoutesFile,
}

const EXAMPLES: &str = "Examples:
  bridge routes preview events/rail/transaction_posted_deposit.json
  bridge routes preview body.json --provider rail --routes new-routes.toml
  bridge events show 'rail#evt_1' --body --json | jq .body | bridge routes preview -";

/// One route and this body.
#[derive(Serialize)]
pub(super) struct Previewed<'r> {
    route: &'r str,
    to: String,
    matches: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    why_not: Option<String>,
    /// In the order in which they would be tried, up to the one that the body settles.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    customer: Vec<String>,
    once_per_customer: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

impl Preview {
    pub(super) fn run(self) -> Result<(), OperatorError> {
        let routes = self.routes.read()?;
        let bytes = read_file(&self.body)?;
        let document = Document::parse(&bytes).map_err(|error| {
            OperatorError::usage(
                format!("{}: {error}", self.body.display()),
                "a body is a JSON object, as the provider sends it",
            )
        })?;
        let provider = whose(&document, self.provider, &self.body)?;
        let event = event(provider, &document, &routes);

        let redacted = Document::parse(event.body.as_bytes())
            .map_err(|error| OperatorError::outside(format!("the redacted body: {error}"), "please report this"))?;
        let previewed: Vec<_> =
            routes.all().iter().map(|route| previewed(route, &event, document.root(), redacted.root())).collect();
        print(|out| match self.json {
            true => terminal::write_json(out, &previewed),
            false => write(out, &event, &previewed),
        })?;
        Ok(())
    }
}

/// The provider that reads most of its envelope here; of several, the one that the file's folder is named after.
fn whose(
    document: &Document<'_>,
    given: Option<&'static Provider>,
    file: &Path,
) -> Result<&'static Provider, OperatorError> {
    if let Some(provider) = given {
        return Ok(provider);
    }
    let members_read = |provider: &Provider| {
        let Envelope { event_id, event_type, occurred_at } = provider.read_envelope(document.root());
        event_type.map_or(0, |_| 1 + usize::from(event_id.is_some()) + usize::from(occurred_at.is_some()))
    };
    let most = providers::ALL.iter().copied().map(members_read).max().unwrap_or_default();
    let fitting: Vec<&'static Provider> =
        providers::ALL.iter().copied().filter(|provider| most > 0 && members_read(provider) == most).collect();
    let folder = file.parent().and_then(Path::file_name);
    let named = fitting.iter().find(|provider| folder.is_some_and(|folder| folder == provider.name));
    match (&fitting[..], named) {
        ([only], _) | (_, Some(only)) => Ok(only),
        _ => Err(OperatorError::usage(
            "whose body this is cannot be seen from its envelope",
            format!("say it: --provider {}", providers::ALL[0].name),
        )),
    }
}

/// The event as it would be recorded now.
fn event(provider: &Provider, document: &Document<'_>, routes: &Routes) -> EventRecord {
    let now = Clock::system().now();
    let envelope = provider.read_envelope(document.root());
    EventRecord::received(
        provider.name,
        envelope.event_id.unwrap_or_else(|| "(sha256 of the body)".to_owned()),
        envelope.event_type,
        envelope.occurred_at.unwrap_or(now),
        now,
        document.without(routes.redacted(provider.name)).into_owned(),
    )
}

/// Routes are matched on the body as received; messages are made of what redaction leaves of it.
fn previewed<'r>(route: &'r Route, event: &EventRecord, received: Value<'_>, redacted: Value<'_>) -> Previewed<'r> {
    let event_type = event.event_type.as_deref().unwrap_or_default();
    let why_not = match route.fit(&event.provider, event_type, received) {
        Fit::OtherProvider => Some(format!("for events of {}", route.provider)),
        fit => why_not(&fit, event_type),
    };
    let mut previewed = Previewed {
        route: &route.name,
        to: route.destination.to_string(),
        matches: why_not.is_none(),
        why_not,
        customer: Vec::new(),
        once_per_customer: route.once_per_customer,
        message: None,
        problem: None,
    };
    if previewed.matches {
        let (asked, customer) = who(route, redacted);
        previewed.customer = asked;
        let message = match customer {
            Some(customer) => message::compose(event, redacted, route, &customer).map_err(|failure| failure.summary()),
            None => Err(FailureCode::CustomerUnknown.code().to_owned()),
        };
        match message.map(RawValue::from_string) {
            Ok(Ok(message)) => previewed.message = Some(message),
            Ok(Err(_)) => previewed.problem = Some("the message is not JSON".to_owned()),
            Err(problem) => previewed.problem = Some(problem),
        }
    }
    previewed
}

/// What would be tried to find out who the customer is, and a stand-in for whoever that would be.
pub(crate) fn who(route: &Route, body: Value<'_>) -> (Vec<String>, Option<MessageCustomer>) {
    let mut tried = Vec::new();
    let mut found: Option<String> = None;
    for source in &route.customer {
        let Some(id) = id_at(body, source.pointer()) else {
            tried.push(format!("{source}: nothing there"));
            continue;
        };
        let (asked, stand_in) = match source {
            CustomerSource::Body(_) => {
                tried.push(format!("{source}: {}", printable(&id)));
                return (tried, Some(stand_in(found.unwrap_or(id))));
            }
            CustomerSource::Link { kind, .. } => ("the customers table".to_owned(), format!("{kind}:{id}")),
            CustomerSource::Api { kind, .. } => {
                let lookup = providers::lookups().find(|lookup| lookup.kind == kind);
                let path = lookup.map_or("", |lookup| lookup.path);
                (format!("the customers table, then GET {path}{}", printable(&id)), format!("{kind}:{id}"))
            }
        };
        tried.push(format!("{source}: {} is looked up in {asked}", printable(&stand_in)));
        found.get_or_insert(format!("(the customer of {stand_in})"));
    }
    (tried, found.map(self::stand_in))
}

fn stand_in(customer_id: String) -> MessageCustomer {
    let record = Customer {
        email: Some("(email)".to_owned()),
        first_name: Some("(first name)".to_owned()),
        last_name: Some("(last name)".to_owned()),
        trading_accounts: vec!["(trading account)".to_owned()],
        ..Customer::new(&customer_id, Clock::system().now())
    };
    MessageCustomer { customer_id, record: Some(record) }
}

pub(super) fn write(out: &mut dyn Write, event: &EventRecord, previewed: &[Previewed<'_>]) -> io::Result<()> {
    let event_type = event.event_type.as_deref().map_or_else(|| "(no type)".to_owned(), printable);
    writeln!(out, "{} {event_type} {}", event.provider, printable(&event.event_id))?;
    for route in previewed.iter().filter(|route| route.matches) {
        writeln!(out, "\n{} → {}", route.route, route.to)?;
        if route.once_per_customer {
            writeln!(out, "  once per customer: skipped if another event was first")?;
        }
        for source in &route.customer {
            writeln!(out, "  customer {source}")?;
        }
        match (&route.message, &route.problem) {
            (Some(message), _) => write_members(out, message.get())?,
            (None, problem) => writeln!(out, "  no message: {}", problem.as_deref().unwrap_or_default())?,
        }
    }
    let silent: Vec<_> = previewed.iter().filter(|route| !route.matches).collect();
    if silent.len() == previewed.len() {
        writeln!(out, "\nNo route wants it: it would be recorded as ignored.")?;
    }
    let width = silent.iter().map(|route| route.route.len()).max().unwrap_or_default();
    if width > 0 {
        writeln!(out, "\nSilent:")?;
    }
    for route in silent {
        writeln!(out, "  {:<width$}  {}", route.route, route.why_not.as_deref().unwrap_or_default())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
