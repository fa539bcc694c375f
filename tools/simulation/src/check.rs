//! What must hold: at every write, at every message, and at the end of a life.

mod attempt;
pub(crate) mod harm;
pub(crate) mod item;
pub(crate) mod run;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;
use sha2::{Digest, Sha256};
use shared::receive::verification::hex;

use crate::check::item::{code, routes, routes_in, state};
use crate::faults::System;
use crate::plan::Act;
use crate::process::{Kind, ProcessId};
use crate::routes::{asks_the_api, destination_of, destination_of_pauses};
use crate::table::value::Item;
use crate::table::{Write, integer, text};
use crate::tables;
use crate::time::{DAY, HOUR, MINUTE, SECOND, now_ms};
use crate::world::{Fact, Fence, Post, World, is_in_state};

/// Lambda ends an invocation after 30 s, so no message leaves later than that.
pub const MAX_ATTEMPT_MS: u64 = 30 * SECOND;

/// Three tries, each with a second session, each with a connection that died.
const MAX_POSTS: usize = 3 * 2 * 2;

/// A lease of 60 s, less what two clocks may differ.
const MIN_LEASE_MS: u64 = 60 * SECOND - 28 * SECOND;

/// Pauses are noticed within 30 s, by an attempt that takes at most another 30.
const PAUSE_NOTICED_MS: u64 = 61 * SECOND;

/// How long what was read of a pause counts while it cannot be read again.
const PAUSES_COUNT_MS: u64 = 300 * SECOND;

/// The same, and an attempt that takes 30 s.
const PAUSE_REMEMBERED_MS: u64 = PAUSES_COUNT_MS + 31 * SECOND;

/// The lease, the minute of redrive, its run, and what clocks differ.
const MAX_NEIGHBOUR_WAIT_MS: u64 = 3 * MINUTE;

const MAX_AGE_MS: u64 = 72 * HOUR;

/// Attributes that nothing changes after the record.
const FIXED: [&str; 7] =
    ["provider", "event_type", "occurred_at", "received_at", "body", "body_encoding", "body_sha256"];

/// A write that took effect.
pub(crate) fn observe(world: &mut World, process: Option<ProcessId>, write: &Write) {
    if write.table == tables::EVENTS {
        world.changed_at = now_ms();
        world.written_at.insert(write.key.clone(), now_ms());
        world.writes += 1;
        if let Some(process) = process {
            world.processes[process as usize].writes += 1;
        }
        on_write(world, process, write);
    }
}

