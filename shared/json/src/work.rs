//! A count of the work done, for tests: a hostile body is bounded by what it makes us do, which no clock tells reliably.

#[cfg(test)]
thread_local! {
    static STEPS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// Counts `steps` of about a nanosecond each; in tests alone.
#[inline(always)]
pub(crate) fn count(steps: impl FnOnce() -> usize) {
    #[cfg(test)]
    STEPS.with(|all| all.set(all.get() + steps() as u64));
    #[cfg(not(test))]
    let _ = steps;
}

/// How many steps `work` takes on this thread.
#[cfg(test)]
pub(crate) fn steps(work: impl FnOnce()) -> u64 {
    let before = STEPS.get();
    work();
    STEPS.get() - before
}
