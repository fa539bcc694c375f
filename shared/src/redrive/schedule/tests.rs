use super::*;
use crate::record::event::{AttemptBy, DispatchOutcome, DispatchSuccess};
use crate::record::failure::FailureCode;
use crate::record::pauses::{Pause, PauseReading};
use crate::record::retry_plan::Draw;
use crate::record::store::SettleOutcome;
use route::destination::Destination;
use route::routes::Known;

use std::time::Duration;

const NOW: UnixMillis = UnixMillis(1_738_784_271_042);

/// Routes of the same names as their workflows.
fn routes(names: &[&str]) -> Routes {
    let route = |name: &&str| {
        format!(
            "[[route]]\nname = \"{name}\"\nprovider = \"sample\"\nworkflow = \"{name}\"\nevent_type = \"e\"\n\
             events = [\"PAID\"]\ncustomer = \"/customer\"\n"
        )
    };
    Routes::parse("routes.toml", &names.iter().map(route).collect::<String>(), Known::Anything).unwrap()
}

/// Nothing is paused but these.
fn pauses(routes: &Routes, paused: &[&str]) -> Pauses {
    let reading = |destination: &&Destination| {
        let since = paused.contains(&destination.name()).then_some(Pause { from: NOW, to: None });
        PauseReading::Known(since.into_iter().collect())
    };
    Pauses(routes.destinations().iter().map(|it| ((*it).clone(), reading(it))).collect())
}

fn entry(n: usize, waits_for: &[(&str, u64)]) -> IndexEntry {
    IndexEntry {
        pk: format!("sample#{n}"),
        next_attempt_at: NOW.seconds(),
        received_at: Some(NOW),
        revived_at: None,
        waits_for: waits_for.iter().map(|(name, in_s)| ((*name).to_owned(), NOW.seconds().plus(*in_s))).collect(),
    }
}

fn turns(schedule: &mut Schedule<'_>) -> Vec<Turn> {
    std::iter::from_fn(|| schedule.next_turn()).collect()
}

/// The report of an attempt that failed or succeeded on these routes, which had failed before with `code`.
fn attempt(outcomes: &[(&str, DispatchOutcome)], before: Option<FailureCode>) -> (EventRecord, AttemptReport) {
    let event = EventRecord::received("sample", "e".to_owned(), Some("PAID".to_owned()), NOW, NOW, "{}".to_owned());
    let event = event.begin(outcomes.iter().map(|(route, _)| *route), NOW);
    let outcomes: Vec<_> = outcomes.iter().map(|(route, outcome)| ((*route).to_owned(), outcome.clone())).collect();
    let event = match before {
        Some(code) => {
            let failed: Vec<_> = outcomes.iter().map(|(route, _)| (route.clone(), Err(code.into()))).collect();
            event.settle(AttemptBy::First, &failed, NOW, NOW, |_| Duration::ZERO, Draw(0.5))
        }
        None => event,
    };
    let blamed = |(route, outcome): &(String, DispatchOutcome)| match outcome.as_ref().err()?.code.blames() {
        Blame::Destination => Some(route.clone()),
        Blame::ProviderApi => Some("api:sample".to_owned()),
        _ => None,
    };
    let failed = outcomes.iter().filter_map(blamed).collect();
    let report = AttemptReport {
        outcomes,
        after: event.clone(),
        failed,
        pauses_unreadable: 0,
        settled: Ok(SettleOutcome::Written),
    };
    (event, report)
}

/// A turn of an event that needs nothing that others need.
fn no_slots() -> Turn {
    Turn { pk: String::new(), slots: Vec::new(), barred: Vec::new(), is_alone: false }
}

fn fails(schedule: &mut Schedule<'_>, times: u32, route: &str, code: FailureCode) {
    for _ in 0..times {
        let (before, report) = attempt(&[(route, Err(code.into()))], None);
        schedule.end(&no_slots(), Some((&before, &report)));
    }
}

