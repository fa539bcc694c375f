//! Facts in words, the same on a terminal and on the page.

/// `1 event`, `2 events`.
pub fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// What there is any of, `8 delivered, 2 dead`.
pub fn summary(parts: &[(u32, &str)]) -> String {
    let parts: Vec<_> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    if parts.is_empty() { "nothing yet".to_owned() } else { parts.join(", ") }
}

/// What a provider wrote, without what a terminal would act on.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}
