//! `bridge rail`: what the bridge has set up at Rail.

mod delete;
mod list;
mod report;
mod rotate;
mod sync;
mod target;

use clap::{Args, Subcommand};
use operator::OperatorError;

/// Manage the subscriptions at Rail
#[derive(Args)]
pub(crate) struct Rail {
    #[command(subcommand)]
    verb: RailVerb,
}

#[derive(Subcommand)]
enum RailVerb {
    Subscriptions(Subscriptions),
}

/// Rail's subscriptions for the event types of routes.toml; their keys are written into the signing secret
#[derive(Args)]
struct Subscriptions {
    #[command(subcommand)]
    verb: SubscriptionsVerb,
}

#[derive(Subcommand)]
enum SubscriptionsVerb {
    List(list::List),
    Sync(sync::Sync),
    Rotate(rotate::Rotate),
    Delete(delete::Delete),
}

impl Rail {
    pub(crate) async fn run(self) -> Result<(), OperatorError> {
        let RailVerb::Subscriptions(subscriptions) = self.verb;
        match subscriptions.verb {
            SubscriptionsVerb::List(list) => list.run().await,
            SubscriptionsVerb::Sync(sync) => sync.run().await,
            SubscriptionsVerb::Rotate(rotate) => rotate.run().await,
            SubscriptionsVerb::Delete(delete) => delete.run().await,
        }
    }
}
