//! `bridge rail subscriptions sync`: Rail and the secret in sync with the routes.

use std::collections::BTreeSet;
use std::io;

use clap::Args;
use operator::OperatorError;
use operator::rail_subscriptions::plan::{Step, plan};
use operator::rail_subscriptions::{CallbackUrl, RailApi};
use operator::words::counted;

use super::list::remark;
use super::report::{conclude, needed, tell, unneeded};
use super::target::{CallbackArg, Target};
use crate::routes::file::RoutesFile;
use crate::terminal::{Lines, confirm, out, print};

/// Create the subscriptions that routes.toml needs, and put their keys into the signing secret
///
/// Prints the plan, then asks. You can stop it at any moment; the next run continues. It does not change subscriptions of other
/// URLs, nor keys that it did not write.
#[derive(Args)]
#[command(after_help = EXAMPLES, after_long_help = EXAMPLES)]
pub(super) struct Sync {
    #[command(flatten)]
    callback: CallbackArg,
    /// Print the plan and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Also delete this URL's subscriptions that no route needs, and keys whose subscriptions no longer exist
    #[arg(long)]
    prune: bool,
    /// Do not ask for confirmation
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    routes: RoutesFile,
    #[command(flatten)]
    target: Target,
}

const EXAMPLES: &str = "Examples:
  bridge rail subscriptions sync --dry-run
  bridge rail subscriptions sync --prune --yes
  bridge rail subscriptions sync --signing-secret bridge/rail/signing --api-secret bridge/rail/api \\
    --callback-url https://api.example.com/webhooks/rail --profile prod    in AWS";

impl Sync {
    pub(super) async fn run(self) -> Result<(), OperatorError> {
        let needed = needed(&self.routes)?;
        let bridge = self.target.open(&RailApi::CHANGING).await?;
        let url = self.callback.resolve(&bridge)?;
        let failed = |error| bridge.failure(&error);
        let snapshot = bridge.subscriptions.snapshot().await.map_err(failed)?;
        let steps = plan(&snapshot, &needed.types, &url, self.prune, &BTreeSet::new());
        let spared = if self.prune { 0 } else { unneeded(&snapshot, &needed, &url) };
        print(|out| write(out, &steps, &url, &bridge.place.name(), spared))?;
        if self.dry_run || steps.is_empty() {
            return Ok(());
        }
        if !self.yes && !confirm("Do this?", "`--dry-run` shows the plan, `--yes` goes ahead")? {
            return Ok(());
        }
        // The answer may take a while.
        let snapshot = bridge.subscriptions.snapshot().await.map_err(failed)?;
        if plan(&snapshot, &needed.types, &url, self.prune, &BTreeSet::new()) != steps {
            return Err(OperatorError::refused(
                "Rail or the secret has changed since the plan was made. Nothing was changed.",
                "run it again and check the new plan",
            ));
        }
        let outcome =
            bridge.subscriptions.sync(snapshot, &needed.types, &url, self.prune, tell).await.map_err(failed)?;
        conclude(&outcome)?;
        out!("In sync.");
        Ok(())
    }
}

pub(super) fn write(out: &mut Lines, steps: &[Step], url: &CallbackUrl, secret: &str, spared: usize) -> io::Result<()> {
    if steps.is_empty() {
        writeln!(out, "In sync: Rail's subscriptions for {url}, the routes, and {secret}.")?;
    } else {
        writeln!(out, "Subscriptions for {url}, keys in {secret}:")?;
    }
    for step in steps {
        let line = match step {
            Step::CopyKey { event_type, subscription, .. } => {
                format!("take key  {event_type}  {}", subscription.id)
            }
            Step::Create { event_type, orphans, .. } => {
                let instead = match orphans.is_empty() {
                    true => String::new(),
                    false => format!(
                        ", and delete {}, whose key is not available (unless Rail returns it again)",
                        orphans.join(", ")
                    ),
                };
                format!("create    {event_type}{}{instead}", remark(event_type))
            }
            Step::DeleteOrphan { event_type, id } => {
                format!("delete    {event_type}  {id}: its key is not available")
            }
            Step::DeleteUnused { event_type, id } => {
                format!("delete    {event_type}  {id}: no route needs it")
            }
            Step::RemoveKeys { ids } => {
                format!("remove    {} whose subscriptions no longer exist", counted(ids.len(), "key"))
            }
        };
        writeln!(out, "  {line}")?;
    }
    match spared {
        0 => Ok(()),
        spared => {
            writeln!(out, "Kept: {} that no route needs. `--prune` deletes them.", counted(spared, "subscription"))
        }
    }
}
