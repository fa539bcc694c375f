//! How fast and how small the function `rail` is, beside what one would write instead (`tools/benches/README.md`).
//!
//! DynamoDB, Secrets Manager, Returning.AI and the Lambda host run in this very process and share the machine with what is
//! measured. So the programs take turns, a few events each, and only the ratios mean something.

mod build;
mod events;
mod measure;
mod put_item;
mod report;
mod tls;

use std::error::Error;
use std::path::{Path, PathBuf};

use local::stack::{FUNCTIONS, Stack, StackOptions};

use crate::build::{Programs, run_beside};
use crate::measure::measure;
use crate::report::Report;

fn main() -> Result<(), Box<dyn Error>> {
    match std::env::args().nth(1) {
        Some(argument) if argument == put_item::ARGUMENT => put_item::serve(),
        functions => bench(functions.map(PathBuf::from), std::env::args().nth(2).as_deref().map(Path::new)),
    }
}

#[tokio::main]
async fn bench(functions: Option<PathBuf>, earlier: Option<&Path>) -> Result<(), Box<dyn Error>> {
    let programs = Programs::build(functions, earlier)?;
    let mut largest_binary_bytes = 0;
    for function in FUNCTIONS {
        largest_binary_bytes = largest_binary_bytes.max(programs.functions.join(function).metadata()?.len());
    }
    let workflows = providers::routes().workflows();
    let stack = Stack::start(StackOptions { workflows, ..StackOptions::new(programs.functions.clone()) }).await?;

    let counted =
        [Some(programs.functions.join("rail")), programs.earlier.as_ref().map(|earlier| earlier.binary.clone())];
    let figures = measure(&stack, programs).await?;
    print!("{}", Report { figures, largest_binary_bytes });
    stack.shutdown().await;
    run_beside("instructions", counted.iter().flatten())?;
    run_beside("bodies", [])
}
