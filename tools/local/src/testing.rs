//! What the unit tests of this crate share.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Everything waited for takes milliseconds; this long only on a machine that hardly runs.
pub(crate) const BOUND: Duration = Duration::from_secs(30);

/// Long enough to see that something does not come, short enough to wait for.
pub(crate) const MOMENT: Duration = Duration::from_millis(100);

pub(crate) async fn within<F: Future>(happens: F) -> F::Output {
    tokio::time::timeout(BOUND, happens).await.expect("did not happen in time")
}

/// `examples/echo_function.rs`, which `cargo test` builds, but not when it is given the name of a test.
pub(crate) fn echo_function() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let binary = tests.parent().and_then(Path::parent).unwrap().join("examples/echo_function");
    assert!(binary.is_file(), "{} is missing: cargo build -p local --examples", binary.display());
    binary
}
