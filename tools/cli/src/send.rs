//! `bridge send`: sign a body and post it, once or many times.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use futures_util::future::join_all;
use operator::error::with_causes;
use operator::{OperatorError, network};
use shared::outside::http::{ExchangeError, Http};
use shared::receive::provider::Provider;

use crate::delivery::{
    KeySource, bridge_url, note_new_event, provider_parser, read_file, signed_headers, with_fresh_id,
};
use crate::terminal::out;

/// Sign a body and post it to the bridge
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Send {
    #[arg(value_parser = provider_parser())]
    provider: &'static Provider,
    /// The body: a file, or - for standard input
    body: PathBuf,
    /// URL of the bridge; the provider's path is added if the URL has no path [default: the `bridge dev` that runs here]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Number of deliveries
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    count: u32,
    /// Deliveries a second [default: all at once]
    #[arg(long, value_name = "R", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: Option<u32>,
    /// Replace the event id of each delivery, so that each is a new event; prints the key of a single one to standard error
    #[arg(long)]
    fresh: bool,
    #[command(flatten)]
    key: KeySource,
}

const EXAMPLES: &str = "Examples:
  bridge send rail events/rail/transaction_posted_deposit.json --fresh
  bridge send rillis events/rillis/flow_completed.json --count 8          eight copies at once: one accepted
  bridge send rail body.json --url https://bridge.example.com --key-file rail.key";

/// At most so many wait for their answers at a time.
const AT_ONCE: usize = 64;

struct Reply {
    status: u16,
    body: String,
    took: Duration,
}

impl Send {
    pub(crate) async fn run(self) -> Result<(), OperatorError> {
        let body = read_file(&self.body)?;
        let url = self.target();
        let key = self.key.read(self.provider, &url).await?;
        let http = network::http()?;

        let mut answers = Vec::new();
        let at_once = if self.rate.is_some() { 1 } else { AT_ONCE };
        let pause = self.rate.map(|rate| Duration::from_secs(1) / rate);
        let began = Instant::now();
        let mut numbers = 0..self.count;
        loop {
            let batch: Vec<u32> = numbers.by_ref().take(at_once).collect();
            let Some(first) = batch.first() else { break };
            if let Some(pause) = pause {
                tokio::time::sleep_until((began + pause * *first).into()).await;
            }
            let posts = batch.iter().map(|_| self.post(&http, &url, &body, &key));
            for answer in join_all(posts).await {
                answers.push(answer?);
            }
        }
        report(&mut answers)
    }

    fn target(&self) -> String {
        let url = bridge_url(self.url.as_deref());
        let path = self.provider.path();
        if url.ends_with(&path) { url } else { format!("{url}{path}") }
    }

    async fn post(&self, http: &Http, url: &str, body: &[u8], key: &str) -> Result<Reply, OperatorError> {
        let mut rng = fastrand::Rng::new();
        let body = if self.fresh { with_fresh_id(self.provider, body, &mut rng)? } else { body.to_vec() };
        if self.fresh && self.count == 1 {
            note_new_event(self.provider, &body);
        }
        let mut request = http.client().post(url).header("content-type", "application/json");
        for (name, value) in signed_headers(self.provider, &body, key)? {
            request = request.header(name, value);
        }
        let unusable = |error: reqwest::Error| {
            OperatorError::usage(
                format!("{url} is not a URL to post to: {}", error.without_url()),
                "pass `--url http(s)://host`",
            )
        };
        let request = request.body(body).build().map_err(unusable)?;

        let began = Instant::now();
        let no_answer = |error: ExchangeError| {
            OperatorError::outside(
                format!("No answer from {url}: {}", with_causes(&error)),
                "start it here with `bridge dev`, or name another with `--url`",
            )
        };
        let response = http.send(request).await.map_err(no_answer)?;
        let status = response.status().as_u16();
        let body = response.text().await.map_err(|error| no_answer(error.into()))?;
        Ok(Reply { status, body, took: began.elapsed() })
    }
}

fn report(answers: &mut [Reply]) -> Result<(), OperatorError> {
    if let [answer] = answers {
        out!("{} {} ({:.1} ms)", answer.status, answer.body, answer.took.as_secs_f64() * 1000.0);
    } else {
        let mut counts = BTreeMap::<(u16, &str), usize>::new();
        for answer in &*answers {
            *counts.entry((answer.status, &answer.body)).or_default() += 1;
        }
        for ((status, body), count) in counts {
            out!("{count:>8} × {status} {body}");
        }
        answers.sort_by_key(|answer| answer.took);
        let at = |part: usize| answers[(answers.len() - 1) * part / 100].took.as_secs_f64() * 1000.0;
        out!("p50 {:.1} ms, p99 {:.1} ms, longest {:.1} ms", at(50), at(99), at(100));
    }
    match answers.iter().find(|answer| answer.status != 200) {
        None => Ok(()),
        Some(answer) if answer.status >= 500 => Err(OperatorError::outside(
            format!("The bridge answered {}", answer.status),
            "503: the bridge cannot read its table or its secrets: run `bridge doctor`, or see the log of the function",
        )),
        Some(answer) => Err(OperatorError::refused(
            format!("The bridge answered {}", answer.status),
            "401: pass a key of the bridge at this URL with `--key-file`; 404: check `--url`; `bridge verify` explains refusals",
        )),
    }
}
