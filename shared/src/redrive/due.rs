//! The events that are due, read from the index page by page, however many are held back among them.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::clock::UnixSeconds;
use crate::record::store::EventStore;
use crate::record::store::error::StoreError;
use crate::record::store::index::{Cursor, IndexPage, IndexRange};
use crate::redrive::schedule::{Offer, Schedule};

/// Where runs of this environment have left parts of the index that they could not read to the end.
#[derive(Debug, Default)]
pub struct Bookmarks(Mutex<HashMap<String, Cursor>>);

/// The reader of a run: over every part once, then again over what the schedule had no room for.
pub struct DueReader {
    parts: Vec<Part>,
    turn: usize,
    /// Every part was read once.
    is_again: bool,
}

/// One part of the index. Everything up to `settled` is on the schedule or counted as held back.
struct Part {
    name: String,
    /// Only events that are due by then.
    by: UnixSeconds,
    /// Where this run began, unless at the soonest: what lies before it follows at the end.
    began_at: Option<Cursor>,
    settled: Position,
    reading: Position,
    /// The schedule had no room for an entry since `settled`.
    is_behind: bool,
    was_read_whole: bool,
}

/// A place in a part, with the number of entries that were read before it.
#[derive(Clone, Debug)]
struct Position {
    place: Place,
    read: usize,
}

#[derive(Clone, Debug)]
enum Place {
    Begin,
    After(Cursor),
    /// As far as one run reads.
    Limit(Cursor),
    End,
}

/// A page to be read.
pub struct PageRequest {
    pub part: usize,
    due: String,
    range: IndexRange,
    from: Option<Cursor>,
}

/// So many entries of a part are read in one run, some 17 pages; the next run goes on from there.
pub const READ_PER_PART: usize = 100_000;

impl DueReader {
    /// A reader of these parts, in this order, of what is due by `by`.
    pub fn new(parts: impl IntoIterator<Item = String>, by: UnixSeconds, bookmarks: &Bookmarks) -> Self {
        let bookmarks = bookmarks.0.lock().unwrap_or_else(PoisonError::into_inner);
        let parts = parts.into_iter().map(|name| {
            let began_at = bookmarks.get(&name).cloned();
            let place = began_at.clone().map_or(Place::Begin, Place::After);
            let begin = Position { place, read: 0 };
            let (settled, reading) = (begin.clone(), begin);
            Part { name, by, began_at, settled, reading, is_behind: false, was_read_whole: false }
        });
        Self { parts: parts.collect(), turn: 0, is_again: false }
    }

    /// The next page: of all parts in turn; later, of what the schedule had no room for, once it has.
    pub fn next_page(&mut self, schedule: &mut Schedule) -> Option<PageRequest> {
        let all_read = self.parts.iter().all(Part::is_read);
        if all_read || (self.is_again && !schedule.is_refilling()) {
            if self.is_complete() || !schedule.refill() {
                return None;
            }
            self.is_again = true;
            for part in self.parts.iter_mut().filter(|part| part.is_behind) {
                part.reading = part.settled.clone();
                part.is_behind = false;
            }
        }
        let mut in_turn = (0..self.parts.len()).map(|step| (self.turn + step) % self.parts.len());
        let at = in_turn.find(|at| !self.parts[*at].is_read())?;
        self.turn = at + 1;
        let part = &self.parts[at];
        let from = match &part.reading.place {
            Place::After(cursor) => Some(cursor.clone()),
            Place::Begin | Place::Limit(_) | Place::End => None,
        };
        Some(PageRequest { part: at, due: part.name.clone(), range: IndexRange::Due(part.by), from })
    }

    /// Offers the entries of a page to the schedule. Returns how many are held back, of those that no page counted before.
    pub fn take(&mut self, part: usize, page: IndexPage, schedule: &mut Schedule) -> u32 {
        let part = &mut self.parts[part];
        let (mut held_back, mut last_settled) = (0, None);
        for entry in &page.entries {
            part.reading.read += 1;
            let offer = schedule.offer(entry);
            part.is_behind |= offer == Offer::NoRoom;
            if !part.is_behind {
                held_back += u32::from(offer == Offer::HeldBack);
                last_settled = Some((entry, part.reading.read));
            }
        }
        if let Some((entry, read)) = last_settled {
            part.settled = Position { place: Place::After(Cursor::after(&part.name, entry)), read };
        }
        part.go_on(page.next);
        held_back
    }

    /// Leaves out the rest of a part that cannot be read.
    pub fn skip(&mut self, part: usize) {
        self.parts[part].reading.place = Place::End;
    }

    /// Nothing that is due was left out.
    pub fn is_complete(&self) -> bool {
        self.parts.iter().all(|part| part.was_read_whole && !part.is_behind)
    }

    /// Notes where the next run goes on: where this one stopped reading, unless it came to the end.
    pub fn leave(self, bookmarks: &Bookmarks) {
        let mut bookmarks = bookmarks.0.lock().unwrap_or_else(PoisonError::into_inner);
        for part in self.parts {
            match part.reading.place {
                Place::After(cursor) | Place::Limit(cursor) if !part.was_read_whole => {
                    bookmarks.insert(part.name, cursor);
                }
                _ => {
                    bookmarks.remove(&part.name);
                }
            }
        }
    }
}

impl Part {
    fn is_read(&self) -> bool {
        matches!(self.reading.place, Place::Limit(_) | Place::End)
    }

    fn go_on(&mut self, next: Option<Cursor>) {
        self.reading.place = match next {
            Some(next) if self.reading.read >= READ_PER_PART => Place::Limit(next),
            Some(next) => Place::After(next),
            // What was left out must be read with the range that this run began with.
            None if self.is_behind => Place::End,
            None => match self.began_at.take().and_then(|began_at| began_at.next_attempt_at()) {
                // In the second where this run began, entries lie on either side: those before it are the next run's.
                Some(second) => {
                    self.by = UnixSeconds(second.0.saturating_sub(1));
                    self.settled.place = Place::Begin;
                    Place::Begin
                }
                None => Place::End,
            },
        };
        self.was_read_whole |= matches!(self.reading.place, Place::End) && self.began_at.is_none();
    }
}

impl PageRequest {
    pub async fn send(&self, store: &EventStore) -> Result<IndexPage, StoreError> {
        store.indexed(&self.due, self.range, None, self.from.as_ref()).await
    }
}

#[cfg(test)]
mod tests;
