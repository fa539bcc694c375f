//! The function `rillis`: POST /webhooks/rillis.

use std::process::ExitCode;

use rillis::Rillis;

const ROUTES: &str = include_str!("../../../routes.toml");

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    shared::function::run::<Rillis>(ROUTES).await
}
