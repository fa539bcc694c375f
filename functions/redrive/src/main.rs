//! The function `redrive`: invoked each minute with `{}`, or by hand with the keys of events.

use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    shared::function::run_redrive(providers::ALL, providers::routes()).await
}
