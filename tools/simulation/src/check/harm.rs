//! Every harm has its metric, and nothing else has: what an invocation has measured against what the world knows of its request,
//! of the faults it met and of what it was told.

use std::collections::BTreeMap;

use serde_json::Value;
use shared::observe::metrics::{
    ACCEPTED_BY_PREVIOUS_KEY, COOLING_OFF, EVENT_GONE, Measurements, Metric, PAUSES_UNREADABLE, REFUSED,
    SECRET_ENTRY_LEFT_OUT, SIGNED_AND_REFUSED, TOO_LARGE, UNAVAILABLE, UNKNOWN_EVENT_TYPE,
};
use shared::receive::receipt::Answer;

use super::PAUSES_COUNT_MS;
use super::item::routes_in;
use crate::faults::System;
use crate::process::ProcessId;
use crate::routes::{DESTINATIONS, destination_of, destination_of_pauses};
use crate::secrets::Entry;
use crate::strangers::Bad;
use crate::tables;
use crate::time::{SECOND, now_ms};
use crate::world::{PausesRead, World};

/// What was sent to a receiving function.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sent {
    /// What a provider says, signed with this version of its key.
    Fact {
        fact: usize,
        key: u32,
    },
    Bad(Bad),
}

/// From the start of an invocation until its attempt looks at the pauses: a cold start, an answer, and reading them.
const UNTIL_ATTEMPT_MS: u64 = 7 * SECOND;

/// A call has told the pauses of these destinations.
pub(crate) fn on_pauses_read(world: &mut World, id: ProcessId, request: &Value, answer: &str) {
    let process = &world.processes[id as usize];
    let Some(environment) = process.environment else { return };
    let is_sure = !process.faulted.contains(&System::Table);
    let answer: Value = serde_json::from_str(answer).unwrap_or_default();
    let keys = |of: &Value| of[tables::EVENTS]["Keys"].as_array().cloned().unwrap_or_default();
    let unprocessed = keys(&answer["UnprocessedKeys"]);
    for key in keys(&request["RequestItems"]).iter().filter(|key| !unprocessed.contains(key)) {
        if let Some(destination) = key["pk"]["S"].as_str().and_then(destination_of_pauses) {
            let read = &mut world.environments[environment].pauses[destination];
            read.perhaps_at = Some(now_ms());
            read.surely_at = if is_sure { read.perhaps_at } else { read.surely_at };
        }
    }
}

/// A call has read the current version of a secret.
pub(crate) fn on_secret_read(world: &mut World, id: ProcessId, is_signing: bool, leaves_out: bool) {
    let Some(environment) = world.processes[id as usize].environment else { return };
    let environment = &mut world.environments[environment];
    environment.left_out += u64::from(leaves_out);
    if is_signing {
        environment.signing_version = world.signing_version;
    }
}

/// A receiving function has answered, and measured.
pub(crate) fn on_received(world: &mut World, id: ProcessId, sent: Sent, answer: Answer, measured: &Measurements) {
    answered(world, id, sent, answer, measured);
    let is_acknowledged = answer.is_acknowledgement();
    let is_new = matches!(answer, Answer::Accepted | Answer::Ignored);
    let process = &world.processes[id as usize];
    let environment = process.environment.unwrap_or_default();
    let (by_previous_key, is_unknown) = match sent {
        Sent::Fact { fact, key } => (
            is_acknowledged && key < world.environments[environment].signing_version,
            is_new && world.facts[fact].routes.is_empty(),
        ),
        Sent::Bad(_) => (false, false),
    };
    count(world, id, measured, UNKNOWN_EVENT_TYPE, [u64::from(is_unknown); 2]);
    let at_least = |most: u64, is_uncertain: bool| if is_uncertain { 0 } else { most };
    let most = u64::from(by_previous_key);
    let secrets_fail = world.troubled.contains(&System::Secrets);
    count(world, id, measured, ACCEPTED_BY_PREVIOUS_KEY, [at_least(most, secrets_fail), most]);
    // A read that was cut off with its attempt was not told, and whatever is slow may have taken the attempt's time.
    let may_be_cut_off = !world.troubled.is_empty();
    let most = std::mem::take(&mut world.environments[environment].left_out);
    count(world, id, measured, SECRET_ENTRY_LEFT_OUT, [at_least(most, may_be_cut_off), most]);
    let waits: Vec<usize> = match (&world.processes[id as usize].recorded, answer) {
        (Some(pk), Answer::Accepted) => {
            let incarnation = world.incarnations.get(pk).copied().unwrap_or_default();
            let fences = world.fences.get(&(pk.clone(), incarnation));
            let fence = fences.and_then(|fences| fences.values().find(|fence| fence.process == id));
            fence.into_iter().flat_map(|fence| routes_in(&fence.item, "pending").filter_map(destination_of)).collect()
        }
        _ => Vec::new(),
    };
    pauses_unreadable(world, id, &waits, measured);
    gone(world, id, measured);
}

/// A run of redrive has measured.
pub(crate) fn on_redriven(world: &mut World, id: ProcessId, measured: &Measurements) {
    let all: Vec<usize> = (0..DESTINATIONS.len()).collect();
    pauses_unreadable(world, id, &all, measured);
    gone(world, id, measured);
}

