//! How fast and how small the function `rail` is, beside what one would write instead (`tools/benches/README.md`).
//!
//! DynamoDB, Secrets Manager, Returning.AI and the Lambda host run in this very process and share the machine with what is
//! measured. So the variants take turns, a few events each, and only the ratios mean something.

mod build;
mod events;
mod measure;
mod put_item;
mod report;

use std::error::Error;
use std::path::PathBuf;

use local::stack::{Stack, StackOptions};

use crate::build::Binaries;
use crate::measure::measure;

fn main() -> Result<(), Box<dyn Error>> {
    match std::env::args().nth(1) {
        Some(argument) if argument == put_item::ARGUMENT => put_item::serve(),
        functions => bench(functions.map(PathBuf::from), std::env::args().nth(2).map(PathBuf::from)),
    }
}

#[tokio::main]
async fn bench(functions: Option<PathBuf>, baseline: Option<PathBuf>) -> Result<(), Box<dyn Error>> {
    let binaries = Binaries::build(functions, baseline)?;
    let routes = providers::routes();
    let stack =
        Stack::start(StackOptions { workflows: routes.workflows(), ..StackOptions::new(binaries.functions.clone()) })
            .await?;

    let figures = measure(&stack, &binaries).await?;
    print!("{}", report::Report(figures));
    stack.shutdown().await;
    Ok(())
}
