use json::Document;
use proptest::prelude::*;
use shared::receive::signing_keys::{KeySet, KeyVersion};
use shared::receive::verification::signature_bytes;

use super::*;

#[test]
fn every_vector_of_node_is_spelled_and_signed_the_same() {
    for vector in vectors() {
        let field = |name: &str| vector[name].as_str().unwrap();
        let name = field("name");
        let secret = serde_json::json!({ "keys": { "current": field("key") } }).to_string();
        let keys = KeySet::parse(&secret).unwrap();
        let body = from_hex(field("raw_hex"));
        let document = Document::parse(&body).unwrap();
        for (spelling, printed) in [("rebuilt", rebuilt(document.root())), ("built", built(document.root()))] {
            assert_eq!(printed, field(spelling), "{spelling} {name}");
            let signature = signature_bytes(field(&format!("hmac_{spelling}"))).unwrap();
            let matching = keys.matching(field("timestamp"), printed.as_bytes(), &signature);
            assert_eq!(matching, Some(KeyVersion::Current), "{spelling} {name}");
        }
    }
}

#[test]
fn the_spellings_differ_for_integer_like_keys_and_proto_alone() {
    #[track_caller]
    fn check(text: &str, as_rebuilt: &str, as_built: &str) {
        let document = Document::parse(text.as_bytes()).unwrap();
        assert_eq!(rebuilt(document.root()), as_rebuilt, "rebuilt {text}");
        assert_eq!(built(document.root()), as_built, "built {text}");
    }

    for (text, spelled) in [
        (" [ 3 , 1 , 2 , \"\" , null ] ", r#"[3,1,2,"",null]"#),
        (r#"{"b":{"d":1,"c":[{"f":2,"e":3}]},"a":{}}"#, r#"{"a":{},"b":{"c":[{"e":3,"f":2}],"d":1}}"#),
        (r#"{"b":1,"a":2,"b":3}"#, r#"{"a":2,"b":3}"#),
        (r#"{"ﬁ":1,"😀":2,"\ud83d":3}"#, r#"{"\ud83d":3,"😀":2,"ﬁ":1}"#),
        (r#"{"__proto":1,"_":2,"constructor":3}"#, r#"{"_":2,"__proto":1,"constructor":3}"#),
        (r#"{"01":1,"-1":2,"1.5":3,"4294967295":4}"#, r#"{"-1":2,"01":1,"1.5":3,"4294967295":4}"#),
        ("1000.00", "1000"),
    ] {
        check(text, spelled, spelled);
    }
    check(
        r#"{"b":1,"10":2,"9":3,"1":4,"01":5,"4294967294":6}"#,
        r#"{"1":4,"9":3,"10":2,"4294967294":6,"01":5,"b":1}"#,
        r#"{"01":5,"1":4,"10":2,"4294967294":6,"9":3,"b":1}"#,
    );
    check(r#"{"a":{"__proto__":{"x":1}}}"#, r#"{"a":{}}"#, r#"{"a":{"__proto__":{"x":1}}}"#);
    check(r#"{"a":1,"__proto__":null}"#, r#"{"a":1}"#, r#"{"__proto__":null,"a":1}"#);
    check(r#"{"\u005f_proto__":[],"a":1}"#, r#"{"a":1}"#, r#"{"__proto__":[],"a":1}"#);
}

#[test]
fn depth_costs_no_stack() {
    let depth = 170_000;
    let text = format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
    let document = Document::parse(text.as_bytes()).unwrap();
    assert_eq!(rebuilt(document.root()), text);
    assert_eq!(built(document.root()), text);
}

proptest! {
    #[test]
    fn neither_spelling_depends_on_the_order_received(
        members in prop::collection::btree_map("[a-c0-9_é😀ﬁ]{0,3}", 0..100_u8, 0..30),
        draws in prop::collection::vec(any::<u32>(), 30),
    ) {
        let text = |members: Vec<(&String, &u8)>| {
            let members: Vec<String> = members.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
            format!("{{{}}}", members.join(","))
        };
        let mut shuffled: Vec<_> = members.iter().zip(draws).collect();
        shuffled.sort_by_key(|(_, draw)| *draw);
        let ordered = text(members.iter().collect());
        let shuffled = text(shuffled.into_iter().map(|(member, _)| member).collect());

        let (ordered, shuffled) = (
            Document::parse(ordered.as_bytes()).unwrap(),
            Document::parse(shuffled.as_bytes()).unwrap(),
        );
        prop_assert_eq!(rebuilt(ordered.root()), rebuilt(shuffled.root()));
        prop_assert_eq!(built(ordered.root()), built(shuffled.root()));
    }
}

fn vectors() -> Vec<serde_json::Value> {
    let vectors: Vec<serde_json::Value> =
        serde_json::from_str(include_str!("../../../../tests/vectors/rillis_node.json")).unwrap();
    assert!(!vectors.is_empty(), "no vectors, so nothing was tested");
    vectors
}

fn from_hex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2) && !text.is_empty());
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}
