//! Record, lease and settle under every interleaving, crash, lost answer and clock that small numbers allow.
//!
//! The records are made by the transitions of `shared::record::event` themselves and the messages by `shared::deliver::message`; only the
//! table is a mirror of `shared::record::store` (`protocol_model/table.rs`), and pauses are left out. Each test visits every
//! state that its [`Bounds`] allow and holds all of them to every [`Property`]; its bounds are chosen for those in its name.
//! `cargo test -p shared --test protocol_model -- --nocapture` tells how many states that were.

#![allow(clippy::unwrap_used, reason = "a model that cannot go on is a test that fails")]

#[path = "protocol_model/explorer.rs"]
mod explorer;
#[path = "protocol_model/table.rs"]
mod table;
#[path = "protocol_model/world.rs"]
mod world;

use shared::record::event::MAX_UNSETTLED;
use shared::record::retry_plan::Draw;

use explorer::explore;
use world::{COPY, FIRST, Model, OPERATOR, OTHER_REDRIVE, REDRIVE, Sights};

/// What holds in every state that can be reached.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Property {
    /// Whoever answers 2xx has seen the event in the table.
    NoAckWithoutARecord,
    /// The table has it, and whoever has to take it up finds it there: redrive what is pending, a person what is dead.
    WhatIsAcknowledgedIsFound,
    /// If everybody died now, one healthy redrive would deliver it; an operator's, what is dead or was ignored.
    EachEventIsDeliveredInTheEnd,
    AttemptsNeverDecrease,
    OnlyTheLatestAttemptSettles,
    WhatIsDeliveredStaysSo,
    OnlyAnOperatorRevives,
    HistoryOnlyGrows,
    /// No two invocations deliver under the same number.
    AnAttemptIsMadeOnce,
    /// To the byte, and with it the idempotency key and `occurredAt`.
    MessagesOfAnEventAreTheSame,
    DeliveredMeansAccepted,
    /// A second message to a route has a cause between the first one and its settling: a crash, a write or an answer that
    /// was lost, or somebody who took over from a deliverer that was still at it.
    OneMessageUnlessDisturbed,
    NothingDisturbsATimelyRun,
}

/// A mistake that the checker must find.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Flaw {
    RecordOverwrites,
    AcknowledgesUnrecorded,
    BeginsWithoutALease,
    /// Only the state is compared.
    TakeOverOfAnyAttempt,
    /// State and attempts are compared.
    TakeOverAtAnyTime,
    TakesOverBeforeItIsDue,
    RedriveRevives,
    /// Whatever its state.
    DismissesAnyEvent,
    /// What is given up has no due time.
    GivesUpUnseen,
    SettleOfAnyAttempt,
    SettleLeavesTheIndex,
    SettlesWithoutSending,
    ForgetsWhatWasAccepted,
    /// A retry may be planned for the second in which the lease ends.
    RetryWhenTheLeaseEnds,
    KeyOfTheAttempt,
}

/// How much of everything may happen.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// The routes that want the event when it arrives.
    wanted_at_first: &'static [&'static str],
    /// The routes that want it when an operator takes it up.
    wanted: &'static [&'static str],
    /// How many invocations each has, in the order of the actors.
    runs: [u8; 5],
    /// Whose clocks are ten minutes ahead of the others'; one entry for each start.
    ahead: &'static [&'static [usize]],
    /// Index of the last of the times at which something happens.
    last_instant: usize,
    crashes: u8,
    /// Writes without an answer. Each takes effect at once, later, or never; whoever waits for it tries again or gives up.
    lost_writes: u8,
    failed_calls: u8,
    /// A call may fail after its message was accepted, too.
    answers_get_lost: bool,
    quick_tries: u8,
    /// An operator closes dead events, or takes them up.
    dismisses: bool,
    /// After so many lost attempts an event is given up.
    gives_up_after: u32,
    /// Nobody is slower than the functions' timeout allows.
    timely: bool,
    draw: Draw,
}

/// One route and nothing that goes wrong but calls to Returning.AI.
const CALM: Bounds = Bounds {
    wanted_at_first: &["a"],
    wanted: &["a"],
    runs: [1, 1, 2, 2, 0],
    ahead: &[&[]],
    last_instant: 3,
    crashes: 0,
    lost_writes: 0,
    failed_calls: 2,
    answers_get_lost: false,
    quick_tries: 1,
    dismisses: false,
    gives_up_after: MAX_UNSETTLED,
    timely: true,
    draw: Draw(1.0),
};

