//! Rail's function with `with_many_routes.toml` instead of the repository's routes.

use std::process::ExitCode;

use rail::RAIL;

const ROUTES: &str = include_str!("with_many_routes.toml");

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    shared::function::run(&RAIL, ROUTES).await
}
