use super::*;

#[test]
fn a_time_is_unix_seconds_or_a_date() {
    assert_eq!(time("1747253577"), Ok(UnixMillis(1_747_253_577_000)));
    assert_eq!(time("2025-05-14T20:12:57Z"), Ok(UnixMillis(1_747_253_577_000)));
    assert_eq!(time("yesterday").unwrap_err(), "Unix seconds or a time such as 2025-05-14T20:12:57Z expected");
}
