//! The fields of a secret, read so that every problem is named by its field and no value is shown.

use std::cell::RefCell;
use std::collections::HashMap;

use reqwest::Url;
use reqwest::header::HeaderValue;
use serde_json::{Map, Value};

use crate::outside::http::{SAFE_URL, is_safe_url};

/// What is wrong with a field of a secret.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{field}: {expected} expected")]
pub struct Problem {
    /// Where, as a path of field names: `workflows.kyc.webhook_url`.
    pub field: String,
    pub expected: &'static str,
}

/// The start of every value that the template gives a new secret (`template.yaml`).
pub const PLACEHOLDER: &str = "REPLACE-ME";

/// What is expected in place of a [`PLACEHOLDER`].
const REAL_VALUE: &str = "the real value in place of REPLACE-ME";

impl Problem {
    /// Whether the field still holds what the template gave it.
    pub fn is_placeholder(&self) -> bool {
        self.expected == REAL_VALUE
    }
}

/// One object of a secret.
pub(crate) struct Fields<'s> {
    /// Stands before the names of the fields: `workflows.kyc.`.
    path: String,
    values: &'s Map<String, Value>,
    problems: &'s RefCell<Vec<Problem>>,
}

/// Reads a secret's text with `read`, which takes what it can. Returns all problems, too.
pub(crate) fn read<T>(secret: &str, read: impl FnOnce(&Fields<'_>) -> T) -> (T, Vec<Problem>) {
    let problems = RefCell::default();
    let empty = Map::new();
    let secret = without_byte_order_mark(secret);
    let parsed: Option<Map<String, Value>> = serde_json::from_str(secret).ok();
    let fields = Fields { path: String::new(), values: parsed.as_ref().unwrap_or(&empty), problems: &problems };
    let value = read(&fields);
    let problem = |expected| vec![Problem { field: "the secret".to_owned(), expected }];
    let problems = match &parsed {
        Some(_) => problems.take(),
        None if secret.trim_start_matches('"').starts_with(PLACEHOLDER) => problem(REAL_VALUE),
        None => problem("a JSON object"),
    };
    (value, problems)
}

/// A secret's text as it was meant: `put-secret-value` with a file keeps the mark that editors of Windows begin it with.
pub fn without_byte_order_mark(secret: &str) -> &str {
    secret.trim_start_matches('\u{feff}')
}

impl<'s> Fields<'s> {
    /// The fields of the object under `field`.
    pub(crate) fn object(&self, field: &str, expected: &'static str) -> Option<Self> {
        match self.value(field) {
            Some(Value::Object(values)) => {
                let path = format!("{}.", self.path_of(field));
                Some(Self { path, values, problems: self.problems })
            }
            _ => self.problem(field, expected),
        }
    }

    /// The entries of the object under `field`, each read with `read`, by name; `None` of those that cannot be read.
    pub(crate) fn entries<T>(
        &self,
        field: &str,
        expected: &'static str,
        read: impl Fn(&Self) -> Option<T>,
    ) -> HashMap<String, Option<T>> {
        let entries = self.object(field, expected);
        let entries = entries.iter().flat_map(|all| all.names().map(move |name| (name, all.object(name, "an object"))));
        entries.map(|(name, fields)| (name.to_owned(), fields.and_then(|fields| read(&fields)))).collect()
    }

    /// All names, in the order of the secret.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'s str> + use<'s> {
        self.values.keys().map(String::as_str)
    }

    pub(crate) fn is_given(&self, field: &str) -> bool {
        self.value(field).is_some()
    }

    /// Text that is neither empty nor the placeholder that the secret was made with.
    pub(crate) fn text(&self, field: &str, expected: &'static str) -> Option<&'s str> {
        match self.value(field).and_then(Value::as_str).filter(|text| !text.is_empty()) {
            Some(text) if text.starts_with(PLACEHOLDER) => self.problem(field, REAL_VALUE),
            Some(text) => Some(text),
            None => self.problem(field, expected),
        }
    }

    pub(crate) fn url(&self, field: &str) -> Option<Url> {
        let text = self.text(field, SAFE_URL)?;
        let url = Url::parse(text).ok().filter(is_safe_url);
        if url.is_some() { url } else { self.problem(field, SAFE_URL) }
    }

    /// A header's value, marked sensitive.
    pub(crate) fn header_value(&self, field: &str) -> Option<HeaderValue> {
        let expected = "a non-empty string that a header can hold";
        match HeaderValue::from_str(self.text(field, expected)?) {
            Ok(mut value) => {
                value.set_sensitive(true);
                Some(value)
            }
            Err(_) => self.problem(field, expected),
        }
    }

    /// What stands beside the given text in `accepted`; the first one's if the field is absent.
    pub(crate) fn one_of<T: Copy>(&self, field: &str, accepted: [(&str, T); 2], expected: &'static str) -> Option<T> {
        let Some(value) = self.value(field) else {
            return Some(accepted[0].1);
        };
        let found = accepted.into_iter().find(|(text, _)| value == text).map(|(_, meaning)| meaning);
        if found.is_some() { found } else { self.problem(field, expected) }
    }

    /// Notes a problem, and gives no value.
    pub(crate) fn problem<T>(&self, field: &str, expected: &'static str) -> Option<T> {
        self.problems.borrow_mut().push(Problem { field: self.path_of(field), expected });
        None
    }

    /// Any but `null`.
    pub(crate) fn value(&self, field: &str) -> Option<&'s Value> {
        self.values.get(field).filter(|value| !value.is_null())
    }

    fn path_of(&self, field: &str) -> String {
        format!("{}{}", self.path, printable_name(field))
    }
}

/// The name of a field, unless a key seems to stand in its place.
pub fn printable_name(name: &str) -> &str {
    // Names are words: one without any sign between them is shorter than a key.
    let is_one_word = name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let looks_like_a_key = name.starts_with("whsec_") || name.len() > 64 || (name.len() >= 24 && is_one_word);
    if looks_like_a_key { "(a name that looks like a key)" } else { name }
}
