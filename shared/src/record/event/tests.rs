use super::*;

const NOW: UnixMillis = UnixMillis(1_738_784_271_042);
const NOW_S: u64 = 1_738_784_271;

fn received() -> EventRecord {
    EventRecord {
        provider: "sample".to_owned(),
        event_id: "evt_1".to_owned(),
        event_type: Some("PAID".to_owned()),
        occurred_at: UnixMillis(NOW.0 - 5_000),
        received_at: NOW,
        state: EventState::Ignored,
        attempts: 0,
        next_attempt_at: None,
        revived_at: None,
        unsettled: 0,
        body: "{}".to_owned(),
        body_sha256: String::new(),
        taken_by: "request/1".to_owned(),
        last_error: None,
        history: Vec::new(),
        deliveries: BTreeMap::new(),
        fetched: BTreeMap::new(),
        delivered_at: None,
        expires_at: None,
    }
}

fn pending() -> EventRecord {
    received().begin(["a", "b"], NOW)
}

/// Ends an attempt after 250 ms, with the highest draw.
fn settled(before: &EventRecord, outcomes: &[(&str, DispatchOutcome)]) -> EventRecord {
    settled_at(before, outcomes, NOW.plus(Duration::from_millis(250)))
}

fn settled_at(before: &EventRecord, outcomes: &[(&str, DispatchOutcome)], now: UnixMillis) -> EventRecord {
    let outcomes: Vec<_> = outcomes.iter().map(|(route, outcome)| ((*route).to_owned(), outcome.clone())).collect();
    let began_at = UnixMillis(now.0 - 250);
    before.settle(AttemptBy::First, &outcomes, began_at, now, |_| now.since(before.waits_since()), Draw(1.0))
}

fn delivered() -> DispatchOutcome {
    Ok(DispatchSuccess::Delivered { http_status: 200 })
}

fn skipped() -> DispatchOutcome {
    Ok(DispatchSuccess::Skipped)
}

fn down() -> DispatchOutcome {
    Err(DispatchFailure { status: Some(503), ..FailureCode::ServerError.into() })
}

fn lost() -> DispatchOutcome {
    Err(FailureCode::ConnectionLost.into())
}

fn refused() -> DispatchOutcome {
    Err(DispatchFailure { status: Some(422), ..FailureCode::Refused.into() })
}

fn unmapped() -> DispatchOutcome {
    Err(DispatchFailure { pointer: Some("/data/amount".to_owned()), ..FailureCode::MappingFailed.into() })
}

/// `a=delivered b=pending(server_error 503)`
fn deliveries(event: &EventRecord) -> String {
    let told = event.deliveries.iter().map(|(route, delivery)| match &delivery.code {
        Some(code) => format!("{route}={}({code})", delivery.state.name()),
        None => format!("{route}={}", delivery.state.name()),
    });
    told.collect::<Vec<_>>().join(" ")
}

