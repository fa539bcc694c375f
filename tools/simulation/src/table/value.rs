//! DynamoDB's values as its JSON has them: `{"S": "text"}`, `{"N": "1"}`.

use std::cmp::Ordering;

use serde_json::{Map, Value, json};

/// What is wrong with a request: DynamoDB answers `ValidationException`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Invalid(pub String);

/// An item by its attributes.
pub type Item = Map<String, Value>;

/// Whether two values are the same; numbers by what they mean, objects and sets in any order.
pub fn equal(left: &Value, right: &Value) -> bool {
    match (number(left), number(right)) {
        (Some(left), Some(right)) => return left == right,
        (None, None) => {}
        _ => return false,
    }
    match (left.get("M").and_then(Value::as_object), right.get("M").and_then(Value::as_object)) {
        (Some(left), Some(right)) => {
            return left.len() == right.len()
                && left.iter().all(|(name, value)| right.get(name).is_some_and(|other| equal(value, other)));
        }
        (None, None) => {}
        _ => return false,
    }
    match (left.get("L").and_then(Value::as_array), right.get("L").and_then(Value::as_array)) {
        (Some(left), Some(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(one, other)| equal(one, other))
        }
        _ => left == right,
    }
}

/// The order of two strings, numbers or binaries; `None` for anything else.
pub fn compare(left: &Value, right: &Value) -> Option<Ordering> {
    if let (Some(left), Some(right)) = (number(left), number(right)) {
        return Some(left.cmp(&right));
    }
    let both = |name: &str| Some((left.get(name)?.as_str()?, right.get(name)?.as_str()?));
    both("S").or_else(|| both("B")).map(|(left, right)| left.cmp(right))
}

/// `left + sign * right`.
///
/// # Errors
/// One of them is no number.
pub fn add(left: &Value, right: &Value, sign: i128) -> Result<Value, Invalid> {
    match (number(left), number(right)) {
        (Some(left), Some(right)) => Ok(json!({ "N": (left + sign * right).to_string() })),
        _ => Err(Invalid("an operand is no number".to_owned())),
    }
}

/// An integer: the bridge writes no other numbers.
pub fn number(value: &Value) -> Option<i128> {
    value.get("N")?.as_str()?.parse().ok()
}

/// What `size()` gives.
pub fn size_of(value: &Value) -> Option<usize> {
    let (kind, inner) = value.as_object()?.iter().next()?;
    match (kind.as_str(), inner) {
        ("S", Value::String(text)) => Some(text.len()),
        ("B", Value::String(base64)) => Some(bytes_of(base64)),
        ("L", Value::Array(list)) => Some(list.len()),
        ("M", Value::Object(members)) => Some(members.len()),
        _ => None,
    }
}

/// About as many bytes as DynamoDB counts for an item.
pub fn stored_bytes(item: &Item) -> usize {
    item.iter().map(|(name, value)| name.len() + bytes(value)).sum()
}

fn bytes(value: &Value) -> usize {
    match value.as_object().and_then(|object| object.iter().next()) {
        Some((kind, Value::String(text))) => match kind.as_str() {
            "B" => bytes_of(text),
            "N" => text.len() / 2 + 2,
            _ => text.len(),
        },
        Some((_, Value::Array(list))) => 3 + list.iter().map(|value| 1 + bytes(value)).sum::<usize>(),
        Some((_, Value::Object(members))) => {
            3 + members.iter().map(|(name, value)| 1 + name.len() + bytes(value)).sum::<usize>()
        }
        _ => 1,
    }
}

fn bytes_of(base64: &str) -> usize {
    base64.trim_end_matches('=').len() * 3 / 4
}
