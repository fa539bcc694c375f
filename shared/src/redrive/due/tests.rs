use std::collections::HashSet;

use super::*;
use crate::clock::UnixMillis;
use crate::deliver::attempt::AttemptReport;
use crate::record::event::EventRecord;
use crate::record::pauses::{Pause, PauseReading, Pauses};
use crate::record::store::SettleOutcome;
use crate::record::store::index::IndexEntry;
use crate::redrive::schedule::Turn;
use route::destination::Destination;
use route::routes::{Known, Routes};

const NOW: UnixMillis = UnixMillis(1_738_784_271_042);
const PAGE: usize = 5_000;

/// One part of an index, in which each entry is due a second after the one before it.
struct Index(Vec<IndexEntry>);

struct World {
    routes: Routes,
    pauses: Pauses,
}

/// How a run went.
#[derive(Default)]
struct Tally {
    held_back: u32,
    pages: usize,
    done: Vec<String>,
}

fn world() -> World {
    let text = ["open", "paused", "down"].map(|name| {
        format!(
            "[[route]]\nname = \"{name}\"\nprovider = \"sample\"\nworkflow = \"{name}\"\nevent_type = \"e\"\n\
             events = [\"PAID\"]\ncustomer = \"/customer\"\n"
        )
    });
    let routes = Routes::parse("routes.toml", &text.concat(), Known::Anything).unwrap();
    let paused = PauseReading::Known(vec![Pause { from: NOW, to: None }]);
    let pauses = [
        (Destination::Workflow("open".to_owned()), PauseReading::Known(Vec::new())),
        (Destination::Workflow("down".to_owned()), PauseReading::Known(Vec::new())),
        (Destination::Workflow("paused".to_owned()), paused),
    ];
    World { routes, pauses: Pauses(pauses.into()) }
}

/// An attempt after which this destination is blamed.
fn failed_attempt(destination: &str) -> (EventRecord, AttemptReport) {
    let event = EventRecord::received("sample", "e".to_owned(), Some("PAID".to_owned()), NOW, NOW, "{}".to_owned());
    let report = AttemptReport {
        outcomes: Vec::new(),
        after: event.clone(),
        failed: vec![destination.to_owned()],
        pauses_unreadable: 0,
        settled: Ok(SettleOutcome::Written),
    };
    (event, report)
}

impl Index {
    /// Of events that wait for these routes.
    fn of<'r>(routes: impl IntoIterator<Item = &'r str>) -> Self {
        let began = NOW.seconds().0 - 1_000_000;
        let entry = |(n, route): (usize, &str)| IndexEntry {
            pk: format!("sample#{n}"),
            next_attempt_at: UnixSeconds(began + n as u64),
            received_at: Some(NOW),
            revived_at: None,
            waits_for: vec![(route.to_owned(), UnixSeconds(began))],
        };
        Self(routes.into_iter().enumerate().map(entry).collect())
    }

    fn page(&self, request: &PageRequest) -> IndexPage {
        let IndexRange::Due(by) = request.range else { panic!("only what is due") };
        let from = request.from.as_ref().and_then(Cursor::next_attempt_at);
        let rest = self
            .0
            .iter()
            .filter(|entry| entry.next_attempt_at <= by && from.is_none_or(|from| entry.next_attempt_at > from));
        let mut entries: Vec<_> = rest.take(PAGE + 1).cloned().collect();
        let more = entries.len() > PAGE;
        entries.truncate(PAGE);
        let next = entries.last().filter(|_| more).map(|last| Cursor::after(&request.due, last));
        IndexPage { entries, next }
    }

    /// A run that may read so many pages; what had its turn leaves the index. What waits for `down` fails as soon as no page is
    /// to be read.
    fn run(&mut self, world: &World, bookmarks: &Bookmarks, pages: usize) -> (Tally, bool) {
        let mut schedule = Schedule::new(&world.routes, &world.pauses, NOW);
        let mut reader = DueReader::new(["p0".to_owned()], NOW.seconds(), bookmarks);
        let is_down = |entry: &&IndexEntry| entry.waits_for.iter().any(|(route, _)| route == "down");
        let down: HashSet<String> = self.0.iter().filter(is_down).map(|entry| entry.pk.clone()).collect();
        let (failing, failure) = failed_attempt("down");
        let (mut tally, mut hanging) = (Tally::default(), Vec::new());
        loop {
            let turns: Vec<Turn> = std::iter::from_fn(|| schedule.next_turn()).collect();
            let is_idle = turns.is_empty();
            tally.done.extend(turns.iter().map(|turn| turn.pk.clone()));
            let (hang, ended): (Vec<_>, Vec<_>) = turns.into_iter().partition(|turn| down.contains(&turn.pk));
            ended.iter().for_each(|turn| schedule.end(turn, None));
            hanging.extend(hang);
            if tally.pages < pages
                && let Some(request) = reader.next_page(&mut schedule)
            {
                tally.pages += 1;
                tally.held_back += reader.take(request.part, self.page(&request), &mut schedule);
            } else if !hanging.is_empty() {
                hanging.drain(..).for_each(|turn| schedule.end(&turn, Some((&failing, &failure))));
            } else if is_idle {
                break;
            }
        }
        tally.held_back += schedule.hold_back();
        let complete = reader.is_complete() && schedule.is_empty();
        reader.leave(bookmarks);
        let done: HashSet<&String> = tally.done.iter().collect();
        self.0.retain(|entry| !done.contains(&entry.pk));
        (tally, complete)
    }
}

