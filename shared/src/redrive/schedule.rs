//! Which of the events that are due is tried next, so that no destination keeps the events of another waiting.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use crate::clock::UnixMillis;
use crate::deliver::attempt::AttemptReport;
use crate::record::event::{Dispatch, EventRecord, api_entry, is_api_entry, is_route_entry};
use crate::record::failure::Blame;
use crate::record::pauses::{PauseStatus, Pauses};
use crate::record::store::index::IndexEntry;
use route::routes::Routes;

/// The events that wait for their turn, in lines: those in one line need the same neighbours.
pub struct Schedule<'r> {
    routes: &'r Routes,
    pauses: &'r Pauses,
    now: UnixMillis,
    /// The destination of each route that was met; `None` for a route that no longer exists.
    destinations: HashMap<String, Option<Name>>,
    neighbours: HashMap<Name, Neighbour>,
    lines: Vec<Line>,
    turn: usize,
    /// Hashes of all keys that were taken: no event is tried twice in a run.
    taken: HashSet<u64>,
    hasher: RandomState,
}

/// The name of a destination, `api:{provider}`, or [`UNREAD`].
type Name = Arc<str>;

/// A destination, or a provider's API.
#[derive(Default)]
struct Neighbour {
    /// It is paused, or nobody knows whether it is.
    is_held: bool,
    slots_in_use: usize,
    failures_in_a_row: u32,
}

/// What one route of an event needs.
#[derive(Clone, Eq, Ord, PartialEq, PartialOrd)]
struct Need {
    destination: Name,
    /// The provider's API, when that failed last time.
    api: Option<Name>,
}

struct Line {
    needs: Vec<Need>,
    waiting: VecDeque<String>,
    /// It had no room for an event.
    was_full: bool,
    is_refilling: bool,
}

/// An event whose turn it is.
pub struct Turn {
    pub pk: String,
    /// What it may use.
    slots: Vec<Name>,
    /// What an event whose needs are unknown may not use.
    barred: Vec<Name>,
    is_alone: bool,
}

/// What becomes of an entry of the index.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Offer {
    /// It waits for its turn, or has had it.
    OnSchedule,
    /// All that it waits for is paused, or failed too often in this run.
    HeldBack,
    NoRoom,
}

/// How many events that need the same neighbour may be in hand.
pub const SLOTS_PER_NEIGHBOUR: usize = 8;

/// After so many consecutive failures a neighbour is left alone for the rest of the run.
const FAILURES_IN_A_ROW: u32 = 5;

/// How many events wait in one line, and in all lines; beyond the latter only short lines grow. Together some 4 MB.
const LONGEST_LINE: usize = 8_192;
const LONGEST_LINES: usize = 32_768;
const SHORT_LINE: usize = 256;

/// Stands for the needs of an event that has to be read before they are known.
const UNREAD: &str = "";

impl<'r> Schedule<'r> {
    pub fn new(routes: &'r Routes, pauses: &'r Pauses, now: UnixMillis) -> Self {
        Self {
            routes,
            pauses,
            now,
            destinations: HashMap::new(),
            neighbours: HashMap::new(),
            lines: Vec::new(),
            turn: 0,
            taken: HashSet::new(),
            hasher: RandomState::new(),
        }
    }

    /// Takes an event of which only the key is known.
    pub fn add(&mut self, pk: String) {
        if self.taken.insert(self.hasher.hash_one(&pk)) {
            self.line(vec![Need::unknown()]).waiting.push_back(pk);
        }
    }

    /// Takes an event that is due, unless it cannot be tried in this run or there is no room.
    pub fn offer(&mut self, entry: &IndexEntry) -> Offer {
        let hash = self.hasher.hash_one(&entry.pk);
        if self.taken.contains(&hash) {
            return Offer::OnSchedule;
        }
        let needs = self.open_needs(entry);
        if needs.is_empty() {
            return Offer::HeldBack;
        }
        let waiting: usize = self.lines.iter().map(|line| line.waiting.len()).sum();
        let longest = if waiting < LONGEST_LINES { LONGEST_LINE } else { SHORT_LINE };
        let line = self.line(needs);
        // Those that were turned away come before it.
        if line.was_full || line.waiting.len() >= longest {
            (line.was_full, line.is_refilling) = (true, false);
            return Offer::NoRoom;
        }
        line.waiting.push_back(entry.pk.clone());
        self.taken.insert(hash);
        Offer::OnSchedule
    }

