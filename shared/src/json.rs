//! JSON as JavaScript reads and prints it, to the byte.
//!
//! Providers sign what `JSON.parse` and `JSON.stringify` make of a body, so this is the only reader for what they send.
//! It accepts exactly what `JSON.parse` accepts and prints exactly what `JSON.stringify` prints: the order of keys, the
//! layout of numbers, lone surrogates and duplicate keys included.
//!
//! A [`Document`] borrows the text and adds 16 bytes for each value and key. Nothing here recurses, whatever the depth,
//! and no input takes more than n log n steps: bodies are read before their signature is known to be right.
//!
//! Sources: `docs/contracts/rillis.md`; ECMA-262 §25.5 (`JSON`), §6.1.6.1.20 (`Number::toString`), §10.1.11.1
//! (`OrdinaryOwnPropertyKeys`); RFC 6901.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::str::Chars;

/// A text that `JSON.parse` accepts, ready to be looked into, cut and printed.
pub struct Document<'t> {
    text: &'t str,
    /// Every value and key in the order of the text: a container, then what it holds.
    nodes: Vec<Node>,
}

/// Why a text is not a document: where, and nothing of what stands there.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not JSON at byte {offset}")]
pub struct SyntaxError {
    /// The first byte that is not UTF-8, else the first that the grammar does not allow; the length of the text when it
    /// ends too early.
    pub offset: usize,
}

impl<'t> Document<'t> {
    /// The document that `text` spells, at any depth and of any size below 4 GiB, in one pass.
    ///
    /// Strict grammar (ECMA-262 §25.5.1): space, tab, line feed and carriage return are the only white space. Lone
    /// surrogate escapes, numbers out of range such as `1e400`, and duplicate keys are fine, as they are in JavaScript.
    ///
    /// # Errors
    ///
    /// [`SyntaxError`] for what `JSON.parse` refuses, for a byte order mark and for bytes that are not UTF-8. The sender
    /// has to send something else; trying again does not help.
    pub fn parse(text: &'t [u8]) -> Result<Document<'t>, SyntaxError> {
        let text = std::str::from_utf8(text).map_err(|error| SyntaxError { offset: error.valid_up_to() })?;
        if text.len() > TEXT_MAX_BYTES {
            return Err(SyntaxError { offset: TEXT_MAX_BYTES });
        }

        let parser =
            Parser { bytes: text.as_bytes(), at: 0, nodes: Vec::with_capacity(text.len() / 8 + 1), innermost: NONE };
        Ok(Document { text, nodes: parser.run()? })
    }

    /// The outermost value.
    pub fn root(&self) -> Value<'_> {
        self.value(0)
    }

    /// The text without what the pointers name; the very same text when they name nothing.
    ///
    /// This removes personal data, so nothing hides behind a duplicate key: **every** duplicate of a key is followed at
    /// every level, and cut. A named member goes with its comma, a named array element becomes `null` (the others keep
    /// their places), and so does the whole document when the empty pointer names it. All else keeps its bytes.
    pub fn without(&self, cut: &[Pointer]) -> Cow<'t, str> {
        let mut gaps = self.gaps(cut);
        if gaps.is_empty() {
            return Cow::Borrowed(self.text);
        }
        // A gap inside another one comes after it, and is skipped below.
        gaps.sort_unstable_by_key(|gap| gap.bytes.start);

