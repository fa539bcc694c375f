//! The words of the verbs, against what an operator shall read.

use std::time::Duration;

use futures_util::FutureExt;
use operator::events::report::{Customers, Report, customers as customers_of};
use route::destination::Destination;
use route::routes::{Known, Routes};
use shared::clock::{Clock, UnixMillis, UnixSeconds};
use shared::deliver::resolver::Resolver;
use shared::record::event::{AttemptBy, EventRecord, EventState};
use shared::record::pauses::{Pause, PauseReading, Pauses};
use shared::record::store::listing::EventSummary;

use super::list::{write_json, write_rows};
use super::show;
use crate::terminal::{Lines, Table};
use fixtures::{NOW, attempted, delivered, down, received, recorded, refused, workflow};

/// The operator's own tests have the same events. A feature of that crate would have all that needs it compiled twice.
#[path = "../../../operator/src/events/fixtures.rs"]
mod fixtures;

/// Two routes of one event, and one that wants something else.
const ROUTES: &str = r#"
[[route]]
name = "deposit"
provider = "rail"
events = ["POSTED"]
workflow = "deposits"
event_type = "deposit.posted"
customer = "/customer"
fields = { amount = "/amount" }

[[route]]
name = "first-deposit"
provider = "rail"
events = ["POSTED"]
workflow = "welcome"
event_type = "deposit.first"
customer = "/customer"

[[route]]
name = "opened"
provider = "rail"
events = ["OPENED"]
workflow = "welcome"
event_type = "account.opened"
customer = "/customer"
"#;

fn routes() -> Routes {
    Routes::parse("routes.toml", ROUTES, Known::Anything).expect("the routes above are sound")
}

/// Who the body says that the customers are.
fn customers(event: &EventRecord, routes: &Routes) -> Customers {
    let resolver = Resolver { clock: Clock::system(), customers: None, apis: Vec::new() };
    // Without a table nothing is waited for.
    customers_of(&resolver, routes, event).now_or_never().unwrap()
}

/// Of destinations that were never paused.
fn no_pauses() -> Pauses {
    let known = |destination: &Destination| (destination.clone(), PauseReading::Known(Vec::new()));
    Pauses(routes().destinations().into_iter().map(known).collect())
}

fn shown(event: &EventRecord, pauses: &Pauses, body: bool) -> String {
    let routes = routes();
    let customers = customers(event, &routes);
    let mut out = Lines::default();
    let report = Report { event, routes: &routes, customers: &customers, pauses, now: NOW };
    show::write(&mut out, &report, body).unwrap();
    out.0
}

#[test]
fn the_timeline_of_a_pending_event_tells_what_happened_and_what_is_to_come() {
    let first = attempted(&recorded("evt_1"), AttemptBy::First, Duration::from_millis(8), [down(), delivered()]);
    let taken = first.take_over(first.received_at.plus(Duration::from_secs(70)), "redrive".to_owned());
    let mut event = attempted(&taken, AttemptBy::Redrive, Duration::from_secs(70), [down(), delivered()]);
    event.next_attempt_at = Some(NOW.seconds().plus(42));
    event.deliveries.get_mut("deposit").unwrap().next_attempt_at = event.next_attempt_at;

    assert_eq!(shown(&event, &no_pauses(), false), GOLDEN_PENDING.trim_start_matches('\n'));
}

const GOLDEN_PENDING: &str = "
rail#evt_1

  type        POSTED
  state       pending, next attempt in 42 s
  attempts    2
  last error  server_error 503
              server_error: the destination answered 5xx; wait
  occurred    2025-02-05T16:37:46.042Z
  received    2025-02-05T16:37:51.042Z, 3 h ago
  kept        until the work on it ends
  body        38 bytes stored; 5e1f as received

Timeline
  2025-02-05T16:37:51.042Z  received, 5.0 s after it occurred
  2025-02-05T16:37:51.050Z  attempt of the receiving function: server_error, HTTP 503, 512 ms
  2025-02-05T16:39:01.042Z  attempt of redrive: server_error, HTTP 503, 512 ms
  2025-02-05T19:38:33.000Z  next attempt, in 42 s

Routes
  deposit       → deposits  pending    server_error 503
    waits for its next attempt, 2025-02-05T19:38:33.000Z; failures are retried until 2025-02-08T16:37:51.000Z
  first-deposit → welcome   delivered  2025-02-05T16:39:01.554Z

