//! Rail's function with `with_many_routes.toml` instead of the repository's routes.

use std::process::ExitCode;

use rail::RAIL;
use route::routes::{Known, Routes};

const ROUTES: &str = include_str!("with_many_routes.toml");

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let routes = Routes::parse("with_many_routes.toml", ROUTES, Known::Anything).expect("the routes can be read");
    shared::function::run(&RAIL, routes).await
}
