//! A provider's section: the names of what its bodies hold, and what its API can be asked.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use json::Pointer;
use toml::Spanned;
use toml::de::DeTable;

use super::values::{Item, Reader, is_name};
use crate::credentials;
use crate::customer::is_kind;
use crate::lookup::{Lookup, PathPart, Place};
use crate::routes::{CustomerSource, Known, Name, RoutesError};

/// What the routes of one provider may use.
#[derive(Default)]
pub(super) struct Section {
    pub(super) provider: String,
    /// Cut from its bodies before they are stored.
    pub(super) hidden: Vec<Pointer>,
    pub(super) names: BTreeMap<String, Vec<Source>>,
    /// The names that are not made of pointers alone.
    composed: Vec<String>,
    pub(super) lookups: Vec<Lookup>,
}

impl Section {
    pub(super) fn new(provider: &str, redact: &BTreeMap<String, Vec<Pointer>>) -> Self {
        let hidden = redact.get(provider).cloned().unwrap_or_default();
        Self { provider: provider.to_owned(), hidden, ..Self::default() }
    }
}

/// One of the places that a name or a text stands for.
#[derive(Clone, Debug)]
pub(super) enum Source {
    Customer(CustomerSource),
    Lookup { lookup: String, pointer: Pointer },
}

impl Source {
    fn body(pointer: Pointer) -> Self {
        Self::Customer(CustomerSource::Body(pointer))
    }

    /// Into the body; `None` for what is looked up.
    fn pointer(&self) -> Option<Pointer> {
        match self {
            Self::Customer(source) => Some(source.pointer().clone()),
            Self::Lookup { .. } => None,
        }
    }

    /// `None` for what is looked up.
    pub(super) fn customer(self) -> Option<CustomerSource> {
        match self {
            Self::Customer(source) => Some(source),
            Self::Lookup { .. } => None,
        }
    }

    /// `None` for what tells whose the event is.
    pub(super) fn place(self) -> Option<Place> {
        match self {
            Self::Customer(CustomerSource::Body(pointer)) => Some(Place::Body(pointer)),
            Self::Lookup { lookup, pointer } => Some(Place::Lookup { lookup, pointer }),
            Self::Customer(CustomerSource::Link { .. } | CustomerSource::Api { .. }) => None,
        }
    }
}

impl<'i> Reader<'i> {
    /// Fills `section` in the order of what builds on what: names of pointers, look-ups, all other names.
    pub(super) fn section(&self, table: &DeTable<'i>, section: &mut Section) -> Result<Vec<Name>, RoutesError> {
        let named = table.get("names").map(|item| self.table(item, "names")).transpose()?;
        let named = || named.into_iter().flat_map(DeTable::iter);
        for (key, item) in named() {
            let name = self.name(key)?;
            let texts = self.one_or_more(item, &name)?;
            if texts.iter().all(|item| item.get_ref().as_str().is_some_and(|text| text.starts_with('/'))) {
                let pointers = self.pointers(item, &name)?;
                section.names.insert(name, pointers.into_iter().map(Source::body).collect());
            } else {
                section.composed.push(name);
            }
        }
        if let Some(item) = table.get("lookups") {
            self.may_have_lookups(item, section)?;
            for (key, item) in self.table(item, "lookups")?.iter() {
                let name = self.name(key)?;
                let path = self.path(item, &name, section)?;
                section.lookups.push(Lookup { provider: section.provider.clone(), name, path });
            }
        }
        // Each sees the names of pointers only, so that no name can stand for itself.
        let composed = named().filter(|(key, _)| section.composed.iter().any(|name| name == key.get_ref()));
        let composed = composed.map(|(key, item)| {
            let name = key.get_ref().to_string();
            self.sources(item, &name, section).map(|sources| (name, sources))
        });
        let composed = composed.collect::<Result<Vec<_>, _>>()?;
        section.names.extend(composed);

        let name = |(key, _): (&Spanned<Cow<'i, str>>, _)| Name {
            provider: section.provider.clone(),
            name: key.get_ref().to_string(),
            line: self.line_and_column(key.span().start).0,
            pointers: section
                .names
                .get(key.get_ref().as_ref())
                .into_iter()
                .flatten()
                .filter_map(Source::pointer)
                .collect(),
        };
        Ok(named().map(name).collect())
    }