        let mut kept = String::with_capacity(self.text.len());
        let mut at = 0;
        for gap in &gaps {
            if gap.bytes.start >= at {
                kept.push_str(&self.text[at..gap.bytes.start]);
                kept.push_str(gap.filled_with);
                at = gap.bytes.end;
            }
        }
        kept.push_str(&self.text[at..]);
        Cow::Owned(kept)
    }

    fn value(&self, index: u32) -> Value<'_> {
        Value { document: self, index }
    }

    fn node(&self, index: u32) -> &Node {
        &self.nodes[index as usize]
    }

    /// What to leave out so that nothing named by `cut` remains. Gaps are disjoint or nested.
    fn gaps(&self, cut: &[Pointer]) -> Vec<Gap> {
        let mut gaps = Vec::new();
        let mut named: Vec<(u32, Place)> = Vec::new();
        for pointer in cut {
            let Some((last, way)) = pointer.tokens.split_last() else {
                gaps.push(Gap { bytes: self.node(0).bytes(), filled_with: "null" });
                continue;
            };
            let mut containers = vec![0];
            for token in way {
                containers = containers
                    .into_iter()
                    .flat_map(|container| self.value(container).places_named(token))
                    .map(|place| place.value)
                    .collect();
            }
            for container in containers {
                named.extend(self.value(container).places_named(last).map(|place| (container, place)));
            }
        }
        named.sort_unstable();
        named.dedup();

        for same_container in named.chunk_by(|a, b| a.0 == b.0) {
            let container = self.value(same_container[0].0);
            let mut cut = same_container.iter().map(|(_, place)| *place).peekable();
            if container.node().tag == Tag::Array {
                gaps.extend(cut.map(|place| Gap { bytes: self.node(place.value).bytes(), filled_with: "null" }));
                continue;
            }

            let mut kept_one = false;
            let mut end_before = 0;
            let mut places = container.places().peekable();
            while let Some(place) = places.next() {
                let start = self.node(place.name).bytes().start;
                let end = self.node(place.value).bytes().end;
                if cut.next_if_eq(&place).is_none() {
                    kept_one = true;
                } else {
                    // The comma before it goes along; while nothing was kept yet, the comma after it.
                    let bytes = match places.peek() {
                        _ if kept_one => end_before..end,
                        Some(next) => start..self.node(next.name).bytes().start,
                        None => start..end,
                    };
                    gaps.push(Gap { bytes, filled_with: "" });
                }
                end_before = end;
            }
        }
        gaps
    }
}

/// Tells the size alone: what the sender wrote belongs in no log.
impl fmt::Debug for Document<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Document({} bytes)", self.text.len())
    }
}

/// One value of a [`Document`].
#[derive(Clone, Copy)]
pub struct Value<'d> {
    document: &'d Document<'d>,
    index: u32,
}

/// What a [`Value`] is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind<'d> {
    Null,
    Bool(bool),
    /// The literal as sent, digits, sign, exponent and all.
    Number(&'d str),
    String,
    Array,
    Object,
}

