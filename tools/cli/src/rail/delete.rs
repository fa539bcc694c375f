//! `bridge rail subscriptions delete`: one subscription and its key.

use clap::Args;
use operator::OperatorError;
use operator::rail_subscriptions::{Error, RailApi};

use super::report::needed;
use super::target::Target;
use crate::routes::file::RoutesFile;
use crate::terminal::{confirm, out};

/// Delete one subscription at Rail and its key, even if a route needs it
#[derive(Args)]
#[command(after_help = EXAMPLES, after_long_help = EXAMPLES)]
pub(super) struct Delete {
    /// The subscription's id, as `list` prints it; or the label of a key without a subscription
    #[arg(value_name = "ID")]
    id: String,
    /// Do not ask for confirmation
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    routes: RoutesFile,
    #[command(flatten)]
    target: Target,
}

const EXAMPLES: &str = "Examples:
  bridge rail subscriptions delete sub_abc123456
  bridge rail subscriptions delete sub_abc123456 --yes
  bridge rail subscriptions delete sub_abc123456 --signing-secret bridge/rail/signing --api-secret bridge/rail/api    in AWS";

impl Delete {
    pub(super) async fn run(self) -> Result<(), OperatorError> {
        let needed = needed(&self.routes)?;
        let bridge = self.target.open(&RailApi::CHANGING).await?;
        let failed = |error| bridge.failure(&error);
        let snapshot = bridge.subscriptions.snapshot().await.map_err(failed)?;
        let id = &self.id;
        match snapshot.subscriptions.iter().find(|it| it.id == self.id) {
            Some(it) => {
                let needs = match needed.types.contains(&it.event_type) {
                    true => "; a route needs this type: if no other subscription exists, Rail stops sending its events",
                    false => "",
                };
                out!("Subscription {id} for {}{needs}.", it.event_type);
            }
            None if snapshot.stored.holds(&self.id) => {
                out!("Rail has no subscription {id}; the secret holds a key of that label.");
            }
            None => return Err(failed(Error::NoSuchSubscription(id.clone()))),
        }
        if !self.yes && !confirm("Delete it?", "pass `--yes`")? {
            return Ok(());
        }
        let deleted = bridge.subscriptions.delete(&snapshot, &self.id).await.map_err(failed)?;
        let at_rail = match deleted.event_type {
            Some(_) => format!("{id} is deleted at Rail"),
            None => format!("{id} was not at Rail"),
        };
        let key = match (deleted.key_removed, snapshot.stored.holds(&self.id)) {
            (true, _) => "its key is removed",
            (false, true) => "its key is kept: a function does not start without a key",
            (false, false) => "the secret had no key for it",
        };
        out!("{at_rail}; {key}.");
        Ok(())
    }
}
