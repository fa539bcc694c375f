//! The live events of the bridge on this machine: its table announces each write, and the event is then read.

use std::collections::BTreeSet;
use std::time::Duration;

use local::delivery::key_of;
use local::dynamodb::{EVENTS_TABLE, Write};
use local::gateway::Exchange;
use shared::clock::Clock;
use shared::record::event::EventState;
use shared::record::key;
use shared::record::store::EventStore;
use shared::record::store::error::StoreError;
use shared::record::store::listing::EventSummary;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::time::sleep;

use crate::board::{Board, MAX_ROWS};

/// The pause after a table did not answer.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// Puts all events of the table onto `board`, and then each event that is written. Does not end.
pub(super) async fn follow(store: &EventStore, board: &Board, mut writes: Receiver<Write>) {
    let mut changed = BTreeSet::new();
    let mut is_behind = true;
    loop {
        let read = match is_behind {
            true => read_all(store, board).await,
            false => read_some(store, board, &changed).await,
        };
        if read.is_err() {
            sleep(RETRY_AFTER).await;
            continue;
        }
        changed.clear();
        // All that was written meanwhile is read at once.
        is_behind = match next(&mut writes, &mut changed).await {
            Ok(()) => false,
            Err(RecvError::Lagged(_)) => true,
            Err(RecvError::Closed) => return,
        };
    }
}

/// Waits until an event is written, and takes all further writes.
async fn next(writes: &mut Receiver<Write>, changed: &mut BTreeSet<String>) -> Result<(), RecvError> {
    while changed.is_empty() {
        note(writes.recv().await?, changed);
    }
    loop {
        match writes.try_recv() {
            Ok(write) => note(write, changed),
            Err(TryRecvError::Empty | TryRecvError::Closed) => return Ok(()),
            Err(TryRecvError::Lagged(missed)) => return Err(RecvError::Lagged(missed)),
        }
    }
}

/// Pauses and claims share the table, and are not events.
fn note(write: Write, changed: &mut BTreeSet<String>) {
    let provider = key::event_parts(&write.key).map(|(provider, _)| provider);
    if write.table == EVENTS_TABLE && provider.is_some_and(|provider| providers::by_name(provider).is_some()) {
        changed.insert(write.key);
    }
}

async fn read_some(store: &EventStore, board: &Board, changed: &BTreeSet<String>) -> Result<(), StoreError> {
    let keys: Vec<String> = changed.iter().cloned().collect();
    for event in store.summaries(&keys).await?.into_iter().flatten() {
        board.put(event, Clock::system().now());
    }
    Ok(())
}

/// Reads pending and dead events, and the newest of the others: the table has no order.
async fn read_all(store: &EventStore, board: &Board) -> Result<(), StoreError> {
    let is_open = |event: &EventSummary| matches!(event.state, EventState::Pending | EventState::Dead);
    let (mut kept, mut more) = (Vec::new(), false);
    let mut from = None;
    loop {
        let page = store.scan(&EventState::ALL, from.as_ref()).await?;
        kept.extend(page.events.into_iter().flatten());
        from = page.next;
        if kept.len() > 2 * MAX_ROWS || from.is_none() {
            kept.sort_unstable_by_key(|event| (is_open(event), event.received_at));
            for event in kept.drain(..kept.len().saturating_sub(MAX_ROWS)) {
                if board.listed(&event.pk).is_some() {
                    // It may have ended unseen.
                    board.put(event, Clock::system().now());
                } else {
                    more |= is_open(&event);
                }
            }
        }
        if from.is_none() {
            break;
        }
    }
    board.set_more(more);
    for event in kept {
        board.put(event, Clock::system().now());
    }
    Ok(())
}

/// Notes how long an acknowledgement took.
pub fn note_answer(board: &Board, exchange: &Exchange) {
    let provider = providers::ALL.iter().find(|provider| provider.path() == exchange.path);
    if exchange.status == 200
        && let Some(pk) = provider.and_then(|provider| key_of(provider, &exchange.body))
    {
        board.acknowledged(&pk, exchange.ack.as_secs_f64() * 1000.0);
    }
}

#[cfg(test)]
mod tests;
