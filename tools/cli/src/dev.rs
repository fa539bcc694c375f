//! `bridge dev`: the whole bridge on this machine, with every sample event played through it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use local::binaries::{Profile, build_functions_unless_dropped, workspace_root};
use local::gateway::Exchange;
use local::lambda_host::{LOCAL_ACCOUNT, LogSink};
use local::returning_ai::Message;
use local::samples::{self, Outcome, Sample};
use local::stack::{FUNCTIONS, Stack, StackError, StackOptions};
use operator::customers::import::import_file;
use operator::dev_file::{DevFileGuard, write_private};
use operator::error::with_causes;
use operator::network::http;
use operator::{OperatorError, Place};
use page::board::Board;
use page::dev::{dev_file, note_answer, serve};
use route::routes::Routes;
use serde_json::Value;
use shared::clock::Clock;
use tokio::sync::mpsc::{Sender, channel};

use self::capture::{Arrival, Capture, MOST_WAITING, note_arrival};
use crate::delivery::unplayed;
use crate::routes::file::RoutesFile;
use crate::terminal::{interrupted, note, out};

mod capture;
mod chaos;
mod sandbox;
mod watch;

/// Run the whole bridge on this machine and send the sample events
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Dev {
    /// Stop after the sample events; exit 0 only if all results are as expected
    #[arg(long)]
    once: bool,
    /// The port of the webhooks; 0 for any free port
    #[arg(long, default_value_t = 9000)]
    port: u16,
    /// Keep the tables and the secrets in this folder between runs. Without it: in memory
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Use the real systems whose secrets are in this file, and stand-ins for the others. Sends no samples
    #[arg(long, value_name = "FILE", conflicts_with_all = ["once", "chaos"])]
    secrets: Option<PathBuf>,
    /// Print a template of the file for `--secrets`
    #[arg(long, exclusive = true)]
    secrets_template: bool,
    /// With `--secrets`: a second port, which answers the webhooks and nothing else, for a tunnel; 0 for any free port
    #[arg(long, value_name = "PORT", requires = "secrets")]
    webhook_port: Option<u16>,
    /// Print the functions' log lines
    #[arg(long)]
    logs: bool,
    /// Save each event that arrives as a sample: its redacted body and its expected outcome
    #[arg(long, conflicts_with_all = ["once", "chaos"])]
    capture: bool,
    /// The folder with the samples [default: `events` of the checkout]
    #[arg(long, value_name = "DIR")]
    samples: Option<PathBuf>,
    /// Instead of the samples: cause faults and process kills for a while, and check that no event is lost
    #[arg(long, conflicts_with_all = ["once", "data"])]
    chaos: bool,
    /// With `--chaos`: how many events are sent
    #[arg(long, value_name = "N", default_value_t = 200, requires = "chaos", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    events: u32,
    /// With `--chaos`: the seed of all faults. The same seed repeats them, as far as concurrent processes allow
    #[arg(long, value_name = "S", requires = "chaos")]
    seed: Option<u64>,
}

const EXAMPLES: &str = "Examples:
  bridge dev                        send the samples, then keep running for `bridge send` and curl
  bridge dev --once                 for scripts: exit 0 if all results are as expected
  bridge dev --data .bridge --logs  keep the table, show every log line
  bridge dev --capture              make a sample of each event that arrives
  bridge dev --secrets .bridge/secrets.json --webhook-port 9100    the sandboxes: docs/sandbox.md
  bridge dev --chaos --seed 7       exit 0 if no acknowledged event is lost, whatever fails";

/// How many calls the stand-ins remember: far more than the samples make, in at most a few megabytes.
const REMEMBERED: usize = 1_000;

impl Dev {
    pub(crate) async fn run(self) -> Result<(), OperatorError> {
        if self.secrets_template {
            operator::sandbox::template().lines().for_each(|line| out!("{line}"));
            return Ok(());
        }
        // Before Ctrl-C is waited for: the file may be a pipe that nobody writes to.
        let real = self.secrets.as_deref().map(sandbox::secrets).transpose()?.unwrap_or_default();
        let stays = !self.once && !self.chaos;
        tokio::select! {
            biased;
            () = interrupted() => {
                out!("");
                match stays {
                    true => Ok(()),
                    false => Err(OperatorError::outside("Interrupted before it was complete", "run it again")),
                }
            }
            ended = self.run_to_end(real) => ended,
        }
    }

