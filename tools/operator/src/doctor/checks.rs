//! What the facts of a bridge mean: pure, from [`Facts`] to [`Line`]s.

use std::time::Duration;

use route::destination::Destination;
use shared::record::pauses::PauseStatus;
use shared::record::store::index::PROJECTED;

use super::facts::{ClockOffset, Facts, Handshake, Index, Queue, Schedule, Scope, StackStatus, Table, Webhook};
use super::line::{Line, requires};
use super::secrets;
use crate::cloudformation::output_of;
use crate::times::span;

/// The network explains a smaller offset.
const CLOCK_TOLERANCE_S: u64 = 60;

/// All lines, from the outside in.
pub(super) fn check(facts: &Facts) -> Vec<Line> {
    let Facts { scope, needs, .. } = facts;
    let mut lines = Vec::new();
    if let Some(stack) = &scope.stack {
        lines.push(check_stack(stack, scope));
        lines.extend(check_outputs(stack, scope));
    }
    lines.extend(facts.webhooks.iter().map(|webhook| check_webhook(webhook, scope)));
    lines.extend(check_clocks(&facts.clocks));
    if let (Some(table), Some(name)) = (&facts.events, &scope.parts.events_table) {
        lines.extend(check_events_table(table, name, scope));
    }
    if let (Some(table), Some(name)) = (&facts.customers, &scope.parts.customers_table) {
        lines.push(check_table("customers table", name, "ref HASH", table, scope));
    }
    for (provider, secret) in &facts.signing {
        lines.extend(secrets::check_signing(scope, needs, provider, secret));
    }
    lines.extend(facts.returning_ai.iter().flat_map(|secret| secrets::check_returning_ai(scope, needs, secret)));
    lines.extend(facts.apis.iter().flat_map(|(provider, secret)| secrets::check_api(scope, provider, secret)));
    lines.extend(facts.handshakes.iter().map(|(workflow, handshake)| check_handshake(workflow, handshake, scope)));
    lines.extend(facts.held.iter().map(|(destination, status)| check_pauses(destination, *status, scope)));
    lines.extend(facts.schedules.iter().map(|(name, schedule)| check_schedule(name, schedule, scope)));
    match &facts.queue {
        Some(Ok(queue)) => lines.extend(check_queue(queue, facts)),
        Some(Err(reason)) => lines.push(Line::fail(
            "redrive",
            format!("the waiting events cannot be read: {reason}"),
            requires(
                &["dynamodb:Query", "dynamodb:GetItem", "dynamodb:BatchGetItem"],
                &format!("{} and its index", events_table(scope)),
            ),
        )),
        None => {}
    }
    lines
}

fn check_stack(stack: &StackStatus, scope: &Scope) -> Line {
    let StackStatus { name, status } = stack;
    let reason =
        format!("`aws cloudformation describe-stack-events --stack-name {name}{}` shows the reason", scope.flags);
    match status.as_str() {
        "CREATE_COMPLETE" | "UPDATE_COMPLETE" | "IMPORT_COMPLETE" => Line::ok("stack", format!("{name} is {status}")),
        _ if status.ends_with("_IN_PROGRESS") => {
            Line::warn("stack", format!("{name} is {status}"), "Wait until it is complete, then run this again")
        }
        "UPDATE_ROLLBACK_COMPLETE" => {
            Line::warn("stack", format!("the last deployment of {name} failed and was rolled back: {status}"), reason)
        }
        _ => Line::fail("stack", format!("{name} is {status}"), reason),
    }
}

/// The outputs that a stack of this version has.
fn check_outputs(stack: &StackStatus, scope: &Scope) -> Vec<Line> {
    let parts = &scope.parts;
    let of_providers = providers::ALL.iter().flat_map(|provider| {
        let [url, secret] = ["WebhookUrl", "SigningSecretId"].map(|output| output_of(provider, output));
        [(url, parts.webhooks.contains_key(provider.name)), (secret, parts.signing_secrets.contains_key(provider.name))]
    });
    let others = [
        ("ReturningAiSecretId", parts.returning_ai_secret.is_some()),
        ("EventsTableName", parts.events_table.is_some()),
        ("RedriveFunctionName", parts.redrive_function.is_some()),
        ("RedriveScheduleNames", !parts.redrive_schedules.is_empty()),
    ];
    let all = of_providers.chain(others.map(|(output, is_there)| (output.to_owned(), is_there)));
    let hint = "Deploy this version's `template.yaml`, and check that `--stack` names the stack of the bridge";
    let missing = all.filter(|(_, is_there)| !is_there);
    missing.map(|(output, _)| Line::fail("stack", format!("{} has no output `{output}`", stack.name), hint)).collect()
}

