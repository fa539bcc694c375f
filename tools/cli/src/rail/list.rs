//! `bridge rail subscriptions list`: Rail, the routes and the secret side by side.

use std::collections::BTreeMap;
use std::io;

use clap::Args;
use operator::OperatorError;
use operator::rail_subscriptions::plan::{Row, Status, compare};
use operator::rail_subscriptions::{RailApi, Source, source};
use serde_json::json;

use super::report::needed;
use super::target::{CallbackArg, Target};
use crate::routes::file::RoutesFile;
use crate::terminal::{Lines, print, write_table};

/// Compare the subscriptions at Rail, the event types of routes.toml, and the keys in the signing secret
///
/// Changes nothing. Requires Rail's scope subscriptions:read. No key is shown.
#[derive(Args)]
#[command(after_help = EXAMPLES, after_long_help = EXAMPLES)]
pub(super) struct List {
    #[command(flatten)]
    callback: CallbackArg,
    /// Print one JSON object per line
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
    pub(super) async fn run(self) -> Result<(), OperatorError> {
        let needed = needed(&self.routes)?;
        let bridge = self.target.open(&RailApi::READING).await?;
        let url = self.callback.resolve(&bridge)?;
        let snapshot = bridge.subscriptions.snapshot().await.map_err(|error| bridge.failure(&error))?;
        let rows = compare(&snapshot, &needed.types, &url);
        print(|out| match self.json {
            true => write_json(out, &rows),
            false => write(out, &rows),
        })?;
        Ok(())
    }
}

pub(super) fn write(out: &mut Lines, rows: &[Row]) -> io::Result<()> {
    let titles = ["STATE", "EVENT TYPE", "SUBSCRIPTION", "KEY", "DELIVERS TO"];
    write_table(out, titles, rows.iter().map(cells))?;
    let mut counts: BTreeMap<Status, usize> = BTreeMap::new();
    for row in rows {
        *counts.entry(row.status).or_default() += 1;
    }
    let counts: Vec<_> = counts.into_iter().map(|(status, count)| format!("{count} {}", words(status))).collect();
    writeln!(out)?;
    writeln!(
        out,
        "{}",
        if counts.is_empty() {
            "No route needs a subscription, and Rail has none for this URL".to_owned()
        } else {
            counts.join(", ")
        }
    )?;
    for (statuses, advice) in ADVICE {
        if rows.iter().any(|row| statuses.contains(&row.status)) {
            writeln!(out, "{advice}")?;
        }
    }
    Ok(())
}

/// What helps, below the table.
const ADVICE: [(&[Status], &str); 3] = [
    (
        &[Status::Missing, Status::KeyMissing, Status::KeyDiffers],
        "`bridge rail subscriptions sync` creates missing subscriptions and repairs keys",
    ),
    (
        &[Status::BeingRotated, Status::Duplicate],
        "`bridge rail subscriptions rotate` finishes the current rotation and leaves one subscription for each type",
    ),
    (&[Status::NotNeeded], "`bridge rail subscriptions sync --prune` deletes subscriptions that no route needs"),
];

pub(super) fn write_json(out: &mut Lines, rows: &[Row]) -> io::Result<()> {
    for row in rows {
        let json = json!({
            "state": row.status.name(),
            "event_type": row.event_type,
            "subscription": row.id,
            "callback_url": row.callback_url,
            "has_key": row.has_key,
        });
        writeln!(out, "{json}")?;
    }
    Ok(())
}

fn cells(row: &Row) -> [String; 5] {
    let or_dash = |text: &Option<String>| text.as_deref().unwrap_or("-").to_owned();
    let event_type = match (&row.event_type, row.status) {
        (Some(event_type), Status::Missing) => format!("{event_type}{}", remark(event_type)),
        (event_type, _) => or_dash(event_type),
    };
    let key = if row.has_key { "held" } else { "-" };
    let url = row.callback_url.clone().unwrap_or_default();
    [words(row.status).to_owned(), event_type, or_dash(&row.id), key.to_owned(), url]
}

/// Of a type that Rail may not take.
pub(super) fn remark(event_type: &str) -> &'static str {
    match source(event_type) {
        Source::OpenApi => "",
        Source::GuideOnly => " (only Rail's guide names it)",
        Source::Neither => " (not in Rail's documentation)",
    }
}

fn words(status: Status) -> &'static str {
    match status {
        Status::InStep => "in sync",
        Status::Missing => "missing at Rail",
        Status::KeyMissing => "key missing",
        Status::KeyDiffers => "key differs",
        Status::BeingRotated => "being rotated",
        Status::Duplicate => "duplicate",
        Status::NotNeeded => "not needed",
        Status::OtherUrl => "other URL",
        Status::KeyOnly => "key only",
    }
}
