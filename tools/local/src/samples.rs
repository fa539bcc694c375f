//! The sample events of `events/`, and what each must end as.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use json::SyntaxError;
use serde::Deserialize;
use serde_json::Value;
use shared::clock::Clock;
use shared::receive::provider::Provider;

use crate::delivery::{key_of, signed_headers};
use crate::http_client::SendError;
use crate::returning_ai::Message;
use crate::stack::{Stack, sample_key};

/// One file of `events/` with its entry of `events/expected.toml`.
#[derive(Clone, Debug)]
pub struct Sample {
    /// As in `expected.toml`: `rail/account_open.json`.
    pub name: String,
    pub provider: &'static Provider,
    pub body: Vec<u8>,
    pub expected: Expected,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    pub answer: String,
    pub state: String,
    /// Routes that want it and have had another event of its customer's.
    #[serde(default)]
    pub skips: Vec<String>,
    /// Route → members of its message, and the `workflow` it goes to.
    #[serde(default)]
    pub delivers: BTreeMap<String, BTreeMap<String, String>>,
}

/// What became of a sample that was sent.
#[derive(Debug)]
pub struct Outcome {
    pub answer: String,
    pub ack: Duration,
    pub state: String,
    /// Routes whose `once_per` another event has used up.
    pub skips: Vec<String>,
    /// What Returning.AI accepted.
    pub messages: Vec<Message>,
    /// Why a pending event waits.
    pub waits_for: Option<String>,
}

/// Why the samples cannot be played.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct SampleError {
    path: String,
    problem: String,
}

