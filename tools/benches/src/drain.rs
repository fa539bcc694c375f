//! How fast redrive works off what an outage has left, with how much memory, CPU and how many reads (`tools/benches/README.md`).

mod quota;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::future::try_join_all;
use local::binaries::{Profile, build_functions};
use local::dynamodb::EVENTS_TABLE;
use local::faults::When;
use local::lambda_host::{LambdaHost, ProcessStats};
use local::returning_ai::Fault;
use local::stack::{FUNCTIONS, REDRIVE, Stack, StackOptions};
use serde_json::{Value, json};

use crate::quota::Quota;

/// A busy broker's events of an outage of hours.
const PENDING: usize = 100_000;

/// A drain that takes longer is not waited for: its rate is known by then.
const LONGEST: Duration = Duration::from_secs(60);

/// What a drain works with.
struct Setting {
    memory_mb: u32,
    /// The share of a core that Lambda gives for it: a whole one from 1,769 MB on.
    core: f64,
    /// How long Returning.AI takes for each call; zero is as fast as it can.
    answer_ms: u64,
    /// Of how many workflows the events are.
    workflows: usize,
    /// Schedules side by side, each of which has a process with all of `core`.
    shares: usize,
}

const fn fast(memory_mb: u32, core: f64) -> Setting {
    Setting { memory_mb, core, answer_ms: 0, workflows: 1, shares: 1 }
}

const fn slow(workflows: usize, shares: usize) -> Setting {
    Setting { memory_mb: 1769, core: 1.0, answer_ms: 150, workflows, shares }
}

const SETTINGS: [Setting; 6] =
    [fast(128, 128.0 / 1769.0), fast(512, 512.0 / 1769.0), fast(1769, 1.0), slow(1, 1), slow(4, 1), slow(4, 4)];

/// Each route with its workflow.
const ROUTES: [(&str, &str); 4] = [
    ("deposit-posted", "deposit"),
    ("withdrawal-completed", "withdrawal"),
    ("account-open", "account-status"),
    ("application-approved", "application-status"),
];

const OPERATIONS: [&str; 4] = ["Query", "GetItem", "BatchGetItem", "UpdateItem"];

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let functions = match std::env::args().nth(1) {
        Some(folder) => PathBuf::from(folder),
        None => build_functions(Profile::Release)?,
    };
    println!(
        "| memory | share of a core | kept by | Returning.AI takes | workflows | shares | delivered | runs | in | per second | CPU per event | peak memory | reads and writes per event |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|---|");
    for setting in SETTINGS {
        drain(&functions, &setting).await?;
    }
    Ok(())
}

