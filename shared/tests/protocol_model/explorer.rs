//! Visits every state that can be reached, breadth first, so that the first violation found has a shortest way to it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// What was visited, and the first violation.
pub(crate) struct Explored<S, V> {
    pub(crate) states: usize,
    pub(crate) transitions: usize,
    /// The violation, and the states on the way to it, from the first on.
    pub(crate) violation: Option<(V, Vec<S>)>,
}

/// Visits whatever can be reached from `starts`: `visit` says what is wrong with a state, or adds the states that follow it.
pub(crate) fn explore<S: Copy + Eq + Hash, V>(
    starts: impl IntoIterator<Item = S>,
    mut visit: impl FnMut(&S, &mut Vec<S>) -> Result<(), V>,
) -> Explored<S, V> {
    // A state's value is the state it was first reached from.
    let mut parents: HashMap<S, Option<S>, BuildHasherDefault<QuickHasher>> =
        starts.into_iter().map(|start| (start, None)).collect();
    let mut level: Vec<S> = parents.keys().copied().collect();
    let mut followers = Vec::new();
    let mut transitions = 0;
    while !level.is_empty() {
        let mut next_level = Vec::new();
        for state in level {
            followers.clear();
            if let Err(violation) = visit(&state, &mut followers) {
                let mut way: Vec<S> = std::iter::successors(Some(state), |state| parents[state]).collect();
                way.reverse();
                return Explored { states: parents.len(), transitions, violation: Some((violation, way)) };
            }
            transitions += followers.len();
            for follower in followers.drain(..) {
                if let Entry::Vacant(unseen) = parents.entry(follower) {
                    unseen.insert(Some(state));
                    next_level.push(follower);
                }
            }
        }
        level = next_level;
    }
    Explored { states: parents.len(), transitions, violation: None }
}

/// Mixes each number in by one multiplication: states are many and small, and nobody chooses them to collide.
#[derive(Default)]
struct QuickHasher(u64);

impl QuickHasher {
    fn mix(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

impl Hasher for QuickHasher {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.mix(u64::from(*byte)));
    }

    fn write_u8(&mut self, number: u8) {
        self.mix(u64::from(number));
    }

    fn write_u16(&mut self, number: u16) {
        self.mix(u64::from(number));
    }

    fn write_isize(&mut self, number: isize) {
        self.mix(number.unsigned_abs() as u64);
    }

    fn finish(&self) -> u64 {
        self.0.rotate_left(26)
    }
}
