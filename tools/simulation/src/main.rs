//! Lives by the thousand: `cargo run --release -p simulation -- --lives 1000000`, or the steps of one: `-- --seed 7`; or an outage of
//! Returning.AI and what comes after it: `-- --outage 300 --rate 20 --shares 4`.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use simulation::life::{Life, live};
use simulation::outage::Outage;
use simulation::world::system_name;

/// What many lives came to.
#[derive(Default)]
struct Sum {
    lives: u64,
    events: u64,
    deaths: u64,
    processes: u64,
    calls: u64,
    posts: u64,
    days: f64,
    endings: BTreeMap<String, u64>,
    faults: BTreeMap<String, u64>,
    violations: BTreeMap<&'static str, (u64, u64, String)>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let number = |flag: &str| {
        let at = arguments.iter().position(|argument| argument == flag)?;
        arguments.get(at + 1)?.parse::<u64>().ok()
    };
    let lives = number("--lives");
    if let Some(lasts_s) = number("--outage") {
        let shares = number("--shares").and_then(|shares| u8::try_from(shares).ok()).unwrap_or(1);
        let outage = Outage { events_per_second: number("--rate").unwrap_or(20), lasts_s, shares };
        let recovery = outage.happen();
        print!("{}", recovery.table());
        return if recovery.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    match (lives, number("--seed")) {
        (None, Some(seed)) => {
            let life = live(seed, true);
            print!("{}", life.report());
            if life.failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        }
        (lives, from) => many(from.unwrap_or_default(), lives.unwrap_or(10_000)),
    }
}

fn many(from: u64, lives: u64) -> ExitCode {
    let (next, sum, began) = (AtomicU64::new(from), Mutex::new(Sum::default()), Instant::now());
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + lives {
                        return;
                    }
                    let life = live(seed, false);
                    let mut sum = sum.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    sum.add(life);
                    if sum.lives.is_multiple_of(50_000) {
                        println!("{} lives, {:.0} s", sum.lives, began.elapsed().as_secs_f64());
                    }
                }
            });
        }
    });
    let sum = sum.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    sum.print(began.elapsed().as_secs_f64());
    if sum.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Sum {
    fn add(&mut self, life: Life) {
        self.lives += 1;
        self.events += life.events;
        self.deaths += life.deaths;
        self.processes += life.processes;
        self.calls += life.calls;
        self.posts += life.posts;
        self.days += life.days;
        for (ending, count) in life.endings {
            *self.endings.entry(ending).or_default() += count;
        }
        for ((system, fault), count) in life.faults {
            *self.faults.entry(format!("{} {}", system_name(system), fault.name())).or_default() += count;
        }
        if let Some(first) = life.violations.first() {
            let entry = self.violations.entry(first.invariant).or_insert((0, life.seed, first.text()));
            entry.0 += 1;
            if life.seed < entry.1 {
                (entry.1, entry.2) = (life.seed, first.text());
            }
        }
    }

    fn print(&self, seconds: f64) {
        let Self { lives, events, deaths, processes, calls, posts, .. } = self;
        println!("{lives} lives in {seconds:.1} s: {:.0} lives a second", *lives as f64 / seconds);
        println!(
            "{events} events, {processes} processes, {deaths} of them killed, {calls} calls, {posts} messages, {:.0} days",
            self.days
        );
        println!("faults injected:");
        for (fault, count) in &self.faults {
            println!("{count:>10}  {fault}");
        }
        println!("events ended:");
        for (ending, count) in &self.endings {
            println!("{count:>10}  {ending}");
        }
        for (invariant, (count, seed, first)) in &self.violations {
            println!("VIOLATED in {count} lives, first in --seed {seed}: {invariant}: {first}");
        }
    }
}
