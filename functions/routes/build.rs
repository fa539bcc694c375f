//! Compiles `routes.toml`. What `bridge routes check` reports fails the build with the same message.

use std::error::Error;
use std::path::Path;
use std::{env, fs};

use route::routes::Routes;

#[path = "src/known.rs"]
#[expect(unreachable_pub, reason = "the library shows them")]
mod known;

const FILE: &str = "routes.toml";

fn main() -> Result<(), Box<dyn Error>> {
    // Asked when it runs: checkouts that share a target folder share this program, and each has its own routes.
    let file = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../..").join(FILE);
    println!("cargo::rerun-if-env-changed=CARGO_MANIFEST_DIR");
    println!("cargo::rerun-if-changed={}", file.display());
    let text = fs::read_to_string(&file).map_err(|error| format!("{FILE} cannot be read: {error}"))?;
    match compile(&text) {
        Ok(compiled) => fs::write(Path::new(&env::var("OUT_DIR")?).join("routes"), compiled)?,
        Err(problem) => problem.lines().for_each(|line| println!("cargo::error={line}")),
    }
    Ok(())
}

/// Also what a test compares with `bridge routes check`.
pub(crate) fn compile(text: &str) -> Result<Vec<u8>, String> {
    let routes = Routes::parse(FILE, text, known::KNOWN);
    routes
        .map(|routes| routes.compile())
        .map_err(|error| format!("{}\nhint: {}", error.with_its_line(text), error.hint()))
}