/// The same with everything that may go wrong, for the first deliverer and two redrives.
const ROUGH: Bounds = Bounds {
    runs: [1, 0, 1, 1, 0],
    last_instant: 2,
    crashes: 1,
    lost_writes: 1,
    failed_calls: 1,
    answers_get_lost: true,
    quick_tries: 0,
    timely: false,
    ..CALM
};

const TWO_ROUTES: Bounds = Bounds { wanted_at_first: &["a", "b"], wanted: &["a", "b"], ..ROUGH };

/// A draw that plans the first retry for the second in which the first lease ends.
const TO_THE_LEASE_END: Draw = Draw(59.0 / 60.0);

/// Visits every state; `Err` is the violation, and the way to it in lines.
fn search(bounds: Bounds, flaw: Option<Flaw>) -> Result<Sights, (Property, String)> {
    let mut model = Model::new(bounds, flaw);
    let explored = explore(model.starts(), |world, next| model.visit(world, next));
    println!("{} states, {} transitions, flaw: {flaw:?}", explored.states, explored.transitions);
    let Some((property, way)) = explored.violation else {
        return Ok(model.sights);
    };
    let lines =
        way.iter().enumerate().map(|(at, world)| model.tell(at.checked_sub(1).map(|before| &way[before]), world));
    Err((property, lines.collect::<Vec<_>>().join("\n")))
}

