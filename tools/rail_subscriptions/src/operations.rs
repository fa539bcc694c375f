//! Doing it: sync, rotate, delete. Each may be killed at any call; the next run goes on.
//!
//! Two rules make that so. A key is in the secret before the next call is made. And what a run has to know of an earlier one
//! is read from Rail and the secret, round by round, until nothing is left to do.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::api::{Created, RailApi};
use crate::error::{Error, RailError, Why};
use crate::plan::{CallbackUrl, Look, Step, plan};
use crate::signing_secret::{Change, Made, SigningSecret};

/// Rail's subscriptions, and the secret that their keys are in.
pub struct Subscriptions {
    pub api: RailApi,
    pub secret: SigningSecret,
}

/// What has just been done, for whoever watches.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Told {
    /// The key is in the secret, too.
    Created {
        event_type: String,
        id: String,
    },
    KeyTaken {
        event_type: String,
        id: String,
    },
    Deleted {
        event_type: String,
        id: String,
    },
    /// So many keys whose subscriptions are gone.
    KeysRemoved(usize),
    /// Rail does not want a subscription for this type.
    Refused(RefusedType),
    /// New subscriptions are to be made for so many types.
    RotationBegun(usize),
    /// An earlier run has begun to rotate these.
    RotationGoesOn(Vec<String>),
    /// The new keys are in the secret; functions are given time to read it, then so many old subscriptions go.
    WaitingToDelete {
        old: usize,
        pause: Duration,
    },
    /// The old subscriptions are gone; what they sent last is given time to arrive, then so many keys go.
    WaitingToForget {
        keys: usize,
        pause: Duration,
    },
}

/// An event type that Rail does not take.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RefusedType {
    pub event_type: String,
    pub status: u16,
    pub code: Option<String>,
}

/// How a run ended that was not stopped by an error.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Outcome {
    /// How many things were done.
    pub done: usize,
    pub refused: Vec<RefusedType>,
}

/// What to rotate, and how patiently.
#[derive(Clone, Debug)]
pub struct Rotation<'r> {
    pub needed: &'r BTreeSet<String>,
    pub callback_url: &'r CallbackUrl,
    /// `None` is all that are needed.
    pub only: Option<&'r str>,
    /// Between two new subscriptions: a function that has just read the secret for the sake of one new key does not read it
    /// for another one for [`COOL_DOWN`](shared::outside::secrets::COOL_DOWN).
    pub pace: Duration,
    /// From the last new key's being in the secret until the old subscriptions go, and from then until their keys go.
    pub pause: Duration,
}

/// What became of one subscription that was to be deleted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Deleted {
    /// `None` when Rail had none of this id any more.
    pub event_type: Option<String>,
    /// False when it stays: it is the secret's last, or was not there.
    pub key_removed: bool,
}

/// More rounds than this would mean that Rail forgets what it says; each spends a generation.
const MOST_ROUNDS: usize = 8;

impl Subscriptions {
    /// The secret and Rail's list, as they are now.
    ///
    /// # Errors
    /// Either cannot be read.
    pub async fn look(&self) -> Result<Look, Error> {
        // In this order: what somebody else creates meanwhile may then seem to lack its key, but no key its subscription.
        let held = self.secret.read().await?;
        Ok(Look { at_rail: self.api.list().await?, held })
    }

    /// Brings Rail and the secret in step with what is needed, beginning with what `look` shows.
    ///
    /// Event types that Rail refuses do not stop the others.
    ///
    /// # Errors
    /// What stopped it. Run again, it goes on.
    pub async fn sync(
        &self,
        mut look: Look,
        needed: &BTreeSet<String>,
        callback_url: &CallbackUrl,
        prune: bool,
        mut tell: impl FnMut(&Told),
    ) -> Result<Outcome, Error> {
        let mut outcome = Outcome::default();
        for _ in 0..MOST_ROUNDS {
            let steps = plan(&look, needed, callback_url, prune, &outcome.refused_types());
            if steps.is_empty() {
                return Ok(outcome);
            }
            for step in steps {
                self.take(step, &look, callback_url, &mut outcome, &mut tell).await?;
            }
            look = self.look().await?;
        }
        let steps = plan(&look, needed, callback_url, prune, &outcome.refused_types());
        let unsettled = steps.iter().filter_map(Step::event_type).map(str::to_owned).collect();
        if steps.is_empty() { Ok(outcome) } else { Err(Error::Unsettled(unsettled)) }
    }

