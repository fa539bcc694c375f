//! `bridge rail subscriptions list`: Rail, the routes and the secret side by side.

use std::collections::BTreeMap;
use std::io::{self, Write};

use clap::Args;
use rail_subscriptions::plan::{Line, Standing, compare};
use rail_subscriptions::{RailApi, Source, source};
use serde_json::json;

use super::needed;
use super::target::{CallbackArg, Target};
use crate::events::{RoutesFile, print, printable};
use crate::failure::Failure;

/// Show what Rail has beside what routes.toml needs and which keys the signing secret holds
///
/// It changes nothing, and takes Rail's scope subscriptions:read alone. No key is shown.
#[derive(Args)]
#[command(after_help = EXAMPLES, after_long_help = EXAMPLES)]
pub(super) struct List {
    #[command(flatten)]
    callback: CallbackArg,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    routes: RoutesFile,
    #[command(flatten)]
    target: Target,
}

const EXAMPLES: &str = "Examples:
  bridge rail subscriptions list
  bridge rail subscriptions list --json | jq -r 'select(.state != \"in_step\")'
  bridge rail subscriptions list --signing-secret bridge/rail/signing --api-secret bridge/rail/api \\
    --callback-url https://api.example.com/webhooks/rail --profile prod    in AWS";

impl List {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let needed = needed(&self.routes)?;
        let bridge = self.target.open(&RailApi::READING).await?;
        let url = self.callback.resolve(&bridge)?;
        let look = bridge.subscriptions.look().await.map_err(|error| bridge.failure(&error))?;
        let lines = compare(&look, &needed.types, &url);
        print(|out| match self.json {
            true => write_json(out, &lines),
            false => write(out, &lines),
        })?;
        Ok(())
    }
}

pub(super) fn write(out: &mut dyn Write, lines: &[Line]) -> io::Result<()> {
    let shown: Vec<[String; 5]> = lines.iter().map(cells).collect();
    let head = ["STATE", "EVENT TYPE", "SUBSCRIPTION", "KEY", "DELIVERS TO"].map(str::to_owned);
    let width = |column: usize| {
        let cells = shown.iter().chain([&head]).map(|row| row[column].chars().count());
        cells.max().unwrap_or_default()
    };
    let widths = [width(0), width(1), width(2), width(3)];
    for [state, event_type, id, key, url] in [&head].into_iter().chain(&shown) {
        let [a, b, c, d] = widths;
        let line = format!("{state:<a$}  {event_type:<b$}  {id:<c$}  {key:<d$}  {url}");
        writeln!(out, "{}", line.trim_end())?;
    }
    let mut counts: BTreeMap<Standing, usize> = BTreeMap::new();
    for line in lines {
        *counts.entry(line.standing).or_default() += 1;
    }
    let counts: Vec<_> = counts.into_iter().map(|(standing, count)| format!("{count} {}", words(standing))).collect();
    writeln!(out)?;
    writeln!(
        out,
        "{}",
        if counts.is_empty() { "nothing needed, nothing there".to_owned() } else { counts.join(", ") }
    )?;
    for (standings, advice) in ADVICE {
        if lines.iter().any(|line| standings.contains(&line.standing)) {
            writeln!(out, "{advice}")?;
        }
    }
    Ok(())
}

/// What helps, below the table.
const ADVICE: [(&[Standing], &str); 3] = [
    (
        &[Standing::Missing, Standing::KeyMissing, Standing::KeyDiffers],
        "`bridge rail subscriptions sync` creates what is missing and mends keys",
    ),
    (
        &[Standing::BeingRotated, Standing::Duplicate],
        "`bridge rail subscriptions rotate` ends a rotation that is under way, and leaves one subscription of each type",
    ),
    (&[Standing::NotNeeded], "`bridge rail subscriptions sync --prune` deletes what no route needs"),
];

pub(super) fn write_json(out: &mut dyn Write, lines: &[Line]) -> io::Result<()> {
    for line in lines {
        let json = json!({
            "state": line.standing.name(),
            "event_type": line.event_type,
            "subscription": line.id,
            "callback_url": line.callback_url,
            "has_key": line.has_key,
        });
        writeln!(out, "{json}")?;
    }
    Ok(())
}

fn cells(line: &Line) -> [String; 5] {
    let or_dash = |text: &Option<String>| text.as_deref().map_or("-".to_owned(), printable);
    let event_type = match (&line.event_type, line.standing) {
        (Some(event_type), Standing::Missing) => format!("{}{}", printable(event_type), remark(event_type)),
        (event_type, _) => or_dash(event_type),
    };
    let key = if line.has_key { "held" } else { "-" };
    let url = line.callback_url.as_deref().map(printable).unwrap_or_default();
    [words(line.standing).to_owned(), event_type, or_dash(&line.id), key.to_owned(), url]
}

/// Of a type that Rail may not take.
pub(super) fn remark(event_type: &str) -> &'static str {
    match source(event_type) {
        Source::OpenApi => "",
        Source::GuideOnly => " (only Rail's guide names it)",
        Source::Neither => " (none of Rail's pages names it)",
    }
}

fn words(standing: Standing) -> &'static str {
    match standing {
        Standing::InStep => "in step",
        Standing::Missing => "missing at Rail",
        Standing::KeyMissing => "key missing",
        Standing::KeyDiffers => "key differs",
        Standing::BeingRotated => "being rotated",
        Standing::Duplicate => "duplicate",
        Standing::NotNeeded => "not needed",
        Standing::OtherUrl => "other URL",
        Standing::KeyOnly => "key only",
    }
}
