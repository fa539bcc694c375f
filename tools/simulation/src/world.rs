//! All that is outside the bridge's processes, and all that is known of a life.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fastrand::Rng;

use crate::faults::{Fault, System, Weather};
use crate::process::{Doom, Kind, ProcessId};
use crate::routes::DESTINATIONS;
use crate::secrets::Entry;
use crate::table::value::Item;
use crate::table::{Moment, Tables, Write, integer};
use crate::tables;
use crate::time::{DAY, HOUR, MINUTE, SECOND, now_ms};

pub type Shared = Arc<Mutex<World>>;

pub fn lock(world: &Shared) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug)]
pub struct World {
    pub seed: u64,
    pub rng: Rng,
    /// For what few lives have, so that the others stay as they are.
    pub rare: Rng,
    pub tables: Tables,
    pub weather: Vec<Weather>,
    /// All systems that were to fail at some time of this life.
    pub troubled: BTreeSet<System>,
    pub environments: Vec<Environment>,
    pub processes: Vec<Process>,
    /// What providers have sent.
    pub facts: Vec<Fact>,
    /// What has arrived at Returning.AI.
    pub posts: Vec<Post>,
    /// Who took which attempt of which event: by key and incarnation, then by number.
    pub fences: BTreeMap<(String, u32), BTreeMap<u64, Fence>>,
    /// How often a record of this key was begun.
    pub incarnations: BTreeMap<String, u32>,
    /// When an operator last revived an event.
    pub revived: BTreeMap<String, u64>,
    /// Items that the TTL has deleted, as they were.
    pub expired: BTreeMap<String, Item>,
    /// The message whose event is deleted by hand as it arrives, and the keys of such events: nothing is promised of them.
    pub deletes_at: Option<usize>,
    pub deleted: BTreeSet<String>,
    /// From when to when a destination was paused.
    pub pauses: BTreeMap<usize, Vec<(u64, Option<u64>)>>,
    pub sessions: BTreeMap<String, (usize, u64)>,
    pub api_tokens: BTreeMap<String, u64>,
    /// Which version of each secret is current.
    pub signing_version: u32,
    /// Until then providers sign with the key before.
    pub signs_with_old_key_until: u64,
    /// An entry of a secret that cannot be used.
    pub unusable: Option<Entry>,
    pub webhooks_version: u32,
    /// Which key Returning.AI accepts besides the current one.
    pub old_key_until: u64,
    /// Customers that the provider's API knows: account to customer.
    pub accounts: BTreeMap<String, String>,
    pub faults: BTreeMap<(System, Fault), u64>,
    pub deaths: u64,
    pub violations: Vec<Violation>,
    /// Nobody dies, no clock is wrong, and destinations answer evenly.
    pub is_calm: bool,
    /// The last time that anything changed in the events table.
    pub changed_at: u64,
    /// How often it has changed.
    pub writes: u64,
    /// When each item has.
    pub written_at: BTreeMap<String, u64>,
    trace: Option<Vec<String>>,
}

/// An execution environment of a function, and what it was told.
#[derive(Debug)]
pub struct Environment {
    pub skew_ms: i64,
    /// The version of the signing keys that it has read last.
    pub signing_version: u32,
    /// Reads of secrets with an entry that cannot be used, since it last counted them.
    pub left_out: u64,
    pub pauses: [PausesRead; DESTINATIONS.len()],
}

/// When an environment was last told whether a destination is paused: surely, or unless the answer was lost.
#[derive(Clone, Copy, Debug, Default)]
pub struct PausesRead {
    pub surely_at: Option<u64>,
    pub perhaps_at: Option<u64>,
}

