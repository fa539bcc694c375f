//! Is a bridge set up so that events get through? Each line `ok`, or what to do.

use shared::clock::Clock;
use shared::route::routes::Routes;

use crate::place::Place;

mod checks;
mod facts;
mod readers;
mod secrets;

pub use self::checks::{Line, Verdict};

/// Examines the bridge at `place` against `routes`.
pub async fn examine(place: &Place, routes: &Routes, clock: Clock) -> Vec<Line> {
    checks::lines(&readers::Site::of(place).facts(routes, clock).await)
}
