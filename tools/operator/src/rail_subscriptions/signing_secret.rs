//! The signing secret as an operator changes it: one key more or less at a time, and no change of another writer is lost.
//!
//! Secrets Manager has no conditional write. So each write is checked afterwards: the version that it replaced must be the
//! one that was read. If another writer came in between, their changes are carried over and the secret is written again.
//! Reads may lag behind writes for a moment, so a version that this has replaced is never taken for the current one.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::SdkError;
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
use serde_json::{Map, Value, json};
use shared::outside::aws::sdk_reason;
use shared::outside::secrets::{PLACEHOLDER, Problem, SecretError, without_byte_order_mark};

use crate::rail_subscriptions::error::Error;
use crate::rail_subscriptions::subscription::{Key, NewSubscription, Registration};

/// The secret that `SIGNING_SECRET_ID` names: `{"keys": {"<subscription id>": "<key>"}}`, and beside it what later runs must
/// know.
///
/// | field | holds |
/// |---|---|
/// | `keys` | the keys that signatures are checked with, under any label; only those that this wrote are removed |
/// | `subscriptions` | `event_type` and `generation` of each id whose key was written here or adopted |
/// | `generations` | the planned generation of each event type; part of the idempotency id, which Rail never forgets |
pub struct SigningSecret {
    client: Client,
    id: String,
    /// The versions that this has replaced: a read that gives one of them as the current one lags.
    replaced: Mutex<HashSet<String>>,
}

/// The keys that the secret holds, and what it remembers of their subscriptions.
#[derive(Clone, Debug, Default)]
pub struct StoredKeys {
    document: Document,
    version: Option<String>,
    /// Epoch milliseconds.
    created_at: i64,
}

/// Whether another writer came between our read and our write.
enum Interleaving {
    None,
    /// They wrote this, and our write replaced it.
    TheirsFirst(StoredKeys),
    /// They wrote after us, and perhaps without having read our version.
    OursFirst,
}

/// Its `Debug` shows no values.
#[derive(Clone, Default, PartialEq)]
struct Document(Map<String, Value>);

/// One idempotent change of the secret.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Change {
    /// Adds a subscription's key; `replaces` are subscriptions that no longer exist.
    Add { subscription: NewSubscription, event_type: String, generation: u32, replaces: Vec<String> },
    /// Plans these generations; `adopted` are today's subscriptions.
    Plan { generations: Vec<(String, u32)>, adopted: Vec<(String, Registration)> },
    /// Removes the keys of subscriptions that no longer exist, and plans these generations.
    Remove { ids: Vec<String>, generations: Vec<(String, u32)> },
}

/// A write is repeated at most so often when others write in between.
const TRIES: usize = 5;

/// A read that lags is repeated at most so often, with this pause.
const LAGGING_READS: usize = 8;
const LAG: Duration = Duration::from_millis(150);

const KEYS: &str = "keys";
const SUBSCRIPTIONS: &str = "subscriptions";
const GENERATIONS: &str = "generations";