fn check_webhook(webhook: &Webhook, scope: &Scope) -> Line {
    let Webhook { provider, url, status } = webhook;
    let check = format!("webhook {provider}");
    if scope.is_deployed() && !url.starts_with("https://") {
        return Line::fail(
            check,
            format!("{url} is not https"),
            "Providers call https URLs only: check that the stack's output is of this template",
        );
    }
    let log = format!("See the log of function `{provider}`");
    match status {
        Ok(401) => Line::ok(check, format!("{url} refuses a delivery without a signature")),
        Ok(503) => Line::fail(
            check,
            format!("{url} answers 503: it cannot read its keys or its table"),
            format!("See the lines about them, and the log of function `{provider}`"),
        ),
        Ok(429) => Line::warn(
            check,
            format!("{url} answers 429: too many requests"),
            "Try again. If it stays, raise the throttling limit of the stage",
        ),
        Ok(status @ (403 | 404)) => Line::fail(
            check,
            format!("{url} answers {status}: the bridge is not at this address"),
            "Compare it with the stack's output, and a custom domain with its mapping",
        ),
        Ok(status @ 200..=299) => Line::fail(
            check,
            format!("{url} answers {status} to a delivery without a signature: this is not the bridge"),
            "Compare it with the stack's output: another server answers there",
        ),
        Ok(status) => Line::fail(check, format!("{url} answers {status}; 401 expected"), log),
        Err(reason) => Line::fail(
            check,
            format!("{url} does not answer: {reason}"),
            "Check that it is running and reachable from this machine",
        ),
    }
}

fn check_clocks(clocks: &[ClockOffset]) -> Vec<Line> {
    let (off, near): (Vec<&ClockOffset>, Vec<&ClockOffset>) =
        clocks.iter().partition(|clock| clock.ahead_s.unsigned_abs() > CLOCK_TOLERANCE_S);
    let offset = |clock: &ClockOffset| {
        let way = if clock.ahead_s > 0 { "ahead of" } else { "behind" };
        format!("this machine's clock is {} s {way} that of {}", clock.ahead_s.unsigned_abs(), clock.from)
    };
    match (off.first(), near.iter().map(|clock| clock.ahead_s.unsigned_abs()).max()) {
        (None, None) => Vec::new(),
        (None, Some(s)) => vec![Line::ok("clock", format!("within {s} s of the {} others", clocks.len()))],
        (Some(first), None) => vec![Line::fail(
            "clock",
            format!("{}; {CLOCK_TOLERANCE_S} s are allowed", offset(first)),
            "Set it (`timedatectl set-ntp true`); until then the times in this report are wrong",
        )],
        (Some(_), Some(_)) => off
            .into_iter()
            .map(|clock| {
                let says = format!("{}, and agrees with others", offset(clock));
                let hint = format!("The clock of {} is wrong: report it to its operator. Until then session tokens may expire early or late", clock.from);
                Line::warn("clock", says, hint)
            })
            .collect(),
    }
}

fn check_events_table(table: &Result<Table, String>, name: &str, scope: &Scope) -> Vec<Line> {
    let mut lines = vec![check_table("events table", name, "pk HASH", table, scope)];
    let Ok(table) = table else {
        return lines;
    };
    let again = match scope.is_deployed() {
        true => "Deploy `template.yaml` again: without this index no failed delivery is retried",
        false => "Remove the data folder and start `bridge dev` again",
    };
    lines.push(match table.indexes.get("due-index") {
        None => Line::fail("due-index", format!("{name} has no index `due-index`"), again),
        Some(Index { keys, .. }) if keys[..] != ["due HASH", "next_attempt_at RANGE"] => Line::fail(
            "due-index",
            format!("its keys are {}; due HASH, next_attempt_at RANGE expected", keys.join(", ")),
            again,
        ),
        Some(Index { projects, .. }) if !PROJECTED.iter().all(|name| projects.contains(*name)) => Line::fail(
            "due-index",
            format!("it does not have {}: redrive has to read every event that is held back", PROJECTED.join(", ")),
            again,
        ),
        Some(Index { status, .. }) if status != "ACTIVE" => Line::warn(
            "due-index",
            format!("it is {status}"),
            "Wait until it is ACTIVE: redrive may miss events until then",
        ),
        Some(_) => Line::ok("due-index", "active, by due and next_attempt_at"),
    });
    let unknown = |check: &str, reason: &str, action: &str| {
        let hint = requires(&[action], &events_table(scope));
        Line::warn(check, format!("it cannot be read: {reason}"), hint)
    };
    let flags = &scope.flags;
    match &table.ttl {
        None => {}
        Some(Ok(Some(attribute))) if attribute == "expires_at" => {
            lines.push(Line::ok("time to live", "items expire by expires_at"));
        }
        Some(Ok(found)) => {
            let says = match found {
                None => "off: the table grows without limit and keeps personal data longer than 90 days".to_owned(),
                Some(other) => format!("items expire by {other}; expires_at expected"),
            };
            let command = format!(
                "`aws dynamodb update-time-to-live --table-name {name} --time-to-live-specification Enabled=true,AttributeName=expires_at{flags}`"
            );
            let hint = if scope.is_deployed() { command } else { again.to_owned() };
            lines.push(Line::warn("time to live", says, hint));
        }
        Some(Err(reason)) => lines.push(unknown("time to live", reason, "dynamodb:DescribeTimeToLive")),
    }
    match &table.recovery {
        None => {}
        Some(Ok(true)) => lines.push(Line::ok("point-in-time recovery", "on")),
        Some(Ok(false)) => {
            let command = format!(
                "`aws dynamodb update-continuous-backups --table-name {name} --point-in-time-recovery-specification PointInTimeRecoveryEnabled=true{flags}`"
            );
            lines.push(Line::warn("point-in-time recovery", "off: deleted items cannot be restored", command));
        }
        Some(Err(reason)) => {
            lines.push(unknown("point-in-time recovery", reason, "dynamodb:DescribeContinuousBackups"));
        }
    }
    lines
}

