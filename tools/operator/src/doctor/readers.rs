//! Reads the facts of a stack: one call a fact, nothing written, and nothing sent to a workflow but its handshake.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::cloudformation::output_of;
use crate::error::with_causes;
use aws_sdk_dynamodb::types::{KeySchemaElement, TimeToLiveStatus};
use aws_sdk_scheduler::types::ScheduleState;
use futures_util::future::{join, join_all, join3, join4};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, DATE, HeaderName, HeaderValue};
use serde_json::Value;
use shared::clock::{Clock, UnixMillis, UnixSeconds};
use shared::outside::aws::sdk_reason;
use shared::outside::http::Http;
use shared::receive::provider::Provider;
use shared::record::destination::Destination;
use shared::record::event::{AttemptBy, DUE_DEAD, DispatchState, SHARDS, shard_name};
use shared::record::store::EventStore;
use shared::record::store::error::StoreError;
use shared::record::store::index::{DUE_PAGE, IndexRange};
use shared::route::routes::Routes;

use super::facts::{
    Asked, Facts, Handshake, Index, OtherClock, Place, Queue, Schedule, Secret, Stack, Table, Wanted, Webhook,
};

/// A stack to be looked at: the names of its parts, and the clients to ask them with.
pub(super) struct Site {
    place: Place,
    webhooks: Vec<(&'static Provider, String)>,
    signing_secrets: Vec<(&'static Provider, String)>,
    returning_ai_secret: String,
    api_secrets: Vec<(&'static Provider, String)>,
    http: Http,
    dynamodb: aws_sdk_dynamodb::Client,
    secrets_manager: aws_sdk_secretsmanager::Client,
    scheduler: Option<aws_sdk_scheduler::Client>,
}

/// Longer than the functions wait for a workflow.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Of an answer so much is read; a session token and what is around it are a few hundred bytes.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// How many events are read for a sign of redrive's.
const EVENTS_LOOKED_AT: usize = 20;

impl Site {
    /// Names of parts that a stack does not have are empty.
    pub(super) fn of(at: &crate::Place) -> Self {
        let parts = &at.parts;
        let mut missing = Vec::new();
        let mut required = |part: Option<&String>, output: &str| {
            part.cloned().unwrap_or_else(|| {
                missing.push(output.to_owned());
                String::new()
            })
        };
        let mut of_each = |named: &BTreeMap<String, String>, output: &str| -> Vec<_> {
            let of = |provider: &&'static Provider| {
                (*provider, required(named.get(provider.name), &output_of(provider, output)))
            };
            providers::ALL.iter().map(of).collect()
        };
        let webhooks = of_each(&parts.webhooks, "WebhookUrl");
        let signing_secrets = of_each(&parts.signing_secrets, "SigningSecretId");
        // Those of the stand-ins are made by this program.
        let deployed = providers::ALL.iter().filter(|provider| at.aws().is_some() && provider.api.is_some());
        let api_secrets =
            deployed.filter_map(|provider| Some((*provider, parts.api_secrets.get(provider.name)?.clone()))).collect();
        let returning_ai_secret = required(parts.returning_ai_secret.as_ref(), "ReturningAiSecretId");
        let events_table = required(parts.events_table.as_ref(), "EventsTableName");
        let redrive_function = required(parts.redrive_function.as_ref(), "RedriveFunctionName");
        let schedule = Some(required(parts.redrive_schedule.as_ref(), "RedriveScheduleName"));
        Self {
            place: Place {
                stack: at.stack().map(|stack| Stack {
                    name: stack.name.clone(),
                    status: stack.status.clone(),
                    missing,
                    schedule: schedule.filter(|name| !name.is_empty()),
                }),
                events_table,
                customers_table: parts.customers_table.clone(),
                redrive_function,
                flags: at.flags().to_owned(),
            },
            webhooks,
            signing_secrets,
            returning_ai_secret,
            api_secrets,
            dynamodb: at.dynamodb.clone(),
            secrets_manager: at.secrets_manager.clone(),
            scheduler: at.aws().map(aws_sdk_scheduler::Client::new),
            http: at.http.clone(),
        }
    }

    /// Everything that the checks want to know.
    pub(super) async fn facts(&self, routes: &Routes, clock: Clock) -> Facts {
        let wanted = Wanted::by(routes);
        let place = &self.place;
        let store = EventStore::new(self.dynamodb.clone(), place.events_table.clone());
        let customers = async {
            match &place.customers_table {
                Some(name) => Some(self.table(name).await),
                None => None,
            }
        };
        let tables = join(self.table(&place.events_table), customers);
        let signing = self.signing_secrets.iter().filter(|(_, id)| !id.is_empty());
        let signing = join_all(signing.map(|(provider, id)| self.secret(provider.name, id)));
        let apis = join_all(self.api_secrets.iter().map(|(provider, id)| self.secret(provider.name, id)));
        let secrets = join3(signing, self.secret("workflows", &self.returning_ai_secret), apis);
        let webhooks = self.webhooks.iter().filter(|(_, url)| !url.is_empty());
        let webhooks = join_all(webhooks.map(|(provider, url)| self.webhook(provider, url, clock)));
        let (tables, secrets, webhooks, schedule) = join4(tables, secrets, webhooks, self.schedule()).await;
        let ((events, customers), (signing, returning_ai, apis)) = (tables, secrets);

        let handshakes = join_all(
            workflows(returning_ai.text.as_deref().unwrap_or_default())
                .into_iter()
                .map(|workflow| async move { (workflow.name.clone(), self.handshake(&workflow, clock).await) }),
        )
        .await;

        let paused = paused(&store, &wanted).await;
        let now = clock.now();
        let queue = match &paused {
            Err(error) => Err(error.clone()),
            Ok(paused) => self.queue(&store, &wanted, paused, now).await,
        };
        let paused = paused.unwrap_or_default();

        let told = |of: String, ahead_s: Option<i64>| Some(OtherClock { of, ahead_s: ahead_s? });
        let of_webhooks =
            webhooks.iter().map(|(webhook, ahead)| told(format!("the webhook of {}", webhook.provider), *ahead));
        let of_workflows =
            handshakes.iter().map(|(name, (_, ahead))| told(format!("Returning.AI (workflow {name})"), *ahead));
        let clocks = of_webhooks.chain(of_workflows).flatten().collect();
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
            paused,
            schedule,
            queue: queue.map_err(|error| match error {
                StoreError::Unavailable { reason, .. } => reason,
                other => other.to_string(),
            }),
            place: place.clone(),
            wanted,
        }
    }

    async fn table(&self, name: &str) -> Asked<Table> {
        let answer =
            self.dynamodb.describe_table().table_name(name).send().await.map_err(|error| sdk_reason(&error))?;
        let table = answer.table.ok_or("the answer has no table")?;
        let indexes = table.global_secondary_indexes.unwrap_or_default().into_iter().map(|index| {
            let status = index.index_status.map_or_else(String::new, |status| status.as_str().to_owned());
            (index.index_name.unwrap_or_default(), Index { status, keys: keys(index.key_schema.as_deref()) })
        });
        let ttl = async {
            let answer = self.dynamodb.describe_time_to_live().table_name(name).send().await;
            let found = answer.map_err(|error| sdk_reason(&error))?.time_to_live_description;
            let on =
                |status: &TimeToLiveStatus| matches!(status, TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling);
            Ok(found.filter(|it| it.time_to_live_status.as_ref().is_some_and(on)).and_then(|it| it.attribute_name))
        };
        let recovery = async {
            // The table of `bridge dev` knows nothing of backups.
            if !self.place.is_deployed() {
                return None;
            }
            let answer = self.dynamodb.describe_continuous_backups().table_name(name).send().await;
            Some(answer.map_err(|error| sdk_reason(&error)).map(|answer| {
                let backups = answer.continuous_backups_description;
                let recovery = backups.and_then(|it| it.point_in_time_recovery_description);
                recovery.and_then(|it| it.point_in_time_recovery_status).is_some_and(|it| it.as_str() == "ENABLED")
            }))
        };
        let (ttl, recovery) = join(ttl, recovery).await;
        Ok(Table {
            status: table.table_status.map_or_else(String::new, |status| status.as_str().to_owned()),
            keys: keys(table.key_schema.as_deref()),
            indexes: indexes.collect(),
            ttl: Some(ttl),
            recovery,
        })
    }

    async fn secret(&self, of: &'static str, id: &str) -> Secret {
        let text = match self.secrets_manager.get_secret_value().secret_id(id).send().await {
            Ok(answer) => answer.secret_string.ok_or_else(|| "it holds no text".to_owned()),
            Err(error) => Err(sdk_reason(&error)),
        };
        Secret { of, id: id.to_owned(), text }
    }

    async fn schedule(&self) -> Option<Asked<Schedule>> {
        let name = self.place.stack.as_ref()?.schedule.as_ref()?;
        // In a group of its own the template names it `group/name`.
        let (group, name) = name.split_once('/').map_or((None, name.as_str()), |(group, name)| (Some(group), name));
        let answer =
            self.scheduler.as_ref()?.get_schedule().name(name).set_group_name(group.map(str::to_owned)).send().await;
        Some(answer.map_err(|error| sdk_reason(&error)).map(|schedule| Schedule {
            enabled: schedule.state == Some(ScheduleState::Enabled),
            expression: schedule.schedule_expression.unwrap_or_default(),
            target: schedule.target.map(|target| target.arn).unwrap_or_default(),
        }))
    }

    /// Posts an empty delivery without a signature, which the bridge refuses before it reads anything.
    async fn webhook(&self, provider: &'static Provider, url: &str, clock: Clock) -> (Webhook, Option<i64>) {
        let request = self.http.client().post(url).header(CONTENT_TYPE, "application/json").body("{}");
        let answer = self.post(request, clock).await;
        let ahead = answer.as_ref().ok().and_then(|answer| answer.ahead_s);
        let status = answer.map(|answer| answer.status);
        (Webhook { provider: provider.name, url: url.to_owned(), status }, ahead)
    }

    async fn handshake(&self, workflow: &Workflow, clock: Clock) -> (Handshake, Option<i64>) {
        let Some(url) = &workflow.handshake_url else {
            return (Handshake::Legacy, None);
        };
        let (header, key) = &workflow.api_key;
        let request = self.http.client().post(url).header(CONTENT_TYPE, "application/json").header(header, key);
        match self.post(request, clock).await {
            Ok(answer) => {
                let token = answer.json.pointer("/data/sessionToken").and_then(Value::as_str);
                let opened = (200..300).contains(&answer.status)
                    && token.is_some_and(|token| !token.is_empty())
                    && answer.json.get("success") != Some(&Value::Bool(false));
                let handshake = if opened { Handshake::Opened } else { Handshake::Answered(answer.status) };
                (handshake, answer.ahead_s)
            }
            Err(reason) => (Handshake::NoAnswer(reason), None),
        }
    }

    async fn post(&self, request: reqwest::RequestBuilder, clock: Clock) -> Asked<Answer> {
        let exchange = async {
            let mut response = self.http.send(request.build()?).await?;
            let at = clock.now();
            let date = response.headers().get(DATE).and_then(|date| ahead_s(date, at));
            let mut body = Vec::new();
            while body.len() < MAX_ANSWER_BYTES
                && let Some(chunk) = response.chunk().await?
            {
                body.extend_from_slice(&chunk);
            }
            let json = serde_json::from_slice(&body).unwrap_or_default();
            Ok::<_, reqwest::Error>(Answer { status: response.status().as_u16(), json, ahead_s: date })
        };
        match tokio::time::timeout(ANSWER_TIMEOUT, exchange).await {
            Ok(Ok(answer)) => Ok(answer),
            // The URL may hold what is only for Returning.AI and us.
            Ok(Err(error)) => Err(with_causes(&error.without_url())),
            Err(_) => Err("not in time".to_owned()),
        }
    }

    async fn queue(
        &self,
        store: &EventStore,
        wanted: &Wanted,
        paused: &BTreeSet<Destination>,
        now: UnixMillis,
    ) -> Result<Queue, StoreError> {
        let mut queue = Queue::default();
        let latest = UnixSeconds(now.seconds().0.saturating_sub(self.place.patience_s()));
        let mut overdue: BTreeMap<String, UnixSeconds> = BTreeMap::new();
        let mut looked_at = Vec::new();
        let shards: Vec<String> = (0..SHARDS).map(shard_name).collect();
        let pages =
            join_all(shards.iter().map(|shard| store.indexed(shard, IndexRange::SoonestFirst, DUE_PAGE, None))).await;
        for page in pages {
            let page = page?;
            let page_is_overdue = page.keys.last().is_some_and(|(_, at)| *at <= latest);
            queue.more_overdue |= page.next.is_some() && page_is_overdue;
            looked_at.extend(page.keys.iter().take(EVENTS_LOOKED_AT).map(|(pk, _)| pk.clone()));
            overdue.extend(page.keys.into_iter().filter(|(_, at)| *at <= latest));
        }
        // Whatever waits for a paused workflow alone is left where it is on purpose.
        let pks: Vec<String> = overdue.keys().cloned().collect();
        let is_open =
            |route: &str| wanted.destination_of.get(route).is_none_or(|destination| !paused.contains(destination));
        for event in store.summaries(&pks).await?.into_iter().flatten() {
            let pending = event.deliveries.iter().filter(|(_, delivery)| delivery.state == DispatchState::Pending);
            let waits = pending.clone().next().is_none() || pending.clone().any(|(route, _)| is_open(route));
            // The index may be a moment behind: the item itself says what is due.
            let at = event.next_attempt_at.filter(|at| *at <= latest && waits);
            if let Some(at) = at {
                queue.overdue += 1;
                queue.overdue_s = queue.overdue_s.max(now.seconds().0.saturating_sub(at.0));
            }
        }
        let dead = store.indexed(DUE_DEAD, IndexRange::SoonestFirst, DUE_PAGE, None).await?;
        queue.dead = dead.keys.len();
        queue.more_dead = dead.next.is_some();
        // The youngest of the dead, and the events that are due first.
        looked_at.extend(dead.keys.into_iter().rev().take(EVENTS_LOOKED_AT).map(|(pk, _)| pk));
        looked_at.truncate(EVENTS_LOOKED_AT);
        for event in join_all(looked_at.iter().map(|pk| store.read(pk))).await {
            let Ok(Some(event)) = event else { continue };
            let by_redrive = event.history.iter().filter(|attempt| attempt.by == AttemptBy::Redrive);
            let seen = by_redrive.map(|attempt| attempt.at).max();
            queue.redrive_seen = queue.redrive_seen.max(seen);
        }
        Ok(queue)
    }
}

/// What somebody answered to a POST.
struct Answer {
    status: u16,
    json: Value,
    /// How far our clock is ahead of theirs.
    ahead_s: Option<i64>,
}

/// A workflow whose handshake can be made. What is wrong with the others the checks of the secret tell.
struct Workflow {
    name: String,
    /// `None` in legacy mode.
    handshake_url: Option<String>,
    api_key: (HeaderName, HeaderValue),
}

fn workflows(secret: &str) -> Vec<Workflow> {
    let secret: Value = serde_json::from_str(secret).unwrap_or_default();
    let entries = secret.get("workflows").and_then(Value::as_object).into_iter().flatten();
    entries
        .filter_map(|(name, fields)| {
            let text = |field: &str| fields.get(field).and_then(Value::as_str);
            let mut key = HeaderValue::from_str(text("api_key")?).ok()?;
            key.set_sensitive(true);
            let header = match text("api_key_header") {
                Some("x-api-key") => HeaderName::from_static("x-api-key"),
                _ => AUTHORIZATION,
            };
            let handshake_url = match text("mode") {
                Some("legacy") => None,
                _ => Some(text("handshake_url").filter(|url| is_safe(url))?.to_owned()),
            };
            Some(Workflow { name: name.clone(), handshake_url, api_key: (header, key) })
        })
        .collect()
}

/// A key leaves encrypted, or not at all, but for this machine itself.
fn is_safe(url: &str) -> bool {
    reqwest::Url::parse(url).is_ok_and(|url| url.scheme() == "https" || super::secrets::is_loopback(&url))
}

fn keys(schema: Option<&[KeySchemaElement]>) -> Vec<String> {
    let keys = schema.unwrap_or_default().iter();
    keys.map(|key| format!("{} {}", key.attribute_name, key.key_type.as_str())).collect()
}

/// Those of the routes' destinations that are paused.
async fn paused(store: &EventStore, wanted: &Wanted) -> Result<BTreeSet<Destination>, StoreError> {
    let destinations: BTreeSet<&Destination> = wanted.destination_of.values().collect();
    let pauses = store.pauses(destinations.iter().copied()).await?;
    Ok(destinations.into_iter().filter(|destination| pauses.is_paused(destination)).cloned().collect())
}

/// `Date` has whole seconds, so that half a second is added to it.
fn ahead_s(date: &HeaderValue, now: UnixMillis) -> Option<i64> {
    use aws_sdk_dynamodb::primitives::{DateTime, DateTimeFormat};
    let date = DateTime::from_str(date.to_str().ok()?, DateTimeFormat::HttpDate).ok()?;
    let theirs = date.to_millis().ok()? + 500;
    Some((i64::try_from(now.0).ok()? - theirs) / 1000)
}