impl<'d> Value<'d> {
    pub fn kind(self) -> Kind<'d> {
        match self.node().tag {
            Tag::Null => Kind::Null,
            Tag::True => Kind::Bool(true),
            Tag::False => Kind::Bool(false),
            Tag::Number => Kind::Number(self.source()),
            Tag::PlainString | Tag::EscapedString => Kind::String,
            Tag::Array => Kind::Array,
            Tag::Object => Kind::Object,
        }
    }

    /// The object's own member of that name, the last one of duplicates; `None` for what is not an object.
    pub fn get(self, key: &str) -> Option<Value<'d>> {
        self.all_members().filter(|member| member.key.equals(key)).last().map(|member| member.value)
    }

    /// The value that `pointer` names from here on (RFC 6901 §4), through the last one of duplicates.
    pub fn at(self, pointer: &Pointer) -> Option<Value<'d>> {
        pointer.tokens.iter().try_fold(self, |value, token| {
            let place = value.places_named(token).last()?;
            Some(self.document.value(place.value))
        })
    }

    /// A string's text, escapes resolved; `None` when this is no string, or holds a lone surrogate, which no `str` can.
    pub fn text(self) -> Option<Cow<'d, str>> {
        self.as_key()?.text()
    }

    /// The bytes of this value as sent, without the white space around it.
    pub fn source(self) -> &'d str {
        &self.document.text[self.node().bytes()]
    }

    /// What `JSON.stringify(JSON.parse(source))` gives.
    ///
    /// In each object integer-like keys come first, ascending, then the others as received. An own `__proto__` is kept.
    /// Numbers go through `f64` (`1000.00` becomes `1000`, `1e400` becomes `null`).
    pub fn stringify(self) -> String {
        self.stringify_arranged(|members| {
            if members.iter().any(|member| member.key.array_index().is_some()) {
                // The sort is stable: the others keep the order they came in.
                members.sort_by_key(|member| member.key.array_index().map_or(u64::MAX, u64::from));
            }
        })
    }

    /// As [`stringify`](Self::stringify), but the order of each object's members is up to `arrange`.
    ///
    /// `arrange` sees one object at a time, from the outside in: the members in the order they were received, duplicates
    /// settled (the last value, at the place of the first). It orders them, and may drop some.
    pub fn stringify_arranged(self, mut arrange: impl FnMut(&mut Vec<Member<'d>>)) -> String {
        let mut out = String::with_capacity(self.source().len());
        let mut open: Vec<Open> = Vec::with_capacity(8);
        let mut waiting: Vec<Member<'d>> = Vec::with_capacity(32);
        let mut members: Vec<Member<'d>> = Vec::with_capacity(32);
        let mut value = self;
        loop {
            match value.node().tag {
                Tag::Object => {
                    out.push('{');
                    members.extend(value.all_members());
                    settle_duplicates(&mut members);
                    arrange(&mut members);
                    open.push(Open::Object { waiting_outside: waiting.len() as u32 });
                    waiting.extend(members.drain(..).rev());
                }
                Tag::Array => {
                    out.push('[');
                    open.push(Open::Array { next: value.index + 1, end: value.node().after });
                }
                Tag::Null | Tag::True | Tag::False | Tag::PlainString => out.push_str(value.source()),
                Tag::EscapedString => push_string(&mut out, value.source()),
                Tag::Number => push_number(&mut out, value.source()),
            }

            value = loop {
                match open.last_mut() {
                    None => return out,
                    Some(Open::Array { next, end }) => {
                        if *next < *end {
                            let element = self.document.value(*next);
                            *next = element.node().after;
                            push_comma(&mut out);
                            break element;
                        }
                        out.push(']');
                    }
                    Some(Open::Object { waiting_outside }) => {
                        if waiting.len() > *waiting_outside as usize
                            && let Some(member) = waiting.pop()
                        {
                            push_comma(&mut out);
                            if member.key.escaped {
                                push_string(&mut out, member.key.source);
                            } else {
                                out.push_str(member.key.source);
                            }
                            out.push(':');
                            break member.value;
                        }
                        out.push('}');
                    }
                }
                open.pop();
            };
        }
    }

    /// The members of an object in the order received, the last value of duplicates at the place of the first; none of
    /// what is not an object.
    pub fn members(self) -> impl Iterator<Item = Member<'d>> + use<'d> {
        let mut members: Vec<Member<'d>> = self.all_members().collect();
        settle_duplicates(&mut members);
        members.into_iter()
    }

    /// The elements of an array; none of what is not an array.
    pub fn elements(self) -> Elements<'d> {
        Elements { document: self.document, places: self.places_in(Tag::Array) }
    }

    fn node(self) -> &'d Node {
        self.document.node(self.index)
    }

    fn as_key(self) -> Option<Key<'d>> {
        match self.node().tag {
            Tag::PlainString => Some(Key { source: self.source(), escaped: false }),
            Tag::EscapedString => Some(Key { source: self.source(), escaped: true }),
            _ => None,
        }
    }

    /// The members of an object as they stand in the text, duplicates and all.
    fn all_members(self) -> impl Iterator<Item = Member<'d>> {
        self.places_in(Tag::Object).filter_map(move |place| {
            let key = self.document.value(place.name).as_key()?;
            Some(Member { key, value: self.document.value(place.value) })
        })
    }

    /// What a pointer's token names here: an element, or a member and all its duplicates.
    fn places_named(self, token: &str) -> impl Iterator<Item = Place> {
        let (skipped, at_most) = match (self.node().tag, element_index(token)) {
            (Tag::Array, Some(index)) => (index, 1),
            (Tag::Array, None) => (0, 0),
            _ => (0, usize::MAX),
        };
        self.places().skip(skipped).take(at_most).filter(move |place| {
            place.name == place.value || self.document.value(place.name).as_key().is_some_and(|key| key.equals(token))
        })
    }

    fn places(self) -> Places<'d> {
        self.places_in(self.node().tag)
    }

    /// The places of this container, none when it is not a `container`.
    fn places_in(self, container: Tag) -> Places<'d> {
        let node = self.node();
        let holds = node.tag == container && matches!(container, Tag::Array | Tag::Object);
        Places {
            nodes: &self.document.nodes,
            next: self.index + 1,
            end: if holds { node.after } else { self.index + 1 },
            named: container == Tag::Object,
        }
    }
}

