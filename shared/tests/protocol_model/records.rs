//! What the code makes of the few records there are, each made once and known by its number.

use std::collections::HashMap;
use std::fmt::{Debug, Write as _};
use std::rc::Rc;
use std::time::Duration;

use json::Document;
use shared::clock::UnixMillis;
use shared::deliver::message;
use shared::deliver::resolver::{MessageCustomer, id_at};
use shared::record::event::{
    AttemptBy, DispatchOutcome, DispatchState, DispatchSuccess, EventRecord, EventState, Fetched,
};
use shared::record::failure::{DispatchFailure, FailureCode};

use super::{ACTORS, BEGIN, Call, ItemId, Model, ROUTES, RecordId, Role, TextId, Write, role};
use crate::{Flaw, table};

/// What the second route asks for when it fails: more than a lease, so that the two are due at different times.
const LATER: Duration = Duration::from_secs(600);

/// A transition of a record and all that its result depends on.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub(super) enum RecordStep {
    Begin { who: usize, now: u64 },
    TakeOver { before: RecordId, who: usize, now: u64 },
    Revive { before: RecordId, who: usize, now: u64 },
    GiveUp { ours: RecordId, who: usize, now: u64 },
    Dismiss { before: RecordId, now: u64 },
    Settle { event: RecordId, who: usize, calls: [Call; ROUTES.len()], now: u64 },
}

/// Values by number, each once.
pub(super) struct Pool<T> {
    values: Vec<Rc<T>>,
    numbers: HashMap<String, u16>,
}

impl<T: Debug> Pool<T> {
    pub(super) fn new() -> Self {
        Self { values: Vec::new(), numbers: HashMap::new() }
    }

    pub(super) fn number(&mut self, value: T) -> u16 {
        let next = u16::try_from(self.values.len()).unwrap();
        *self.numbers.entry(format!("{value:?}")).or_insert_with(|| {
            self.values.push(Rc::new(value));
            next
        })
    }

    pub(super) fn at(&self, number: u16) -> Rc<T> {
        Rc::clone(&self.values[usize::from(number)])
    }
}

impl Model {
    /// The record that a transition of the code makes.
    pub(super) fn record(&mut self, step: RecordStep) -> Option<RecordId> {
        if let Some(made) = self.records_made.get(&step) {
            return *made;
        }
        let at = UnixMillis;
        let made = match step {
            RecordStep::Begin { who, now } => Some(self.begin(who, at(now))),
            RecordStep::TakeOver { before, who, now } => {
                let mut ours = self.records.at(before).take_over(at(now), ACTORS[who].0.to_owned());
                if self.flaw == Some(Flaw::RedriveRevives) {
                    let dead = ours.deliveries.values_mut().filter(|delivery| delivery.state == DispatchState::Dead);
                    dead.for_each(|delivery| delivery.state = DispatchState::Pending);
                }
                Some(ours)
            }
            RecordStep::Revive { before, who, now } => {
                let wanted = self.bounds.wanted.iter().copied();
                self.records.at(before).revive(wanted, |_| false, at(now), ACTORS[who].0.to_owned())
            }
            RecordStep::GiveUp { ours, who, now } => {
                let mut given_up = self.records.at(ours).give_up(by(who), at(now));
                if self.flaw == Some(Flaw::GivesUpUnseen) {
                    given_up.next_attempt_at = None;
                }
                Some(given_up)
            }
            RecordStep::Dismiss { before, now } => {
                let before = self.records.at(before);
                let dead = EventRecord { state: EventState::Dead, ..(*before).clone() };
                // The flaw closes what still has work left.
                let closed = if self.flaw == Some(Flaw::DismissesAnyEvent) { &dead } else { &*before };
                closed.dismiss(None, at(now))
            }
            RecordStep::Settle { event, who, calls, now } => Some(self.settle(event, who, calls, at(now))),
        };
        let made = made.map(|record| self.records.number(record));
        self.records_made.insert(step, made);
        made
    }

