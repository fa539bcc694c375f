use super::*;

const NOW: UnixMillis = UnixMillis(1_747_253_577_000);

fn after(seconds: u64) -> UnixMillis {
    NOW.plus(Duration::from_secs(seconds))
}

/// Whether a system cools off after calls that took so many milliseconds and had these outcomes.
#[track_caller]
fn check(calls: &[(u64, Result<(), ExchangeError>)], cools_off: bool) {
    let cool_off = CoolOff::default();
    for (ms, answer) in calls {
        cool_off.note(Duration::from_millis(*ms), answer, NOW);
    }
    assert_eq!(cool_off.left(NOW), cools_off.then_some(COOL_OFF), "{calls:?}");
    assert_eq!(cool_off.left(after(30)), None);
}

#[test]
fn a_system_cools_off_after_a_timeout_or_two_slow_calls_in_a_row() {
    use ExchangeError::{NoTime, Timeout};
    let refused = || Err(ExchangeError::ConnectionFailed("refused".into()));
    check(&[], false);
    check(&[(5_000, Err(Timeout))], true);
    check(&[(900, Err(Timeout))], true);
    check(&[(2_001, Ok(()))], false);
    check(&[(2_001, Ok(())), (2_001, Ok(()))], true);
    check(&[(2_001, Ok(())), (2_001, refused())], true);
    check(&[(2_000, Ok(())), (2_000, Ok(()))], false);
    check(&[(2_001, Ok(())), (5, Ok(())), (2_001, Ok(()))], false);
    check(&[(10, refused()), (10, refused()), (10, refused())], false);
    // Cut off by the end of its attempt: neither slow nor quick.
    check(&[(2_900, Err(NoTime)), (2_900, Err(NoTime))], false);
    check(&[(2_001, Ok(())), (10, Err(NoTime)), (2_001, Ok(()))], true);
}

#[test]
fn once_it_has_cooled_off_one_slow_call_is_chance_again() {
    let cool_off = CoolOff::default();
    cool_off.note(Duration::from_secs(5), &Err::<(), _>(ExchangeError::Timeout), NOW);
    assert_eq!(cool_off.left(after(29)), Some(Duration::from_secs(1)));
    cool_off.note(Duration::from_secs(3), &Ok(()), after(30));
    assert_eq!(cool_off.left(after(30)), None);
}
