//! `bridge console`: the page of `bridge dev` over a deployed table.

use std::convert::Infallible;
use std::future::pending;

use clap::Args;
use operator::{OperatorError, Parts, Place};
use page::console::serve;

use crate::routes::file::RoutesFile;
use crate::target::Account;
use crate::terminal::{interrupted, out};

/// Show a deployed bridge in the browser: pending and dead events with the reason, timelines, redrive, dismiss, pause
///
/// Serves the page on 127.0.0.1 only, to anyone with the printed URL; its token is valid while this command runs. It uses your
/// own AWS credentials, and reads the table only while the page is open.
#[derive(Args)]
#[command(after_help = EXAMPLES, after_long_help = EXAMPLES)]
pub(crate) struct Console {
    /// The port of the page, on 127.0.0.1; 0 for any free port
    #[arg(long, default_value_t = 9010)]
    port: u16,
    #[command(flatten)]
    routes: RoutesFile,
    #[command(flatten)]
    target: Target,
}

/// Without `--stack` and `--table`: the bridge that `bridge dev` runs on this machine.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Where")]
struct Target {
    /// The CloudFormation stack; its outputs name the tables and the function
    #[arg(long, value_name = "NAME", group = "deployed")]
    stack: Option<String>,
    /// The events table in AWS. Without it and without `--stack`: the bridge that `bridge dev` runs on this machine
    #[arg(long, value_name = "NAME", group = "deployed")]
    table: Option<String>,
    /// With `--table`: the customers table, to show who customers are
    #[arg(long, value_name = "NAME", requires = "table", conflicts_with = "stack")]
    customers_table: Option<String>,
    /// With `--table`: the name of the redrive function
    #[arg(long, value_name = "NAME", requires = "table", conflicts_with = "stack")]
    function: Option<String>,
    #[command(flatten)]
    account: Account,
}

const EXAMPLES: &str = "Examples:
  bridge console                                         the bridge on this machine
  bridge console --stack bridge --profile prod           one in AWS, by its stack
  bridge console --table events --customers-table customers --function bridge-redrive";

impl Console {
    pub(crate) async fn run(self) -> Result<(), OperatorError> {
        tokio::select! {
            biased;
            () = interrupted() => {
                out!("");
                Ok(())
            }
            failed = self.serve() => failed.map(|never| match never {}),
        }
    }

    async fn serve(self) -> Result<Infallible, OperatorError> {
        let routes = self.routes.read()?;
        let place = self.target.open().await?;
        let name = place.name();
        let serving = serve(place, routes, self.port).await?;
        out!("The page over {name}: {}", serving.url());
        out!("Anyone with this URL can act with your AWS permissions. Ctrl-C ends it.");
        Ok(pending().await)
    }
}

impl Target {
    async fn open(&self) -> Result<Place, OperatorError> {
        let parts = Parts {
            events_table: self.table.clone(),
            customers_table: self.customers_table.clone(),
            redrive_function: self.function.clone(),
            ..Parts::default()
        };
        self.account.open(self.stack.as_deref(), parts, "--stack").await
    }
}

#[cfg(test)]
mod tests;
