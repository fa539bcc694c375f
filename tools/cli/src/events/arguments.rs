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
    /// In this state; may be given again. Without it: pending and dead, which an index has. To find delivered or ignored
    /// events the whole table is read, which takes as long, and costs as much, as the table is large
    #[arg(long, value_name = "S", value_parser = state_parser())]
    state: Vec<EventState>,
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
        let routes = match &self.workflow {
            Some(workflow) => Some(delivering_to(&routes.read()?, workflow)?),
            None => None,
        };
        Filter::new(Criteria {
            states: self.state.clone(),
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
    PossibleValuesParser::new(["pending", "dead", "delivered", "ignored"])
        .try_map(|name| EventState::from_name(&name).ok_or("not a state"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

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
        line.filters.resolve(&line.routes, NOW).map_err(|error| error.to_string())
    }

    #[test]
    fn flags_are_the_criteria_of_the_same_names() {
        let words = "--state dead --provider rail --type T* --workflow deposit --error refused --since 2h --until 30m";
        let filter = parsed(words).unwrap();
        let expected = Criteria {
            states: vec![EventState::Dead],
            provider: Some("rail".to_owned()),
            event_type: Some("T*".to_owned()),
            routes: Some(["deposit-posted".to_owned()].into()),
            error: Some("refused".to_owned()),
            since: Some(UnixMillis(NOW.0 - 7_200_000)),
            until: Some(UnixMillis(NOW.0 - 1_800_000)),
        };
        assert_eq!(format!("{filter:?}"), format!("{:?}", Filter::new(expected).unwrap()));
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
}
