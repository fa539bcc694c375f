//! The report on one event: its timeline, its messages, notes on each delivery, and why other routes do not match. The
//! command line and the page show it in their own ways.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use json::{Document, Pointer};
use route::routes::{FailedPart, Field, Fit, Routes};
use shared::clock::UnixMillis;
use shared::deliver::message;
use shared::deliver::resolver::{MessageCustomer, Resolver};
use shared::outside::http::CallTime;
use shared::record::event::{AttemptBy, DISMISSED, Dispatch, DispatchState, EventRecord, EventState, Fetched};
use shared::record::failure::DispatchFailure;
use shared::record::pauses::{PauseStatus, Pauses};
use shared::record::retry_plan::MAX_AGE;
use shared::record::store::listing::EventSummary;

use crate::runbook;
use crate::times::{relative, span, written};

/// An event and what it is to be read beside.
pub struct Report<'e> {
    pub event: &'e EventRecord,
    pub routes: &'e Routes,
    pub customers: &'e Customers,
    pub pauses: &'e Pauses,
    pub now: UnixMillis,
}

/// By the name of the route, the customer of the message that it would make.
pub type Customers = BTreeMap<String, Result<MessageCustomer, DispatchFailure>>;

/// Why nothing is sent to any destination that an event waits for.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Hold {
    None,
    Paused,
    /// At least one destination's pauses cannot be read, and the others are paused.
    Unreadable,
}

/// Something that happened, or is to come.
pub struct Moment {
    pub at: UnixMillis,
    pub kind: MomentKind,
    pub what: String,
    /// Follows the time that is left or has passed.
    pub remark: &'static str,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MomentKind {
    Received,
    Attempt {
        succeeded: bool,
    },
    Delivered,
    Dismissed,
    Dead,
    /// The next attempt, or the end of a lease; it may lie in the past.
    Next,
}

/// What one route sent or would send.
pub struct RouteMessage<'e> {
    pub route: &'e str,
    /// `None` when today's routes have no such route.
    pub to: Option<String>,
    /// `None` of a route that a redrive would add.
    pub delivery: Option<&'e Dispatch>,
    /// The message, or why there would be none.
    pub message: Result<String, String>,
}

/// Which messages are meant.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Which {
    /// What a redrive would send.
    Open,
    /// What was sent, too. It is made again of the stored body, and is the same unless the customer's record has changed.
    All,
}

/// As the body and the customers table say, without asking a provider.
pub async fn customers(resolver: &Resolver, routes: &Routes, event: &EventRecord) -> Customers {
    let Ok(document) = Document::parse(event.body.as_bytes()) else { return BTreeMap::new() };
    let of_provider = routes.all().iter().filter(|route| route.provider == event.provider);
    let resolved = of_provider.map(|route| async {
        let customer = resolver.resolve(route, document.root(), CallTime::of_a_person()).await;
        (route.name.clone(), customer)
    });
    join_all(resolved).await.into_iter().collect()
}

