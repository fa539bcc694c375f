//! What a record says of its attempts: the lease, the plan of each route, the history, and what the index has of it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::item::{code, field, is_near, routes, routes_in, state};
use crate::faults::System;
use crate::process::{Kind, ProcessId};
use crate::routes::destination_of;
use crate::table::value::Item;
use crate::table::{integer, text};
use crate::time::{DAY, SECOND, now_ms};
use crate::world::{Fence, World, is_in_state};

/// How long an attempt holds an event.
const LEASE_MS: u64 = 60 * SECOND;

/// The longest waits after the first failure of a route, the second, ...; the last one repeats.
const LONGEST_WAITS_S: [u64; 8] = [60, 120, 300, 900, 3_600, 10_800, 21_600, 43_200];

/// The longest wait for a customer to be linked.
const CUSTOMER_WAIT_S: u64 = 15 * 60;

/// A slow destination is left alone for so long.
const COOL_OFF_S: u64 = 30;

/// What a clock may be wrong by, and seconds that are rounded up.
const SLACK_S: u64 = 18;

const MAX_HISTORY: usize = 20;
const MAX_UNSETTLED: u64 = 10;

/// How long items stay after the work on them has ended.
const KEPT_MS: u64 = 90 * DAY;

/// The codes of failures that say nothing of a destination or a provider's API.
const BLAMES_NO_SYSTEM: [&str; 13] = [
    "attempts_lost",
    "body_unreadable",
    "cooling_off",
    "customer_incomplete",
    "customer_unknown",
    "customers_unavailable",
    "envelope_unreadable",
    "id_conflict",
    "mapping_failed",
    "no_time",
    "refused",
    "route_unknown",
    "table_unavailable",
];

/// The codes of failures that no further attempt can mend.
const FINAL: [&str; 6] =
    ["attempts_lost", "envelope_unreadable", "id_conflict", "mapping_failed", "refused", "route_unknown"];

/// What holds of every record, whoever wrote it.
pub(super) fn record(world: &mut World, pk: &str, before: Option<&Item>, after: &Item) {
    let was = before.map(state);
    let is_new = was.as_ref() != Some(&state(after));
    let near = |name: &str, at_ms: u64| integer(after, name).is_some_and(|at| is_near(at * SECOND, at_ms));
    if is_in_state(after, "pending") {
        let (told, waits) = (waits_for(after), expected_waits(after));
        if told != waits {
            world.violate("the index has what an event waits for", pk, format!("{told:?}, not {waits:?}"));
        }
    }
    if is_new && after.contains_key("expires_at") && !near("expires_at", now_ms() + KEPT_MS) {
        world.violate("what has ended is kept for 90 days", pk, format!("{:?}", integer(after, "expires_at")));
    }
    if is_new && is_in_state(after, "dead") && !near("next_attempt_at", now_ms()) {
        world.violate("a dead event has the time of its death", pk, format!("{:?}", after.get("next_attempt_at")));
    }
    let delivered_at = integer(after, "delivered_at");
    let is_told = delivered_at.is_some_and(|at| !is_new || is_near(at, now_ms()));
    if is_told != is_in_state(after, "delivered") {
        world.violate("a delivered event has the time of its delivery", pk, format!("{delivered_at:?}"));
    }
    if is_in_state(after, "dead") && text(after, "last_error").is_none() {
        world.violate("a dead event says why", pk, "no last_error");
    }
    for (route, is) in routes(after) {
        let (has_code, has_time) = (!code(after, route).is_empty(), field(after, route, "at").is_some());
        let fits = match is {
            "delivered" | "skipped" => !has_code && has_time,
            "dead" => has_code && has_time,
            _ => !has_time,
        };
        if !fits || (is != "pending" && field(after, route, "next_attempt_at").is_some()) {
            world.violate("a route says what became of it, and when", pk, format!("{route}: {is}"));
        }
    }
}

