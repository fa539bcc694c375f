//! Strings as `JSON.stringify` prints them.

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

pub(crate) fn push_char(out: &mut String, char: char) {
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

pub(crate) fn push_unit(out: &mut String, unit: u16) {
    out.push_str("\\u");
    for shift in [12, 8, 4, 0] {
        out.extend(char::from_digit(u32::from(unit >> shift) & 0xF, 16));
    }
}