    /// Replaces subscriptions and keys by new ones: both are there for a while, so that no delivery is refused.
    ///
    /// If an earlier run was left half-way, it is brought to its end, and nothing else is begun unless `only` names it.
    ///
    /// # Errors
    /// What stopped it. Run again, it goes on.
    pub async fn rotate(&self, rotation: &Rotation<'_>, mut tell: impl FnMut(&Told)) -> Result<Outcome, Error> {
        let mut outcome = Outcome::default();
        let url = rotation.callback_url;
        let look = self.look().await?;
        let begun = rotation.under_way(&look);
        if !begun.is_empty() {
            tell(&Told::RotationGoesOn(begun.iter().cloned().collect()));
        }
        let fresh = rotation.to_begin(&look, &begun)?;
        if !fresh.is_empty() {
            self.secret.change(&rotation.beginning(&look, &fresh)).await?;
            tell(&Told::RotationBegun(fresh.len()));
        }
        let types: BTreeSet<String> = begun.union(&fresh).cloned().collect();

        let mut look = self.look().await?;
        for round in 0.. {
            let refused = outcome.refused_types();
            let waiting: Vec<_> =
                types.difference(&refused).filter(|event_type| look.is_rotating(event_type, url)).cloned().collect();
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
                let current = look.current(&event_type, url).map(|it| look.generation_of(it));
                let instead_of = look.gone_of_type(&event_type, current);
                let step = Step::Create {
                    generation: look.next_generation(&event_type),
                    event_type,
                    instead_of,
                    orphans: Vec::new(),
                };
                self.take(step, &look, url, &mut outcome, &mut tell).await?;
            }
            look = self.look().await?;
        }

        let superfluous = rotation.superfluous(&look, &types);
        if !superfluous.is_empty() {
            tell(&Told::WaitingToDelete { old: superfluous.len(), pause: rotation.pause });
            tokio::time::sleep(rotation.pause).await;
            // Somebody may have deleted a new one meanwhile; then the old one stays.
            look = self.look().await?;
            for (id, event_type) in rotation.superfluous(&look, &types) {
                self.api.delete(&id).await?;
                outcome.done += 1;
                tell(&Told::Deleted { event_type, id });
            }
            look = self.look().await?;
        }

        let ids = rotation.forgettable(&look, &types);
        if !ids.is_empty() {
            tell(&Told::WaitingToForget { keys: ids.len(), pause: rotation.pause });
            tokio::time::sleep(rotation.pause).await;
            let count = ids.len();
            self.secret.change(&Change::Remove { ids, generations: Vec::new() }).await?;
            outcome.done += 1;
            tell(&Told::KeysRemoved(count));
        }
        Ok(outcome)
    }

    /// Deletes one subscription, whatever needs it, and its key.
    ///
    /// # Errors
    /// [`Error::NoSuchSubscription`] if neither Rail nor the secret knows the id; else what stopped it.
    pub async fn delete(&self, look: &Look, id: &str) -> Result<Deleted, Error> {
        let found = look.at_rail.iter().find(|it| it.id == id);
        let made = look.held.made(id);
        if found.is_none() && !look.held.holds(id) {
            return Err(Error::NoSuchSubscription(id.to_owned()));
        }
        if found.is_some() {
            self.api.delete(id).await?;
        }
        let next = made.map(|made| (made.event_type, made.generation + 1));
        let change = Change::Remove { ids: vec![id.to_owned()], generations: next.into_iter().collect() };
        self.secret.change(&change).await?;
        let key_removed = look.held.holds(id) && !self.secret.read().await?.holds(id);
        Ok(Deleted { event_type: found.map(|it| it.event_type.clone()), key_removed })
    }

    async fn take(
        &self,
        step: Step,
        look: &Look,
        url: &CallbackUrl,
        outcome: &mut Outcome,
        tell: &mut impl FnMut(&Told),
    ) -> Result<(), Error> {
        let told = match step {
            Step::TakeKey { event_type, created, generation, instead_of } => {
                let id = created.id.clone();
                self.keep(created, &event_type, generation, instead_of).await?;
                Told::KeyTaken { event_type, id }
            }
            Step::Create { event_type, generation, instead_of, .. } => {
                let created = match self.api.create(&event_type, url, generation).await {
                    Err(Error::Rail(RailError { why: Why::Refused { status, code }, .. })) => {
                        let refused = RefusedType { event_type, status, code };
                        tell(&Told::Refused(refused.clone()));
                        outcome.refused.push(refused);
                        return Ok(());
                    }
                    created => created?,
                };
                let id = created.id.clone();
                // It has been there all the time, made under this very generation before the secret remembered any.
                let known = look.at_rail.iter().find(|it| it.id == id).filter(|it| look.is_keyed(it));
                if known.is_some_and(|it| look.generation_of(it) < generation) {
                    let generations = vec![(event_type, generation + 1)];
                    return self.secret.change(&Change::Begin { generations, adopted: Vec::new() }).await;
                }
                self.keep(created, &event_type, generation, instead_of).await?;
                Told::Created { event_type, id }
            }
            Step::DeleteOrphan { event_type, id } | Step::DeleteUnneeded { event_type, id } => {
                self.api.delete(&id).await?;
                Told::Deleted { event_type, id }
            }
            Step::RemoveKeys { ids } => {
                let made = ids.iter().filter_map(|id| look.held.made(id));
                let generations = made.map(|made| (made.event_type, made.generation + 1)).collect();
                let count = ids.len();
                self.secret.change(&Change::Remove { ids, generations }).await?;
                Told::KeysRemoved(count)
            }
        };
        outcome.done += 1;
        tell(&told);
        Ok(())
    }

    async fn keep(&self, created: Created, of: &str, generation: u32, instead_of: Vec<String>) -> Result<(), Error> {
        let change = Change::Add { created, event_type: of.to_owned(), generation, instead_of };
        self.secret.change(&change).await
    }
}

