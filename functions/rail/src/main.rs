//! The function `rail`: POST /webhooks/rail.

use std::process::ExitCode;

use rail::Rail;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    shared::function::run::<Rail>(routes_file::TEXT, routes_file::APIS).await
}
