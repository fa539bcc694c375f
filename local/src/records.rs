//! What a stand-in saw, in order, and waiting for it without sleeping.

use std::time::Duration;

use tokio::sync::watch;

/// A list that only grows (but for [`clear`](Self::clear)) and can be waited on.
#[derive(Debug)]
pub struct Records<T>(watch::Sender<Vec<T>>);

/// What was waited for did not come in the time that was given.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("did not happen within {bound:?}")]
pub struct NotInTime {
    pub bound: Duration,
}

impl<T> Default for Records<T> {
    fn default() -> Self {
        Self(watch::Sender::new(Vec::new()))
    }
}

impl<T: Clone> Records<T> {
    pub fn push(&self, record: T) {
        self.0.send_modify(|records| records.push(record));
    }

    pub fn all(&self) -> Vec<T> {
        self.0.borrow().clone()
    }

    pub fn clear(&self) {
        self.0.send_modify(Vec::clear);
    }

    pub fn matching(&self, wanted: impl Fn(&T) -> bool) -> Vec<T> {
        let records = self.0.borrow();
        records.iter().filter(|r| wanted(r)).cloned().collect()
    }

    pub fn count(&self, wanted: impl Fn(&T) -> bool) -> usize {
        self.0.borrow().iter().filter(|r| wanted(r)).count()
    }

    /// Returns as soon as `reached` holds of the whole list, at once if it does already.
    ///
    /// # Errors
    /// It did not within `bound`.
    pub async fn wait_for(&self, reached: impl Fn(&[T]) -> bool, bound: Duration) -> Result<(), NotInTime> {
        let mut changes = self.0.subscribe();
        let waiting = changes.wait_for(|records| reached(records));
        match tokio::time::timeout(bound, waiting).await {
            Ok(_) => Ok(()),
            Err(_) => Err(NotInTime { bound }),
        }
    }
}