/// A table exists, is active and has the key that the code uses.
fn check_table(check: &str, name: &str, key: &str, table: &Result<Table, String>, scope: &Scope) -> Line {
    match table {
        Err(reason) => {
            let hint = match (reason.as_str(), scope.is_deployed()) {
                ("ResourceNotFoundException", true) => {
                    "Deploy `template.yaml` again; a deleted table can be restored from its backups".to_owned()
                }
                ("ResourceNotFoundException", false) => "Start `bridge dev` again: it creates its tables".to_owned(),
                ("AccessDeniedException", _) => requires(&["dynamodb:DescribeTable"], &format!("table `{name}`")),
                (_, true) => "Try again, and check that AWS is reachable and the region is right".to_owned(),
                (_, false) => "Check that `bridge dev` is running: it holds the table".to_owned(),
            };
            Line::fail(check, format!("{name} cannot be read: {reason}"), hint)
        }
        Ok(table) if table.keys[..] != [key] => Line::fail(
            check,
            format!("the keys of {name} are {}; {key} expected", table.keys.join(", ")),
            "The keys of a table cannot be changed: create another one by the template, and name that",
        ),
        Ok(table) if table.status != "ACTIVE" && table.status != "UPDATING" => {
            Line::fail(check, format!("{name} is {}", table.status), "Wait until it is ACTIVE, then run this again")
        }
        Ok(table) => Line::ok(check, format!("{name} is {}", table.status)),
    }
}

fn check_handshake(workflow: &str, handshake: &Handshake, scope: &Scope) -> Line {
    let check = format!("handshake {workflow}");
    let status = match handshake {
        Handshake::Opened => return Line::ok(check, "a session was opened; no message was sent"),
        Handshake::Legacy => return Line::ok(check, "none in legacy mode"),
        Handshake::NoAnswer(reason) => {
            return Line::fail(
                check,
                format!("no answer: {reason}"),
                "Check the host of `handshake_url`, and that this machine can reach it; the functions may reach it anyway",
            );
        }
        Handshake::Rejected(status) => *status,
    };
    let (meaning, hint) = match status {
        200..=299 => (
            "the answer has no session token",
            "Check that `handshake_url` is the handshake of the workflow, and not its webhook or a page of the console"
                .to_owned(),
        ),
        300..=399 => (
            "a redirect is not followed, because it would carry the key along",
            "Put the URL that it leads to into `handshake_url`".to_owned(),
        ),
        401 | 403 => (
            "the API key is rejected",
            "Compare `api_key` and `api_key_header` with Returning.AI's; where token exchange is disabled, set `mode` to `legacy`"
                .to_owned(),
        ),
        404 | 410 => (
            "there is no such workflow",
            "Compare `handshake_url` with Returning.AI's, and check that the workflow is published".to_owned(),
        ),
        429 => ("too many requests", "Try again later; the bridge does the same with its events".to_owned()),
        500.. => (
            "Returning.AI itself fails",
            format!(
                "Its events are retried; `bridge workflows pause {workflow}{}` saves their attempts",
                table_flag(scope)
            ),
        ),
        _ => ("the handshake is rejected", "Compare `handshake_url` and `api_key_header` with Returning.AI's".to_owned()),
    };
    let says = format!("answered {status}: {meaning}");
    if status == 429 { Line::warn(check, says, hint) } else { Line::fail(check, says, hint) }
}

