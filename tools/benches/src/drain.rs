//! How fast redrive works off what an outage has left, and in how much memory (`tools/benches/README.md`).

use std::error::Error;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use local::binaries::{Profile, build_functions};
use local::dynamodb::EVENTS_TABLE;
use local::stack::{REDRIVE, Stack, StackOptions};
use serde_json::{Value, json};

/// A busy broker's events of an hour or two.
const PENDING: usize = 10_000;

const WORKFLOW: &str = "deposit";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let functions = match std::env::args().nth(1) {
        Some(folder) => folder.into(),
        None => build_functions(Profile::Release)?,
    };
    let workflows = vec![WORKFLOW.to_owned()];
    let stack = Stack::start(StackOptions { workflows, max_processes: 1, ..StackOptions::new(functions) }).await?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    for number in 0..PENDING {
        stack.dynamodb.put_raw(EVENTS_TABLE, &pending(number, now))?;
    }

    println!("{:>10} {:>10} {:>10} {:>12} {:>12}", "run", "delivered", "in", "per second", "peak memory");
    let mut delivered = 0;
    let (began, mut run) = (Instant::now(), 0);
    while delivered < PENDING {
        run += 1;
        let run_began = Instant::now();
        let counts = stack.redrive(json!({})).await?;
        let took = run_began.elapsed();
        let done = counts["delivered"].as_u64().and_then(|count| usize::try_from(count).ok()).unwrap_or_default();
        if done == 0 {
            return Err(format!("a run delivered nothing: {counts}").into());
        }
        delivered += done;
        println!("{run:>10} {done:>10} {:>8.1} s {:>12.0} {:>9.1} MB", secs(took), rate(done, took), peak_mb(&stack));
    }
    println!(
        "{:>10} {delivered:>10} {:>8.1} s {:>12.0}",
        "all",
        secs(began.elapsed()),
        rate(delivered, began.elapsed())
    );
    println!("Messages at Returning.AI: {}", stack.returning_ai.messages(WORKFLOW).len());
    stack.shutdown().await;
    Ok(())
}

/// An event whose first attempt failed in the outage, as the table holds it.
fn pending(number: usize, now: u64) -> Value {
    let event_id = format!("evt_{number:05}");
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

fn peak_mb(stack: &Stack) -> f64 {
    let function = stack.function(REDRIVE);
    let stats = function.and_then(|function| function.process_stats(*function.pids().first()?));
    stats.map_or(f64::NAN, |stats| stats.peak_rss_bytes as f64 / 1e6)
}

fn secs(took: Duration) -> f64 {
    took.as_secs_f64()
}

fn rate(count: usize, took: Duration) -> f64 {
    count as f64 / secs(took)
}
