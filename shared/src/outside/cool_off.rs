//! The rest that a slow system is given, so that an outage costs a process one attempt's time now and then, and not at each event.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::UnixMillis;
use crate::outside::http::ExchangeError;

/// Whether a system cools off in this process, since its calls timed out or were slow.
#[derive(Debug, Default)]
pub(crate) struct CoolOff(Mutex<Slowness>);

#[derive(Debug, Default)]
struct Slowness {
    slow_in_a_row: u32,
    ends_at: Option<UnixMillis>,
}

/// A call that takes longer is slow.
const SLOW: Duration = Duration::from_secs(2);

/// One slow call is chance.
const SLOW_IN_A_ROW: u32 = 2;

/// How long a slow system is left alone: an outage costs a process one attempt's time in each such span.
pub(crate) const COOL_OFF: Duration = Duration::from_secs(30);

impl CoolOff {
    /// Takes note of a call that has ended.
    pub(crate) fn note<T>(&self, took: Duration, answer: &Result<T, ExchangeError>, now: UnixMillis) {
        let timed_out = match answer {
            // It had no chance to be quick or slow.
            Err(ExchangeError::NoTime) => return,
            Err(ExchangeError::Timeout) => true,
            Ok(_) | Err(_) => false,
        };
        let mut slowness = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slowness.slow_in_a_row = if timed_out || took > SLOW { slowness.slow_in_a_row + 1 } else { 0 };
        if timed_out || slowness.slow_in_a_row >= SLOW_IN_A_ROW {
            *slowness = Slowness { slow_in_a_row: 0, ends_at: Some(now.plus(COOL_OFF)) };
        }
    }

    /// For how much longer the system cools off; `None` when it does not.
    pub(crate) fn left(&self, now: UnixMillis) -> Option<Duration> {
        let ends_at = self.0.lock().unwrap_or_else(PoisonError::into_inner).ends_at?;
        Some(ends_at.since(now)).filter(|left| !left.is_zero())
    }
}

#[cfg(test)]
mod tests;
