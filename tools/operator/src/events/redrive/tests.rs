use super::*;

#[test]
fn counts_say_what_there_is_any_of() {
    let mut counts = Counts { delivered: 8, held_back: 1, ..Counts::default() };
    counts += Counts { delivered: 1, troubled: 2, ..Counts::default() };
    let expected = "9 delivered, 1 held back (workflow paused, or failing too often), 2 not readable or writable";
    assert_eq!(counts.summary(), expected);
    assert_eq!(counts.unprocessed(12), 2);
    assert_eq!(Counts::default().summary(), "nothing yet");
}
