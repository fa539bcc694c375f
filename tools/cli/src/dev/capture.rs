//! `bridge dev --capture`: what arrives becomes a sample, with its expected outcome.
//!
//! A sample is played by the stand-ins, whatever has delivered the event here. So its expectation is what it ends as in a
//! second bridge, of stand-ins alone, after all other samples.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use json::Document;
use local::dynamodb::CUSTOMERS_TABLE;
use local::gateway::Exchange;
use local::samples::{self, Expected, Outcome, Sample, said};
use local::stack::{Stack, StackOptions};
use operator::OperatorError;
use operator::Place;
use operator::customers::import::import_file;
use operator::error::with_causes;
use operator::network::http;
use operator::routes::preview::references;
use page::dev::dev_file;
use route::routes::Routes;
use sha2::{Digest, Sha256};
use shared::receive::provider::Provider;
use shared::receive::verification::hex;
use tokio::sync::mpsc::{Receiver, Sender};

use crate::delivery::unplayed;
use crate::terminal::{note, out};

/// An event that the bridge has taken.
pub(super) struct Arrival {
    provider: &'static Provider,
    body: Bytes,
}

/// Where samples are written, and what a second bridge is made of.
pub(super) struct Capture<'c> {
    pub(super) stack: &'c Stack,
    pub(super) routes: &'c Routes,
    /// The folder with the functions' binaries.
    pub(super) functions: PathBuf,
    /// The folder with the samples.
    pub(super) samples: PathBuf,
}

/// Beyond so many at a time, arrivals are not captured.
pub(super) const MOST_WAITING: usize = 100;

/// Hands on what a provider has sent and the bridge has taken for the first time.
pub(super) fn note_arrival(arrivals: &Sender<Arrival>, exchange: &Exchange) {
    let provider = providers::ALL.iter().find(|provider| provider.path() == exchange.path);
    let answer = str::from_utf8(&exchange.answer).ok().and_then(said);
    if let (Some(provider), Some("accepted" | "ignored")) = (provider, answer.as_deref())
        && arrivals.try_send(Arrival { provider, body: exchange.body.clone() }).is_err()
    {
        note!(
            "Event not captured: {MOST_WAITING} events already wait to be captured. hint: send it again with a new id"
        );
    }
}

