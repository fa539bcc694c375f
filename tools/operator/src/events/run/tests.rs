use std::cell::{Cell, RefCell};

use shared::redrive::contract::Counts;
use tokio::sync::Notify;

use super::*;

fn keys(count: usize) -> Vec<String> {
    (1..=count).map(|n| format!("rail#evt_{n}")).collect()
}

async fn never() {
    std::future::pending::<()>().await;
}

fn all_delivered(some: &[String]) -> Counts {
    Counts { delivered: u32::try_from(some.len()).unwrap(), ..Counts::default() }
}

#[tokio::test]
async fn keys_go_in_small_calls_at_the_rate_asked_for() {
    for (rate, calls_expected, least_ms) in [(200, vec![32, 32, 6], 320), (20, vec![20, 5], 1000)] {
        let calls = RefCell::new(Vec::new());
        let invoke = async |some: Vec<String>| {
            calls.borrow_mut().push(some.len());
            Ok(all_delivered(&some))
        };
        let keys = keys(calls_expected.iter().sum());
        let began = Instant::now();
        let result = run(invoke, &keys, rate, never, |_| {}).await;
        assert_eq!((result.done, result.counts.delivered as usize), (keys.len(), keys.len()));
        assert_eq!(*calls.borrow(), calls_expected);
        assert!(began.elapsed().as_millis() >= least_ms, "{:?}", began.elapsed());
    }
}

/// Interrupted during the second call, as often as `times` says.
async fn interrupted_in_the_second_call(times: usize) -> RunResult<Counts> {
    let (calls, listens) = (Cell::new(0), Cell::new(0));
    let second_call = Notify::new();
    let invoke = async |some: Vec<String>| {
        calls.set(calls.get() + 1);
        if calls.get() == 2 {
            second_call.notify_one();
            tokio::task::yield_now().await;
            if times > 1 {
                never().await;
            }
        }
        Ok(all_delivered(&some))
    };
    let interrupted = async || {
        listens.set(listens.get() + 1);
        match listens.get() {
            1 => second_call.notified().await,
            listen if listen > times => never().await,
            _ => {}
        }
    };
    run(invoke, &keys(96), 1000, interrupted, |_| {}).await
}

#[tokio::test]
async fn an_interrupt_finishes_the_call_in_hand_and_stops() {
    let result = interrupted_in_the_second_call(1).await;
    assert_eq!((result.done, result.counts.delivered), (64, 64));
    assert!(matches!(result.verdict, Verdict::Stopped { left: 32 }), "{result:?}");
}

#[tokio::test]
async fn a_second_interrupt_leaves_the_call_in_hand() {
    let result = interrupted_in_the_second_call(2).await;
    assert_eq!((result.done, result.counts.delivered), (32, 32));
    assert!(matches!(result.verdict, Verdict::Stopped { left: 64 }), "{result:?}");
}

#[tokio::test]
async fn a_call_that_fails_ends_the_run_with_what_was_done() {
    let calls = Cell::new(0);
    let invoke = async |some: Vec<String>| {
        calls.set(calls.get() + 1);
        if calls.get() == 2 { Err(OperatorError::outside("down", "wait")) } else { Ok(all_delivered(&some)) }
    };
    let result = run(invoke, &keys(96), 1000, never, |_| {}).await;
    assert_eq!(result.done, 32);
    assert!(matches!(result.verdict, Verdict::Failed { left: 64, .. }), "{result:?}");
}

async fn check_verdict(counts: Counts, incomplete: usize) {
    let result = run(async |_| Ok(counts), &keys(5), 1000, never, |_| {}).await;
    match result.verdict {
        Verdict::Complete => assert_eq!(incomplete, 0),
        Verdict::Incomplete { events } => assert_eq!(events, incomplete),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_run_is_complete_when_the_function_has_tried_every_event_whatever_came_of_it() {
    check_verdict(Counts { delivered: 2, retried: 1, dead: 1, held_back: 1, ..Counts::default() }, 0).await;
    check_verdict(Counts { delivered: 4, troubled: 1, ..Counts::default() }, 1).await;
    check_verdict(Counts { delivered: 3, ..Counts::default() }, 2).await;
    check_verdict(Counts { delivered: 1, troubled: 1, ..Counts::default() }, 4).await;
}