/// Tells kind and size alone: what the sender wrote belongs in no log.
impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value({:?}, {} bytes)", self.node().tag, self.source().len())
    }
}

/// The elements of an array, in order.
#[derive(Clone)]
pub struct Elements<'d> {
    document: &'d Document<'d>,
    places: Places<'d>,
}

impl<'d> Iterator for Elements<'d> {
    type Item = Value<'d>;

    fn next(&mut self) -> Option<Value<'d>> {
        self.places.next().map(|place| self.document.value(place.value))
    }
}

/// One member of an object.
#[derive(Clone, Copy)]
pub struct Member<'d> {
    pub key: Key<'d>,
    pub value: Value<'d>,
}

/// The key of a member: equal, ordered and hashed by its UTF-16 code units with escapes resolved, as JavaScript's strings
/// are, without allocating.
#[derive(Clone, Copy)]
pub struct Key<'d> {
    /// With its quotes.
    source: &'d str,
    escaped: bool,
}

impl<'d> Key<'d> {
    /// The number that an integer-like key stands for: canonical (no sign, no leading zero) and at most 4294967294, an
    /// "array index" of ECMA-262 §6.1.7. Objects hold such keys first, ascending.
    pub fn array_index(&self) -> Option<u32> {
        const LONGEST: usize = "4294967294".len();

        if !matches!(self.source.as_bytes()[1], b'0'..=b'9' | b'\\') {
            return None;
        }
        let mut index = 0_u64;
        for (place, unit) in self.units().enumerate() {
            let digit = char::from_u32(u32::from(unit))?.to_digit(10)?;
            if place >= LONGEST || (place == 1 && index == 0) {
                return None;
            }
            index = index * 10 + u64::from(digit);
        }
        u32::try_from(index).ok().filter(|index| *index < u32::MAX)
    }

    /// Whether this key, escapes resolved, is `text`.
    pub fn equals(&self, text: &str) -> bool {
        if self.escaped { self.units().eq(text.encode_utf16()) } else { self.inner() == text }
    }

    /// The key's text, escapes resolved; `None` when it holds a lone surrogate.
    pub fn text(&self) -> Option<Cow<'d, str>> {
        if !self.escaped {
            return Some(Cow::Borrowed(self.inner()));
        }
        let decoded: Result<String, _> = char::decode_utf16(self.units()).collect();
        decoded.ok().map(Cow::Owned)
    }

    fn inner(&self) -> &'d str {
        &self.source[1..self.source.len() - 1]
    }

    fn units(&self) -> Units<'d> {
        Units { rest: self.inner().chars(), low_surrogate: None }
    }
}

impl Ord for Key<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        if self.escaped || other.escaped {
            return self.units().cmp(other.units());
        }

        // UTF-8 sorts as UTF-16 does but for U+E000..U+FFFF (first byte 0xEE or 0xEF), which UTF-16 puts after the
        // surrogates of the astral characters (first byte 0xF0..=0xF4).
        fn rank(byte: u8) -> u8 {
            if byte & 0xFE == 0xEE { byte | 0x10 } else { byte }
        }
        let (ours, theirs) = (self.inner().as_bytes(), other.inner().as_bytes());
        match ours.iter().zip(theirs).find(|(our, their)| our != their) {
            Some((our, their)) => rank(*our).cmp(&rank(*their)),
            None => ours.len().cmp(&theirs.len()),
        }
    }
}