#[test]
fn one_destination_has_eight_in_hand_and_the_others_go_on() {
    let routes = routes(&["slow", "good"]);
    let pauses = pauses(&routes, &[]);
    let mut schedule = Schedule::new(&routes, &pauses, NOW);
    for n in 0..100 {
        assert_eq!(schedule.offer(&entry(n, &[("slow", 0)])), Offer::OnSchedule);
    }
    assert_eq!(schedule.offer(&entry(100, &[("good", 0)])), Offer::OnSchedule);
    let started = turns(&mut schedule);
    let of_slow = started.iter().filter(|turn| turn.pk != "sample#100").count();
    assert_eq!((of_slow, started.len()), (SLOTS_PER_NEIGHBOUR, SLOTS_PER_NEIGHBOUR + 1));
    schedule.end(&started[0], None);
    assert_eq!(turns(&mut schedule).len(), 1, "a slot that was given back");
    // The same event is not taken twice.
    assert_eq!(schedule.offer(&entry(100, &[("good", 0)])), Offer::OnSchedule);
    assert!(turns(&mut schedule).is_empty());
}

#[test]
fn an_event_uses_what_has_a_slot_and_leaves_what_has_none() {
    let routes = routes(&["slow", "good"]);
    let pauses = pauses(&routes, &[]);
    let mut schedule = Schedule::new(&routes, &pauses, NOW);
    (0..8).for_each(|n| assert_eq!(schedule.offer(&entry(n, &[("slow", 0)])), Offer::OnSchedule));
    assert_eq!(turns(&mut schedule).len(), 8);
    schedule.offer(&entry(8, &[("slow", 0), ("good", 0)]));
    let turn = schedule.next_turn().unwrap();
    let (event, _) =
        attempt(&[("slow", Err(FailureCode::Timeout.into())), ("good", Err(FailureCode::Timeout.into()))], None);
    assert!(turn.allows(&routes, &event, "good") && !turn.allows(&routes, &event, "slow"));
    assert!(turn.allows(&routes, &event, "gone"), "a route that no longer exists needs nothing");
}

#[test]
fn what_is_paused_or_unknown_or_not_yet_due_is_held_back_unread() {
    let routes = routes(&["paused", "unreadable", "open"]);
    let mut pauses = pauses(&routes, &["paused"]);
    pauses.0.insert(Destination::Workflow("unreadable".to_owned()), PauseReading::Malformed);
    let mut schedule = Schedule::new(&routes, &pauses, NOW);
    let held: [&[(&str, u64)]; 4] = [
        &[("paused", 0)],
        &[("unreadable", 0)],
        &[("paused", 0), ("unreadable", 0), ("open", 1)],
        &[("paused", 0), ("customer:paused", 0)],
    ];
    for (n, waits_for) in held.into_iter().enumerate() {
        assert_eq!(schedule.offer(&entry(n, waits_for)), Offer::HeldBack, "{waits_for:?}");
    }
    let read: [&[(&str, u64)]; 4] = [&[("paused", 0), ("open", 0)], &[("paused", 0), ("gone", 0)], &[], &[("open", 1)]];
    for (n, waits_for) in read.into_iter().enumerate() {
        assert_eq!(schedule.offer(&entry(10 + n, waits_for)), Offer::OnSchedule, "{waits_for:?}");
    }
    assert_eq!(turns(&mut schedule).len(), read.len());
}

#[test]
fn an_event_that_is_tried_alone_leaves_what_is_failing_as_well() {
    let routes = routes(&["bad", "good"]);
    let pauses = pauses(&routes, &[]);
    let mut schedule = Schedule::new(&routes, &pauses, NOW);
    fails(&mut schedule, FAILURES_IN_A_ROW, "bad", FailureCode::Timeout);
    let (event, _) =
        attempt(&[("bad", Err(FailureCode::Timeout.into())), ("good", Err(FailureCode::Timeout.into()))], None);
    let turn = schedule.start_alone("sample#0".to_owned());
    assert!(turn.is_alone() && turn.allows(&routes, &event, "good") && !turn.allows(&routes, &event, "bad"));
    schedule.end(&turn, None);
    // What another event that was tried alone met counts as well.
    fails(&mut schedule, FAILURES_IN_A_ROW, "good", FailureCode::Timeout);
    let turn = schedule.start_alone("sample#1".to_owned());
    assert!(!turn.allows(&routes, &event, "good"));
    schedule.end(&turn, None);
}

