//! What is amiss between Rail, the routes and the secret, and the steps that mend it. No I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use reqwest::Url;
use shared::outside::http::{SAFE_URL, is_safe_url};
use shared::outside::secrets::Problem;

use crate::api::{Created, Subscription};
use crate::signing_secret::{Held, Made};

/// What there is: Rail's list and the signing secret, read one after the other.
#[derive(Clone, Debug, Default)]
pub struct Look {
    pub at_rail: Vec<Subscription>,
    pub held: Held,
}

/// Where Rail is to deliver: https, or http on this machine. Spelled as the URL standard spells it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CallbackUrl(Url);

/// What `sync` does next.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Step {
    /// Rail's list shows a key that the secret lacks. `instead_of` are subscriptions of this type that the secret remembers
    /// and Rail has no more.
    TakeKey { event_type: String, created: Created, generation: u32, instead_of: Vec<String> },
    /// `orphans` are there and of no use without their keys: deleted once this is in step, unless Rail's answer is that it is
    /// one of them.
    Create { event_type: String, generation: u32, instead_of: Vec<String>, orphans: Vec<String> },
    /// Its key is not to be had, and another one of this type is in step.
    DeleteOrphan { event_type: String, id: String },
    /// No route needs it.
    DeleteUnneeded { event_type: String, id: String },
    /// Their subscriptions are gone.
    RemoveKeys { ids: Vec<String> },
}

/// How one subscription, or one needed event type, stands.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Standing {
    InStep,
    /// Routes need it and Rail has none for this URL.
    Missing,
    /// Rail has it, and the secret has no key under its id: its deliveries are refused.
    KeyMissing,
    /// The secret's key is not the one that Rail's list shows.
    KeyDiffers,
    /// A newer one of its type is there, or is to be made: `rotate` goes on.
    BeingRotated,
    /// Another one of its type, as good as this one, delivers to the same URL.
    Duplicate,
    /// No route needs it.
    NotNeeded,
    /// It delivers to somewhere else.
    OtherUrl,
    /// A key in the secret without a subscription at Rail.
    KeyOnly,
}

/// One line of the comparison.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Line {
    pub standing: Standing,
    /// `None` of a key of which nothing else is known.
    pub event_type: Option<String>,
    /// The subscription's id or the key's label; `None` of what is missing.
    pub id: Option<String>,
    pub callback_url: Option<String>,
    pub has_key: bool,
}

impl CallbackUrl {
    /// # Errors
    /// It is no URL that Rail would deliver to.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let url = Url::parse(text).ok().filter(is_safe_url);
        let bare = |url: &Url| url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
        let url = url.filter(bare);
        url.map(Self).ok_or_else(|| Problem { field: "callback URL".to_owned(), expected: SAFE_URL })
    }

    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    fn is(&self, text: &str) -> bool {
        Url::parse(text).is_ok_and(|url| url == self.0)
    }
}

