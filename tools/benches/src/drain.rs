//! How fast redrive works off what an outage has left, with how much memory, CPU and how many reads (`tools/benches/README.md`).

mod quota;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use local::binaries::{Profile, build_functions};
use local::dynamodb::EVENTS_TABLE;
use local::lambda_host::{LambdaHost, ProcessStats};
use local::stack::{FUNCTIONS, REDRIVE, Stack, StackOptions};
use serde_json::{Value, json};

use crate::quota::Quota;

/// A busy broker's events of an outage of hours.
const PENDING: usize = 100_000;

/// A drain that takes longer is not waited for: its rate is known by then.
const LONGEST: Duration = Duration::from_secs(150);

/// MB of memory, and the share of a core that Lambda gives for it: a whole one from 1,769 MB on.
const SIZES: [(u32, f64); 3] = [(128, 128.0 / 1769.0), (512, 512.0 / 1769.0), (1769, 1.0)];

const OPERATIONS: [&str; 4] = ["Query", "GetItem", "BatchGetItem", "UpdateItem"];

const WORKFLOW: &str = "deposit";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let functions = match std::env::args().nth(1) {
        Some(folder) => PathBuf::from(folder),
        None => build_functions(Profile::Release)?,
    };
    println!(
        "| memory | share of a core | kept by | delivered | runs | in | per second | CPU per event | peak memory | reads and writes per event |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for (memory_mb, share) in SIZES {
        drain(&functions, memory_mb, share).await?;
    }
    Ok(())
}

/// Drains a new table and prints its row.
async fn drain(functions: &Path, memory_mb: u32, share: f64) -> Result<(), Box<dyn Error>> {
    let quota = Quota::of(share);
    let wrapped = tempfile::tempdir_in(functions)?;
    for name in FUNCTIONS {
        quota.wrap(functions, name, wrapped.path())?;
    }
    let options = StackOptions {
        workflows: vec![WORKFLOW.to_owned()],
        max_processes: 1,
        freeze: false,
        ..StackOptions::new(wrapped.path().to_owned())
    };
    let stack = Arc::new(Stack::start(options).await?);
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let pending: Vec<_> = (0..PENDING).map(|number| pending(number, now)).collect();
    stack.dynamodb.put_raw_all(EVENTS_TABLE, &pending)?;

    let watched = stack.clone();
    let keeper = quota.keep(move || watched.function(REDRIVE).map(LambdaHost::pids).unwrap_or_default());
    let (began, mut runs, mut delivered) = (Instant::now(), 0, 0);
    while delivered < PENDING && began.elapsed() < LONGEST {
        let counts = stack.redrive(json!({})).await?;
        let done = counts["delivered"].as_u64().and_then(|count| usize::try_from(count).ok()).unwrap_or_default();
        if done == 0 {
            return Err(format!("a run delivered nothing: {counts}").into());
        }
        (runs, delivered) = (runs + 1, delivered + done);
    }
    let took = began.elapsed().as_secs_f64();
    drop(keeper);
    let sent = stack.returning_ai.messages(WORKFLOW).len();
    if sent != delivered {
        return Err(format!("{delivered} events are delivered by {sent} messages").into());
    }
    let ProcessStats { cpu, peak_rss_bytes } = stats(&stack).ok_or("the process is gone")?;
    let per_event = |of_all: f64| of_all / delivered as f64;
    let calls = OPERATIONS.map(|name| format!("{:.3} {name}", per_event(stack.dynamodb.count(name) as f64)));
    println!(
        "| {memory_mb} MB | {:.1} % | {} | {delivered} | {runs} | {took:.0} s | {:.0} | {:.0} µs | {:.1} MB | {} |",
        share * 100.0,
        quota.describe(),
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
fn pending(number: usize, now: u64) -> Value {
    let event_id = format!("evt_{number:06}");
    let shard = format!("p{}", number % 8);
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
        "body": { "B": base64(body.as_bytes()) },
        "body_encoding": { "S": "identity" },
        "body_sha256": { "S": "0".repeat(64) },
        "taken_by": { "S": "bench" },
        "last_error": { "S": "server_error 503" },
        "history": { "L": [] },
        "deliveries": { "M": { "deposit-posted": { "M": { "state": { "S": "pending" } } } } },
        "expires_at": { "N": (now + 7_776_000).to_string() },
    })
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn stats(stack: &Stack) -> Option<ProcessStats> {
    let function = stack.function(REDRIVE)?;
    function.process_stats(*function.pids().first()?)
}
