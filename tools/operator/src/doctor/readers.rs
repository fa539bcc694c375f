//! Reads the facts of a bridge: one call a fact. Nothing is written, and workflows get a handshake only.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_dynamodb::primitives::{DateTime, DateTimeFormat};
use aws_sdk_dynamodb::types::{KeySchemaElement, TimeToLiveStatus};
use aws_types::sdk_config::SdkConfig;
use futures_util::future::{OptionFuture, join, join_all, join3, join4};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Request, Url};
use route::destination::Destination;
use route::routes::Routes;
use serde::Deserialize;
use shared::clock::{Clock, UnixMillis, UnixSeconds};
use shared::deliver::webhooks::Webhooks;
use shared::outside::aws::sdk_reason;
use shared::outside::http::{CallTime, HttpAnswer};
use shared::record::event::{AttemptBy, dead_parts, is_route_entry, pending_parts};
use shared::record::pauses::PauseStatus;
use shared::record::store::EventStore;
use shared::record::store::error::StoreError;
use shared::record::store::index::{IndexPage, IndexRange, SHORT_PAGE};

use super::facts::{
    ClockOffset, Facts, Handshake, Index, Queue, RouteNeeds, Schedule, Scope, Secret, StackStatus, Table, Webhook,
};
use crate::aws_call::{call, encoded};
use crate::error::with_causes;
use crate::place::Place;

/// Longer than API Gateway lets a function take for its answer at a cold start.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// How many events are read to find the last run of redrive.
const EVENTS_READ: usize = 20;

/// Concurrent queries: most of the index's parts are empty.
const QUERIES_AT_ONCE: usize = 16;

/// All that the checks need.
pub(super) async fn read(place: &Place, routes: &Routes, clock: Clock) -> Facts {
    let (parts, needs) = (&place.parts, RouteNeeds::of(routes));
    let stack = place.stack().map(|stack| StackStatus { name: stack.name.clone(), status: stack.status.clone() });
    let scope = Scope { stack, parts: parts.clone(), flags: place.flags().to_owned() };

    let tables = [&parts.events_table, &parts.customers_table];
    let [events, customers] = tables.map(|name| OptionFuture::from(name.as_deref().map(|name| table(place, name))));
    let returning_ai = OptionFuture::from(parts.returning_ai_secret.as_deref().map(|id| secret(place, id)));
    // On this machine `bridge dev` itself writes the secrets of the providers' APIs.
    let of_apis = parts.api_secrets.iter().filter(|_| scope.is_deployed());
    let signing = secrets(place, parts.signing_secrets.iter());
    let apis = secrets(place, of_apis);
    let webhooks = join_all(parts.webhooks.iter().map(|(provider, url)| webhook(place, provider, url, clock)));
    let ((events, customers), (signing, returning_ai, apis), webhooks, schedules) =
        join4(join(events, customers), join3(signing, returning_ai, apis), webhooks, schedules(place)).await;

    let handshakes = handshakes(place, returning_ai.as_ref(), clock).await;
    let now = clock.now();
    let (held, queue) = match place.events() {
        Err(_) => (BTreeMap::new(), None),
        Ok(store) => {
            let (held, queue) = queue(&store, &needs, now, scope.patience_s()).await;
            (held, Some(queue.map_err(reason)))
        }
    };
    let of_webhooks = webhooks.iter().map(|(webhook, ahead_s)| (format!("webhook {}", webhook.provider), *ahead_s));
    let of_workflows = handshakes.iter().map(|(name, (_, ahead_s))| (format!("workflow {name}"), *ahead_s));
    let clocks = of_webhooks.chain(of_workflows);
    let clocks = clocks.filter_map(|(from, ahead_s)| Some(ClockOffset { from, ahead_s: ahead_s? })).collect();
    Facts {
        now,
        clocks,
        webhooks: webhooks.into_iter().map(|(webhook, _)| webhook).collect(),
        events,
        customers,
        signing,
        returning_ai,
        apis,
        handshakes: handshakes.into_iter().map(|(name, (handshake, _))| (name, handshake)).collect(),
        held,
        schedules,
        queue,
        scope,
        needs,
    }
}

fn reason(error: StoreError) -> String {
    match error {
        StoreError::Unavailable { reason, .. } => reason,
        other => other.to_string(),
    }
}

