//! The function `rail`: POST /webhooks/rail.

use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    shared::function::run(&rail::RAIL, routes::compiled()).await
}
