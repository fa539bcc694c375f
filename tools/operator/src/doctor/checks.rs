//! What is to be said of a stack: pure, from [`Facts`] to [`Line`]s.

use std::fmt;

use serde::Serialize;
use shared::record::destination::Destination;

use super::facts::{Asked, Facts, Handshake, Index, OtherClock, Place, Queue, Schedule, Stack, Table, Webhook};
use super::secrets;
use crate::times::span;

/// One check and what came of it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Line {
    pub verdict: Verdict,
    pub check: String,
    pub says: String,
    /// What to do; none where all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Ok,
    /// It works, and somebody should look.
    Warn,
    Fail,
}

/// A clock further off than this is not the network's doing.
const CLOCK_TOLERANCE_S: u64 = 60;

/// Everything there is to say, from the outside in.
pub(super) fn lines(facts: &Facts) -> Vec<Line> {
    let place = &facts.place;
    let mut lines = Vec::new();
    if let Some(stack) = &place.stack {
        lines.extend(of_stack(stack, place));
    }
    lines.extend(facts.webhooks.iter().map(|webhook| of_webhook(webhook, place)));
    lines.extend(of_clocks(&facts.clocks));
    lines.extend(of_events_table(&facts.events, place));
    if let (Some(table), Some(name)) = (&facts.customers, &place.customers_table) {
        lines.push(of_table("customers table", name, "ref HASH", table, place));
    }
    for secret in &facts.signing {
        lines.extend(secrets::signing(place, &facts.wanted, secret));
    }
    lines.extend(secrets::returning_ai(place, &facts.wanted, &facts.returning_ai));
    for secret in &facts.apis {
        lines.extend(secrets::provider_api(place, secret));
    }
    lines.extend(facts.handshakes.iter().map(|(workflow, handshake)| of_handshake(workflow, handshake, place)));
    lines.extend(facts.paused.iter().map(|destination| of_pause(destination, place)));
    if let (Some(schedule), Some(name)) = (&facts.schedule, place.stack.as_ref().and_then(|it| it.schedule.as_ref())) {
        lines.push(of_schedule(name, schedule, place));
    }
    lines.extend(of_queue(&facts.queue, facts));
    lines
}

impl Line {
    pub(super) fn ok(check: impl Into<String>, says: impl Into<String>) -> Self {
        Self { verdict: Verdict::Ok, check: check.into(), says: says.into(), hint: None }
    }

    pub(super) fn warn(check: impl Into<String>, says: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { verdict: Verdict::Warn, check: check.into(), says: says.into(), hint: Some(hint.into()) }
    }

    pub(super) fn fail(check: impl Into<String>, says: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { verdict: Verdict::Fail, check: check.into(), says: says.into(), hint: Some(hint.into()) }
    }
}

impl Verdict {
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// `fail  due-index  it is not there`, and what to do under it.
impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<4}  {}: {}", self.verdict.name(), self.check, self.says)?;
        match &self.hint {
            Some(hint) => write!(f, "\n      → {hint}"),
            None => Ok(()),
        }
    }
}

fn of_stack(stack: &Stack, place: &Place) -> Vec<Line> {
    let flags = &place.flags;
    let status = &stack.status;
    let events = format!("aws cloudformation describe-stack-events --stack-name {}{flags}", stack.name);
    let mut lines = vec![match status.as_str() {
        "CREATE_COMPLETE" | "UPDATE_COMPLETE" | "IMPORT_COMPLETE" => {
            Line::ok("stack", format!("{} is {status}", stack.name))
        }
        _ if status.ends_with("_IN_PROGRESS") => {
            Line::warn("stack", format!("{} is {status}", stack.name), "wait until it is done, then run this again")
        }
        "UPDATE_ROLLBACK_COMPLETE" => Line::warn(
            "stack",
            format!("the last deployment of {} failed and was taken back: {status}", stack.name),
            format!("{events} says why"),
        ),
        _ => Line::fail("stack", format!("{} is {status}", stack.name), format!("{events} says why")),
    }];
    for output in &stack.missing {
        let says = format!("{} has no output {output}", stack.name);
        lines.push(Line::fail("stack", says, "deploy this version's template.yaml; is --stack the bridge's stack?"));
    }
    lines
}

