//! `bridge console`: the page of `bridge dev` over a deployed table.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use clap::Args;
use local::front::{Answer, Front};
use shared::clock::Clock;
use shared::customer::reference::CustomerRef;
use shared::outside::http::Http;
use shared::record::event::DUE_DEAD;
use shared::route::routes::Routes;
use tokio::task::JoinSet;

use crate::aws::{Bridge, aws_config, dev_file, http};
use crate::cloudformation::Outputs;
use crate::events::{RoutesFile, interrupted};
use crate::failure::Failure;
use crate::page::Page;
use crate::page::board::{Board, MAX_ROWS};
use crate::page::guard::{Guard, Reading};

mod indexed;

/// See a deployed bridge in the browser: what waits and why, each event's timeline, redrive, pause and resume
///
/// The page is served on 127.0.0.1 alone, to whoever has the address that is printed: its token is good for as long as this
/// runs. What you do there is done with your own AWS credentials. The table is read only while the page is open.
#[derive(Args)]
#[command(after_help = EXAMPLES, after_long_help = EXAMPLES)]
pub(crate) struct Console {
    /// Where the page is, on 127.0.0.1; 0 takes any free port
    #[arg(long, default_value_t = 9010)]
    port: u16,
    #[command(flatten)]
    routes: RoutesFile,
    #[command(flatten)]
    place: Place,
}

/// Without --stack and --table: the bridge that `bridge dev` runs here.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Where")]
struct Place {
    /// This CloudFormation stack: its outputs name the tables and the function
    #[arg(long, value_name = "NAME", group = "deployed")]
    stack: Option<String>,
    /// This events table in AWS; without it and --stack, the bridge that `bridge dev` runs here
    #[arg(long, value_name = "NAME", group = "deployed")]
    table: Option<String>,
    /// With --table: the customers table, to say who customers are
    #[arg(long, value_name = "NAME", requires = "table", conflicts_with = "stack")]
    customers_table: Option<String>,
    /// With --table: the function that redrives
    #[arg(long, value_name = "NAME", requires = "table", conflicts_with = "stack")]
    function: Option<String>,
    /// AWS region, unless environment or profile say
    #[arg(long, value_name = "REGION", requires = "deployed")]
    region: Option<String>,
    /// AWS profile, unless the environment says
    #[arg(long, value_name = "NAME", requires = "deployed")]
    profile: Option<String>,
}

const EXAMPLES: &str = "Examples:
  bridge console                                         the bridge that runs here
  bridge console --stack bridge --profile prod           one in AWS, by its stack
  bridge console --table events --customers-table customers --function bridge-redrive";

/// What a deployed bridge calls its parts.
#[derive(Debug, Eq, PartialEq)]
struct Parts {
    table: String,
    customers_table: Option<String>,
    /// Or why there is none.
    function: Result<String, String>,
}

/// What the page is over.
struct Site {
    bridge: Bridge,
    customers_table: Option<String>,
    function: Result<Option<String>, String>,
}

/// A page that is served for as long as this lives.
struct Serving {
    front: Front,
    page: Arc<Page>,
    _working: JoinSet<()>,
}

/// The keys of ten thousand events are a tenth of it.
const MAX_BODY_BYTES: usize = 8 * 1024 * 1024;

/// A customer that is nobody's: the answer tells that the table can be read.
const NOBODY: &str = "bridge-console:nobody";

impl Console {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let routes = self.routes.read()?;
        let site = self.place.open(&http()?).await?;
        let serving = site.serve(routes, self.port, indexed::LOOK_EVERY).await?;
        println!("The page over {}: {}", serving.page.bridge.name(), serving.url());
        println!("Whoever has this address has your rights on it. Ctrl-C ends it.");
        interrupted().await;
        println!();
        Ok(())
    }
}

impl Place {
    async fn open(&self, http: &Http) -> Result<Site, Failure> {
        let config = async || aws_config(self.region.as_deref(), self.profile.as_deref(), http).await;
        let (config, parts) = match (&self.stack, &self.table) {
            (Some(stack), _) => {
                let config = config().await?;
                let parts = Parts::of(stack, &Outputs::read(stack, &config).await?)?;
                (config, parts)
            }
            (None, Some(table)) => (config().await?, self.parts(table)),
            (None, None) => {
                let dev = dev_file("--stack NAME or --table NAME works on one in AWS")?;
                let customers_table = Some(dev.customers_table.clone());
                return Ok(Site { bridge: Bridge::here(dev, http), customers_table, function: Ok(None) });
            }
        };
        Ok(Site {
            bridge: Bridge::deployed(config, parts.table),
            customers_table: parts.customers_table,
            function: parts.function.map(Some),
        })
    }