impl SigningSecret {
    pub fn new(client: Client, id: String) -> Self {
        Self { client, id, replaced: Mutex::default() }
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    /// The secret's current version.
    ///
    /// # Errors
    /// It cannot be read, or is not the JSON object that it should be.
    pub async fn read(&self) -> Result<StoredKeys, Error> {
        for _ in 1..LAGGING_READS {
            let read = self.version("AWSCURRENT").await?.unwrap_or_default();
            let lags = read.version.as_ref().is_some_and(|version| self.replaced().contains(version));
            if !lags {
                return Ok(read);
            }
            tokio::time::sleep(LAG).await;
        }
        Ok(self.version("AWSCURRENT").await?.unwrap_or_default())
    }

    /// Makes `change` and keeps what others write meanwhile.
    ///
    /// # Errors
    /// Secrets Manager does not answer, or another writer keeps writing. The change may have been made.
    pub async fn change(&self, change: &Change) -> Result<(), Error> {
        // Each pair is a version that others changed, and their version, which we overwrote without having read it.
        let mut overwritten: Vec<(Document, Document)> = Vec::new();
        for _ in 0..TRIES {
            let read = self.read().await?;
            let mut document = read.document.clone();
            for (before, theirs) in &overwritten {
                document.carry_over(before, theirs);
            }
            document.apply(change);
            if document == read.document {
                return Ok(());
            }
            let written = self.put(&document).await?;
            self.replaced().extend(read.version.clone());
            match self.interleaving(&read, &written).await? {
                Interleaving::None => return Ok(()),
                Interleaving::TheirsFirst(theirs) => overwritten.push((read.document, theirs.document)),
                Interleaving::OursFirst => {}
            }
        }
        Err(Error::Contended { id: self.id.clone() })
    }

    async fn interleaving(&self, read: &StoredKeys, written: &str) -> Result<Interleaving, Error> {
        for _ in 0..LAGGING_READS {
            let replaced = self.version("AWSPREVIOUS").await?.unwrap_or_default();
            match () {
                () if replaced.version == read.version => return Ok(Interleaving::None),
                () if replaced.version.as_deref() == Some(written) => return Ok(Interleaving::OursFirst),
                () if replaced.created_at > read.created_at => return Ok(Interleaving::TheirsFirst(replaced)),
                // Older than the version that we replaced: this read lags.
                () => tokio::time::sleep(LAG).await,
            }
        }
        Ok(Interleaving::None)
    }

    fn replaced(&self) -> MutexGuard<'_, HashSet<String>> {
        self.replaced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn version(&self, stage: &str) -> Result<Option<StoredKeys>, Error> {
        match self.client.get_secret_value().secret_id(&self.id).version_stage(stage).send().await {
            Ok(output) => {
                let document = match Document::parse(output.secret_string.as_deref().unwrap_or_default()) {
                    // The functions ignore such a previous version, too.
                    Err(_) if stage == "AWSPREVIOUS" => Document::default(),
                    parsed => parsed.map_err(|problem| SecretError::Malformed { id: self.id.clone(), problem })?,
                };
                let created_at = output.created_date.and_then(|at| at.to_millis().ok()).unwrap_or_default();
                Ok(Some(StoredKeys { document, version: output.version_id, created_at }))
            }
            Err(error) if stage == "AWSPREVIOUS" && is_absent(&error) => Ok(None),
            Err(error) => Err(self.unreachable(sdk_reason(&error))),
        }
    }

    /// Returns the id of the new version.
    async fn put(&self, document: &Document) -> Result<String, Error> {
        let text = Value::Object(document.0.clone()).to_string();
        let put = self.client.put_secret_value().secret_id(&self.id).secret_string(text).send().await;
        let put = put.map_err(|error| self.unreachable(sdk_reason(&error)))?;
        Ok(put.version_id.unwrap_or_default())
    }

    fn unreachable(&self, reason: String) -> Error {
        SecretError::Unreachable { id: self.id.clone(), reason, may_pass: false }.into()
    }
}

fn is_absent<R>(error: &SdkError<GetSecretValueError, R>) -> bool {
    error.as_service_error().is_some_and(GetSecretValueError::is_resource_not_found_exception)
}

impl StoredKeys {
    /// The labels of all keys: ids of subscriptions, or names that a person gave them.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        let keys = self.document.0.get(KEYS).and_then(Value::as_object);
        let real = keys.into_iter().flatten().filter(|(_, key)| !is_placeholder(key));
        real.map(|(label, _)| label.as_str())
    }

    pub fn holds(&self, id: &str) -> bool {
        self.labels().any(|label| label == id)
    }

    /// Whether the key under this id is `key`.
    pub fn is_key_of(&self, id: &str, key: &Key) -> bool {
        self.document.0.get(KEYS).and_then(|keys| keys.get(id)).is_some_and(|stored| stored == key.reveal())
    }

    /// What the secret remembers of the subscription `id`.
    pub fn registration(&self, id: &str) -> Option<Registration> {
        Registration::read(self.document.0.get(SUBSCRIPTIONS)?.get(id)?)
    }

    /// All that the secret remembers, by id.
    pub fn registrations(&self) -> BTreeMap<&str, Registration> {
        let all = self.document.0.get(SUBSCRIPTIONS).and_then(Value::as_object);
        all.into_iter().flatten().filter_map(|(id, entry)| Some((id.as_str(), Registration::read(entry)?))).collect()
    }

    /// The planned generation of an event type, if one was ever planned.
    pub fn generation(&self, event_type: &str) -> Option<u32> {
        generation(self.document.0.get(GENERATIONS)?.get(event_type)?)
    }

    #[cfg(test)]
    pub(crate) fn sample(document: &Value) -> Self {
        Self { document: Document::parse(&document.to_string()).unwrap(), version: None, created_at: 0 }
    }
}

