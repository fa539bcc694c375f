use std::cell::Cell;

use super::*;

thread_local! {
    /// Bytes × keys on this thread.
    pub(crate) static HASHED_BYTES: Cell<usize> = const { Cell::new(0) };
}

#[track_caller]
fn problem(secret: &str) -> String {
    KeySet::parse(secret).expect_err(secret).to_string()
}

#[test]
fn a_bad_secret_names_the_field_and_what_was_expected() {
    assert_eq!(problem("not json"), "the secret: a JSON object expected");
    assert_eq!(problem("{}"), "keys: an object of at least one label and key expected");
    assert_eq!(problem(r#"{"keys":{}}"#), "keys: an object of at least one label and key expected");
    assert_eq!(problem(r#"{"keys":{"sub_1":7}}"#), "keys.sub_1: a non-empty string expected");
    assert_eq!(problem(r#"{"keys":{"sub_1":""}}"#), "keys.sub_1: a non-empty string expected");
}

/// `put-secret-value --secret-string file://secret.json` sends the mark that Windows editors write.
#[test]
fn a_byte_order_mark_before_the_keys_is_ignored() {
    let marked = "\u{feff}{\"keys\":{\"a\":\"sample\"}}";
    check(marked, None, Some(KeyVersion::Current));
    check(r#"{"keys":{"a":"other"}}"#, Some(marked), Some(KeyVersion::Previous));
    assert_eq!(problem("\u{feff}REPLACE-ME"), "the secret: the real value in place of REPLACE-ME expected");
}

#[test]
fn every_problem_is_found_and_a_key_in_the_place_of_its_label_is_not_shown() {
    let secret = r#"{"keys":{"a":"REPLACE-ME","b":"sample","c":7,"whsec_hunter2":""}}"#;
    let (keys, problems) = (KeySet::parse(secret).unwrap(), KeySet::problems(secret));
    assert_eq!(format!("{keys:?}"), "KeySet(1 keys)");
    let fields: Vec<(&str, bool)> = problems.iter().map(|it| (it.field.as_str(), it.is_placeholder())).collect();
    assert_eq!(fields, [("keys.a", true), ("keys.c", false), ("keys.(a name that looks like a key)", false)]);
}

#[test]
fn a_placeholder_is_no_key_wherever_it_stands() {
    let expected = "keys.sub_2: the real value in place of REPLACE-ME expected";
    let beside_a_key = KeySet::problems(r#"{"keys":{"sub_1":"sample","sub_2":"REPLACE-ME"}}"#);
    assert_eq!(beside_a_key.iter().map(ToString::to_string).collect::<Vec<_>>(), [expected]);
    assert_eq!(problem(r#"{"keys":{"sub_2":"REPLACE-ME with the key"}}"#), expected);
}

/// `printf '1747253577.{}' | openssl dgst -sha256 -hmac sample`
const SIGNATURE: &str = "e45227ccf95dbb7cc4507ecdb997c38ad457bc936c8a1fa38d14a1e3bd75f288";

#[track_caller]
fn check(current: &str, previous: Option<&str>, expected: Option<KeyVersion>) {
    let keys = KeySet::parse_with_previous(current, previous.unwrap_or_default()).unwrap();
    let signature = crate::receive::verification::signature_bytes(SIGNATURE).unwrap();
    assert_eq!(keys.matching("1747253577", b"{}", &signature), expected);
}

#[test]
fn a_key_of_either_version_fits_and_the_current_one_wins() {
    let (with, without) = (r#"{"keys":{"a":"other","b":"sample"}}"#, r#"{"keys":{"a":"other"}}"#);
    check(with, None, Some(KeyVersion::Current));
    check(without, Some(with), Some(KeyVersion::Previous));
    check(with, Some(with), Some(KeyVersion::Current));
    check(without, Some(without), None);
}

/// A key that fits does not end the search, and one that does not fit takes nothing back.
#[test]
fn all_keys_are_tried_wherever_the_one_that_fits_stands() {
    let key = |text: &str, previous| SigningKey {
        text: text.to_owned(),
        keyed: Hmac::new_from_slice(text.as_bytes()).unwrap(),
        previous,
    };
    let signature = crate::receive::verification::signature_bytes(SIGNATURE).unwrap();
    for at in 0..=4 {
        let keys = (0..4).map(|n| key(&format!("other {n}"), n % 2 == 1)).collect();
        let mut keys = KeySet { keys, ..KeySet::parse(r#"{"keys":{"a":"other"}}"#).unwrap() };
        keys.keys.insert(at, key("sample", true));
        assert_eq!(keys.matching("1747253577", b"{}", &signature), Some(KeyVersion::Previous), "{at}");
        keys.keys.insert(at + 1, key("sample", false));
        assert_eq!(keys.matching("1747253577", b"{}", &signature), Some(KeyVersion::Current), "{at}");
    }
}

#[test]
fn what_stands_beside_the_keys_is_of_no_concern() {
    let secret = r#"{"keys":{"b":"sample"},"subscriptions":{"b":{"event_type":"OPENED"}},"generations":{"OPENED":2}}"#;
    check(secret, None, Some(KeyVersion::Current));
}

#[test]
fn a_previous_version_that_does_not_read_is_left_out() {
    check(r#"{"keys":{"b":"sample"}}"#, Some("not json"), Some(KeyVersion::Current));
    check(r#"{"keys":{"b":"sample"}}"#, Some(r#"{"keys":{"b":"REPLACE-ME"}}"#), Some(KeyVersion::Current));
}

#[test]
fn one_entry_of_either_version_takes_nothing_from_the_others() {
    let flawed = r#"{"keys":{"a":"","b":"sample","c":7,"d":"REPLACE-ME"}}"#;
    check(flawed, None, Some(KeyVersion::Current));
    check(r#"{"keys":{"b":"other"}}"#, Some(flawed), Some(KeyVersion::Previous));
}

#[test]
fn a_key_is_tried_once_whatever_it_is_called() {
    let secret = r#"{"keys":{"a":"sample","b":"sample","c":"other"}}"#;
    let keys = KeySet::parse_with_previous(secret, r#"{"keys":{"d":"other"}}"#).unwrap();
    assert_eq!(keys.tried_in_all(), 2);
    let before = HASHED_BYTES.get();
    keys.matching("1747253577", b"{}", &[0; 32]);
    assert_eq!(HASHED_BYTES.get() - before, 2 * "{}".len());
}

#[test]
fn what_was_tried_is_not_tried_again() {
    let signature = crate::receive::verification::signature_bytes(SIGNATURE).unwrap();
    let fits = |keys: &KeySet| keys.matching("1747253577", b"{}", &signature);
    let set = |keys: &[&str]| {
        let keys: serde_json::Map<_, _> = keys.iter().map(|key| ((*key).to_owned(), (*key).into())).collect();
        KeySet::parse(&serde_json::json!({ "keys": keys }).to_string()).unwrap()
    };
    let (first, newer) = (set(&["a", "sample"]), set(&["sample", "b"]));
    let more = first.and(&newer).unwrap();
    assert_eq!((fits(&first), fits(&newer), fits(&more)), (Some(KeyVersion::Current), Some(KeyVersion::Current), None));
    assert!(more.and(&newer).is_none() && more.and(&first).is_none());
    assert_eq!(fits(&set(&["a", "b"]).and(&first).unwrap()), Some(KeyVersion::Current));
}
