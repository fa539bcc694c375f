//! `bridge events redrive`: another try, for one event or for many.

use clap::Args;
use operator::events::candidates::Action;
use operator::events::redrive::redrive;
use operator::{OperatorError, Parts};

use crate::events::many::Many;

/// Deliver events again now: by key, or by filters
///
/// The function `redrive` makes the attempts, with the same idempotency key and `occurredAt`. For a dead or dismissed event, only
/// the dead routes are delivered; if a dead route no longer exists, the routes that match the event today replace it. An ignored
/// event is delivered to the routes that match today. A delivered event does not change. Events that a function is delivering now are skipped.
///
/// Filters use the current state of the table; --dry-run counts first. Ctrl-C finishes the events in progress and prints how to
/// continue.
#[derive(Args)]
#[command(after_help = EXAMPLES, after_long_help = EXAMPLES)]
pub(crate) struct Redrive {
    #[command(flatten)]
    events: Many,
    /// At most this many events a second
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rate: u32,
    /// In AWS: the name of the function `redrive`
    #[arg(long, value_name = "NAME", requires = "table", help_heading = "Where")]
    function: Option<String>,
}

const EXAMPLES: &str = "Examples:
  bridge events redrive 'rail#evt_1'
  bridge events redrive --state dead --workflow kyc --since 2d --dry-run
  bridge events redrive --state dead --error refused --table events --function bridge-redrive --rate 50 --yes";

impl Redrive {
    pub(crate) async fn run(self) -> Result<(), OperatorError> {
        let parts = Parts { redrive_function: self.function, ..Parts::default() };
        let scope = self.events.scope(&[], parts).await?;
        // Before anything is counted: a missing --function is best told at once.
        let function = if self.events.dry_run { None } else { Some(scope.place.redrive_function()?) };
        let keys = self.events.choose(Action::Redrive, &scope, None).await?;
        let (Some(keys), Some(function)) = (keys, function) else { return Ok(()) };
        let stopping = "Finishing the current events. Ctrl-C again leaves them to the function.";
        self.events.run(&scope, &keys, self.rate, stopping, |keys| redrive(&function, keys)).await
    }
}
