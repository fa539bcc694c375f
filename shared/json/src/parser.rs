//! From text to nodes: the grammar of `JSON.parse`, in one pass and without recursion.

use std::ops::Range;

/// Why a text is not a document: where, and nothing of what stands there.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not JSON at byte {offset}")]
pub struct SyntaxError {
    /// The first byte that is not UTF-8, else the first that the grammar does not allow; the length of the text when it
    /// ends too early.
    pub offset: usize,
}

/// The nodes of a text: every value and key in the order of the text.
pub(super) fn nodes(text: &str) -> Result<Vec<Node>, SyntaxError> {
    if text.len() > TEXT_MAX_BYTES {
        return Err(SyntaxError { offset: TEXT_MAX_BYTES });
    }
    let parser =
        Parser { bytes: text.as_bytes(), at: 0, nodes: Vec::with_capacity(text.len() / 8 + 1), innermost: NONE };
    parser.run()
}

/// Reads a text into nodes, without recursion.
struct Parser<'t> {
    bytes: &'t [u8],
    at: usize,
    nodes: Vec<Node>,
    /// The container that is being read, or `NONE`.
    innermost: u32,
}

/// Offsets and indices are 32 bits wide, and there are never more nodes than bytes.
const TEXT_MAX_BYTES: usize = u32::MAX as usize - 1;
const NONE: u32 = u32::MAX;

impl Parser<'_> {
    fn run(mut self) -> Result<Vec<Node>, SyntaxError> {
        loop {
            let value_inside = self.value()?;
            if !value_inside && !self.on_to_next_value()? {
                return Ok(self.nodes);
            }
        }
    }

    /// Reads one value, or the start of a container that is not empty: then it is true, and a value follows inside.
    fn value(&mut self) -> Result<bool, SyntaxError> {
        match self.after_space() {
            Some(b'"') => self.string()?,
            Some(b'{') => {
                self.open(Tag::Object);
                if self.after_space() == Some(b'}') {
                    self.close();
                } else {
                    self.key()?;
                    return Ok(true);
                }
            }
            Some(b'[') => {
                self.open(Tag::Array);
                if self.after_space() == Some(b']') {
                    self.close();
                } else {
                    return Ok(true);
                }
            }
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b't') => self.word("true", Tag::True)?,
            Some(b'f') => self.word("false", Tag::False)?,
            Some(b'n') => self.word("null", Tag::Null)?,
            _ => return self.refuse(),
        }
        Ok(false)
    }

    /// From the end of a value to where the next one starts; false at the end of the text.
    fn on_to_next_value(&mut self) -> Result<bool, SyntaxError> {
        loop {
            let next = self.after_space();
            if self.innermost == NONE {
                return if next.is_none() { Ok(false) } else { self.refuse() };
            }
            match (self.nodes[self.innermost as usize].tag, next) {
                (Tag::Array, Some(b']')) | (Tag::Object, Some(b'}')) => self.close(),
                (Tag::Array, Some(b',')) => {
                    self.at += 1;
                    return Ok(true);
                }
                (Tag::Object, Some(b',')) => {
                    self.at += 1;
                    self.key()?;
                    return Ok(true);
                }
                _ => return self.refuse(),
            }
        }
    }

    fn open(&mut self, tag: Tag) {
        let index = self.nodes.len() as u32;
        self.nodes.push(Node { tag, start: self.at as u32, end: 0, after: self.innermost });
        self.innermost = index;
        self.at += 1;
    }

    fn close(&mut self) {
        self.at += 1;
        let after = self.nodes.len() as u32;
        let node = &mut self.nodes[self.innermost as usize];
        self.innermost = node.after;
        node.after = after;
        node.end = self.at as u32;
    }

    /// A value that holds no other, from `start` to here.
    fn push(&mut self, tag: Tag, start: usize) {
        let after = self.nodes.len() as u32 + 1;
        self.nodes.push(Node { tag, start: start as u32, end: self.at as u32, after });
    }

    fn key(&mut self) -> Result<(), SyntaxError> {
        if self.after_space() != Some(b'"') {
            return self.refuse();
        }
        self.string()?;
        if self.after_space() != Some(b':') {
            return self.refuse();
        }
        self.at += 1;
        Ok(())
    }

    fn string(&mut self) -> Result<(), SyntaxError> {
        let start = self.at;
        let mut tag = Tag::PlainString;
        self.at += 1;
        loop {
            self.at += plain_run(&self.bytes[self.at..]);
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    tag = Tag::EscapedString;
                    self.escape()?;
                }
                _ => return self.refuse(),
            }
        }
        self.at += 1;
        self.push(tag, start);
        Ok(())
    }

    fn escape(&mut self) -> Result<(), SyntaxError> {
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                self.at += 1;
                for _ in 0..4 {
                    if !self.peek().is_some_and(|byte| byte.is_ascii_hexdigit()) {
                        return self.refuse();
                    }
                    self.at += 1;
                }
            }
            _ => return self.refuse(),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), SyntaxError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        self.push(Tag::Number, start);
        Ok(())
    }

    fn digits(&mut self) -> Result<(), SyntaxError> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start { self.refuse() } else { Ok(()) }
    }

    fn word(&mut self, word: &str, tag: Tag) -> Result<(), SyntaxError> {
        let start = self.at;
        for letter in word.bytes() {
            if self.peek() != Some(letter) {
                return self.refuse();
            }
            self.at += 1;
        }
        self.push(tag, start);
        Ok(())
    }

    /// The next byte that is not white space.
    fn after_space(&mut self) -> Option<u8> {
        loop {
            match self.peek() {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                next => return next,
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn refuse<T>(&self) -> Result<T, SyntaxError> {
        Err(SyntaxError { offset: self.at })
    }
}

/// How many bytes from the start on stand for themselves in a string: up to a quote, a backslash or a control character.
/// Eight at a time, as strings are most of a body.
fn plain_run(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 0xFF;
    const HIGH_BITS: u64 = ONES << 7;
    // The high bit of each byte that is below `limit`. A borrow may set it in bytes further up as well: only the first
    // one found is looked at, and behind it nothing is trusted.
    let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word & HIGH_BITS;

    let mut run = 0;
    while let Some(eight) = bytes[run..].first_chunk::<8>() {
        let word = u64::from_le_bytes(*eight);
        let quote = below(word ^ (ONES * u64::from(b'"')), 1);
        let backslash = below(word ^ (ONES * u64::from(b'\\')), 1);
        let special = below(word, u64::from(b' ')) | quote | backslash;
        if special != 0 {
            return run + special.trailing_zeros() as usize / 8;
        }
        run += 8;
    }
    let rest = bytes[run..].iter();
    run + rest.take_while(|byte| **byte >= b' ' && **byte != b'"' && **byte != b'\\').count()
}

/// One value or key of the text, in 16 bytes: a small document stays in a few cache lines, and a hostile 1 MiB of `[1,1,…`
/// takes 8 MiB.
pub(super) struct Node {
    pub(super) tag: Tag,
    pub(super) start: u32,
    pub(super) end: u32,
    /// The index of the first node behind this one and all it holds. While a container is still being read: the index of
    /// the container around it, so that depth needs no stack.
    pub(super) after: u32,
}

impl Node {
    pub(super) fn bytes(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Tag {
    Null,
    True,
    False,
    Number,
    /// A string without a backslash: its source is its text, and prints as it is.
    PlainString,
    EscapedString,
    Array,
    Object,
}
