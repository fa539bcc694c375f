//! Lives of the bridge: nothing acknowledged is lost, and a seed gives the same life again.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use simulation::life::live;

/// Unoptimised, a life takes a third of a second of one core; `cargo test --release` bears as many as this in half a minute.
const LIVES: u64 = if cfg!(debug_assertions) { 200 } else { 5_000 };

/// A machine that is busy with other tests does fewer.
const TIME: Duration = Duration::from_secs(60);

#[test]
fn nothing_acknowledged_is_lost_in_many_lives() {
    let (next, failed, began) = (AtomicU64::new(0), Mutex::new(None), Instant::now());
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while began.elapsed() < TIME && failed.lock().unwrap().is_none() {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= LIVES {
                        return;
                    }
                    if live(seed, false).failed() {
                        *failed.lock().unwrap() = Some(seed);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    if let Some(seed) = failed {
        panic!("{}", live(seed, true).report());
    }
}

#[test]
fn a_seed_gives_the_same_life_again() {
    for seed in [1, 4, 6, 21] {
        let (once, again) = (live(seed, true), live(seed, true));
        assert!(once.steps.len() > 10, "{}", once.report());
        assert_eq!(once.steps, again.steps, "seed {seed}");
    }
}
