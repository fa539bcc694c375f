//! `bridge events dismiss`: dead events that need nothing more are closed.

use clap::Args;
use operator::events::candidates::Action;
use operator::events::dismiss::{CLAIMS_STAY, DISMISSALS_A_SECOND, dismiss_at, reason};
use operator::{OperatorError, Parts};
use shared::record::event::EventState;

use crate::events::many::Many;

/// Close dead events that need nothing more: by key, or by filters
///
/// Sends nothing. The event's history records the time, and the reason from --reason. A dismissed event is
/// kept for 90 days; until then `bridge events redrive` can reopen it. Only dead events are dismissed: others are
/// counted and not changed. Claims of `once_per` stay: a one-time message that a dismissed event has claimed counts as used
/// for its customer, even if it was never delivered.
///
/// Filters use the current state of the table, and select dead events unless --state is given; --dry-run counts first. Ctrl-C
/// finishes the events in progress and prints how to continue.
#[derive(Args)]
#[command(after_help = EXAMPLES, after_long_help = EXAMPLES)]
pub(crate) struct Dismiss {
    #[command(flatten)]
    events: Many,
    /// The reason, for the events' history
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

const EXAMPLES: &str = "Examples:
  bridge events dismiss 'rail#evt_1' --reason 'a test of the provider'
  bridge events dismiss --error id_conflict --type 'ACCOUNT_*' --dry-run
  bridge events dismiss --error refused --until 7d --reason 'see ticket 4711' --table events --yes";

impl Dismiss {
    pub(crate) async fn run(self) -> Result<(), OperatorError> {
        let reason = reason(self.reason.as_deref().unwrap_or_default())?;
        let scope = self.events.scope(&[EventState::Dead], Parts::default()).await?;
        let Some(keys) = self.events.choose(Action::Dismiss, &scope, Some(CLAIMS_STAY)).await? else { return Ok(()) };
        let (place, reason) = (&scope.place, reason.as_deref());
        let invoke = |keys: Vec<String>| async move { dismiss_at(place, &keys, reason).await };
        self.events.run(&scope, &keys, DISMISSALS_A_SECOND, "Finishing the current events.", invoke).await
    }
}