    /// The next event that finds a slot with something that it needs; of all lines in turn.
    pub fn next_turn(&mut self) -> Option<Turn> {
        for step in 0..self.lines.len() {
            let at = (self.turn + step) % self.lines.len();
            let line = &mut self.lines[at];
            if line.waiting.is_empty() {
                continue;
            }
            let has_a_slot = |name: &Name| self.neighbours.get(name).is_none_or(Neighbour::has_a_slot);
            let ready = line.needs.iter().filter(|need| need.names().all(has_a_slot));
            let slots: HashSet<Name> = ready.flat_map(Need::names).cloned().collect();
            if !slots.is_empty()
                && let Some(pk) = line.waiting.pop_front()
            {
                self.turn = at + 1;
                return Some(self.start(pk, slots.into_iter().collect(), false));
            }
        }
        None
    }

    /// The turn of an event that is tried while no other is.
    pub fn start_alone(&mut self, pk: String) -> Turn {
        self.start(pk, vec![UNREAD.into()], true)
    }

    fn start(&mut self, pk: String, slots: Vec<Name>, is_alone: bool) -> Turn {
        for name in &slots {
            self.neighbours.entry(name.clone()).or_default().slots_in_use += 1;
        }
        let failing = self.neighbours.iter().filter(|(_, neighbour)| neighbour.is_failing());
        let barred = failing.map(|(name, _)| name.clone()).collect();
        Turn { pk, slots, barred, is_alone }
    }

    /// Gives the slots of an event back, and counts what its attempt says of its neighbours. A failure that blames the event or
    /// its customer says nothing.
    pub fn end(&mut self, turn: &Turn, attempt: Option<(&EventRecord, &AttemptReport)>) {
        for name in &turn.slots {
            self.neighbours.entry(name.clone()).or_default().slots_in_use -= 1;
        }
        let Some((before, report)) = attempt else { return };
        for name in &report.failed {
            self.neighbours.entry(name.as_str().into()).or_default().failures_in_a_row += 1;
        }
        for (route, outcome) in &report.outcomes {
            let blames = outcome.as_ref().err().map(|failure| failure.code.blames());
            let destination = self.routes.destination(route).filter(|_| blames.is_none()).map(ToString::to_string);
            let asked_again = before.deliveries.get(route).is_some_and(Dispatch::waits_for_the_api);
            let api = (asked_again && blames != Some(Blame::ProviderApi)).then(|| api_entry(&before.provider));
            for name in destination.into_iter().chain(api) {
                self.neighbours.entry(name.into()).or_default().failures_in_a_row = 0;
            }
        }
    }

    /// Empties the lines whose neighbours have all failed too often. Returns how many events that were.
    pub fn hold_back(&mut self) -> u32 {
        let failing = self.lines.iter_mut().filter(|line| line.is_failing(&self.neighbours));
        failing.map(|line| u32::try_from(line.waiting.drain(..).len()).unwrap_or(u32::MAX)).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.lines.iter().all(|line| line.waiting.is_empty())
    }

    /// Whether a line that once was full has room again and is to be filled; asked until it is. A line whose neighbours have all
    /// failed too often needs no room: what there was none for is held back.
    pub fn refill(&mut self) -> bool {
        for line in &mut self.lines {
            let has_room = line.waiting.len() < SHORT_LINE || line.is_failing(&self.neighbours);
            line.is_refilling = line.was_full && has_room;
            line.was_full &= !line.is_refilling;
        }
        self.is_refilling()
    }

    pub fn is_refilling(&self) -> bool {
        self.lines.iter().any(|line| line.is_refilling)
    }

