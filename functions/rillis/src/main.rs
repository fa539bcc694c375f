//! The function `rillis`: POST /webhooks/rillis.

use std::process::ExitCode;

use rillis::Rillis;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    shared::function::run::<Rillis>(routes_file::TEXT, routes_file::APIS).await
}
