//! What an invocation says of itself, in metrics and counts, against what its writes came to; and what redrive reads.

use std::collections::BTreeSet;

use shared::observe::metrics::{self, Measurements};
use shared::redrive::contract::{Counts, Request};

use super::is_known_as_paused;
use super::item::{MAX_CLOCK_ERROR_MS, code, field, routes, routes_in};
use crate::faults::System;
use crate::process::{Kind, ProcessId};
use crate::routes::destination_of;
use crate::table::value::Item;
use crate::table::{integer, text};
use crate::tables;
use crate::time::{MINUTE, SECOND, now_ms};
use crate::world::{World, is_in_state};

/// A run starts nothing after this time.
const MAX_RUN_MS: u64 = 20 * SECOND;

/// What an invocation has measured against what it has done.
pub(crate) fn on_measured(world: &mut World, id: ProcessId, measured: &Measurements) {
    let process = &world.processes[id as usize];
    let [delivered, skipped] = [metrics::DELIVERED, metrics::SKIPPED].map(|metric| measured.sum(metric));
    let dead = measured.sum(metrics::DEAD) + measured.sum(metrics::DEAD_WITHOUT_CUSTOMER);
    let told = [delivered, skipped, dead];
    let done = [process.delivered, process.skipped, process.died].map(|count| count as f64);
    let fits = match process.uncertain {
        true => told.iter().zip(done).all(|(told, done)| *told <= done),
        false => told == done,
    };
    let harms = [
        (metrics::FAILED, process.failed),
        (metrics::COOLING_OFF, process.cooled_off),
        (metrics::DISPATCH_FAILED, process.systems_failed),
    ];
    for (metric, done) in harms {
        let (told, done) = (measured.sum(metric), done as f64);
        // What was not settled is counted, too; where all that is left cools off, nothing is.
        let may_be_more =
            world.troubled.contains(&System::Table) || process.conditions_failed > 0 || metric == metrics::COOLING_OFF;
        let fits = told == done || (may_be_more && (process.uncertain || told > done));
        if !fits {
            let what = format!("{}: told {told}, done {done}", metric.name);
            return world.violate("every harm has its metric", &format!("p{id}"), what);
        }
    }
    let conflicts = process.conflicts as f64;
    if measured.sum(metrics::ID_CONFLICT) < conflicts && !process.uncertain {
        world.violate("every harm has its metric", &format!("p{id}"), "an id conflict is not counted");
    }
    if !fits {
        world.violate("every harm has its metric", &format!("p{id}"), format!("told {told:?}, done {done:?}"));
    }
}

/// What waits when a run of redrive begins.
pub(crate) struct Backlog {
    /// How many events are pending, and how many dead.
    held: [usize; 2],
    /// How long the oldest has waited of those that wait for something else than their customer.
    oldest_s: u64,
    writes: u64,
}

impl Backlog {
    /// `None` while the index may lag behind the table, or the table may fail.
    pub(crate) fn of(world: &World) -> Option<Self> {
        if world.troubled.contains(&System::Table) || world.changed_at + 2 * MINUTE > now_ms() {
            return None;
        }
        let events = |state| {
            world.tables.items(tables::EVENTS).map(|(_, item)| item).filter(move |item| is_in_state(item, state))
        };
        let waits = |item: &&Item| routes_in(item, "pending").any(|route| !code(item, route).starts_with("customer_"));
        let since = |item: &Item| integer(item, "revived_at").or(integer(item, "received_at")).unwrap_or_default();
        let oldest_ms = events("pending").filter(waits).map(|item| now_ms().saturating_sub(since(item))).max();
        Some(Self {
            held: [events("pending").count(), events("dead").count()],
            oldest_s: oldest_ms.unwrap_or_default() / SECOND,
            writes: world.writes,
        })
    }
}

/// What a run of redrive said of the backlog, unless others have changed it meanwhile.
pub(crate) fn on_backlog(world: &mut World, id: ProcessId, backlog: &Backlog, measured: &Measurements) {
    if world.writes != backlog.writes + world.processes[id as usize].writes {
        return;
    }
    let told = [metrics::PENDING_EVENTS, metrics::DEAD_EVENTS].map(|metric| measured.sum(metric));
    let held = backlog.held.map(|count| count as f64);
    let (told_s, oldest_s) = (measured.sum(metrics::OLDEST_PENDING_AGE), backlog.oldest_s as f64);
    let slack_s = (MAX_CLOCK_ERROR_MS / SECOND) as f64;
    // A pause does not count.
    let least_s = if world.pauses.is_empty() { oldest_s - slack_s } else { 0.0 };
    if told != held || !(least_s..=oldest_s + slack_s).contains(&told_s) {
        let what = format!("told {told:?} and {told_s} s, held {held:?} and {oldest_s} s");
        world.violate("the gauges say what waits", &format!("p{id}"), what);
    }
}

/// Which of these keys of dead events an operator was told can be redriven.
pub(crate) fn on_candidates(world: &mut World, asked: &[String], chosen: &[String]) {
    if asked != chosen {
        world.violate("what is dead can be redriven", &asked.join(" "), format!("only {chosen:?}"));
    }
}

