use super::*;

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
