//! Those who act in a life: providers, the schedule of redrive, an operator.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{join, join_all};
use operator::events::candidates::{Action, Candidates};
use operator::events::dismiss::dismiss;
use operator::events::filter::{Criteria, Filter};
use route::destination::Destination;
use shared::clock::UnixMillis;
use shared::receive::provider::Provider;
use shared::receive::receipt::Answer;
use shared::receive::receiver::{ACK_BUDGET, Invocation, Receiver};
use shared::record::event::EventState;
use shared::redrive::contract::{Request, Share};
use shared::redrive::run::{Redriver, STOP_BEFORE_END};
use tokio::sync::{Notify, oneshot};
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{Instant, timeout};

use crate::check::harm::{self, Sent};
use crate::check::{self, run};
use crate::environment::{self, Idle, TIMEOUT};
use crate::invocation;
use crate::plan::{Act, Link};
use crate::process::Kind;
use crate::routes::DESTINATIONS;
use crate::secrets::signing_key;
use crate::sending;
use crate::strangers::Bad;
use crate::table::Moment;
use crate::tables;
use crate::time::{DAY, MINUTE, SECOND, now_ms, sleep_ms, sleep_until_ms};
use crate::world::{Shared, World, lock};

/// The environments of all functions.
pub struct Fleet {
    receivers: BTreeMap<&'static str, Idle<Receiver>>,
    redrives: Idle<Redriver>,
    running: RefCell<Vec<JoinHandle<()>>>,
    pub changes: Rc<Notify>,
}

/// How long a provider waits for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// When a provider sends again what was not acknowledged.
const RESENDS_MS: [u64; 5] = [3 * SECOND, 20 * SECOND, 2 * MINUTE, 15 * MINUTE, 60 * MINUTE];

/// The longest time between two runs of redrive that have nothing to do.
const LONGEST_IDLE_MS: u64 = 3 * DAY;

impl Fleet {
    pub fn new(_: &Shared) -> Rc<Self> {
        Rc::new(Self {
            receivers: providers::ALL.iter().map(|provider| (provider.name, Idle::default())).collect(),
            redrives: Idle::default(),
            running: RefCell::default(),
            changes: Rc::default(),
        })
    }

    /// Waits for the invocations that are under way.
    pub async fn rest(&self) {
        let running = std::mem::take(&mut *self.running.borrow_mut());
        for task in running {
            let _ = task.await;
        }
    }

    /// No environment lives for months.
    pub fn freeze(&self) {
        self.redrives.clear();
        self.receivers.values().for_each(Idle::clear);
    }
}

/// A provider sends a fact until it is acknowledged or the provider gives up, and perhaps again afterwards.
pub async fn send_fact(world: &Shared, fleet: &Rc<Fleet>, fact: usize) {
    for wait in RESENDS_MS {
        let respelled = lock(world).rng.u8(..6) == 0;
        let twice = lock(world).rng.u8(..12) == 0;
        let acknowledged = match twice {
            true => {
                let (one, other) = join(send(world, fleet, fact, false), send(world, fleet, fact, respelled)).await;
                one || other
            }
            false => send(world, fleet, fact, respelled).await,
        };
        if acknowledged {
            break;
        }
        if lock(world).rng.u8(..10) == 0 {
            return;
        }
        sleep_ms(wait).await;
    }
    while lock(world).rng.u8(..4) == 0 {
        let wait = lock(world).rng.u64(..20 * MINUTE);
        sleep_ms(wait).await;
        let respelled = lock(world).rng.bool();
        send(world, fleet, fact, respelled).await;
    }
}

