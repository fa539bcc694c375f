//! The signing secret as an operator writes it: one key more or less at a time, and never another writer's work undone.
//!
//! Secrets Manager has no conditional write. So each write is checked afterwards: the version that it replaced must be the
//! one that was read. If it was not, somebody wrote in between; what they changed is carried over, and it is written again.
//! Reads may lag behind writes for a moment; a version older than what is known to be is never believed.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::SdkError;
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
use serde_json::{Map, Value, json};
use shared::outside::aws::sdk_reason;
use shared::outside::secrets::{PLACEHOLDER, Problem, SecretError};

use crate::api::{Created, Key};
use crate::error::Error;

/// The secret that `SIGNING_SECRET_ID` names: `{"keys": {"<subscription id>": "<key>"}}`, and beside it what the
/// subscriptions' upkeep must remember.
///
/// | field | holds |
/// |---|---|
/// | `keys` | what signatures are checked with; any label, and nothing is dropped that this did not write |
/// | `subscriptions` | of each id whose key was written here, or taken over: `event_type` and `generation` |
/// | `generations` | of each event type the generation that is to be; part of the idempotency id, which Rail never forgets |
pub struct SigningSecret {
    client: Client,
    id: String,
    /// The versions that this has replaced: whoever reads one of them as the current one reads what is over.
    replaced: Mutex<HashSet<String>>,
}

/// What the secret holds.
#[derive(Clone, Debug, Default)]
pub struct Held {
    document: Document,
    version: Option<String>,
    /// Epoch milliseconds.
    created_at: i64,
}

/// Who wrote between a read of ours and the write that followed it.
enum Between {
    Nobody,
    /// And we on top of that.
    Somebody(Held),
    /// Somebody wrote after us, and perhaps without having read what we wrote.
    Afterwards,
}

/// Its `Debug` shows no values.
#[derive(Clone, Default, PartialEq)]
struct Document(Map<String, Value>);

/// A key's subscription, as the secret remembers it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Made {
    pub event_type: String,
    /// 0 of one that was made by hand.
    pub generation: u32,
}

/// One step of the upkeep. To make it twice is to make it once.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Change {
    /// A subscription's key; `instead_of` are subscriptions that are gone.
    Add { created: Created, event_type: String, generation: u32, instead_of: Vec<String> },
    /// From now on these generations are to be; `adopted` are today's subscriptions.
    Begin { generations: Vec<(String, u32)>, adopted: Vec<(String, Made)> },
    /// The keys of subscriptions that are gone, and the generation that the next one of a type will be.
    Remove { ids: Vec<String>, generations: Vec<(String, u32)> },
}

/// So often somebody else may come in between.
const TRIES: usize = 5;

/// So often a read that lags is made anew, with this pause.
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

    /// What the secret holds now.
    ///
    /// # Errors
    /// It cannot be read, or is not the JSON object that it should be.
    pub async fn read(&self) -> Result<Held, Error> {
        for _ in 1..LAGGING_READS {
            let read = self.version("AWSCURRENT").await?.unwrap_or_default();
            let is_over = read.version.as_ref().is_some_and(|version| self.replaced().contains(version));
            if !is_over {
                return Ok(read);
            }
            tokio::time::sleep(LAG).await;
        }
        Ok(self.version("AWSCURRENT").await?.unwrap_or_default())
    }

    /// Makes `change`, whatever others write meanwhile.
    ///
    /// # Errors
    /// Secrets Manager cannot be reached, or somebody else writes all the time. The change may have been made.
    pub async fn change(&self, change: &Change) -> Result<(), Error> {
        // What others wrote on top of a version, and we on top of that without having read it.
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
            match self.between(&read, &written).await? {
                Between::Nobody => return Ok(()),
                Between::Somebody(theirs) => overwritten.push((read.document, theirs.document)),
                Between::Afterwards => {}
            }
        }
        Err(Error::Contended { id: self.id.clone() })
    }

    async fn between(&self, read: &Held, written: &str) -> Result<Between, Error> {
        for _ in 0..LAGGING_READS {
            let replaced = self.version("AWSPREVIOUS").await?.unwrap_or_default();
            match () {
                () if replaced.version == read.version => return Ok(Between::Nobody),
                () if replaced.version.as_deref() == Some(written) => return Ok(Between::Afterwards),
                () if replaced.created_at > read.created_at => return Ok(Between::Somebody(replaced)),
                // Older than what we replaced: this read lags.
                () => tokio::time::sleep(LAG).await,
            }
        }
        Ok(Between::Nobody)
    }

    fn replaced(&self) -> MutexGuard<'_, HashSet<String>> {
        self.replaced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn version(&self, stage: &str) -> Result<Option<Held>, Error> {
        match self.client.get_secret_value().secret_id(&self.id).version_stage(stage).send().await {
            Ok(output) => {
                let document = match Document::parse(output.secret_string.as_deref().unwrap_or_default()) {
                    // Whatever was there before is not read as keys by the functions either.
                    Err(_) if stage == "AWSPREVIOUS" => Document::default(),
                    parsed => parsed.map_err(|problem| SecretError::Malformed { id: self.id.clone(), problem })?,
                };
                let created_at = output.created_date.and_then(|at| at.to_millis().ok()).unwrap_or_default();
                Ok(Some(Held { document, version: output.version_id, created_at }))
            }
            Err(error) if stage == "AWSPREVIOUS" && is_absent(&error) => Ok(None),
            Err(error) => Err(self.unreachable(sdk_reason(&error))),
        }
    }

    /// The id of the version that it made.
    async fn put(&self, document: &Document) -> Result<String, Error> {
        let text = Value::Object(document.0.clone()).to_string();
        let put = self.client.put_secret_value().secret_id(&self.id).secret_string(text).send().await;
        let put = put.map_err(|error| self.unreachable(sdk_reason(&error)))?;
        Ok(put.version_id.unwrap_or_default())
    }

    fn unreachable(&self, reason: String) -> Error {
        SecretError::Unreachable { id: self.id.clone(), reason }.into()
    }
}