    async fn run_to_end(self, real: BTreeMap<String, Value>) -> Result<(), OperatorError> {
        let root = workspace_root();
        let folder = self.samples.clone().unwrap_or_else(|| root.join("events"));
        let samples = samples::load(&folder).map_err(|error| {
            OperatorError::usage(error, "run it inside a checkout of the bridge, or pass `--samples`")
        })?;
        let routes = Arc::new(RoutesFile::default().read()?);

        note!("Building the functions ...");
        let functions = build_functions_unless_dropped(Profile::Debug)
            .await
            .map_err(|error| OperatorError::outside(with_causes(&error), "see the messages of the compiler above"))?;
        let telling = Arc::new(AtomicBool::new(false));
        let board = Arc::new(Board::new(true, Clock::system().now()));
        let (arrivals, arriving) = channel(MOST_WAITING);
        let arrivals = self.capture.then_some(arrivals);
        let options = self.options(functions.clone(), &routes, &telling, &board, arrivals);
        let stack = Stack::start(StackOptions { real, ..options }).await.map_err(|error| match error {
            StackError::Folder { .. } => OperatorError::usage(error, "name another folder with `--data`"),
            _ => OperatorError::outside(
                with_causes(&error),
                "check whether another `bridge dev` is running; `--port 0` takes a free port",
            ),
        })?;
        let stack = Arc::new(stack);

        if !sandbox::asks_a_real_api(&stack) {
            let here = Place::local(&dev_file(&stack), http()?);
            import_file(&folder.join("customers.csv"), &routes, &here).await?;
        }

        let ended = if self.chaos {
            let seed = self.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
            let _up = announce(&stack, &root)?;
            chaos::run(&stack, &samples, self.events, seed).await
        } else if self.once {
            play_all(&stack, &samples).await
        } else {
            let introduction = sandbox::introduction(&stack, &routes);
            let _page = serve(&stack, samples.clone(), Arc::clone(&routes), board)?;
            out!("The page is at {}/. It shows events as they arrive.", stack.url());
            out!("");
            if !stack.uses_real_systems() {
                // It prints what is not as expected. The bridge keeps running, so that a person can examine it.
                let _ = play_all(&stack, &samples).await;
            }
            telling.store(true, Ordering::Relaxed);
            let _up = announce(&stack, &root)?;
            match stack.uses_real_systems() {
                true => introduction.iter().for_each(|line| out!("{line}")),
                false => print_next_steps(&stack),
            }
            out!("Redrive runs every {} s. Ctrl-C ends the bridge.", watch::REDRIVE_EVERY.as_secs());
            let capture = Capture { stack: &stack, routes: &routes, functions, samples: folder };
            tokio::select! {
                watched = watch::watch(&stack) => watched,
                () = capture.follow(arriving), if self.capture => Ok(()),
            }
        };
        stack.shutdown().await;
        ended
    }

    fn options(
        &self,
        functions: PathBuf,
        routes: &Routes,
        telling: &Arc<AtomicBool>,
        board: &Arc<Board>,
        arrivals: Option<Sender<Arrival>>,
    ) -> StackOptions {
        let (telling, board) = (Arc::clone(telling), Arc::clone(board));
        StackOptions {
            data: self.data.clone(),
            port: self.port,
            webhook_port: self.webhook_port,
            workflows: routes.workflows(),
            incoming_webhooks: routes.incoming_webhooks(),
            log: if self.logs { LogSink::passing_on(|line| note!("{line}")) } else { LogSink::default() },
            observer: Some(Arc::new(move |exchange| {
                note_answer(&board, exchange);
                if telling.load(Ordering::Relaxed) {
                    tell(exchange);
                    arrivals.iter().for_each(|arrivals| note_arrival(arrivals, exchange));
                }
            })),
            // The storm's tally needs all of it.
            remembered: (!self.chaos).then_some(REMEMBERED),
            ..StackOptions::new(functions)
        }
    }
}

