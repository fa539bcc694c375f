//! How Rail, the routes and the secret differ, and the steps that bring them in step. No I/O.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Url;

use crate::rail_subscriptions::signing_secret::StoredKeys;
use crate::rail_subscriptions::subscription::{CallbackUrl, NewSubscription, Registration, Subscription};

/// Rail's list and the signing secret, read one after the other.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub subscriptions: Vec<Subscription>,
    pub stored: StoredKeys,
}

/// What `sync` does next.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Step {
    /// Rail's list shows a key that the secret lacks. `replaces` are subscriptions of this type that the secret remembers and
    /// Rail no longer has.
    CopyKey { event_type: String, subscription: NewSubscription, generation: u32, replaces: Vec<String> },
    /// `orphans` exist and are useless without their keys. They are deleted once this is in step, unless Rail answers that the
    /// new one is one of them.
    Create { event_type: String, generation: u32, replaces: Vec<String>, orphans: Vec<String> },
    /// Its key is not available, and another one of this type is in step.
    DeleteOrphan { event_type: String, id: String },
    /// No route needs it.
    DeleteUnused { event_type: String, id: String },
    /// Their subscriptions no longer exist.
    RemoveKeys { ids: Vec<String> },
}

/// The status of one subscription, or of one required event type.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Status {
    InStep,
    /// Routes need it and Rail has none for this URL.
    Missing,
    /// The secret has no key under its id: its deliveries are refused.
    KeyMissing,
    /// The secret's key is not the one that Rail's list shows.
    KeyDiffers,
    /// A newer one of its type exists or is planned: `rotate` continues.
    BeingRotated,
    /// Another one of its type delivers to the same URL and is as good as this one.
    Duplicate,
    /// No route needs it.
    NotNeeded,
    /// It delivers to another URL.
    OtherUrl,
    /// A key in the secret without a subscription at Rail.
    KeyOnly,
}

/// One row of the comparison.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Row {
    pub status: Status,
    /// `None` for a key of which nothing else is known.
    pub event_type: Option<String>,
    /// The subscription's id or the key's label; `None` for what is missing.
    pub id: Option<String>,
    pub callback_url: Option<String>,
    pub has_key: bool,
}

impl Snapshot {
    /// The subscriptions of a type that deliver to `url`.
    pub fn of_type<'s>(&'s self, event_type: &str, url: &CallbackUrl) -> Vec<&'s Subscription> {
        let matches = |it: &&Subscription| it.event_type == event_type && url.is(&it.callback_url);
        self.subscriptions.iter().filter(matches).collect()
    }

    pub fn is_at_rail(&self, id: &str) -> bool {
        self.subscriptions.iter().any(|it| it.id == id)
    }

    /// Whether the secret holds its key, as far as Rail's list shows.
    pub fn has_key(&self, it: &Subscription) -> bool {
        self.stored.holds(&it.id) && it.key.as_ref().is_none_or(|key| self.stored.is_key_of(&it.id, key))
    }

    /// 0 for one that a person created.
    pub fn generation_of(&self, it: &Subscription) -> u32 {
        self.stored.registration(&it.id).map_or(0, |registration| registration.generation)
    }

    /// Among those whose key is stored, the one of the highest generation, and of several the one that Rail lists last.
    pub fn current(&self, event_type: &str, url: &CallbackUrl) -> Option<&Subscription> {
        let keyed = self.of_type(event_type, url).into_iter().filter(|it| self.has_key(it));
        keyed.max_by_key(|it| self.generation_of(it))
    }

    /// Whether a newer subscription is planned than the one that delivers today.
    pub fn is_rotating(&self, event_type: &str, url: &CallbackUrl) -> bool {
        let current = self.current(event_type, url).map(|it| self.generation_of(it));
        current.is_some_and(|current| self.stored.generation(event_type).is_some_and(|planned| planned > current))
    }

    /// Those whose key is stored and that a newer one has replaced.
    pub fn replaced(&self, event_type: &str, url: &CallbackUrl) -> Vec<&Subscription> {
        let Some(current) = self.current(event_type, url).map(|it| self.generation_of(it)) else {
            return Vec::new();
        };
        let keyed = self.of_type(event_type, url).into_iter().filter(|it| self.has_key(it));
        keyed.filter(|it| self.generation_of(it) < current).collect()
    }

    /// Subscriptions that the secret remembers and Rail no longer has. Their keys are still stored.
    pub fn gone(&self) -> BTreeMap<&str, Registration> {
        self.stored.registrations().into_iter().filter(|(id, _)| !self.is_at_rail(id)).collect()
    }

    /// Which generation to ask Rail for. One whose subscription no longer exists is used up: Rail would repeat its old answer.
    pub fn next_generation(&self, event_type: &str) -> u32 {
        let planned = self.stored.generation(event_type).unwrap_or(1).max(1);
        let is_used_up = |it: Registration| it.event_type == event_type && it.generation == planned;
        if self.gone().into_values().any(is_used_up) { planned + 1 } else { planned }
    }

    /// What a new subscription of this type replaces.
    pub fn gone_of_type(&self, event_type: &str, newer_than: Option<u32>) -> Vec<String> {
        let of_type = self.gone().into_iter().filter(|(_, it)| it.event_type == event_type);
        let newer = of_type.filter(|(_, it)| newer_than.is_none_or(|than| it.generation > than));
        newer.map(|(id, _)| id.to_owned()).collect()
    }

    /// Those of `ids` whose keys can be removed. The secret's last key stays, since the function does not start without one.
    pub fn removable(&self, mut ids: Vec<String>) -> Vec<String> {
        if self.stored.labels().all(|label| ids.iter().any(|id| id == label)) {
            ids.pop();
        }
        ids
    }
}