Message of route deposit to deposits, as it would be sent now (last error: server_error 503)
  { \"eventType\": \"deposit.posted\",
    \"customerId\": \"C-1001\",
    \"occurredAt\": \"2025-02-05T16:37:46.042Z\",
    \"idempotencyKey\": \"rail:evt_1/deposit\",
    \"source\": \"rail\",
    \"sourceEventType\": \"POSTED\",
    \"amount\": 1000.00 }
";

#[test]
fn the_timeline_of_a_dead_event_ends_with_its_death_and_a_message_that_cannot_be_made_says_why() {
    let mut event = attempted(&recorded("evt_2"), AttemptBy::Manual, Duration::from_secs(1), [refused(), delivered()]);
    event.body = r#"{"customer":"C-1001"}"#.to_owned();
    let text = shown(&event, &no_pauses(), true);

    assert!(text.contains("  state       dead: needs a person\n"), "{text}");
    assert!(text.contains("  kept        until the work on it ends\n"), "{text}");
    let attempt = "attempt of redrive, by an operator: refused, HTTP 422, 512 ms\n";
    assert!(text.contains(attempt), "{text}");
    assert!(text.contains("  2025-02-05T16:37:52.554Z  dead, 2 h 59 min ago\n"), "{text}");
    let composed = "Message of route deposit to deposits, as it would be sent now (last error: refused 422)\n  nothing: mapping_failed /amount\n";
    assert!(text.contains(composed), "{text}");
    assert!(text.ends_with("\nStored body\n{\"customer\":\"C-1001\"}\n"), "{text}");
}

#[test]
fn the_body_is_shown_only_when_it_is_asked_for() {
    let mut event = recorded("evt_3");
    event.body = r#"{"customer":"C-1001","amount":1,"street":"a secret"}"#.to_owned();
    assert!(!shown(&event, &no_pauses(), false).contains("a secret"));
    assert!(shown(&event, &no_pauses(), true).contains("a secret"));

    let json = |body| {
        let (routes, pauses) = (routes(), no_pauses());
        let mut out = Lines::default();
        let customers = customers(&event, &routes);
        let report = Report { event: &event, routes: &routes, customers: &customers, pauses: &pauses, now: NOW };
        show::write_json(&mut out, &report, body).unwrap();
        out.0
    };
    assert!(!json(false).contains("a secret"));
    assert!(json(true).contains(r#""body":{"customer":"C-1001","amount":1,"street":"a secret"}"#));
}

#[test]
fn a_message_in_json_keeps_its_digits() {
    let (event, routes, pauses) = (recorded("evt_1"), routes(), no_pauses());
    let mut out = Lines::default();
    let customers = customers(&event, &routes);
    let report = Report { event: &event, routes: &routes, customers: &customers, pauses: &pauses, now: NOW };
    show::write_json(&mut out, &report, false).unwrap();
    let text = out.0;
    assert!(text.contains(r#""amount":1000.00}"#), "{text}");
    let facts: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(facts["would_send"][1]["message"]["idempotencyKey"], "rail:evt_1/first-deposit");
    assert_eq!(facts["state"], "pending");
}

#[track_caller]
fn check_last_line(event: &EventRecord, pauses: &Pauses, expected: &str) {
    let text = shown(event, pauses, false);
    let timeline = text.split("\nTimeline\n").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap();
    let last = timeline.lines().last().unwrap();
    assert_eq!(last.split_once("  ").and_then(|(_, rest)| rest.split_once("  ")).map(|(_, what)| what), Some(expected));
}

#[test]
fn the_timeline_tells_an_attempt_under_way_from_one_that_was_lost_and_from_a_pause() {
    let but = |readings: Vec<(Destination, PauseReading)>| {
        let mut pauses = no_pauses();
        pauses.0.extend(readings);
        pauses
    };
    let pause = Pause { from: UnixMillis(NOW.0 - 1), to: None };
    let paused = |name: &str| (workflow(name), PauseReading::Known(vec![pause]));
    let both = but(vec![paused("deposits"), paused("welcome")]);
    let one = but(vec![paused("welcome")]);
    let unreadable = but(vec![(workflow("deposits"), PauseReading::Malformed), paused("welcome")]);
    let mut event = recorded("evt_1");

    event.next_attempt_at = Some(NOW.seconds().plus(59));
    check_last_line(&event, &no_pauses(), "lease of the attempt under way ends, in 59 s");
    event.next_attempt_at = Some(UnixSeconds(NOW.seconds().0 - 60));
    let lost = "lease of an attempt without an outcome ended, 1 min ago; redrive takes it over";
    check_last_line(&event, &no_pauses(), lost);
    check_last_line(&event, &one, lost);
    check_last_line(&event, &both, "lease, 1 min ago; paused, so no function takes it over");
    let expected = "lease, 1 min ago; its pauses cannot be read, so no function takes it over";
    check_last_line(&event, &unreadable, expected);
    assert!(shown(&event, &unreadable, false).contains("pending: the pauses of its workflow cannot be read"));
    let text = shown(&event, &unreadable, false);
    assert!(text.contains("\n    waits until the pauses of its workflow can be read\n"), "{text}");
    let waits = "\n    waits until its workflow is resumed; failures are retried for 2 d 21 h after that\n";
    assert!(text.contains(waits), "{text}");
    let is_due =
        "\n    is due: the next run of redrive delivers it; failures are retried until 2025-02-08T16:37:51.000Z\n";
    assert!(shown(&event, &one, false).contains(is_due));
    event.next_attempt_at = Some(NOW.seconds().plus(59));
    assert!(shown(&event, &no_pauses(), false).contains("\n    is being delivered; failures are retried until 2025-"));
}

#[test]
fn retries_end_after_72_hours_in_which_the_workflow_was_not_paused() {
    let event = recorded("evt_1");
    let until = |from: u64, to: u64, now: u64| {
        let hours = |hours: u64| UnixMillis(event.received_at.0 + hours * 3_600_000);
        let pause = Pause { from: hours(from), to: Some(hours(to)) };
        let mut pauses = no_pauses();
        pauses.0.insert(workflow("deposits"), PauseReading::Known(vec![pause]));
        let (routes, now) = (routes(), hours(now));
        let customers = customers(&event, &routes);
        let report = Report { event: &event, routes: &routes, customers: &customers, pauses: &pauses, now };
        let [note] = report.notes("deposit", &event.deliveries["deposit"]).try_into().unwrap();
        note.split_once("; ").unwrap().1.to_owned()
    };
    assert_eq!(until(0, 0, 1), "failures are retried until 2025-02-08T16:37:51.000Z");
    assert_eq!(until(10, 34, 40), "failures are retried until 2025-02-09T16:37:51.000Z");
    assert_eq!(until(0, 0, 72), "the next failure is the last");
    assert_eq!(until(10, 34, 96), "the next failure is the last");
}

#[test]
fn what_was_fetched_is_named_by_its_field_and_look_up_and_no_value_is_shown() {
    let mut event = attempted(&recorded("evt_1"), AttemptBy::First, Duration::ZERO, [down(), delivered()]);
    let fetched = [("amount", Some("\"MARKED\"".to_owned())), ("note", None), ("of-last-year", Some("1".to_owned()))];
    let fetched = fetched.map(|(field, value)| (field.to_owned(), value));
    event.fetched.insert("deposit".to_owned(), fetched.into());
    let looked_up = r#"
        [rail.names]
        customer = "/customer"
        [rail.lookups]
        payment = "/payments/{/id}"
        account = "/accounts/{/id}"
        [rail.routes.deposit]
        events     = "POSTED"
        workflow   = "deposits"
        event_type = "deposit.posted"
        fields     = { amount = ["lookup:payment:/a", "/b", "lookup:account:/c"], "note?" = "lookup:payment:/note" }
    "#;
    let routes = Routes::parse("routes.toml", looked_up, Known::Anything).unwrap();
    let (pauses, customers) = (no_pauses(), customers(&event, &routes));
    let report = Report { event: &event, routes: &routes, customers: &customers, pauses: &pauses, now: NOW };
    let notes = report.notes("deposit", &event.deliveries["deposit"]);
    let expected = "fetched amount of look-up payment or account, nothing for note of look-up payment, of-last-year";
    assert_eq!(notes.last().unwrap(), expected);
    let mut out = Lines::default();
    show::write(&mut out, &report, false).unwrap();
    let (before_the_message, _) = out.0.split_once("Message of route").unwrap();
    assert!(before_the_message.contains(&format!("\n    {expected}\n")) && !before_the_message.contains("MARKED"));
}

#[test]
fn an_error_is_shown_with_its_meaning_once() {
    let both = attempted(&recorded("evt_1"), AttemptBy::First, Duration::ZERO, [refused(), down()]);
    let text = shown(&both, &no_pauses(), false);
    assert!(text.contains("  last error  refused 422\n              refused: the destination answered 400,"), "{text}");
    assert!(
        text.contains("  server_error 503\n    server_error: the destination answered 5xx; wait\n    is due: "),
        "{text}"
    );
    assert_eq!((text.matches("refused: ").count(), text.matches("server_error: the").count()), (1, 1), "{text}");

    // Before its routes were chosen.
    let mut event = received("evt_7", "POSTED");
    event.event_type = None;
    let text = shown(&event.clone().begin([], NOW), &no_pauses(), false);
    let meaning = "  last error  envelope_unreadable\n              envelope_unreadable: the delivery is signed and has no usable";
    assert!(text.contains(meaning), "{text}");
}

#[test]
fn an_ignored_event_is_shown_with_the_routes_that_want_it_today() {
    let text = shown(&received("evt_4", "OPENED"), &no_pauses(), false);
    assert!(text.contains("  state       ignored: no route matched\n"), "{text}");
    assert!(text.contains("Routes\n  none\n"), "{text}");
    assert!(text.contains("Message of route opened to welcome, as it would be sent now\n"), "{text}");
    assert!(!shown(&received("evt_5", "CLOSED"), &no_pauses(), false).contains("as it would be sent"));
}

#[test]
fn a_dead_event_whose_route_is_gone_is_shown_with_the_routes_that_want_it_today() {
    let mut event = attempted(&recorded("evt_6"), AttemptBy::First, Duration::ZERO, [refused(), delivered()]);
    let died = event.deliveries.remove("deposit").unwrap();
    event.deliveries.insert("of-last-year".to_owned(), died);
    let text = shown(&event, &no_pauses(), false);
    assert!(
        text.contains("Message of route of-last-year, as it would be sent now (last error: refused 422)\n  nothing: "),
        "{text}"
    );
    assert!(
        text.contains("\nMessage of route deposit to deposits, as it would be sent now\n  { \"eventType\""),
        "{text}"
    );
    assert_eq!(text.matches("as it would be sent now").count(), 2);
}

#[test]
fn what_a_terminal_would_act_on_is_not_printed() {
    let text = shown(&received("evt\u{1b}[2J", "OPENED\u{7}"), &no_pauses(), false);
    assert!(text.starts_with("rail#evt\\u001b[2J\n"), "{text}");
    assert!(!text.contains('\u{1b}') && !text.contains('\u{7}'));
}

#[test]
fn the_list_is_a_table_whose_columns_hold_their_longest_cells() {
    let mut waiting =
        EventSummary::from(&attempted(&recorded("evt_1"), AttemptBy::First, Duration::ZERO, [down(), delivered()]));
    waiting.next_attempt_at = Some(NOW.seconds().plus(185));
    waiting.deliveries.get_mut("deposit").unwrap().next_attempt_at = waiting.next_attempt_at;
    let mut in_hand = EventSummary::from(&recorded("evt_2"));
    in_hand.next_attempt_at = Some(NOW.seconds().plus(30));
    let mut due = in_hand.clone();
    due.next_attempt_at = Some(UnixSeconds(NOW.seconds().0 - 30));
    let mut dead = EventSummary::from(&received("sha256:0123456789abcdef", "POSTED"));
    (dead.state, dead.event_type) = (EventState::Dead, None);
    dead.last_error = Some("envelope_unreadable".to_owned());

    let mut out = Lines::default();
    write_rows(&mut out, &mut Table::default(), true, &[waiting, in_hand, due, dead], NOW).unwrap();
    assert_eq!(out.0, GOLDEN_LIST.trim_start_matches('\n'));
}

const GOLDEN_LIST: &str = "
EVENT                         TYPE          STATE    ATTEMPTS  NEXT ATTEMPT  LAST ERROR           AGE
rail#evt_1                    POSTED        pending  1         in 3 min 5 s  server_error 503     3 h
rail#evt_2                    POSTED        pending  1         in hand       –                    3 h
rail#evt_2                    POSTED        pending  1         due 30 s ago  –                    3 h
rail#sha256:0123456789abcdef  (unreadable)  dead     0         –             envelope_unreadable  3 h
";

#[test]
fn what_is_listed_in_json_has_a_line_an_event() {
    let dead = attempted(&recorded("evt_1"), AttemptBy::First, Duration::ZERO, [refused(), delivered()]);

    let mut out = Lines::default();
    write_json(&mut out, &[EventSummary::from(&dead)], NOW).unwrap();
    let text = out.0;
    assert_eq!(text.lines().count(), 1);
    let line: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(line["pk"], "rail#evt_1");
    assert_eq!(line["died_at"], "2025-02-05T16:37:51.000Z");
    assert_eq!(line["last_error"], "refused 422");
    assert_eq!(line["deliveries"]["deposit"]["state"], "dead");
    assert_eq!(line["deliveries"]["first-deposit"]["state"], "delivered");
}