impl PartialOrd for Key<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Eq for Key<'_> {}

impl PartialEq for Key<'_> {
    fn eq(&self, other: &Self) -> bool {
        if self.escaped || other.escaped { self.units().eq(other.units()) } else { self.source == other.source }
    }
}

impl Hash for Key<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for unit in self.units() {
            state.write_u16(unit);
        }
        state.write_u8(0xFF);
    }
}

/// A JSON Pointer (RFC 6901), read once: `/data/user_id`, `/list/0`, or nothing for the whole document.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Pointer {
    text: String,
    tokens: Vec<String>,
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

        // In this order: ~01 is ~1, not a slash.
        let tokens = text.split('/').skip(1).map(|token| token.replace("~1", "/").replace("~0", "~")).collect();
        Ok(Pointer { text: text.to_owned(), tokens })
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

/// Writes `text` as a JSON string, the way `JSON.stringify` does, for callers that compose messages.
pub fn write_string(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| byte < b' ' || byte == b'"' || byte == b'\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(special) = rest.chars().next() {
            push_char(out, special);
            rest = &rest[special.len_utf8()..];
        }
    }
    out.push_str(rest);
    out.push('"');
}

/// One value or key of the text, in 16 bytes: a small document stays in a few cache lines, and a hostile 1 MiB of `[1,1,…`
/// takes 8 MiB.
struct Node {
    tag: Tag,
    start: u32,
    end: u32,
    /// The index of the first node behind this one and all it holds. While a container is still being read: the index of
    /// the container around it, so that depth needs no stack.
    after: u32,
}

impl Node {
    fn bytes(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Tag {
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

/// Where a container holds something: the indices of a key and its value, or twice that of an element.
#[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd)]
struct Place {
    name: u32,
    value: u32,
}

/// The places of one container, in the order of the text.
#[derive(Clone)]
struct Places<'d> {
    nodes: &'d [Node],
    next: u32,
    end: u32,
    named: bool,
}

impl Iterator for Places<'_> {
    type Item = Place;

    fn next(&mut self) -> Option<Place> {
        if self.next >= self.end {
            return None;
        }
        let name = self.next;
        let value = if self.named { name + 1 } else { name };
        self.next = self.nodes[value as usize].after;
        Some(Place { name, value })
    }
}

/// Bytes of the text to leave out, and what stands there instead.
struct Gap {
    bytes: Range<usize>,
    filled_with: &'static str,
}

/// A container that is being printed, in 12 bytes: there may be as many of them as half the bytes of a text.
enum Open {
    /// The indices of the element to print next, and of the first node behind the array.
    Array { next: u32, end: u32 },
    /// Its members wait on the common stack, the next one on top, above this many of the containers around it.
    Object { waiting_outside: u32 },
}

/// Leaves of each key the place of its first member and the value of its last.
fn settle_duplicates(members: &mut Vec<Member<'_>>) {
    /// Up to here, comparing each with each is quicker than sorting.
    const FEW: usize = 16;

    if members.len() <= FEW {
        let mut kept = 0;
        for next in 0..members.len() {
            let member = members[next];
            if let Some(first) = members[..kept].iter_mut().find(|earlier| earlier.key == member.key) {
                first.value = member.value;
            } else {
                members[kept] = member;
                kept += 1;
            }
        }
        members.truncate(kept);
        return;
    }

    // The sort is stable: duplicates stay in the order they came in.
    let mut by_key: Vec<usize> = (0..members.len()).collect();
    by_key.sort_by(|a, b| members[*a].key.cmp(&members[*b].key));
    let mut superseded = vec![false; members.len()];
    let mut last_values = Vec::new();
    for same_key in by_key.chunk_by(|a, b| members[*a].key == members[*b].key) {
        if let [first, others @ .., last] = same_key {
            last_values.push((*first, members[*last].value));
            superseded[*last] = true;
            others.iter().for_each(|other| superseded[*other] = true);
        }
    }
    for (first, value) in last_values {
        members[first].value = value;
    }
    let mut superseded = superseded.into_iter();
    members.retain(|_| superseded.next() == Some(false));
}

/// An element's index as a pointer writes it: digits without a leading zero (RFC 6901 §4).
fn element_index(token: &str) -> Option<usize> {
    let canonical = token == "0" || !token.starts_with(['0', '+']);
    token.parse().ok().filter(|_| canonical)
}

/// The UTF-16 code units of a string's source, escapes resolved.
struct Units<'d> {
    rest: Chars<'d>,
    low_surrogate: Option<u16>,
}