#[test]
fn a_wanted_event_begins_pending_with_a_lease_and_one_attempt() {
    let event = pending();
    assert_eq!((event.state, event.attempts), (EventState::Pending, 1));
    assert_eq!(event.next_attempt_at, Some(UnixSeconds(NOW_S + 60)));
    assert_eq!(deliveries(&event), "a=pending b=pending");
    assert_eq!(event.pending_routes().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!((event.last_error, event.delivered_at), (None, None));
}

#[test]
fn an_event_that_no_route_wants_begins_ignored() {
    let event = received().begin([], NOW);
    assert_eq!((event.state, event.attempts, event.next_attempt_at), (EventState::Ignored, 0, None));
    assert_eq!((event.due(8), event.last_error), (None, None));
}

#[test]
fn an_event_without_a_type_begins_dead_whatever_routes_are_given() {
    for routes in [vec![], vec!["a"]] {
        let event = EventRecord { event_type: None, ..received() }.begin(routes, NOW);
        assert_eq!((event.state, event.attempts), (EventState::Dead, 0));
        assert_eq!(event.last_error.as_deref(), Some("envelope_unreadable"));
        assert_eq!(event.next_attempt_at, Some(UnixSeconds(NOW_S)));
        assert_eq!((event.due(8).as_deref(), event.expires_at), (Some("d0"), None));
        assert!(event.deliveries.is_empty());
    }
}

#[test]
fn each_mix_of_two_outcomes_settles_to_its_state() {
    #[track_caller]
    fn check(
        a: DispatchOutcome,
        b: DispatchOutcome,
        state: &str,
        told: &str,
        last_error: Option<&str>,
        attempt: (&str, Option<u16>),
    ) {
        let event = settled(&pending(), &[("a", a), ("b", b)]);
        assert_eq!((event.state.name(), deliveries(&event).as_str()), (state, told));
        assert_eq!(event.last_error.as_deref(), last_error);
        let latest = event.history.last().unwrap();
        assert_eq!((latest.outcome.as_str(), latest.http_status), attempt);
        assert_eq!((latest.at, latest.ms, latest.by.name()), (NOW, 250, "first"));
        assert_eq!(event.delivered_at, (state == "delivered").then_some(UnixMillis(NOW.0 + 250)));
        // The attempt is the fencing token: settling leaves it as it is.
        assert_eq!(event.attempts, 1);
        let next = match state {
            "pending" => Some(NOW_S + 61),
            "dead" => Some(NOW_S),
            _ => None,
        };
        assert_eq!(event.next_attempt_at, next.map(UnixSeconds));
    }

    let ok = ("delivered", Some(200));
    check(delivered(), delivered(), "delivered", "a=delivered b=delivered", None, ok);

    check(delivered(), skipped(), "delivered", "a=delivered b=skipped", None, ok);
    check(skipped(), delivered(), "delivered", "a=skipped b=delivered", None, ok);
    check(skipped(), skipped(), "delivered", "a=skipped b=skipped", None, ("skipped", None));
    let told = "a=skipped b=pending(server_error 503)";
    check(skipped(), down(), "pending", told, Some("server_error 503"), ("server_error", Some(503)));

    let told = "a=delivered b=pending(server_error 503)";
    check(delivered(), down(), "pending", told, Some("server_error 503"), ("server_error", Some(503)));
    let told = "a=pending(connection_lost) b=delivered";
    check(lost(), delivered(), "pending", told, Some("connection_lost"), ("connection_lost", None));
    let told = "a=pending(server_error 503) b=pending(connection_lost)";
    check(down(), lost(), "pending", told, Some("server_error 503"), ("server_error", Some(503)));

    let told = "a=delivered b=dead(refused 422)";
    check(delivered(), refused(), "dead", told, Some("refused 422"), ("refused", Some(422)));
    let told = "a=dead(mapping_failed /data/amount) b=delivered";
    check(unmapped(), delivered(), "dead", told, Some("mapping_failed /data/amount"), ("mapping_failed", None));
    let told = "a=dead(refused 422) b=dead(mapping_failed /data/amount)";
    check(refused(), unmapped(), "dead", told, Some("refused 422"), ("refused", Some(422)));

    // While something is pending, the event is, whatever is dead already.
    let told = "a=dead(refused 422) b=pending(connection_lost)";
    check(refused(), lost(), "pending", told, Some("refused 422"), ("refused", Some(422)));
    let told = "a=pending(server_error 503) b=dead(refused 422)";
    check(down(), refused(), "pending", told, Some("server_error 503"), ("server_error", Some(503)));
}

#[test]
fn a_route_that_is_done_keeps_its_place_when_the_other_is_tried_again() {
    let first = settled(&pending(), &[("a", delivered()), ("b", down())]);
    assert_eq!(first.pending_routes().collect::<Vec<_>>(), ["b"]);
    let second = settled(&EventRecord { attempts: 2, ..first }, &[("b", delivered())]);
    assert_eq!((second.state, second.attempts), (EventState::Delivered, 2));
    assert_eq!(deliveries(&second), "a=delivered b=delivered");
    assert_eq!((second.next_attempt_at, second.last_error), (None, None));
    assert_eq!(second.history.len(), 2);
}

#[test]
fn an_event_that_dies_of_an_earlier_attempt_still_tells_why() {
    let first = settled(&pending(), &[("a", unmapped()), ("b", down())]);
    let second = settled(&EventRecord { attempts: 2, ..first }, &[("b", delivered())]);
    assert_eq!(second.state, EventState::Dead);
    assert_eq!(deliveries(&second), "a=dead(mapping_failed /data/amount) b=delivered");
    assert_eq!(second.last_error.as_deref(), Some("mapping_failed /data/amount"));
    assert_eq!(second.history.last().unwrap().outcome, "delivered");
}

#[test]
fn skipped_counts_as_done() {
    let mut event = pending();
    event
        .deliveries
        .insert("b".to_owned(), Dispatch { state: DispatchState::Skipped, at: Some(NOW), ..Dispatch::pending() });
    assert_eq!(event.pending_routes().collect::<Vec<_>>(), ["a"]);
    assert_eq!(settled(&event, &[("a", delivered())]).state, EventState::Delivered);
}

#[test]
fn each_route_waits_as_long_as_it_was_asked_to_and_the_event_for_the_first() {
    #[track_caller]
    fn check(retry_after_s: [Option<u64>; 2], expected_s: [u64; 2]) {
        let outcome = |at: usize| {
            let retry_after = retry_after_s[at].map(Duration::from_secs);
            Err(DispatchFailure { status: Some(429), retry_after, ..FailureCode::Throttled.into() })
        };
        let event = settled(&pending(), &[("a", outcome(0)), ("b", outcome(1))]);
        // Rounded up to the next whole second; not the second in which the lease ends.
        let own = ["a", "b"].map(|route| event.deliveries[route].next_attempt_at.unwrap().0 - NOW_S - 1);
        assert_eq!(own, expected_s);
        assert_eq!(event.next_attempt_at, Some(UnixSeconds(NOW_S + 1 + own[0].min(own[1]))));
    }

    check([None, None], [60, 60]);
    check([Some(600), Some(90)], [600, 90]);
    check([None, Some(61)], [60, 61]);
    check([Some(5), None], [60, 60]);
    check([Some(u64::MAX), None], [12 * 60 * 60, 60]);
}

#[test]
fn after_three_days_what_is_pending_dies_and_keeps_its_code() {
    #[track_caller]
    fn check(age: Duration, expected: &str) {
        let before = EventRecord { attempts: 12, ..pending() };
        let event = settled_at(&before, &[("a", delivered()), ("b", down())], NOW.plus(age));
        assert_eq!(format!("{} {}", event.state.name(), deliveries(&event)), expected);
        assert_eq!(event.last_error.as_deref(), Some("server_error 503"));
        if event.state == EventState::Dead {
            let b = &event.deliveries["b"];
            assert_eq!((b.at, event.next_attempt_at), (Some(NOW.plus(age)), Some(NOW.plus(age).seconds())));
        }
    }

    let day = Duration::from_secs(24 * 60 * 60);
    check(3 * day - Duration::from_millis(1), "pending a=delivered b=pending(server_error 503)");
    check(3 * day, "dead a=delivered b=dead(server_error 503)");
    check(300 * day, "dead a=delivered b=dead(server_error 503)");
}

#[test]
fn an_event_whose_last_message_arrives_after_three_days_is_delivered() {
    let late = NOW.plus(Duration::from_secs(4 * 24 * 60 * 60));
    let event = settled_at(&pending(), &[("a", delivered()), ("b", delivered())], late);
    assert_eq!((event.state, event.delivered_at), (EventState::Delivered, Some(late)));
}

#[test]
fn the_newest_twenty_attempts_are_remembered() {
    let mut event = pending();
    for attempt in 1..=25 {
        let now = NOW.plus(Duration::from_secs(u64::from(attempt)));
        event = settled_at(&EventRecord { attempts: attempt, ..event }, &[("a", down()), ("b", down())], now);
        assert_eq!(event.history.len(), usize::try_from(attempt.min(20)).unwrap());
    }
    let at: Vec<u64> = event.history.iter().map(|attempt| (attempt.at.0 + 250 - NOW.0) / 1000).collect();
    assert_eq!(at, (6..=25).collect::<Vec<_>>());
}

#[test]
fn an_attempt_under_a_clock_that_went_back_took_no_time() {
    let outcomes = [("a".to_owned(), delivered()), ("b".to_owned(), delivered())];
    let event =
        pending().settle(AttemptBy::Manual, &outcomes, NOW, UnixMillis(NOW.0 - 1), |_| Duration::ZERO, Draw(0.0));
    assert_eq!(event.history.last().map(|attempt| (attempt.ms, attempt.by.name())), Some((0, "manual")));
}

#[test]
fn the_part_of_a_pending_event_is_a_stable_function_of_its_key() {
    // First byte of `printf '%s' "$PK" | openssl dgst -sha256`, modulo 8.
    for (provider, event_id, due) in [
        ("sample", "evt_1", "p0"),
        ("sample", "evt_2", "p5"),
        ("sample", "evt_3", "p3"),
        ("sample", "sha256:00", "p2"),
        ("sample", "é", "p1"),
        ("other", "evt_1", "p0"),
    ] {
        let event = EventRecord { provider: provider.to_owned(), event_id: event_id.to_owned(), ..pending() };
        assert_eq!(event.due(8).as_deref(), Some(due), "{}", event.pk());
    }
}

#[test]
fn only_what_has_work_left_is_in_the_index_and_only_what_has_none_expires_90_days_after_its_end() {
    #[track_caller]
    fn check(event: &EventRecord, due: Option<&str>, ended_at: Option<UnixMillis>) {
        let expires_at = ended_at.map(|at| at.seconds().plus(90 * 24 * 60 * 60));
        assert_eq!((event.due(8).as_deref(), event.expires_at), (due, expires_at), "{}", event.state.name());
    }
    let later = NOW.plus(Duration::from_secs(200 * 24 * 60 * 60));
    let revive = |event: &EventRecord| event.revive(["a"], |_| false, later, "operator/1".to_owned()).unwrap();
    let ignored = received().begin([], NOW);
    let dead = settled(&pending(), &[("a", refused()), ("b", delivered())]);
    let dismissed = dead.dismiss(None, later).unwrap();
    check(&pending(), Some("p0"), None);
    check(&settled(&pending(), &[("a", delivered()), ("b", down())]), Some("p0"), None);
    check(&settled_at(&pending(), &[("a", delivered()), ("b", skipped())], later), None, Some(later));
    check(&ignored, None, Some(NOW));
    check(&revive(&ignored), Some("p0"), None);
    check(&dead, Some("d0"), None);
    check(&revive(&dead), Some("p0"), None);
    check(&dismissed, None, Some(later));
    check(&revive(&dismissed), Some("p0"), None);
    check(&pending().give_up(AttemptBy::Redrive, later), Some("d0"), None);
}

#[test]
fn each_route_has_its_own_plan_and_the_event_is_due_with_the_first() {
    let asked = |seconds| {
        let retry_after = Some(Duration::from_secs(seconds));
        Err(DispatchFailure { status: Some(429), retry_after, ..FailureCode::Throttled.into() })
    };
    let event = settled(&pending(), &[("a", asked(36_000)), ("b", down())]);
    let own = |event: &EventRecord, route: &str| event.deliveries[route].next_attempt_at.map(|at| at.0 - NOW_S);
    assert_eq!((own(&event, "a"), own(&event, "b")), (Some(36_001), Some(61)));
    assert_eq!(event.next_attempt_at, Some(UnixSeconds(NOW_S + 61)));

    let now = NOW.plus(Duration::from_secs(62));
    let ours = event.take_over(now, "redrive/1".to_owned());
    assert_eq!(ours.due_routes(now).collect::<Vec<_>>(), ["b"]);
    let again = settled_at(&ours, &[("b", down())], now);
    assert_eq!((again.deliveries["a"].attempts, again.deliveries["b"].attempts), (1, 2));
    assert_eq!((own(&again, "a"), own(&again, "b")), (Some(36_001), Some(62 + 121)));
    let waits_for = again.waits_for().into_iter().map(|(route, at)| (route, at.0 - NOW_S));
    assert_eq!(waits_for.collect::<Vec<_>>(), [("a".to_owned(), 36_001), ("b".to_owned(), 183)]);
}

#[test]
fn a_route_that_was_not_tried_keeps_its_attempts_and_is_due_when_it_has_cooled_off() {
    let left = DispatchFailure { retry_after: Some(Duration::from_secs(30)), ..FailureCode::CoolingOff.into() };
    let event = settled(&pending(), &[("a", Err(left)), ("b", delivered())]);
    let a = &event.deliveries["a"];
    assert_eq!((a.state, a.attempts, a.next_attempt_at), (DispatchState::Pending, 0, Some(UnixSeconds(NOW_S + 31))));
    assert_eq!(event.next_attempt_at, a.next_attempt_at);

    // `b` is paused, and was due before.
    let event = settled(&pending(), &[("a", down())]);
    assert_eq!((event.deliveries["b"].attempts, event.next_attempt_at), (0, Some(UnixSeconds(NOW_S))));
    assert_eq!(event.waits_for()["b"], UnixSeconds(NOW_S));
}

#[test]
fn what_failed_at_the_provider_s_api_is_due_together_and_says_so_in_the_index() {
    let failed = |attempts, code: FailureCode| {
        let mut event = pending();
        event.deliveries.get_mut("b").unwrap().attempts = attempts;
        settled(&event, &[("a", Err(code.into())), ("b", Err(code.into()))])
    };
    let event = failed(3, FailureCode::ProviderApiError);
    let first = UnixSeconds(NOW_S + 61);
    assert_eq!(event.waits_for().into_values().collect::<Vec<_>>(), [first; 3]);
    assert_eq!(event.waits_for()["api:sample"], first);
    assert!(!failed(3, FailureCode::ServerError).waits_for().contains_key("api:sample"));
}

#[test]
fn a_route_that_asks_the_api_is_due_alone_also_if_it_gives_way_to_the_end_of_the_lease() {
    let lease_ends = UnixSeconds(NOW_S + 61);
    let event = EventRecord { next_attempt_at: Some(lease_ends), ..pending() };
    let asked = DispatchFailure { retry_after: Some(Duration::from_secs(61)), ..FailureCode::ServerError.into() };
    let event = settled(&event, &[("a", Err(FailureCode::ProviderApiError.into())), ("b", Err(asked))]);
    let at = |seconds| UnixSeconds(NOW_S + seconds);
    let waits_for = [("a", at(62)), ("api:sample", at(62)), ("b", at(63))];
    assert_eq!(event.waits_for(), waits_for.map(|(entry, at)| (entry.to_owned(), at)).into());
}

#[test]
fn a_route_that_waits_for_its_customer_says_so_in_the_index() {
    let event = settled(&pending(), &[("a", Err(FailureCode::CustomerUnknown.into())), ("b", down())]);
    let waits_for = event.waits_for();
    let names: Vec<_> = waits_for.keys().map(String::as_str).collect();
    assert_eq!(names, ["a", "b", "customer:a"]);
    assert_eq!(waits_for["customer:a"], waits_for["a"]);
    assert_eq!(names.into_iter().filter(|name| is_route_entry(name)).count(), 2);
}

#[test]
fn an_event_is_in_hand_while_its_lease_runs_and_not_while_a_retry_is_planned() {
    let in_hand = |event: &EventRecord, after_s: u64| {
        let now = NOW.plus(Duration::from_secs(after_s));
        is_in_hand(event.state, event.next_attempt_at, &event.deliveries, now)
    };
    assert!(in_hand(&pending(), 59) && !in_hand(&pending(), 60));
    // Its first process died: one attempt more than there are in its history.
    let taken = pending().take_over(NOW.plus(Duration::from_secs(60)), "redrive/1".to_owned());
    assert!(in_hand(&taken, 119));
    let planned = settled_at(&taken, &[("a", down()), ("b", down())], NOW.plus(Duration::from_secs(61)));
    assert!(planned.next_attempt_at > Some(UnixSeconds(NOW_S + 62)) && !in_hand(&planned, 62));
    assert!(!in_hand(&settled(&pending(), &[("a", refused()), ("b", delivered())]), 1));
}

#[test]
fn a_lease_never_ends_in_a_second_that_is_a_route_s_own() {
    let mut event = pending();
    event.deliveries.get_mut("a").unwrap().next_attempt_at = Some(UnixSeconds(NOW_S + 60));
    event.deliveries.get_mut("b").unwrap().next_attempt_at = Some(UnixSeconds(NOW_S + 61));
    assert_eq!(event.take_over(NOW, String::new()).next_attempt_at, Some(UnixSeconds(NOW_S + 62)));
}

#[test]
fn an_event_that_loses_ten_attempts_is_dead_and_a_settle_forgets_the_lost_ones() {
    let mut event = pending();
    for lost in 1..=MAX_UNSETTLED {
        event = event.take_over(NOW, format!("redrive/{lost}"));
        assert_eq!((event.unsettled, event.attempts), (lost, 1 + lost));
    }
    let settled = settled(&event, &[("a", down()), ("b", down())]);
    assert_eq!((settled.unsettled, settled.deliveries["a"].attempts), (0, 1));
    event.deliveries.insert(
        "a".to_owned(),
        Dispatch {
            state: DispatchState::Dead,
            code: Some("refused 422".to_owned()),
            at: Some(NOW),
            ..Dispatch::pending()
        },
    );
    let dead = event.give_up(AttemptBy::Redrive, NOW);
    assert_eq!(
        (dead.state, dead.unsettled, deliveries(&dead).as_str()),
        (EventState::Dead, 0, "a=dead(refused 422) b=dead(attempts_lost)")
    );
    assert_eq!((dead.last_error.as_deref(), dead.next_attempt_at), (Some("attempts_lost"), Some(UnixSeconds(NOW_S))));
    let [lost] = &dead.history[..] else { panic!("{:?}", dead.history) };
    assert_eq!(
        (lost.outcome.as_str(), lost.by, lost.at, lost.http_status),
        ("attempts_lost", AttemptBy::Redrive, NOW, None)
    );
}

#[test]
fn a_redrive_by_hand_starts_the_age_and_the_plan_anew() {
    let old = NOW.plus(Duration::from_secs(100 * 3600));
    let mut dead = settled_at(&pending(), &[("a", down()), ("b", delivered())], old);
    assert_eq!((dead.state, deliveries(&dead).as_str()), (EventState::Dead, "a=dead(server_error 503) b=delivered"));
    dead.deliveries.get_mut("a").unwrap().attempts = 12;
    let revived = dead.revive([], |_| false, old, "operator/1".to_owned()).unwrap();
    assert_eq!((revived.revived_at, revived.waits_since(), revived.deliveries["a"].attempts), (Some(old), old, 0));
    let again = settled_at(&revived, &[("a", down())], old.plus(Duration::from_secs(1)));
    assert_eq!((again.state, again.next_attempt_at), (EventState::Pending, Some(old.seconds().plus(62))));
}

#[test]
fn a_dead_event_whose_route_is_gone_goes_to_the_routes_that_want_it_today() {
    let dead = settled(&pending(), &[("a", refused()), ("b", delivered())]);
    let revived = dead.revive(["b", "new"], |route| route == "a", NOW, String::new()).unwrap();
    assert_eq!(deliveries(&revived), "b=delivered new=pending");
    assert_eq!(dead.revive(["b"], |route| route == "a", NOW, String::new()), None);
}

#[test]
fn only_a_dead_event_can_be_dismissed_and_its_history_says_why() {
    let dead = settled(&pending(), &[("a", refused()), ("b", delivered())]);
    let dismissed = dead.dismiss(Some("test account".to_owned()), NOW).unwrap();
    let last = dismissed.history.last().unwrap();
    assert_eq!((dismissed.state, dismissed.next_attempt_at), (EventState::Dismissed, None));
    assert_eq!((last.outcome.as_str(), last.reason.as_deref(), last.at), ("dismissed", Some("test account"), NOW));
    for event in [pending(), received().begin([], NOW), dismissed.clone()] {
        assert_eq!(event.dismiss(None, NOW), None);
    }
    let revived = dismissed.revive([], |_| false, NOW, String::new()).unwrap();
    assert_eq!(revived.pending_routes().collect::<Vec<_>>(), ["a"]);
}

#[test]
fn the_idempotency_key_is_the_same_on_every_attempt() {
    let event = pending();
    assert_eq!(event.pk(), "sample#evt_1");
    assert_eq!(event.idempotency_key("first-deposit"), "sample:evt_1/first-deposit");
    let later = settled(&event, &[("a", down()), ("b", refused())]);
    assert_eq!(later.idempotency_key("first-deposit"), event.idempotency_key("first-deposit"));
    assert_ne!(later.idempotency_key("deposits"), event.idempotency_key("first-deposit"));
}

#[test]
fn a_pending_event_is_due_when_its_lease_has_run_out_and_not_before() {
    let event = pending();
    assert!(!event.is_due(NOW.plus(Duration::from_secs(59))));
    assert!(event.is_due(NOW.plus(Duration::from_secs(60))));
    let done = settled(&event, &[("a", delivered()), ("b", delivered())]);
    assert!(!done.is_due(NOW.plus(Duration::from_secs(1000))));
}

#[test]
fn taking_over_adds_an_attempt_and_a_lease_and_changes_nothing_else() {
    let before = settled(&pending(), &[("a", delivered()), ("b", down())]);
    let now = NOW.plus(Duration::from_secs(600));
    let ours = before.take_over(now, "redrive/1".to_owned());
    assert_eq!((ours.attempts, ours.next_attempt_at), (2, Some(now.seconds().plus(60))));
    assert_eq!((ours.taken_by.as_str(), ours.unsettled), ("redrive/1", 1));
    assert_eq!(ours.pending_routes().collect::<Vec<_>>(), ["b"]);
    let (taken_by, next_attempt_at) = (before.taken_by.clone(), before.next_attempt_at);
    assert_eq!(EventRecord { attempts: 1, unsettled: 0, next_attempt_at, taken_by, ..ours }, before);
}

#[test]
fn an_operator_revives_what_is_dead_and_nothing_that_was_delivered() {
    let dead = settled(&pending(), &[("a", delivered()), ("b", refused())]);
    let revived = dead.revive([], |_| false, NOW, String::new()).expect("a dead delivery can be tried again");
    assert_eq!((revived.state, revived.attempts), (EventState::Pending, 2));
    assert_eq!(revived.pending_routes().collect::<Vec<_>>(), ["b"]);
    assert_eq!(revived.due(8), pending().due(8));

    let done = settled(&pending(), &[("a", delivered()), ("b", delivered())]);
    assert_eq!(done.revive(["a", "b"], |_| false, NOW, String::new()), None);
}

#[test]
fn an_ignored_event_is_revived_for_the_routes_that_want_it_today() {
    let ignored = received().begin([], NOW);
    assert_eq!(ignored.revive([], |_| false, NOW, String::new()), None);
    let revived = ignored.revive(["new"], |_| false, NOW, String::new()).expect("a route wants it now");
    assert_eq!(revived.pending_routes().collect::<Vec<_>>(), ["new"]);
    assert_eq!((revived.state, revived.attempts), (EventState::Pending, 1));
}

#[test]
fn the_age_of_an_ignored_event_counts_from_its_redrive() {
    let now = NOW.plus(Duration::from_secs(100 * 3600));
    let revived = received().begin([], NOW).revive(["new"], |_| false, now, String::new()).unwrap();
    assert_eq!((revived.revived_at, revived.waits_since()), (Some(now), now));
    let failed = settled_at(&revived, &[("new", down())], now.plus(Duration::from_secs(1)));
    assert_eq!((failed.state, deliveries(&failed).as_str()), (EventState::Pending, "new=pending(server_error 503)"));
}

#[test]
fn an_envelope_that_was_not_understood_has_nothing_to_revive() {
    let unreadable = EventRecord { event_type: None, ..received() }.begin([], NOW);
    assert_eq!(unreadable.state, EventState::Dead);
    assert_eq!(unreadable.revive([], |_| false, NOW, String::new()), None);
}

#[test]
fn the_time_of_a_pause_does_not_bring_an_event_s_end_nearer() {
    let old = NOW.plus(Duration::from_secs(80 * 3600));
    let outcomes = [("a".to_owned(), down()), ("b".to_owned(), delivered())];
    let state = |age_h: u64| {
        let age = Duration::from_secs(age_h * 3600);
        pending().settle(AttemptBy::Redrive, &outcomes, old, old, |_| age, Draw(1.0)).state
    };
    assert_eq!(state(80), EventState::Dead);
    assert_eq!(state(8), EventState::Pending);
}

#[test]
fn an_event_that_waits_for_its_customer_is_looked_at_every_quarter_of_an_hour() {
    let unknown = || Err(FailureCode::CustomerUnknown.into());
    let wait = |attempts: u32, a: DispatchOutcome, b: DispatchOutcome| {
        let mut before = pending();
        before.deliveries.values_mut().for_each(|dispatch| dispatch.attempts = attempts - 1);
        let event = settled(&before, &[("a", a), ("b", b)]);
        event.next_attempt_at.unwrap().0 - NOW_S - 1
    };
    assert_eq!(wait(1, unknown(), delivered()), 60);
    assert_eq!(wait(40, unknown(), delivered()), 900);
    assert_eq!(wait(40, down(), Err(FailureCode::CustomerIncomplete.into())), 900);
    assert_eq!(wait(40, down(), delivered()), 12 * 3600);
}
