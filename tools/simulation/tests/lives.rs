//! Lives of the bridge: nothing acknowledged is lost, and a seed gives the same life again.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use simulation::life::live;

/// About a minute on two cores; `cargo test --release` lives more in less.
const LIVES: u64 = if cfg!(debug_assertions) { 2_000 } else { 20_000 };

#[test]
fn nothing_acknowledged_is_lost_in_many_lives() {
    let (next, failed, began) = (AtomicU64::new(0), Mutex::new(None), Instant::now());
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while failed.lock().unwrap().is_none() {
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
    if let Some(seed) = failed.into_inner().unwrap() {
        panic!("{}", live(seed, true).report());
    }
    println!("{LIVES} lives in {:.0} s", began.elapsed().as_secs_f64());
}

#[test]
fn a_seed_gives_the_same_life_again() {
    for seed in [1, 4, 6, 21] {
        let (once, again) = (live(seed, true), live(seed, true));
        assert!(once.steps.len() > 10, "{}", once.report());
        assert_eq!(once.steps, again.steps, "seed {seed}");
    }
}