/// One process of the bridge.
#[derive(Debug)]
pub struct Process {
    pub kind: Kind,
    pub environment: Option<usize>,
    pub started_at: u64,
    pub skew_ms: i64,
    pub doom: Option<Doom>,
    pub dead: bool,
    pub calls: u32,
    /// How often it has changed the events table.
    pub writes: u64,
    /// How many of its writes came too late.
    pub conditions_failed: u64,
    /// What its settling writes have come to, by route.
    pub delivered: u64,
    pub skipped: u64,
    pub died: u64,
    /// Second facts under an id that it has kept for a person.
    pub conflicts: u64,
    /// A write of its took effect and it was not told.
    pub uncertain: bool,
    /// The event that it has recorded, with work to do.
    pub recorded: Option<String>,
    /// The events that it could not settle because they were deleted.
    pub gone: BTreeSet<String>,
    /// Whose faults its calls have met.
    pub faulted: BTreeSet<System>,
    /// Failures of routes in what it has settled; those that blame a system; routes that were left because one cools off.
    pub failed: u64,
    pub systems_failed: u64,
    pub cooled_off: u64,
    /// What its settling writes have come to, by event.
    pub ends: Ends,
    /// How long each system has asked it to wait, 429 by 429; zero when a 429 did not say.
    pub asked_to_wait_s: BTreeMap<System, Vec<u64>>,
}

/// How events have left attempts.
#[derive(Debug, Default)]
pub struct Ends {
    pub delivered: u64,
    pub retried: u64,
    pub dead: u64,
}

/// Something that happened at a provider.
#[derive(Clone, Debug)]
pub struct Fact {
    pub provider: &'static str,
    pub event_id: String,
    pub event_type: Option<&'static str>,
    pub happened: u64,
    /// `happened` as a message tells it.
    pub occurred_at: String,
    pub body: String,
    pub routes: &'static [&'static str],
    /// Whose it is can be found at once.
    pub prompt: bool,
    /// Processes die of it.
    pub is_deadly: bool,
    /// How many more of those that take it up.
    pub kills: u32,
    /// When the bridge first acknowledged it, and as what.
    pub acknowledged: Option<(u64, &'static str)>,
}

/// A request at a destination.
#[derive(Clone, Debug)]
pub struct Post {
    pub at: u64,
    pub process: ProcessId,
    pub destination: usize,
    pub pk: String,
    pub incarnation: u32,
    pub attempts: u64,
    pub route: String,
    pub occurred_at: String,
    pub source_event_type: String,
    pub customer: String,
    /// What was looked up.
    pub note: Option<String>,
    /// Returning.AI acts on it.
    pub accepted: bool,
    /// The status that was answered, if an answer left.
    pub answered: Option<u16>,
}

/// One attempt of one event.
#[derive(Clone, Debug)]
pub struct Fence {
    pub process: ProcessId,
    pub at: u64,
    pub settled: bool,
    /// The item as the taker left it.
    pub item: Arc<Item>,
}

/// An invariant that did not hold.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Violation {
    pub at: u64,
    pub invariant: &'static str,
    pub event: String,
    pub what: String,
}

/// The skew of a clock: two of them differ by less than the lease allows.
const MAX_SKEW_MS: i64 = 14_000;

impl World {
    pub fn new(seed: u64, traced: bool) -> Self {
        Self {
            seed,
            rng: Rng::with_seed(seed),
            rare: Rng::with_seed(!seed),
            tables: tables::empty(),
            weather: Vec::new(),
            troubled: BTreeSet::new(),
            environments: Vec::new(),
            processes: Vec::new(),
            facts: Vec::new(),
            posts: Vec::new(),
            fences: BTreeMap::new(),
            incarnations: BTreeMap::new(),
            revived: BTreeMap::new(),
            expired: BTreeMap::new(),
            deletes_at: None,
            deleted: BTreeSet::new(),
            pauses: BTreeMap::new(),
            sessions: BTreeMap::new(),
            api_tokens: BTreeMap::new(),
            signing_version: 1,
            signs_with_old_key_until: 0,
            unusable: None,
            webhooks_version: 1,
            old_key_until: 0,
            accounts: BTreeMap::new(),
            faults: BTreeMap::new(),
            deaths: 0,
            violations: Vec::new(),
            is_calm: false,
            changed_at: 0,
            writes: 0,
            written_at: BTreeMap::new(),
            trace: traced.then(Vec::new),
        }
    }