async fn table(place: &Place, name: &str) -> Result<Table, String> {
    let client = &place.dynamodb;
    let answer = client.describe_table().table_name(name).send().await.map_err(|error| sdk_reason(&error))?;
    let table = answer.table.ok_or("the answer has no table")?;
    let indexes = table.global_secondary_indexes.unwrap_or_default().into_iter().map(|index| {
        let status = index.index_status.map_or_else(String::new, |status| status.as_str().to_owned());
        let projects = index.projection.and_then(|it| it.non_key_attributes).unwrap_or_default().into_iter().collect();
        let index_keys = keys(index.key_schema.as_deref());
        (index.index_name.unwrap_or_default(), Index { status, keys: index_keys, projects })
    });
    let ttl = async {
        let answer = client.describe_time_to_live().table_name(name).send().await;
        let found = answer.map_err(|error| sdk_reason(&error))?.time_to_live_description;
        let on = |status: &TimeToLiveStatus| matches!(status, TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling);
        Ok(found.filter(|it| it.time_to_live_status.as_ref().is_some_and(on)).and_then(|it| it.attribute_name))
    };
    // The table of `bridge dev` has no backups.
    let recovery = OptionFuture::from(place.aws().map(async |_| {
        let answer = client.describe_continuous_backups().table_name(name).send().await;
        let backups = answer.map_err(|error| sdk_reason(&error))?.continuous_backups_description;
        let recovery = backups.and_then(|it| it.point_in_time_recovery_description);
        Ok(recovery.and_then(|it| it.point_in_time_recovery_status).is_some_and(|it| it.as_str() == "ENABLED"))
    }));
    let (ttl, recovery) = join(ttl, recovery).await;
    Ok(Table {
        status: table.table_status.map_or_else(String::new, |status| status.as_str().to_owned()),
        keys: keys(table.key_schema.as_deref()),
        indexes: indexes.collect(),
        ttl: Some(ttl),
        recovery,
    })
}

fn keys(schema: Option<&[KeySchemaElement]>) -> Vec<String> {
    let keys = schema.unwrap_or_default().iter();
    keys.map(|key| format!("{} {}", key.attribute_name, key.key_type.as_str())).collect()
}

async fn secrets(place: &Place, ids: impl Iterator<Item = (&String, &String)>) -> BTreeMap<String, Secret> {
    let all = ids.map(async |(of, id)| (of.clone(), secret(place, id).await));
    join_all(all).await.into_iter().collect()
}

async fn secret(place: &Place, id: &str) -> Secret {
    let text = match place.secrets_manager.get_secret_value().secret_id(id).send().await {
        Ok(answer) => answer.secret_string.ok_or_else(|| "it holds no text".to_owned()),
        Err(error) => Err(sdk_reason(&error)),
    };
    Secret { id: id.to_owned(), text }
}

async fn schedules(place: &Place) -> BTreeMap<String, Result<Schedule, String>> {
    let Some(config) = place.aws() else { return BTreeMap::new() };
    let schedules = place.parts.redrive_schedules.iter().map(async |name| (name.clone(), schedule(config, name).await));
    join_all(schedules).await.into_iter().collect()
}

async fn schedule(config: &SdkConfig, name: &str) -> Result<Schedule, String> {
    // In a group of its own the template names it `group/name`.
    let path = match name.split_once('/') {
        Some((group, name)) => format!("/schedules/{}?groupName={}", encoded(name), encoded(group)),
        None => format!("/schedules/{}", encoded(name)),
    };
    let mut request = http::Request::new(String::new());
    *request.uri_mut() = path.parse().map_err(|_| "its name is not a name of a schedule".to_owned())?;
    let answer = call(config, "Scheduler", "GetSchedule", request).await.map_err(|error| sdk_reason(&error))?;
    let answer: GetScheduleAnswer =
        serde_json::from_slice(&answer.body).map_err(|_| "the answer was not understood".to_owned())?;
    Ok(Schedule {
        enabled: answer.state == "ENABLED",
        expression: answer.schedule_expression,
        target: answer.target.arn,
    })
}

/// What EventBridge Scheduler answers to `GetSchedule`, as far as it is looked at.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetScheduleAnswer {
    state: String,
    schedule_expression: String,
    target: ScheduleTarget,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ScheduleTarget {
    arn: String,
}

/// Posts an empty delivery without a signature. The bridge refuses it before it reads anything.
async fn webhook(place: &Place, provider: &str, url: &str, clock: Clock) -> (Webhook, Option<i64>) {
    let exchange = async {
        let mut request = Request::new(Method::POST, Url::parse(url).map_err(|error| error.to_string())?);
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        *request.body_mut() = Some("{}".into());
        let answer = place.http.exchange(request, ANSWER_TIMEOUT, CallTime::of_a_person(), clock.now()).await;
        answer.map_err(|error| with_causes(&error))
    };
    let answer = exchange.await;
    let offset = answer.as_ref().ok().and_then(|answer| ahead_s(answer, clock.now()));
    let status = answer.map(|answer| answer.status.as_u16());
    (Webhook { provider: provider.to_owned(), url: url.to_owned(), status }, offset)
}

