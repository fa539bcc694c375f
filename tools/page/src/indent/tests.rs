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