fn check_pauses(destination: &Destination, status: PauseStatus, scope: &Scope) -> Line {
    let (check, flags) = (format!("workflow {destination}"), table_flag(scope));
    let resume = format!("`bridge workflows resume {destination}{flags}`");
    match status {
        PauseStatus::Delivering => Line::ok(check, "not paused"),
        PauseStatus::Paused { .. } => {
            Line::warn(check, "it is paused: its events wait", format!("{resume} ends the pause"))
        }
        PauseStatus::Unreadable => Line::fail(
            check,
            "the item with its pauses cannot be read: nothing is sent to it, and its events wait",
            format!(
                "{resume} overwrites the item and sends them; `bridge workflows pause {destination}{flags}` overwrites it and lets them wait"
            ),
        ),
    }
}

fn check_schedule(name: &str, schedule: &Result<Schedule, String>, scope: &Scope) -> Line {
    let (flags, function) = (&scope.flags, scope.parts.redrive_function.as_deref().unwrap_or_default());
    let again = "Deploy `template.yaml` again: without this schedule no failed delivery is retried";
    match schedule {
        Err(reason) if reason == "ResourceNotFoundException" => {
            Line::fail("schedule", format!("there is no schedule {name}"), again)
        }
        Err(reason) => {
            let hint = requires(&["scheduler:GetSchedule"], &format!("schedule `{name}`"));
            Line::warn("schedule", format!("{name} cannot be read: {reason}"), hint)
        }
        Ok(Schedule { enabled: false, .. }) => Line::fail(
            "schedule",
            format!("{name} is disabled: no failed delivery is retried"),
            format!(
                "Enable it in the EventBridge console; until then: `aws lambda invoke --function-name {function} --cli-binary-format raw-in-base64-out --payload '{{}}' /dev/stdout{flags}`"
            ),
        ),
        Ok(Schedule { target, .. }) if target.rsplit(':').next() != Some(function) => {
            Line::fail("schedule", format!("{name} does not call function {function}"), again)
        }
        Ok(Schedule { expression, .. }) => Line::ok("schedule", format!("{name} is enabled: {expression}")),
    }
}

fn check_queue(queue: &Queue, facts: &Facts) -> [Line; 2] {
    let scope = &facts.scope;
    let flags = table_flag(scope);
    let or_more = |more: bool| if more { " or more" } else { "" };
    let seen = queue.redrive_seen.map(|at| facts.now.since(at));
    let last = seen.map_or_else(String::new, |ago| format!("; its last attempt was {} ago", span(ago)));
    let overdue = format!(
        "{}{} {} overdue, by up to {}",
        queue.overdue,
        or_more(queue.more_overdue),
        if queue.overdue == 1 { "event" } else { "events" },
        span(Duration::from_secs(queue.overdue_s))
    );
    let patience = Duration::from_secs(scope.patience_s());
    let redrive = match (queue.overdue, seen.is_some_and(|ago| ago <= patience)) {
        (0, _) => Line::ok("redrive", format!("no event is overdue by more than {}{last}", span(patience))),
        (_, true) => Line::warn(
            "redrive",
            format!("{overdue}, though it runs{last}"),
            format!("It works on a backlog, or skips a workflow that fails: see `bridge events list{flags}`"),
        ),
        (_, false) => Line::fail(
            "redrive",
            format!("{overdue}: it does not run{last}"),
            match scope.is_deployed() {
                true => format!(
                    "Check its schedule, and the log and the throttles of function `{}`",
                    scope.parts.redrive_function.as_deref().unwrap_or_default()
                ),
                false => "`bridge dev` runs it every few seconds: check that it is not stopped or starved".to_owned(),
            },
        ),
    };
    let dead = match queue.dead {
        0 => Line::ok("dead events", "none"),
        dead => Line::warn(
            "dead events",
            format!("{dead}{} {} a person", or_more(queue.more_dead), if dead == 1 { "needs" } else { "need" }),
            format!(
                "`bridge events list --state dead{flags}`, then try again what can succeed now (`bridge events redrive --state dead \
                 --dry-run{flags}`) and close the others (`bridge events dismiss --state dead --dry-run{flags}`)"
            ),
        ),
    };
    [redrive, dead]
}

fn events_table(scope: &Scope) -> String {
    format!("table `{}`", scope.parts.events_table.as_deref().unwrap_or_default())
}

/// The flags of a verb that works on the table.
fn table_flag(scope: &Scope) -> String {
    match (&scope.stack, &scope.parts.events_table) {
        (Some(_), Some(table)) => format!(" --table {table}{}", scope.flags),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests;
