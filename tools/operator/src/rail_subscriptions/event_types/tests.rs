use route::routes::Known;

use super::*;

fn required(events: &str) -> RequiredTypes {
    let text = format!(
        "[[route]]\nname = \"a\"\nprovider = \"rail\"\nevents = {events}\nworkflow = \"w\"\nevent_type = \"e\"\ncustomer = \"/c\"\n\
         [[route]]\nname = \"b\"\nprovider = \"other\"\nevents = [\"ELSEWHERE\"]\nworkflow = \"w\"\nevent_type = \"e\"\ncustomer = \"/c\"\n"
    );
    RequiredTypes::of(&Routes::parse("routes.toml", &text, Known::Anything).unwrap(), "rail")
}

#[track_caller]
fn check(events: &str, types: &[&str], unmatched: &[&str]) {
    let expected = RequiredTypes {
        types: types.iter().map(|name| (*name).to_owned()).collect(),
        unmatched: unmatched.iter().map(|pattern| (*pattern).to_owned()).collect(),
    };
    assert_eq!(required(events), expected);
}

#[test]
fn exact_types_are_needed_as_they_are_known_or_not() {
    check(r#"["ACCOUNT_OPEN", "SOMETHING_NEW"]"#, &["ACCOUNT_OPEN", "SOMETHING_NEW"], &[]);
}

#[test]
fn a_prefix_needs_every_known_type_that_begins_so_in_either_page_s_spelling() {
    let changes = ["APPLICATION_CHANGE_REQUESTED", "APPLICATION_CHANGES_REQUESTED"];
    check(r#"["APPLICATION_CHANGE*"]"#, &changes, &[]);
    check(r#"["TRANSACTION_P*", "TRANSACTION_POSTED"]"#, &["TRANSACTION_PENDING", "TRANSACTION_POSTED"], &[]);
    assert_eq!(required(r#"["*"]"#).types.len(), EVENT_TYPES.len());
}

#[test]
fn a_prefix_that_no_known_type_fits_is_told() {
    check(r#"["ACCOUNT_OPEN", "REFUND_*"]"#, &["ACCOUNT_OPEN"], &["REFUND_*"]);
}

#[test]
fn the_pages_that_name_a_type_are_known() {
    assert_eq!(source("ACCOUNT_OPEN"), Source::OpenApi);
    assert_eq!(source("DEPOSIT_COMPLETED"), Source::GuideOnly);
    assert_eq!(source("account_open"), Source::Neither);
    let only_guide = EVENT_TYPES.iter().filter(|(_, source)| *source == Source::GuideOnly);
    assert_eq!(only_guide.count(), 9);
    let names: BTreeSet<_> = EVENT_TYPES.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), EVENT_TYPES.len());
}
