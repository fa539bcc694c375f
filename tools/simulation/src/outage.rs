//! An outage of Returning.AI, and what it sees once it is back: receivers and redrive as they are, in virtual time, which no CPU
//! limits.

use std::fmt::Write as _;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use futures_util::future::join_all;
use shared::clock::UnixMillis;
use shared::redrive::contract::{Request, Share};
use tokio::runtime::Builder;
use tokio::task::{LocalSet, spawn_local};

use crate::actors::{Fleet, redrive, send};
use crate::faults::{Fault, System, Weather};
use crate::process::Kind;
use crate::routes::DESTINATIONS;
use crate::tables;
use crate::time::{self, BEGINNING_MS, MINUTE, SECOND, now_ms, sleep_until_ms};
use crate::world::{Fact, Shared, Violation, World, is_in_state, lock};

/// What happens: events for one workflow, evenly, from the beginning until all is delivered; none of them can be sent at first.
#[derive(Clone, Copy, Debug)]
pub struct Outage {
    pub events_per_second: u64,
    pub lasts_s: u64,
    /// How many schedules share redrive's work.
    pub shares: u8,
}

/// What it came to.
#[derive(Debug, Default)]
pub struct Recovery {
    pub spans: Vec<Span>,
    /// From the end of the outage until nothing waits.
    pub drained_after_s: u64,
    /// The most messages that Returning.AI got in one second after the outage.
    pub most_in_a_second: u64,
    pub violations: Vec<Violation>,
}

/// Ten seconds of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Span {
    pub received: u64,
    /// Messages of the receivers' first attempts and of redrive, whether they were accepted or not.
    pub from_receivers: u64,
    pub from_redrive: u64,
    pub accepted: u64,
    /// At the end of the span.
    pub pending: u64,
}

const SPAN_MS: u64 = 10 * SECOND;

/// Longer than any that can be waited for.
const LONGEST_MS: u64 = 4 * 60 * MINUTE;

impl Outage {
    /// Lives through it.
    ///
    /// # Panics
    /// There is no runtime.
    #[must_use]
    pub fn happen(self) -> Recovery {
        fastrand::seed(0);
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.expect("a runtime of one thread");
        LocalSet::new().block_on(&runtime, async {
            time::begin();
            let mut world = World::new(0, false);
            world.is_calm = true;
            let world: Shared = Arc::new(Mutex::new(world));
            let fleet = Fleet::new(&world);
            self.run(&world, &fleet).await
        })
    }

    async fn run(self, world: &Shared, fleet: &Rc<Fleet>) -> Recovery {
        let ends_ms = BEGINNING_MS + self.lasts_s * SECOND;
        {
            let mut world = lock(world);
            let weather = |at| Weather {
                system: System::Destination(at),
                fault: Fault::Fail,
                from_ms: BEGINNING_MS,
                to_ms: ends_ms,
                percent: 100,
            };
            world.weather.extend((0..DESTINATIONS.len()).map(weather));
        }
        // Events go on arriving after the outage until nothing waits.
        let (sending_world, sending_fleet) = (world.clone(), fleet.clone());
        let sender = spawn_local(async move {
            for second in 0.. {
                let facts: Vec<usize> = (0..self.events_per_second).map(|_| add_fact(&sending_world)).collect();
                let sends = facts.into_iter().map(|fact| send(&sending_world, &sending_fleet, fact, false));
                join_all(sends).await;
                sleep_until_ms(BEGINNING_MS + (second + 1) * SECOND).await;
            }
        });
        let mut recovery = Recovery::default();
        let (mut posts_before, mut facts_before, mut minute) = (0, 0, 0);
        for span in 1.. {
            if now_ms() >= BEGINNING_MS + minute * MINUTE {
                minute += 1;
                for share in (0..self.shares).filter_map(|number| Share::try_from([number, self.shares]).ok()) {
                    let (world, fleet) = (world.clone(), fleet.clone());
                    spawn_local(async move { redrive(&world, &fleet, Kind::Redrive, Request::Due(share)).await });
                }
            }
            sleep_until_ms(BEGINNING_MS + span * SPAN_MS).await;
            let world = lock(world);
            let posts = &world.posts[posts_before..];
            let is_of = |kind| posts.iter().filter(|post| world.processes[post.process as usize].kind == kind).count();
            let pending = world.tables.items(tables::EVENTS).filter(|(_, item)| is_in_state(item, "pending")).count();
            recovery.spans.push(Span {
                received: (world.facts.len() - facts_before) as u64,
                from_receivers: is_of(Kind::Receiver) as u64,
                from_redrive: is_of(Kind::Redrive) as u64,
                accepted: posts.iter().filter(|post| post.accepted).count() as u64,
                pending: pending as u64,
            });
            (posts_before, facts_before) = (world.posts.len(), world.facts.len());
            // What is new waits for as long as its own delivery takes.
            let is_drained = now_ms() > ends_ms && pending as u64 <= self.events_per_second;
            if is_drained || now_ms() > BEGINNING_MS + LONGEST_MS {
                break;
            }
        }
        sender.abort();
        let world = lock(world);
        let mut by_second = std::collections::BTreeMap::new();
        for post in world.posts.iter().filter(|post| post.at >= ends_ms) {
            *by_second.entry(post.at / SECOND).or_default() += 1;
        }
        recovery.most_in_a_second = by_second.into_values().max().unwrap_or_default();
        recovery.drained_after_s = now_ms().saturating_sub(ends_ms) / SECOND;
        recovery.violations.clone_from(&world.violations);
        recovery
    }
}

/// One more account is opened.
fn add_fact(world: &Shared) -> usize {
    let mut world = lock(world);
    let (number, happened) = (world.facts.len(), now_ms());
    let (event_id, occurred_at) = (format!("evt-{number}"), UnixMillis(happened).to_string());
    let body = format!(
        r#"{{"event_id":"{event_id}","event_type":"ACCOUNT_OPEN","event_date":"{occurred_at}","event_data":{{"customer_id":"customer-{number}","status":"OPEN"}}}}"#
    );
    world.facts.push(Fact {
        provider: "rail",
        event_id,
        event_type: Some("ACCOUNT_OPEN"),
        happened,
        occurred_at,
        body,
        routes: &["account"],
        prompt: true,
        is_deadly: false,
        kills: 0,
        acknowledged: None,
    });
    number
}

impl Recovery {
    /// A line for each ten seconds.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = String::from("  to s  received  first attempts  redrive  accepted  pending\n");
        for (number, span) in self.spans.iter().enumerate() {
            let Span { received, from_receivers, from_redrive, accepted, pending } = span;
            let to_s = (number + 1) * 10;
            let _ = writeln!(
                text,
                "{to_s:>6}  {received:>8}  {from_receivers:>14}  {from_redrive:>7}  {accepted:>8}  {pending:>7}"
            );
        }
        let _ = writeln!(
            text,
            "drained {} s after the outage; at most {} messages in a second since",
            self.drained_after_s, self.most_in_a_second
        );
        for violation in &self.violations {
            let _ = writeln!(text, "VIOLATED {}: {}", violation.invariant, violation.text());
        }
        text
    }
}