/// A new attempt has begun.
pub(super) fn taken(world: &mut World, kind: Kind, pk: &str, before: Option<&Item>, after: &Item) {
    let lease_ends = integer(after, "next_attempt_at").unwrap_or_default() * SECOND;
    if !is_near(lease_ends, now_ms() + LEASE_MS) {
        world.violate("a lease is a minute", pk, format!("{lease_ends} at {}", now_ms()));
    }
    let number = |item: &Item, name: &str| integer(item, name).unwrap_or_default();
    let holder = text(after, "taken_by").unwrap_or_default();
    let Some(before) = before else {
        let is_first = number(after, "attempts") == 1 && number(after, "unsettled") == 0 && history(after).is_empty();
        if !is_first || holder.is_empty() {
            world.violate("a record begins with its first attempt", pk, format!("{after:?}"));
        }
        return;
    };
    let follows = number(after, "attempts") == number(before, "attempts") + 1
        && number(after, "unsettled") == number(before, "unsettled") + 1
        && history(after) == history(before)
        && text(before, "taken_by") != Some(holder);
    if !follows {
        world.violate("a take-over counts one more attempt", pk, format!("{before:?}, then {after:?}"));
    }
    let is_manual = kind == Kind::Manual;
    if !is_manual && before.get("deliveries") != after.get("deliveries") {
        world.violate("a take-over leaves the routes as they are", pk, state(before));
    }
    let revived_at = integer(after, "revived_at");
    let starts_anew = is_manual && !is_in_state(before, "pending");
    let fits = match starts_anew {
        true => revived_at.is_some_and(|at| is_near(at, now_ms())),
        false => revived_at == integer(before, "revived_at"),
    };
    let is_due = |route: &str| {
        let tries = field(after, route, "attempts").unwrap_or_default();
        field(after, route, "next_attempt_at").is_none() && (!starts_anew || tries == 0)
    };
    let keeps_its_code = |route: &str| code(after, route) == code(before, route);
    if !fits || (is_manual && !routes_in(after, "pending").all(|route| is_due(route) && keeps_its_code(route))) {
        world.violate("a redrive by hand starts the plan anew", pk, format!("{after:?}"));
    }
}

/// An attempt was settled by its holder, for the first time.
pub(super) fn settled(world: &mut World, id: ProcessId, pk: &str, fence: &Fence, before: &Item, after: &Item) {
    let tried: Vec<&str> = routes(after).map(|(route, _)| route).filter(|it| was_tried(before, after, it)).collect();
    let failed: Vec<String> = tried.iter().map(|route| code(after, route)).filter(|code| !code.is_empty()).collect();
    let outcome = match failed.first() {
        Some(code) => code.split(' ').next().unwrap_or_default(),
        None if routes_in(after, "delivered").any(|route| tried.contains(&route)) => "delivered",
        None => "skipped",
    };
    remembered(world, id, pk, outcome, fence.at, before, after);
    let blames_the_table = |code: &String| code == "table_unavailable" || code == "customers_unavailable";
    if !world.troubled.contains(&System::Table) && failed.iter().any(blames_the_table) {
        world.violate("a table that works is not blamed", pk, failed.join(", "));
    }
    if after.contains_key("unsettled") {
        world.violate("a settled attempt is not lost", pk, format!("{:?}", after.get("unsettled")));
    }
    let error = text(after, "last_error");
    if error != failed.first().map(String::as_str) && !(failed.is_empty() && is_in_state(after, "dead")) {
        world.violate("the last error is the last attempt's", pk, format!("{error:?}, not {failed:?}"));
    }
    if is_in_state(after, "pending") {
        let at = |route: &str| field(after, route, "next_attempt_at").unwrap_or(now_ms() / SECOND);
        let soonest = routes_in(after, "pending").map(at).min().unwrap_or_default();
        let next = integer(after, "next_attempt_at").unwrap_or_default();
        if next.abs_diff(soonest) > SLACK_S || Some(next) == integer(before, "next_attempt_at") {
            world.violate("an event is due with its first route", pk, format!("{next}, not {soonest}"));
        }
    }
    let process = &mut world.processes[id as usize];
    for code in &failed {
        let code = code.split(' ').next().unwrap_or_default();
        let is_left = code == "cooling_off";
        process.failed += u64::from(!is_left);
        process.cooled_off += u64::from(is_left);
        process.systems_failed += u64::from(!BLAMES_NO_SYSTEM.contains(&code));
    }
    let asks_the_api = |route: &&str| code(after, route).starts_with("provider_api_");
    let time = |route: &str| field(after, route, "next_attempt_at");
    let (with_api, without): (Vec<&str>, Vec<&str>) = routes_in(after, "pending").partition(asks_the_api);
    let first = with_api.first().map(|route| time(route));
    if with_api.iter().any(|route| Some(time(route)) != first) || without.iter().any(|route| Some(time(route)) == first)
    {
        world.violate(
            "routes that ask the same API are due together, and alone",
            pk,
            format!("{with_api:?}, {without:?}"),
        );
    }
    for route in tried {
        if let Some(what) = off_plan(world, id, route, before, after) {
            world.violate("each route has its own plan", pk, format!("{route}: {what}"));
        }
    }
}