#[test]
fn what_is_held_back_in_front_keeps_nothing_from_its_turn() {
    let mut index = Index::of(std::iter::repeat_n("paused", 9_000).chain(["open"; 8]));
    let (tally, complete) = index.run(&world(), &Bookmarks::default(), usize::MAX);
    assert_eq!((tally.done.len(), tally.held_back, tally.pages, complete), (8, 9_000, 2, true));
}

#[test]
fn what_there_was_no_room_for_is_read_again_and_everything_is_counted_once() {
    let routes: Vec<_> = (0..30_000).map(|n| if n % 3 == 0 { "paused" } else { "open" }).collect();
    let mut index = Index::of(routes);
    let (tally, complete) = index.run(&world(), &Bookmarks::default(), usize::MAX);
    assert_eq!((tally.done.len(), tally.held_back, complete), (20_000, 10_000, true));
    assert!(tally.done.is_sorted_by_key(|pk| pk["sample#".len()..].parse::<u32>().unwrap()), "the soonest first");
    assert!(tally.pages > 6, "more than one pass: {}", tally.pages);
}

#[test]
fn what_a_failing_destination_had_no_room_for_is_held_back_and_the_run_is_complete() {
    let mut index = Index::of(std::iter::repeat_n("down", 30_000).chain(["open"; 8]));
    let (tally, complete) = index.run(&world(), &Bookmarks::default(), usize::MAX);
    // Eight were in hand when nothing was known of the failures yet.
    assert_eq!((tally.done.len(), tally.held_back, complete), (8 + 8, 30_000 - 8, true));
    assert!(tally.done[8..].iter().all(|pk| pk["sample#".len()..].parse::<u32>().unwrap() >= 30_000), "the others");
    assert!(tally.pages <= 2 * 7, "what is left is read again once: {}", tally.pages);
}

#[test]
fn a_run_goes_on_where_the_last_one_ended_and_comes_back_to_the_beginning() {
    let mut index = Index::of(std::iter::repeat_n("paused", 150_000).chain(["open"; 8]));
    let (world, bookmarks) = (world(), Bookmarks::default());
    let (tally, complete) = index.run(&world, &bookmarks, usize::MAX);
    assert_eq!((tally.done.len(), tally.held_back as usize, complete), (0, READ_PER_PART, false));
    let (tally, complete) = index.run(&world, &bookmarks, usize::MAX);
    assert_eq!((tally.done.len(), tally.held_back as usize, complete), (8, READ_PER_PART, false));
    // It was in the midst of the beginning; and somebody has resumed the workflow.
    let world = World {
        pauses: Pauses(
            world.routes.destinations().into_iter().map(|it| (it.clone(), PauseReading::Known(Vec::new()))).collect(),
        ),
        ..world
    };
    let mut done = 0;
    while !index.0.is_empty() {
        done += index.run(&world, &bookmarks, 20).0.done.len();
    }
    assert_eq!(done, 150_000);
}

#[test]
fn a_run_that_had_no_time_is_followed_by_one_that_goes_on_behind_it() {
    let mut index = Index::of(std::iter::repeat_n("paused", 20_000).chain(["open"; 8]));
    let (world, bookmarks) = (world(), Bookmarks::default());
    let runs: Vec<_> = (0..4).map(|_| index.run(&world, &bookmarks, 2)).collect();
    assert!(runs.iter().all(|(_, complete)| !complete));
    assert_eq!(runs.iter().map(|(tally, _)| tally.done.len()).sum::<usize>(), 8);
    let (tally, complete) = index.run(&world, &Bookmarks::default(), usize::MAX);
    assert_eq!((tally.held_back, complete), (20_000, true));
}

#[test]
fn a_part_that_cannot_be_read_is_left_and_the_run_is_not_complete() {
    let world = world();
    let mut schedule = Schedule::new(&world.routes, &world.pauses, NOW);
    let parts = ["p0", "p1"].map(str::to_owned);
    let mut reader = DueReader::new(parts, NOW.seconds(), &Bookmarks::default());
    let request = reader.next_page(&mut schedule).unwrap();
    reader.skip(request.part);
    let request = reader.next_page(&mut schedule).unwrap();
    assert_eq!(request.due, "p1");
    reader.take(request.part, IndexPage { entries: Vec::new(), next: None }, &mut schedule);
    assert!(reader.next_page(&mut schedule).is_none());
    assert!(!reader.is_complete());
}
