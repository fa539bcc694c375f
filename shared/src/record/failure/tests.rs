use std::collections::BTreeSet;

use super::*;

#[test]
fn the_documentation_lists_every_code_once_and_says_which_ones_are_permanent() {
    let page = include_str!("../../../../docs/logging.md");
    let table = page.split_once("## Codes of failed attempts").unwrap().1.split_once("\n## ").unwrap().0;
    let mut listed = Vec::new();
    let mut dead = BTreeSet::new();
    for row in table.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let codes: Vec<&str> = cells[1].split('`').skip(1).step_by(2).collect();
        dead.extend(codes.iter().copied().filter(|_| cells[3] == "dead"));
        listed.extend(codes);
    }
    let codes = |is_in: fn(FailureCode) -> bool| -> BTreeSet<&str> {
        FailureCode::ALL.iter().filter(|code| is_in(**code)).map(|code| code.code()).collect()
    };
    assert_eq!(dead, codes(FailureCode::is_permanent));
    assert_eq!(listed.len(), FailureCode::ALL.len());
    assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), codes(|_| true));
}

#[test]
fn a_failure_is_summed_up_by_its_code_and_where_or_how_it_failed() {
    let failure = |status, pointer: Option<&str>| DispatchFailure {
        status,
        pointer: pointer.map(str::to_owned),
        ..FailureCode::Throttled.into()
    };
    assert_eq!(failure(None, None).summary(), "throttled");
    assert_eq!(failure(Some(429), None).summary(), "throttled 429");
    assert_eq!(failure(None, Some("/a/0")).summary(), "throttled /a/0");
}
