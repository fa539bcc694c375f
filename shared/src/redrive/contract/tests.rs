use std::collections::BTreeSet;

use super::*;

fn read(request: &str) -> Result<Request, String> {
    serde_json::from_str(request).map_err(|error| error.to_string())
}

#[test]
fn every_part_is_in_one_share_and_one_alone_however_many_there_are() {
    for of in 1..=64 {
        let parts: Vec<u8> = (0..of).flat_map(|number| Share::try_from([number, of]).unwrap().parts()).collect();
        assert_eq!(parts.len(), 64, "{of} shares");
        assert_eq!(parts.into_iter().collect::<BTreeSet<_>>(), (0..64).collect(), "{of} shares");
    }
    assert_eq!(Share::try_from([1, 24]).unwrap().parts().collect::<Vec<_>>(), [1, 25, 49]);
}

#[test]
fn a_request_without_a_share_is_for_all_parts() {
    for request in ["{}", r#"{"share":[0,1]}"#, r#"{"share":null,"keys":null}"#] {
        assert!(matches!(read(request), Ok(Request::Due(Share::ALL))), "{request}");
    }
    assert!(matches!(read(r#"{"share":[63,64]}"#), Ok(Request::Due(Share { number: 63, of: 64 }))));
    assert!(matches!(read(r#"{"keys":[]}"#), Ok(Request::Keys(keys)) if keys.is_empty()));
}

#[test]
fn a_request_that_says_something_else_is_refused_and_never_taken_for_all_or_nothing() {
    for (request, reason) in [
        (r#"{"share":[2,2]}"#, "no share [2, 2]; hint: "),
        (r#"{"share":[0,0]}"#, "no share [0, 0]; hint: "),
        (r#"{"share":[0,65]}"#, "no share [0, 65]; hint: "),
        (r#"{"share":[-1,2]}"#, "invalid value: integer `-1`"),
        (r#"{"share":[0,256]}"#, "invalid value: integer `256`"),
        (r#"{"share":[0.5,2]}"#, "invalid type: floating point"),
        (r#"{"share":["0","2"]}"#, "invalid type: string"),
        (r#"{"share":[1]}"#, "invalid length 1"),
        (r#"{"share":[]}"#, "invalid length 0"),
        (r#"{"share":[0,1,2]}"#, "trailing characters"),
        (r#"{"share":2}"#, "invalid type: integer"),
        (r#"{"share":[0,2],"share":[1,2]}"#, "duplicate field `share`"),
        (r#"{"share":[0,2],"keys":["rail#e1"]}"#, "both `share` and `keys`; hint: "),
        (r#"{"shards":[0]}"#, "unknown field `shards`"),
        (r#"{"keys":"rail#e1"}"#, "invalid type: string"),
        ("[]", "invalid"),
        ("null", "invalid type: null"),
        (r#""""#, "invalid type: string"),
    ] {
        let error = read(request).expect_err(request);
        assert!(error.contains(reason), "{request}: {error}");
    }
}

#[test]
fn the_sum_of_two_runs_has_the_counts_of_both_and_is_complete_if_both_are() {
    let counts = |of: [u32; 8], complete| {
        let [found, delivered, retried, dead, lost, held_back, nothing_to_do, troubled] = of;
        Counts { found, delivered, retried, dead, lost, held_back, nothing_to_do, troubled, complete }
    };
    let one = counts([35, 2, 3, 4, 5, 6, 7, 8], true);
    let mut sum = Counts::default();
    sum += one;
    assert_eq!(sum, one);
    sum += counts([560, 20, 30, 40, 50, 60, 70, 290], false);
    assert_eq!(sum, counts([595, 22, 33, 44, 55, 66, 77, 298], false));
}

#[test]
fn what_is_held_back_was_found() {
    let mut counts = Counts { found: 1, delivered: 1, ..Counts::default() };
    counts.hold_back(7);
    assert_eq!(counts, Counts { found: 8, delivered: 1, held_back: 7, ..Counts::default() });
}
