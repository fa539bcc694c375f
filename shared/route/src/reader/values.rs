//! The values that all parts of the file are made of, and what is said of one that is wrong.

use std::ops::Range;

use json::Pointer;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::routes::{Known, RoutesError};

pub(super) type Item<'i> = Spanned<DeValue<'i>>;

/// Walks the parsed file.
pub(super) struct Reader<'i> {
    pub(super) file: &'i str,
    pub(super) text: &'i str,
    pub(super) known: Known<'i>,
}

/// What may name a route, a look-up or a place: it needs no quotes in the file.
pub(super) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

impl<'i> Reader<'i> {
    pub(super) fn required_item<'t>(
        &self,
        table: &'t DeTable<'i>,
        key: &str,
        span: &Range<usize>,
    ) -> Result<&'t Item<'i>, RoutesError> {
        table.get(key).ok_or_else(|| self.error(span.clone(), format!("`{key}` is missing from this route")))
    }

    /// A string that is not empty.
    pub(super) fn required(&self, table: &DeTable<'i>, key: &str, span: &Range<usize>) -> Result<String, RoutesError> {
        self.string(self.required_item(table, key, span)?, key)
    }

    /// One pointer or a list of them.
    pub(super) fn pointers(&self, item: &Item<'i>, key: &str) -> Result<Vec<Pointer>, RoutesError> {
        let pointer = |item: &Item<'i>| {
            let text = self.string(item, key)?;
            Pointer::parse(&text).map_err(|_| self.expected(item, key, "a JSON Pointer such as \"/data/user_id\""))
        };
        self.one_or_more(item, key)?.into_iter().map(pointer).collect()
    }

    pub(super) fn pointer(&self, text: &str, span: Range<usize>, what: &str) -> Result<Pointer, RoutesError> {
        Pointer::parse(text).map_err(|error| self.error(span, format!("{what}: {error}")))
    }

    pub(super) fn known_provider(&self, name: &str, item: &Item<'i>) -> Result<(), RoutesError> {
        match self.known {
            Known::Only { providers, .. } if !providers.contains(&name) => {
                let problem = format!("unknown provider `{name}`; expected one of {}", providers.join(", "));
                Err(self.error(item.span(), problem).suggesting(name, providers.iter().copied()))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn known_keys(&self, table: &DeTable<'i>, known: &[&str]) -> Result<(), RoutesError> {
        match table.keys().find(|key| !known.contains(&key.get_ref().as_ref())) {
            None => Ok(()),
            Some(key) => {
                let name = key.get_ref();
                let problem = format!("unknown key `{name}`; expected one of {}", known.join(", "));
                Err(self.error(key.span(), problem).suggesting(name, known.iter().copied()))
            }
        }
    }

    pub(super) fn table<'t>(&self, item: &'t Item<'i>, key: &str) -> Result<&'t DeTable<'i>, RoutesError> {
        item.get_ref().as_table().ok_or_else(|| self.expected(item, key, "a table"))
    }

    pub(super) fn one_or_more<'t>(&self, item: &'t Item<'i>, key: &str) -> Result<Vec<&'t Item<'i>>, RoutesError> {
        match item.get_ref() {
            DeValue::String(_) => Ok(vec![item]),
            _ => self.list(item, key),
        }
    }

    /// A list that is not empty.
    pub(super) fn list<'t>(&self, item: &'t Item<'i>, key: &str) -> Result<Vec<&'t Item<'i>>, RoutesError> {
        let list: Vec<_> = item.get_ref().as_array().map(|array| array.iter().collect()).unwrap_or_default();
        if list.is_empty() { Err(self.expected(item, key, "a non-empty list")) } else { Ok(list) }
    }

    /// A string that is not empty.
    pub(super) fn string(&self, item: &Item<'i>, key: &str) -> Result<String, RoutesError> {
        let text = item.get_ref().as_str().filter(|text| !text.is_empty());
        text.map(str::to_owned).ok_or_else(|| self.expected(item, key, "a non-empty string"))
    }

    pub(super) fn expected(&self, item: &Item<'i>, key: &str, expected: &str) -> RoutesError {
        self.error(item.span(), format!("`{key}`: expected {expected}"))
    }

    pub(super) fn error(&self, span: Range<usize>, problem: String) -> RoutesError {
        let (line, column) = self.line_and_column(span.start);
        RoutesError { file: self.file.to_owned(), line, column, problem, suggestion: None }
    }

    pub(super) fn line_and_column(&self, at: usize) -> (usize, usize) {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}

impl RoutesError {
    /// With the one of `names` that was probably meant, if one is near.
    pub(super) fn suggesting<'n>(mut self, written: &str, names: impl Iterator<Item = &'n str>) -> Self {
        let distance = |name: &str| strsim::osa_distance(written, name);
        let nearest = names.min_by_key(|name| distance(name));
        self.suggestion =
            nearest.filter(|name| distance(name) <= 1 + name.len() / 4).map(|name| format!("did you mean `{name}`?"));
        self
    }
}
