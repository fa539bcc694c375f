//! The world in small: one event, everybody who may write it, and every step that each of them could take next.

#[path = "properties.rs"]
mod properties;
#[path = "records.rs"]
mod records;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

use route::routes::{Known, Routes};
use shared::clock::{UnixMillis, UnixSeconds};
use shared::record::event::{DispatchState, EventRecord, EventState};

use crate::table::Item;
use crate::{Bounds, Flaw, Property};
pub(crate) use properties::Sights;
use properties::is_pending_part;
use records::{Pool, RecordStep};

/// Everything that tells one moment of the bridge from another, and what an observer of it remembers.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct World {
    held: Option<ItemId>,
    /// Index into [`INSTANTS_S`].
    instant: u8,
    actors: [Actor; ACTORS.len()],
    /// A write whose answer was lost: it takes effect at any later time, or never.
    in_flight: Option<Write>,
    crashes_left: u8,
    lost_writes_left: u8,
    failed_calls_left: u8,

    acknowledged: bool,
    /// By number: the attempts that somebody has begun to deliver.
    begun: [bool; MAX_ATTEMPTS + 1],
    /// The latest attempt whose settling took effect.
    settled: u8,
    /// By route: the text of the first message.
    message: [Option<TextId>; ROUTES.len()],
    /// By route: how many messages Returning.AI has accepted.
    accepted: [u8; ROUTES.len()],
    /// By route: how often something came between a message and the settling of its attempt.
    disturbed: [u8; ROUTES.len()],
    broken: Option<Property>,
}

#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
struct Actor {
    at: At,
    /// Invocations that are left.
    runs_left: u8,
    /// Its clock is [`AHEAD_S`] ahead of the others'.
    ahead: bool,
}

/// Where an actor is. Each variant is a point at which others may step in, and at which it may crash.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
enum At {
    Resting,
    /// The record's write got no answer yet.
    Recording(RecordId),
    /// Not acknowledged yet; `None` for a duplicate.
    Recorded(Option<RecordId>),
    Read(RecordId),
    TakingOver(RecordId, RecordId),
    Sending(RecordId, [Call; ROUTES.len()], QuickTries),
    Settling(RecordId),
}