impl fmt::Display for CallbackUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Look {
    /// The subscriptions of a type that deliver to `url`.
    pub fn of_type<'l>(&'l self, event_type: &str, url: &CallbackUrl) -> Vec<&'l Subscription> {
        let here = |it: &&Subscription| it.event_type == event_type && url.is(&it.callback_url);
        self.at_rail.iter().filter(here).collect()
    }

    pub fn is_at_rail(&self, id: &str) -> bool {
        self.at_rail.iter().any(|it| it.id == id)
    }

    /// Whether the secret holds its key, as far as can be seen.
    pub fn is_keyed(&self, it: &Subscription) -> bool {
        self.held.holds(&it.id) && it.key.as_ref().is_none_or(|key| self.held.is_key_of(&it.id, key))
    }

    /// 0 of one that was not made here.
    pub fn generation_of(&self, it: &Subscription) -> u32 {
        self.held.made(&it.id).map_or(0, |made| made.generation)
    }

    /// Of those whose key is held the one of the highest generation; of several, the one that Rail lists last.
    pub fn current(&self, event_type: &str, url: &CallbackUrl) -> Option<&Subscription> {
        let keyed = self.of_type(event_type, url).into_iter().filter(|it| self.is_keyed(it));
        keyed.max_by_key(|it| self.generation_of(it))
    }

    /// Whether a newer subscription is to be than the one that delivers today.
    pub fn is_rotating(&self, event_type: &str, url: &CallbackUrl) -> bool {
        let current = self.current(event_type, url).map(|it| self.generation_of(it));
        current.is_some_and(|current| self.held.generation(event_type).is_some_and(|to_be| to_be > current))
    }

    /// Those whose key is held and that a newer one has replaced.
    pub fn replaced(&self, event_type: &str, url: &CallbackUrl) -> Vec<&Subscription> {
        let Some(current) = self.current(event_type, url).map(|it| self.generation_of(it)) else {
            return Vec::new();
        };
        let keyed = self.of_type(event_type, url).into_iter().filter(|it| self.is_keyed(it));
        keyed.filter(|it| self.generation_of(it) < current).collect()
    }

    /// Subscriptions that the secret remembers and Rail has no more, each with its key still held.
    pub fn gone(&self) -> BTreeMap<&str, Made> {
        self.held.all_made().into_iter().filter(|(id, _)| !self.is_at_rail(id)).collect()
    }

    /// Which generation to ask Rail for. One whose subscription is gone is spent: Rail would only repeat what it said then.
    pub fn next_generation(&self, event_type: &str) -> u32 {
        let to_be = self.held.generation(event_type).unwrap_or(1).max(1);
        let spent = self.gone().into_values().any(|made| made.event_type == event_type && made.generation == to_be);
        if spent { to_be + 1 } else { to_be }
    }

    /// What a new subscription of this type stands in for.
    pub fn gone_of_type(&self, event_type: &str, newer_than: Option<u32>) -> Vec<String> {
        let of_type = self.gone().into_iter().filter(|(_, made)| made.event_type == event_type);
        let newer = of_type.filter(|(_, made)| newer_than.is_none_or(|than| made.generation > than));
        newer.map(|(id, _)| id.to_owned()).collect()
    }

    /// Of `ids` those that may go: the secret's last key stays, since the function does not start without any.
    pub fn removable(&self, mut ids: Vec<String>) -> Vec<String> {
        if self.held.labels().all(|label| ids.iter().any(|id| id == label)) {
            ids.pop();
        }
        ids
    }
}

