//! The write alone: a process that puts one item after the other, with the bridge's own SDK settings and HTTP client.
//!
//! It is this program, run again with [`ARGUMENT`]. A line on its stdin asks for one write, a line on its stdout gives the
//! nanoseconds that it took.

use std::collections::HashMap;
use std::error::Error;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use local::lambda_host::FunctionSpec;
use shared::config::Config;
use shared::outside::aws;
use shared::outside::http::Http;
use tokio::io::AsyncBufReadExt;

pub(crate) const ARGUMENT: &str = "put-item";

/// The process, as the bench sees it.
pub(crate) struct PutItem {
    process: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl PutItem {
    /// Starts it with the environment of a function.
    pub(crate) fn start(spec: &FunctionSpec) -> io::Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg(ARGUMENT)
            .envs(spec.env.iter().cloned())
            // What Lambda sets, as far as the bridge's configuration wants it.
            .env("AWS_LAMBDA_RUNTIME_API", "none")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "AKIASAMPLELOCALONLY0")
            .env("AWS_SECRET_ACCESS_KEY", "sample-secret-of-this-machine-do-not-use")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let pipes = process.stdin.take().zip(process.stdout.take());
        let (ask, answers) = pipes.ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Self { process, ask, answers: BufReader::new(answers) })
    }

    /// How long one write took.
    pub(crate) fn put(&mut self) -> Result<Duration, Box<dyn Error>> {
        self.ask.write_all(b"\n")?;
        let mut nanoseconds = String::new();
        self.answers.read_line(&mut nanoseconds)?;
        Ok(Duration::from_nanos(nanoseconds.trim().parse()?))
    }

    /// CPU time so far of the thread that writes; another one reads stdin.
    pub(crate) fn cpu(&self) -> Result<Duration, Box<dyn Error>> {
        let schedstat = fs::read_to_string(format!("/proc/{}/schedstat", self.process.id()))?;
        Ok(Duration::from_nanos(schedstat.split(' ').next().unwrap_or_default().parse()?))
    }
}

impl Drop for PutItem {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What the process does, on one thread as a function.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn serve() -> Result<(), Box<dyn Error>> {
    let config = Config::from_env()?;
    let client = aws::dynamodb(&config.aws, &Http::new()?);
    let mut asked = tokio::io::BufReader::new(tokio::io::stdin()).lines();
    for number in 0.. {
        if asked.next_line().await?.is_none() {
            break;
        }
        let item = item(number);
        let began = Instant::now();
        client
            .put_item()
            .table_name(&config.table_name)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(pk)")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await?;
        println!("{}", began.elapsed().as_nanos());
    }
    Ok(())
}

/// What `rail` writes of an event that no route wants.
fn item(number: usize) -> HashMap<String, AttributeValue> {
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let count = |count: &str| AttributeValue::N(count.to_owned());
    [
        ("pk", text(&format!("bare#evt_{number:012}"))),
        ("provider", text("bare")),
        ("event_type", text("ACCOUNT_DORMANT")),
        ("occurred_at", count("1770873799000")),
        ("received_at", count("1770873801042")),
        ("state", text("ignored")),
        ("attempts", count("0")),
        ("body", AttributeValue::B(Blob::new(include_str!("../../../events/rail/account_dormant.json")))),
        ("body_encoding", text("identity")),
        ("body_sha256", text(&"0".repeat(64))),
        ("taken_by", text("8476a536-e9f4-11e8-9739-2dfe598c3fcd/0123456789abcdef")),
        ("history", AttributeValue::L(Vec::new())),
        ("deliveries", AttributeValue::M(HashMap::new())),
        ("expires_at", count("1778649801")),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}
