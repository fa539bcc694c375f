//! Which events are meant.

use std::collections::BTreeSet;

use clap::{Args, ValueEnum};
use operator::OperatorError;
use shared::clock::UnixMillis;
use shared::receive::provider::Provider;
use shared::record::event::{DispatchState, EventState};
use shared::record::store::listing::EventSummary;

use crate::delivery::provider_parser;
use crate::events::RoutesFile;
use operator::times::Moment;

/// All that are given must hold.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Which events")]
pub(crate) struct Filters {
    /// In this state; may be given again. Without it: pending and dead, which an index has. To find delivered or ignored
    /// events the whole table is read, which takes as long, and costs as much, as the table is large
    #[arg(long, value_name = "S")]
    state: Vec<State>,
    /// From this provider
    #[arg(long, value_name = "P", value_parser = provider_parser())]
    provider: Option<&'static Provider>,
    /// Of this type of the provider's: exact, or a prefix with a trailing *
    #[arg(long = "type", value_name = "T")]
    event_type: Option<String>,
    /// With a message to this workflow that is not delivered (of delivered events: with any message to it)
    #[arg(long, value_name = "W")]
    workflow: Option<String>,
    /// Failed with this code, with or without what follows it: `server_error`, `"server_error 503"`
    #[arg(long, value_name = "CODE")]
    error: Option<String>,
    /// Received at this time or later: RFC 3339, a day, or how long ago (90s, 15m, 2h, 3d, 1w)
    #[arg(long, value_name = "T", value_parser = Moment::parse)]
    since: Option<Moment>,
    /// Received before this time
    #[arg(long, value_name = "T", value_parser = Moment::parse)]
    until: Option<Moment>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum State {
    Pending,
    Dead,
    Delivered,
    Ignored,
}

/// The filters, resolved: workflows to their routes, spans to times.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    pub(crate) states: Vec<EventState>,
    provider: Option<&'static str>,
    event_type: Option<String>,
    routes: Option<BTreeSet<String>>,
    error: Option<String>,
    pub(crate) since: Option<UnixMillis>,
    pub(crate) until: Option<UnixMillis>,
}

impl State {
    fn event_state(self) -> EventState {
        match self {
            Self::Pending => EventState::Pending,
            Self::Dead => EventState::Dead,
            Self::Delivered => EventState::Delivered,
            Self::Ignored => EventState::Ignored,
        }
    }
}

impl Filters {
    /// True when nothing was given.
    pub(crate) fn is_empty(&self) -> bool {
        let Self { state, provider, event_type, workflow, error, since, until } = self;
        state.is_empty()
            && provider.is_none()
            && event_type.is_none()
            && workflow.is_none()
            && error.is_none()
            && since.is_none()
            && until.is_none()
    }

    /// The flags that hold a time, with what they mean.
    pub(crate) fn times(&self, now: UnixMillis) -> Vec<(&'static str, UnixMillis)> {
        [("--since", self.since), ("--until", self.until)]
            .into_iter()
            .filter_map(|(flag, moment)| Some((flag, moment?.resolve(now))))
            .collect()
    }

    /// Reads the routes only if a workflow is asked for.
    pub(crate) fn resolve(&self, routes: &RoutesFile, now: UnixMillis) -> Result<Filter, OperatorError> {
        let mut states: Vec<EventState> = Vec::new();
        for state in if self.state.is_empty() { &[State::Pending, State::Dead][..] } else { &self.state } {
            let state = state.event_state();
            if !states.contains(&state) {
                states.push(state);
            }
        }
        if self.workflow.is_some() && states.contains(&EventState::Ignored) {
            return Err(OperatorError::usage(
                "an ignored event has no workflow: no route wanted it",
                "choose ignored events by --type, --provider, --since and --until",
            ));
        }
        let (since, until) = (self.since.map(|at| at.resolve(now)), self.until.map(|at| at.resolve(now)));
        if since.zip(until).is_some_and(|(since, until)| since >= until) {
            return Err(OperatorError::usage(
                "--since is not before --until: no event can be meant",
                "--since 3d --until 2h is from three days to two hours ago",
            ));
        }
        let routes = self.workflow.as_deref().map(|workflow| routes.delivering_to(workflow)).transpose()?;
        Ok(Filter {
            states,
            provider: self.provider.map(|provider| provider.name),
            event_type: self.event_type.clone(),
            routes,
            error: self.error.clone(),
            since,
            until,
        })
    }
}

impl Filter {
    /// Everything pending.
    pub(crate) fn pending() -> Self {
        Self {
            states: vec![EventState::Pending],
            provider: None,
            event_type: None,
            routes: None,
            error: None,
            since: None,
            until: None,
        }
    }