#[test]
fn after_five_failures_in_a_row_a_destination_is_left_alone() {
    let routes = routes(&["down", "good"]);
    let pauses = pauses(&routes, &[]);
    let mut schedule = Schedule::new(&routes, &pauses, NOW);
    fails(&mut schedule, 4, "down", FailureCode::ServerError);
    let (before, report) = attempt(&[("down", Ok(DispatchSuccess::Delivered { http_status: 200 }))], None);
    schedule.end(&no_slots(), Some((&before, &report)));
    schedule.offer(&entry(0, &[("down", 0)]));
    fails(&mut schedule, 4, "down", FailureCode::ServerError);
    assert_eq!(schedule.offer(&entry(1, &[("down", 0)])), Offer::OnSchedule, "a success in between");
    fails(&mut schedule, 9, "good", FailureCode::CustomerUnknown);
    fails(&mut schedule, 1, "down", FailureCode::ServerError);
    assert_eq!(schedule.offer(&entry(2, &[("down", 0)])), Offer::HeldBack);
    assert_eq!(schedule.offer(&entry(3, &[("down", 0), ("good", 0)])), Offer::OnSchedule);
    assert_eq!(schedule.hold_back(), 2, "those that waited for it alone");
    let turn = schedule.next_turn().unwrap();
    assert_eq!(turn.pk, "sample#3");
    assert!(turn.allows(&routes, &before, "good") && !turn.allows(&routes, &before, "down"));
    schedule.add("sample#by-hand".to_owned());
    let by_hand = schedule.next_turn().unwrap();
    assert!(by_hand.allows(&routes, &before, "good") && !by_hand.allows(&routes, &before, "down"));
    assert!(schedule.is_empty());
}

#[test]
fn a_failing_provider_api_holds_back_what_waits_for_it_and_nothing_else() {
    let routes = routes(&["looks-up", "good"]);
    let pauses = pauses(&routes, &[]);
    let mut schedule = Schedule::new(&routes, &pauses, NOW);
    fails(&mut schedule, 5, "looks-up", FailureCode::ProviderApiTimeout);
    let api = ("api:sample", 0);
    assert_eq!(schedule.offer(&entry(0, &[api, ("looks-up", 0)])), Offer::HeldBack);
    assert_eq!(schedule.offer(&entry(1, &[("looks-up", 0)])), Offer::OnSchedule, "it may need no look-up");
    assert_eq!(schedule.offer(&entry(2, &[("api:sample", 7), ("looks-up", 7), ("good", 0)])), Offer::OnSchedule);

    // It answers again.
    let unreachable = Some(FailureCode::ProviderApiTimeout);
    let (before, report) = attempt(&[("looks-up", Err(FailureCode::CustomerUnknown.into()))], unreachable);
    schedule.end(&no_slots(), Some((&before, &report)));
    assert_eq!(schedule.offer(&entry(3, &[api, ("looks-up", 0)])), Offer::OnSchedule);
    let allowed = |turn: Turn| turn.allows(&routes, &before, "looks-up").then_some(turn.pk);
    let mut allowed: Vec<_> = turns(&mut schedule).into_iter().filter_map(allowed).collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["sample#3"], "the others have no slot of the API, which this event waits for");
}

#[test]
fn a_full_line_asks_to_be_refilled_once_it_is_short() {
    let routes = routes(&["many", "few"]);
    let pauses = pauses(&routes, &[]);
    let mut schedule = Schedule::new(&routes, &pauses, NOW);
    for n in 0..LONGEST_LINE {
        assert_eq!(schedule.offer(&entry(n, &[("many", 0)])), Offer::OnSchedule);
    }
    assert!(!schedule.refill());
    assert_eq!(schedule.offer(&entry(LONGEST_LINE, &[("many", 0)])), Offer::NoRoom);
    assert_eq!(schedule.offer(&entry(LONGEST_LINE + 1, &[("few", 0)])), Offer::OnSchedule);
    assert!(!schedule.refill(), "it is long still");
    while !schedule.lines[0].waiting.is_empty() {
        turns(&mut schedule).iter().for_each(|turn| schedule.end(turn, None));
    }
    assert!(schedule.refill() && schedule.is_refilling());
    assert_eq!(schedule.offer(&entry(LONGEST_LINE, &[("many", 0)])), Offer::OnSchedule);
    assert!(!schedule.refill(), "nothing was turned away since");
}
