use clap::Parser;

use super::*;

#[test]
fn a_deployed_bridge_is_named_by_its_stack_or_by_its_tables() {
    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        console: Console,
    }
    for (words, is_taken) in [
        ("", true),
        ("--port 0", true),
        ("--stack bridge --region eu-west-1 --profile prod", true),
        ("--table events --customers-table customers --function redrive --region eu-west-1", true),
        ("--stack bridge --table events", false),
        ("--stack bridge --function redrive", false),
        ("--customers-table customers", false),
        ("--region eu-west-1", false),
    ] {
        let read = Line::try_parse_from(std::iter::once("console").chain(words.split_whitespace()));
        assert_eq!(
            read.map(|line| line.console.port > 0 || words == "--port 0").ok(),
            is_taken.then_some(true),
            "{words}"
        );
    }
}
