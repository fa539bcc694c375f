//! What the documents say of an alarm and of an error code. There is no other copy: the terminal and the page show their text.

use shared::record::failure::FailureCode;

const RUNBOOK: &str = include_str!("../../../docs/runbook.md");
const LOGGING: &str = include_str!("../../../docs/logging.md");

/// The name of each alarm, and its paragraph of the runbook as Markdown.
pub fn alarms() -> impl Iterator<Item = (&'static str, &'static str)> {
    let (_, alarms) = RUNBOOK.split_once("\n## Alarms\n").unwrap_or_default();
    alarms.split("\n### ").skip(1).filter_map(|paragraph| paragraph.split_once('\n'))
}

/// The runbook's instructions that paragraphs of alarms refer to, each with its heading and its text as Markdown.
pub fn tasks() -> impl Iterator<Item = (&'static str, &'static str)> {
    let (tasks, _) = RUNBOOK.split_once("\n## Alarms\n").unwrap_or_default();
    tasks.split("\n## ").skip(1).filter_map(|task| task.split_once('\n'))
}

/// The table of the codes of failed attempts, and what precedes it, as Markdown.
pub fn codes() -> &'static str {
    let (_, codes) = LOGGING.split_once("\n## Codes of failed attempts\n").unwrap_or_default();
    codes.split("\n## ").next().unwrap_or_default()
}

/// What an error such as `refused 422` means, and what an operator does about it; `None` if it has no code of ours.
pub fn meaning(error: &str) -> Option<String> {
    let code = FailureCode::of_summary(error)?.code();
    let row = codes().lines().find_map(|line| line.strip_prefix(&format!("| `{code}` |")))?;
    let mut cells = row.split('|').map(str::trim);
    let (cause, fix) = (cells.next()?, cells.nth(1)?);
    Some(format!("{code}: {cause}; {fix}"))
}

#[cfg(test)]
mod tests;
