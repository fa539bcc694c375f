//! The routes of `routes.toml`, the file at the top of the workspace, as its build compiles them into the functions.

pub mod known;

use route::routes::Routes;

/// The routes: read and checked by the build, so nothing is checked here.
pub fn compiled() -> Routes {
    Routes::from_compiled(include_bytes!(concat!(env!("OUT_DIR"), "/routes")))
}