/// Redrive reads an event.
pub(crate) fn on_read(world: &mut World, process: ProcessId, pk: &str) {
    let is_known = world.written_at.get(pk).is_some_and(|at| now_ms() > at + 3 * MINUTE);
    if world.processes[process as usize].kind == Kind::Redrive && is_known && is_held_back(world, pk) {
        world.violate("what is held back is not read", pk, "all its destinations are paused");
    }
}

/// Whether an event is due on routes to paused destinations alone, as the index and the run must know by now.
fn is_held_back(world: &World, pk: &str) -> bool {
    let Some(item) = world.tables.item(tables::EVENTS, pk) else { return false };
    let latest = now_ms() + MAX_CLOCK_ERROR_MS;
    let is_due = |route: &&str| field(item, route, "next_attempt_at").is_none_or(|at| at * SECOND <= latest);
    // A run under way may have read the pauses a while ago.
    let has_lasted = |destination| world.paused_for_ms(destination).is_some_and(|ms| ms > 2 * MINUTE);
    let is_paused =
        |route: &str| destination_of(route).is_some_and(|it| has_lasted(it) && is_known_as_paused(world, it));
    let mut due = routes_in(item, "pending").filter(is_due).peekable();
    due.peek().is_some() && due.all(is_paused)
}

/// The events that a run over these parts must find: those that have been due for a while.
pub(crate) fn long_due(world: &World, request: &Request) -> Vec<String> {
    let Request::Due(share) = request else { return Vec::new() };
    let is_asked = |item: &Item| {
        let part = text(item, "due").and_then(|due| due.strip_prefix('p')?.parse().ok());
        part.is_some_and(|part: u8| share.parts().any(|of_share| of_share == part))
    };
    let is_due = |(pk, item): &(&str, &Item)| {
        let at = integer(item, "next_attempt_at").unwrap_or_default() * SECOND;
        is_in_state(item, "pending")
            && is_asked(item)
            && at + MAX_CLOCK_ERROR_MS < now_ms()
            && !is_written_since(world, pk, now_ms() - 2 * MINUTE)
    };
    world.tables.items(tables::EVENTS).filter(is_due).map(|(pk, _)| pk.to_owned()).collect()
}

fn is_written_since(world: &World, pk: &str, since: u64) -> bool {
    world.written_at.get(pk).is_some_and(|at| *at >= since)
}

/// What a run of redrive has counted against what it has done in this time, and what it must have found; `asked` for by hand.
pub(crate) fn on_counts(
    world: &mut World,
    id: ProcessId,
    took_ms: u64,
    (asked, long_due): (&[String], &[String]),
    (counts, measured): (&Counts, &Measurements),
) {
    let process = &world.processes[id as usize];
    let told = [counts.delivered, counts.retried, counts.dead].map(u64::from);
    let done = [process.ends.delivered, process.ends.retried, process.ends.dead];
    let others = u64::from(counts.lost + counts.held_back + counts.nothing_to_do + counts.troubled);
    let fits = match process.uncertain {
        true => told.iter().zip(done).all(|(told, done)| *told <= done),
        false => told == done,
    };
    if !fits || told.iter().sum::<u64>() + others != u64::from(counts.found) {
        world.violate("a run counts what it has done", &format!("p{id}"), format!("{counts:?}, done {done:?}"));
    }
    // What is written meanwhile may be somebody else's.
    let began = now_ms() - took_ms;
    let left = long_due.iter().filter(|pk| !is_written_since(world, pk, began)).count();
    if counts.complete && (counts.found as usize) < left {
        world.violate("a complete run finds all that is due", &format!("p{id}"), format!("{counts:?} of {long_due:?}"));
    }
    let is_early = !counts.complete && took_ms + SECOND < MAX_RUN_MS;
    let is_troubled = is_early || counts.troubled > 0;
    if is_troubled && !world.troubled.contains(&System::Table) {
        world.violate("a run without trouble is complete", &format!("p{id}"), format!("{counts:?}"));
    }
    let incomplete = measured.sum(metrics::REDRIVE_INCOMPLETE) > 0.0;
    if incomplete != (!counts.complete || counts.troubled > 0) {
        world.violate("every harm has its metric", &format!("p{id}"), format!("{counts:?}, incomplete: {incomplete}"));
    }
    let distinct: BTreeSet<&String> = asked.iter().collect();
    if !asked.is_empty() && counts.complete && counts.found as usize != distinct.len() {
        world.violate("what is asked for is found", &format!("p{id}"), format!("{counts:?} of {asked:?}"));
    }
    let works = |pk: &&String| {
        let item = world.tables.item(tables::EVENTS, pk);
        item.is_some_and(|item| routes(item).any(|(_, is)| is == "pending" || is == "dead"))
    };
    let left = asked.iter().filter(works).count();
    if !asked.is_empty() && (counts.nothing_to_do + counts.delivered) as usize > asked.len() - left {
        world.violate("what is dead can be redriven", &format!("p{id}"), format!("{counts:?}, {left} left"));
    }
}
