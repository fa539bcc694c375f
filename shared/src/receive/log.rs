//! What is logged and measured of one delivery.

use crate::deliver::attempt::{AttemptOutcome, measure_attempt};
use crate::observe::metrics::{
    ACCEPTED_BY_PREVIOUS_KEY, ACK_LATENCY, CONFLICTING_DUPLICATE, COOLING_OFF, DATED_BY_SIGNATURE, DEAD, DUPLICATE,
    ID_CONFLICT, IGNORED, Measurements, PAUSES_UNREADABLE, RECEIVED, REFUSED, SIGNED_AND_REFUSED, TOO_LARGE,
    UNAVAILABLE, UNKNOWN_EVENT_TYPE, VERIFICATION_BOUND, VERIFIED,
};
use crate::receive::receipt::{Answer, Receipt};
use crate::receive::signing_keys::KeyVersion;
use crate::receive::verification::Refusal;
use crate::record::event::EventState;

/// Writes the one line of a delivery, readable without any other.
///
/// Contains ids, codes and figures: never a body, a header's value, a signature, a token, a key, or personal data.
pub fn log_delivery(provider: &str, receipt: &Receipt, attempted: Option<&AttemptOutcome>) {
    let event = receipt.event.as_ref();
    let after = match attempted {
        Some(AttemptOutcome::Made(report)) => Some(&report.after),
        // What a duplicate or a refused delivery would have become says nothing of what the table holds.
        Some(
            AttemptOutcome::NoTime
            | AttemptOutcome::Paused
            | AttemptOutcome::PausesUnreadable
            | AttemptOutcome::CoolingOff,
        )
        | None => event.filter(|_| matches!(receipt.answer, Answer::Accepted | Answer::Ignored)),
    };
    let settled = match attempted {
        Some(AttemptOutcome::NoTime) => Some("no_time"),
        Some(AttemptOutcome::Paused) => Some("paused"),
        Some(AttemptOutcome::PausesUnreadable) => Some("pauses_unreadable"),
        Some(AttemptOutcome::CoolingOff) => Some("cooling_off"),
        Some(AttemptOutcome::Made(report)) => report.not_settled(),
        None => None,
    };
    let state = match attempted {
        // The table does not hold it.
        Some(AttemptOutcome::Made(_)) if settled.is_some() => None,
        _ => after.map(|event| event.state.name()),
    };
    let internal = receipt.error.as_ref().map(|error| error.text.as_str());
    macro_rules! line {
        ($level:ident, $message:expr) => {
            tracing::$level!(
                provider,
                event.id = event.map(|event| event.event_id.as_str()),
                event.type = event.and_then(|event| event.event_type.as_deref()),
                outcome = receipt.answer.name(),
                refusal = receipt.refusal.map(Refusal::code),
                signed_form = receipt.signed_form,
                previous_key = (receipt.key_version == Some(KeyVersion::Previous)).then_some(true),
                dated_by_signature = receipt.dated_by_signature.then_some(true),
                conflicting = receipt.conflicting.then_some(true),
                conflicts_with = receipt.conflicts_with,
                state,
                error = after.and_then(|event| event.last_error.as_deref()).or(internal),
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
        Answer::NotFound | Answer::MethodNotAllowed => line!(info, "a request was not a delivery"),
        _ if settled == Some("gone") => line!(error, "the record of an event was deleted before its work was done"),
        Answer::Accepted | Answer::Ignored if receipt.conflicts_with.is_some() => {
            line!(error, "two different events have the same event id");
        }
        Answer::Duplicate if receipt.conflicting => line!(warn, "an event id arrived again with another body"),
        _ if settled.is_some() || after.is_some_and(|event| event.last_error.is_some()) => {
            line!(warn, "a delivery was received and is not delivered yet");
        }
        _ => line!(info, "a delivery was received"),
    }
}

/// The measurements of one delivery. `type_is_known` says whether a route names the event's type.
pub fn measure_delivery(receipt: &Receipt, attempted: Option<&AttemptOutcome>, type_is_known: bool) -> Measurements {
    let mut measured = Measurements::default();
    measured.count(RECEIVED, 1);
    match receipt.answer {
        Answer::Accepted => {}
        Answer::Duplicate => measured.count(DUPLICATE, 1),
        Answer::Ignored => measured.count(IGNORED, 1),
        Answer::Unavailable => {
            measured.count_by(UNAVAILABLE, receipt.error.as_ref().map_or("unknown", |error| error.code));
        }
        refused => measured.count_by(REFUSED, receipt.refusal.map_or(refused.name(), Refusal::code)),
    }
    let is_signed = receipt.event.is_some() || receipt.refusal == Some(Refusal::BodyNotAnObject);
    match receipt.answer {
        Answer::BadRequest | Answer::TooLarge if is_signed => measured.count(SIGNED_AND_REFUSED, 1),
        Answer::TooLarge if receipt.refusal.is_none() => measured.count(TOO_LARGE, 1),
        _ => {}
    }
    if receipt.conflicting {
        measured.count(CONFLICTING_DUPLICATE, 1);
    }
    if receipt.too_many_keys {
        measured.count_by(VERIFICATION_BOUND, "too_many_keys");
    }
    if receipt.refusal == Some(Refusal::SignatureMismatch { form_left_out: true }) {
        measured.count_by(VERIFICATION_BOUND, "form_left_out");
    }
    if let Some(form) = receipt.signed_form {
        measured.count_by(VERIFIED, form);
    }
    if receipt.key_version == Some(KeyVersion::Previous) && receipt.answer.is_acknowledgement() {
        measured.count(ACCEPTED_BY_PREVIOUS_KEY, 1);
    }
    measured.duration(ACK_LATENCY, receipt.ack.as_micros() as f64 / 1000.0);

    let is_new = matches!(receipt.answer, Answer::Accepted | Answer::Ignored);
    let Some(event) = receipt.event.as_ref().filter(|_| is_new) else {
        return measured;
    };
    if !type_is_known {
        measured.count(UNKNOWN_EVENT_TYPE, 1);
    }
    if receipt.dated_by_signature {
        measured.count(DATED_BY_SIGNATURE, 1);
    }
    if receipt.conflicts_with.is_some() {
        measured.count(ID_CONFLICT, 1);
    } else if event.state == EventState::Dead {
        measured.count(DEAD, 1);
    }
    let waiting = event.pending_routes().count();
    let pauses_unreadable = match attempted {
        Some(AttemptOutcome::Made(report)) => {
            measure_attempt(&mut measured, event, report);
            report.pauses_unreadable
        }
        Some(AttemptOutcome::PausesUnreadable) => waiting,
        Some(AttemptOutcome::CoolingOff) => {
            measured.count(COOLING_OFF, waiting as u64);
            0
        }
        Some(AttemptOutcome::NoTime | AttemptOutcome::Paused) | None => 0,
    };
    measured.count_any(PAUSES_UNREADABLE, pauses_unreadable as u64);
    measured
}

#[cfg(test)]
mod tests;
