//! One question on a terminal.

use std::io::{self, IsTerminal, Write};

use operator::OperatorError;

/// Whether whoever sits at the terminal says yes; `nobody` when there is none to ask.
pub(crate) fn agreed(question: &str, nobody: impl FnOnce() -> OperatorError) -> Result<bool, OperatorError> {
    if !io::stdin().is_terminal() {
        return Err(nobody());
    }
    eprint!("{question} [y/N] ");
    let mut answer = String::new();
    let read = io::stderr().flush().and_then(|()| io::stdin().read_line(&mut answer));
    Ok(read.is_ok() && matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