    /// A new environment.
    pub fn open_environment(&mut self) -> usize {
        let (skew_ms, pauses) = (self.draw_skew(), Default::default());
        self.environments.push(Environment { skew_ms, signing_version: 0, left_out: 0, pauses });
        self.environments.len() - 1
    }

    /// A new process: an invocation in this environment, which may die, or else a program of an operator.
    pub fn start_process(&mut self, kind: Kind, environment: Option<usize>) -> ProcessId {
        let skew_ms = environment.map_or(0, |number| self.environments[number].skew_ms);
        let doom =
            (environment.is_some() && !self.is_calm && self.rng.u8(..100) < 12).then(|| match self.rng.u8(..4) {
                0 => Doom::AtPoll(self.rng.u32(1..120)),
                1 => Doom::BeforeCall(self.rng.u32(1..9)),
                _ => Doom::AfterCall(self.rng.u32(1..9)),
            });
        let id = u32::try_from(self.processes.len()).unwrap_or(u32::MAX);
        self.processes.push(Process {
            kind,
            environment,
            started_at: now_ms(),
            skew_ms,
            doom,
            dead: false,
            calls: 0,
            writes: 0,
            conditions_failed: 0,
            delivered: 0,
            skipped: 0,
            died: 0,
            conflicts: 0,
            uncertain: false,
            recorded: None,
            gone: BTreeSet::new(),
            faulted: BTreeSet::new(),
            failed: 0,
            systems_failed: 0,
            cooled_off: 0,
            ends: Ends::default(),
            asked_to_wait_s: BTreeMap::new(),
        });
        self.step(|text| {
            let _ = write!(text, "p{id} starts: {kind:?}, clock {skew_ms:+} ms");
        });
        id
    }

    fn draw_skew(&mut self) -> i64 {
        if self.is_calm {
            return 0;
        }
        match self.rng.u8(..4) {
            0 => self.rng.i64(-MAX_SKEW_MS..MAX_SKEW_MS),
            1 => self.rng.i64(-500..500),
            _ => 0,
        }
    }

    pub fn died(&mut self, id: ProcessId, why: &str) {
        let process = &mut self.processes[id as usize];
        if !process.dead {
            process.dead = true;
            self.deaths += 1;
            self.step(|text| {
                let _ = write!(text, "p{id} dies: {why}");
            });
        }
    }

    /// The fault of a call that is made now.
    pub fn fault(&mut self, system: System) -> Option<Fault> {
        let now = now_ms();
        let holds = |weather: &Weather| weather.system == system && (weather.from_ms..weather.to_ms).contains(&now);
        let weather: Vec<Weather> = self.weather.iter().copied().filter(holds).collect();
        let weather = weather.into_iter().find(|weather| self.rng.u8(..100) < weather.percent)?;
        *self.faults.entry((system, weather.fault)).or_default() += 1;
        Some(weather.fault)
    }

    /// How the table is at this call.
    pub fn moment(&mut self, partial: bool) -> Moment {
        Moment {
            now_ms: now_ms(),
            index_lag_ms: match self.rng.u8(..10) {
                0 => self.rng.u64(..90 * SECOND),
                _ => self.rng.u64(..200),
            },
            read_lag_ms: self.rng.u64(..800),
            reads_old: self.rng.bool(),
            batch_answers: partial.then(|| self.rng.usize(..3)),
            scan_stops: self.rng.u8(..32) == 0,
        }
    }

    /// A process that has taken an event up dies if that is deadly.
    pub fn take_up(&mut self, id: ProcessId, write: &Write) {
        let attempts = |item: &Option<Arc<Item>>| item.as_ref().and_then(|item| integer(item, "attempts"));
        // Who gives it up sends nothing.
        let is_taken = write.after.as_ref().is_some_and(|after| is_in_state(after, "pending"));
        if is_taken
            && attempts(&write.after) > attempts(&write.before)
            && let Some(fact) = self.facts.iter_mut().find(|fact| fact.kills > 0 && fact.pks().contains(&write.key))
        {
            fact.kills -= 1;
            let process = &mut self.processes[id as usize];
            process.doom = Some(Doom::AfterCall(process.calls));
        }
    }

