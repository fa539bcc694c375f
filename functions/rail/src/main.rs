//! The function `rail`: POST /webhooks/rail.

use std::process::ExitCode;

use rail::Rail;

const ROUTES: &str = include_str!("../../../routes.toml");

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    shared::function::run::<Rail>(ROUTES).await
}
