use shared::record::event::Dispatch;

use super::*;

const NOW: UnixMillis = UnixMillis(1_738_784_271_042);

fn event(n: usize, state: EventState, outcomes: usize) -> EventSummary {
    EventSummary {
        pk: format!("rail#evt_{n}"),
        event_type: Some("ACCOUNT_OPEN".to_owned()),
        received_at: UnixMillis(NOW.0 + n as u64),
        state,
        attempts: 1,
        next_attempt_at: None,
        last_error: None,
        deliveries: [("opened".to_owned(), Dispatch::pending())].into(),
        outcomes,
    }
}

fn board() -> Board {
    Board::new(true, NOW)
}

fn keys(listed: &[ListedEvent]) -> Vec<&str> {
    listed.iter().map(|listed| listed.event.pk.as_str()).collect()
}

#[test]
fn a_viewer_is_told_of_each_change_once_and_of_the_latest_state() {
    let board = board();
    board.put(event(1, EventState::Pending, 0), NOW);
    board.put(event(2, EventState::Pending, 0), NOW);
    let (all, version) = board.all();
    assert_eq!(keys(&all), ["rail#evt_2", "rail#evt_1"]);

    board.put(event(1, EventState::Pending, 1), NOW);
    board.put(event(1, EventState::Delivered, 2), NOW);
    let (changed, version) = board.changed_since(version);
    assert_eq!(keys(&changed), ["rail#evt_1"]);
    assert_eq!(changed[0].event.state, EventState::Delivered);
    board.put(event(1, EventState::Delivered, 2), NOW);
    assert!(board.changed_since(version).0.is_empty());
}

#[test]
fn what_is_done_is_forgotten_before_what_waits() {
    let board = board();
    board.put(event(0, EventState::Pending, 0), NOW);
    for n in 1..=MAX_ROWS {
        board.put(event(n, EventState::Delivered, 1), NOW);
    }
    assert!(board.listed("rail#evt_0").is_some() && board.listed("rail#evt_1").is_none());
    assert_eq!((board.all().0.len(), board.has_more()), (MAX_ROWS, false));

    for n in 1..=MAX_ROWS {
        board.put(event(n, EventState::Dead, 1), NOW);
    }
    assert!(board.listed("rail#evt_0").is_none());
    assert_eq!((board.all().0.len(), board.has_more()), (MAX_ROWS, true));
    assert_eq!(board.stats(NOW).dead, MAX_ROWS);
}

#[test]
fn rates_count_what_was_watched() {
    let board = board();
    let long_ago = EventSummary { received_at: UnixMillis(NOW.0 - 60_000), ..event(1, EventState::Pending, 3) };
    board.put(long_ago.clone(), NOW);
    assert_eq!(board.stats(NOW).minutes, []);
    board.put(EventSummary { state: EventState::Delivered, outcomes: 5, ..long_ago }, NOW);
    board.put(event(2, EventState::Pending, 2), NOW);
    assert_eq!(board.stats(NOW).minutes, [Minute(NOW.0 / 60_000, 1, 3)]);
    assert_eq!(board.stats(UnixMillis(NOW.0 + 3_600_000)).minutes, []);
}

#[test]
fn an_answer_finds_its_event_whichever_comes_first() {
    let board = board();
    board.acknowledged("rail#evt_1", 3.5);
    board.put(event(1, EventState::Pending, 0), NOW);
    board.put(event(2, EventState::Pending, 0), NOW);
    board.acknowledged("rail#evt_2", 4.5);
    board.acknowledged("rail#evt_2", 9.0);
    let ack = |n: usize| board.listed(&format!("rail#evt_{n}")).and_then(|listed| listed.ack_ms);
    assert_eq!((ack(1), ack(2)), (Some(3.5), Some(4.5)));
    assert_eq!(board.stats(NOW).acks, Some(vec![3.5, 4.5, 9.0]));
}

#[test]
fn what_waits_is_counted_with_the_age_of_the_oldest() {
    let board = board();
    for n in [5, 3, 9] {
        board.put(event(n, EventState::Pending, 0), NOW);
    }
    board.put(event(1, EventState::Dead, 1), NOW);
    let stats = board.stats(NOW);
    assert_eq!((stats.pending, stats.dead, stats.oldest), (3, 1, Some(NOW.0 + 3)));
    assert_eq!(board.pending_by_route(), BTreeMap::from([("opened".to_owned(), 4)]));
}

#[test]
fn somebody_looks_as_long_as_a_viewer_lives() {
    let board = Arc::new(board());
    let viewer = board.viewer();
    assert!(board.is_viewed());
    drop(viewer);
    assert!(!board.is_viewed());
}