/// Deletes what has expired, up to two days late as DynamoDB does.
pub(crate) fn expire(world: &mut World) {
    let (now, seed) = (now_ms(), world.seed);
    let lateness = |key: &str| key.bytes().fold(seed, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    let is_over = |key: &str, at: u64| at * SECOND + lateness(key) % (2 * DAY) <= now;
    let items = world.tables.items(tables::EVENTS);
    let over = items.filter(|(key, item)| integer(item, "expires_at").is_some_and(|at| is_over(key, at)));
    let over: Vec<String> = over.map(|(key, _)| key.to_owned()).collect();
    for key in over {
        let moment = world.moment(false);
        if let Some(write) = world.tables.expire(tables::EVENTS, &key, moment) {
            world.step(|text| text.push_str(&format!("the TTL deletes {key}")));
            observe(world, None, &write);
        }
    }
}

/// Somebody deletes the record of an event by hand.
pub(crate) fn delete(world: &mut World, pk: &str) {
    let of_it: Vec<Fact> = world.facts.iter().filter(|fact| fact.pks().iter().any(|its| its == pk)).cloned().collect();
    world.deleted.extend(of_it.iter().flat_map(Fact::pks));
    let moment = world.moment(false);
    if let Some(write) = world.tables.expire(tables::EVENTS, pk, moment) {
        world.step(|text| text.push_str(&format!("somebody deletes {pk}")));
        observe(world, None, &write);
    }
}

/// When destinations are paused, by the table itself.
fn paused(world: &mut World, destination: usize, after: Option<&Item>) {
    let last = after.and_then(|after| after.get("pauses")?["L"].as_array()?.last());
    let is_paused = last.is_some_and(|last| last.pointer("/M/to").is_none());
    let now = now_ms();
    let pauses = world.pauses.entry(destination).or_default();
    match pauses.last_mut() {
        Some((_, to @ None)) if !is_paused => *to = Some(now),
        Some((_, None)) => {}
        _ if is_paused => pauses.push((now, None)),
        _ => {}
    }
}

fn on_write(world: &mut World, process: Option<ProcessId>, write: &Write) {
    let pk = write.key.as_str();
    if pk.starts_with("once#") {
        claim(world, pk, write);
    }
    if let Some(destination) = destination_of_pauses(pk) {
        paused(world, destination, write.after.as_deref());
    }
    let is_event = |item: &Option<Arc<Item>>| item.as_ref().is_some_and(|item| item.contains_key("state"));
    if !is_event(&write.before) && !is_event(&write.after) {
        return;
    }
    let Some(after) = &write.after else {
        return expired(world, pk, write.before.as_deref());
    };
    fields(world, pk, write.before.as_deref(), after);
    let process = process.unwrap_or_default();
    let now = now_ms();
    if !is_event(&write.before) {
        if is_in_state(after, "pending") {
            world.processes[process as usize].recorded = Some(pk.to_owned());
        }
        *world.incarnations.entry(pk.to_owned()).or_default() += 1;
        world.revived.remove(pk);
    }
    let incarnation = world.incarnations.get(pk).copied().unwrap_or_default();
    let attempts = |item: &Item| integer(item, "attempts").unwrap_or_default();
    let (before, number) = (write.before.as_deref().filter(|item| item.contains_key("state")), attempts(after));
    if before.is_some_and(|before| number < attempts(before)) {
        world.violate("attempts never go back", pk, format!("{number}"));
    }
    let is_taken = before.is_none_or(|before| number > attempts(before)) && is_in_state(after, "pending");
    if is_taken {
        taken(world, process, pk, incarnation, before, after, now);
    } else if let Some(before) = before {
        if is_in_state(before, "pending") {
            settled(world, process, pk, incarnation, before, after, now);
        } else if !is_in_state(after, "dismissed") && !is_in_state(after, "pending") {
            world.violate("what has ended changes by hand alone", pk, state(after));
        } else if !is_in_state(before, "dead") && *before != **after {
            world.violate("only what is dead is dismissed", pk, state(before));
        }
    }
    if before.is_none() && is_in_state(after, "dead") {
        let process = &mut world.processes[process as usize];
        match text(after, "last_error") {
            Some("id_conflict") => process.conflicts += 1,
            _ => process.died += 1,
        }
    }
}

/// What an item keeps of the look-up for this route: a value, or that there was none.
fn fetched_note(item: &Item, route: &str) -> Option<Option<String>> {
    let kept = item.get("fetched")?.pointer(&format!("/M/{route}/M/note"))?;
    Some(kept["S"].as_str().map(|json| json.trim_matches('"').to_owned()))
}

/// What an item must have in each state.
fn fields(world: &mut World, pk: &str, before: Option<&Item>, after: &Item) {
    let has = |name: &str| after.contains_key(name);
    let works = is_in_state(after, "pending") || is_in_state(after, "dead");
    if works && has("expires_at") {
        world.violate("nothing with work left carries a TTL", pk, state(after));
    }
    if works && !(has("due") && has("next_attempt_at")) {
        world.violate("nothing with work left lacks a due time", pk, state(after));
    }
    if !works && (has("due") || has("next_attempt_at")) {
        world.violate("nothing that has ended is due", pk, state(after));
    }
    if !works && !has("expires_at") {
        world.violate("everything that has ended expires", pk, state(after));
    }
    let some_pending = routes_in(after, "pending").next().is_some();
    if is_in_state(after, "pending") != some_pending {
        world.violate("an event is pending while a route of it is", pk, state(after));
    }
    let before = before.filter(|before| before.contains_key("state"));
    attempt::record(world, pk, before, after);
    if let Some(before) = before {
        for name in FIXED {
            if before.get(name) != after.get(name) {
                world.violate("what was recorded never changes", pk, name);
            }
        }
        if let Some(kept) = before.get("fetched").and_then(|fetched| fetched["M"].as_object()) {
            let is_kept =
                |(route, values): (&String, &Value)| after.get("fetched").is_some_and(|now| now["M"][route] == *values);
            if !kept.iter().all(is_kept) {
                world.violate("what was fetched stays", pk, state(after));
            }
        }
        for (route, was) in routes(before).filter(|(_, was)| ["delivered", "skipped"].contains(was)) {
            if routes(after).find(|(name, _)| *name == route).map(|(_, is)| is) != Some(was) {
                world.violate("what is delivered stays delivered", pk, format!("{route} was {was}"));
            }
        }
    }
    let planned = integer(after, "next_attempt_at").unwrap_or_default() * SECOND;
    if is_in_state(after, "pending") && planned > now_ms() + 12 * HOUR + MINUTE {
        world.violate("no wait is longer than 12 hours", pk, format!("{} s", (planned - now_ms()) / SECOND));
    }
}

/// Whether a destination has been paused for so long that every process must know.
fn is_known_as_paused(world: &World, destination: usize) -> bool {
    let known_after = if world.troubled.contains(&System::Table) { PAUSE_REMEMBERED_MS } else { PAUSE_NOTICED_MS };
    world.paused_for_ms(destination).is_some_and(|ms| ms > known_after)
}

fn taken(
    world: &mut World,
    process: ProcessId,
    pk: &str,
    incarnation: u32,
    before: Option<&Item>,
    after: &Arc<Item>,
    now: u64,
) {
    let number = integer(after, "attempts").unwrap_or_default();
    let kind = world.processes[process as usize].kind;
    attempt::taken(world, kind, pk, before, after);
    if let Some(before) = before {
        let is_revived = routes_in(after, "pending").any(|route| !routes_in(before, "pending").any(|was| was == route));
        if is_revived {
            world.revived.insert(pk.to_owned(), now);
        }
        if is_revived && kind == Kind::Redrive {
            world.violate("only an operator revives an event", pk, state(before));
        }
        let due = integer(before, "next_attempt_at").unwrap_or_default() * SECOND;
        if kind == Kind::Redrive && due > now + 16 * SECOND {
            world.violate("nothing is taken before it is due", pk, format!("{} s early", (due - now) / SECOND));
        }
    }
    let is_paused = |route: &str| destination_of(route).is_some_and(|to| is_known_as_paused(world, to));
    let all_paused = routes_in(after, "pending").all(is_paused);
    if kind == Kind::Redrive && all_paused {
        world.violate("what is held back is left alone", pk, "taken over although all its destinations are paused");
    }
    let fences = world.fences.entry((pk.to_owned(), incarnation)).or_default();
    let last = fences.last_key_value().map(|(number, fence)| (*number, fence.clone()));
    let fence = Fence { process, at: now, settled: false, item: after.clone() };
    let twice = fences.insert(number, fence).is_some();
    if twice {
        world.violate("one deliverer per fence", pk, format!("attempt {number} was taken twice"));
    }
    if let Some((last, fence)) = last
        && kind == Kind::Redrive
        && !fence.settled
        && now - fence.at < MIN_LEASE_MS
    {
        world.violate("a lease is kept", pk, format!("attempt {last} was taken over after {} ms", now - fence.at));
    }
}

fn settled(world: &mut World, process: ProcessId, pk: &str, incarnation: u32, before: &Item, after: &Item, now: u64) {
    let number = integer(after, "attempts").unwrap_or_default();
    // A route that is revived keeps its code.
    let was_pending = |route: &str| routes_in(before, "pending").any(|pending| pending == route);
    let lost = |route: &str| was_pending(route) && code(after, route) == "attempts_lost";
    let gave_up = routes_in(after, "dead").any(lost);
    let holder = world.fences.get(&(pk.to_owned(), incarnation)).and_then(|fences| fences.get(&number)).cloned();
    match &holder {
        Some(holder) if holder.process == process => {
            // The same write again, because its answer was late, changes nothing.
            if holder.settled && before != after {
                world.violate("an attempt is settled once", pk, format!("attempt {number}"));
            }
            if now > holder.at + MAX_ATTEMPT_MS + SECOND {
                world.violate("an attempt ends within 30 s", pk, format!("{} ms", now - holder.at));
            }
            let of_this = |post: &&Post| post.pk == pk && post.incarnation == incarnation && post.attempts == number;
            let unlike = |post: &Post| fetched_note(after, &post.route).is_some_and(|kept| kept != post.note);
            let not_kept = |post: &Post| post.note.is_some() && fetched_note(after, &post.route).is_none();
            if world.posts.iter().filter(of_this).any(|post| unlike(post) || not_kept(post)) {
                world.violate("what was sent of a look-up is kept", pk, state(after));
            }
            if !holder.settled && !gave_up {
                attempt::settled(world, process, pk, holder, before, after);
            }
        }
        _ if gave_up => attempt::given_up(world, process, pk, incarnation, before, after),
        _ => world.violate("an attempt is settled by its holder", pk, format!("p{process} settled attempt {number}")),
    }
    if let Some(fences) = world.fences.get_mut(&(pk.to_owned(), incarnation))
        && let Some(fence) = fences.get_mut(&number)
    {
        fence.settled = true;
    }

    let ends = &mut world.processes[process as usize].ends;
    match state(after).as_str() {
        _ if before == after => {}
        "pending" => ends.retried += 1,
        "dead" => ends.dead += 1,
        _ => ends.delivered += 1,
    }
    let was: BTreeMap<&str, &str> = routes(before).collect();
    for (route, is) in routes(after) {
        if was.get(route) == Some(&is) {
            continue;
        }
        let of_this = |post: &&Post| {
            post.pk == pk && post.route == route && post.incarnation == incarnation && post.process == process
        };
        let posts: Vec<Post> = world.posts.iter().filter(of_this).cloned().collect();
        match is {
            "delivered" => {
                world.processes[process as usize].delivered += 1;
                if !posts.iter().any(|post| post.accepted && post.answered == Some(200)) {
                    world.violate("delivered means that Returning.AI said so", pk, route);
                }
            }
            "skipped" => {
                world.processes[process as usize].skipped += 1;
                if posts.iter().any(|post| post.accepted) {
                    world.violate("what is skipped was not sent", pk, route);
                }
                if !has_claim_of_another(world, pk, route, integer(after, "received_at").unwrap_or_default()) {
                    world.violate("only a second time is skipped", pk, route);
                }
            }
            "dead" => {
                world.processes[process as usize].died += 1;
                let why = code(after, route);
                if let Some(what) = too_early(world, pk, route, &why, &posts, after) {
                    world.violate("a message dies of age or of a final answer", pk, what);
                }
            }
            _ => {}
        }
    }
}

/// Whether another event has a claim on this route; also a namesake whose record has expired since.
fn has_claim_of_another(world: &World, pk: &str, route: &str, received_at: u64) -> bool {
    let of_route = format!("once#{route}#");
    let mut claims = world.tables.items(tables::EVENTS).filter(|(key, _)| key.starts_with(&of_route));
    let is_old = |claim: &Item| integer(claim, "taken_at").unwrap_or_default() + HOUR < received_at;
    claims.any(|(_, claim)| text(claim, "owner").is_some_and(|owner| owner != pk || is_old(claim)))
}

/// Why a message may not die of this yet.
fn too_early(world: &World, pk: &str, route: &str, why: &str, posts: &[Post], after: &Item) -> Option<String> {
    let is_final = match why.split(' ').next().unwrap_or_default() {
        "refused" => posts.iter().any(|post| matches!(post.answered, Some(400 | 413 | 422))),
        "mapping_failed" | "route_unknown" | "envelope_unreadable" | "id_conflict" | "attempts_lost" => true,
        _ => false,
    };
    let received = integer(after, "received_at").unwrap_or_default();
    let since = world.revived.get(pk).copied().unwrap_or_default().max(received);
    let paused = destination_of(route).map_or(0, |at| world.paused_between_ms(at, since, now_ms()));
    // Clocks that differ, and pauses that are noticed late.
    let age = now_ms().saturating_sub(since + paused) + 2 * MINUTE;
    let is_early = !is_final && age < MAX_AGE_MS;
    is_early.then(|| {
        format!(
            "{route}: {why} after {:.2} h, {:.2} h of them paused",
            age as f64 / HOUR as f64,
            paused as f64 / HOUR as f64
        )
    })
}

fn expired(world: &mut World, pk: &str, before: Option<&Item>) {
    let Some(before) = before else { return };
    if is_in_state(before, "pending") || is_in_state(before, "dead") {
        world.violate("nothing with work left is deleted", pk, state(before));
    }
    world.expired.insert(pk.to_owned(), before.clone());
}

fn claim(world: &mut World, pk: &str, write: &Write) {
    let owner = |item: &Option<Arc<Item>>| item.as_ref().and_then(|item| text(item, "owner")).map(str::to_owned);
    match (owner(&write.before), owner(&write.after)) {
        (Some(before), Some(after)) if before != after => {
            world.violate("a claim keeps its owner", pk, format!("{before}, then {after}"));
        }
        (Some(_), None) => world.violate("a claim is kept for ever", pk, "gone"),
        _ => {}
    }
}

/// What an operator was told to be done.
pub(crate) fn done_by_hand(world: &mut World, act: &Act, began: u64) {
    let since = |destination: &usize, was: fn(&(u64, Option<u64>), u64) -> bool| {
        world.pauses.get(destination).into_iter().flatten().any(|pause| was(pause, began))
    };
    let is_done = match act {
        Act::Pause(destination) => {
            since(destination, |(from, to), began| *from >= began || to.is_none_or(|to| to >= began))
        }
        Act::Resume(destination) => {
            let is_paused = world.paused_for_ms(*destination).is_some();
            !is_paused || since(destination, |(from, to), began| *from >= began || to.is_some_and(|to| to >= began))
        }
        Act::Dismiss(pk) => world.tables.item(tables::EVENTS, pk).is_none_or(|item| !is_in_state(item, "dead")),
        _ => true,
    };
    if !is_done {
        world.violate("what an operator does has an effect", &format!("{act:?}"), "nothing has changed");
    }
}

/// A message has arrived at a destination.
pub(crate) fn on_post(world: &mut World, mut post: Post) {
    let pk = post.pk.clone();
    let incarnation = world.incarnations.get(&pk).copied().unwrap_or_default();
    post.incarnation = incarnation;
    let fences = world.fences.get(&(pk.clone(), incarnation)).cloned().unwrap_or_default();
    let held = fences.iter().rev().find(|(_, fence)| fence.process == post.process);
    let Some((number, fence)) = held else {
        return world.violate("only a holder sends", &pk, post.route.clone());
    };
    post.attempts = *number;
    if post.at > fence.at + MAX_ATTEMPT_MS {
        world.violate("no message later than 30 s", &pk, format!("{} ms after it was taken", post.at - fence.at));
    }
    let newer = fences.range(number + 1..).next();
    if let Some((newer, by)) = newer
        && world.processes[by.process as usize].kind == Kind::Redrive
    {
        world.violate(
            "one deliverer at a time",
            &pk,
            format!("attempt {number} sends after attempt {newer} was taken"),
        );
    }
    let same = |other: &&Post| other.pk == pk && other.route == post.route && other.incarnation == incarnation;
    let earlier: Vec<Post> = world.posts.iter().filter(same).cloned().collect();
    if earlier.iter().filter(|other| other.attempts == *number).count() >= MAX_POSTS {
        world.violate("at most 12 messages per route and fence", &pk, post.route.clone());
    }
    if !routes_in(&fence.item, "pending").any(|route| route == post.route) {
        world.violate("only what is pending is sent", &pk, post.route.clone());
    }
    if destination_of(&post.route) != Some(post.destination) {
        world.violate("a message goes where its route says", &pk, post.route.clone());
    }
    if is_known_as_paused(world, post.destination) {
        world.violate("nothing is sent to a paused destination", &pk, post.route.clone());
    }
    if post.route == "first-deposit" {
        let claim = world.tables.item(tables::EVENTS, &format!("once#first-deposit#{}", post.customer));
        if claim.and_then(|claim| text(claim, "owner")) != Some(pk.as_str()) {
            world.violate("who sends has the customer's claim", &pk, post.customer.clone());
        }
    }
    let facts = world.facts.iter().filter(|fact| fact.pks().contains(&pk));
    let told = facts
        .clone()
        .any(|fact| fact.occurred_at == post.occurred_at && fact.event_type == Some(post.source_event_type.as_str()));
    if !told {
        let what = format!("{} {}", post.occurred_at, post.source_event_type);
        world.violate("a message tells what happened", &pk, what);
    }
    let changed = |other: &Post| {
        other.occurred_at != post.occurred_at
            || other.source_event_type != post.source_event_type
            || other.customer != post.customer
    };
    if earlier.iter().any(changed) {
        world.violate("a message never changes", &pk, post.route.clone());
    }
    // What an attempt fetched may be lost with it, and with it alone.
    let other_note = |other: &Post| other.attempts == *number && other.note != post.note;
    let kept = fetched_note(&fence.item, &post.route);
    if earlier.iter().any(other_note) || kept.is_some_and(|kept| kept != post.note) {
        world.violate("what was looked up is sent alike again", &pk, post.route.clone());
    }
    world.posts.push(post);
}

/// After a life: nothing is left, and all that was acknowledged has ended where a person can see it.
pub(crate) fn at_end(world: &mut World) {
    for fact in world.facts.clone() {
        if fact.acknowledged.is_some() {
            acknowledged(world, &fact);
        }
    }
    once(world);
    neighbours(world);
}

fn acknowledged(world: &mut World, fact: &Fact) {
    let pks = fact.pks();
    let of_type = |item: &&Item| {
        let when = integer(item, "occurred_at");
        text(item, "event_type") == fact.event_type && (fact.event_type.is_none() || when == Some(fact.happened))
    };
    // Another fact may have its key once it has expired.
    let held = pks.iter().flat_map(|pk| world.tables.item(tables::EVENTS, pk).into_iter().chain(world.expired.get(pk)));
    let Some(item) = held.clone().find(of_type).cloned() else {
        return world.violate("what is acknowledged is kept", &pks[0], fact.event_type.unwrap_or_default());
    };
    let is = state(&item);
    match is.as_str() {
        "pending" => world.violate("everything ends", &pks[0], format!("{item:?}")),
        "ignored" if !fact.routes.is_empty() => world.violate("what a route wants is not ignored", &pks[0], is.clone()),
        _ => {}
    }
    let recorded: BTreeSet<&str> = routes(&item).map(|(route, _)| route).collect();
    if !fact.routes.is_empty() && is != "dead" && recorded != fact.routes.iter().copied().collect() {
        world.violate("each route has its message", &pks[0], format!("{recorded:?}"));
    }
}

/// If nothing but some destinations and the provider's API failed, messages that need none of these arrive with the first attempt or the next.
fn neighbours(world: &mut World) {
    let is_another = |system: &System| !matches!(system, System::Destination(_) | System::Api);
    let others_fail = world.troubled.iter().any(is_another);
    let api_fails = world.troubled.contains(&System::Api);
    if others_fail || world.deaths > 0 || !world.pauses.is_empty() || world.signing_version + world.webhooks_version > 2
    {
        return;
    }
    for fact in world.facts.clone().into_iter().filter(|fact| fact.prompt) {
        let Some((at, _)) = fact.acknowledged else { continue };
        let pks = fact.pks();
        for route in fact.routes {
            let well = destination_of(route).is_some_and(|to| !world.troubled.contains(&System::Destination(to)));
            let posts = world.posts.iter().filter(|post| post.route == *route && pks.contains(&post.pk));
            let first = posts.filter(|post| post.accepted).map(|post| post.at).min();
            let well = well && !(api_fails && asks_the_api(route));
            if well && let Some(first) = first.filter(|first| *first > at + MAX_NEIGHBOUR_WAIT_MS) {
                let what = format!("{route} arrived {} s after the acknowledgement", (first - at) / SECOND);
                world.violate("nobody waits for a neighbour's fault", &pks[0], what);
            }
        }
    }
}

/// Of each customer only one event is rewarded by a route with `once_per`.
fn once(world: &mut World) {
    let mut rewarded: BTreeMap<(&str, &str), BTreeSet<(&str, u32)>> = BTreeMap::new();
    let is_deleted = |post: &Post| world.deleted.contains(&post.pk);
    let posts = world.posts.iter().filter(|post| post.accepted && post.route == "first-deposit" && !is_deleted(post));
    for post in posts {
        rewarded.entry((&post.route, &post.customer)).or_default().insert((&post.pk, post.incarnation));
    }
    let twice: Vec<String> = rewarded
        .iter()
        .filter(|(_, events)| events.len() > 1)
        .map(|((_, customer), events)| format!("{customer}: {events:?}"))
        .collect();
    for what in twice {
        world.violate("`once_per` holds", "first-deposit", what);
    }
}

impl Fact {
    /// Where the table may have it.
    pub fn pks(&self) -> [String; 2] {
        let digest = hex(&Sha256::digest(self.body.as_bytes()));
        let digest = format!("{}#sha256:{digest}", self.provider);
        match self.event_id.is_empty() {
            true => [digest.clone(), digest],
            false => [format!("{}#{}", self.provider, self.event_id), digest],
        }
    }
}
