//! JSON spread over lines for the eye. Every value keeps its own spelling: an amount's digits are not ours to change.

/// A level deeper is indented no further: hostile nesting would make megabytes of spaces.
const DEEPEST: usize = 32;

/// `json` with a member or element a line; text that is no JSON comes out in some order of lines, and nothing is lost.
pub(crate) fn indented(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let mut depth = 0_usize;
    let mut chars = json.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                out.push('"');
                let mut escaped = false;
                for c in chars.by_ref() {
                    out.push(c);
                    match c {
                        '"' if !escaped => break,
                        c => escaped = c == '\\' && !escaped,
                    }
                }
            }
            ' ' | '\t' | '\r' | '\n' => {}
            '{' | '[' => {
                out.push(c);
                while chars.next_if(|c| matches!(c, ' ' | '\t' | '\r' | '\n')).is_some() {}
                let close = if c == '{' { '}' } else { ']' };
                if let Some(close) = chars.next_if_eq(&close) {
                    out.push(close);
                } else {
                    depth += 1;
                    new_line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(',');
                new_line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            c => out.push(c),
        }
    }
    out
}

fn new_line(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth.min(DEEPEST)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(json: &str, expected: &str) {
        assert_eq!(indented(json), expected);
    }

    #[test]
    fn each_member_and_element_has_a_line_and_its_own_spelling() {
        check(
            r#"{"a":1000.00,"b":[1e2, "x"],"c":{}}"#,
            "{\n  \"a\": 1000.00,\n  \"b\": [\n    1e2,\n    \"x\"\n  ],\n  \"c\": {}\n}",
        );
        check("{ \"a\" : [ ] }", "{\n  \"a\": []\n}");
        check("null", "null");
    }

    #[test]
    fn what_stands_in_a_text_is_left_alone() {
        check(r#"{"a":"{\"b\": [1, 2]}\\"}"#, "{\n  \"a\": \"{\\\"b\\\": [1, 2]}\\\\\"\n}");
    }

    #[test]
    fn what_is_no_json_ends_all_the_same() {
        for text in ["", "{", "]]]", "\"open", "\"\\", "{\"a\":"] {
            let kept: String = indented(text).chars().filter(|c| !c.is_whitespace()).collect();
            assert_eq!(kept, text);
        }
        assert!(indented(&"[".repeat(10_000)).len() < 10_000 * (2 + 2 * DEEPEST));
    }
}