/// The answer, and how it is counted.
fn answered(world: &mut World, id: ProcessId, sent: Sent, answer: Answer, measured: &Measurements) {
    let process = &world.processes[id as usize];
    let secrets_fail = world.troubled.contains(&System::Secrets);
    let table_failed = process.faulted.contains(&System::Table);
    let may_be_left_out = world.unusable.is_some_and(Entry::may_be_a_key);
    let took_ms = now_ms() - process.started_at;
    let refused = measured.by_label(REFUSED);
    let unavailable = measured.by_label(UNAVAILABLE);
    // A key is known a moment late at most.
    let is_rotated = world.signing_version > 1;
    let (is_due, code) = match (sent, answer) {
        (Sent::Bad(bad), Answer::Unavailable) => (!bad.needs_no_key() && (secrets_fail || may_be_left_out), ""),
        (Sent::Bad(Bad::NoObject) | Sent::Fact { .. }, Answer::Unauthorized) => (is_rotated, "signature_mismatch"),
        (Sent::Bad(bad), _) => {
            let (refused, code) = bad.refused_as();
            (answer == refused && !(bad == Bad::Forged && may_be_left_out), code)
        }
        (Sent::Fact { .. }, _) => (answer.is_acknowledgement() || answer == Answer::Unavailable, ""),
    };
    if !is_due {
        world.violate("each request has its answer", &format!("p{id}"), format!("{sent:?}: {answer:?}"));
    }
    let expected_refused = if code.is_empty() { BTreeMap::new() } else { BTreeMap::from([(code, 1.0)]) };
    if refused != expected_refused {
        let what = format!("{sent:?}, {answer:?}: told {refused:?}, not {expected_refused:?}");
        return world.violate("every harm has its metric", &format!("p{id}"), what);
    }
    let explains = |code: &str| match code {
        "table_unavailable" => table_failed,
        "secret_unreachable" => secrets_fail,
        "keys_incomplete" => secrets_fail || may_be_left_out,
        "answer_due" => took_ms >= 3_600 && (table_failed || secrets_fail),
        _ => false,
    };
    let is_explained = match answer {
        Answer::Unavailable => {
            unavailable.len() == 1 && unavailable.iter().all(|(code, count)| *count == 1.0 && explains(code))
        }
        _ => unavailable.is_empty(),
    };
    if !is_explained {
        let what = format!("{sent:?}, {answer:?}: told {unavailable:?} after {took_ms} ms");
        return world.violate("every harm has its metric", &format!("p{id}"), what);
    }
    let is = |bad: Bad, as_answered: Answer| matches!(sent, Sent::Bad(it) if it == bad) && answer == as_answered;
    count(world, id, measured, TOO_LARGE, [u64::from(is(Bad::Large, Answer::TooLarge)); 2]);
    count(world, id, measured, SIGNED_AND_REFUSED, [u64::from(is(Bad::NoObject, Answer::BadRequest)); 2]);
    let writes = world.processes[id as usize].writes;
    if matches!(sent, Sent::Bad(_)) && writes > 0 {
        world.violate("what is refused is not written", &format!("p{id}"), format!("{sent:?}: {writes} writes"));
    }
}

/// What waits for these destinations, once for each, is counted if it is unknown whether they are paused.
fn pauses_unreadable(world: &mut World, id: ProcessId, waits: &[usize], measured: &Measurements) {
    let process = &world.processes[id as usize];
    let Some(environment) = process.environment else { return };
    let began = process.started_at;
    let pauses = world.environments[environment].pauses;
    let waiting = |is_so: &dyn Fn(PausesRead) -> bool| waits.iter().filter(|to| is_so(pauses[**to])).count() as u64;
    let is_unreadable = |read: PausesRead| read.perhaps_at.is_none_or(|at| at + PAUSES_COUNT_MS + SECOND < began);
    let is_read = |read: PausesRead| read.surely_at.is_some_and(|at| at + PAUSES_COUNT_MS > began + UNTIL_ATTEMPT_MS);
    // Where all that could be tried cools off, that is told instead.
    let at_least = if measured.sum(COOLING_OFF) > 0.0 { 0 } else { waiting(&is_unreadable) };
    let at_most = waiting(&|read| !is_read(read));
    count(world, id, measured, PAUSES_UNREADABLE, [at_least, at_most]);
}

/// Attempts whose event was deleted meanwhile.
fn gone(world: &mut World, id: ProcessId, measured: &Measurements) {
    let process = &world.processes[id as usize];
    let most = process.gone.len() as u64;
    let at_least = if process.faulted.contains(&System::Table) { 0 } else { most };
    count(world, id, measured, EVENT_GONE, [at_least, most]);
}

fn count(world: &mut World, id: ProcessId, measured: &Measurements, metric: Metric, [least, most]: [u64; 2]) {
    let told = measured.sum(metric);
    if !(least as f64..=most as f64).contains(&told) {
        let what = format!("{}: told {told}, not {least} to {most}", metric.name);
        world.violate("every harm has its metric", &format!("p{id}"), what);
    }
}
