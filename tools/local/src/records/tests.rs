use super::*;

#[test]
fn all_are_kept_unless_it_is_said() {
    let records = Records::default();
    (0..1000).for_each(|n| records.push(n));
    assert_eq!(records.all(), (0..1000).collect::<Vec<_>>());
    records.keep(10);
    assert_eq!(records.all(), (990..1000).collect::<Vec<_>>());
}

#[test]
fn the_newest_are_kept_and_never_more_than_twice_as_many_as_was_said() {
    for at_least in [0, 1, 2, 10] {
        let records = Records::default();
        records.keep(at_least);
        for n in 1..=1000 {
            records.push(n);
            let kept = records.all();
            assert!(kept.len() >= n.min(at_least) && kept.len() <= 2 * at_least, "{at_least}: {}", kept.len());
            assert!(kept.iter().copied().eq(n + 1 - kept.len()..=n), "{at_least}: {kept:?}");
            assert_eq!(records.ever(), n);
        }
    }
}

#[test]
fn what_came_since_is_found_however_much_was_forgotten() {
    let records = Records::default();
    records.keep(4);
    (0..100).for_each(|n| records.push(n));
    let mark = records.ever();
    assert_eq!(records.since(mark), [0; 0]);
    (100..103).for_each(|n| records.push(n));
    assert_eq!(records.since(mark), [100, 101, 102]);
    records.clear();
    assert_eq!(records.since(mark), [0; 0]);
    records.push(103);
    assert_eq!((records.since(mark), records.ever()), (vec![103], 104));
    (104..200).for_each(|n| records.push(n));
    assert_eq!(records.since(mark), records.all());
}
