use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[test]
fn what_json_parse_accepts_is_accepted() {
    #[track_caller]
    fn check(text: &str) {
        let document = Document::parse(text.as_bytes()).unwrap();
        assert_eq!(document.root().source(), text.trim());
    }

    for text in ["0", "-0", "10.250", "1e400", "-1E+2", "1e-7", "true", "false", "null", "\"\"", "[]", "{}"] {
        check(text);
    }
    check(" \t\r\n{ \"a\" : [ 1 , 2 ] , \"b\" : { } } \t\r\n");
    check(r#""\" \\ \/ \b \f \n \r \t \u00e9 \uD83D\ude00""#);
    check(r#"["\ud83d","\ude00","\ude00\ud83d"]"#);
    check(r#"{"a":1,"a":2,"":3,"__proto__":4}"#);
    check("\"\u{7f}\u{2028}\u{feff}é😀\"");
}

#[test]
fn what_json_parse_refuses_is_refused_where_it_goes_wrong() {
    #[track_caller]
    fn check(text: &[u8], offset: usize) {
        let refusal = Document::parse(text).unwrap_err();
        assert_eq!(refusal, SyntaxError { offset }, "{}", text.escape_ascii());
        assert_eq!(refusal.to_string(), format!("not JSON at byte {offset}"));
    }

    for (text, offset) in [
        ("", 0),
        (" ", 1),
        ("\u{feff}{}", 0),
        ("\u{a0}1", 0),
        ("1\u{b}", 1),
        ("1\u{2028}", 1),
        ("1 2", 2),
        ("nul", 3),
        ("nulL", 3),
        ("True", 0),
        ("NaN", 0),
        ("-Infinity", 1),
        ("undefined", 0),
        ("+1", 0),
        ("-", 1),
        ("01", 1),
        ("-01", 2),
        ("1.", 2),
        (".5", 0),
        ("1e", 2),
        ("1e+", 3),
        ("0x10", 1),
        ("1_000", 1),
        ("'a'", 0),
        ("\"", 1),
        ("\"a", 2),
        ("\"a\nb\"", 2),
        ("\"0123456789\t\"", 11),
        ("\"\0\"", 1),
        ("\"\u{1f}\"", 1),
        (r#""\x41""#, 2),
        (r#""\u12g4""#, 5),
        (r#""\u123""#, 6),
        (r#""\U0041""#, 2),
        (r#""\""#, 3),
        ("[", 1),
        ("]", 0),
        ("[1", 2),
        ("[1,]", 3),
        ("[,1]", 1),
        ("[1 2]", 3),
        ("[1}", 2),
        ("{", 1),
        ("{,}", 1),
        ("{1:2}", 1),
        ("{a:1}", 1),
        ("{\"a\"}", 4),
        ("{\"a\":}", 5),
        ("{\"a\":1,}", 7),
        ("{\"a\":1]", 6),
        ("{\"a\",1}", 4),
        ("{}}", 2),
        ("// a\n1", 0),
        ("1/**/", 1),
    ] {
        check(text.as_bytes(), offset);
    }
    for (text, offset) in [
        (&b"\"\x80\""[..], 1),
        (b"\"\xc0\x80\"", 1),
        (b"\"\xed\xa0\x80\"", 1),
        (b"\"\xf4\x90\x80\x80\"", 1),
        (b"\"\xe2\x82\"", 1),
        (b"[]\xff", 2),
    ] {
        check(text, offset);
    }
}

#[test]
fn stringify_prints_what_json_stringify_prints() {
    for (text, printed) in [
        (" [ 1 , { } , [ ] , null , true , false , \"\" ] ", r#"[1,{},[],null,true,false,""]"#),
        // Integer-like keys first, ascending; the others as received.
        (
            r#"{"b":1,"10":2,"9":3,"01":4,"-1":5,"1.5":6,"4294967294":7,"4294967295":8,"0":9,"":10}"#,
            r#"{"0":9,"9":3,"10":2,"4294967294":7,"b":1,"01":4,"-1":5,"1.5":6,"4294967295":8,"":10}"#,
        ),
        (r#"{"b":1,"\u0031":2}"#, r#"{"1":2,"b":1}"#),
        // The last of duplicates, at the place of the first.
        (r#"{"a":1,"b":2,"a":{"c":[]},"\u0061":3}"#, r#"{"a":3,"b":2}"#),
        (r#"{"é":1,"\u00e9":2,"\u00E9":3}"#, r#"{"é":3}"#),
        (r#"{"a":1,"__proto__":{"x":1},"constructor":2}"#, r#"{"a":1,"__proto__":{"x":1},"constructor":2}"#),
        // Strings: as few escapes as can be.
        (
            r#""\u00e9\u2028\u2029\/\u0000\u0007\u001F\u007f<>&\"\\\n\t\b\f\r""#,
            "\"é\u{2028}\u{2029}/\\u0000\\u0007\\u001f\u{7f}<>&\\\"\\\\\\n\\t\\b\\f\\r\"",
        ),
        (r#""\ud83d\uDE00 \uD83D x \ude00\ud83d""#, r#""😀 \ud83d x \ude00\ud83d""#),
        (r#"{"\ud83d":1,"\uD83D":2}"#, r#"{"\ud83d":2}"#),
        ("\"\u{7f}\u{2028}/é😀\"", "\"\u{7f}\u{2028}/é😀\""),
    ] {
        check_printed(text, printed);
    }
}

#[test]
fn numbers_are_printed_in_the_layout_of_javascript() {
    for (literal, printed) in [
        ("0", "0"),
        ("-0", "0"),
        ("-0.0", "0"),
        ("0e5", "0"),
        ("-1e-400", "0"),
        ("1000.00", "1000"),
        ("1e3", "1000"),
        ("-25", "-25"),
        ("0.10", "0.1"),
        ("-123.4560", "-123.456"),
        ("0.000001", "0.000001"),
        ("0.0000012", "0.0000012"),
        ("0.0000001", "1e-7"),
        ("1.5e-7", "1.5e-7"),
        ("123456789012345", "123456789012345"),
        ("1234567890123456", "1234567890123456"),
        ("9007199254740993", "9007199254740992"),
        ("12345678901234567890", "12345678901234567000"),
        ("123456789012345.6789", "123456789012345.67"),
        ("99999999999999999999", "100000000000000000000"),
        ("999999999999999900000", "999999999999999900000"),
        ("1e20", "100000000000000000000"),
        ("1E21", "1e+21"),
        ("-1.25e21", "-1.25e+21"),
        ("1.5777777777770001", "1.5777777777770001"),
        ("117.63331139400017", "117.63331139400017"),
        // Two candidates equally near: the even one.
        ("1272272955179036.25", "1272272955179036.2"),
        ("1272272955179036.75", "1272272955179036.8"),
        ("4503599627370497.5", "4503599627370498"),
        ("2251799813685249.25", "2251799813685249"),
        ("5e-324", "5e-324"),
        ("2.4703282292062327e-324", "0"),
        ("2.4703282292062328e-324", "5e-324"),
        ("2.2250738585072011e-308", "2.225073858507201e-308"),
        ("1.7976931348623157e308", "1.7976931348623157e+308"),
        ("1.7976931348623159e308", "null"),
        ("1e400", "null"),
        ("-1e400", "null"),
        ("1e99999999999999999999", "null"),
        ("1e-99999999999999999999", "0"),
    ] {
        check_printed(literal, printed);
    }
}

#[test]
fn exponents_beyond_any_integer_and_as_many_digits_make_up_for_each_other() {
    let zeros = "0".repeat(1_000_000);
    check_printed(&format!("0.{zeros}15e1000001"), "1.5");
    check_printed(&format!("-15{zeros}e-1000001"), "-1.5");
    check_printed(&format!("{}.5", "9".repeat(100_000)), "null");
    check_printed(&format!("0.{zeros}1"), "0");
    check_printed(&format!("0.{zeros}e1000001"), "0");
    check_printed(&format!("1e{zeros}5"), "100000");
    check_printed(&format!("1e{}", "9".repeat(100_000)), "null");
    check_printed(&format!("1e-{}", "9".repeat(100_000)), "0");
    // Halfway between two numbers, and the slightest bit above.
    check_printed(&format!("9007199254740993.{zeros}"), "9007199254740992");
    check_printed(&format!("9007199254740993.{zeros}1"), "9007199254740994");
}

#[test]
fn members_are_printed_in_each_order() {
    let text = r#"{"b":{"y":1,"x":2},"__proto__":{"q":5},"10":[{"d":1,"c":2}],"9":3,"b":{"z":3,"2":4,"01":5,"x":6}}"#;
    for (order, printed) in [
        (Order::Received, r#"{"9":3,"10":[{"d":1,"c":2}],"b":{"2":4,"z":3,"01":5,"x":6},"__proto__":{"q":5}}"#),
        (Order::SortedAndAssigned, r#"{"9":3,"10":[{"c":2,"d":1}],"b":{"2":4,"01":5,"x":6,"z":3}}"#),
        (Order::Sorted, r#"{"10":[{"c":2,"d":1}],"9":3,"__proto__":{"q":5},"b":{"01":5,"2":4,"x":6,"z":3}}"#),
    ] {
        assert_eq!(parsed(text).root().print(order, printed.len()).as_deref(), Some(printed), "{order:?}");
        assert_eq!(parsed(text).root().print(order, printed.len() - 1), None, "{order:?}");
    }
}

#[test]
fn a_part_of_a_document_prints_alone() {
    let document = parsed(r#"{"a":{"b":[1.0,{"c":"\u0041"}]}}"#);
    let part = document.root().at(&pointer("/a/b")).unwrap();
    assert_eq!(part.source(), r#"[1.0,{"c":"\u0041"}]"#);
    assert_eq!(part.stringify(), r#"[1,{"c":"A"}]"#);
}

#[test]
fn a_value_tells_its_kind() {
    let document = parsed(r#"[null,true,false,-1.50e3,"","\n",[],{}]"#);
    let kinds: Vec<Kind<'_>> = document.root().elements().map(Value::kind).collect();
    assert_eq!(
        kinds,
        [
            Kind::Null,
            Kind::Bool(true),
            Kind::Bool(false),
            Kind::Number("-1.50e3"),
            Kind::String,
            Kind::String,
            Kind::Array,
            Kind::Object,
        ]
    );
}

#[test]
fn a_number_has_digits_where_a_string_has_text() {
    let document = parsed(r#"["\u0041",1.50e3,9007199254740993,"\ud800",true,null,[],{}]"#);
    let texts: Vec<_> = document.root().elements().map(|value| value.text_or_digits().map(Cow::into_owned)).collect();
    let expected = [Some("A"), Some("1.50e3"), Some("9007199254740993"), None, None, None, None, None];
    assert_eq!(texts, expected.map(|text| text.map(str::to_owned)));
}

#[test]
fn a_strings_text_is_decoded_and_a_lone_surrogate_has_none() {
    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(parsed(text).root().text().as_deref(), expected, "{text}");
    }

    check(r#""""#, Some(""));
    check(r#""é😀""#, Some("é😀"));
    check(r#""\u00e9\ud83d\ude00\/\"\n""#, Some("é😀/\"\n"));
    check(r#""\ud83d""#, None);
    check(r#""\ude00\ud83d""#, None);
    check("1", None);
    check("[]", None);
    assert!(matches!(parsed(r#""plain""#).root().text(), Some(Cow::Borrowed("plain"))));
}

#[test]
fn get_and_at_find_the_last_of_duplicates() {
    #[track_caller]
    fn check(text: &str, at: &str, expected: Option<&str>) {
        let document = parsed(text);
        let found = document.root().at(&pointer(at)).map(Value::source);
        assert_eq!(found, expected, "{at} in {text}");
        if let Some(key) = at.strip_prefix('/').filter(|key| !text.starts_with('[') && !key.contains(['/', '~'])) {
            assert_eq!(document.root().get(key).map(Value::source), expected, "{key} of {text}");
        }
    }

    let text = r#"{"a":{"b":1},"a":{"c":[10,[20]],"":2,"/":3,"~1":4,"0":5},"\u00e9":6}"#;
    check(text, "", Some(text));
    check(text, "/a", Some(r#"{"c":[10,[20]],"":2,"/":3,"~1":4,"0":5}"#));
    check(text, "/a/b", None);
    check(text, "/a/c/0", Some("10"));
    check(text, "/a/c/1/0", Some("20"));
    check(text, "/a/c/2", None);
    check(text, "/a/c/-", None);
    check(text, "/a/c/01", None);
    check(text, "/a/c/+1", None);
    check(text, "/a/c/", None);
    check(text, "/a/c/18446744073709551616", None);
    check(text, "/a/", Some("2"));
    check(text, "/a/~1", Some("3"));
    check(text, "/a/~01", Some("4"));
    check(text, "/a/0", Some("5"));
    check(text, "/é", Some("6"));
    check(text, "/é/x", None);
    check(text, "/c", None);
    check("[1]", "/0", Some("1"));
    check("1", "/0", None);
    assert!(parsed("[1]").root().get("0").is_none());
}

#[test]
fn members_are_settled_and_elements_are_in_order() {
    let document = parsed(r#"{"a":1,"b":2,"a":3,"2":[4,[5],{"x":6}],"1":7}"#);
    let members: Vec<_> =
        document.root().members().map(|member| (member.key.text().unwrap(), member.value.source())).collect();
    assert_eq!(members, [("a".into(), "3"), ("b".into(), "2"), ("2".into(), r#"[4,[5],{"x":6}]"#), ("1".into(), "7")]);
    assert_eq!(document.root().elements().count(), 0);

    let list = document.root().get("2").unwrap();
    let elements: Vec<&str> = list.elements().map(Value::source).collect();
    assert_eq!(elements, ["4", "[5]", r#"{"x":6}"#]);
    assert_eq!(list.members().count(), 0);
}

#[test]
fn keys_are_ordered_by_utf16_code_units() {
    let ordered = [
        r#""""#,
        r#""\u0000""#,
        r#""1""#,
        r#""10""#,
        r#""9""#,
        r#""A""#,
        r#""a""#,
        r#""a\u0000""#,
        r#""aa""#,
        r#""é""#,
        "\"\u{d7ff}\"",
        r#""\ud83d""#,
        r#""😀""#,
        r#""😀a""#,
        r#""\ud83d\ue000""#,
        r#""\udc00""#,
        "\"\u{e000}\"",
        "\"\u{fb01}\"",
        "\"\u{ffff}\"",
    ];
    for (a, one) in ordered.iter().enumerate() {
        for (b, other) in ordered.iter().enumerate() {
            let printed = parsed(&format!("{{{one}:1,{other}:2}}")).root().print(Order::Sorted, usize::MAX).unwrap();
            let printed = parsed(&printed);
            let values: Vec<&str> = printed.root().members().map(|member| member.value.source()).collect();
            let expected: &[&str] = match a.cmp(&b) {
                std::cmp::Ordering::Less => &["1", "2"],
                std::cmp::Ordering::Equal => &["2"],
                std::cmp::Ordering::Greater => &["2", "1"],
            };
            assert_eq!(values, expected, "{one} {other}");
        }
    }
}

#[test]
fn only_canonical_integers_below_2_to_the_32_minus_1_are_array_indices() {
    #[track_caller]
    fn check(text: &str, is_index: bool) {
        let printed = parsed(&format!("{{\"a\":1,{text}:2}}")).root().stringify();
        assert_eq!(printed.ends_with(r#""a":1}"#), is_index, "{text} {printed}");
    }

    check(r#""0""#, true);
    check(r#""7""#, true);
    check(r#""\u0031\u0030""#, true);
    check(r#""4294967294""#, true);
    for text in [
        r#""""#,
        r#""4294967295""#,
        r#""4294967296""#,
        r#""9999999999""#,
        r#""10000000000""#,
        r#""18446744073709551617""#,
        r#""00""#,
        r#""01""#,
        r#""-1""#,
        r#""+1""#,
        r#""1.5""#,
        r#""1e3""#,
        r#""1 ""#,
        r#""١""#,
        r#""１""#,
        r#""\ud835\udfcf""#,
    ] {
        check(text, false);
    }
}

#[test]
fn without_cuts_every_duplicate_and_keeps_all_other_bytes() {
    #[track_caller]
    fn check(text: &str, cut: &[&str], expected: &str) {
        let pointers: Vec<Pointer> = cut.iter().map(|text| pointer(text)).collect();
        assert_eq!(parsed(text).without(&pointers), expected, "{cut:?} from {text}");
    }

    // Commas, wherever the member stands.
    check(r#"{"a":1,"b":2,"c":3}"#, &["/a"], r#"{"b":2,"c":3}"#);
    check(r#"{"a":1,"b":2,"c":3}"#, &["/b"], r#"{"a":1,"c":3}"#);
    check(r#"{"a":1,"b":2,"c":3}"#, &["/c"], r#"{"a":1,"b":2}"#);
    check(r#"{"a":1,"b":2,"c":3}"#, &["/a", "/b"], r#"{"c":3}"#);
    check(r#"{"a":1,"b":2,"c":3}"#, &["/c", "/a"], r#"{"b":2}"#);
    check(r#"{"a":1,"b":2,"c":3}"#, &["/b", "/c"], r#"{"a":1}"#);
    check(r#"{"a":1,"b":2,"c":3}"#, &["/a", "/b", "/c", "/a"], "{}");
    check(" { \"a\" : 1.0 , \"b\" : 2 ,\n\"c\" : 3 } ", &["/a"], " { \"b\" : 2 ,\n\"c\" : 3 } ");
    check(" { \"a\" : 1.0 , \"b\" : 2 ,\n\"c\" : 3 } ", &["/b"], " { \"a\" : 1.0 ,\n\"c\" : 3 } ");
    check(" { \"a\" : 1.0 , \"b\" : 2 ,\n\"c\" : 3 } ", &["/c"], " { \"a\" : 1.0 , \"b\" : 2 } ");
    check("{ \"a\" : 1 }", &["/a"], "{  }");
    // Duplicates, at every level, under any spelling.
    check(r#"{"a":1,"b":2,"\u0061":3}"#, &["/a"], r#"{"b":2}"#);
    check(
        r#"{"data":{"p":1,"k":2},"x":3,"d\u0061ta":{"p":{"p":4},"p":5},"data":6,"data":[{"p":7}]}"#,
        &["/data/p"],
        r#"{"data":{"k":2},"x":3,"d\u0061ta":{},"data":6,"data":[{"p":7}]}"#,
    );
    // One cut inside another.
    check(r#"{"a":{"b":1,"c":2},"d":3}"#, &["/a/b", "/a", "/a/c"], r#"{"d":3}"#);
    check(r#"[{"a":1},{"a":2}]"#, &["/0/a", "/0", "/1/a"], "[null,{}]");
    // Elements keep their places.
    check(r#"{"a":[1,[2,3],4]}"#, &["/a/0", "/a/1/1"], r#"{"a":[null,[2,null],4]}"#);
    check(
        r#"{"a":{"0":1},"a":[2,{"b":3}],"a":{"1":{"b":4}}}"#,
        &["/a/0", "/a/1/b"],
        r#"{"a":{},"a":[null,{}],"a":{"1":{}}}"#,
    );
    // All of it.
    check(" [1] ", &["", "/0"], " null ");
}

#[test]
fn without_gives_the_very_same_text_when_nothing_is_named() {
    let text = r#" {"a":{"b":[1]},"c":"a"} "#;
    let document = parsed(text);
    let nothing = ["/b", "/a/a", "/a/b/1", "/a/b/-", "/a/b/00", "/c/a", "/a/b/0/0", "/"].map(pointer);
    for cut in [&nothing[..], &[]] {
        assert!(matches!(document.without(cut), Cow::Borrowed(kept) if std::ptr::eq(kept, text)));
    }
}

#[test]
fn pointers_are_read_as_rfc_6901_says() {
    for text in ["", "/", "/a/b", "/a~1b/~0", "/ /\"/é/0"] {
        assert_eq!(pointer(text).as_str(), text);
        assert_eq!(pointer(text).to_string(), text);
    }
    assert_eq!(Pointer::parse("a"), Err(PointerError::NoLeadingSlash));
    assert_eq!(Pointer::parse("#/a"), Err(PointerError::NoLeadingSlash));
    assert_eq!(Pointer::parse("/a~"), Err(PointerError::LoneTilde { offset: 2 }));
    assert_eq!(Pointer::parse("/~0/~2"), Err(PointerError::LoneTilde { offset: 4 }));
}

#[test]
fn depth_costs_no_stack() {
    let half = 1 << 19;
    let lists = format!("{}{}", "[".repeat(half), "]".repeat(half));
    assert_eq!(parsed(&lists).root().stringify(), lists);

    let depth = 170_000;
    let objects = format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
    assert_eq!(parsed(&objects).root().stringify(), objects);
    let innermost = pointer(&"/a".repeat(depth));
    assert_eq!(parsed(&objects).root().at(&innermost).unwrap().source(), "1");
    assert_eq!(parsed(&objects).without(&[innermost]).len(), objects.len() - r#""a":1"#.len());

    let unclosed = "[".repeat(1 << 20);
    assert_eq!(Document::parse(unclosed.as_bytes()).unwrap_err(), SyntaxError { offset: 1 << 20 });
}

#[test]
fn a_hundred_thousand_members_are_settled_sorted_and_cut_in_no_time() {
    let count = 100_000;
    let same = format!("{{{}\"a\":true}}", r#""a":0,"#.repeat(count));
    assert_eq!(parsed(&same).root().stringify(), r#"{"a":true}"#);
    assert_eq!(parsed(&same).without(&[pointer("/a")]), "{}");

    let twice: Vec<String> = (0..2 * count).map(|n| format!("\"k{}\":{n}", n % count)).collect();
    let once: Vec<String> = (0..count).map(|n| format!("\"k{n}\":{}", n + count)).collect();
    assert_eq!(parsed(&format!("{{{}}}", twice.join(","))).root().stringify(), format!("{{{}}}", once.join(",")));
}

/// Steps for each byte of the body. A step is about a nanosecond, so 15 for 256 KiB are 4 ms.
const MAX_STEPS_PER_BYTE: u64 = 15;

#[test]
fn no_body_takes_more_than_a_few_steps_for_each_byte_in_any_order() {
    const BYTES: usize = 64 * 1024;

    /// `piece`s of a number in no order, as many as fit.
    #[track_caller]
    fn check(brackets: &str, piece: impl Fn(u64) -> String) {
        let (open, close) = brackets.split_at(1);
        let mut body = open.to_owned();
        for n in 0_u64.. {
            let piece = piece(n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40);
            if body.len() + piece.len() > BYTES {
                break;
            }
            body.push_str(&piece);
            body.push(',');
        }
        body.pop();
        body.push_str(close);

        check_body(&body);
    }

    #[track_caller]
    fn check_nested(open: &str, close: &str) {
        let depth = BYTES / (open.len() + close.len());
        check_body(&format!("{}0{}", open.repeat(depth), close.repeat(depth)));
    }

    #[track_caller]
    fn check_body(body: &str) {
        let document = parsed(body);
        for order in [Order::Received, Order::SortedAndAssigned, Order::Sorted] {
            let steps = work::steps(|| {
                document.root().prints_alike(order, Order::SortedAndAssigned);
                document.root().print(order, usize::MAX);
            });
            let per_byte = steps / body.len() as u64;
            assert!(per_byte <= MAX_STEPS_PER_BYTE, "{per_byte} steps a byte, {order:?}: {}..", &body[..100]);
        }
    }

    // Keys: escapes, long common prefixes, integer-like ones, duplicates, the shortest.
    check("{}", |n| format!(r#""\u0031111111111{n}":0"#));
    check("{}", |n| format!(r#""\u0031{}":0"#, n % 1_000_000_000));
    check("{}", |n| format!(r#""\u0061{}{n}":0"#, "a".repeat(40)));
    check("{}", |n| format!(r#""{}{n}":0"#, "a".repeat(40)));
    check("{}", |n| format!(r#""\u{:04x}":0"#, n % 0x1_0000));
    check("{}", |n| format!(r#""{n}":0"#));
    check("{}", |n| format!(r#""{:x}":0"#, n % 0x1000));
    check("{}", |n| format!(r#""é{:x}":0"#, n % 0x1000));
    check("{}", |n| format!(r#""\u0061{}":0"#, n % 100));
    check("{}", |_| r#""a":0"#.to_owned());
    check("{}", |_| r#""__proto__":0"#.to_owned());
    check("[]", |n| {
        let members = (0..16).map(|at| format!(r#""\u0061{}{:x}":0"#, "a".repeat(200), (at * 7 + n) % 16));
        format!("{{{}}}", members.collect::<Vec<_>>().join(","))
    });
    check("[]", |_| r#"{"b":0,"a":0}"#.to_owned());
    check("[]", |_| r#"{"":0}"#.to_owned());
    // Numbers: short ones, and such as are all but halfway between two `f64`.
    check("[]", |_| "9e9".to_owned());
    check("[]", |_| "9e0".to_owned());
    check("[]", |_| "1e20".to_owned());
    check("[]", |n| (n % 10).to_string());
    check("[]", |n| format!("{}.{}1", (1 << 53) + 2 * n + 1, "0".repeat(262)));
    check("[]", |n| format!("{}.01", (1 << 53) + 2 * n + 1));
    check("[]", |_| "1.35807730622717845950001e-290".to_owned());
    check("[]", |_| "2.47032822920623272088284396e-324".to_owned());
    check("[]", |_| format!("2.4703282292062327208{}e-324", "2".repeat(780)));
    check("[]", |_| format!("17976931348623158{}", "0".repeat(292)));
    // Strings.
    check("[]", |_| format!("\"{}\"", r"\n".repeat(1000)));
    check("[]", |_| format!("\"{}\"", r"\u0001".repeat(1000)));
    check("[]", |_| format!("\"{}\"", r"\ud800".repeat(1000)));
    check("[]", |_| r#""\n""#.to_owned());
    // Depth.
    check_nested("[", "]");
    check_nested("[[],", "]");
    check_nested(r#"{"":"#, "}");
    check_nested(r#"{"1":"#, "}");
    check_nested(r#"{"b":0,"\u0061":"#, "}");
}

#[test]
fn what_the_sender_wrote_is_not_in_debug_output() {
    let document = parsed(r#"{"secret":"4711"}"#);
    assert_eq!(format!("{document:?} {:?}", document.root()), "Document(17 bytes) Value(Object, 17 bytes)");
}

#[test]
fn a_string_is_written_with_the_escapes_of_javascript() {
    let mut out = String::from("x");
    write_string(&mut out, "\0\u{8}\t\n\u{b}\u{c}\r\u{1f} \"\\/\u{7f}é\u{2028}😀");
    assert_eq!(out, "x\"\\u0000\\b\\t\\n\\u000b\\f\\r\\u001f \\\"\\\\/\u{7f}é\u{2028}😀\"");
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(document) = Document::parse(&bytes) {
            document.root().stringify();
        }
    }

    #[test]
    fn no_text_of_the_right_letters_makes_it_panic(text in r#"[\[\]{}",:\\u0-9aefnrtlsdDcC.+\- ]{0,40}"#) {
        if let Ok(document) = Document::parse(text.as_bytes()) {
            document.root().stringify();
            document.without(&[pointer("/0"), pointer("/a")]);
        }
    }

    #[test]
    fn stringify_is_idempotent(text in json()) {
        let once = parsed(&text).root().stringify();
        prop_assert_eq!(parsed(&once).root().stringify(), once);
    }

    #[test]
    fn all_that_is_named_is_cut_and_nothing_else(text in json(), cut in prop::collection::vec(json_pointer(), 0..4)) {
        let document = parsed(&text);
        let kept = document.without(&cut);
        prop_assert_eq!(entries(&parsed(&kept), &[]), entries(&document, &cut), "{}", kept);
    }

    #[test]
    fn keys_are_sorted_and_settled_as_their_code_units_are(keys in prop::collection::vec(json_string(), 0..30)) {
        let members: Vec<String> = keys.iter().enumerate().map(|(at, key)| format!("{key}:{at}")).collect();
        let text = format!("{{{}}}", members.join(","));
        let units = |text: &str| key(&parsed(text)).units().collect::<Vec<u16>>();
        let model: BTreeMap<_, _> = keys.iter().enumerate().map(|(at, key)| (units(key), at.to_string())).collect();
        let printed = parsed(&text).root().print(Order::Sorted, usize::MAX).unwrap();
        let printed = parsed(&printed);
        let sorted = printed.root().all_members();
        let sorted: Vec<_> = sorted.map(|it| (it.key.units().collect(), it.value.source().to_owned())).collect();
        prop_assert_eq!(sorted, Vec::from_iter(model));
    }

    #[test]
    fn what_is_written_is_read_back(text in any::<String>()) {
        let mut written = String::new();
        write_string(&mut written, &text);
        let document = parsed(&written);
        prop_assert_eq!(document.root().text(), Some(Cow::Borrowed(text.as_str())));
        prop_assert_eq!(document.root().stringify(), written.as_str());
        prop_assert!(key(&document).equals(&text));
    }

    #[test]
    fn at_and_beside_the_middle_of_two_f64_numbers_are_read_as_std_reads_them(
        bits in any::<u64>(),
        zeros in 0..30_usize,
        exponent in -40..40_i64,
    ) {
        let below = f64::from_bits(bits >> 1);
        prop_assume!(below.is_finite() && below < f64::MAX);
        let middle = exact_middle(below);
        let last = middle.rfind(|char| matches!(char, '1'..='9')).unwrap();
        let lowered = char::from(middle.as_bytes()[last] - 1);
        let nines = middle[last + 1..].replace('0', "9") + &"9".repeat(zeros);
        let less = format!("{}{lowered}{nines}", &middle[..last]);
        let more = format!("{middle}{}1", "0".repeat(zeros));
        let short = middle[..middle.len().min(22 + zeros)].trim_end_matches('.');
        for literal in [&middle, &less, &more, &format!("-{middle}"), &format!("{short}e{exponent}")] {
            let expected = ryu_js::Buffer::new().format(literal.parse::<f64>().unwrap()).to_owned();
            prop_assert_eq!(parsed(literal).root().stringify(), expected, "{}", literal);
        }
    }

    #[test]
    fn long_numbers_are_read_as_std_reads_them(literal in "-?(0|[1-9][0-9]{0,400})(\\.[0-9]{1,400})?([eE][+-]?[0-9]{1,3})?") {
        let number: f64 = literal.parse().unwrap();
        let expected = if number.is_finite() { ryu_js::Buffer::new().format(number).to_owned() } else { "null".to_owned() };
        prop_assert_eq!(parsed(&literal).root().stringify(), expected);
    }

    #[test]
    fn every_f64_is_read_back_from_what_is_printed(bits in any::<u64>()) {
        let number = f64::from_bits(bits);
        prop_assume!(number.is_finite());
        let printed = parsed(&format!("{number:?}")).root().stringify();
        prop_assert_eq!(printed.parse::<f64>().unwrap(), number);
    }
}

#[track_caller]
fn check_printed(text: &str, printed: &str) {
    let shown = text.get(..100).unwrap_or(text);
    assert_eq!(parsed(text).root().stringify(), printed, "{shown}");
}

#[track_caller]
fn parsed(text: &str) -> Document<'_> {
    Document::parse(text.as_bytes()).unwrap()
}

#[track_caller]
fn pointer(text: &str) -> Pointer {
    Pointer::parse(text).unwrap()
}

#[track_caller]
fn key<'d>(document: &'d Document<'_>) -> Key<'d> {
    document.root().as_key().unwrap()
}

/// The number halfway between `below` and the next `f64`, with a point and all its digits.
fn exact_middle(below: f64) -> String {
    let above = f64::from_bits(below.to_bits() + 1);
    let [below, above] = [below, above].map(|number| format!("{number:01400.1075}"));
    let digit = |byte: u8| u16::from(byte - b'0');
    let mut sum: Vec<u16> = Vec::new();
    for (a, b) in below.bytes().zip(above.bytes()).filter(|(a, _)| *a != b'.') {
        sum.push(digit(a) + digit(b));
    }
    // Halved from the front, what is over goes on to the next digit; then each sum above 9 is carried.
    let mut over = 0;
    for digit in &mut sum {
        let all = over * 10 + *digit;
        (*digit, over) = (all / 2, all % 2);
    }
    for at in (1..sum.len()).rev() {
        sum[at - 1] += sum[at] / 10;
        sum[at] %= 10;
    }
    let digits: String = sum.iter().map(|digit| char::from(b'0' + *digit as u8)).collect();
    let (whole, fraction) = digits.split_at(digits.len() - 1075);
    let whole = whole.trim_start_matches('0');
    let text = format!("{}.{}", if whole.is_empty() { "0" } else { whole }, fraction.trim_end_matches('0'));
    text.strip_suffix('.').map_or(text.clone(), |whole| format!("{whole}.0"))
}

/// Path and source of all that a document holds, duplicates too, but for what `cut` names: a plain model of
/// [`Document::without`], for keys that need no escape in a pointer.
fn entries(document: &Document<'_>, cut: &[Pointer]) -> Vec<(String, String)> {
    fn walk(value: Value<'_>, path: String, cut: &[Pointer], found: &mut Vec<(String, String)>) {
        let is_cut = |path: &str| cut.iter().any(|pointer| pointer.as_str() == path);
        match value.kind() {
            Kind::Object => {
                for member in value.all_members() {
                    let inside = format!("{path}/{}", member.key.text().unwrap());
                    if !is_cut(&inside) {
                        walk(member.value, inside, cut, found);
                    }
                }
                found.push((path, "{}".to_owned()));
            }
            Kind::Array => {
                for (index, element) in value.elements().enumerate() {
                    let inside = format!("{path}/{index}");
                    if is_cut(&inside) {
                        found.push((inside, "null".to_owned()));
                    } else {
                        walk(element, inside, cut, found);
                    }
                }
                found.push((path, "[]".to_owned()));
            }
            _ => found.push((path, value.source().to_owned())),
        }
    }

    let mut found = Vec::new();
    walk(document.root(), String::new(), cut, &mut found);
    found
}

/// Texts with few different keys, so that duplicates and pointers meet.
fn json() -> impl Strategy<Value = String> {
    let number = prop_oneof!["-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?"];
    let leaf =
        prop_oneof![number, json_string(), prop::sample::select(vec!["null", "true", "false"]).prop_map(str::to_owned)];
    leaf.prop_recursive(5, 60, 6, |inner| {
        let name = prop::sample::select(vec![r#""a""#, r#""\u0061""#, r#""b""#, r#""0""#, r#""1""#, r#""__proto__""#]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(|elements| format!("[{}]", elements.join(" , "))),
            prop::collection::vec((name, inner), 0..20).prop_map(|members| {
                let members: Vec<String> = members.iter().map(|(name, value)| format!("{name} :{value}")).collect();
                format!("{{ {}}}", members.join(" ,"))
            }),
        ]
    })
}

fn json_string() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "a",
        "b",
        "0",
        "/",
        "~",
        " ",
        "\\n",
        "\\\"",
        "\\\\",
        "\\/",
        "\\u0061",
        "\\u0000",
        "é",
        "\\u00E9",
        "\u{d7ff}",
        "\u{e000}",
        "\u{ffff}",
        "\\uFFFF",
        "😀",
        "\\ud83d",
        "\\uDE00",
        "\u{10ffff}",
        "\u{7f}",
    ]);
    prop::collection::vec(piece, 0..12).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

fn json_pointer() -> impl Strategy<Value = Pointer> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "0", "1", "__proto__"]), 1..4)
        .prop_map(|tokens| pointer(&format!("/{}", tokens.join("/"))))
}
