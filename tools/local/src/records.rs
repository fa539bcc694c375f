//! What a stand-in saw, in order, and waiting for it without sleeping.

use std::time::Duration;

use tokio::sync::watch;

/// A list that grows (except by [`clear`](Self::clear) and [`keep`](Self::keep)) and can be awaited.
#[derive(Debug)]
pub struct Records<T>(watch::Sender<Entries<T>>);

#[derive(Debug)]
struct Entries<T> {
    newest: Vec<T>,
    /// How many came before these.
    forgotten: usize,
    at_least: Option<usize>,
}

/// A wait ended without its condition.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("did not happen within {bound:?}")]
pub struct Timeout {
    pub bound: Duration,
}

impl<T> Default for Records<T> {
    fn default() -> Self {
        Self(watch::Sender::new(Entries { newest: Vec::new(), forgotten: 0, at_least: None }))
    }
}

impl<T: Clone> Records<T> {
    /// Keeps only the newest from now on: between `at_least` and twice as many.
    pub fn keep(&self, at_least: usize) {
        self.0.send_modify(|kept| {
            kept.at_least = Some(at_least);
            kept.trim();
        });
    }

    pub fn push(&self, record: T) {
        self.0.send_modify(|kept| {
            kept.newest.push(record);
            kept.trim();
        });
    }

    pub fn all(&self) -> Vec<T> {
        self.0.borrow().newest.clone()
    }

    pub fn clear(&self) {
        self.0.send_modify(|kept| kept.forget(kept.newest.len()));
    }

    pub fn matching(&self, wanted: impl Fn(&T) -> bool) -> Vec<T> {
        let kept = self.0.borrow();
        kept.newest.iter().filter(|r| wanted(r)).cloned().collect()
    }

    pub fn count(&self, wanted: impl Fn(&T) -> bool) -> usize {
        self.0.borrow().newest.iter().filter(|r| wanted(r)).count()
    }

    /// The total, including those that are no longer kept.
    pub fn ever(&self) -> usize {
        let kept = self.0.borrow();
        kept.forgotten + kept.newest.len()
    }

    /// The records after the first `ever` ones (as [`ever`](Self::ever) counts them), as far as they are kept.
    pub fn since(&self, ever: usize) -> Vec<T> {
        let kept = self.0.borrow();
        kept.newest.iter().skip(ever.saturating_sub(kept.forgotten)).cloned().collect()
    }

    /// Returns as soon as `reached` is true of all kept records, at once if it is true already.
    ///
    /// # Errors
    /// It did not within `bound`.
    pub async fn wait_for(&self, reached: impl Fn(&[T]) -> bool, bound: Duration) -> Result<(), Timeout> {
        let mut changes = self.0.subscribe();
        let waiting = changes.wait_for(|kept| reached(&kept.newest));
        match tokio::time::timeout(bound, waiting).await {
            Ok(_) => Ok(()),
            Err(_) => Err(Timeout { bound }),
        }
    }
}

impl<T> Entries<T> {
    /// Drops half at a time, so that the rest is moved once per `at_least` records.
    fn trim(&mut self) {
        if let Some(at_least) = self.at_least
            && self.newest.len() > at_least.saturating_mul(2)
        {
            self.forget(self.newest.len() - at_least);
        }
    }

    fn forget(&mut self, oldest: usize) {
        self.newest.drain(..oldest);
        self.forgotten += oldest;
    }
}

#[cfg(test)]
mod tests;