    /// The item that a write makes of what is held; `None` when its condition does not hold.
    pub(super) fn item(&mut self, held: Option<ItemId>, write: Write) -> Option<ItemId> {
        if let Some(made) = self.items_made.get(&(held, write)) {
            return *made;
        }
        let item = held.map(|held| self.items.at(held));
        let flaw = self.flaw;
        let made = match (write, item) {
            (Write::Record(event), item) => {
                table::may_record(item.as_deref(), flaw).then(|| table::recorded(&self.records.at(event)))
            }
            (Write::TakeOver(before, after), Some(item)) => {
                let (before, after) = (self.records.at(before), self.records.at(after));
                table::may_take_over(&item.event, &before, flaw).then(|| table::changed(&item, &after, None))
            }
            (Write::Settle(after), Some(item)) => {
                let after = self.records.at(after);
                table::may_settle(&item.event, &after, flaw).then(|| table::changed(&item, &after, flaw))
            }
            (Write::TakeOver(..) | Write::Settle(_), None) => None,
        };
        let made = made.map(|item| self.items.number(item));
        self.items_made.insert((held, write), made);
        made
    }

    pub(super) fn message(&mut self, event: RecordId, of_route: usize) -> TextId {
        if let Some(made) = self.texts_made.get(&(event, of_route)) {
            return *made;
        }
        let record = self.records.at(event);
        let body = Document::parse(record.body.as_bytes()).unwrap();
        let route = self.routes.by_name(ROUTES[of_route]).unwrap();
        let customer = MessageCustomer::of(id_at(body.root(), route.customer[0].pointer()).unwrap());
        let mut text = message::compose(&record, body.root(), route, &customer, &Fetched::new()).unwrap();
        if self.flaw == Some(Flaw::KeyOfTheAttempt) {
            let _ = write!(text, " attempt {}", record.attempts);
        }
        let made = self.texts.number(text);
        self.texts_made.insert((event, of_route), made);
        made
    }

    /// The copy came with another body and another time: nothing of it may ever be sent unless it was there first.
    fn begin(&self, who: usize, now: UnixMillis) -> EventRecord {
        let mut event = EventRecord {
            provider: "sample".to_owned(),
            event_id: "evt_1".to_owned(),
            event_type: Some("PAID".to_owned()),
            occurred_at: UnixMillis(BEGIN.0 - 1 - u64::try_from(who).unwrap()),
            received_at: now,
            state: EventState::Ignored,
            attempts: 0,
            next_attempt_at: None,
            revived_at: None,
            unsettled: 0,
            body: format!(r#"{{"customer":"C-{who}"}}"#),
            body_sha256: who.to_string(),
            taken_by: ACTORS[who].0.to_owned(),
            last_error: None,
            history: Vec::new(),
            deliveries: Default::default(),
            fetched: Default::default(),
            delivered_at: None,
            expires_at: None,
        }
        .begin(self.bounds.wanted_at_first.iter().copied(), now);
        if self.flaw == Some(Flaw::BeginsWithoutALease) {
            event.next_attempt_at = None;
        }
        event
    }

    fn settle(&self, event: RecordId, who: usize, calls: [Call; ROUTES.len()], now: UnixMillis) -> EventRecord {
        let event = self.records.at(event);
        let outcomes: Vec<(String, DispatchOutcome)> = ROUTES
            .iter()
            .zip(calls)
            .filter_map(|(route, call)| match call {
                Call::NotWanted | Call::ToSend => None,
                Call::Accepted if self.flaw == Some(Flaw::ForgetsWhatWasAccepted) => {
                    Some(((*route).to_owned(), Err(FailureCode::Timeout.into())))
                }
                Call::Accepted => Some(((*route).to_owned(), Ok(DispatchSuccess::Delivered { http_status: 200 }))),
                // Each route has its own plan.
                Call::Failed => {
                    let retry_after = (*route == ROUTES[1]).then_some(LATER);
                    let failure = DispatchFailure { retry_after, ..FailureCode::Throttled.into() };
                    Some(((*route).to_owned(), Err(failure)))
                }
                Call::Refused => Some(((*route).to_owned(), Err(FailureCode::Refused.into()))),
            })
            .collect();
        let age = |_: &str| now.since(event.waits_since());
        let mut after = event.settle(by(who), &outcomes, now, now, age, self.bounds.draw);
        if self.flaw == Some(Flaw::RetryWhenTheLeaseEnds) && after.state == EventState::Pending {
            after.next_attempt_at = event.next_attempt_at;
        }
        after
    }
}

fn by(who: usize) -> AttemptBy {
    match role(who) {
        Role::Receiver => AttemptBy::First,
        Role::Redrive => AttemptBy::Redrive,
        Role::Operator => AttemptBy::Manual,
    }
}