    fn name(&self, key: &Spanned<Cow<'i, str>>) -> Result<String, RoutesError> {
        let name = key.get_ref();
        match is_name(name) {
            true => Ok(name.to_string()),
            false => Err(self.error(key.span(), format!("`{name}`: expected letters, digits, `-` and `_` only"))),
        }
    }

    fn may_have_lookups(&self, item: &Item<'i>, section: &Section) -> Result<(), RoutesError> {
        match self.known {
            Known::Only { apis, .. } if !apis.contains(&section.provider.as_str()) => {
                Err(self.error(item.span(), format!("`lookups`: {} has no API that can be asked", section.provider)))
            }
            _ => Ok(()),
        }
    }

    /// `/v1/accounts/{account}`: what stands in braces is a name.
    fn path(&self, item: &Item<'i>, key: &str, section: &Section) -> Result<Vec<PathPart>, RoutesError> {
        let text = self.string(item, key)?;
        let wrong = |problem: &str| self.error(item.span(), format!("`{key}`: {problem}"));
        if !text.starts_with('/') {
            return Err(wrong("the path of a look-up begins with a slash"));
        }
        let mut path = Vec::new();
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let (literal, more) = rest.split_at(rest.find('{').unwrap_or(rest.len()));
            let allowed = |c: char| c.is_ascii_alphanumeric() || "-._~/".contains(c);
            if let Some(c) = literal.chars().find(|c| !allowed(*c)) {
                return Err(wrong(&format!("`{c}` cannot stand in the path of a look-up")));
            }
            if !literal.is_empty() {
                path.push(PathPart::Literal(literal.to_owned()));
            }
            let Some(more) = more.strip_prefix('{') else { break };
            let Some((name, more)) = more.split_once('}') else {
                return Err(wrong("a `{` is not closed"));
            };
            let pointers = self.body_pointers(name, item.span(), &format!("`{key}`"), section)?;
            self.may_be_sent(&format!("`{key}`"), pointers.iter(), item.span(), &section.hidden)?;
            path.push(PathPart::Value(pointers));
            rest = more;
        }
        if text[1..].split('/').any(str::is_empty) {
            return Err(wrong("the path of a look-up has no empty segment"));
        }
        if text.split('/').any(|segment| segment == "." || segment == "..") {
            return Err(wrong("the path of a look-up cannot hold `.` or `..`"));
        }
        Ok(path)
    }

    /// What one text or a list of them stands for, in this order.
    pub(super) fn sources(&self, item: &Item<'i>, key: &str, section: &Section) -> Result<Vec<Source>, RoutesError> {
        let texts = self.one_or_more(item, key)?;
        let sources = texts.into_iter().map(|item| self.source(item, key, section)).collect::<Result<Vec<_>, _>>()?;
        Ok(sources.into_iter().flatten().collect())
    }

    /// A name, `/pointer`, `lookup:NAME:/pointer`, or `link:KIND:` or `KIND:` before a pointer or a name.
    fn source(&self, item: &Item<'i>, key: &str, section: &Section) -> Result<Vec<Source>, RoutesError> {
        let text = self.string(item, key)?;
        let no_source = || {
            let expected = match key {
                "customer" => "a name, \"/pointer\", \"link:KIND:/pointer\" or \"KIND:/pointer\"",
                _ => "a name, a JSON Pointer such as \"/data/user_id\", or \"lookup:NAME:/pointer\"",
            };
            self.expected(item, key, expected)
        };
        let what = format!("`{key}`");
        let (before, target) = match text.find('/') {
            Some(slash) => text.split_at(slash),
            None => {
                text.rsplit_once(':').map_or(("", text.as_str()), |(_, name)| text.split_at(text.len() - name.len()))
            }
        };
        if before.is_empty() {
            return match target.starts_with('/') {
                true => self.pointer(target, item.span(), &what).map(|pointer| vec![Source::body(pointer)]),
                false if is_name(target) => self.named(target, item.span(), &what, section).map(<[_]>::to_vec),
                false => Err(no_source()),
            };
        }
        let before = before.strip_suffix(':').ok_or_else(no_source)?;
        if let Some(lookup) = before.strip_prefix("lookup:") {
            let pointer = self.pointer(target, item.span(), &what)?;
            self.known_lookup(lookup, item.span(), &what, section)?;
            return Ok(vec![Source::Lookup { lookup: lookup.to_owned(), pointer }]);
        }
        let (is_link, kind) = before.strip_prefix("link:").map_or((false, before), |kind| (true, kind));
        if kind == "link" || kind == "lookup" || !is_kind(kind) || !(target.starts_with('/') || is_name(target)) {
            return Err(no_source());
        }
        if let Known::Only { kinds, .. } = self.known
            && !is_link
            && !kinds.contains(&kind)
        {
            let problem = format!("{what}: no API answers `{kind}:`; expected one of {}", kinds.join(", "));
            return Err(self.error(item.span(), problem).suggesting(kind, kinds.iter().copied()));
        }
        let source = |pointer: Pointer| match is_link {
            true => Source::Customer(CustomerSource::Link { kind: kind.to_owned(), pointer }),
            false => Source::Customer(CustomerSource::Api { kind: kind.to_owned(), pointer }),
        };
        let pointers = self.body_pointers(target, item.span(), &what, section)?;
        Ok(pointers.into_iter().map(source).collect())
    }

    /// Where in the body a pointer or a name leads; nothing else can be used before anything is looked up.
    pub(super) fn body_pointers(
        &self,
        text: &str,
        span: Range<usize>,
        what: &str,
        section: &Section,
    ) -> Result<Vec<Pointer>, RoutesError> {
        if text.starts_with('/') {
            return Ok(vec![self.pointer(text, span, what)?]);
        }
        let sources = self.named(text, span.clone(), what, section)?.iter();
        let pointer = |source: &Source| match source {
            Source::Customer(CustomerSource::Body(pointer)) => Some(pointer.clone()),
            _ => None,
        };
        let pointers: Option<Vec<_>> = sources.map(pointer).collect();
        pointers.ok_or_else(|| {
            self.error(
                span,
                format!("{what}: `{text}` must be made of pointers only: a look-up or a customer cannot be used here"),
            )
        })
    }

    pub(super) fn named<'s>(
        &self,
        name: &str,
        span: Range<usize>,
        what: &str,
        section: &'s Section,
    ) -> Result<&'s [Source], RoutesError> {
        section.names.get(name).map(Vec::as_slice).ok_or_else(|| {
            if section.composed.iter().any(|composed| composed == name) {
                let problem = format!("{what}: `{name}` is not made of pointers alone, so nothing can be made of it");
                return self.error(span, problem);
            }
            let error = self.error(span, format!("{what}: no name `{name}` in [{}.names]", section.provider));
            error.suggesting(name, section.names.keys().chain(&section.composed).map(String::as_str))
        })
    }

    fn known_lookup(&self, name: &str, span: Range<usize>, what: &str, section: &Section) -> Result<(), RoutesError> {
        if section.lookups.iter().any(|lookup| lookup.name == name) {
            return Ok(());
        }
        let error = self.error(span, format!("{what}: no look-up `{name}` in [{}.lookups]", section.provider));
        Err(error.suggesting(name, section.lookups.iter().map(|lookup| lookup.name.as_str())))
    }

    /// A value that is sent must not be a credential, and must still exist after redaction.
    pub(super) fn may_be_sent<'p>(
        &self,
        what: &str,
        mut pointers: impl Iterator<Item = &'p Pointer> + Clone,
        span: Range<usize>,
        hidden: &[Pointer],
    ) -> Result<(), RoutesError> {
        if let Some(pointer) = pointers.clone().find(|pointer| credentials::is_on_the_way_of(pointer)) {
            let problem = format!("{what}: `{pointer}` looks like a credential; it must not be sent");
            return Err(self.error(span, problem));
        }
        let within = |pointer: &Pointer| hidden.iter().find(|cut| is_within(pointer, cut));
        if let Some(cut) = pointers.find_map(within) {
            return Err(self.error(span, format!("{what} is inside `{cut}`, which [redact] removes")));
        }
        Ok(())
    }
}

/// True when `pointer` names what `cut` names, or something inside it.
fn is_within(pointer: &Pointer, cut: &Pointer) -> bool {
    pointer.as_str().strip_prefix(cut.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