    /// What the event waits for and may have now; none when all of it is paused or failing. What the index does not tell has to
    /// be read: a route that no longer exists makes its delivery dead.
    fn open_needs(&mut self, entry: &IndexEntry) -> Vec<Need> {
        let api = entry.waits_for.iter().find(|(name, _)| is_api_entry(name)).cloned();
        let now = self.now.seconds();
        let due = entry.waits_for.iter().filter(|(name, at)| *at <= now && is_route_entry(name));
        let due: Vec<_> = due.map(|(route, at)| (self.destination(route), at)).collect();
        if due.is_empty() || due.iter().any(|(destination, _)| destination.is_none()) {
            return vec![Need::unknown()];
        }
        let need = |(destination, at): (Option<Name>, &_)| {
            let api = api.as_ref().filter(|(_, api_at)| api_at == at).map(|(name, _)| name.as_str().into());
            Some(Need { destination: destination?, api })
        };
        let mut needs: Vec<Need> = due.into_iter().filter_map(need).collect();
        needs.retain(|need| need.names().all(|name| self.neighbours.get(name).is_none_or(Neighbour::is_open)));
        needs.sort_unstable();
        needs.dedup();
        needs
    }

    fn destination(&mut self, route: &str) -> Option<Name> {
        if let Some(known) = self.destinations.get(route) {
            return known.clone();
        }
        let destination = self.routes.destination(route);
        let name = destination.map(|destination| Name::from(destination.to_string()));
        if let (Some(name), Some(destination)) = (&name, destination) {
            let is_held = self.pauses.status(destination) != PauseStatus::Delivering;
            self.neighbours.entry(name.clone()).or_default().is_held = is_held;
        }
        self.destinations.insert(route.to_owned(), name.clone());
        name
    }

    fn line(&mut self, needs: Vec<Need>) -> &mut Line {
        let known = self.lines.iter().position(|line| line.needs == needs);
        let at = known.unwrap_or_else(|| {
            self.lines.push(Line { needs, waiting: VecDeque::new(), was_full: false, is_refilling: false });
            self.lines.len() - 1
        });
        &mut self.lines[at]
    }
}

impl Turn {
    pub fn is_alone(&self) -> bool {
        self.is_alone
    }

    /// Whether the event may use what this route of it needs.
    pub fn allows(&self, routes: &Routes, event: &EventRecord, route: &str) -> bool {
        let Some(destination) = routes.destination(route) else { return true };
        let waits_for_the_api = event.deliveries.get(route).is_some_and(Dispatch::waits_for_the_api);
        let api = waits_for_the_api.then(|| api_entry(&event.provider));
        let mut names = [destination.to_string()].into_iter().chain(api);
        let is_in = |names: &[Name], name: &str| names.iter().any(|it| **it == *name);
        match is_in(&self.slots, UNREAD) {
            true => !names.any(|name| is_in(&self.barred, &name)),
            false => names.all(|name| is_in(&self.slots, &name)),
        }
    }
}

impl Need {
    fn unknown() -> Self {
        Self { destination: UNREAD.into(), api: None }
    }

    fn names(&self) -> impl Iterator<Item = &Name> {
        [&self.destination].into_iter().chain(&self.api)
    }
}

impl Line {
    /// All that its events need has failed too often.
    fn is_failing(&self, neighbours: &HashMap<Name, Neighbour>) -> bool {
        let is_failing = |name: &Name| neighbours.get(name).is_some_and(Neighbour::is_failing);
        self.needs.iter().all(|need| need.names().any(is_failing))
    }
}

impl Neighbour {
    fn is_failing(&self) -> bool {
        self.failures_in_a_row >= FAILURES_IN_A_ROW
    }

    fn is_open(&self) -> bool {
        !self.is_held && !self.is_failing()
    }

    fn has_a_slot(&self) -> bool {
        self.is_open() && self.slots_in_use < SLOTS_PER_NEIGHBOUR
    }
}

#[cfg(test)]
mod tests;