    /// True when the index has all that is meant.
    pub(crate) fn is_indexed(&self) -> bool {
        self.states.iter().all(|state| matches!(state, EventState::Pending | EventState::Dead))
    }

    /// What the key alone can say.
    pub(crate) fn fits_key(&self, pk: &str) -> bool {
        self.provider.is_none_or(|wanted| pk.split_once('#').is_some_and(|(provider, _)| provider == wanted))
    }

    pub(crate) fn fits(&self, event: &EventSummary) -> bool {
        self.states.contains(&event.state)
            && self.fits_key(&event.pk)
            && self.event_type.as_deref().is_none_or(|wanted| fits_type(wanted, event.event_type.as_deref()))
            && self.routes.as_ref().is_none_or(|routes| goes_to(event, routes))
            && self.error.as_deref().is_none_or(|code| failed_with(event, code))
            && self.since.is_none_or(|since| event.received_at >= since)
            && self.until.is_none_or(|until| event.received_at < until)
    }
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
mod tests {
    use clap::Parser;
    use shared::record::event::Dispatch;

    use super::*;

    const NOW: UnixMillis = UnixMillis(1_738_784_271_042);

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        filters: Filters,
        #[command(flatten)]
        routes: RoutesFile,
    }

    fn parsed(line: &str) -> Result<Filter, String> {
        let words = std::iter::once("list").chain(line.split_whitespace());
        let line = Line::try_parse_from(words).map_err(|error| error.to_string())?;
        line.filters.resolve(&line.routes, NOW).map_err(|failure| failure.to_string())
    }

    /// Dead for its deposit, delivered to `first-deposit`.
    fn event() -> EventSummary {
        let delivery = |state, code: Option<&str>| Dispatch { state, code: code.map(str::to_owned), at: None };
        EventSummary {
            pk: "rail#evt_1".to_owned(),
            event_type: Some("TRANSACTION_POSTED".to_owned()),
            received_at: UnixMillis(NOW.0 - 3_600_000),
            state: EventState::Dead,
            attempts: 2,
            next_attempt_at: Some(NOW.seconds()),
            last_error: Some("refused 422".to_owned()),
            deliveries: [
                ("deposit-posted".to_owned(), delivery(DispatchState::Dead, Some("refused 422"))),
                ("withdrawal-completed".to_owned(), delivery(DispatchState::Delivered, None)),
            ]
            .into(),
            outcomes: 2,
        }
    }

    #[track_caller]
    fn check(line: &str, expected: bool) {
        assert_eq!(parsed(line).map(|filter| filter.fits(&event())), Ok(expected), "{line}");
    }

    #[test]
    fn every_filter_that_is_given_must_hold() {
        check("", true);
        check("--state dead", true);
        check("--state pending", false);
        check("--state pending --state dead", true);
        check("--provider rail", true);
        check("--provider rillis", false);
        check("--type TRANSACTION_POSTED", true);
        check("--type TRANSACTION_*", true);
        check("--type TRANSACTION", false);
        check("--error refused", true);
        check("--error refuse", false);
        check("--since 2h", true);
        check("--since 30m", false);
        check("--until 30m", true);
        check("--until 2h", false);
        check("--since 2h --until 30m --provider rail --state dead --error refused", true);
        check("--since 2h --until 30m --provider rillis --state dead --error refused", false);
    }

    #[test]
    fn an_error_is_meant_with_or_without_its_status() {
        let fits = |code: &str| failed_with(&event(), code);
        assert!(fits("refused") && fits("refused 422"));
        assert!(!fits("refused 4") && !fits("422"));
    }

    #[test]
    fn a_workflow_means_what_is_not_delivered_to_it() {
        check("--workflow deposit", true);
        check("--workflow withdrawal", false);
    }

    #[test]
    fn an_unknown_workflow_is_answered_with_the_known_ones() {
        let error = parsed("--workflow depositt").expect_err("no such workflow");
        assert!(error.contains("`depositt`") && error.contains("hint:") && error.contains("deposit, "), "{error}");
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for line in ["--state gone", "--provider paypal", "--since soon", "--since 1h --until 2h"] {
            assert!(parsed(line).is_err(), "{line}");
        }
        assert!(parsed("--state ignored --workflow kyc").expect_err("no workflow").contains("--type"));
    }

    #[test]
    fn only_pending_and_dead_events_are_in_the_index() {
        assert!(parsed("").unwrap().is_indexed());
        assert!(parsed("--state dead").unwrap().is_indexed());
        assert!(!parsed("--state dead --state ignored").unwrap().is_indexed());
    }
}