fn of_webhook(webhook: &Webhook, place: &Place) -> Line {
    let Webhook { provider, url, status } = webhook;
    let check = format!("webhook {provider}");
    if place.is_deployed() && !url.starts_with("https://") {
        return Line::fail(
            check,
            format!("{url} is not https"),
            "providers call https alone: is the output of this template?",
        );
    }
    match status {
        Ok(401) => Line::ok(check, format!("{url} refuses what is not signed, as it should")),
        Ok(503) => Line::fail(
            check,
            format!("{url} answers 503: it cannot read its keys or its table"),
            format!("the lines about them say more; so does the log of the function {provider}"),
        ),
        Ok(429) => {
            Line::warn(check, format!("{url} answers 429: throttled"), "is the stage's throttling too low? Try again")
        }
        Ok(status @ (403 | 404)) => Line::fail(
            check,
            format!("{url} answers {status}: nothing is there"),
            "compare it with the stack's output, and the custom domain with its mapping",
        ),
        Ok(status @ 200..=299) => Line::fail(
            check,
            format!("{url} answers {status} to what is not signed: that is not the bridge"),
            "somebody else answers there; compare it with the stack's output",
        ),
        Ok(status) => Line::fail(
            check,
            format!("{url} answers {status}; 401 was expected"),
            format!("the log of the function {provider} says more"),
        ),
        Err(reason) => {
            Line::fail(check, format!("{url} does not answer: {reason}"), "is it up, and within reach from here?")
        }
    }
}

fn of_clocks(clocks: &[OtherClock]) -> Vec<Line> {
    let (off, near): (Vec<&OtherClock>, Vec<&OtherClock>) =
        clocks.iter().partition(|clock| clock.ahead_s.unsigned_abs() > CLOCK_TOLERANCE_S);
    let words = |clock: &OtherClock| {
        let way = if clock.ahead_s > 0 { "ahead of" } else { "behind" };
        format!("{} s {way} that of {}", clock.ahead_s.unsigned_abs(), clock.of)
    };
    let Some(first) = off.first() else {
        let furthest = near.iter().map(|clock| clock.ahead_s.unsigned_abs()).max();
        return furthest
            .map(|s| Line::ok("clock", format!("within {s} s of the {} that told the time", clocks.len())))
            .into_iter()
            .collect();
    };
    if near.is_empty() {
        return vec![Line::fail(
            "clock",
            format!("this machine's clock is {}; {CLOCK_TOLERANCE_S} s are allowed", words(first)),
            "set it (timedatectl set-ntp true); until then do not trust what is said here of times",
        )];
    }
    off.into_iter()
        .map(|clock| {
            let says = format!("this machine's clock is {}, and agrees with others", words(clock));
            Line::warn("clock", says, "theirs is wrong: tell them; their session tokens may end early or late")
        })
        .collect()
}

fn of_events_table(table: &Asked<Table>, place: &Place) -> Vec<Line> {
    let name = &place.events_table;
    let mut lines = vec![of_table("events table", name, "pk HASH", table, place)];
    let Ok(table) = table else {
        return lines;
    };
    let again = match place.is_deployed() {
        true => "deploy template.yaml again; without it redrive finds nothing, and what failed once stays where it is",
        false => "remove the data folder and start `bridge dev` anew",
    };
    lines.push(match table.indexes.get("due-index") {
        None => Line::fail("due-index", format!("{name} has no index due-index"), again),
        Some(Index { keys, .. }) if keys[..] != ["due HASH", "next_attempt_at RANGE"] => Line::fail(
            "due-index",
            format!("its keys are {}; due HASH, next_attempt_at RANGE expected", keys.join(", ")),
            again,
        ),
        Some(Index { status, .. }) if status != "ACTIVE" => Line::warn(
            "due-index",
            format!("it is {status}"),
            "wait until it is ACTIVE: redrive may miss events until then",
        ),
        Some(_) => Line::ok("due-index", "active, by due and next_attempt_at"),
    });
    let may_not = |what: &str, reason: &str, action: &str| {
        Line::warn(what, format!("cannot be told: {reason}"), format!("it takes dynamodb:{action} on the table"))
    };
    let flags = &place.flags;
    match &table.ttl {
        None => {}
        Some(Ok(Some(attribute))) if attribute == "expires_at" => {
            lines.push(Line::ok("time to live", "items go after their expires_at"));
        }
        Some(Ok(found)) => {
            let says = match found {
                None => {
                    "it is off: the table grows for ever, and keeps what should be forgotten after 90 days".to_owned()
                }
                Some(other) => format!("it goes by {other}; expires_at expected"),
            };
            let hint = format!(
                "aws dynamodb update-time-to-live --table-name {name} --time-to-live-specification Enabled=true,AttributeName=expires_at{flags}"
            );
            let hint = if place.is_deployed() { hint } else { again.to_owned() };
            lines.push(Line::warn("time to live", says, hint));
        }
        Some(Err(reason)) => lines.push(may_not("time to live", reason, "DescribeTimeToLive")),
    }
    match &table.recovery {
        None => {}
        Some(Ok(true)) => lines.push(Line::ok("point-in-time recovery", "on")),
        Some(Ok(false)) => {
            let hint = format!(
                "aws dynamodb update-continuous-backups --table-name {name} --point-in-time-recovery-specification PointInTimeRecoveryEnabled=true{flags}"
            );
            lines.push(Line::warn("point-in-time recovery", "it is off: what is deleted by mistake is gone", hint));
        }
        Some(Err(reason)) => lines.push(may_not("point-in-time recovery", reason, "DescribeContinuousBackups")),
    }
    lines
}

