use super::*;

#[test]
fn a_fault_strikes_as_often_as_scripted() {
    let faults = Faults::default();
    faults.inject(Some("put"), 'a', When::Next(2));
    assert_eq!(drawn(&faults, "put", 4), "aa--");
    faults.inject(Some("put"), 'b', When::OnceAfter(2));
    assert_eq!(drawn(&faults, "put", 4), "--b-");
    faults.inject(Some("put"), 'c', When::UntilCleared);
    assert_eq!(drawn(&faults, "put", 4), "cccc");
    faults.clear();
    assert_eq!(drawn(&faults, "put", 4), "----");
}

#[test]
fn a_fault_strikes_only_where_it_is_scripted() {
    let faults = Faults::default();
    faults.inject(Some("put"), 'a', When::Next(1));
    faults.inject(None, 'b', When::Next(1));
    assert_eq!(drawn(&faults, "get", 2), "b-");
    assert_eq!(drawn(&faults, "put", 2), "a-");
}

#[test]
fn faults_of_one_place_strike_in_the_order_of_the_script() {
    let faults = Faults::default();
    faults.inject(Some("put"), 'a', When::Next(1));
    faults.inject(None, 'b', When::Next(2));
    faults.inject(Some("put"), 'c', When::Next(1));
    assert_eq!(drawn(&faults, "put", 5), "abbc-");
}

#[test]
fn a_fault_by_chance_is_the_same_in_every_run() {
    let sometimes = |seed| {
        let faults = Faults::default();
        faults.inject(None, 'x', When::Sometimes { probability: 0.3, seed });
        drawn(&faults, "put", 1000)
    };
    assert_eq!(sometimes(7), sometimes(7));
    assert_ne!(sometimes(7), sometimes(8));
    let strikes = sometimes(7).matches('x').count();
    assert!((200..400).contains(&strikes), "{strikes} of 1000");
}

#[test]
fn a_fault_of_no_times_never_strikes() {
    let faults = Faults::default();
    faults.inject(Some("put"), 'a', When::Next(0));
    assert_eq!(drawn(&faults, "put", 2), "--");
}

fn drawn(faults: &Faults<&'static str, char>, place: &'static str, times: usize) -> String {
    (0..times).map(|_| faults.draw(&place).unwrap_or('-')).collect()
}