/// What `sync` has to do, in this order. Empty when all is in step.
///
/// A snapshot after the steps may show more to do: a subscription that Rail says it created and does not list, or one that is
/// superfluous now because its key is not available. `rejected` are event types that Rail does not accept.
pub fn plan(
    snapshot: &Snapshot,
    required: &BTreeSet<String>,
    url: &CallbackUrl,
    prune: bool,
    rejected: &BTreeSet<String>,
) -> Vec<Step> {
    let mut steps = Vec::new();
    for event_type in required.difference(rejected) {
        let (keyed, keyless): (Vec<_>, Vec<_>) =
            snapshot.of_type(event_type, url).into_iter().partition(|it| snapshot.has_key(it));
        let (shown, hidden): (Vec<_>, Vec<_>) = keyless.into_iter().partition(|it| it.key.is_some());
        let create = |newer_than| Step::Create {
            event_type: event_type.clone(),
            generation: snapshot.next_generation(event_type),
            replaces: snapshot.gone_of_type(event_type, newer_than),
            orphans: hidden.iter().map(|it| it.id.clone()).collect(),
        };
        if snapshot.is_rotating(event_type, url) && !(shown.is_empty() && hidden.is_empty()) {
            // A run died between creating the newer one and writing its key. If asked again, Rail repeats its answer.
            let current = snapshot.current(event_type, url).map(|it| snapshot.generation_of(it));
            steps.push(create(current));
            continue;
        }
        // Without another one, this is the planned one; it does not matter who created it.
        let planned = snapshot.stored.generation(event_type).filter(|_| keyed.is_empty()).unwrap_or_default();
        let copies = shown.iter().filter_map(|it| {
            let subscription = NewSubscription { id: it.id.clone(), key: it.key.clone()? };
            let generation = snapshot.generation_of(it).max(planned);
            let replaces = if keyed.is_empty() { snapshot.gone_of_type(event_type, None) } else { Vec::new() };
            Some(Step::CopyKey { event_type: event_type.clone(), subscription, generation, replaces })
        });
        steps.extend(copies);
        if keyed.is_empty() && shown.is_empty() {
            steps.push(create(None));
        } else {
            let orphan = |it: &&Subscription| Step::DeleteOrphan { event_type: event_type.clone(), id: it.id.clone() };
            steps.extend(hidden.iter().map(orphan));
        }
    }
    if prune {
        let unused =
            snapshot.subscriptions.iter().filter(|it| url.is(&it.callback_url) && !required.contains(&it.event_type));
        steps.extend(unused.map(|it| Step::DeleteUnused { event_type: it.event_type.clone(), id: it.id.clone() }));
        // The key of a replaced one is removed with the write of the new one's key.
        let replaced: BTreeSet<String> = steps
            .iter()
            .flat_map(|step| match step {
                Step::Create { replaces, .. } | Step::CopyKey { replaces, .. } => replaces.clone(),
                _ => Vec::new(),
            })
            .collect();
        let gone = snapshot.gone().into_keys().map(str::to_owned).filter(|id| !replaced.contains(id)).collect();
        let ids = snapshot.removable(gone);
        if !ids.is_empty() {
            steps.push(Step::RemoveKeys { ids });
        }
    }
    steps
}

