//! A thousand events through a [storm](local::storm): processes are killed, Returning.AI and DynamoDB fail in all their
//! ways. What was acknowledged is delivered; every message of one event is the same; and only what a misfortune touched is
//! sent twice.

use std::collections::BTreeSet;
use std::time::Instant;

use local::storm::{Event, Progress, Storm};

use crate::bridge::fixture::*;

const EVENTS: usize = 1_000;

#[tokio::test]
async fn of_a_thousand_events_in_a_storm_none_that_was_acknowledged_is_lost() {
    let began = Instant::now();
    let seed = std::env::var("BRIDGE_SOAK_SEED").map_or_else(|_| fastrand::u64(..), |text| text.parse().unwrap());
    println!("BRIDGE_SOAK_SEED={seed}");
    let stack = Bridge::start().await.stack;
    let event = |n: usize| {
        let provider = RECEIVERS[n % RECEIVERS.len()];
        let route = route_of_wanted(provider).name.clone();
        let event_id = format!("e{n}");
        let (pk, body) = (format!("{provider}#{event_id}"), wanted(provider, &event_id).into());
        Event { provider: providers::by_name(provider).unwrap(), pk, body, routes: vec![route] }
    };
    let storm = Storm {
        stack: &stack,
        events: (0..EVENTS).map(event).collect(),
        once: BTreeSet::new(),
        seed,
        progress: &|progress| {
            if !matches!(progress, Progress::Acknowledged) {
                println!("{:>5.1?}: {progress:?}", began.elapsed());
            }
        },
    };
    let tally = storm.run().await.unwrap();
    println!("{:>5.1?}: {tally:#?}", began.elapsed());

    assert_eq!(tally.verdict(), Ok(()));
    assert_eq!((tally.acknowledged, tally.delivered), (EVENTS, EVENTS));
    assert_eq!(tally.unexplained, Vec::<String>::new());
    assert_eq!(stack.returning_ai.violations(), []);
    let killed = |function: &str| tally.killed.get(function).copied().unwrap_or_default();
    assert!(RECEIVERS.into_iter().all(|provider| killed(provider) > 5), "{:?}", tally.killed);
    assert!(killed("redrive") > 0 && tally.table_faults > 100);
}