impl Iterator for Units<'_> {
    type Item = u16;

    fn next(&mut self) -> Option<u16> {
        if let Some(low) = self.low_surrogate.take() {
            return Some(low);
        }
        let next = self.rest.next()?;
        if next == '\\' {
            return self.escaped();
        }
        let mut pair = [0; 2];
        if let [_, low] = *next.encode_utf16(&mut pair) {
            self.low_surrogate = Some(low);
        }
        Some(pair[0])
    }
}

impl Units<'_> {
    /// What follows a backslash. The parser let nothing through but the escapes below.
    fn escaped(&mut self) -> Option<u16> {
        let unit = match self.rest.next()? {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let digits = self.rest.as_str().get(..4)?;
                self.rest = self.rest.as_str().get(4..)?.chars();
                return u16::from_str_radix(digits, 16).ok();
            }
            itself => itself,
        };
        u16::try_from(u32::from(unit)).ok()
    }
}

/// The separator before a value or key, unless it is the first of its container.
fn push_comma(out: &mut String) {
    if !out.ends_with(['{', '[']) {
        out.push(',');
    }
}

/// Prints a string with escapes, given as it was sent (ECMA-262 §25.5.2.3 `QuoteJSONString`).
fn push_string(out: &mut String, source: &str) {
    out.push('"');
    for decoded in char::decode_utf16(Key { source, escaped: true }.units()) {
        match decoded {
            Ok(char) => push_char(out, char),
            Err(lone) => push_unit(out, lone.unpaired_surrogate()),
        }
    }
    out.push('"');
}

fn push_char(out: &mut String, char: char) {
    match char {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\0'..' ' => push_unit(out, char as u16),
        _ => out.push(char),
    }
}

fn push_unit(out: &mut String, unit: u16) {
    out.push_str("\\u");
    for shift in [12, 8, 4, 0] {
        out.extend(char::from_digit(u32::from(unit >> shift) & 0xF, 16));
    }
}

