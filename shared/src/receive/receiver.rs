//! From a request to its answer: refuse, record, acknowledge; and the work after the answer.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join;
use lambda_http::Request;
use tokio::time::{Instant, timeout_at};

use crate::clock::{Clock, UnixMillis};
use crate::config::kill_point;
use crate::deliver::attempt::Deliverer;
use crate::observe::metrics::{Measurements, SECRET_ENTRY_LEFT_OUT};
use crate::receive::id_conflict::IdConflict;
use crate::receive::log::{log_delivery, measure_delivery};
use crate::receive::provider::Provider;
use crate::receive::receipt::{Answer, InternalError, Receipt};
use crate::receive::signing_keys::{KeySet, KeysError, MAX_KEYS, SigningKeys};
use crate::receive::verification::{Delivery, Refusal, VerifiedEvent, hex, refuse_by_headers, verify};
use crate::record::event::{EventRecord, EventState, holder};
use crate::record::store::RecordOutcome;
use crate::record::store::error::StoreError;

/// Receives the deliveries of one provider.
pub struct Receiver {
    pub provider: &'static Provider,
    pub clock: Clock,
    pub signing_keys: SigningKeys,
    pub deliverer: Deliverer,
    pub max_body_bytes: usize,
}

/// One Lambda invocation.
#[derive(Clone, Debug)]
pub struct Invocation {
    pub request_id: String,
    pub ends_at: UnixMillis,
    /// When the answer must have left at the latest.
    pub answer_by: Instant,
}

/// The strictest provider wants its answer within 5 s, and we promise it within 4: the rest is for the network.
pub const ACK_BUDGET: Duration = Duration::from_millis(3_600);

/// Writing ends this long before the answer is due, so that the log line can say what was wrong with the table.
const BEFORE_THE_ANSWER: Duration = Duration::from_millis(50);

impl Receiver {
    /// Decides on the answer, in time; an acknowledged event has been recorded.
    pub async fn receive(&self, request: &Request, invocation: &Invocation) -> Receipt {
        let began = Instant::now();
        let late = || Receipt::unavailable("answer_due", "the answer was due".to_owned());
        let mut receipt =
            timeout_at(invocation.answer_by, self.decide(request, invocation)).await.unwrap_or_else(|_| late());
        receipt.ack = began.elapsed();
        receipt
    }

    /// The work after the answer: the first attempt to deliver, and the log line. Returns the measurements.
    pub async fn after_ack(&self, receipt: &Receipt, invocation: &Invocation) -> Measurements {
        kill_point("acknowledged");
        let attempted = match &receipt.event {
            Some(event) if receipt.answer == Answer::Accepted && event.state == EventState::Pending => {
                Some(self.deliverer.first_attempt(event, invocation.ends_at).await)
            }
            _ => None,
        };
        log_delivery(self.provider.name, receipt, attempted.as_ref());
        let event_type = receipt.event.as_ref().and_then(|event| event.event_type.as_deref());
        let type_is_known =
            event_type.is_some_and(|event_type| self.deliverer.routes.knows_type(self.provider.name, event_type));
        let mut measured = measure_delivery(receipt, attempted.as_ref(), type_is_known);
        let left_out = self.signing_keys.take_left_out() + self.deliverer.returning_ai.take_left_out();
        measured.count_any(SECRET_ENTRY_LEFT_OUT, left_out);
        measured
    }

    /// Refreshes secrets that will soon be old, so that no delivery has to wait for them.
    pub async fn refresh_secrets(&self) {
        join(self.signing_keys.refresh_ahead(), self.deliverer.returning_ai.refresh_ahead()).await;
    }

    async fn decide(&self, request: &Request, invocation: &Invocation) -> Receipt {
        let body: &[u8] = request.body();
        let delivery = Delivery { headers: request.headers(), body };
        let now = self.clock.now();
        if body.len() > self.max_body_bytes {
            // Its signature is not looked at: hashing is what the limit saves. Its headers tell a provider from most strangers.
            let refusal = refuse_by_headers(self.provider, delivery.headers, now).err();
            return Receipt { refusal, ..Receipt::of(Answer::TooLarge) };
        }
        let receipt = match self.verify(delivery, now).await {
            Ok(verified) => self.record(&verified, now, invocation).await,
            Err(Unverified::Refused(refusal)) => Receipt::refused(refusal),
            Err(Unverified::NoKeys(error)) => Receipt::unavailable(error.code(), error.to_string()),
        };
        let too_many_keys = self.signing_keys.fresh().is_some_and(|keys| keys.tried_in_all() > MAX_KEYS);
        Receipt { too_many_keys, ..receipt }
    }