/// What an attempt knows of a route.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
enum Call {
    NotWanted,
    ToSend,
    Accepted,
    /// Nobody can say whether the message arrived.
    Failed,
    Refused,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Write {
    Record(RecordId),
    TakeOver(RecordId, RecordId),
    Settle(RecordId),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Role {
    Receiver,
    Redrive,
    Operator,
}

type RecordId = u16;
type ItemId = u16;
type TextId = u16;
type QuickTries = u8;

pub(crate) const FIRST: usize = 0;
pub(crate) const COPY: usize = 1;
pub(crate) const REDRIVE: usize = 2;
pub(crate) const OTHER_REDRIVE: usize = 3;
pub(crate) const OPERATOR: usize = 4;

const ACTORS: [(&str, Role); 5] = [
    ("first", Role::Receiver),
    ("copy", Role::Receiver),
    ("redrive", Role::Redrive),
    ("other redrive", Role::Redrive),
    ("operator", Role::Operator),
];

const ROUTES: [&str; 2] = ["a", "b"];

const ROUTES_TOML: &str = r#"
    [[route]]
    name = "a"
    provider = "sample"
    events = ["PAID"]
    workflow = "a"
    event_type = "paid"
    customer = ["/customer"]

    [[route]]
    name = "b"
    provider = "sample"
    events = ["PAID"]
    workflow = "b"
    event_type = "paid.too"
    customer = ["/customer"]
"#;

/// When the provider signed the event, in milliseconds since the epoch; not at the start of a second.
const BEGIN: UnixMillis = UnixMillis(1_738_784_271_042);

/// The times at which something happens: at once, when the first lease ends, when every lease and retry that was begun by
/// then has come due on each clock, and past the age at which an event dies.
const INSTANTS_S: [u64; 4] = [0, 60, 1_400, 72 * 60 * 60 + 700];

/// How far clocks may differ.
const AHEAD_S: u64 = 10 * 60;

pub(crate) const MAX_ATTEMPTS: usize = 3;

/// What the transitions of `shared::record::event` make of the few records there are, remembered: a world holds numbers only.
pub(crate) struct Model {
    pub(crate) bounds: Bounds,
    pub(crate) flaw: Option<Flaw>,
    routes: Routes,
    records: Pool<EventRecord>,
    items: Pool<Item>,
    texts: Pool<String>,
    records_made: HashMap<RecordStep, Option<RecordId>>,
    items_made: HashMap<(Option<ItemId>, Write), Option<ItemId>>,
    texts_made: HashMap<(RecordId, usize), TextId>,
    verdicts: HashMap<ItemId, Result<(), Property>>,
    pub(crate) sights: Sights,
}

impl Model {
    pub(crate) fn new(bounds: Bounds, flaw: Option<Flaw>) -> Self {
        Self {
            bounds,
            flaw,
            routes: Routes::parse("routes.toml", ROUTES_TOML, Known::Anything).unwrap(),
            records: Pool::new(),
            items: Pool::new(),
            texts: Pool::new(),
            records_made: HashMap::new(),
            items_made: HashMap::new(),
            texts_made: HashMap::new(),
            verdicts: HashMap::new(),
            sights: Sights::default(),
        }
    }

    /// Nothing has happened yet; one world for each way in which the clocks may differ.
    pub(crate) fn starts(&self) -> Vec<World> {
        let actors = self.bounds.runs.map(|runs_left| Actor { at: At::Resting, runs_left, ahead: false });
        let start = World {
            held: None,
            instant: 0,
            actors,
            in_flight: None,
            crashes_left: self.bounds.crashes,
            lost_writes_left: self.bounds.lost_writes,
            failed_calls_left: self.bounds.failed_calls,
            acknowledged: false,
            begun: [false; MAX_ATTEMPTS + 1],
            settled: 0,
            message: [None; ROUTES.len()],
            accepted: [0; ROUTES.len()],
            disturbed: [0; ROUTES.len()],
            broken: None,
        };
        let with_skew = self.bounds.ahead.iter().map(|ahead| {
            let mut world = start;
            for who in *ahead {
                world.actors[*who].ahead = true;
            }
            world
        });
        with_skew.collect()
    }

    /// Says which property is broken, or adds the worlds that may be next.
    pub(crate) fn visit(&mut self, world: &World, next: &mut Vec<World>) -> Result<(), Property> {
        self.check(world)?;
        for who in 0..ACTORS.len() {
            self.step(world, who, next);
            if world.crashes_left > 0 && world.actors[who].at != At::Resting {
                let mut after = *world;
                after.crashes_left -= 1;
                self.abandon(&mut after, who);
                next.push(after);
            }
        }
        if let Some(write) = world.in_flight {
            let mut after = *world;
            after.in_flight = None;
            self.take_effect(&mut after, write);
            next.push(after);
        }
        // Whoever works ends within its invocation where all is well: no instant is as near as that.
        let may_pass = !self.bounds.timely || world.actors.iter().all(|actor| actor.at == At::Resting);
        let is_over = world.held.is_some_and(|held| self.items.at(held).event.state == EventState::Delivered);
        if may_pass && !is_over && usize::from(world.instant) < self.bounds.last_instant {
            next.push(World { instant: world.instant + 1, ..*world });
        }
        next.iter_mut().for_each(|world| self.reduce(world));
        Ok(())
    }

    /// Makes worlds the same that only differ in what can make no difference any more.
    ///
    /// Attempts never decrease (a property that is checked), so a write made for an earlier attempt than the one held can
    /// never take effect; nor can a record's, once there is one.
    fn reduce(&self, world: &mut World) {
        if self.flaw.is_some() {
            return;
        }
        // Which of them is which makes no difference, since whoever has read an older attempt rests below: an attempt carries the
        // name of its taker, and two of the same number must not meet under one name.
        let redrives = &mut world.actors[REDRIVE..=OTHER_REDRIVE];
        redrives.sort_unstable();
        let Some(held) = world.held else { return };
        let held = self.items.at(held).event.attempts;
        let is_late = |made_for: RecordId| self.records.at(made_for).attempts < held;
        for who in 0..ACTORS.len() {
            match world.actors[who].at {
                At::Read(before) | At::TakingOver(before, _) | At::Settling(before) if is_late(before) => {
                    rest(world, who);
                }
                _ => {}
            }
        }
        world.in_flight = world.in_flight.filter(|write| match write {
            Write::Record(_) => false,
            Write::TakeOver(before, _) | Write::Settle(before) => !is_late(*before),
        });
    }

    /// What one actor may do next.
    fn step(&mut self, world: &World, who: usize, next: &mut Vec<World>) {
        let actor = world.actors[who];
        let now = now(world, actor);
        match actor.at {
            At::Resting if actor.runs_left == 0 => {}
            At::Resting if role(who) == Role::Receiver => {
                if let Some(event) = self.record(RecordStep::Begin { who, now: now.0 }) {
                    self.write(world, who, Write::Record(event), next);
                }
            }
            At::Resting => {
                let Some(item) = world.held.map(|held| self.items.at(held)) else { return };
                let is_due = item.event.is_due(now) || self.flaw == Some(Flaw::TakesOverBeforeItIsDue);
                let found = is_due && item.due.as_deref().is_some_and(is_pending_part);
                if found || role(who) == Role::Operator {
                    let before = self.records.number(item.event.clone());
                    next.push(with(world, who, At::Read(before)));
                }
            }
            At::Recording(event) => {
                self.write(world, who, Write::Record(event), next);
                let mut given_up = with(world, who, At::Resting);
                given_up.actors[who].runs_left -= 1;
                if self.flaw == Some(Flaw::AcknowledgesUnrecorded) {
                    acknowledge(&mut given_up);
                }
                next.push(given_up);
            }
            At::Recorded(event) => {
                let mut after = *world;
                acknowledge(&mut after);
                match event {
                    Some(event) if self.records.at(event).state == EventState::Pending => {
                        self.begin_attempt(&mut after, who, event);
                    }
                    _ => rest(&mut after, who),
                }
                next.push(after);
            }
            At::Read(before) => {
                let record = self.records.at(before);
                let closed = match role(who) {
                    Role::Operator if self.bounds.dismisses => self.record(RecordStep::Dismiss { before, now: now.0 }),
                    _ => None,
                };
                if let Some(closed) = closed {
                    self.write(world, who, Write::TakeOver(before, closed), next);
                }
                let ours = match role(who) {
                    _ if usize::try_from(record.attempts).unwrap() >= MAX_ATTEMPTS => None,
                    Role::Operator => self.record(RecordStep::Revive { before, who, now: now.0 }),
                    // Who finds nothing due on any route leaves the event as it is.
                    _ if (record.is_due(now) && record.due_routes(now).next().is_some())
                        || self.flaw == Some(Flaw::TakesOverBeforeItIsDue) =>
                    {
                        self.record(RecordStep::TakeOver { before, who, now: now.0 })
                    }
                    _ => None,
                };
                // An attempt that sends nothing.
                let is_given_up = record.unsettled >= self.bounds.gives_up_after;
                let given_up = ours.filter(|_| is_given_up).map(|ours| RecordStep::GiveUp { ours, who, now: now.0 });
                if let Some(ours) = given_up.and_then(|step| self.record(step)).or(ours) {
                    self.write(world, who, Write::TakeOver(before, ours), next);
                } else if closed.is_none() {
                    // Such a run changes nothing, and is as good as one that was never begun.
                    next.push(with(world, who, At::Resting));
                }
            }
            At::TakingOver(before, ours) => {
                self.write(world, who, Write::TakeOver(before, ours), next);
                let mut given_up = *world;
                rest(&mut given_up, who);
                next.push(given_up);
            }
            At::Sending(event, calls, quick_tries) => {
                if let Some(route) = calls.iter().position(|call| *call == Call::ToSend) {
                    return self.send(world, who, route, next);
                }
                if quick_tries > 0 && calls.contains(&Call::Failed) {
                    let again = calls.map(|call| if call == Call::Failed { Call::ToSend } else { call });
                    next.push(with(world, who, At::Sending(event, again, quick_tries - 1)));
                }
                let after = self.record(RecordStep::Settle { event, who, calls, now: now.0 }).unwrap();
                self.write(world, who, Write::Settle(after), next);
            }
            At::Settling(after) => {
                self.write(world, who, Write::Settle(after), next);
                let mut given_up = *world;
                self.abandon(&mut given_up, who);
                next.push(given_up);
            }
        }
    }

    /// A write that is answered; or one whose answer is lost, after which it is tried again or given up.
    fn write(&mut self, world: &World, who: usize, write: Write, next: &mut Vec<World>) {
        let mut answered = *world;
        let took_effect = self.take_effect(&mut answered, write);
        // A repeated write is known by the attempt and whose it is.
        let held = answered.held.map(|held| self.items.at(held));
        let is_ours = |event: RecordId| {
            let (held, ours) = (held.as_ref().map(|held| &held.event), self.records.at(event));
            took_effect || held.is_some_and(|it| it.taken_by == ours.taken_by && it.attempts == ours.attempts)
        };
        match write {
            Write::Record(event) => answered.actors[who].at = At::Recorded(is_ours(event).then_some(event)),
            Write::TakeOver(_, ours) if is_ours(ours) && self.records.at(ours).state == EventState::Pending => {
                self.begin_attempt(&mut answered, who, ours);
            }
            Write::TakeOver(..) | Write::Settle(_) => rest(&mut answered, who),
        }
        next.push(answered);

        if world.lost_writes_left > 0 && world.in_flight.is_none() {
            let unanswered = match write {
                Write::Record(event) => At::Recording(event),
                Write::TakeOver(before, ours) => At::TakingOver(before, ours),
                Write::Settle(after) => At::Settling(after),
            };
            next.push(World {
                in_flight: Some(write),
                lost_writes_left: world.lost_writes_left - 1,
                ..with(world, who, unanswered)
            });
        }
    }

    /// A message to one route: accepted; or failed before or after it was accepted, or refused permanently.
    fn send(&mut self, world: &World, who: usize, route: usize, next: &mut Vec<World>) {
        let At::Sending(event, calls, quick_tries) = world.actors[who].at else { return };
        let mut sent = *world;
        let text = self.message(event, route);
        if *sent.message[route].get_or_insert(text) != text {
            sent.broken = Some(Property::MessagesOfAnEventAreTheSame);
        }
        let answered = |call: Call| {
            let mut calls = calls;
            calls[route] = call;
            with(&sent, who, At::Sending(event, calls, quick_tries))
        };

        let mut accepted = answered(Call::Accepted);
        accepted.accepted[route] += 1;
        if self.flaw == Some(Flaw::SettlesWithoutSending) {
            accepted.accepted[route] -= 1;
        }
        next.push(accepted);
        if world.failed_calls_left == 0 {
            return;
        }
        let failed_calls_left = world.failed_calls_left - 1;
        next.push(World { failed_calls_left, ..answered(Call::Failed) });
        next.push(World { failed_calls_left, ..answered(Call::Refused) });
        if self.bounds.answers_get_lost {
            let mut lost = World { failed_calls_left, ..answered(Call::Failed) };
            lost.accepted[route] += 1;
            lost.disturbed[route] += 1;
            next.push(lost);
        }
    }

    fn begin_attempt(&mut self, world: &mut World, who: usize, event: RecordId) {
        let record = self.records.at(event);
        let begun = &mut world.begun[usize::try_from(record.attempts).unwrap()];
        if *begun {
            world.broken = Some(Property::AnAttemptIsMadeOnce);
        }
        *begun = true;
        // Each route has its own plan: what is not due is left for a later attempt.
        let now = now(world, world.actors[who]);
        let calls = ROUTES
            .map(|route| if record.due_routes(now).any(|due| due == route) { Call::ToSend } else { Call::NotWanted });
        let quick_tries = if role(who) == Role::Receiver { self.bounds.quick_tries } else { 0 };
        world.actors[who].at = At::Sending(event, calls, quick_tries);
    }

    /// Ends an invocation where it is. What it has sent and not settled will be sent again.
    fn abandon(&mut self, world: &mut World, who: usize) {
        let item = world.held.map(|held| self.items.at(held));
        let unsettled = |attempts: u32| {
            u32::from(world.settled) < attempts && item.as_ref().is_some_and(|item| item.event.attempts == attempts)
        };
        let told = match world.actors[who].at {
            At::Sending(event, calls, _) if unsettled(self.records.at(event).attempts) => {
                calls.map(|call| call == Call::Accepted)
            }
            At::Settling(after) if unsettled(self.records.at(after).attempts) => {
                let (after, item) = (self.records.at(after), item.unwrap());
                let state = |event: &EventRecord, route| event.deliveries.get(route).map(|delivery| delivery.state);
                let delivered = Some(DispatchState::Delivered);
                ROUTES.map(|route| state(&after, route) == delivered && state(&item.event, route) != delivered)
            }
            _ => [false; ROUTES.len()],
        };
        for (disturbed, told) in world.disturbed.iter_mut().zip(told) {
            *disturbed += u8::from(told);
        }
        rest(world, who);
    }

    /// Lets a write take effect if its condition holds, and compares the item before with the item after.
    fn take_effect(&mut self, world: &mut World, write: Write) -> bool {
        let Some(number) = self.item(world.held, write) else {
            return false;
        };
        let after = self.items.at(number);
        if let Some(held) = world.held {
            let before = self.items.at(held);
            if let Err(broken) = self.compare(world, write, &before.event, &after.event) {
                world.broken = Some(broken);
            }
            if let Write::TakeOver(..) = write {
                self.note_overlap(world, &before.event);
            }
        }
        if let Write::Settle(settled) = write {
            world.settled = u8::try_from(self.records.at(settled).attempts).unwrap();
        }
        world.held = Some(number);
        true
    }

    /// Whoever is at the latest attempt, alive and not settled, may have sent a message by now, or sends one yet.
    fn note_overlap(&self, world: &mut World, before: &EventRecord) {
        let latest = |event: RecordId| self.records.at(event).attempts == before.attempts;
        let is_at_it = |actor: &Actor| match actor.at {
            At::Recording(event) => self.records.at(event).taken_by == before.taken_by && before.attempts == 1,
            At::Recorded(Some(event)) | At::Sending(event, ..) | At::Settling(event) => latest(event),
            At::Resting | At::Recorded(None) | At::Read(_) | At::TakingOver(..) => false,
        };
        if u32::from(world.settled) < before.attempts && world.actors.iter().any(is_at_it) {
            for (route, name) in ROUTES.iter().enumerate() {
                world.disturbed[route] += u8::from(before.pending_routes().any(|pending| pending == *name));
            }
        }
    }

    /// A world in a line: what changed since the one before it, and the item.
    pub(crate) fn tell(&self, before: Option<&World>, world: &World) -> String {
        let mut line = format!("{:>6} s  ", INSTANTS_S[usize::from(world.instant)]);
        for (who, (name, _)) in ACTORS.iter().enumerate() {
            let at = world.actors[who].at;
            if before.is_some_and(|before| before.actors[who].at != at) {
                let _ = write!(line, "{name}: {at:?}  ");
            }
        }
        if before.is_some_and(|before| before.in_flight != world.in_flight) {
            let _ = write!(line, "in flight: {:?}  ", world.in_flight);
        }
        let Some(held) = world.held else {
            return line + "| no item";
        };
        let event = &self.items.at(held).event;
        let _ = write!(line, "| {} attempts={}", event.state.name(), event.attempts);
        if let Some(UnixSeconds(at)) = event.next_attempt_at {
            let _ = write!(line, " next=+{}s", at - BEGIN.seconds().0);
        }
        for (route, delivery) in &event.deliveries {
            let _ = write!(line, " {route}={}", delivery.state.name());
        }
        let _ = write!(line, " history={} accepted={:?}", event.history.len(), world.accepted);
        line
    }
}

fn role(who: usize) -> Role {
    ACTORS[who].1
}

fn now(world: &World, actor: Actor) -> UnixMillis {
    let ahead = if actor.ahead { AHEAD_S } else { 0 };
    BEGIN.plus(Duration::from_secs(INSTANTS_S[usize::from(world.instant)] + ahead))
}

fn with(world: &World, who: usize, at: At) -> World {
    let mut after = *world;
    after.actors[who].at = at;
    after
}

fn rest(world: &mut World, who: usize) {
    let actor = &mut world.actors[who];
    actor.at = At::Resting;
    actor.runs_left -= 1;
}

fn acknowledge(world: &mut World) {
    world.acknowledged = true;
    if world.held.is_none() {
        world.broken = Some(Property::NoAckWithoutARecord);
    }
}