impl Report<'_> {
    pub fn state(&self) -> String {
        let (event, held) = (self.event, self.hold());
        match (event.state, event.next_attempt_at) {
            (EventState::Pending, _) if held == Hold::Paused => "pending: its workflow is paused".to_owned(),
            (EventState::Pending, _) if held == Hold::Unreadable => {
                "pending: the pauses of its workflow cannot be read".to_owned()
            }
            (EventState::Pending, Some(_)) if self.is_in_hand() => "pending, being delivered".to_owned(),
            (EventState::Pending, Some(at)) if event.is_due(self.now) => {
                format!("pending, due {}", relative(at, self.now))
            }
            (EventState::Pending, Some(at)) => format!("pending, next attempt {}", relative(at, self.now)),
            (EventState::Dead, _) => "dead: needs a person".to_owned(),
            (EventState::Ignored, _) => "ignored: no route matched".to_owned(),
            (EventState::Dismissed, _) => "dismissed: a person has closed it".to_owned(),
            (state, _) => state.name().to_owned(),
        }
    }

    /// What happened when, oldest first, and what is to come.
    pub fn timeline(&self) -> Vec<Moment> {
        let event = self.event;
        let moment = |at, kind, what| Moment { at, kind, what, remark: "" };
        let lag = span(event.received_at.since(event.occurred_at));
        let mut moments =
            vec![moment(event.received_at, MomentKind::Received, format!("received, {lag} after it occurred"))];
        for attempt in &event.history {
            if attempt.outcome == DISMISSED {
                let why = attempt.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
                moments.push(moment(attempt.at, MomentKind::Dismissed, format!("dismissed by an operator{why}")));
                continue;
            }
            let by = match attempt.by {
                AttemptBy::First => "the receiving function",
                AttemptBy::Redrive => "redrive",
                AttemptBy::Manual => "redrive, by an operator",
            };
            let status = attempt.http_status.map(|status| format!(", HTTP {status}")).unwrap_or_default();
            let what = format!("attempt of {by}: {}{status}, {} ms", attempt.outcome, attempt.ms);
            let succeeded = matches!(attempt.outcome.as_str(), "delivered" | "skipped");
            moments.push(moment(attempt.at, MomentKind::Attempt { succeeded }, what));
        }
        if let Some(at) = event.delivered_at.filter(|_| event.state == EventState::Delivered) {
            moments.push(moment(at, MomentKind::Delivered, "delivered".to_owned()));
        }
        let Some(at) = event.next_attempt_at else { return moments };
        let held = self.hold();
        let open = event.unsettled > 0 || event.history.is_empty();
        let (what, remark) = match event.state {
            EventState::Dead => ("dead", ""),
            _ if open && held == Hold::Paused => ("lease", "; paused, so no function takes it over"),
            _ if open && held == Hold::Unreadable => {
                ("lease", "; its pauses cannot be read, so no function takes it over")
            }
            _ if self.is_in_hand() => ("lease of the attempt under way ends", ""),
            _ if open && event.is_due(self.now) => {
                ("lease of an attempt without an outcome ended", "; redrive takes it over")
            }
            _ if held == Hold::Paused => ("next attempt", ", once its workflow is resumed"),
            _ if held == Hold::Unreadable => ("next attempt", ", once the pauses of its workflow can be read"),
            _ => ("next attempt", ""),
        };
        let kind = if event.state == EventState::Dead { MomentKind::Dead } else { MomentKind::Next };
        // The table has whole seconds of it, and no event dies before the end of its last attempt.
        let ended = event.history.iter().map(|attempt| attempt.at.0.saturating_add(attempt.ms)).max();
        let last = ended.filter(|_| kind == MomentKind::Dead).unwrap_or_default();
        let at = UnixMillis(at.0.saturating_mul(1000).max(last));
        moments.push(Moment { at, kind, what: what.to_owned(), remark });
        moments
    }

    pub fn is_in_hand(&self) -> bool {
        EventSummary::from(self.event).is_in_hand(self.now)
    }

    /// Whether anything is sent to the destinations that are still to hear of it.
    fn hold(&self) -> Hold {
        let routes = self.event.pending_routes().filter_map(|route| self.routes.by_name(route));
        let statuses: Vec<_> = routes.map(|route| self.pauses.status(&route.destination)).collect();
        match () {
            () if statuses.is_empty() || statuses.contains(&PauseStatus::Delivering) => Hold::None,
            () if statuses.contains(&PauseStatus::Unreadable) => Hold::Unreadable,
            () => Hold::Paused,
        }
    }

    /// What the last error means, and what an operator does about it.
    pub fn meaning(&self) -> Option<String> {
        self.event.last_error.as_deref().and_then(runbook::meaning)
    }

    /// What there is to say of a delivery: what its error means if that is another one than the event's last, what it waits for,
    /// until when it is retried, and what was fetched.
    pub fn notes(&self, route: &str, delivery: &Dispatch) -> Vec<String> {
        let meaning =
            delivery.code.as_deref().and_then(runbook::meaning).filter(|it| self.meaning().as_ref() != Some(it));
        let waits = (delivery.state == DispatchState::Pending).then(|| self.waits(route, delivery));
        meaning.into_iter().chain(waits).chain(self.fetched(route)).collect()
    }

    fn waits(&self, route: &str, delivery: &Dispatch) -> String {
        let Some(destination) = self.routes.by_name(route).map(|route| &route.destination) else {
            return "the routes file has no route of this name: the next attempt makes it `dead`".to_owned();
        };
        let age = self.pauses.age(destination, self.event.waits_since(), self.now);
        let left = MAX_AGE.saturating_sub(age);
        let retried = match left.is_zero() {
            true => "the next failure is the last".to_owned(),
            false => format!("failures are retried until {}", written(self.now.plus(left).seconds())),
        };
        match (self.pauses.status(destination), delivery.next_attempt_at) {
            (PauseStatus::Paused { .. }, _) => {
                format!("waits until its workflow is resumed; failures are retried for {} after that", span(left))
            }
            (PauseStatus::Unreadable, _) => "waits until the pauses of its workflow can be read".to_owned(),
            (_, Some(at)) if at > self.now.seconds() => {
                format!("waits for its next attempt, {}; {retried}", written(at))
            }
            _ if self.is_in_hand() => format!("is being delivered; {retried}"),
            _ => format!("is due: the next run of redrive delivers it; {retried}"),
        }
    }

    /// The fields that were looked up, each with the look-ups that today's routes file names for it. Never a value.
    fn fetched(&self, route: &str) -> Option<String> {
        let fields = self.routes.by_name(route).map(|route| route.fields.as_slice()).unwrap_or_default();
        let words = |(name, value): (&String, &Option<String>)| {
            let lookups: Vec<_> = fields.iter().filter(|field| field.name == *name).flat_map(Field::lookups).collect();
            let of = if lookups.is_empty() { String::new() } else { format!(" of look-up {}", lookups.join(" or ")) };
            format!("{}{name}{of}", if value.is_some() { "" } else { "nothing for " })
        };
        let words: Vec<_> = self.event.fetched.get(route)?.iter().map(words).collect();
        (!words.is_empty()).then(|| format!("fetched {}", words.join(", ")))
    }

    /// A message for each route that the event was recorded with, and for each that a redrive would add.
    pub fn messages(&self, which: Which) -> Vec<RouteMessage<'_>> {
        let event = self.event;
        let document = Document::parse(event.body.as_bytes());
        let compose = |route: &str| {
            let document = document.as_ref().map_err(|_| "the stored body cannot be parsed".to_owned())?;
            let route =
                self.routes.by_name(route).ok_or_else(|| "the routes file has no route of this name".to_owned())?;
            let customer =
                self.customers.get(&route.name).ok_or_else(|| "its customer was not looked up".to_owned())?;
            let customer = customer.as_ref().map_err(DispatchFailure::summary)?;
            let nothing = Fetched::new();
            let fetched = event.fetched.get(&route.name).unwrap_or(&nothing);
            message::compose(event, document.root(), route, customer, fetched).map_err(|failure| failure.summary())
        };
        let to = |route: &str| self.routes.by_name(route).map(|route| route.destination.to_string());
        let message_of = |route, delivery| RouteMessage { route, to: to(route), delivery, message: compose(route) };
        let recorded = event.deliveries.iter().filter(|(_, it)| which == Which::All || is_open(it.state));
        let recorded = recorded.map(|(route, delivery)| message_of(route.as_str(), Some(delivery)));
        recorded.chain(self.wanting_instead().into_iter().map(|route| message_of(route, None))).collect()
    }

    /// The routes that a redrive would add: those that want the event today, if it was ignored or a route of it died and is gone.
    fn wanting_instead(&self) -> Vec<&str> {
        let event = self.event;
        let is_gone = |(route, delivery): (&String, &Dispatch)| {
            delivery.state == DispatchState::Dead && self.routes.by_name(route).is_none()
        };
        let takes_others = match event.state {
            EventState::Ignored => true,
            EventState::Dead | EventState::Dismissed => event.deliveries.iter().any(is_gone),
            EventState::Pending | EventState::Delivered => false,
        };
        let Ok(document) = Document::parse(event.body.as_bytes()) else { return Vec::new() };
        let event_type = event.event_type.as_deref().unwrap_or_default();
        let wanting = self.routes.all().iter().filter(|route| {
            takes_others
                && !event.deliveries.contains_key(&route.name)
                && route.fit(&event.provider, event_type, document.root()) == Fit::Matches
        });
        wanting.map(|route| route.name.as_str()).collect()
    }

    /// The provider's routes that made no message of it, and why not. They are held against the stored body.
    pub fn silent(&self) -> Vec<(&str, String)> {
        let event = self.event;
        let Ok(document) = Document::parse(event.body.as_bytes()) else { return Vec::new() };
        let event_type = event.event_type.as_deref().unwrap_or_default();
        let ours = self.routes.all().iter().filter(|route| route.provider == event.provider);
        ours.filter(|route| !event.deliveries.contains_key(&route.name))
            .map(|route| {
                let fit = route.fit(&event.provider, event_type, document.root());
                let why = why_not(&fit, event_type);
                (route.name.as_str(), why.unwrap_or_else(|| "matches it today, and did not when it arrived".to_owned()))
            })
            .collect()
    }
}

/// Why a route does not want an event; `None` when it does.
pub fn why_not(fit: &Fit<'_>, event_type: &str) -> Option<String> {
    match fit {
        Fit::Matches => None,
        Fit::OtherProvider => Some("for events of another provider".to_owned()),
        Fit::OtherType => Some(format!("not for {event_type}")),
        Fit::ConditionFails(parts) => {
            let part = |part: &FailedPart<'_>| {
                let pointers: Vec<_> = part.pointers.iter().map(Pointer::as_str).collect();
                format!("{} is none of {}", pointers.join(" or "), part.accepted.join(", "))
            };
            let parts: Vec<_> = parts.iter().map(part).collect();
            Some(parts.join("; and "))
        }
    }
}

fn is_open(state: DispatchState) -> bool {
    matches!(state, DispatchState::Pending | DispatchState::Dead)
}
