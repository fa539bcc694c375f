//! Logging: JSON lines on standard output, one for each delivery (`docs/logging.md`).

use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;

use crate::delivery::Attempted;
use crate::event_store::Settled;
use crate::receiver::{Answer, Receipt};
use crate::signing_keys::KeyVersion;
use crate::verification::Refusal;

/// Starts logging in this process; a second call changes nothing.
pub fn start(level: LevelFilter) {
    let lines = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_target(false)
        .with_max_level(level)
        .finish()
        .with(filter_fn(may_be_written));
    // Only a second start fails, and the first one's settings are as good.
    let _ = tracing::subscriber::set_global_default(lines);
}

/// False for what libraries say below `info`, whatever the level: the runtime quotes whole events there, and the AWS SDK
/// whole secrets.
fn may_be_written(line: &Metadata<'_>) -> bool {
    *line.level() <= Level::INFO || line.target().starts_with(concat!(env!("CARGO_CRATE_NAME"), "::"))
}

/// Writes the one line of a delivery, readable without any other.
///
/// Holds ids, codes and figures: never a body, a header's value, a signature, a token, a key, or a person.
pub fn log_delivery(provider: &str, receipt: &Receipt, attempted: Option<&Attempted>, request_id: &str) {
    let event = receipt.event.as_ref();
    let after = match attempted {
        Some(Attempted::Made { after, .. }) => Some(&**after),
        Some(Attempted::NoTime | Attempted::Paused) | None => event.filter(|_| receipt.answer != Answer::Duplicate),
    };
    let settled = match attempted {
        Some(Attempted::NoTime) => Some("no_time"),
        Some(Attempted::Paused) => Some("paused"),
        Some(Attempted::Made { settled: Ok(Settled::Written), .. }) | None => None,
        Some(Attempted::Made { settled: Ok(Settled::Superseded), .. }) => Some("superseded"),
        Some(Attempted::Made { settled: Err(_), .. }) => Some("not_settled"),
    };
    macro_rules! line {
        ($level:ident, $message:expr) => {
            tracing::$level!(
                request_id,
                provider,
                event.id = event.map(|event| event.event_id.as_str()),
                event.type = event.and_then(|event| event.event_type.as_deref()),
                outcome = receipt.answer.name(),
                refusal = receipt.refusal.map(Refusal::code),
                signed_form = receipt.signed_form,
                previous_key = (receipt.key_version == Some(KeyVersion::Previous)).then_some(true),
                conflicting = receipt.conflicting.then_some(true),
                state = after.map(|event| event.state.name()),
                error = after.and_then(|event| event.last_error.as_deref()).or(receipt.trouble.as_deref()),
                settled,
                latency_ms = receipt.ack.as_micros() as f64 / 1000.0,
                delivery_ms = after.and_then(|event| event.history.last()).map(|attempt| attempt.ms),
                $message
            )
        };
    }
    match receipt.answer {
        Answer::Unavailable => line!(error, "a delivery could not be recorded"),
        Answer::TooLarge if event.is_some() => line!(error, "an event is too large for the table"),
        Answer::Unauthorized | Answer::BadRequest | Answer::TooLarge => line!(warn, "a delivery was refused"),
        Answer::NotFound | Answer::MethodNotAllowed => line!(info, "a request was no delivery"),
        Answer::Duplicate if receipt.conflicting => line!(warn, "an id came again with another body"),
        _ if settled.is_some() || after.is_some_and(|event| event.last_error.is_some()) => {
            line!(warn, "a delivery was received and is not delivered yet");
        }
        _ => line!(info, "a delivery was received"),
    }
}