    /// Verifies with the cached keys; while none fits, with newer ones and those of the previous version.
    async fn verify<'a>(&self, delivery: Delivery<'a>, now: UnixMillis) -> Result<VerifiedEvent<'a>, Unverified> {
        let keys = match self.signing_keys.fresh() {
            Some(keys) => keys,
            None => {
                // Check the headers first: a request that is refused anyway must not cause a secret fetch.
                refuse_by_headers(self.provider, delivery.headers, now)?;
                self.signing_keys.value().await?
            }
        };
        let mut verified = verify(self.provider, delivery, &keys, now);
        let mut tried: Arc<KeySet> = keys;
        while let Err(Refusal::SignatureMismatch { .. }) = verified
            && let Some(more) = self.signing_keys.more(&tried).await?
        {
            verified = verify(self.provider, delivery, &more, now);
            tried = Arc::new(more);
        }
        Ok(verified?)
    }

    /// Makes the event durable with everything that delivering it needs.
    async fn record(&self, verified: &VerifiedEvent<'_>, now: UnixMillis, invocation: &Invocation) -> Receipt {
        let document = verified.document();
        let routes = &self.deliverer.routes;
        let wanted = verified.event_type().into_iter().flat_map(|event_type| {
            routes.matching(self.provider.name, event_type, document.root()).map(|route| route.name.as_str())
        });
        let received = EventRecord::received(
            self.provider.name,
            verified.event_id().into_owned(),
            verified.event_type().map(str::to_owned),
            verified.occurred_at(),
            now,
            document.without(routes.redacted(self.provider.name)).into_owned(),
        );
        let mut event = EventRecord {
            body_sha256: hex(verified.body_sha256()),
            taken_by: holder(&invocation.request_id),
            ..received
        }
        .begin(wanted, now);

        let until = invocation.answer_by.checked_sub(BEFORE_THE_ANSWER).unwrap_or(invocation.answer_by);
        let mut recorded = self.deliverer.store.record(&event, until).await;
        let conflict = match &recorded {
            Ok(RecordOutcome::Duplicate(earlier)) => IdConflict::between(self.provider, earlier, &event),
            _ => None,
        };
        let mut conflicts_with = None;
        if let Some(conflict) = conflict {
            // Under an id that its text alone gives, so that the same delivery is a duplicate when it comes again.
            conflicts_with = Some(mem::replace(&mut event.event_id, verified.digest_id()));
            if conflict == IdConflict::AnotherTime {
                event = event.keep_as_conflict(now);
            }
            recorded = self.deliverer.store.record(&event, until).await;
        }
        kill_point("recorded");
        let receipt = match recorded {
            Ok(RecordOutcome::New) if event.state == EventState::Ignored => Receipt::of(Answer::Ignored),
            Ok(RecordOutcome::New) => Receipt::of(Answer::Accepted),
            Ok(RecordOutcome::Duplicate(earlier)) => {
                Receipt { conflicting: earlier.other_body.is_some(), ..Receipt::of(Answer::Duplicate) }
            }
            Err(error @ StoreError::TooLarge { .. }) => {
                let error = InternalError { code: error.code(), text: error.to_string() };
                Receipt { error: Some(error), ..Receipt::of(Answer::TooLarge) }
            }
            Err(error) => Receipt::unavailable(error.code(), error.to_string()),
        };
        Receipt {
            event: Some(event),
            conflicts_with,
            signed_form: Some(verified.form()),
            key_version: Some(verified.key_version()),
            dated_by_signature: verified.is_dated_by_its_signature(),
            ..receipt
        }
    }
}

/// Why there is no verified event: the sender's fault, or ours.
enum Unverified {
    Refused(Refusal),
    /// Without keys the signature cannot be checked: never a 401, which some senders take as final.
    NoKeys(KeysError),
}

impl From<Refusal> for Unverified {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<KeysError> for Unverified {
    fn from(error: KeysError) -> Self {
        Self::NoKeys(error)
    }
}

#[cfg(test)]
mod tests;