/// Sends a fact once, signed now; whether it was acknowledged.
pub async fn send(world: &Shared, fleet: &Rc<Fleet>, fact: usize, respelled: bool) -> bool {
    let (provider, key, body, lost) = {
        let mut world = lock(world);
        let sent = world.facts[fact].clone();
        // What has to be told apart by its text is sent with the same one.
        let alone = world.facts.iter().filter(|other| other.event_id == sent.event_id).count() == 1;
        let respelled = respelled && alone;
        let body = if respelled { sent.body.replace("\":", "\": ") } else { sent.body.clone() };
        world.step(|text| {
            let _ =
                write!(text, "{} sends {}{}", sent.provider, sent.event_id, if respelled { ", respelled" } else { "" });
        });
        let lost = world.rng.u8(..20) == 0;
        (providers::by_name(sent.provider), world.provider_key(), body, lost)
    };
    let Some(provider) = provider else { return false };
    let Some(request) = sending::signed(provider, &signing_key(key), now_ms(), body) else { return false };
    let answer = deliver(world, fleet, provider, request, Sent::Fact { fact, key }).await;
    let acknowledged = answer.is_some_and(Answer::is_acknowledgement) && !lost;
    let mut world = lock(world);
    let said = answer.map_or("nothing", Answer::name);
    world.step(|text| {
        let _ = write!(text, "{} is answered {said}{}", fact, if lost { ", which is lost" } else { "" });
    });
    if answer.is_some_and(Answer::is_acknowledgement) && world.facts[fact].acknowledged.is_none() {
        world.facts[fact].acknowledged = Some((now_ms(), said));
    }
    acknowledged
}

/// One invocation of a receiving function; the answer, unless the process died before it. Its work goes on after that.
async fn deliver(
    world: &Shared,
    fleet: &Rc<Fleet>,
    provider: &'static Provider,
    request: sending::Request,
    sent: Sent,
) -> Option<Answer> {
    let idle = fleet.receivers.get(provider.name)?.clone();
    let warm = idle.take();
    let is_cold = warm.is_none();
    let (receiver, environment) =
        warm.unwrap_or_else(|| (environment::receiver(world, provider), lock(world).open_environment()));
    let id = lock(world).start_process(Kind::Receiver, Some(environment));
    let (tell, told) = oneshot::channel();
    let (shared_world, changes) = (world.clone(), fleet.changes.clone());
    let task = spawn_local(async move {
        let world = shared_world;
        let work = async {
            if is_cold {
                let prepared = join(receiver.signing_keys.value(), receiver.deliverer.refresh_pauses());
                let _ = timeout(Duration::from_secs(1), prepared).await;
            }
            let invocation = Invocation {
                request_id: format!("r{id}"),
                ends_at: receiver.clock.now().plus(TIMEOUT),
                answer_by: Instant::now() + ACK_BUDGET,
            };
            let receipt = receiver.receive(&request, &invocation).await;
            let _ = tell.send(receipt.answer);
            let measured = receiver.after_ack(&receipt, &invocation).await;
            harm::on_received(&mut lock(&world), id, sent, receipt.answer, &measured);
            if receipt.event.is_some() {
                receiver.refresh_secrets().await;
            }
            measured
        };
        let ended = invocation::run(&world, id, TIMEOUT, work).await;
        if let Some(measured) = ended {
            run::on_measured(&mut lock(&world), id, &measured);
            idle.give_back(receiver, environment);
        }
        changes.notify_one();
    });
    fleet.running.borrow_mut().push(task);
    timeout(PATIENCE, told).await.ok()?.ok()
}

/// Somebody sends what no function may believe, made of what a provider sends.
pub async fn send_bad(world: &Shared, fleet: &Rc<Fleet>, bad: Bad, fact: usize) {
    let (provider, request) = {
        let mut world = lock(world);
        world.step(|text| {
            let _ = write!(text, "somebody sends fact {fact}: {bad:?}");
        });
        let (key, sent) = (world.provider_key(), world.facts[fact].clone());
        let Some(provider) = providers::by_name(sent.provider) else { return };
        (provider, bad.request(provider, key, &sent.body, &mut world.rare))
    };
    if let Some(request) = request {
        deliver(world, fleet, provider, request, Sent::Bad(bad)).await;
    }
}

