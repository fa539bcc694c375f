use super::*;

#[test]
fn every_code_of_a_failure_has_its_cause_and_what_to_do() {
    for code in FailureCode::ALL {
        let code = code.code();
        let meaning = meaning(code).unwrap_or_else(|| panic!("docs/logging.md has no row `{code}` of its own"));
        let (cause, fix) = meaning.split_once("; ").unwrap();
        assert!(cause.len() > code.len() + 15 && fix.len() > 3, "{meaning}");
        assert!(!meaning.contains("]("), "the terminal has no links: {meaning}");
    }
    assert_eq!(
        meaning("refused 422").unwrap(),
        "refused: the destination answered 400, 413 or 422; correct the route, or the workflow's definition at Returning.AI, \
         then redrive"
    );
    assert_eq!(meaning("dismissed"), None);
}

#[test]
fn an_alarm_is_found_by_its_name_and_by_no_other_s() {
    let names: Vec<_> = alarms().map(|(name, _)| name).collect();
    assert!(names.len() >= 20, "{names:?}");
    assert_eq!(
        alarms().find(|(name, _)| *name == "dead-events").unwrap().1.lines().next().unwrap().find("given up"),
        Some(14)
    );
    for name in &names {
        let others = names.iter().filter(|it| it.ends_with(&format!("-{name}"))).count();
        assert_eq!(others, 0, "the page takes what follows the stack's name for the alarm's: {name}");
    }
}
