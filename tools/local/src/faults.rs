//! Scripts of faults: what goes wrong, where, and how often.

use std::sync::{Mutex, PoisonError};

/// How often a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum When {
    /// The next calls, this many, then never again.
    Next(u32),
    /// This many calls pass, then it strikes once: "dies at the second write".
    OnceAfter(u32),
    /// Every time, until the script is cleared.
    UntilCleared,
    /// Each time with this probability (0.0 to 1.0). The seed makes a run repeatable.
    Sometimes { probability: f64, seed: u64 },
}

/// The script of faults for one server. `P` is the place (an operation, a workflow's URL), `F` the fault.
///
/// If several faults match a call, the one that was added first strikes, so that a sequence is written in its order.
#[derive(Debug)]
pub struct Faults<P, F>(Mutex<Vec<Entry<P, F>>>);

#[derive(Debug)]
struct Entry<P, F> {
    /// `None` is any place.
    place: Option<P>,
    fault: F,
    when: Remaining,
}

#[derive(Debug)]
enum Remaining {
    Times { skip: u32, strikes: u32 },
    Always,
    Sometimes(f64, fastrand::Rng),
}

impl<P, F> Default for Faults<P, F> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<P: PartialEq, F: Clone> Faults<P, F> {
    /// Adds a fault at the end of the script; a `place` of `None` is any place.
    pub fn inject(&self, place: Option<P>, fault: F, when: When) {
        let when = match when {
            When::Next(strikes) => Remaining::Times { skip: 0, strikes },
            When::OnceAfter(skip) => Remaining::Times { skip, strikes: 1 },
            When::UntilCleared => Remaining::Always,
            When::Sometimes { probability, seed } => Remaining::Sometimes(probability, fastrand::Rng::with_seed(seed)),
        };
        self.lock().push(Entry { place, fault, when });
    }

    /// Everything works again.
    pub fn clear(&self) {
        self.lock().clear();
    }

    /// The fault that strikes this call, if any; counts it as used.
    pub fn draw(&self, place: &P) -> Option<F> {
        let mut script = self.lock();
        let struck = script
            .iter_mut()
            .filter(|scripted| scripted.place.as_ref().is_none_or(|p| p == place))
            .find_map(|scripted| scripted.when.strikes().then(|| scripted.fault.clone()));
        script.retain(|scripted| !scripted.when.is_used_up());
        struck
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Entry<P, F>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Remaining {
    fn strikes(&mut self) -> bool {
        match self {
            Self::Always => true,
            Self::Sometimes(probability, draws) => draws.f64() < *probability,
            Self::Times { strikes: 0, .. } => false,
            Self::Times { skip: 0, strikes } => {
                *strikes -= 1;
                true
            }
            Self::Times { skip, .. } => {
                *skip -= 1;
                false
            }
        }
    }

    fn is_used_up(&self) -> bool {
        matches!(self, Self::Times { strikes: 0, .. })
    }
}

#[cfg(test)]
mod tests;