/// Prints a number as JavaScript does: the shortest digits that read back as the same `f64`.
fn push_number(out: &mut String, literal: &str) {
    /// Decimals of no more digits survive the way through an `f64`: the shortest digits are their own.
    const SURVIVING_DIGITS: usize = 15;

    let magnitude = literal.strip_prefix('-').unwrap_or(literal);
    let (whole, fraction) = magnitude.split_once('.').unwrap_or((magnitude, ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    // What starts with six zeros is printed with an exponent.
    let plain = whole.len() + fraction.len() <= SURVIVING_DIGITS
        && all_digits(whole)
        && all_digits(fraction)
        && !(whole == "0" && fraction.starts_with("000000"));
    if !plain {
        push_f64(out, number(literal));
        return;
    }

    let fraction = fraction.trim_end_matches('0');
    if literal.starts_with('-') && !(whole == "0" && fraction.is_empty()) {
        out.push('-');
    }
    out.push_str(whole);
    if !fraction.is_empty() {
        out.push('.');
        out.push_str(fraction);
    }
}

/// The `f64` nearest to a number literal.
fn number(literal: &str) -> f64 {
    /// From some 655,000 on, std reads an exponent too small. That matters only where as many digits make up for it.
    const LONG: usize = 60_000;
    /// No more than 767 digits decide to which side a number is rounded; whether any other is not 0 does the rest.
    const DECIDING_DIGITS: usize = 800;

    if literal.len() < LONG {
        return literal.parse().unwrap_or(f64::NAN);
    }

    let (sign, magnitude) = literal.strip_prefix('-').map_or(("", literal), |magnitude| ("-", magnitude));
    let (mantissa, exponent) = magnitude.split_once(['e', 'E']).unwrap_or((magnitude, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = || whole.chars().chain(fraction.chars());
    let zeros = digits().take_while(|digit| *digit == '0').count();
    let mut deciding: String = digits().skip(zeros).take(DECIDING_DIGITS).collect();
    if digits().skip(zeros + DECIDING_DIGITS).any(|digit| digit != '0') {
        deciding.push('1');
    }
    let out_of_range = if exponent.starts_with('-') { i64::MIN } else { i64::MAX };
    let exponent: i64 = exponent.parse().unwrap_or(out_of_range);
    let exponent = exponent.saturating_add(whole.len() as i64 - zeros as i64);
    format!("{sign}0.{deciding}e{exponent}").parse().unwrap_or(f64::NAN)
}

/// ECMA-262 §6.1.6.1.20 `Number::toString`, and `null` for what is not finite (§25.5.2.2 `SerializeJSONProperty`).
fn push_f64(out: &mut String, number: f64) {
    if !number.is_finite() {
        out.push_str("null");
        return;
    }
    if number == 0.0 {
        out.push('0');
        return;
    }

    if number < 0.0 {
        out.push('-');
    }
    let (digits, point) = shortest_digits(number.abs());
    let zeros = |out: &mut String, count: usize| out.extend(std::iter::repeat_n('0', count));
    match point {
        1..=21 => {
            let whole = point.unsigned_abs() as usize;
            match digits.split_at_checked(whole) {
                Some((whole, "")) => out.push_str(whole),
                Some((whole, fraction)) => {
                    out.push_str(whole);
                    out.push('.');
                    out.push_str(fraction);
                }
                None => {
                    out.push_str(&digits);
                    zeros(out, whole - digits.len());
                }
            }
        }
        -5..=0 => {
            out.push_str("0.");
            zeros(out, point.unsigned_abs() as usize);
            out.push_str(&digits);
        }
        _ => {
            let (first, fraction) = digits.split_at(1);
            out.push_str(first);
            if !fraction.is_empty() {
                out.push('.');
                out.push_str(fraction);
            }
            out.push_str(if point > 0 { "e+" } else { "e" });
            out.push_str(&(point - 1).to_string());
        }
    }
}

/// The fewest digits that read back as `number`, which is positive and finite, the nearest to it of those; and how many
/// of them stand before the decimal point (below 0: how many zeros stand behind it).
///
/// Rust finds the same digits but where two candidates are equally near: it takes the greater one, JavaScript the even
/// one (`1272272955179036.25` becomes `1272272955179036.2`).
fn shortest_digits(number: f64) -> (String, i32) {
    let scientific = format!("{number:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let point = exponent.parse::<i32>().unwrap_or(0) + 1;
    let digits = mantissa.replace('.', "");

    let greater: u64 = digits.parse().unwrap_or(0);
    let last_place = point - digits.len() as i32;
    if greater % 2 == 1 && is_exactly(number, greater * 10 - 5, last_place - 1) {
        let even = (greater - 1).to_string();
        if format!("{even}e{last_place}").parse() == Ok(number) {
            return (even, point);
        }
    }
    (digits, point)
}

/// Whether `number`, known to be about `digits` times ten to the `power`, is exactly that.
fn is_exactly(number: f64, digits: u64, power: i32) -> bool {
    let bits = number.to_bits();
    let fraction = bits & ((1 << 52) - 1);
    let significand = if bits >> 52 == 0 { fraction } else { fraction | 1 << 52 };
    // Both sides without their factors of two, which agree when the rest does.
    let odd = |number: u64| number >> number.trailing_zeros();
    let Some(fives) = 5_u64.checked_pow(power.unsigned_abs()) else {
        return false;
    };
    if power < 0 {
        odd(significand).checked_mul(fives) == Some(odd(digits))
    } else {
        odd(digits).checked_mul(fives) == Some(odd(significand))
    }
}

#[cfg(test)]
mod tests;
