//! JSON Pointers (RFC 6901).

use std::fmt;

/// A JSON Pointer (RFC 6901), read once: `/data/user_id`, `/list/0`, or nothing for the whole document.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Pointer {
    text: String,
    pub(super) tokens: Vec<String>,
}

/// Why a text is not a [`Pointer`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PointerError {
    #[error("a JSON pointer that is not empty starts with a slash")]
    NoLeadingSlash,
    #[error("in a JSON pointer, ~ stands only in ~0 (for ~) and ~1 (for /); not at byte {offset}")]
    LoneTilde { offset: usize },
}

impl Pointer {
    /// The pointer that `text` spells (RFC 6901 §3); not its URI fragment form.
    ///
    /// # Errors
    ///
    /// [`PointerError`] says what to write instead.
    pub fn parse(text: &str) -> Result<Pointer, PointerError> {
        if !text.is_empty() && !text.starts_with('/') {
            return Err(PointerError::NoLeadingSlash);
        }
        let mut tildes = text.match_indices('~');
        if let Some((offset, _)) = tildes.find(|(offset, _)| !text[offset + 1..].starts_with(['0', '1'])) {
            return Err(PointerError::LoneTilde { offset });
        }

        let token = |token: &str| match token.contains('~') {
            // In this order: ~01 is ~1, not a slash.
            true => token.replace("~1", "/").replace("~0", "~"),
            false => token.to_owned(),
        };
        Ok(Pointer { text: text.to_owned(), tokens: text.split('/').skip(1).map(token).collect() })
    }

    /// The names and places it leads along.
    pub fn tokens(&self) -> impl Iterator<Item = &str> {
        self.tokens.iter().map(String::as_str)
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