/// The history has one entry more, of an attempt that began at this time.
fn remembered(world: &mut World, id: ProcessId, pk: &str, outcome: &str, began_at: u64, before: &Item, after: &Item) {
    let by = match world.processes[id as usize].kind {
        Kind::Receiver => "first",
        Kind::Redrive => "redrive",
        Kind::Manual | Kind::Operator => "manual",
    };
    let (was, mut is) = (history(before), history(after));
    let last = is.pop().unwrap_or_default();
    let told = |name: &str| last.pointer(&format!("/M/{name}/S")).and_then(Value::as_str);
    let figure = |name: &str| last.pointer(&format!("/M/{name}/N")).and_then(Value::as_str)?.parse::<u64>().ok();
    let took_ms = now_ms() - began_at;
    let is_whole = is == was[(was.len() + 1).saturating_sub(MAX_HISTORY)..]
        && told("by") == Some(by)
        && told("outcome") == Some(outcome)
        && figure("at").is_some_and(|at| is_near(at, began_at))
        && figure("ms").is_some_and(|ms| ms <= took_ms + 5 * SECOND);
    if !is_whole {
        world.violate("the history has one entry for each attempt", pk, format!("{by} {outcome}: {last}"));
    }
}

/// An event was given up: its last attempts were lost, each with its process or for want of the table.
pub(super) fn given_up(world: &mut World, id: ProcessId, pk: &str, incarnation: u32, before: &Item, after: &Item) {
    let number = |item: &Item| integer(item, "attempts").unwrap_or_default();
    if number(after) != number(before) + 1 || text(after, "taken_by") == text(before, "taken_by") {
        world.violate("to give up is an attempt of its own", pk, format!("{before:?}, then {after:?}"));
    }
    remembered(world, id, pk, "attempts_lost", now_ms(), before, after);
    let unsettled = integer(before, "unsettled").unwrap_or_default();
    if unsettled < MAX_UNSETTLED {
        world.violate("an event is given up after ten lost attempts", pk, format!("after {unsettled}"));
    }
    if !world.facts.iter().any(|fact| fact.is_deadly && fact.pks().iter().any(|its| its == pk)) {
        world.violate("what ends processes takes no other event with it", pk, format!("after {unsettled}"));
    }
    let fences = world.fences.get(&(pk.to_owned(), incarnation)).into_iter().flatten();
    let ends_by_itself = |fence: &Fence| {
        let process = &world.processes[fence.process as usize];
        !process.dead && process.kind != Kind::Receiver
    };
    let by_itself = fences.filter(|(_, fence)| !fence.settled && ends_by_itself(fence)).count();
    if by_itself > 0 && !world.troubled.contains(&System::Table) {
        world.violate("no attempt is lost without a reason", pk, format!("{by_itself} of {unsettled}"));
    }
}