/// Why a sample could not be sent.
#[derive(Debug, thiserror::Error)]
pub enum PlayError {
    #[error("the body cannot be signed")]
    Unsigned(#[from] SyntaxError),
    #[error("the local gateway does not answer")]
    Unanswered(#[from] SendError),
}

/// The file that says what each sample ends as.
const INDEX: &str = "expected.toml";

/// Every sample of the folder, by name.
///
/// # Errors
/// A file cannot be read, or `expected.toml` and the files do not match.
pub fn load(folder: &Path) -> Result<Vec<Sample>, SampleError> {
    let unusable = |path: &Path, problem: &dyn std::fmt::Display| SampleError {
        path: path.display().to_string(),
        problem: problem.to_string(),
    };
    let index = folder.join(INDEX);
    let text = fs::read_to_string(&index).map_err(|error| unusable(&index, &error))?;
    let expected: BTreeMap<String, Expected> = toml::from_str(&text).map_err(|error| unusable(&index, &error))?;

    let mut samples = Vec::new();
    for (name, expected) in expected {
        let path = folder.join(&name);
        let provider = name.split('/').next().and_then(providers::by_name);
        let provider = provider.ok_or_else(|| unusable(&path, &"its folder is not named after a provider"))?;
        let body = fs::read(&path).map_err(|error| unusable(&path, &error))?;
        samples.push(Sample { name, provider, body, expected });
    }
    for provider in providers::ALL {
        let folder = folder.join(provider.name);
        for entry in fs::read_dir(&folder).map_err(|error| unusable(&folder, &error))? {
            let file = entry.map_err(|error| unusable(&folder, &error))?.file_name();
            let name = format!("{}/{}", provider.name, file.to_string_lossy());
            if !samples.iter().any(|sample| sample.name == name) {
                return Err(unusable(&index, &format!("`{name}` has no entry")));
            }
        }
    }
    Ok(samples)
}

/// Adds a sample to the folder: its file and its entry, or neither.
///
/// # Errors
/// The file is there already, or one of the two cannot be written.
pub fn save(folder: &Path, sample: &Sample) -> io::Result<()> {
    let (index, renewed) = (folder.join(INDEX), folder.join(format!("{INDEX}.new")));
    let entries = fs::read_to_string(&index)?;
    let path = folder.join(&sample.name);
    // A body may name a person, and who may read it is for the user to say.
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    let written = file.write_all(&sample.body).and_then(|()| {
        fs::write(&renewed, format!("{entries}\n{}", sample.entry()))?;
        fs::rename(&renewed, &index)
    });
    if written.is_err() {
        let _ = fs::remove_file(&path);
    }
    written
}

impl Sample {
    /// The event's key in the table.
    pub fn pk(&self) -> Option<String> {
        key_of(self.provider, &self.body)
    }

    /// Sends it as its provider would, signed with the sample key, and reads the outcome once all work is done.
    ///
    /// # Errors
    /// The body cannot be signed, or the gateway does not answer.
    pub async fn play(&self, stack: &Stack) -> Result<Outcome, PlayError> {
        let now = Clock::system().now().seconds();
        let headers = signed_headers(self.provider, now, &self.body, &sample_key(self.provider.name))?;
        let before = stack.returning_ai.attempts_ever();
        let began = Instant::now();
        let (status, answer) = stack.send(self.provider, &headers, self.body.clone()).await?;
        let ack = began.elapsed();
        stack.settled().await;

        let item = self.pk().and_then(|pk| stack.dynamodb.item(&pk));
        let text = |name: &str| Some(item.as_ref()?.get(name)?.as_str()?.to_owned());
        let state = text("state").unwrap_or_else(|| "not recorded".to_owned());
        Ok(Outcome {
            answer: said(&answer).unwrap_or_else(|| status.to_string()),
            ack,
            waits_for: text("last_error").filter(|_| state == "pending"),
            state,
            skips: item.as_ref().map(skipped_routes).unwrap_or_default(),
            messages: stack.returning_ai.messages_since(before),
        })
    }

    /// What differs between how this event ended and how it should have.
    pub fn differences(&self, outcome: &Outcome) -> Vec<String> {
        let (expected, mut found) = (&self.expected, Vec::new());
        // A table that remembers an earlier run answers so: then only the state can be compared.
        if outcome.answer != "duplicate" {
            if outcome.answer != expected.answer {
                found.push(format!("answered {}, not {}", outcome.answer, expected.answer));
            }
            found.extend(self.differing_messages(&outcome.messages));
        }
        if outcome.state != expected.state {
            found.push(format!("state is {}, not {}", outcome.state, expected.state));
        }
        if outcome.skips != expected.skips {
            found.push(format!("skipped on {:?}, not on {:?}", outcome.skips, expected.skips));
        }
        found
    }

    fn differing_messages(&self, messages: &[Message]) -> Vec<String> {
        let mut found = Vec::new();
        for (route, members) in &self.expected.delivers {
            let sent: Vec<&Message> = messages.iter().filter(|message| route_of(message) == Some(route)).collect();
            let [message] = sent[..] else {
                found.push(format!("{} messages of route {route} instead of one", sent.len()));
                continue;
            };
            for (member, expected) in members {
                let got = if member == "workflow" { Some(message.workflow.clone()) } else { text(message, member) };
                if got.as_ref() != Some(expected) {
                    found.push(format!("{route}: {member} is {}, not {expected}", got.as_deref().unwrap_or("absent")));
                }
            }
        }
        let surplus = messages.iter().filter_map(route_of).filter(|route| !self.expected.delivers.contains_key(*route));
        found.extend(surplus.map(|route| format!("route {route} delivered and should not have")));
        found
    }

    /// Its entry of the file with the expectations.
    fn entry(&self) -> String {
        let Expected { answer, state, skips, delivers } = &self.expected;
        let mut entry = format!("[{}]\nanswer = {}\nstate = {}\n", quoted(&self.name), quoted(answer), quoted(state));
        if !skips.is_empty() {
            let skips: Vec<_> = skips.iter().map(|route| quoted(route)).collect();
            entry += &format!("skips = [{}]\n", skips.join(", "));
        }
        if !delivers.is_empty() {
            let pair = |(member, value): (&String, &String)| format!("{} = {}", key(member), quoted(value));
            let message = |members: &BTreeMap<_, _>| members.iter().map(pair).collect::<Vec<_>>().join(", ");
            let delivers = delivers.iter().map(|(route, it)| format!("{} = {{ {} }}", key(route), message(it)));
            entry += &format!("delivers = {{ {} }}\n", delivers.collect::<Vec<_>>().join(", "));
        }
        entry
    }
}

impl Expected {
    /// That it ends again as it has ended.
    pub fn of(outcome: &Outcome) -> Self {
        let members = |message: &Message| {
            let names = message.body.as_object().into_iter().flat_map(|members| members.keys());
            let of_the_event = names.filter(|name| !["idempotencyKey", "occurredAt"].contains(&name.as_str()));
            let members = of_the_event.filter_map(|name| Some((name.clone(), text(message, name)?)));
            members.chain([("workflow".to_owned(), message.workflow.clone())]).collect()
        };
        let delivers = outcome.messages.iter().filter_map(|it| Some((route_of(it)?.to_owned(), members(it))));
        Self {
            answer: outcome.answer.clone(),
            state: outcome.state.clone(),
            skips: outcome.skips.clone(),
            delivers: delivers.collect(),
        }
    }
}

/// The word of an answer's body: `accepted`, or an error's name.
pub fn said(answer: &str) -> Option<String> {
    let answer: Value = serde_json::from_str(answer).ok()?;
    Some(answer.get("status").or(answer.get("error"))?.as_str()?.to_owned())
}

fn skipped_routes(item: &Value) -> Vec<String> {
    let deliveries = item.get("deliveries").and_then(Value::as_object).into_iter().flatten();
    let skipped = deliveries.filter(|(_, delivery)| delivery.get("state").and_then(Value::as_str) == Some("skipped"));
    skipped.map(|(route, _)| route.clone()).collect()
}

/// A TOML string.
fn quoted(text: &str) -> String {
    // JSON's escapes are TOML's; the one character that only TOML wants escaped is added.
    Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

/// A TOML key.
fn key(name: &str) -> String {
    let is_bare = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if is_bare { name.to_owned() } else { quoted(name) }
}

fn route_of(message: &Message) -> Option<&str> {
    message.body.get("idempotencyKey")?.as_str()?.rsplit_once('/').map(|(_, route)| route)
}

/// A member of the message: a string's text, a number's digits as they were sent.
fn text(message: &Message, member: &str) -> Option<String> {
    let document = json::Document::parse(&message.raw).ok()?;
    let value = document.root().get(member)?;
    Some(value.text().map_or_else(|| value.source().to_owned(), std::borrow::Cow::into_owned))
}

#[cfg(test)]
mod tests;
