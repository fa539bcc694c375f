//! Printing as `JSON.stringify` does.

use crate::number::push_number;
use crate::order::{Arranger, Order};
use crate::parser::Tag;
use crate::work;
use crate::{Key, Member, Value};

impl Value<'_> {
    /// What `JSON.stringify(JSON.parse(source))` gives.
    ///
    /// In each object integer-like keys come first, ascending, then the others as received. An own `__proto__` is kept.
    /// Numbers go through `f64` (`1000.00` becomes `1000`, `1e400` becomes `null`).
    pub fn stringify(self) -> String {
        self.print(Order::Received, usize::MAX).unwrap_or_default()
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
                    waiting.extend(arranger.arrange(&members, order).rev());
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
    work::count(|| source.len());
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
