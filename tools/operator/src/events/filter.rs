//! Which events are meant.

use std::collections::BTreeSet;

use route::destination::Destination;
use route::routes::Routes;
use shared::clock::UnixMillis;
use shared::record::event::{DispatchState, EventState};
use shared::record::key;
use shared::record::store::listing::EventSummary;

use crate::OperatorError;

/// What an operator asks for; all that is given must hold.
#[derive(Clone, Debug, Default)]
pub struct Criteria {
    /// In one of these; without any, pending and dead, which an index has.
    pub states: Vec<EventState>,
    pub provider: Option<String>,
    /// Exact, or a prefix with a trailing `*`.
    pub event_type: Option<String>,
    /// Not delivered by one of these routes; of delivered events, delivered by one of them.
    pub routes: Option<BTreeSet<String>>,
    /// With or without what follows the code: `server_error`, `server_error 503`.
    pub error: Option<String>,
    /// Received at this time or later.
    pub since: Option<UnixMillis>,
    /// Received before this time.
    pub until: Option<UnixMillis>,
}

/// Criteria that some event can meet.
#[derive(Clone, Debug)]
pub struct Filter(Criteria);

impl Filter {
    /// # Errors
    /// No event can meet these.
    pub fn new(mut criteria: Criteria) -> Result<Self, OperatorError> {
        if criteria.states.is_empty() {
            criteria.states = vec![EventState::Pending, EventState::Dead];
        }
        criteria.states.sort_unstable_by_key(|state| state.name());
        criteria.states.dedup();
        if criteria.routes.is_some() && criteria.states.contains(&EventState::Ignored) {
            return Err(OperatorError::usage(
                "An ignored event has no workflow: no route matched it",
                "select ignored events by `--type`, `--provider`, `--since` and `--until`",
            ));
        }
        if criteria.since.zip(criteria.until).is_some_and(|(since, until)| since >= until) {
            return Err(OperatorError::usage(
                "`--since` is not before `--until`: no event can match",
                "`--since 3d --until 2h` is from three days to two hours ago",
            ));
        }
        Ok(Self(criteria))
    }

    /// Everything pending.
    pub fn pending() -> Self {
        Self(Criteria { states: vec![EventState::Pending], ..Criteria::default() })
    }

    pub fn states(&self) -> &[EventState] {
        &self.0.states
    }

    /// True when the index has all that is meant.
    pub fn is_indexed(&self) -> bool {
        self.0.states.iter().all(|state| matches!(state, EventState::Pending | EventState::Dead))
    }

    /// What the key alone can say.
    pub fn fits_key(&self, pk: &str) -> bool {
        self.0
            .provider
            .as_ref()
            .is_none_or(|wanted| key::event_parts(pk).is_some_and(|(provider, _)| provider == wanted))
    }

    pub fn fits(&self, event: &EventSummary) -> bool {
        self.0.states.contains(&event.state)
            && self.fits_key(&event.pk)
            && self.0.event_type.as_deref().is_none_or(|wanted| fits_type(wanted, event.event_type.as_deref()))
            && self.0.routes.as_ref().is_none_or(|routes| goes_to(event, routes))
            && self.0.error.as_deref().is_none_or(|code| failed_with(event, code))
            && self.0.since.is_none_or(|since| event.received_at >= since)
            && self.0.until.is_none_or(|until| event.received_at < until)
    }
}

/// The names of the routes that deliver to a workflow.
///
/// # Errors
/// No route does.
pub fn delivering_to(routes: &Routes, workflow: &str) -> Result<BTreeSet<String>, OperatorError> {
    let destination = known_destination(routes, workflow)?;
    let to_it = routes.all().iter().filter(|route| route.destination == destination);
    Ok(to_it.map(|route| route.name.clone()).collect())
}

/// The destination of this name: a workflow's own, or `incoming-webhook:NAME`.
///
/// # Errors
/// No route delivers to it.
pub fn known_destination(routes: &Routes, name: &str) -> Result<Destination, OperatorError> {
    let known = routes.destinations();
    if let Some(destination) = known.iter().find(|destination| destination.to_string() == name) {
        return Ok((*destination).clone());
    }
    let known: Vec<_> = known.iter().map(ToString::to_string).collect();
    Err(OperatorError::usage(
        format!("No route delivers to a workflow `{name}`"),
        format!("known: {}", known.join(", ")),
    ))
}

fn fits_type(wanted: &str, event_type: Option<&str>) -> bool {
    let Some(event_type) = event_type else { return false };
    wanted.strip_suffix('*').map_or(event_type == wanted, |prefix| event_type.starts_with(prefix))
}

fn goes_to(event: &EventSummary, routes: &BTreeSet<String>) -> bool {
    let open = |state| matches!(state, DispatchState::Pending | DispatchState::Dead);
    let all = event.state == EventState::Delivered;
    event.deliveries.iter().any(|(route, delivery)| routes.contains(route) && (all || open(delivery.state)))
}

fn failed_with(event: &EventSummary, code: &str) -> bool {
    let codes = event.deliveries.values().filter_map(|delivery| delivery.code.as_deref());
    codes
        .chain(event.last_error.as_deref())
        .any(|held| held.strip_prefix(code).is_some_and(|rest| rest.is_empty() || rest.starts_with(' ')))
}

#[cfg(test)]
mod tests;
