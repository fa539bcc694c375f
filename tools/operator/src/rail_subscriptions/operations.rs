//! Sync, rotate, delete. Each may be killed at any call; the next run continues.
//!
//! Two rules make that so. A key is in the secret before the next call is made. And what a run has to know of an earlier one
//! is read from Rail and the secret, round by round, until nothing is left to do.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::rail_subscriptions::api::RailApi;
use crate::rail_subscriptions::error::{Cause, Error, RailError};
use crate::rail_subscriptions::plan::{Snapshot, Step, plan};
use crate::rail_subscriptions::signing_secret::{Change, SigningSecret};
use crate::rail_subscriptions::subscription::{CallbackUrl, NewSubscription, Registration};

/// Rail's subscriptions, and the secret with their keys.
pub struct Subscriptions {
    pub api: RailApi,
    pub secret: SigningSecret,
}

/// What a run has just done, or waits for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Progress {
    /// Its key is in the secret, too.
    Created {
        event_type: String,
        id: String,
    },
    KeyCopied {
        event_type: String,
        id: String,
    },
    Deleted {
        event_type: String,
        id: String,
    },
    /// The number of keys whose subscriptions no longer exist.
    KeysRemoved(usize),
    Rejected(RejectedType),
    /// The number of types that get new subscriptions.
    RotationStarted(usize),
    /// An earlier run has started to rotate these.
    RotationResumed(Vec<String>),
    /// The functions need time to read the new keys, then the old subscriptions are deleted.
    WaitingToDelete {
        old: usize,
        pause: Duration,
    },
    /// The last deliveries of the old subscriptions need time to arrive, then their keys are removed.
    WaitingToRemoveKeys {
        keys: usize,
        pause: Duration,
    },
}

/// An event type that Rail does not accept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RejectedType {
    pub event_type: String,
    pub status: u16,
    pub code: Option<String>,
}

/// The result of a run that no error stopped.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Outcome {
    /// The number of changes made.
    pub done: usize,
    pub rejected: Vec<RejectedType>,
}

/// What to rotate, and how long to wait.
#[derive(Clone, Debug)]
pub struct Rotation<'r> {
    pub required: &'r BTreeSet<String>,
    pub callback_url: &'r CallbackUrl,
    /// `None` is all that are required.
    pub only: Option<&'r str>,
    /// Between two new subscriptions: a function that has just read the secret because of one new key does not read it again
    /// for [`SIGNING_COOL_DOWN`](shared::outside::secrets::SIGNING_COOL_DOWN).
    pub pace: Duration,
    /// Between the last new key and the deletion of the old subscriptions, and again before the removal of their keys.
    pub pause: Duration,
}

/// The result of deleting one subscription.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Deletion {
    /// `None` when Rail did not have it any more.
    pub event_type: Option<String>,
    /// False when the key stays because it is the secret's last, or when there was none.
    pub key_removed: bool,
}

/// More rounds than this would mean that Rail forgets what it reports; each uses up a generation.
const MOST_ROUNDS: usize = 8;

impl Subscriptions {
    /// The secret and Rail's list, as they are now.
    ///
    /// # Errors
    /// Either cannot be read.
    pub async fn snapshot(&self) -> Result<Snapshot, Error> {
        // In this order, a subscription that is created meanwhile may seem to lack its key, but no key its subscription.
        let stored = self.secret.read().await?;
        Ok(Snapshot { subscriptions: self.api.list().await?, stored })
    }

    /// Brings Rail and the secret in step with `required`, starting with what `snapshot` shows.
    ///
    /// Event types that Rail rejects do not stop the others.
    ///
    /// # Errors
    /// What stopped it. The next run continues.
    pub async fn sync(
        &self,
        mut snapshot: Snapshot,
        required: &BTreeSet<String>,
        callback_url: &CallbackUrl,
        prune: bool,
        mut report: impl FnMut(&Progress),
    ) -> Result<Outcome, Error> {
        let mut outcome = Outcome::default();
        for _ in 0..MOST_ROUNDS {
            let steps = plan(&snapshot, required, callback_url, prune, &outcome.rejected_types());
            if steps.is_empty() {
                return Ok(outcome);
            }
            for step in steps {
                self.take(step, &snapshot, callback_url, &mut outcome, &mut report).await?;
            }
            snapshot = self.snapshot().await?;
        }
        let steps = plan(&snapshot, required, callback_url, prune, &outcome.rejected_types());
        let unsettled = steps.iter().filter_map(Step::event_type).map(str::to_owned).collect();
        if steps.is_empty() { Ok(outcome) } else { Err(Error::Unsettled(unsettled)) }
    }