/// That a table is there and active, with the key the code uses.
fn of_table(check: &str, name: &str, key: &str, table: &Asked<Table>, place: &Place) -> Line {
    match table {
        Err(reason) => {
            let hint = match (reason.as_str(), place.is_deployed()) {
                ("ResourceNotFoundException", true) => {
                    "deploy template.yaml again; a table that was deleted can be restored from its backups"
                }
                ("ResourceNotFoundException", false) => "start `bridge dev` anew: it makes its tables",
                ("AccessDeniedException", _) => "it takes dynamodb:DescribeTable on the table",
                (_, true) => "try again; is AWS within reach, and the region right?",
                (_, false) => "is `bridge dev` still up? The table is in its hands",
            };
            Line::fail(check, format!("{name} cannot be looked at: {reason}"), hint)
        }
        Ok(table) if table.keys[..] != [key] => Line::fail(
            check,
            format!("the keys of {name} are {}; {key} expected", table.keys.join(", ")),
            "a table's keys cannot be changed: make a new one by the template, and name that",
        ),
        Ok(table) if table.status != "ACTIVE" && table.status != "UPDATING" => {
            Line::fail(check, format!("{name} is {}", table.status), "wait until it is ACTIVE, then run this again")
        }
        Ok(table) => Line::ok(check, format!("{name} is {}", table.status)),
    }
}

fn of_handshake(workflow: &str, handshake: &Handshake, place: &Place) -> Line {
    let check = format!("handshake {workflow}");
    let answered = |status: &u16, what: &str| format!("answered {status}: {what}");
    match handshake {
        Handshake::Opened => Line::ok(check, "a session was opened; no message was sent"),
        Handshake::Legacy => Line::ok(check, "legacy mode has none"),
        Handshake::Answered(status @ 200..=299) => Line::fail(
            check,
            answered(status, "but not with a session token"),
            "is handshake_url the workflow's handshake, and not its webhook or a page of the console?",
        ),
        Handshake::Answered(status @ 300..=399) => Line::fail(
            check,
            answered(status, "it is somewhere else; a redirect is not followed, since it would carry the key along"),
            "put the URL it leads to into handshake_url",
        ),
        Handshake::Answered(status @ (401 | 403)) => Line::fail(
            check,
            answered(status, "the API key is refused"),
            "compare api_key and api_key_header with Returning.AI's; where token exchange is disabled, \"mode\": \"legacy\"",
        ),
        Handshake::Answered(status @ (404 | 410)) => Line::fail(
            check,
            answered(status, "there is no such workflow"),
            "compare handshake_url with Returning.AI's; is the workflow published?",
        ),
        Handshake::Answered(429) => {
            Line::warn(check, answered(&429, "throttled"), "events are tried again later; so may you")
        }
        Handshake::Answered(status @ 500..) => Line::fail(
            check,
            answered(status, "Returning.AI itself fails"),
            format!(
                "its events wait and are tried again; `bridge workflows pause {workflow}{}` spares their attempts",
                table_flag(place)
            ),
        ),
        Handshake::Answered(status) => Line::fail(
            check,
            answered(status, "the handshake is not taken"),
            "compare handshake_url and api_key_header with Returning.AI's",
        ),
        Handshake::NoAnswer(reason) => Line::fail(
            check,
            format!("no answer: {reason}"),
            "is the host of handshake_url right, and within reach from here? The functions may reach it where you do not",
        ),
    }
}