/// Drains a new table and prints its row.
async fn drain(functions: &Path, setting: &Setting) -> Result<(), Box<dyn Error>> {
    let Setting { memory_mb, core, answer_ms, workflows, shares } = *setting;
    let quota = Quota::of(core);
    let wrapped = tempfile::tempdir_in(functions)?;
    for name in FUNCTIONS {
        quota.wrap(functions, name, wrapped.path())?;
    }
    let routes = &ROUTES[..workflows];
    let options = StackOptions {
        workflows: routes.iter().map(|(_, workflow)| (*workflow).to_owned()).collect(),
        max_processes: shares,
        freeze: false,
        ..StackOptions::new(wrapped.path().to_owned())
    };
    let stack = Arc::new(Stack::start(options).await?);
    if answer_ms > 0 {
        let pause = Duration::from_millis(answer_ms);
        stack.returning_ai.inject(None, Fault::SlowBody(pause), When::UntilCleared);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let pending: Vec<_> = (0..PENDING).map(|number| pending(number, routes[number % routes.len()].0, now)).collect();
    stack.dynamodb.put_raw_all(EVENTS_TABLE, &pending)?;

    let watched = stack.clone();
    let keeper = quota.keep(move || watched.function(REDRIVE).map(LambdaHost::pids).unwrap_or_default());
    let (began, mut runs, mut delivered) = (Instant::now(), 0, 0);
    while delivered < PENDING && began.elapsed() < LONGEST {
        let run = |share| stack.redrive(json!({ "share": [share, shares] }));
        let mut done = 0;
        for counts in try_join_all((0..shares).map(run)).await? {
            done += counts["delivered"].as_u64().and_then(|count| usize::try_from(count).ok()).unwrap_or_default();
        }
        if done == 0 {
            return Err("the runs of all shares delivered nothing".into());
        }
        (runs, delivered) = (runs + 1, delivered + done);
    }
    let took = began.elapsed().as_secs_f64();
    drop(keeper);
    let sent: usize = routes.iter().map(|(_, workflow)| stack.returning_ai.messages(workflow).len()).sum();
    if sent != delivered {
        return Err(format!("{delivered} events are delivered by {sent} messages").into());
    }
    let (cpu, peak_rss_bytes) = stats(&stack).ok_or("the processes are gone")?;
    let per_event = |of_all: f64| of_all / delivered as f64;
    let calls = OPERATIONS.map(|name| format!("{:.3} {name}", per_event(stack.dynamodb.count(name) as f64)));
    println!(
        "| {memory_mb} MB | {:.1} % | {} | {} | {workflows} | {shares} | {delivered} | {runs} | {took:.0} s | {:.0} | {:.0} µs | {:.1} MB | {} |",
        core * 100.0,
        quota.describe(),
        if answer_ms == 0 { "no time".to_owned() } else { format!("{answer_ms} ms") },
        delivered as f64 / took,
        per_event(cpu.as_secs_f64()) * 1e6,
        peak_rss_bytes as f64 / 1e6,
        calls.join(", "),
    );
    stack.shutdown().await;
    // Its processes are gone, so that the control group is empty.
    drop(stack);
    drop(quota);
    Ok(())
}

/// An event whose first attempt failed in the outage, as the table holds it.
fn pending(number: usize, route: &str, now: u64) -> Value {
    let event_id = format!("evt_{number:06}");
    // Every part has events of every route.
    let shard = format!("p{}", number / ROUTES.len() % 8);
    let body = format!(
        r#"{{"event_id":"{event_id}","event_date":"2023-11-20T14:32:18.123456Z","event_type":"TRANSACTION_POSTED","event_data":{{"transaction_id":"txn_{number}","account_id":"CUSTOMER_USD_001","amount":1000.00,"asset_type_id":"FIAT_MAINNET_USD","category":"DEPOSIT","status":"POSTED"}}}}"#
    );
    let received_ms = (now - 600) * 1000;
    json!({
        "pk": { "S": format!("rail#{event_id}") },
        "provider": { "S": "rail" },
        "event_type": { "S": "TRANSACTION_POSTED" },
        "occurred_at": { "N": received_ms.to_string() },
        "received_at": { "N": received_ms.to_string() },
        "state": { "S": "pending" },
        "attempts": { "N": "1" },
        "next_attempt_at": { "N": (now - 60).to_string() },
        "due": { "S": shard },
        "waits_for": { "M": { route: { "N": (now - 60).to_string() } } },
        "body": { "B": base64(body.as_bytes()) },
        "body_encoding": { "S": "identity" },
        "body_sha256": { "S": "0".repeat(64) },
        "taken_by": { "S": "bench" },
        "last_error": { "S": "server_error 503" },
        "history": { "L": [] },
        "deliveries": { "M": { route: { "M": { "state": { "S": "pending" } } } } },
        "expires_at": { "N": (now + 7_776_000).to_string() },
    })
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// The CPU time of all processes together, and the peak memory of the largest.
fn stats(stack: &Stack) -> Option<(Duration, u64)> {
    let function = stack.function(REDRIVE)?;
    let stats: Option<Vec<ProcessStats>> = function.pids().into_iter().map(|pid| function.process_stats(pid)).collect();
    let stats = stats.filter(|stats| !stats.is_empty())?;
    Some((stats.iter().map(|it| it.cpu).sum(), stats.iter().map(|it| it.peak_rss_bytes).max()?))
}