    /// Replaces subscriptions and keys by new ones. Both exist for a while, so that no delivery is refused.
    ///
    /// If an earlier run was stopped half-way, this finishes it, and starts nothing else unless `only` names it.
    ///
    /// # Errors
    /// What stopped it. The next run continues.
    pub async fn rotate(&self, rotation: &Rotation<'_>, mut report: impl FnMut(&Progress)) -> Result<Outcome, Error> {
        let mut outcome = Outcome::default();
        let url = rotation.callback_url;
        let snapshot = self.snapshot().await?;
        let under_way = rotation.under_way(&snapshot);
        if !under_way.is_empty() {
            report(&Progress::RotationResumed(under_way.iter().cloned().collect()));
        }
        let fresh = rotation.to_start(&snapshot, &under_way)?;
        if !fresh.is_empty() {
            self.secret.change(&rotation.start(&snapshot, &fresh)).await?;
            report(&Progress::RotationStarted(fresh.len()));
        }
        let types: BTreeSet<String> = under_way.union(&fresh).cloned().collect();

        let mut snapshot = self.snapshot().await?;
        for round in 0.. {
            let rejected = outcome.rejected_types();
            let waiting: Vec<_> = types
                .difference(&rejected)
                .filter(|event_type| snapshot.is_rotating(event_type, url))
                .cloned()
                .collect();
            if waiting.is_empty() {
                break;
            }
            if round == MOST_ROUNDS {
                return Err(Error::Unsettled(waiting));
            }
            for (n, event_type) in waiting.into_iter().enumerate() {
                if n > 0 {
                    tokio::time::sleep(rotation.pace).await;
                }
                let current = snapshot.current(&event_type, url).map(|it| snapshot.generation_of(it));
                let replaces = snapshot.gone_of_type(&event_type, current);
                let generation = snapshot.next_generation(&event_type);
                let step = Step::Create { event_type, generation, replaces, orphans: Vec::new() };
                self.take(step, &snapshot, url, &mut outcome, &mut report).await?;
            }
            snapshot = self.snapshot().await?;
        }

        let superfluous = rotation.superfluous(&snapshot, &types);
        if !superfluous.is_empty() {
            report(&Progress::WaitingToDelete { old: superfluous.len(), pause: rotation.pause });
            tokio::time::sleep(rotation.pause).await;
            // If a new one was deleted meanwhile, the old one stays.
            snapshot = self.snapshot().await?;
            for (id, event_type) in rotation.superfluous(&snapshot, &types) {
                self.api.delete(&id).await?;
                outcome.done += 1;
                report(&Progress::Deleted { event_type, id });
            }
            snapshot = self.snapshot().await?;
        }

        let ids = rotation.removable(&snapshot, &types);
        if !ids.is_empty() {
            let keys = ids.len();
            report(&Progress::WaitingToRemoveKeys { keys, pause: rotation.pause });
            tokio::time::sleep(rotation.pause).await;
            self.secret.change(&Change::Remove { ids, generations: Vec::new() }).await?;
            outcome.done += 1;
            report(&Progress::KeysRemoved(keys));
        }
        Ok(outcome)
    }

    /// Deletes one subscription, even if a route needs it, and its key.
    ///
    /// # Errors
    /// [`Error::NoSuchSubscription`] if neither Rail nor the secret has the id; else what stopped it.
    pub async fn delete(&self, snapshot: &Snapshot, id: &str) -> Result<Deletion, Error> {
        let found = snapshot.subscriptions.iter().find(|it| it.id == id);
        let had_key = snapshot.stored.holds(id);
        if found.is_none() && !had_key {
            return Err(Error::NoSuchSubscription(id.to_owned()));
        }
        if found.is_some() {
            self.api.delete(id).await?;
        }
        self.secret.change(&removal(snapshot, vec![id.to_owned()])).await?;
        let key_removed = had_key && !self.secret.read().await?.holds(id);
        Ok(Deletion { event_type: found.map(|it| it.event_type.clone()), key_removed })
    }

    async fn take(
        &self,
        step: Step,
        snapshot: &Snapshot,
        url: &CallbackUrl,
        outcome: &mut Outcome,
        report: &mut impl FnMut(&Progress),
    ) -> Result<(), Error> {
        let progress = match step {
            Step::CopyKey { event_type, subscription, generation, replaces } => {
                let id = subscription.id.clone();
                self.store(subscription, &event_type, generation, replaces).await?;
                Progress::KeyCopied { event_type, id }
            }
            Step::Create { event_type, generation, replaces, .. } => {
                let subscription = match self.api.create(&event_type, url, generation).await {
                    Err(Error::Rail(RailError { cause: Cause::Rejected { status, code }, .. })) => {
                        let rejected = RejectedType { event_type, status, code };
                        report(&Progress::Rejected(rejected.clone()));
                        outcome.rejected.push(rejected);
                        return Ok(());
                    }
                    answer => answer?,
                };
                let id = subscription.id.clone();
                // Rail repeats an answer about a subscription that exists: this generation was created before the secret
                // remembered any.
                let known = snapshot.subscriptions.iter().find(|it| it.id == id).filter(|it| snapshot.has_key(it));
                if known.is_some_and(|it| snapshot.generation_of(it) < generation) {
                    let generations = vec![(event_type, generation + 1)];
                    return self.secret.change(&Change::Plan { generations, adopted: Vec::new() }).await;
                }
                self.store(subscription, &event_type, generation, replaces).await?;
                Progress::Created { event_type, id }
            }
            Step::DeleteOrphan { event_type, id } | Step::DeleteUnused { event_type, id } => {
                self.api.delete(&id).await?;
                Progress::Deleted { event_type, id }
            }
            Step::RemoveKeys { ids } => {
                let count = ids.len();
                self.secret.change(&removal(snapshot, ids)).await?;
                Progress::KeysRemoved(count)
            }
        };
        outcome.done += 1;
        report(&progress);
        Ok(())
    }