/// One invocation of the redrive function.
pub async fn redrive(world: &Shared, fleet: &Rc<Fleet>, kind: Kind, request: Request) {
    let warm = fleet.redrives.take();
    let (redriver, environment) = warm.unwrap_or_else(|| (environment::redrive(world), lock(world).open_environment()));
    let is_measured = matches!(&request, Request::Due(share) if share.measures());
    let (id, backlog, long_due, began) = {
        let mut world = lock(world);
        let long_due = run::long_due(&world, &request);
        let backlog = is_measured.then(|| run::Backlog::of(&world)).flatten();
        (world.start_process(kind, Some(environment)), backlog, long_due, now_ms())
    };
    let work = async {
        let stops_at = Instant::now() + TIMEOUT.saturating_sub(STOP_BEFORE_END);
        redriver.run(&request, &format!("r{id}"), stops_at).await
    };
    if let Some((counts, measured)) = invocation::run(world, id, TIMEOUT, work).await {
        let mut world = lock(world);
        world.step(|text| {
            let _ = write!(text, "p{id} has redriven: {counts:?}");
        });
        run::on_measured(&mut world, id, &measured);
        harm::on_redriven(&mut world, id, &measured);
        let asked: &[String] = match &request {
            Request::Keys(keys) => keys,
            Request::Due(_) => &[],
        };
        run::on_counts(&mut world, id, now_ms() - began, (asked, &long_due), (&counts, &measured));
        if let Some(backlog) = backlog {
            run::on_backlog(&mut world, id, &backlog, &measured);
        }
        fleet.redrives.give_back(redriver, environment);
    }
}

/// The schedule: each minute in which something is due, until then; or until nothing is pending. Minutes in which nothing can
/// happen are left out: a run that changed nothing is followed by one after twice the time, until something changes.
pub async fn redrive_until(world: &Shared, fleet: &Rc<Fleet>, until: u64, until_quiet: bool) {
    let mut idle_ms = MINUTE;
    let mut last = 0;
    loop {
        let now = now_ms();
        if until_quiet {
            fleet.rest().await;
        }
        let due = lock(world).next_due_ms();
        if now >= until || (until_quiet && due.is_none()) {
            return;
        }
        let earliest = due.map_or(until, |due| due.max(now).max(if last == 0 { 0 } else { last + idle_ms }));
        let tick = (earliest / MINUTE + 1) * MINUTE;
        let changed = tokio::select! {
            biased;
            () = sleep_until_ms(tick.min(until)) => false,
            () = fleet.changes.notified() => true,
        };
        if changed {
            idle_ms = MINUTE;
            last = 0;
            continue;
        }
        if tick > until || due.is_none() {
            continue;
        }
        let before = lock(world).changed_at;
        let shares = {
            let mut world = lock(world);
            let mut shares = draw_shares(&mut world);
            // A schedule may invoke twice.
            if world.rng.u8(..8) == 0 {
                shares.extend(shares.first().copied());
            }
            shares
        };
        let runs = shares.into_iter().enumerate().map(|(at, share)| async move {
            if at > 0 {
                let wait = lock(world).rng.u64(..3 * SECOND);
                sleep_ms(wait).await;
            }
            redrive(world, fleet, Kind::Redrive, Request::Due(share)).await;
        });
        join_all(runs).await;
        last = now_ms();
        idle_ms = if lock(world).changed_at == before { (idle_ms * 2).min(LONGEST_IDLE_MS) } else { MINUTE };
    }
}

/// The schedules of this minute that find something: by how many the work is shared may change at any time.
fn draw_shares(world: &mut World) -> Vec<Share> {
    let of = [1, 1, 1, 2, 4, 8, 24, 64][world.rng.usize(..8)];
    let numbers: BTreeSet<u8> = world.due_parts().into_iter().map(|part| part % of).collect();
    numbers.into_iter().filter_map(|number| Share::try_from([number, of]).ok()).collect()
}

/// An operator names dead events, has them looked up, and redrives those that can be.
pub async fn redrive_dead(world: &Shared, fleet: &Rc<Fleet>, keys: Vec<String>) {
    let id = lock(world).start_process(Kind::Operator, None);
    let store = environment::events(world);
    let work = Candidates::by_keys(&store, &keys, Action::Redrive, UnixMillis(now_ms()));
    // If the table fails, the person goes on without.
    let chosen = match invocation::run(world, id, TIMEOUT, work).await {
        Some(Ok(chosen)) => chosen.keys,
        _ => keys.clone(),
    };
    run::on_candidates(&mut lock(world), &keys, &chosen);
    redrive_by_hand(world, fleet, chosen).await;
}

