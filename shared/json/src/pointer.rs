//! JSON Pointers (RFC 6901).

use std::borrow::Cow;
use std::fmt;

/// A JSON Pointer (RFC 6901): `/data/user_id`, `/list/0`, or nothing for the whole document.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Pointer {
    text: Cow<'static, str>,
    escaped: bool,
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
        Self::read(Cow::Owned(text.to_owned()))
    }

    /// As [`parse`](Self::parse), of a text that is part of the program: it is not copied.
    ///
    /// # Errors
    ///
    /// The same.
    pub fn parse_static(text: &'static str) -> Result<Pointer, PointerError> {
        Self::read(Cow::Borrowed(text))
    }

    fn read(text: Cow<'static, str>) -> Result<Pointer, PointerError> {
        if !text.is_empty() && !text.starts_with('/') {
            return Err(PointerError::NoLeadingSlash);
        }
        let escaped = text.contains('~');
        let mut tildes = text.match_indices('~');
        match tildes.find(|(offset, _)| !text[offset + 1..].starts_with(['0', '1'])) {
            Some((offset, _)) => Err(PointerError::LoneTilde { offset }),
            None => Ok(Pointer { text, escaped }),
        }
    }

    /// The names and places it leads along.
    pub fn tokens(&self) -> impl Iterator<Item = Cow<'_, str>> {
        self.text.split('/').skip(1).map(|token| match self.escaped {
            // In this order: ~01 is ~1, not a slash.
            true => Cow::Owned(token.replace("~1", "/").replace("~0", "~")),
            false => Cow::Borrowed(token),
        })
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