/// What `sync` has to do, in this order. Empty when all is in step.
///
/// A look after the steps may show more to do: a subscription that Rail says it created and that is not there, or one whose
/// key is not to be had and that is superfluous now. `refused` are event types that Rail does not take.
pub fn plan(
    look: &Look,
    needed: &BTreeSet<String>,
    url: &CallbackUrl,
    prune: bool,
    refused: &BTreeSet<String>,
) -> Vec<Step> {
    let mut steps = Vec::new();
    for event_type in needed.difference(refused) {
        let (keyed, keyless): (Vec<_>, Vec<_>) =
            look.of_type(event_type, url).into_iter().partition(|it| look.is_keyed(it));
        let (shown, hidden): (Vec<_>, Vec<_>) = keyless.into_iter().partition(|it| it.key.is_some());
        let create = |newer_than| Step::Create {
            event_type: event_type.clone(),
            generation: look.next_generation(event_type),
            instead_of: look.gone_of_type(event_type, newer_than),
            orphans: hidden.iter().map(|it| it.id.clone()).collect(),
        };
        if look.is_rotating(event_type, url) && !(shown.is_empty() && hidden.is_empty()) {
            // Somebody died between making the newer one and writing its key: asked again, Rail says the same again.
            let current = look.current(event_type, url).map(|it| look.generation_of(it));
            steps.push(create(current));
            continue;
        }
        // With no other, it is the one that is to be, whoever made it.
        let to_be = look.held.generation(event_type).filter(|_| keyed.is_empty()).unwrap_or_default();
        let takes = shown.iter().filter_map(|it| {
            let created = Created { id: it.id.clone(), key: it.key.clone()? };
            let generation = look.generation_of(it).max(to_be);
            let instead_of = if keyed.is_empty() { look.gone_of_type(event_type, None) } else { Vec::new() };
            Some(Step::TakeKey { event_type: event_type.clone(), created, generation, instead_of })
        });
        steps.extend(takes);
        if keyed.is_empty() && shown.is_empty() {
            steps.push(create(None));
        } else {
            let orphan = |it: &&Subscription| Step::DeleteOrphan { event_type: event_type.clone(), id: it.id.clone() };
            steps.extend(hidden.iter().map(orphan));
        }
    }
    if prune {
        let unneeded = look.at_rail.iter().filter(|it| url.is(&it.callback_url) && !needed.contains(&it.event_type));
        steps.extend(unneeded.map(|it| Step::DeleteUnneeded { event_type: it.event_type.clone(), id: it.id.clone() }));
        // What a new one stands in for goes with that one's key.
        let replaced: BTreeSet<String> = steps
            .iter()
            .flat_map(|step| match step {
                Step::Create { instead_of, .. } | Step::TakeKey { instead_of, .. } => instead_of.clone(),
                _ => Vec::new(),
            })
            .collect();
        let gone = look.gone().into_keys().map(str::to_owned).filter(|id| !replaced.contains(id)).collect();
        let ids = look.removable(gone);
        if !ids.is_empty() {
            steps.push(Step::RemoveKeys { ids });
        }
    }
    steps
}

/// Everything at Rail, everything needed and every key, side by side.
pub fn compare(look: &Look, needed: &BTreeSet<String>, url: &CallbackUrl) -> Vec<Line> {
    let mut lines = Vec::new();
    for event_type in needed.iter().filter(|event_type| look.of_type(event_type, url).is_empty()) {
        let (event_type, callback_url) = (Some(event_type.clone()), Some(url.to_string()));
        lines.push(Line { standing: Standing::Missing, event_type, id: None, callback_url, has_key: false });
    }
    for it in &look.at_rail {
        lines.push(Line {
            standing: standing(look, needed, url, it),
            event_type: Some(it.event_type.clone()),
            id: Some(it.id.clone()),
            callback_url: Some(without_secrets(&it.callback_url)),
            has_key: look.held.holds(&it.id),
        });
    }
    for label in look.held.labels().filter(|label| !look.is_at_rail(label)) {
        let event_type = look.held.made(label).map(|made| made.event_type);
        let id = Some(label.to_owned());
        lines.push(Line { standing: Standing::KeyOnly, event_type, id, callback_url: None, has_key: true });
    }
    lines.sort_by(|a, b| {
        (a.callback_url.is_none(), &a.event_type, a.standing).cmp(&(
            b.callback_url.is_none(),
            &b.event_type,
            b.standing,
        ))
    });
    lines
}

fn standing(look: &Look, needed: &BTreeSet<String>, url: &CallbackUrl, it: &Subscription) -> Standing {
    let current = look.current(&it.event_type, url);
    match () {
        () if !url.is(&it.callback_url) => Standing::OtherUrl,
        () if !needed.contains(&it.event_type) => Standing::NotNeeded,
        () if !look.held.holds(&it.id) => Standing::KeyMissing,
        () if !look.is_keyed(it) => Standing::KeyDiffers,
        () if look.is_rotating(&it.event_type, url) => Standing::BeingRotated,
        () if current.is_some_and(|current| look.generation_of(current) > look.generation_of(it)) => {
            Standing::BeingRotated
        }
        () if current.is_some_and(|current| current.id != it.id) => Standing::Duplicate,
        () => Standing::InStep,
    }
}

/// Somebody else's URL, without what may be secret in it.
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

impl Standing {
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
