//! What the verbs of Rail's subscriptions say: what is done, what is left, what Rail rejects.

use ::rail::RAIL;
use operator::OperatorError;
use operator::rail_subscriptions::plan::{Status, compare};
use operator::rail_subscriptions::{
    CallbackUrl, Outcome, Progress, RejectedType, RequiredTypes, Snapshot, Source, source,
};
use operator::times::span;
use operator::words::counted;

use crate::routes::file::RoutesFile;
use crate::terminal::{note, out};

/// What routes need of Rail; says which patterns come to nothing.
pub(super) fn needed(routes: &RoutesFile) -> Result<RequiredTypes, OperatorError> {
    let needed = RequiredTypes::of(&routes.read()?, RAIL.name);
    for pattern in &needed.unmatched {
        note!("note: no documented event type of Rail matches `{pattern}`; name exact types to subscribe to them");
    }
    Ok(needed)
}

/// One line for what has just been done.
pub(super) fn tell(told: &Progress) {
    out!("{}", sentence(told));
}

fn sentence(told: &Progress) -> String {
    match told {
        Progress::Created { event_type, id } => {
            format!("created   {event_type}  {id}; its key is in the secret")
        }
        Progress::KeyCopied { event_type, id } => {
            format!("took key  {event_type}  {id}, from Rail's list")
        }
        Progress::Deleted { event_type, id } => format!("deleted   {event_type}  {id}"),
        Progress::KeysRemoved(count) => format!("removed   {}", counted(*count, "key")),
        Progress::Rejected(refused) => {
            format!("REJECTED  {}: Rail does not accept it ({})", refused.event_type, answer(refused))
        }
        Progress::RotationStarted(types) => format!("started   {}", counted(*types, "event type")),
        Progress::RotationResumed(types) => {
            format!("continuing what an earlier run has started: {}", types.join(", "))
        }
        Progress::WaitingToDelete { old, pause } => format!(
            "waiting {} until every function has read the new keys, then {} will be deleted",
            span(*pause),
            counted(*old, "old subscription")
        ),
        Progress::WaitingToRemoveKeys { keys, pause } => format!(
            "waiting {} for the last deliveries of the old subscriptions, then {} will be removed",
            span(*pause),
            counted(*keys, "old key")
        ),
    }
}

/// Refused types are no success, though all else was done.
pub(super) fn conclude(outcome: &Outcome) -> Result<(), OperatorError> {
    if outcome.rejected.is_empty() {
        return Ok(());
    }
    let each = outcome.rejected.iter().map(|refused| {
        let whose = match source(&refused.event_type) {
            Source::OpenApi => "named by Rail's OpenAPI description",
            Source::GuideOnly => "named only by Rail's guide",
            Source::Neither => "not named in Rail's documentation",
        };
        format!("{} ({}; {whose})", refused.event_type, answer(refused))
    });
    Err(OperatorError::refused(
        format!(
            "Rail rejects {}: {}",
            counted(outcome.rejected.len(), "event type"),
            each.collect::<Vec<_>>().join(", ")
        ),
        "everything else is done. Ask Rail how it spells these types, or remove them from routes.toml. If Rail rejects a \
         second subscription beside the first, `delete` the first, then `sync`",
    ))
}

fn answer(refused: &RejectedType) -> String {
    let code = refused.code.as_ref().map(|code| format!(" {code}")).unwrap_or_default();
    format!("{}{code}", refused.status)
}

/// Whose subscriptions no route needs, at this URL.
pub(super) fn unneeded(snapshot: &Snapshot, needed: &RequiredTypes, url: &CallbackUrl) -> usize {
    compare(snapshot, &needed.types, url).iter().filter(|row| row.status == Status::NotNeeded).count()
}

#[cfg(test)]
mod tests;