    /// As the flags beside --table have them.
    fn parts(&self, table: &str) -> Parts {
        let function = self.function.clone().ok_or_else(|| {
            "which function redrives is not said: start `bridge console` with --stack NAME, or with --function NAME"
                .to_owned()
        });
        Parts { table: table.to_owned(), customers_table: self.customers_table.clone(), function }
    }
}

impl Parts {
    /// As a stack's outputs have them.
    fn of(stack: &str, outputs: &Outputs) -> Result<Self, Failure> {
        let lacks = |name: &str| format!("stack {stack} has no output {name}");
        let named = |name: &str| outputs.named(name).map(str::to_owned);
        let table = named("EventsTableName").ok_or_else(|| {
            Failure::usage(
                lacks("EventsTableName"),
                "is it a stack of this version's template.yaml? --table NAME goes without its outputs",
            )
        })?;
        let function = named("RedriveFunctionName").ok_or_else(|| {
            format!(
                "{}: deploy this version's template.yaml, or name --table and --function",
                lacks("RedriveFunctionName")
            )
        });
        Ok(Self { table, customers_table: named("CustomersTableName"), function })
    }
}

impl Site {
    /// Reads a little of the tables, so that what is wrong is told at once, then serves the page.
    async fn serve(self, routes: Routes, port: u16, look_every: Duration) -> Result<Serving, Failure> {
        let Self { bridge, customers_table, function } = self;
        let resolver = bridge.resolver(customers_table.as_deref());
        bridge.store.end_of(DUE_DEAD, false, 1).await.map_err(|error| bridge.failure(&error))?;
        if let (Some(customers), Ok(nobody)) = (&resolver.customers, CustomerRef::parse(NOBODY)) {
            customers.find(&nobody).await.map_err(|error| bridge.customers_failure(&error))?;
        }
        let function = match function {
            Ok(named) => Ok(Arc::new(bridge.redrive_function(named.as_deref())?)),
            Err(why) => Err(why),
        };

        // The page has to know its port, which is known once there is somebody to answer.
        let answering: Arc<OnceLock<Arc<Page>>> = Arc::default();
        let serving = Arc::clone(&answering);
        let front = Front::start(port, MAX_BODY_BYTES, move |request| {
            let page = serving.get().cloned();
            async move {
                match page {
                    Some(page) => page.answer(request).await,
                    None => Answer::Reset,
                }
            }
        });
        let front = front.map_err(|error| {
            Failure::outside(
                format!("127.0.0.1:{port} cannot be listened on: {error}"),
                "is another `bridge console` open? --port 0 takes any free port",
            )
        })?;
        let page = Arc::new(Page {
            guard: Guard::new(front.addr().port(), Reading::WithToken)?,
            limits: limits(resolver.customers.is_some()),
            bridge,
            resolver,
            function,
            routes,
            board: Arc::new(Board::new(false, Clock::system().now())),
            bench: None,
            redriving: Arc::default(),
            pauses: Mutex::default(),
        });
        // Nobody else has set it.
        let _ = answering.set(Arc::clone(&page));

        let mut working = JoinSet::new();
        let following = Arc::clone(&page);
        working.spawn(async move { indexed::follow(&following.bridge, &following.board, look_every).await });
        let keeping_up = Arc::clone(&page);
        working.spawn(async move { keeping_up.keep_up().await });
        Ok(Serving { front, page, _working: working })
    }
}

impl Serving {
    /// The address to open.
    fn url(&self) -> String {
        self.page.guard.open_url(&self.front.url())
    }
}

/// What a reader of the page has to know of what it lacks; docs/console.md has the figures' reasons.
fn limits(with_customers: bool) -> Vec<String> {
    let every = indexed::LOOK_EVERY.as_secs();
    let customers = match with_customers {
        true => "A customer is known when the body or the customers table says who it is; no provider is asked.",
        false => {
            "A customer is known when the body says who it is: no customers table was named, and no provider is asked."
        }
    };
    vec![
        format!(
            "A deployed table tells nobody what is written. While this page is open its index is read every {every} s (with \
             10,000 events in it every {}), and what has changed there is looked up.",
            2 * every
        ),
        "The index has what is pending or dead. Delivered and ignored events are listed only if this page has seen them wait; \
         most are delivered too soon for that. Searching an event's id finds it in any state."
            .to_owned(),
        format!(
            "At most {},{:03} events are listed: where more wait, those that died last and those tried next, and from then \
             on what happens.",
            MAX_ROWS / 1000,
            MAX_ROWS % 1000,
        ),
        "Rates count what this page has seen, when it saw it. How long acknowledgements took is not in the table: the \
         functions' metrics have it."
            .to_owned(),
        customers.to_owned(),
        "A look at the index costs 4.5 read units with up to some 450 events in it, and about 100 with 10,000; each event that \
         has changed costs one unit more, and one for each 4 KB of it."
            .to_owned(),
    ]
}

#[cfg(test)]
pub(crate) mod tests;