/// Lets the verbs that work on a table find this bridge, until the returned value is dropped.
fn announce(stack: &Stack, root: &Path) -> Result<DevFileGuard, OperatorError> {
    let path = operator::dev_file::path(root);
    let unwritable = |path: &Path, error: &io::Error| {
        OperatorError::outside(
            format!("{} cannot be written: {error}", path.display()),
            "check that you may write to the checkout",
        )
    };
    let guard = dev_file(stack).write(root).map_err(|error| unwritable(&path, &error))?;
    for function in FUNCTIONS {
        let path = path.with_file_name(format!("{function}.env"));
        write_private(&path, &environment(stack, function)).map_err(|error| unwritable(&path, &error))?;
    }
    Ok(guard)
}

/// What `cargo lambda watch --env-file` is to give a function, so that it works on this bridge's table and secrets.
fn environment(stack: &Stack, function: &str) -> String {
    let account = LOCAL_ACCOUNT.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let variables = stack.function_spec(function).env.into_iter().chain(account);
    variables.map(|(name, value)| format!("{name}={value}\n")).collect()
}

/// Plays every sample, one after the other, and prints the result of each.
async fn play_all(stack: &Stack, samples: &[Sample]) -> Result<(), OperatorError> {
    let mut wrong = 0;
    let width = samples.iter().map(|sample| sample.name.len()).max().unwrap_or_default();
    out!("{:<width$}   {:<10} {:>8}  {:<9}  Returning.AI got", "event", "answer", "ack", "state");
    for sample in samples {
        let outcome = sample.play(stack).await.map_err(|error| unplayed(&error))?;
        let differences = sample.differences(&outcome);
        print(sample, &outcome, &differences, width);
        wrong += usize::from(!differences.is_empty());
    }
    out!("");
    out!(
        "{} events: {} as expected, {wrong} not. {} messages at Returning.AI, {} violations of its rules.",
        samples.len(),
        samples.len() - wrong,
        stack.returning_ai.all_messages().len(),
        stack.returning_ai.violations().len(),
    );
    if wrong > 0 {
        return Err(OperatorError::refused(
            format!("{wrong} sample events did not end as `events/expected.toml` expects"),
            "see the lines above marked ✗; `--logs` shows the log lines of the functions",
        ));
    }
    Ok(())
}

fn summary(message: &Message) -> String {
    let text = |name: &str| message.body.get(name).and_then(|value| value.as_str()).unwrap_or("?");
    format!("{} for {} → {}", text("eventType"), text("customerId"), message.workflow)
}

fn print(sample: &Sample, outcome: &Outcome, differences: &[String], width: usize) {
    let mut got: Vec<String> = outcome.messages.iter().map(summary).collect();
    got.extend(outcome.skips.iter().map(|route| format!("{route} has already delivered one")));
    got.extend(outcome.waits_for.iter().map(|error| format!("waits: {error}")));
    let got = if got.is_empty() { "–".to_owned() } else { got.join("; ") };
    let mark = if differences.is_empty() { ' ' } else { '✗' };
    let ack = format!("{:.1} ms", outcome.ack.as_secs_f64() * 1000.0);
    out!("{:<width$} {mark} {:<10} {ack:>8}  {:<9}  {got}", sample.name, outcome.answer, outcome.state);
    for difference in differences {
        out!("    ✗ {difference}");
    }
}

fn tell(exchange: &Exchange) {
    let ms = exchange.ack.as_secs_f64() * 1000.0;
    out!("{} {} {} in {ms:.1} ms", exchange.method, exchange.path, exchange.status);
}

/// Prints what a person can do now.
fn print_next_steps(stack: &Stack) {
    out!("");
    out!("The bridge is running, and its page is at {}/. Send events from there, or from a terminal:", stack.url());
    out!("  cargo run -- send rail events/rail/account_open.json --fresh");
    out!("  cargo run -- sign rillis events/rillis/flow_completed.json --as curl | sh");
    out!(
        "One KYC event waits for its customer, who is not registered yet. Register the customer, and redrive delivers it:"
    );
    out!("  cargo run -- customers put rillis-user:69d2a91e5eee513d753f2c77 --customer-id C-1010");
}