/// Makes the handshake of each workflow that can be used. What is wrong with the others is found by the check of the secret.
async fn handshakes(
    place: &Place,
    secret: Option<&Secret>,
    clock: Clock,
) -> BTreeMap<String, (Handshake, Option<i64>)> {
    let text = secret.and_then(|secret| secret.text.as_deref().ok()).unwrap_or_default();
    let (Some(webhooks), _) = Webhooks::parse(text) else { return BTreeMap::new() };
    let names = webhooks.destinations().filter_map(|to| match to {
        Destination::Workflow(name) => Some(name),
        Destination::IncomingWebhook(_) => None,
    });
    let made = names.map(async |name| {
        let handshake = match webhooks.handshake(&name, &place.http, clock).await {
            None => (Handshake::Legacy, None),
            Some(Err(error)) => (Handshake::NoAnswer(with_causes(&error)), None),
            Some(Ok(it)) if it.opened => (Handshake::Opened, ahead_s(&it.answer, clock.now())),
            Some(Ok(it)) => (Handshake::Rejected(it.answer.status.as_u16()), ahead_s(&it.answer, clock.now())),
        };
        (name, handshake)
    });
    join_all(made).await.into_iter().collect()
}

/// How far `now` is ahead of the answer's date. That has whole seconds, so half a second is added to it.
fn ahead_s(answer: &HttpAnswer, now: UnixMillis) -> Option<i64> {
    let date = DateTime::from_str(answer.date.as_ref()?.to_str().ok()?, DateTimeFormat::HttpDate).ok()?;
    let theirs = date.to_millis().ok()? + 500;
    Some((i64::try_from(now.0).ok()? - theirs) / 1000)
}

/// Those of the routes' destinations that get no messages, and what waits for the others.
async fn queue(
    store: &EventStore,
    needs: &RouteNeeds,
    now: UnixMillis,
    patience_s: u64,
) -> (BTreeMap<Destination, PauseStatus>, Result<Queue, StoreError>) {
    let destinations: BTreeSet<&Destination> = needs.destinations.values().collect();
    let pauses = match store.pauses(destinations.iter().copied()).await {
        Ok(pauses) => pauses,
        Err(error) => return (BTreeMap::new(), Err(error)),
    };
    let statuses = destinations.into_iter().map(|destination| (destination.clone(), pauses.status(destination)));
    let held = statuses.filter(|(_, status)| *status != PauseStatus::Delivering).collect();
    let queue = read_queue(store, needs, &held, now, patience_s).await;
    (held, queue)
}

async fn read_queue(
    store: &EventStore,
    needs: &RouteNeeds,
    held: &BTreeMap<Destination, PauseStatus>,
    now: UnixMillis,
    patience_s: u64,
) -> Result<Queue, StoreError> {
    let mut queue = Queue::default();
    let latest = UnixSeconds(now.seconds().0.saturating_sub(patience_s));
    let mut sample = Vec::new();
    // An event that waits for such workflows alone is not overdue.
    let is_open = |route: &str| needs.destinations.get(route).is_none_or(|destination| !held.contains_key(destination));
    for page in first_pages(store, pending_parts()).await? {
        let page_is_overdue = page.entries.last().is_some_and(|entry| entry.next_attempt_at <= latest);
        queue.more_overdue |= page.next.is_some() && page_is_overdue;
        sample.extend(page.entries.iter().take(EVENTS_READ).map(|entry| entry.pk.clone()));
        for entry in page.entries.iter().filter(|entry| entry.next_attempt_at <= latest) {
            let mut routes =
                entry.waits_for.iter().map(|(name, _)| name).filter(|name| is_route_entry(name)).peekable();
            if routes.peek().is_none() || routes.any(|route| is_open(route)) {
                queue.overdue += 1;
                queue.overdue_s = queue.overdue_s.max(now.seconds().0.saturating_sub(entry.next_attempt_at.0));
            }
        }
    }
    let dead = first_pages(store, dead_parts()).await?;
    queue.more_dead = dead.iter().any(|page| page.next.is_some());
    let mut dead: Vec<_> = dead.into_iter().flat_map(|page| page.entries).collect();
    queue.dead = dead.len();
    dead.sort_by_key(|entry| entry.next_attempt_at);
    // Redrive has last worked on the events that are due first, and on the youngest of the dead.
    sample.extend(dead.into_iter().rev().take(EVENTS_READ).map(|entry| entry.pk));
    sample.truncate(EVENTS_READ);
    let events = join_all(sample.iter().map(|pk| store.read(pk))).await;
    let history = events.iter().flatten().flatten().flat_map(|event| &event.history);
    queue.redrive_seen = history.filter(|attempt| attempt.by == AttemptBy::Redrive).map(|attempt| attempt.at).max();
    Ok(queue)
}

/// The beginnings of these parts of the index.
async fn first_pages(store: &EventStore, parts: impl Iterator<Item = String>) -> Result<Vec<IndexPage>, StoreError> {
    let page =
        |part: String| async move { store.indexed(&part, IndexRange::SoonestFirst, Some(SHORT_PAGE), None).await };
    stream::iter(parts.map(page)).buffered(QUERIES_AT_ONCE).try_collect().await
}
