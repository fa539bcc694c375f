//! The sample events of `events/`, and what each must end as.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;
use shared::receive::provider::Provider;

use crate::delivery::key_of;
use crate::returning_ai::Message;

/// One file of `events/` with its entry of `events/expected.toml`.
#[derive(Clone, Debug)]
pub struct Sample {
    /// As in `expected.toml`: `rail/account_open.json`.
    pub name: String,
    pub provider: &'static Provider,
    pub body: Vec<u8>,
    pub expected: Expected,
}

#[derive(Clone, Debug, Deserialize)]
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

/// Why the samples cannot be played.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct SampleError {
    path: String,
    problem: String,
}

/// Every sample of the folder, by name.
///
/// # Errors
/// A file cannot be read, or `expected.toml` and the files do not match.
pub fn load(folder: &Path) -> Result<Vec<Sample>, SampleError> {
    let unusable = |path: &Path, problem: &dyn std::fmt::Display| SampleError {
        path: path.display().to_string(),
        problem: problem.to_string(),
    };
    let index = folder.join("expected.toml");
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

impl Sample {
    /// The event's key in the table.
    pub fn pk(&self) -> Option<String> {
        key_of(self.provider, &self.body)
    }

    /// What differs between what Returning.AI got for this event and what it should have got.
    pub fn differences(&self, messages: &[Message]) -> Vec<String> {
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
