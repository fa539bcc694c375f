//! Where a verb works, as flags: on the bridge that `bridge dev` runs on this machine, or on one in AWS.

use clap::Args;
use local::binaries::workspace_root;
use operator::{OperatorError, Parts, Place, Target};

/// How AWS is reached. Each command that has these names a bridge in AWS by an argument of the group `deployed`.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Account {
    /// AWS region [default: from the environment or the profile]
    #[arg(long, value_name = "REGION", requires = "deployed", help_heading = "Where")]
    region: Option<String>,
    /// AWS profile; its credentials override keys in the environment
    #[arg(long, value_name = "NAME", requires = "deployed", help_heading = "Where")]
    profile: Option<String>,
}

/// Without --table: the bridge that `bridge dev` runs here.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Where")]
pub(crate) struct EventsTarget {
    /// Use this events table in AWS, with your AWS credentials [default: the bridge that `bridge dev` runs here]
    #[arg(long, value_name = "NAME", group = "deployed")]
    table: Option<String>,
    #[command(flatten)]
    account: Account,
}

/// Without --customers-table: the bridge that `bridge dev` runs here.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Where")]
pub(crate) struct CustomersTarget {
    /// Use this customers table in AWS, with your AWS credentials [default: the bridge that `bridge dev` runs here]
    #[arg(long, value_name = "NAME", group = "deployed")]
    customers_table: Option<String>,
    #[command(flatten)]
    account: Account,
}

impl Account {
    /// Opens the stack or the parts that other flags name; `flag` is the first of them.
    pub(crate) async fn open(&self, stack: Option<&str>, parts: Parts, flag: &str) -> Result<Place, OperatorError> {
        let Self { region, profile } = self.clone();
        let target = Target { stack: stack.map(str::to_owned), parts, region, profile };
        Place::open(target, &workspace_root(), flag).await
    }
}

impl EventsTarget {
    /// `others` are the parts that other flags name.
    pub(crate) async fn open(&self, others: Parts) -> Result<Place, OperatorError> {
        self.account.open(None, Parts { events_table: self.table.clone(), ..others }, "--table").await
    }
}

impl CustomersTarget {
    pub(crate) async fn open(&self, events_table: Option<&str>) -> Result<Place, OperatorError> {
        let (events_table, customers_table) = (events_table.map(str::to_owned), self.customers_table.clone());
        self.account.open(None, Parts { events_table, customers_table, ..Parts::default() }, "--customers-table").await
    }
}
