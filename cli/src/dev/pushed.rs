//! The live events of the bridge that runs here: its table tells of each write, and the event is read as it is then.

use std::collections::BTreeSet;
use std::time::Duration;

use local::dynamodb::{EVENTS_TABLE, Write};
use local::gateway::Exchange;
use local::stack::webhook_path;
use shared::clock::Clock;
use shared::event::EventState;
use shared::event_store::{EventStore, StoreError};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::time::sleep;

use crate::delivery::Sender;
use crate::page::board::{Board, MAX_ROWS};
use crate::page::key_of;

/// Before a table that does not answer is asked again.
const BEFORE_ASKING_AGAIN: Duration = Duration::from_millis(500);

/// Writes what is in the table into `board`, and from then on what is written. Does not end.
pub(super) async fn follow(store: &EventStore, board: &Board, mut writes: Receiver<Write>) {
    let mut changed = BTreeSet::new();
    let mut is_behind = true;
    loop {
        let read = match is_behind {
            true => read_all(store, board).await,
            false => read_some(store, board, &changed).await,
        };
        if read.is_err() {
            sleep(BEFORE_ASKING_AGAIN).await;
            continue;
        }
        changed.clear();
        // Everything that has been written meanwhile is read in one go.
        is_behind = match next(&mut writes, &mut changed).await {
            Ok(()) => false,
            Err(RecvError::Lagged(_)) => true,
            Err(RecvError::Closed) => return,
        };
    }
}

/// Waits until an event is written, and takes what else was.
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

/// Switches and claims share the table, and are no events.
fn note(write: Write, changed: &mut BTreeSet<String>) {
    let provider = write.key.split_once('#').map(|(provider, _)| provider);
    if write.table == EVENTS_TABLE && provider.is_some_and(|provider| Sender::named(provider).is_some()) {
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

/// The newest events of the table, which has them in no order.
async fn read_all(store: &EventStore, board: &Board) -> Result<(), StoreError> {
    let mut newest = Vec::new();
    let mut from = None;
    loop {
        let page = store.scan(&EventState::ALL, from.as_ref()).await?;
        newest.extend(page.events.into_iter().flatten());
        from = page.next;
        if newest.len() > 2 * MAX_ROWS || from.is_none() {
            newest.sort_unstable_by_key(|event| event.received_at);
            newest.drain(..newest.len().saturating_sub(MAX_ROWS));
        }
        if from.is_none() {
            break;
        }
    }
    for event in newest {
        board.put(event, Clock::system().now());
    }
    Ok(())
}

/// Takes note of how long an acknowledgement took.
pub(crate) fn note_answer(board: &Board, exchange: &Exchange) {
    let sender = [Sender::Rail, Sender::Rillis].into_iter().find(|sender| webhook_path(sender.name()) == exchange.path);
    if exchange.status == 200
        && let Some(pk) = sender.and_then(|sender| key_of(sender, &exchange.body))
    {
        board.acknowledged(&pk, exchange.ack.as_secs_f64() * 1000.0);
    }
}