fn is_absent<R>(error: &SdkError<GetSecretValueError, R>) -> bool {
    error.as_service_error().is_some_and(GetSecretValueError::is_resource_not_found_exception)
}

impl Held {
    /// The labels of all keys: ids of subscriptions, or whatever somebody has called them.
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
        self.document.0.get(KEYS).and_then(|keys| keys.get(id)).is_some_and(|held| held == key.reveal())
    }

    /// What is remembered of the subscription `id`.
    pub fn made(&self, id: &str) -> Option<Made> {
        Made::read(self.document.0.get(SUBSCRIPTIONS)?.get(id)?)
    }

    /// All that is remembered, by id.
    pub fn all_made(&self) -> BTreeMap<&str, Made> {
        let all = self.document.0.get(SUBSCRIPTIONS).and_then(Value::as_object);
        all.into_iter().flatten().filter_map(|(id, made)| Some((id.as_str(), Made::read(made)?))).collect()
    }

    /// The generation of an event type's subscription that is to be, if anything was ever decided.
    pub fn generation(&self, event_type: &str) -> Option<u32> {
        generation(self.document.0.get(GENERATIONS)?.get(event_type)?)
    }

    #[cfg(test)]
    pub(crate) fn sample(document: &Value) -> Self {
        Self { document: Document::parse(&document.to_string()).unwrap(), version: None, created_at: 0 }
    }
}

impl Made {
    fn read(made: &Value) -> Option<Self> {
        let event_type = made["event_type"].as_str()?.to_owned();
        Some(Self { event_type, generation: generation(&made["generation"])? })
    }

    fn write(&self) -> Value {
        json!({ "event_type": self.event_type, "generation": self.generation })
    }
}

impl Document {
    fn parse(text: &str) -> Result<Self, Problem> {
        let problem = |field: &str| Problem { field: field.to_owned(), expected: "a JSON object" };
        let document: Map<String, Value> = serde_json::from_str(text).map_err(|_| problem("the secret"))?;
        let mut ours = [KEYS, SUBSCRIPTIONS, GENERATIONS].into_iter();
        match ours.find(|field| document.get(*field).is_some_and(|value| !value.is_object())) {
            Some(field) => Err(problem(field)),
            None => Ok(Self(document)),
        }
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::Add { created, event_type, generation, instead_of } => {
                let keys = self.object(KEYS);
                keys.retain(|_, key| !is_placeholder(key));
                keys.insert(created.id.clone(), json!(created.key.reveal()));
                let others: Vec<_> = instead_of.iter().filter(|id| **id != created.id).cloned().collect();
                self.remove(&others);
                let made = Made { event_type: event_type.clone(), generation: *generation };
                self.object(SUBSCRIPTIONS).insert(created.id.clone(), made.write());
                self.raise(event_type, *generation);
            }
            Change::Begin { generations, adopted } => {
                for (id, made) in adopted {
                    self.object(SUBSCRIPTIONS).insert(id.clone(), made.write());
                }
                generations.iter().for_each(|(event_type, generation)| self.raise(event_type, *generation));
            }
            Change::Remove { ids, generations } => {
                self.remove(ids);
                generations.iter().for_each(|(event_type, generation)| self.raise(event_type, *generation));
            }
        }
    }

    /// The last key stays: without any, the function would not start.
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

    /// Does here what somebody did to `before` that made `theirs` of it.
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