impl Rotation<'_> {
    /// The types that an earlier run has left half-way.
    pub fn under_way(&self, look: &Look) -> BTreeSet<String> {
        let left = |event_type: &String| {
            look.is_rotating(event_type, self.callback_url)
                || !look.replaced(event_type, self.callback_url).is_empty()
                || !self.forgettable(look, &BTreeSet::from([event_type.clone()])).is_empty()
        };
        self.needed.iter().filter(|event_type| left(event_type)).cloned().collect()
    }

    /// The types to begin with, when `begun` are under way: without `only`, those that are in step.
    ///
    /// # Errors
    /// [`Error::NotInStep`] if `only`, or no type at all, has a subscription whose key is held.
    pub fn to_begin(&self, look: &Look, begun: &BTreeSet<String>) -> Result<BTreeSet<String>, Error> {
        let wanted = match self.only {
            Some(only) => BTreeSet::from([only.to_owned()]),
            None if begun.is_empty() => self.needed.clone(),
            None => return Ok(BTreeSet::new()),
        };
        let has_current = |event_type: &String| look.current(event_type, self.callback_url).is_some();
        let (fresh, lacking): (BTreeSet<_>, BTreeSet<_>) =
            wanted.into_iter().filter(|event_type| !begun.contains(event_type)).partition(has_current);
        if fresh.is_empty() && !lacking.is_empty() {
            Err(Error::NotInStep(lacking.into_iter().collect()))
        } else {
            Ok(fresh)
        }
    }

    /// Says in the secret what is to be, before anything is done.
    fn beginning(&self, look: &Look, fresh: &BTreeSet<String>) -> Change {
        let mut generations = Vec::new();
        let mut adopted = Vec::new();
        for event_type in fresh {
            let Some(current) = look.current(event_type, self.callback_url) else { continue };
            let next = look.next_generation(event_type).max(look.generation_of(current) + 1);
            generations.push((event_type.clone(), next));
            let keyed = look.of_type(event_type, self.callback_url).into_iter().filter(|it| look.is_keyed(it));
            adopted.extend(keyed.map(|it| {
                let made = Made { event_type: event_type.clone(), generation: look.generation_of(it) };
                (it.id.clone(), made)
            }));
        }
        Change::Begin { generations, adopted }
    }

    /// Subscriptions of `types` that newer ones have replaced; id and type.
    fn superfluous(&self, look: &Look, types: &BTreeSet<String>) -> Vec<(String, String)> {
        let settled = types.iter().filter(|event_type| !look.is_rotating(event_type, self.callback_url));
        let replaced = settled.flat_map(|event_type| look.replaced(event_type, self.callback_url));
        replaced.map(|it| (it.id.clone(), it.event_type.clone())).collect()
    }

    /// Keys of subscriptions of `types` that are gone, and that newer ones have replaced.
    fn forgettable(&self, look: &Look, types: &BTreeSet<String>) -> Vec<String> {
        let replaced = |made: &Made| {
            let current = look.current(&made.event_type, self.callback_url);
            types.contains(&made.event_type) && current.is_some_and(|it| look.generation_of(it) > made.generation)
        };
        let gone = look.gone().into_iter().filter(|(_, made)| replaced(made));
        look.removable(gone.map(|(id, _)| id.to_owned()).collect())
    }
}

impl Outcome {
    fn refused_types(&self) -> BTreeSet<String> {
        self.refused.iter().map(|refused| refused.event_type.clone()).collect()
    }
}

impl Step {
    /// The event type that it is about, if it is about one.
    pub fn event_type(&self) -> Option<&str> {
        match self {
            Self::TakeKey { event_type, .. }
            | Self::Create { event_type, .. }
            | Self::DeleteOrphan { event_type, .. }
            | Self::DeleteUnneeded { event_type, .. } => Some(event_type),
            Self::RemoveKeys { .. } => None,
        }
    }
}
