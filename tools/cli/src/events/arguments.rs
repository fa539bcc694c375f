//! Which events are meant, as flags.

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use operator::OperatorError;
use operator::events::filter::{Criteria, Filter, delivering_to};
use operator::times::Moment;
use shared::clock::UnixMillis;
use shared::receive::provider::Provider;
use shared::record::event::EventState;

use crate::delivery::provider_parser;
use crate::routes::file::RoutesFile;

/// All that are given must hold.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Which events")]
pub(crate) struct Filters {
    /// Events in this state; repeatable. Without it: pending and dead, which are in an index. For delivered, ignored and
    /// dismissed events the whole table is read: time and cost grow with the table
    #[arg(long, value_name = "S", value_parser = state_parser())]
    state: Vec<EventState>,
    /// Events of this provider
    #[arg(long, value_name = "P", value_parser = provider_parser())]
    provider: Option<&'static Provider>,
    /// Events of this type: exact, or a prefix with a trailing *
    #[arg(long = "type", value_name = "T")]
    event_type: Option<String>,
    /// Events with an undelivered message to this workflow (delivered events: with any message to it)
    #[arg(long, value_name = "W")]
    workflow: Option<String>,
    /// Events that failed with this code, with or without status: `server_error`, `"server_error 503"`
    #[arg(long, value_name = "CODE")]
    error: Option<String>,
    /// Events received at this time or later: RFC 3339, a day, or an age (90s, 15m, 2h, 3d, 1w)
    #[arg(long, value_name = "T", value_parser = Moment::parse)]
    since: Option<Moment>,
    /// Events received before this time
    #[arg(long, value_name = "T", value_parser = Moment::parse)]
    until: Option<Moment>,
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

    /// Reads the routes only if a workflow is asked for. Where no state is, `states` are meant.
    pub(crate) fn resolve(
        &self,
        states: &[EventState],
        routes: &RoutesFile,
        now: UnixMillis,
    ) -> Result<Filter, OperatorError> {
        let routes = match &self.workflow {
            Some(workflow) => Some(delivering_to(&routes.read()?, workflow)?),
            None => None,
        };
        Filter::new(Criteria {
            states: if self.state.is_empty() { states.to_vec() } else { self.state.clone() },
            provider: self.provider.map(|provider| provider.name.to_owned()),
            event_type: self.event_type.clone(),
            routes,
            error: self.error.clone(),
            since: self.since.map(|at| at.resolve(now)),
            until: self.until.map(|at| at.resolve(now)),
        })
    }
}

fn state_parser() -> impl TypedValueParser<Value = EventState> {
    PossibleValuesParser::new(EventState::ALL.map(EventState::name))
        .try_map(|name| EventState::from_name(&name).ok_or("not a state"))
}

#[cfg(test)]
mod tests;