impl Registration {
    fn read(entry: &Value) -> Option<Self> {
        let event_type = entry["event_type"].as_str()?.to_owned();
        Some(Self { event_type, generation: generation(&entry["generation"])? })
    }

    fn write(&self) -> Value {
        json!({ "event_type": self.event_type, "generation": self.generation })
    }
}

impl Document {
    fn parse(text: &str) -> Result<Self, Problem> {
        let problem = |field: &str| Problem { field: field.to_owned(), expected: "a JSON object" };
        let document = serde_json::from_str(without_byte_order_mark(text));
        let document: Map<String, Value> = document.map_err(|_| problem("the secret"))?;
        let mut ours = [KEYS, SUBSCRIPTIONS, GENERATIONS].into_iter();
        match ours.find(|field| document.get(*field).is_some_and(|value| !value.is_object())) {
            Some(field) => Err(problem(field)),
            None => Ok(Self(document)),
        }
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::Add { subscription, event_type, generation, replaces } => {
                let keys = self.object(KEYS);
                keys.retain(|_, key| !is_placeholder(key));
                keys.insert(subscription.id.clone(), json!(subscription.key.reveal()));
                let others: Vec<_> = replaces.iter().filter(|id| **id != subscription.id).cloned().collect();
                self.remove(&others);
                let registration = Registration { event_type: event_type.clone(), generation: *generation };
                self.object(SUBSCRIPTIONS).insert(subscription.id.clone(), registration.write());
                self.raise(event_type, *generation);
            }
            Change::Plan { generations, adopted } => {
                for (id, registration) in adopted {
                    self.object(SUBSCRIPTIONS).insert(id.clone(), registration.write());
                }
                generations.iter().for_each(|(event_type, generation)| self.raise(event_type, *generation));
            }
            Change::Remove { ids, generations } => {
                self.remove(ids);
                generations.iter().for_each(|(event_type, generation)| self.raise(event_type, *generation));
            }
        }
    }

    /// The last key stays: the function does not start without one.
    fn remove(&mut self, ids: &[String]) {
        for id in ids {
            let keys = self.object(KEYS);
            if keys.len() > 1 || !keys.contains_key(id) {
                keys.remove(id);
                self.object(SUBSCRIPTIONS).remove(id);
            }
        }
    }

    /// Generations only go up, since Rail remembers the lower ones.
    fn raise(&mut self, event_type: &str, to: u32) {
        let generations = self.object(GENERATIONS);
        let now = generations.get(event_type).and_then(generation).unwrap_or_default();
        if to > now {
            generations.insert(event_type.to_owned(), json!(to));
        }
    }

    fn object(&mut self, field: &str) -> &mut Map<String, Value> {
        let object = self.0.entry(field).or_insert_with(|| json!({}));
        if !object.is_object() {
            *object = json!({});
        }
        object.as_object_mut().expect("made an object a line ago")
    }

    /// Repeats here the changes that turned `before` into `theirs`.
    fn carry_over(&mut self, before: &Self, theirs: &Self) {
        carry_over(&mut self.0, &before.0, &theirs.0, true);
    }
}

fn carry_over(onto: &mut Map<String, Value>, before: &Map<String, Value>, theirs: &Map<String, Value>, deep: bool) {
    let empty = Map::new();
    let names = before.keys().chain(theirs.keys()).filter(|name| before.get(*name) != theirs.get(*name));
    for name in names {
        let object = |of: &'_ Map<String, Value>| of.get(name).and_then(Value::as_object).cloned();
        match (theirs.get(name), onto.get_mut(name).and_then(Value::as_object_mut)) {
            (Some(Value::Object(theirs)), Some(onto)) if deep => {
                carry_over(onto, &object(before).unwrap_or_else(|| empty.clone()), theirs, false);
            }
            (Some(theirs), _) => {
                onto.insert(name.clone(), theirs.clone());
            }
            (None, _) => {
                onto.remove(name);
            }
        }
    }
}

fn generation(value: &Value) -> Option<u32> {
    u32::try_from(value.as_u64()?).ok()
}

fn is_placeholder(key: &Value) -> bool {
    key.as_str().is_some_and(|key| key.starts_with(PLACEHOLDER))
}

impl std::fmt::Debug for Document {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Document(..)")
    }
}

#[cfg(test)]
mod tests;