/// How a route's plan differs from the one it should have.
fn off_plan(world: &World, id: ProcessId, route: &str, before: &Item, after: &Item) -> Option<String> {
    let tries = |item: &Item| field(item, route, "attempts").unwrap_or_default();
    let (made, code) = (tries(before), code(after, route));
    let is_left = code.starts_with("cooling_off");
    if tries(after) != made + u64::from(!is_left) {
        return Some(format!("{made} tries, then {}", tries(after)));
    }
    if !routes_in(after, "pending").any(|pending| pending == route) {
        return None;
    }
    if FINAL.contains(&code.split(' ').next().unwrap_or_default()) {
        return Some(format!("{code} is tried again"));
    }
    let Some(at) = field(after, route, "next_attempt_at") else { return Some("no time".to_owned()) };
    let wait_s = at.saturating_sub(now_ms() / SECOND);
    let asked = &world.processes[id as usize].asked_to_wait_s;
    let asked_by = |system: System| asked.get(&system).into_iter().flatten().copied();
    let destination = destination_of(route).map(System::Destination);
    let most_asked = destination.into_iter().chain([System::Api]).flat_map(asked_by).max().unwrap_or_default();
    let longest = match code.split(' ').next().unwrap_or_default() {
        "cooling_off" => COOL_OFF_S,
        "customer_unknown" | "customer_incomplete" => CUSTOMER_WAIT_S,
        _ => LONGEST_WAITS_S[usize::try_from(made).unwrap_or(usize::MAX).min(LONGEST_WAITS_S.len() - 1)],
    };
    if wait_s > longest.max(most_asked) + SLACK_S {
        return Some(format!("{code}: waits {wait_s} s after {made} tries; {longest} s are the most"));
    }
    let least_asked = destination.into_iter().flat_map(asked_by).min().unwrap_or_default();
    let is_early = code.starts_with("throttled") && wait_s + SLACK_S < least_asked;
    is_early.then(|| format!("{code}: waits {wait_s} s; {least_asked} s were asked for"))
}

/// Whether an attempt has tried a route, or left it because its system cools off.
fn was_tried(before: &Item, after: &Item, route: &str) -> bool {
    let told = |item: &Item| {
        let is = routes(item).find(|(name, _)| *name == route).map(|(_, is)| is.to_owned());
        (is, code(item, route), field(item, route, "attempts"))
    };
    let time = |item: &Item| field(item, route, "next_attempt_at");
    told(before) != told(after) || (code(after, route).starts_with("cooling_off") && time(before) != time(after))
}

fn history(item: &Item) -> Vec<Value> {
    item.get("history").and_then(|history| history["L"].as_array()).cloned().unwrap_or_default()
}

fn waits_for(item: &Item) -> BTreeMap<String, u64> {
    let entries = item.get("waits_for").and_then(|waits_for| waits_for["M"].as_object()).into_iter().flatten();
    entries.filter_map(|(name, at)| Some((name.clone(), at["N"].as_str()?.parse().ok()?))).collect()
}

/// Each pending route with its time, and what else it waits for.
fn expected_waits(item: &Item) -> BTreeMap<String, u64> {
    let since = integer(item, "revived_at").or(integer(item, "received_at")).unwrap_or_default() / SECOND;
    let mut waits = BTreeMap::new();
    for route in routes_in(item, "pending") {
        let at = field(item, route, "next_attempt_at").unwrap_or(since);
        waits.insert(route.to_owned(), at);
        let code = code(item, route);
        match code.split(' ').next().unwrap_or_default() {
            "customer_unknown" | "customer_incomplete" => drop(waits.insert(format!("customer:{route}"), at)),
            code if code.starts_with("provider_api_") => {
                let provider = text(item, "provider").unwrap_or_default();
                waits.insert(format!("api:{provider}"), at);
            }
            _ => {}
        }
    }
    waits
}