    /// When the earliest pending event is due; `None` when none is pending.
    pub fn next_due_ms(&self) -> Option<u64> {
        let pending = self.tables.items(tables::EVENTS).filter(|(_, item)| is_in_state(item, "pending"));
        pending.map(|(_, item)| integer(item, "next_attempt_at").unwrap_or_default() * SECOND).min()
    }

    /// Over how many parts of the index a new environment spreads pending events: deployments change it, up and down.
    pub fn draw_due_parts(&mut self) -> u8 {
        [1, 8, 8, 24, 64][self.rng.usize(..5)]
    }

    /// The version of the key that providers sign with.
    pub fn provider_key(&self) -> u32 {
        self.signing_version - u32::from(now_ms() < self.signs_with_old_key_until)
    }

    /// The parts of the index that hold something that will be due within a minute.
    pub fn due_parts(&self) -> Vec<u8> {
        let soon = now_ms() + MINUTE;
        let items = self.tables.items(tables::EVENTS).map(|(_, item)| item);
        let due = items.filter(|item| integer(item, "next_attempt_at").is_some_and(|at| at * SECOND <= soon));
        let parts = due.filter_map(|item| crate::table::text(item, "due")?.strip_prefix('p')?.parse().ok());
        parts.collect::<BTreeSet<u8>>().into_iter().collect()
    }

    /// Whether a destination has been paused for as long as this, without a break, until now.
    pub fn paused_for_ms(&self, destination: usize) -> Option<u64> {
        let (from, to) = self.pauses.get(&destination)?.last()?;
        to.is_none().then(|| now_ms().saturating_sub(*from))
    }

    /// How long a destination was paused between these times.
    pub fn paused_between_ms(&self, destination: usize, from: u64, to: u64) -> u64 {
        let pauses = self.pauses.get(&destination).into_iter().flatten();
        pauses.map(|(began, ended)| ended.unwrap_or(to).min(to).saturating_sub((*began).max(from))).sum()
    }

    pub fn violate(&mut self, invariant: &'static str, event: &str, what: impl Into<String>) {
        let what = what.into();
        let is_promised = !self.deleted.contains(event);
        if !is_promised || crate::LATER.iter().any(|(later, _)| *later == invariant) {
            return;
        }
        self.step(|text| {
            let _ = write!(text, "VIOLATED {invariant}: {event}: {what}");
        });
        self.violations.push(Violation { at: now_ms(), invariant, event: event.to_owned(), what });
    }

    /// A line of the trace.
    pub fn step(&mut self, text: impl FnOnce(&mut String)) {
        if let Some(trace) = &mut self.trace {
            let since = now_ms().saturating_sub(crate::time::BEGINNING_MS);
            let mut line = format!(
                "{:>3}d {:02}:{:02}:{:02}.{:03}  ",
                since / DAY,
                since / HOUR % 24,
                since / MINUTE % 60,
                since / SECOND % 60,
                since % SECOND
            );
            text(&mut line);
            trace.push(line);
        }
    }

    pub fn take_trace(&mut self) -> Vec<String> {
        self.trace.take().unwrap_or_default()
    }
}

impl Violation {
    pub fn text(&self) -> String {
        format!("{}: {}", self.event, self.what)
    }
}

pub fn is_in_state(item: &Item, state: &str) -> bool {
    crate::table::text(item, "state") == Some(state)
}

pub fn system_name(system: System) -> String {
    match system {
        System::Table => "table".to_owned(),
        System::Secrets => "secrets".to_owned(),
        System::Api => "provider API".to_owned(),
        System::Destination(at) => format!("destination {}", DESTINATIONS[at]),
    }
}