fn of_pause(destination: &Destination, place: &Place) -> Line {
    let hint = format!("`bridge workflows resume {destination}{}` when it may go on", table_flag(place));
    Line::warn(format!("workflow {destination}"), "is paused: its events wait", hint)
}

fn of_schedule(name: &str, schedule: &Asked<Schedule>, place: &Place) -> Line {
    let flags = &place.flags;
    let function = &place.redrive_function;
    let again = "deploy template.yaml again: without it nothing is tried a second time";
    match schedule {
        Err(reason) if reason == "ResourceNotFoundException" => {
            Line::fail("schedule", format!("there is no schedule {name}"), again)
        }
        Err(reason) => {
            Line::warn("schedule", format!("{name} cannot be looked at: {reason}"), "it takes scheduler:GetSchedule")
        }
        Ok(Schedule { enabled: false, .. }) => Line::fail(
            "schedule",
            format!("{name} is disabled: nothing is tried a second time"),
            format!(
                "enable it in the EventBridge console; until then: aws lambda invoke --function-name {function} --cli-binary-format raw-in-base64-out --payload '{{}}' /dev/stdout{flags}"
            ),
        ),
        Ok(Schedule { target, .. }) if target.rsplit(':').next() != Some(function) => {
            Line::fail("schedule", format!("{name} does not call the function {function}"), again)
        }
        Ok(Schedule { expression, .. }) => Line::ok("schedule", format!("{name} is enabled: {expression}")),
    }
}

fn of_queue(queue: &Asked<Queue>, facts: &Facts) -> Vec<Line> {
    let place = &facts.place;
    let queue = match queue {
        Ok(queue) => queue,
        Err(reason) => {
            let hint = "it takes dynamodb:Query on the table and its index, GetItem and BatchGetItem; see the lines about the table";
            return vec![Line::fail("redrive", format!("what waits cannot be read: {reason}"), hint)];
        }
    };
    let age = |ms: u64| span(std::time::Duration::from_millis(ms));
    let seen = queue.redrive_seen.map(|at| facts.now.since(at));
    let seen_lately = seen.is_some_and(|ago| ago.as_secs() <= place.patience_s());
    let or_more = |more: bool| if more { " or more" } else { "" };
    let overdue = format!(
        "{}{} {} overdue, by up to {}",
        queue.overdue,
        or_more(queue.more_overdue),
        if queue.overdue == 1 { "event" } else { "events" },
        age(queue.overdue_s * 1000)
    );
    let last = seen.map_or_else(String::new, |ago| format!("; it last took an event up {} ago", span(ago)));
    let flags = table_flag(place);
    let mut lines = vec![match (queue.overdue, seen_lately) {
        (0, _) => {
            let patience = age(place.patience_s() * 1000);
            Line::ok("redrive", format!("no event has waited for it longer than {patience}{last}"))
        }
        (_, true) => Line::warn(
            "redrive",
            format!("{overdue}, though it runs{last}"),
            format!("it works off a backlog, or leaves a workflow alone that fails: `bridge events list{flags}`"),
        ),
        (_, false) => Line::fail(
            "redrive",
            format!("{overdue}: it does not run{last}"),
            match place.is_deployed() {
                true => format!(
                    "look at the schedule, and at the log and the throttles of the function {}",
                    place.redrive_function
                ),
                false => "`bridge dev` runs it every few seconds: is it stopped or without a processor?".to_owned(),
            },
        ),
    }];
    lines.push(match queue.dead {
        0 => Line::ok("dead events", "none"),
        dead => Line::warn(
            "dead events",
            format!("{dead}{} {} a person", or_more(queue.more_dead), if dead == 1 { "needs" } else { "need" }),
            format!(
                "`bridge events list --state dead{flags}`, then `bridge events redrive --state dead --dry-run{flags}`"
            ),
        ),
    });
    lines
}

/// What a verb that works on the table needs to be told.
fn table_flag(place: &Place) -> String {
    match place.is_deployed() {
        true => format!(" --table {}{}", place.events_table, place.flags),
        false => String::new(),
    }
}

#[cfg(test)]
mod tests;
