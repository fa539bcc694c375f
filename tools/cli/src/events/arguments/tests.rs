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
    line.filters.resolve(&[], &line.routes, NOW).map_err(|error| error.to_string())
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