impl Capture<'_> {
    /// Captures what arrives, until nothing can arrive any more.
    pub(super) async fn follow(&self, mut arrivals: Receiver<Arrival>) {
        let mut batch = Vec::new();
        while arrivals.recv_many(&mut batch, MOST_WAITING).await > 0 {
            // Whose it is may only be known once it was delivered.
            self.stack.settled().await;
            if let Err(error) = self.capture(&batch).await {
                note!("Not captured: {}", error.problem());
                note!("hint: {}", error.hint());
            }
            batch.clear();
        }
    }

    async fn capture(&self, arrivals: &[Arrival]) -> Result<(), OperatorError> {
        let known = samples::load(&self.samples)
            .map_err(|error| OperatorError::usage(error, "correct the file, and send the event again with a new id"))?;
        let mut new: BTreeMap<String, Sample> = BTreeMap::new();
        let mut customers = BTreeMap::new();
        for arrival in arrivals {
            let Some(sample) = self.sample(arrival, &mut customers) else {
                note!("An event of {} was not captured: its body is not JSON.", arrival.provider.name);
                continue;
            };
            if !known.iter().any(|it| it.body == sample.body) {
                new.insert(sample.name.clone(), sample);
            }
        }
        if new.is_empty() {
            return Ok(());
        }
        self.add_customers(&customers)?;
        let mut all: Vec<&Sample> = known.iter().chain(new.values()).collect();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        let mut ended = self.play(&all).await?;
        for sample in &known {
            for difference in ended.get(&sample.name).map(|it| sample.differences(it)).unwrap_or_default() {
                out!("The captured events change the outcome of sample {}: {difference}", sample.name);
            }
        }
        for (name, sample) in new {
            let Some(outcome) = ended.remove(&name) else { continue };
            let sample = Sample { expected: Expected::of(&outcome), ..sample };
            let path = self.samples.join(&name);
            samples::save(&self.samples, &sample).map_err(|error| {
                OperatorError::outside(
                    format!("{} cannot be written: {error}", path.display()),
                    "check that you may write to the folder, and send the event again with a new id",
                )
            })?;
            let routes: Vec<_> = sample.expected.delivers.into_keys().collect();
            let by = if routes.is_empty() { String::new() } else { format!(" (routes: {})", routes.join(", ")) };
            out!("captured {}: expected outcome {}{by}", path.display(), sample.expected.state);
        }
        Ok(())
    }

    /// The sample of an event, redacted as the bridge stores it, and whose it is; `None` if it is not JSON.
    fn sample(&self, Arrival { provider, body }: &Arrival, customers: &mut BTreeMap<String, String>) -> Option<Sample> {
        let document = Document::parse(body).ok()?;
        let redacted = document.without(self.routes.redacted(provider.name)).into_owned();
        let event_type = provider.read_envelope(document.root()).event_type.unwrap_or_default();
        let stored = Document::parse(redacted.as_bytes()).ok()?;
        for route in self.routes.matching(provider.name, &event_type, document.root()) {
            for reference in references(route, stored.root()) {
                let item = self.stack.dynamodb.item_of(CUSTOMERS_TABLE, "ref", &reference);
                let id = item.as_ref().and_then(|item| item.get("customer_id")?.as_str());
                customers.extend(id.map(|id| (reference, id.to_owned())));
            }
        }
        let name = file_name(provider, &event_type, redacted.as_bytes());
        Some(Sample { name, provider, body: redacted.into_bytes(), expected: Expected::default() })
    }

    /// Writes down which customers were looked up: the stand-ins know no others.
    fn add_customers(&self, customers: &BTreeMap<String, String>) -> Result<(), OperatorError> {
        let path = self.samples.join("customers.csv");
        let unusable = |error: io::Error| {
            OperatorError::outside(
                format!("{} cannot be read or written: {error}", path.display()),
                "check the file, and send the event again with a new id",
            )
        };
        let text = fs::read_to_string(&path).map_err(unusable)?;
        let lines = new_lines(&text, customers).map_err(|error| unusable(error.into()))?;
        if lines.is_empty() {
            return Ok(());
        }
        let end = if text.ends_with('\n') { "" } else { "\n" };
        let mut file = OpenOptions::new().append(true).open(&path).map_err(unusable)?;
        file.write_all(format!("{end}{lines}").as_bytes()).map_err(unusable)
    }

    /// Plays the samples through a second bridge, in this order.
    async fn play(&self, samples: &[&Sample]) -> Result<BTreeMap<String, Outcome>, OperatorError> {
        let stack = Stack::start(StackOptions {
            workflows: self.routes.workflows(),
            incoming_webhooks: self.routes.incoming_webhooks(),
            ..StackOptions::new(self.functions.clone())
        });
        let stack = Arc::new(stack.await.map_err(|error| {
            OperatorError::outside(
                with_causes(&error),
                "a second bridge plays what was captured: free some memory or ports",
            )
        })?);
        let played = async {
            let place = Place::local(&dev_file(&stack), http()?);
            import_file(&self.samples.join("customers.csv"), self.routes, &place).await?;
            let mut ended = BTreeMap::new();
            for sample in samples {
                ended.insert(sample.name.clone(), sample.play(&stack).await.map_err(|error| unplayed(&error))?);
            }
            Ok(ended)
        };
        let played = played.await;
        stack.shutdown().await;
        played
    }
}

/// `rail/captured_account_open_1f2e3d4c.json`: after the type, a part of the body's hash.
fn file_name(provider: &Provider, event_type: &str, body: &[u8]) -> String {
    let letter = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '_' };
    let kind: String = event_type.chars().take(60).map(letter).collect();
    let hash = hex(&Sha256::digest(body)[..4]);
    format!("{}/captured_{kind}_{hash}.json", provider.name)
}

/// The lines that a file of customers lacks, with its columns.
fn new_lines(text: &str, customers: &BTreeMap<String, String>) -> csv::Result<String> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(text.as_bytes());
    let columns = reader.headers()?.clone();
    let at = columns.iter().position(|name| name == "ref");
    let lines: Vec<csv::StringRecord> = reader.into_records().collect::<Result<_, _>>()?;
    let known: BTreeSet<&str> = lines.iter().filter_map(|line| line.get(at?)).collect();
    let mut writer = csv::Writer::from_writer(Vec::new());
    for (reference, id) in customers.iter().filter(|(reference, _)| !known.contains(reference.as_str())) {
        writer.write_record(columns.iter().map(|name| match name {
            "ref" => reference.as_str(),
            "customer_id" => id,
            _ => "",
        }))?;
    }
    let added = writer.into_inner().map_err(csv::IntoInnerError::into_error)?;
    Ok(String::from_utf8_lossy(&added).into_owned())
}

#[cfg(test)]
mod tests;
