//! JSON as JavaScript reads and prints it, to the byte.
//!
//! Providers sign what `JSON.parse` and `JSON.stringify` make of a body, so this is the only reader for what they send.
//! It accepts exactly what `JSON.parse` accepts and prints exactly what `JSON.stringify` prints: the order of keys, the
//! layout of numbers, lone surrogates and duplicate keys included.
//!
//! A [`Document`] borrows or owns the text and adds 16 bytes for each value and key. Nothing here recurses, whatever the depth,
//! and no input takes more than n log n steps: bodies are read before their signature is known to be right.
//!
//! Sources: `docs/contracts/`; ECMA-262 §25.5 (`JSON`), §6.1.6.1.20 (`Number::toString`), §10.1.11.1
//! (`OrdinaryOwnPropertyKeys`); RFC 6901.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::str::Chars;

mod number;
mod order;
mod parser;
mod pointer;
mod print;
mod work;

use self::number::push_number;
pub use self::order::Order;
use self::order::{Arranger, is_special};
pub use self::parser::SyntaxError;
use self::parser::{Node, Tag};
pub use self::pointer::{Pointer, PointerError};
pub use self::print::write_string;
use self::print::{push_char, push_unit};

/// A text that `JSON.parse` accepts, ready to be looked into, cut and printed.
pub struct Document<'t> {
    text: Cow<'t, str>,
    /// Every value and key in the order of the text: a container, then what it holds.
    nodes: Vec<Node>,
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
        Self::of(text)
    }

    /// As [`parse`](Self::parse), of text that is known to be such; the document keeps one that is its own.
    ///
    /// # Errors
    ///
    /// As [`parse`](Self::parse).
    pub fn of(text: impl Into<Cow<'t, str>>) -> Result<Document<'t>, SyntaxError> {
        let text = text.into();
        Ok(Document { nodes: parser::nodes(&text)?, text })
    }

    /// All of it, as it was given.
    pub fn text(&self) -> &str {
        &self.text
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
    pub fn without(&self, cut: &[Pointer]) -> Cow<'_, str> {
        let gaps = self.gaps_of_pointers(cut);
        self.text_without(gaps, 0..self.text.len())
    }

    /// This part of the text without the gaps that lie in it.
    fn text_without(&self, mut gaps: Vec<Gap>, part: Range<usize>) -> Cow<'_, str> {
        if gaps.is_empty() {
            return Cow::Borrowed(&self.text[part]);
        }
        // A gap inside another one comes after it, and is skipped below.
        gaps.sort_unstable_by_key(|gap| gap.bytes.start);

        let mut kept = String::with_capacity(part.len());
        let mut at = part.start;
        for gap in &gaps {
            if gap.bytes.start >= at {
                kept.push_str(&self.text[at..gap.bytes.start]);
                kept.push_str(gap.filled_with);
                at = gap.bytes.end;
            }
        }
        kept.push_str(&self.text[at..part.end]);
        Cow::Owned(kept)
    }

    fn value(&self, index: u32) -> Value<'_> {
        Value { document: self, index }
    }

    fn node(&self, index: u32) -> &Node {
        &self.nodes[index as usize]
    }

    /// What to leave out so that nothing named by `cut` remains. Gaps are disjoint or nested.
    fn gaps_of_pointers(&self, cut: &[Pointer]) -> Vec<Gap> {
        let mut gaps = Vec::new();
        let mut named: Vec<(u32, Place)> = Vec::new();
        for pointer in cut {
            let tokens: Vec<_> = pointer.tokens().collect();
            let Some((last, way)) = tokens.split_last() else {
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
        gaps.extend(self.gaps_of_places(&named));
        gaps
    }

    /// What to leave out so that none of these places remains; they are in order, each with the container it is in.
    fn gaps_of_places(&self, named: &[(u32, Place)]) -> Vec<Gap> {
        let mut gaps = Vec::new();
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
        pointer.tokens().try_fold(self, |value, token| {
            let place = value.places_named(&token).last()?;
            Some(self.document.value(place.value))
        })
    }

    /// A string's text, escapes resolved; `None` when this is no string, or holds a lone surrogate, which no `str` can.
    pub fn text(self) -> Option<Cow<'d, str>> {
        self.as_key()?.text()
    }

    /// A string's [`text`](Self::text), or a number's literal as sent: ids are the one or the other.
    pub fn text_or_digits(self) -> Option<Cow<'d, str>> {
        match self.kind() {
            Kind::Number(digits) => Some(digits.into()),
            _ => self.text(),
        }
    }

    /// The bytes of this value as sent, without the white space around it.
    pub fn source(self) -> &'d str {
        &self.document.text[self.node().bytes()]
    }

    /// [`source`](Self::source) without the members, at any depth, whose key is one to `cut`; duplicates go as well.
    pub fn source_without(self, cut: impl Fn(&Key<'d>) -> bool) -> Cow<'d, str> {
        let document = self.document;
        let mut named = Vec::new();
        for index in self.index..self.node().after {
            let container = document.value(index);
            let to_cut = container.places_in(Tag::Object).filter(|place| {
                let key = document.value(place.name).as_key();
                key.is_some_and(|key| cut(&key))
            });
            named.extend(to_cut.map(|place| (index, place)));
        }
        document.text_without(document.gaps_of_places(&named), self.node().bytes())
    }

    /// The members of an object in the order received, the last value of duplicates at the place of the first; none of
    /// what is not an object.
    pub fn members(self) -> impl Iterator<Item = Member<'d>> + use<'d> {
        let members: Vec<Member<'d>> = self.all_members().collect();
        let push_key = |at: usize, utf16: &mut Vec<u8>| members[at].key.push_utf16(utf16);
        let mut arranger = Arranger::default();
        let settled = arranger.settle(members.len(), push_key);
        let member = |(first, last): (usize, usize)| Member { value: members[last].value, ..members[first] };
        settled.map(member).collect::<Vec<_>>().into_iter()
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

impl Value<'_> {
    /// What `JSON.stringify(JSON.parse(source))` gives.
    ///
    /// In each object integer-like keys come first, ascending, then the others as received. An own `__proto__` is kept.
    /// Numbers go through `f64` (`1000.00` becomes `1000`, `1e400` becomes `null`).
    pub fn stringify(self) -> String {
        self.print(Order::Received, usize::MAX).unwrap_or_default()
    }

    /// Whether [`print`](Self::print) surely gives the same in both orders, which the keys tell without any sorting.
    pub fn prints_alike(self, one: Order, other: Order) -> bool {
        one == other || (one != Order::Received && other != Order::Received && !self.has_special_key())
    }

    /// Whether an object here has a key that [`Order::SortedAndAssigned`] treats unlike the others.
    fn has_special_key(self) -> bool {
        let objects = (self.index..self.node().after).map(|index| self.document.value(index));
        let mut keys = objects.flat_map(Self::all_members).map(|member| member.key);
        keys.any(|key| key.is_special())
    }

    /// As [`stringify`](Self::stringify) with the members of each object in this order; `None` when that takes more than
    /// `max_bytes`: `1e20` is printed with 21 digits, so a text may have many times the bytes of its source.
    pub fn print(self, order: Order, max_bytes: usize) -> Option<String> {
        let mut out = String::with_capacity(self.source().len().min(max_bytes));
        let mut open: Vec<Open> = Vec::with_capacity(8);
        let mut waiting: Vec<Member<'_>> = Vec::with_capacity(32);
        let mut members: Vec<Member<'_>> = Vec::with_capacity(32);
        let mut arranger = Arranger::default();
        let mut value = self;
        loop {
            work::count(|| 10);
            match value.node().tag {
                Tag::Object => {
                    out.push('{');
                    members.clear();
                    members.extend(value.all_members());
                    open.push(Open::Object { waiting_outside: waiting.len() as u32 });
                    let push_key = |at: usize, utf16: &mut Vec<u8>| members[at].key.push_utf16(utf16);
                    let arranged = arranger.arrange(members.len(), push_key, order);
                    let member =
                        |(first, last): (usize, usize)| Member { value: members[last].value, ..members[first] };
                    waiting.extend(arranged.map(member).rev());
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
                if out.len() > max_bytes {
                    return None;
                }
                match open.last_mut() {
                    None => return Some(out),
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

/// The key of a member, a string of UTF-16 code units once its escapes are resolved, as JavaScript's strings are.
#[derive(Clone, Copy)]
pub struct Key<'d> {
    /// With its quotes.
    source: &'d str,
    escaped: bool,
}

impl<'d> Key<'d> {
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

    /// Writes its code units, the high byte first.
    fn push_utf16(&self, utf16: &mut Vec<u8>) {
        if self.escaped || !self.source.is_ascii() {
            self.units().for_each(|unit| utf16.extend(unit.to_be_bytes()));
        } else {
            work::count(|| self.source.len());
            self.inner().bytes().for_each(|byte| utf16.extend([0, byte]));
        }
    }

    /// Whether [`Order::SortedAndAssigned`] treats it unlike other keys.
    fn is_special(&self) -> bool {
        if !matches!(self.source.as_bytes()[1], b'0'..=b'9' | b'_' | b'\\') {
            return false;
        }
        let mut utf16 = Vec::new();
        self.push_utf16(&mut utf16);
        is_special(&utf16)
    }

    fn inner(&self) -> &'d str {
        &self.source[1..self.source.len() - 1]
    }

    fn units(&self) -> Units<'d> {
        Units { rest: self.inner().chars(), low_surrogate: None }
    }
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
        work::count(|| 1);
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
        work::count(|| 3);
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

/// A container that is being printed, in 12 bytes: there may be as many of them as half the bytes of a text.
enum Open {
    /// The indices of the element to print next, and of the first node behind the array.
    Array { next: u32, end: u32 },
    /// Its members wait on the common stack, the next one on top, above this many of the containers around it.
    Object { waiting_outside: u32 },
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

#[cfg(test)]
mod tests;