/// Holds every state to every property, and sees to it that the worlds went as far as `expected`.
#[track_caller]
fn check(bounds: Bounds, most_attempts: u32, most_messages: u8, states: &[&'static str]) {
    let expected = Sights { most_attempts, most_messages, states: states.iter().copied().collect() };
    match search(bounds, None) {
        Ok(sights) => assert_eq!(sights, expected),
        Err((property, way)) => panic!("{property:?} does not hold:\n{way}"),
    }
}

#[test]
fn an_acknowledged_event_is_in_the_table_and_one_healthy_run_from_anywhere_delivers_it() {
    let bounds = Bounds { runs: [1, 1, 1, 0, 0], crashes: 2, lost_writes: 2, ..ROUGH };
    check(bounds, 2, 2, &["pending", "delivered", "dead"]);
}

#[test]
fn the_latest_attempt_settles_and_each_is_made_once_whatever_the_clocks_say() {
    let bounds = Bounds { ahead: &[&[], &[FIRST], &[REDRIVE], &[REDRIVE, OTHER_REDRIVE]], ..ROUGH };
    check(bounds, 3, 3, &["pending", "delivered", "dead"]);
}

#[test]
fn an_operator_may_step_in_at_any_moment() {
    let bounds = Bounds { runs: [1, 0, 1, 0, 1], ahead: &[&[], &[OPERATOR]], ..ROUGH };
    check(bounds, 3, 3, &["pending", "delivered", "dead"]);
}

#[test]
fn an_event_that_died_of_age_or_was_ignored_waits_for_an_operator() {
    let aged = Bounds { runs: [1, 0, 1, 0, 1], last_instant: 3, crashes: 0, lost_writes: 0, failed_calls: 2, ..ROUGH };
    check(aged, 3, 3, &["pending", "delivered", "dead"]);
    let ignored = Bounds { wanted_at_first: &[], runs: [1, 1, 0, 0, 2], last_instant: 1, ..ROUGH };
    check(ignored, 2, 2, &["ignored", "pending", "delivered", "dead"]);
}

#[test]
fn a_dead_event_that_was_closed_can_be_taken_up_again() {
    let closed = Bounds { runs: [1, 0, 1, 0, 2], dismisses: true, crashes: 0, last_instant: 1, ..TWO_ROUTES };
    check(closed, 3, 3, &["pending", "delivered", "dead", "dismissed"]);
}

#[test]
fn an_event_is_given_up_once_while_its_deliverer_may_still_be_at_it() {
    let given_up = Bounds { runs: [1, 0, 1, 1, 1], gives_up_after: 1, lost_writes: 0, ..ROUGH };
    check(given_up, 3, 3, &["pending", "delivered", "dead"]);
    let unanswered = Bounds { runs: [1, 0, 1, 1, 0], gives_up_after: 1, lost_writes: 2, crashes: 0, ..ROUGH };
    check(unanswered, 3, 3, &["pending", "delivered", "dead"]);
}

#[test]
fn what_one_route_got_stays_so_while_the_other_is_tried_again() {
    let meeting = Bounds { runs: [1, 0, 1, 0, 1], crashes: 0, draw: TO_THE_LEASE_END, ..TWO_ROUTES };
    check(meeting, 3, 3, &["pending", "delivered", "dead"]);
    let failing = Bounds { runs: [1, 0, 1, 0, 1], lost_writes: 0, failed_calls: 2, last_instant: 1, ..TWO_ROUTES };
    check(failing, 3, 3, &["pending", "delivered", "dead"]);
}

#[test]
fn every_message_of_an_event_is_the_same_whichever_copy_of_it_came_first() {
    let bounds = Bounds { runs: [1, 1, 1, 0, 0], ahead: &[&[], &[COPY], &[REDRIVE]], quick_tries: 1, ..ROUGH };
    check(bounds, 2, 3, &["pending", "delivered", "dead"]);
}

#[test]
fn a_second_message_needs_a_crash_a_loss_or_an_overlap_and_without_them_there_is_one() {
    let two_routes = Bounds { wanted_at_first: &["a", "b"], wanted: &["a", "b"], ..CALM };
    check(CALM, 3, 1, &["pending", "delivered", "dead"]);
    check(two_routes, 3, 1, &["pending", "delivered", "dead"]);
    check(Bounds { crashes: 2, ..ROUGH }, 3, 3, &["pending", "delivered", "dead"]);
}

#[test]
fn the_checker_finds_each_mistake() {
    let first_and_copy = Bounds { runs: [1, 1, 0, 0, 0], ..ROUGH };
    let with_operator = Bounds { runs: [1, 0, 1, 0, 1], ..TWO_ROUTES };
    for (flaw, bounds, expected) in [
        (Flaw::RecordOverwrites, first_and_copy, Property::AnAttemptIsMadeOnce),
        (Flaw::AcknowledgesUnrecorded, first_and_copy, Property::NoAckWithoutARecord),
        (Flaw::BeginsWithoutALease, first_and_copy, Property::WhatIsAcknowledgedIsFound),
        (Flaw::TakeOverOfAnyAttempt, ROUGH, Property::AnAttemptIsMadeOnce),
        (Flaw::TakeOverAtAnyTime, with_operator, Property::WhatIsDeliveredStaysSo),
        (Flaw::TakesOverBeforeItIsDue, CALM, Property::NothingDisturbsATimelyRun),
        (Flaw::RedriveRevives, Bounds { failed_calls: 2, ..TWO_ROUTES }, Property::OnlyAnOperatorRevives),
        (Flaw::DismissesAnyEvent, Bounds { dismisses: true, ..with_operator }, Property::WhatIsAcknowledgedIsFound),
        (Flaw::GivesUpUnseen, Bounds { gives_up_after: 1, ..ROUGH }, Property::WhatIsAcknowledgedIsFound),
        (Flaw::SettleOfAnyAttempt, ROUGH, Property::OnlyTheLatestAttemptSettles),
        (Flaw::SettleLeavesTheIndex, ROUGH, Property::WhatIsAcknowledgedIsFound),
        (Flaw::SettlesWithoutSending, ROUGH, Property::DeliveredMeansAccepted),
        (Flaw::ForgetsWhatWasAccepted, ROUGH, Property::OneMessageUnlessDisturbed),
        (Flaw::RetryWhenTheLeaseEnds, with_operator, Property::WhatIsDeliveredStaysSo),
        (Flaw::RetryWhenTheLeaseEnds, Bounds { runs: [1, 0, 1, 0, 1], ..ROUGH }, Property::HistoryOnlyGrows),
        (Flaw::KeyOfTheAttempt, ROUGH, Property::MessagesOfAnEventAreTheSame),
    ] {
        let Err((found, way)) = search(bounds, Some(flaw)) else { panic!("{flaw:?} is not found") };
        println!("{way}");
        assert_eq!(found, expected, "{flaw:?}:\n{way}");
        assert!(way.lines().count() > 1 && way.lines().next().is_some_and(|line| line.ends_with("| no item")));
    }
}
