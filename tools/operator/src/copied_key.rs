//! What a key picked up while a person copied it. Nothing that is said holds a part of the key.

use crate::words::is_invisible;

/// One thing that is wrong with a key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Slip {
    pub kind: SlipKind,
    /// The key without this slip and those before it; `None` if it cannot be known.
    pub rest: Option<String>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SlipKind {
    Newline,
    WhiteSpaceAround,
    Invisible,
    Quotes,
    TypographicQuotes,
    Brackets,
    Name,
    Masked,
    WhiteSpaceWithin,
    NotAscii,
}

/// The end of every sample key of this repository.
pub(crate) const SAMPLE_MARK: &str = "_do_not_use";

const TYPOGRAPHIC_QUOTES: &str = "\u{2018}\u{2019}\u{201a}\u{201b}\u{201c}\u{201d}\u{201e}\u{201f}\u{ab}\u{bb}\u{2039}\u{203a}\u{b4}\u{2032}\u{2033}\u{ff02}";

/// What pages show in place of a key's characters.
const MASKS: [&str; 7] = ["***", "...", "xxxxxx", "XXXXXX", "\u{2022}", "\u{25cf}", "\u{2026}"];

/// Everything that a key seems to have picked up, from the outside to the inside.
pub fn slips(key: &str) -> Vec<Slip> {
    let (mut slips, mut rest) = (Vec::new(), key.to_owned());
    while let Some((kind, inner)) = peeled(&rest).filter(|(_, inner)| !inner.is_empty() && inner.len() < rest.len()) {
        slips.push(Slip { kind, rest: Some(inner.clone()) });
        rest = inner;
    }
    if rest.contains(char::is_whitespace) {
        let without = rest.split_whitespace().collect();
        slips.push(Slip { kind: SlipKind::WhiteSpaceWithin, rest: Some(without) });
    }
    if MASKS.iter().any(|mask| rest.contains(mask)) {
        slips.push(Slip { kind: SlipKind::Masked, rest: None });
    } else if !rest.is_ascii() {
        slips.push(Slip { kind: SlipKind::NotAscii, rest: None });
    }
    slips
}

impl SlipKind {
    /// Follows the key's name.
    pub fn says(self) -> &'static str {
        match self {
            Self::Newline => "ends in a newline, which counts as part of the key",
            Self::WhiteSpaceAround => "starts or ends with white space, which counts as part of the key",
            Self::Invisible => "contains invisible characters, which count as part of the key",
            Self::Quotes => "is in quotes, which count as part of the key",
            Self::TypographicQuotes => "has typographic quotes around it, which count as part of the key",
            Self::Brackets => "is in brackets, which count as part of the key",
            Self::Name => "begins with a name and `=` or `:`, which count as part of the key",
            Self::Masked => "is masked: a page showed it in place of the key",
            Self::WhiteSpaceWithin => "contains white space",
            Self::NotAscii => "contains characters that are not ASCII; some look like others",
        }
    }

    /// How the key fits after all.
    pub fn without(self) -> &'static str {
        match self {
            Self::Newline | Self::WhiteSpaceAround => "without the white space around it",
            Self::Invisible => "without the invisible characters in it",
            Self::Quotes => "without the quotes around it",
            Self::TypographicQuotes => "without the typographic quotes around it",
            Self::Brackets => "without the brackets around it",
            Self::Name => "without the name before it",
            Self::Masked | Self::NotAscii => "as it is",
            Self::WhiteSpaceWithin => "without the white space within it",
        }
    }

    /// Stable within this program: for tests.
    pub fn code(self) -> &'static str {
        match self {
            Self::Newline | Self::WhiteSpaceAround => "key_trimmed",
            Self::Invisible => "key_invisible",
            Self::Quotes | Self::TypographicQuotes => "key_unquoted",
            Self::Brackets => "key_unbracketed",
            Self::Name => "key_named",
            Self::Masked => "key_masked",
            Self::WhiteSpaceWithin => "key_spaced",
            Self::NotAscii => "key_not_ascii",
        }
    }

    /// Whether no key is meant to be like this.
    pub fn is_sure(self) -> bool {
        // An API key may be of two parts.
        !matches!(self, Self::Name | Self::WhiteSpaceWithin | Self::NotAscii)
    }
}

/// The outermost slip, and what is inside it.
fn peeled(key: &str) -> Option<(SlipKind, String)> {
    let trimmed = key.trim();
    if trimmed.len() < key.len() {
        let ends_in_newline = key.ends_with(['\n', '\r']);
        return Some((
            if ends_in_newline { SlipKind::Newline } else { SlipKind::WhiteSpaceAround },
            trimmed.to_owned(),
        ));
    }
    if key.contains(|c: char| is_invisible(c) || c.is_control()) {
        let visible = key.chars().filter(|c| !is_invisible(*c) && !c.is_control()).collect();
        return Some((SlipKind::Invisible, visible));
    }
    let within = |open: char, close: char| key.strip_prefix(open)?.strip_suffix(close);
    if let Some(rest) = within('"', '"').or_else(|| within('\'', '\'')).or_else(|| within('`', '`')) {
        return Some((SlipKind::Quotes, rest.to_owned()));
    }
    let unquoted = key.trim_matches(|c| TYPOGRAPHIC_QUOTES.contains(c));
    if unquoted.len() < key.len() {
        return Some((SlipKind::TypographicQuotes, unquoted.to_owned()));
    }
    let brackets = [('<', '>'), ('[', ']'), ('(', ')'), ('{', '}')];
    if let Some(rest) = brackets.iter().find_map(|(open, close)| within(*open, *close)) {
        return Some((SlipKind::Brackets, rest.to_owned()));
    }
    without_name(key).map(|rest| (SlipKind::Name, rest.to_owned()))
}

/// The text after `NAME=`, `export NAME=`, `"name": ` or `Bearer `; the `=` at the end of base64 ends no name.
fn without_name(key: &str) -> Option<&str> {
    if let Some(rest) = key.strip_prefix("Bearer ") {
        return Some(rest);
    }
    let (name, rest) = key.split_once(['=', ':'])?;
    let name = name.strip_prefix("export ").unwrap_or(name).trim().trim_matches(['"', '\'']);
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
    (is_name && !rest.trim_matches('=').is_empty()).then_some(rest)
}

#[cfg(test)]
mod tests;