async fn redrive_by_hand(world: &Shared, fleet: &Rc<Fleet>, keys: Vec<String>) {
    redrive(world, fleet, Kind::Manual, Request::Keys(keys)).await;
    fleet.changes.notify_one();
}

pub async fn operate(world: &Shared, fleet: &Rc<Fleet>, act: &Act) {
    lock(world).step(|text| {
        let _ = write!(text, "the operator: {act:?}");
    });
    match act {
        Act::Pause(destination) | Act::Resume(destination) => {
            let id = lock(world).start_process(Kind::Operator, None);
            let store = environment::events(world);
            let to = destination_at(*destination);
            let now = UnixMillis(now_ms());
            let work = async {
                // A person tries until it has worked.
                for _ in 0..20 {
                    let done = match act {
                        Act::Pause(_) => operator::pauses::pause(&store, &to, now).await,
                        _ => operator::pauses::resume(&store, &to, now).await,
                    };
                    if done.is_ok() {
                        let began_ms = now.0;
                        check::done_by_hand(&mut lock(world), act, began_ms);
                        return;
                    }
                    sleep_ms(20 * SECOND).await;
                }
            };
            invocation::run(world, id, Duration::from_secs(900), work).await;
        }
        Act::RedriveAll => {
            let id = lock(world).start_process(Kind::Operator, None);
            let store = environment::events(world);
            let states = match lock(world).rng.bool() {
                true => vec![EventState::Dead],
                false => vec![EventState::Pending, EventState::Dead],
            };
            let work = async {
                let dead = Criteria { states, ..Criteria::default() };
                let now = UnixMillis(now_ms());
                let chosen = Candidates::by_filter(&store, &Filter::new(dead).ok()?, Action::Redrive, now).await;
                Some(chosen.ok()?.keys)
            };
            if let Some(keys) = invocation::run(world, id, TIMEOUT, work).await.flatten()
                && !keys.is_empty()
            {
                redrive_by_hand(world, fleet, keys).await;
            }
        }
        Act::Dismiss(pk) => {
            let id = lock(world).start_process(Kind::Operator, None);
            let store = environment::events(world);
            let now = now_ms();
            let work = dismiss(&store, std::slice::from_ref(pk), Some("simulated"), UnixMillis(now));
            // If the table fails, the event stays dead, and a person can see it.
            if let Some(Ok(_)) = invocation::run(world, id, TIMEOUT, work).await {
                check::done_by_hand(&mut lock(world), act, now);
            }
        }
        Act::RotateSigningKey => {
            let mut world = lock(world);
            world.signing_version += 1;
            // The provider may go over to the new key later.
            let later_ms = if world.rare.bool() { world.rare.u64(..10 * MINUTE) } else { 0 };
            world.signs_with_old_key_until = now_ms() + later_ms;
        }
        Act::RotateApiKey => {
            let mut world = lock(world);
            world.webhooks_version += 1;
            world.old_key_until = now_ms() + 2 * MINUTE;
        }
        Act::Import(link) => import_link(world, link).await,
    }
    fleet.changes.notify_one();
}

/// Writes a link to the customers table, as an import does.
pub async fn import_link(world: &Shared, link: &Link) {
    let item = serde_json::json!({
        "ref": { "S": link.reference },
        "customer_id": { "S": link.customer },
        "updated_at": { "N": now_ms().to_string() },
    });
    let request = serde_json::json!({ "TableName": tables::CUSTOMERS, "Item": item });
    let moment = Moment { now_ms: now_ms(), ..Moment::default() };
    let _ = lock(world).tables.call("PutItem", &request, moment);
}

fn destination_at(at: usize) -> Destination {
    match DESTINATIONS[at].split_once(':') {
        Some((_, name)) => Destination::IncomingWebhook(name.to_owned()),
        None => Destination::Workflow(DESTINATIONS[at].to_owned()),
    }
}
