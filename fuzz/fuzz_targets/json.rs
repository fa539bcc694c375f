//! The reader and the printer of JSON, against each other and against `serde_json`.

#![no_main]

use json::{Document, Order, Pointer};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use serde_json::error::Category;

const ORDERS: [Order; 3] = [Order::Received, Order::SortedAndAssigned, Order::Sorted];

fuzz_target!(|text: &[u8]| {
    let reference = serde_json::from_slice::<Value>(text);
    let Ok(document) = Document::parse(text) else {
        assert!(reference.is_err(), "serde_json reads it");
        return;
    };
    let printed = ORDERS.map(|order| document.root().print(order, usize::MAX).expect("there is room"));
    match &reference {
        Ok(reference) => assert!(alike(&value(&printed[0]), reference), "{} is not {reference}", printed[0]),
        // It refuses deep ones, numbers out of range and lone surrogates, which JavaScript reads.
        Err(error) => assert_eq!(error.classify(), Category::Syntax, "{error}"),
    }
    for (order, text) in ORDERS.into_iter().zip(&printed) {
        let again = Document::of(text.as_str()).expect("what is printed is read");
        assert_eq!(again.root().print(order, text.len()).as_ref(), Some(text), "{order:?}");
        assert_eq!(again.root().print(order, text.len() - 1), None, "{order:?}");
    }
    for (one, other) in [(0, 1), (1, 2)] {
        let foretold = document.root().prints_alike(ORDERS[one], ORDERS[other]);
        assert!(!foretold || printed[one] == printed[other], "{} {}", printed[one], printed[other]);
    }
    let cut = ["/a", "/a/b", "/0", "/data/onboarding"].map(|text| Pointer::parse(text).expect("it is one"));
    let kept = document.without(&cut);
    let kept = Document::parse(kept.as_bytes()).expect("what is left is read");
    assert!(kept.root().at(&cut[0]).is_none_or(|element| element.source() == "null"));
});

fn value(text: &str) -> Value {
    serde_json::from_str(text).expect("serde_json reads what is printed of what it reads")
}

/// Numbers count as `f64`, and an own `__proto__` as any other key.
fn alike(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| alike(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(key, value)| other.get(key).is_some_and(|other| alike(value, other)))
        }
        _ => one == other,
    }
}
