use shared::record::event::Dispatch;

use super::*;

const NOW: UnixMillis = UnixMillis(1_738_784_271_042);

/// Dead for its deposit, delivered to `first-deposit`.
fn event() -> EventSummary {
    let delivery = |state, code: Option<&str>| Dispatch { state, code: code.map(str::to_owned), ..Dispatch::pending() };
    EventSummary {
        pk: "rail#evt_1".to_owned(),
        event_type: Some("TRANSACTION_POSTED".to_owned()),
        received_at: UnixMillis(NOW.0 - 3_600_000),
        state: EventState::Dead,
        attempts: 2,
        next_attempt_at: Some(NOW.seconds()),
        last_error: Some("refused 422".to_owned()),
        deliveries: [
            ("deposit-posted".to_owned(), delivery(DispatchState::Dead, Some("refused 422"))),
            ("withdrawal-completed".to_owned(), delivery(DispatchState::Delivered, None)),
        ]
        .into(),
        outcomes: 2,
    }
}

#[track_caller]
fn check(change: impl FnOnce(&mut Criteria), expected: bool) {
    let mut criteria = Criteria::default();
    change(&mut criteria);
    let shown = format!("{criteria:?}");
    assert_eq!(Filter::new(criteria).map(|filter| filter.fits(&event())).ok(), Some(expected), "{shown}");
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn ago(minutes: u64) -> Option<UnixMillis> {
    Some(UnixMillis(NOW.0 - minutes * 60_000))
}

#[test]
fn every_criterion_that_is_given_must_hold() {
    check(|_| {}, true);
    check(|it| it.states = vec![EventState::Dead], true);
    check(|it| it.states = vec![EventState::Pending], false);
    check(|it| it.states = vec![EventState::Pending, EventState::Dead], true);
    for (provider, expected) in [("rail", true), ("rillis", false)] {
        check(|it| it.provider = text(provider), expected);
    }
    for (event_type, expected) in [("TRANSACTION_POSTED", true), ("TRANSACTION_*", true), ("TRANSACTION", false)] {
        check(|it| it.event_type = text(event_type), expected);
    }
    for (code, expected) in
        [("refused", true), ("refused 422", true), ("refuse", false), ("refused 4", false), ("422", false)]
    {
        check(|it| it.error = text(code), expected);
    }
    check(|it| it.since = ago(120), true);
    check(|it| it.since = ago(30), false);
    check(|it| it.until = ago(30), true);
    check(|it| it.until = ago(120), false);
    for (provider, expected) in [("rail", true), ("rillis", false)] {
        let all = |it: &mut Criteria| {
            (it.since, it.until, it.provider, it.error) = (ago(120), ago(30), text(provider), text("refused"));
            it.states = vec![EventState::Dead];
        };
        check(all, expected);
    }
}

#[test]
fn a_route_means_what_is_not_delivered_by_it() {
    check(|it| it.routes = Some(["deposit-posted".to_owned()].into()), true);
    check(|it| it.routes = Some(["withdrawal-completed".to_owned()].into()), false);
}

#[test]
fn what_no_event_can_meet_is_refused() {
    let refused = |criteria| Filter::new(criteria).unwrap_err();
    let backwards = refused(Criteria { since: ago(60), until: ago(120), ..Criteria::default() });
    assert_eq!(backwards.problem(), "`--since` is not before `--until`: no event can match");
    let routes = Some(["deposit-posted".to_owned()].into());
    let ignored = refused(Criteria { states: vec![EventState::Ignored], routes, ..Criteria::default() });
    assert!(ignored.hint().contains("--type"), "{ignored}");
}

#[test]
fn only_pending_and_dead_events_are_in_the_index() {
    let is_indexed = |states: &[EventState]| {
        Filter::new(Criteria { states: states.to_vec(), ..Criteria::default() }).unwrap().is_indexed()
    };
    assert!(is_indexed(&[]));
    assert!(is_indexed(&[EventState::Dead]));
    assert!(!is_indexed(&[EventState::Dead, EventState::Ignored]));
}
