//! One life: a few events and customers, drawn faults, and all that happens to them until nothing is left to do.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use tokio::runtime::Builder;
use tokio::task::LocalSet;

use crate::actors::{Fleet, import_link, operate, redrive_dead, redrive_until, send, send_bad, send_fact};
use crate::check::{self, item};
use crate::faults::{Fault, System, Weather};
use crate::plan::{Act, Plan, Span};
use crate::table::text;
use crate::tables;
use crate::time::{self, BEGINNING_MS, DAY, SECOND, now_ms, sleep_until_ms};
use crate::world::{Shared, Violation, World, is_in_state, lock};

/// What a life came to.
#[derive(Debug, Default)]
pub struct Life {
    pub seed: u64,
    pub violations: Vec<Violation>,
    /// How its events have ended.
    pub endings: BTreeMap<String, u64>,
    pub faults: BTreeMap<(System, Fault), u64>,
    pub events: u64,
    pub deaths: u64,
    pub processes: u64,
    pub calls: u64,
    pub posts: u64,
    /// How long it was, in simulated time.
    pub days: f64,
    pub steps: Vec<String>,
}

/// Lives the life of `seed`, the same each time. Its steps are kept if it is `traced`.
///
/// # Panics
/// There is no runtime.
#[must_use]
pub fn live(seed: u64, traced: bool) -> Life {
    fastrand::seed(seed);
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime of one thread");
    let local = LocalSet::new();
    let life = local.block_on(&runtime, async {
        time::begin();
        let mut world = World::new(seed, traced);
        let plan = Plan::draw(&mut world);
        let world: Shared = Arc::new(Mutex::new(world));
        let fleet = Fleet::new(&world);
        whole(&world, &fleet, &plan).await;
        told(&world)
    });
    drop(local);
    life
}

async fn whole(world: &Shared, fleet: &Rc<Fleet>, plan: &Plan) {
    // Act one: events arrive, and whatever was drawn goes wrong.
    let mut actors = Vec::new();
    for (at, fact) in &plan.sends {
        let (world, fleet, fact, at) = (world.clone(), fleet.clone(), *fact, *at);
        actors.push(tokio::task::spawn_local(async move {
            sleep_until_ms(at).await;
            send_fact(&world, &fleet, fact).await;
        }));
    }
    for (at, act) in &plan.acts {
        let (world, fleet, act, at) = (world.clone(), fleet.clone(), act.clone(), *at);
        actors.push(tokio::task::spawn_local(async move {
            sleep_until_ms(at).await;
            operate(&world, &fleet, &act).await;
        }));
    }
    for (at, bad, fact) in &plan.strangers {
        let (world, fleet, bad, fact, at) = (world.clone(), fleet.clone(), *bad, *fact, *at);
        actors.push(tokio::task::spawn_local(async move {
            sleep_until_ms(at).await;
            send_bad(&world, &fleet, bad, fact).await;
        }));
    }
    redrive_until(world, fleet, plan.heals_at, false).await;
    for actor in actors {
        let _ = actor.await;
    }

    // Act two: all is well again, and what waits is delivered.
    lock(world).weather.clear();
    lock(world).step(|text| text.push_str("all is well from here on"));
    for destination in 0..crate::routes::DESTINATIONS.len() {
        if lock(world).paused_for_ms(destination).is_some() {
            operate(world, fleet, &Act::Resume(destination)).await;
        }
    }
    for link in plan.links.iter().filter(|link| !link.never) {
        import_link(world, link).await;
    }
    redrive_until(world, fleet, now_ms() + 12 * DAY, true).await;

    // Act three: a person looks at what is dead.
    if let Some(weather) = plan.after {
        let (from_ms, to_ms) = (now_ms(), now_ms() + 90 * SECOND);
        lock(world).weather.push(Weather { from_ms, to_ms, ..weather });
    }
    let dead: Vec<String> = {
        let world = lock(world);
        let dead = world.tables.items(tables::EVENTS).filter(|(_, item)| is_in_state(item, "dead"));
        dead.map(|(pk, _)| pk.to_owned()).collect()
    };
    let (mut again, mut closed) = (Vec::new(), Vec::new());
    for pk in dead {
        if lock(world).rng.u8(..4) > 0 { again.push(pk) } else { closed.push(pk) }
    }
    if !again.is_empty() {
        redrive_dead(world, fleet, again).await;
    }
    let reopened: Vec<String> = closed.iter().filter(|_| lock(world).rng.u8(..4) == 0).cloned().collect();
    for pk in closed {
        operate(world, fleet, &Act::Dismiss(pk)).await;
    }
    if !reopened.is_empty() {
        redrive_dead(world, fleet, reopened).await;
    }
    redrive_until(world, fleet, now_ms() + 12 * DAY, true).await;

    // Act four: much later. What has ended expires, and a provider sends something old again.
    if let Span::Years = plan.span {
        let later = now_ms() + 91 * DAY + lock(world).rng.u64(..60 * DAY);
        sleep_until_ms(later).await;
        check::expire(&mut lock(world));
        fleet.freeze();
        let replays = plan.replays.clone();
        for fact in replays {
            send(world, fleet, fact, false).await;
        }
        redrive_until(world, fleet, now_ms() + 12 * DAY, true).await;
    }
    fleet.rest().await;
    check::at_end(&mut lock(world));
}

fn told(world: &Shared) -> Life {
    let mut world = lock(world);
    let mut endings = BTreeMap::new();
    for fact in world.facts.clone() {
        let pks = fact.pks();
        let held = pks.iter().find_map(|pk| world.tables.item(tables::EVENTS, pk).or_else(|| world.expired.get(pk)));
        let ending = match (held, fact.acknowledged) {
            _ if world.deleted.contains(&pks[0]) => "deleted by hand".to_owned(),
            (Some(item), _) => {
                let of_routes: Vec<&str> = item::routes(item).map(|(_, is)| is).collect();
                match item::state(item).as_str() {
                    "delivered" if of_routes.contains(&"skipped") => "delivered, a route skipped".to_owned(),
                    "dead" => format!("dead ({})", text(item, "last_error").unwrap_or_default()),
                    state => state.to_owned(),
                }
            }
            (None, Some(_)) => "lost".to_owned(),
            (None, None) => "never acknowledged".to_owned(),
        };
        *endings.entry(ending).or_default() += 1;
    }
    Life {
        seed: world.seed,
        violations: world.violations.clone(),
        endings,
        faults: world.faults.clone(),
        events: world.facts.len() as u64,
        deaths: world.deaths,
        processes: world.processes.len() as u64,
        calls: world.processes.iter().map(|process| u64::from(process.calls)).sum(),
        posts: world.posts.len() as u64,
        days: (now_ms() - BEGINNING_MS) as f64 / DAY as f64,
        steps: world.take_trace(),
    }
}

impl Life {
    /// Whether something did not hold.
    #[must_use]
    pub fn failed(&self) -> bool {
        !self.violations.is_empty()
    }

    /// The seed, the steps and what did not hold.
    #[must_use]
    pub fn report(&self) -> String {
        let mut text = String::new();
        for step in &self.steps {
            let _ = writeln!(text, "{step}");
        }
        for violation in &self.violations {
            let _ = writeln!(text, "VIOLATED {}: {}", violation.invariant, violation.text());
        }
        let _ = writeln!(text, "seed {}", self.seed);
        text
    }
}
