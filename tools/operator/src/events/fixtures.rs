//! Events for tests.

use std::collections::BTreeMap;
use std::time::Duration;

use route::destination::Destination;
use shared::clock::UnixMillis;
use shared::record::event::{AttemptBy, DispatchOutcome, DispatchSuccess, EventRecord, EventState};
use shared::record::failure::{DispatchFailure, FailureCode};
use shared::record::retry_plan::Draw;

pub(crate) const NOW: UnixMillis = UnixMillis(1_738_784_271_042);

/// Received three hours ago, 5 s after it occurred.
pub(crate) fn received(id: &str, event_type: &str) -> EventRecord {
    let received_at = UnixMillis(NOW.0 - 3 * 3_600_000);
    EventRecord {
        provider: "rail".to_owned(),
        event_id: id.to_owned(),
        event_type: Some(event_type.to_owned()),
        occurred_at: UnixMillis(received_at.0 - 5_000),
        received_at,
        state: EventState::Ignored,
        attempts: 0,
        next_attempt_at: None,
        revived_at: None,
        unsettled: 0,
        body: r#"{"customer":"C-1001","amount":1000.00}"#.to_owned(),
        body_sha256: "5e1f".to_owned(),
        taken_by: format!("request/{id}"),
        last_error: None,
        history: Vec::new(),
        deliveries: BTreeMap::new(),
        fetched: BTreeMap::new(),
        delivered_at: None,
        expires_at: None,
    }
}

pub(crate) fn recorded(id: &str) -> EventRecord {
    let event = received(id, "POSTED");
    let at = event.received_at;
    event.begin(["deposit", "first-deposit"], at)
}

pub(crate) fn down() -> DispatchOutcome {
    Err(DispatchFailure { status: Some(503), ..FailureCode::ServerError.into() })
}

pub(crate) fn refused() -> DispatchOutcome {
    Err(DispatchFailure { status: Some(422), ..FailureCode::Refused.into() })
}

/// An attempt at both routes, `after` the receipt, that took half a second and planned with the highest draw.
pub(crate) fn attempted(
    event: &EventRecord,
    by: AttemptBy,
    after: Duration,
    outcomes: [DispatchOutcome; 2],
) -> EventRecord {
    let began = event.received_at.plus(after);
    let ended = began.plus(Duration::from_millis(512));
    let outcomes: Vec<_> = ["deposit".to_owned(), "first-deposit".to_owned()].into_iter().zip(outcomes).collect();
    event.settle(by, &outcomes, began, ended, |_| after, Draw(1.0))
}

pub(crate) fn delivered() -> DispatchOutcome {
    Ok(DispatchSuccess::Delivered { http_status: 200 })
}

pub(crate) fn workflow(name: &str) -> Destination {
    Destination::Workflow(name.to_owned())
}
