//! The function `rillis`: POST /webhooks/rillis.

use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    shared::function::run(&rillis::RILLIS, routes::compiled()).await
}