/// All subscriptions at Rail, all required types and all keys, side by side.
pub fn compare(snapshot: &Snapshot, required: &BTreeSet<String>, url: &CallbackUrl) -> Vec<Row> {
    let missing = required.iter().filter(|event_type| snapshot.of_type(event_type, url).is_empty());
    let missing = missing.map(|event_type| Row {
        status: Status::Missing,
        event_type: Some(event_type.clone()),
        id: None,
        callback_url: Some(url.to_string()),
        has_key: false,
    });
    let at_rail = snapshot.subscriptions.iter().map(|it| Row {
        status: status(snapshot, required, url, it),
        event_type: Some(it.event_type.clone()),
        id: Some(it.id.clone()),
        callback_url: Some(without_secrets(&it.callback_url)),
        has_key: snapshot.stored.holds(&it.id),
    });
    let keys_alone = snapshot.stored.labels().filter(|label| !snapshot.is_at_rail(label)).map(|label| Row {
        status: Status::KeyOnly,
        event_type: snapshot.stored.registration(label).map(|it| it.event_type),
        id: Some(label.to_owned()),
        callback_url: None,
        has_key: true,
    });
    let mut rows: Vec<Row> = missing.chain(at_rail).chain(keys_alone).collect();
    rows.sort_by_key(|row| (row.callback_url.is_none(), row.event_type.clone(), row.status));
    rows
}

fn status(snapshot: &Snapshot, required: &BTreeSet<String>, url: &CallbackUrl, it: &Subscription) -> Status {
    let current = snapshot.current(&it.event_type, url);
    let is_older = |current: &Subscription| snapshot.generation_of(current) > snapshot.generation_of(it);
    match () {
        () if !url.is(&it.callback_url) => Status::OtherUrl,
        () if !required.contains(&it.event_type) => Status::NotNeeded,
        () if !snapshot.stored.holds(&it.id) => Status::KeyMissing,
        () if !snapshot.has_key(it) => Status::KeyDiffers,
        () if snapshot.is_rotating(&it.event_type, url) || current.is_some_and(is_older) => Status::BeingRotated,
        () if current.is_some_and(|current| current.id != it.id) => Status::Duplicate,
        () => Status::InStep,
    }
}

/// Another system's URL, without what may be secret in it.
fn without_secrets(url: &str) -> String {
    let Ok(mut parsed) = Url::parse(url) else {
        return "(no URL)".to_owned();
    };
    let hides = parsed.query().is_some() || parsed.password().is_some() || !parsed.username().is_empty();
    let cleared = parsed.set_username("").and_then(|()| parsed.set_password(None));
    parsed.set_query(None);
    match (cleared, hides) {
        (Err(()), _) => "(a URL with credentials)".to_owned(),
        (Ok(()), true) => format!("{parsed} (and more)"),
        (Ok(()), false) => parsed.to_string(),
    }
}

impl Status {
    /// As `--json` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::InStep => "in_step",
            Self::Missing => "missing",
            Self::KeyMissing => "key_missing",
            Self::KeyDiffers => "key_differs",
            Self::BeingRotated => "being_rotated",
            Self::Duplicate => "duplicate",
            Self::NotNeeded => "not_needed",
            Self::OtherUrl => "other_url",
            Self::KeyOnly => "key_only",
        }
    }
}

#[cfg(test)]
mod tests;