    async fn store(
        &self,
        subscription: NewSubscription,
        event_type: &str,
        generation: u32,
        replaces: Vec<String>,
    ) -> Result<(), Error> {
        let event_type = event_type.to_owned();
        self.secret.change(&Change::Add { subscription, event_type, generation, replaces }).await
    }
}

/// Removes the keys of subscriptions that no longer exist, and so uses up their generations.
fn removal(snapshot: &Snapshot, ids: Vec<String>) -> Change {
    let registrations = ids.iter().filter_map(|id| snapshot.stored.registration(id));
    let generations = registrations.map(|it| (it.event_type, it.generation + 1)).collect();
    Change::Remove { ids, generations }
}

impl Rotation<'_> {
    /// The types whose rotation an earlier run left half-way.
    pub fn under_way(&self, snapshot: &Snapshot) -> BTreeSet<String> {
        let is_under_way = |event_type: &&String| {
            snapshot.is_rotating(event_type, self.callback_url)
                || !snapshot.replaced(event_type, self.callback_url).is_empty()
                || !self.removable(snapshot, &BTreeSet::from([(*event_type).clone()])).is_empty()
        };
        self.required.iter().filter(is_under_way).cloned().collect()
    }

    /// The types to start with, beside those `under_way`. Without `only` and with nothing under way: those that are in step.
    ///
    /// # Errors
    /// [`Error::NotInStep`] if `only`, or no type at all, has a subscription whose key is stored.
    pub fn to_start(&self, snapshot: &Snapshot, under_way: &BTreeSet<String>) -> Result<BTreeSet<String>, Error> {
        let wanted = match self.only {
            Some(only) => BTreeSet::from([only.to_owned()]),
            None if under_way.is_empty() => self.required.clone(),
            None => return Ok(BTreeSet::new()),
        };
        let has_current = |event_type: &String| snapshot.current(event_type, self.callback_url).is_some();
        let (fresh, lacking): (BTreeSet<_>, BTreeSet<_>) =
            wanted.into_iter().filter(|event_type| !under_way.contains(event_type)).partition(has_current);
        if fresh.is_empty() && !lacking.is_empty() {
            Err(Error::NotInStep(lacking.into_iter().collect()))
        } else {
            Ok(fresh)
        }
    }

    /// Plans the new generations in the secret, before anything else is done.
    fn start(&self, snapshot: &Snapshot, fresh: &BTreeSet<String>) -> Change {
        let mut generations = Vec::new();
        let mut adopted = Vec::new();
        for event_type in fresh {
            let Some(current) = snapshot.current(event_type, self.callback_url) else { continue };
            let next = snapshot.next_generation(event_type).max(snapshot.generation_of(current) + 1);
            generations.push((event_type.clone(), next));
            let of_type = snapshot.of_type(event_type, self.callback_url);
            adopted.extend(of_type.into_iter().filter(|it| snapshot.has_key(it)).map(|it| {
                let generation = snapshot.generation_of(it);
                (it.id.clone(), Registration { event_type: event_type.clone(), generation })
            }));
        }
        Change::Plan { generations, adopted }
    }

    /// Subscriptions of `types` that newer ones have replaced; id and type.
    fn superfluous(&self, snapshot: &Snapshot, types: &BTreeSet<String>) -> Vec<(String, String)> {
        let settled = types.iter().filter(|event_type| !snapshot.is_rotating(event_type, self.callback_url));
        let replaced = settled.flat_map(|event_type| snapshot.replaced(event_type, self.callback_url));
        replaced.map(|it| (it.id.clone(), it.event_type.clone())).collect()
    }

    /// Keys of subscriptions of `types` that no longer exist and that newer ones have replaced.
    fn removable(&self, snapshot: &Snapshot, types: &BTreeSet<String>) -> Vec<String> {
        let is_replaced = |it: &Registration| {
            let current = snapshot.current(&it.event_type, self.callback_url);
            types.contains(&it.event_type)
                && current.is_some_and(|current| snapshot.generation_of(current) > it.generation)
        };
        let gone = snapshot.gone().into_iter().filter(|(_, registration)| is_replaced(registration));
        snapshot.removable(gone.map(|(id, _)| id.to_owned()).collect())
    }
}

impl Outcome {
    fn rejected_types(&self) -> BTreeSet<String> {
        self.rejected.iter().map(|rejected| rejected.event_type.clone()).collect()
    }
}

impl Step {
    /// The event type that it is about, if it is about one.
    pub fn event_type(&self) -> Option<&str> {
        match self {
            Self::CopyKey { event_type, .. }
            | Self::Create { event_type, .. }
            | Self::DeleteOrphan { event_type, .. }
            | Self::DeleteUnused { event_type, .. } => Some(event_type),
            Self::RemoveKeys { .. } => None,
        }
    }
}
