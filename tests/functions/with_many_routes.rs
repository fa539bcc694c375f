//! Rail's function with `with_many_routes.toml` instead of the repository's routes.

use std::process::ExitCode;

use rail::Rail;

const ROUTES: &str = include_str!("with_many_routes.toml");

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    shared::function::run::<Rail>(ROUTES, routes_file::APIS).await
}
