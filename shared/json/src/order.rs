//! The order in which the members of an object are printed.

use std::cmp::Ordering;

use crate::work;

/// How the members of each object are ordered. Of duplicates the last value counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Order {
    /// As `JSON.stringify` prints what `JSON.parse` read: integer-like keys first, ascending, then the others as received,
    /// duplicates at the place of the first.
    Received,
    /// As `JSON.stringify` prints an object to which the sorted members were assigned one by one: integer-like keys first,
    /// ascending, then the others by UTF-16 code unit. An own `__proto__` is lost: assigning it sets the prototype.
    SortedAndAssigned,
    /// By UTF-16 code unit, integer-like keys and `__proto__` as any other (RFC 8785).
    Sorted,
}

/// Orders the members of one object after the other, and keeps its room between them.
///
/// Each key is decoded once, so that comparing two reads bytes and not escapes: a stranger chooses the keys, and n log n
/// comparisons of long common prefixes must stay cheap.
#[derive(Default)]
pub(crate) struct Arranger {
    slots: Vec<Slot>,
    /// Every key in UTF-16, the high byte first: bytes compare as code units do.
    keys: Vec<u8>,
}

/// A key that is sorted, in 24 bytes.
#[derive(Clone, Copy)]
struct Slot {
    /// Integer-like keys by their value, then the others by their first three code units.
    rank: u64,
    key_start: u32,
    key_end: u32,
    /// Which member was the first of this key.
    first: u32,
    /// Which was the last: its value counts.
    last: u32,
}

/// Above the rank of every integer-like key.
const NOT_AN_INDEX: u64 = 1 << 63;

impl Arranger {
    /// Which of `count` members come in this order, each with the one whose value counts; `push_key` writes the key of one in
    /// UTF-16.
    pub(crate) fn arrange(
        &mut self,
        count: usize,
        push_key: impl Fn(usize, &mut Vec<u8>),
        order: Order,
    ) -> impl DoubleEndedIterator<Item = (usize, usize)> {
        self.sort(count, push_key, order);
        if order == Order::Received {
            let indices = self.slots.partition_point(|slot| slot.rank < NOT_AN_INDEX);
            self.slots[indices..].sort_unstable_by_key(|slot| slot.first);
        }
        self.slots.iter().map(|slot| (slot.first as usize, slot.last as usize))
    }

    /// The same as they were received: the last value, at the place of the first.
    pub(crate) fn settle(
        &mut self,
        count: usize,
        push_key: impl Fn(usize, &mut Vec<u8>),
    ) -> impl Iterator<Item = (usize, usize)> {
        self.sort(count, push_key, Order::Sorted);
        self.slots.sort_unstable_by_key(|slot| slot.first);
        self.slots.iter().map(|slot| (slot.first as usize, slot.last as usize))
    }

    /// Sorts the keys, and leaves one slot for each.
    fn sort(&mut self, count: usize, push_key: impl Fn(usize, &mut Vec<u8>), order: Order) {
        self.slots.clear();
        self.keys.clear();
        for at in 0..count {
            let key_start = self.keys.len();
            push_key(at, &mut self.keys);
            let key = &self.keys[key_start..];
            if order == Order::SortedAndAssigned && key == PROTO {
                continue;
            }
            let index = if order == Order::Sorted { None } else { array_index(key) };
            let rank = index.map_or_else(|| NOT_AN_INDEX | prefix(key), u64::from);
            let (key_start, key_end, at) = (key_start as u32, self.keys.len() as u32, at as u32);
            self.slots.push(Slot { rank, key_start, key_end, first: at, last: at });
        }
        // The rank alone first, which tells most keys apart and is quick to compare.
        self.slots.sort_unstable_by_key(|slot| {
            work::count(|| 2);
            slot.rank
        });
        let keys = &self.keys;
        for same_rank in self.slots.chunk_by_mut(|a, b| a.rank == b.rank).filter(|slots| slots.len() > 1) {
            same_rank.sort_unstable_by(|a, b| compare(keys, a, b).then_with(|| a.first.cmp(&b.first)));
        }
        self.slots.dedup_by(|next, kept| {
            let same = next.rank == kept.rank && compare(keys, next, kept) == Ordering::Equal;
            if same {
                kept.last = next.last;
            }
            same
        });
    }
}

/// Whether [`Order::SortedAndAssigned`] treats a key in UTF-16 unlike others.
pub(crate) fn is_special(key: &[u8]) -> bool {
    key == PROTO || array_index(key).is_some()
}

/// `__proto__` in UTF-16.
const PROTO: &[u8] = b"\0_\0_\0p\0r\0o\0t\0o\0_\0_";

/// The number that an integer-like key in UTF-16 stands for: canonical (no sign, no leading zero) and at most 4294967294, an
/// "array index" of ECMA-262 §6.1.7.
fn array_index(key: &[u8]) -> Option<u32> {
    const LONGEST: usize = 2 * "4294967294".len();

    let leading_zero = key.starts_with(b"\x000") && key.len() > 2;
    if key.is_empty() || key.len() > LONGEST || leading_zero {
        return None;
    }
    let mut index = 0_u64;
    for unit in key.chunks_exact(2) {
        match unit {
            [0, digit @ b'0'..=b'9'] => index = index * 10 + u64::from(digit - b'0'),
            _ => return None,
        }
    }
    u32::try_from(index).ok().filter(|index| *index < u32::MAX)
}

/// The first three code units, 0 for those that are not there.
fn prefix(key: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    let length = key.len().min(6);
    bytes[2..2 + length].copy_from_slice(&key[..length]);
    u64::from_be_bytes(bytes)
}

/// Compares keys of the same rank, code unit by code unit.
fn compare(keys: &[u8], a: &Slot, b: &Slot) -> Ordering {
    let [a, b] = [a, b].map(|slot| &keys[slot.key_start as usize..slot.key_end as usize]);
    work::count(|| 5 + a.iter().zip(b).take_while(|(a, b)| a == b).count() / 16);
    a.cmp(b)
}
