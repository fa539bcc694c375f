//! `bridge rail subscriptions rotate`: new keys in place of the old ones, without a delivery refused.

use std::collections::BTreeSet;
use std::time::Duration;

use clap::Args;
use operator::OperatorError;
use operator::rail_subscriptions::{RailApi, Rotation};
use operator::times::ago;
use operator::times::span;
use operator::words::counted;
use shared::outside::secrets::{COOL_DOWN, MAX_AGE};

use super::report::{conclude, needed, tell};
use super::target::{CallbackArg, Target};
use crate::routes::file::RoutesFile;
use crate::terminal::{confirm, out};

/// Replace subscriptions and their keys with new ones
///
/// For each event type it creates a new subscription beside the old one, one every 15 s, and adds its key to the secret. Then it
/// deletes the old subscriptions, and last their keys. It waits between these steps, so that the functions read the new keys and
/// the last deliveries of the old subscriptions arrive: the functions cannot be asked which keys they have read.
/// You can stop it at any moment; the next run continues, and waits again. While both subscriptions exist, an event arrives from
/// both. According to Rail's documentation both deliveries have the same event id, so the second is a duplicate.
#[derive(Args)]
#[command(after_help = EXAMPLES, after_long_help = EXAMPLES)]
pub(super) struct Rotate {
    /// Only this event type [default: all that routes need]
    #[arg(long, value_name = "TYPE")]
    event: Option<String>,
    #[command(flatten)]
    callback: CallbackArg,
    /// Wait this long before the old subscriptions are deleted, and again before their keys are; at least 15s
    #[arg(long, value_name = "SPAN", default_value = "5m", value_parser = patience)]
    after: Duration,
    /// Print the plan and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask for confirmation
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    routes: RoutesFile,
    #[command(flatten)]
    target: Target,
}

const EXAMPLES: &str = "Examples:
  bridge rail subscriptions rotate --event TRANSACTION_POSTED
  bridge rail subscriptions rotate --after 30s --yes
  bridge rail subscriptions rotate --signing-secret bridge/rail/signing --api-secret bridge/rail/api \\
    --callback-url https://api.example.com/webhooks/rail --profile prod    in AWS";

/// A function reads the secret at once when a signature fits no key, unless it has just done so; and in any case after five
/// minutes, which is also how long a delivery's timestamp counts.
const LEAST_PATIENCE: Duration = Duration::from_secs(15);
const _: () = assert!(LEAST_PATIENCE.as_secs() > COOL_DOWN.as_secs() && MAX_AGE.as_secs() == 300);

impl Rotate {
    pub(super) async fn run(self) -> Result<(), OperatorError> {
        let needed = needed(&self.routes)?;
        if let Some(event) = self.event.as_ref().filter(|event| !needed.types.contains(*event)) {
            return Err(OperatorError::usage(
                format!("No route needs `{event}`"),
                "`bridge rail subscriptions list` shows what is needed; `delete ID` deletes what is not",
            ));
        }
        let bridge = self.target.open(&RailApi::CHANGING).await?;
        let url = self.callback.resolve(&bridge)?;
        let failed = |error| bridge.failure(&error);
        let rotation = Rotation {
            required: &needed.types,
            callback_url: &url,
            only: self.event.as_deref(),
            pace: LEAST_PATIENCE,
            pause: self.after,
        };
        let snapshot = bridge.subscriptions.snapshot().await.map_err(failed)?;
        let begun = rotation.under_way(&snapshot);
        let fresh = rotation.to_start(&snapshot, &begun).map_err(failed)?;
        let joined = |types: &BTreeSet<String>| types.iter().cloned().collect::<Vec<_>>().join(", ");
        out!("Subscriptions for {url}, keys in {}:", bridge.place.name());
        if !begun.is_empty() {
            out!("  continue  {}", joined(&begun));
        }
        if !fresh.is_empty() {
            out!("  rotate    {}", joined(&fresh));
        }
        let rest = needed.types.len() - begun.len() - fresh.len();
        if self.event.is_none() && rest > 0 {
            out!("{} not changed: not in sync, or left for the next rotation.", counted(rest, "event type"));
        }
        if begun.is_empty() && fresh.is_empty() {
            out!("Nothing to rotate.");
            return Ok(());
        }
        out!(
            "It creates a new subscription every {}, deletes the old ones after {}, and removes their keys after as long again.",
            span(LEAST_PATIENCE),
            span(self.after)
        );
        if self.dry_run {
            return Ok(());
        }
        if !self.yes && !confirm("Rotate?", "`--dry-run` shows what would be rotated, `--yes` goes ahead")? {
            return Ok(());
        }
        let outcome = bridge.subscriptions.rotate(&rotation, tell).await.map_err(failed)?;
        conclude(&outcome)?;
        out!("Rotated. The old keys stay valid as the secret's previous version until the secret is written again.");
        Ok(())
    }
}

fn patience(text: &str) -> Result<Duration, String> {
    let span = ago(text).ok_or("a span such as 30s, 5m, 1h")?;
    if span < LEAST_PATIENCE {
        return Err(format!(
            "at least {} s: a function that has just read the secret does not read it sooner",
            LEAST_PATIENCE.as_secs()
        ));
    }
    Ok(span)
}
