//! The function `redrive`: invoked each minute with `{}`, or by hand with `{"keys": ["rail#evt_1"]}`.

use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    shared::function::run_redrive(providers::ALL, providers::ROUTES).await
}
