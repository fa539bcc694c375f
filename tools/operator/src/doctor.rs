//! Is a bridge set up so that events get through? Each line is `ok`, or says what to do.
//!
//! [`examine`] reads facts, one call each, and judges them. It only reads, with two exceptions: each provider's URL gets a POST
//! without a signature, which it must refuse, and each workflow gets a handshake. No message is sent.

use route::routes::Routes;
use shared::clock::Clock;

use crate::place::Place;

mod checks;
mod facts;
mod line;
mod readers;
mod secrets;

pub use self::line::{Line, Verdict};

/// Examines the bridge at `place` against `routes`, from the outside in. No line holds a key, a token or a URL of a workflow.
pub async fn examine(place: &Place, routes: &Routes, clock: Clock) -> Vec<Line> {
    checks::check(&readers::read(place, routes, clock).await)
}
