//! DynamoDB's expressions: conditions, filters, updates and projections, read from their text and carried out on an item.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::table::value::{Invalid, Item, add, compare, equal, size_of};

/// `#name` and `:value`, and which of them an expression has used.
pub struct Placeholders<'r> {
    names: Option<&'r Value>,
    values: Option<&'r Value>,
    used: BTreeSet<&'r str>,
}

/// Where an attribute is: a name, and what follows within it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Path<'r>(Vec<Step<'r>>);

#[derive(Clone, Debug, Eq, PartialEq)]
enum Step<'r> {
    Name(&'r str),
    Index(usize),
}

#[derive(Clone, Debug)]
pub enum Condition<'r> {
    And(Box<Condition<'r>>, Box<Condition<'r>>),
    Or(Box<Condition<'r>>, Box<Condition<'r>>),
    Not(Box<Condition<'r>>),
    Compare(Operand<'r>, Comparison, Operand<'r>),
    Between(Operand<'r>, Operand<'r>, Operand<'r>),
    In(Operand<'r>, Vec<Operand<'r>>),
    Exists(Path<'r>),
    NotExists(Path<'r>),
    HasType(Path<'r>, Operand<'r>),
    BeginsWith(Operand<'r>, Operand<'r>),
    Contains(Operand<'r>, Operand<'r>),
}

#[derive(Clone, Copy, Debug)]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Debug)]
pub enum Operand<'r> {
    Path(Path<'r>),
    Value(&'r Value),
    Size(Path<'r>),
}

/// One clause of an update.
#[derive(Clone, Debug)]
pub enum Action<'r> {
    Set(Path<'r>, Expression<'r>),
    Remove(Path<'r>),
    Add(Path<'r>, &'r Value),
}

#[derive(Clone, Debug)]
pub enum Expression<'r> {
    Operand(Operand<'r>),
    IfNotExists(Path<'r>, Box<Expression<'r>>),
    ListAppend(Box<Expression<'r>>, Box<Expression<'r>>),
    Plus(Box<Expression<'r>>, Box<Expression<'r>>),
    Minus(Box<Expression<'r>>, Box<Expression<'r>>),
}

impl<'r> Placeholders<'r> {
    pub fn of(request: &'r Value) -> Self {
        Self {
            names: request.get("ExpressionAttributeNames"),
            values: request.get("ExpressionAttributeValues"),
            used: BTreeSet::new(),
        }
    }

    fn name(&mut self, word: &'r str) -> Result<&'r str, Invalid> {
        if !word.starts_with('#') {
            return Ok(word);
        }
        self.used.insert(word);
        let name = self.names.and_then(|names| names.get(word)).and_then(Value::as_str);
        name.ok_or_else(|| Invalid(format!("name {word} is not defined")))
    }

    fn value(&mut self, word: &'r str) -> Result<&'r Value, Invalid> {
        self.used.insert(word);
        let value = self.values.and_then(|values| values.get(word));
        value.ok_or_else(|| Invalid(format!("value {word} is not defined")))
    }

    /// DynamoDB refuses a request that defines more than its expressions use.
    pub fn all_used(&self) -> Result<(), Invalid> {
        let defined = [self.names, self.values].into_iter().flatten().filter_map(Value::as_object);
        match defined.flat_map(|words| words.keys()).find(|word| !self.used.contains(word.as_str())) {
            Some(word) => Err(Invalid(format!("{word} is not used"))),
            None => Ok(()),
        }
    }
}

/// Words, signs and placeholders of an expression, and how far it was read.
struct Reader<'e> {
    words: Vec<&'e str>,
    at: usize,
}

impl<'e> Reader<'e> {
    fn of(text: &'e str) -> Self {
        let mut words = Vec::new();
        let bytes = text.as_bytes();
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'#' | b':' | b'-');
        let mut at = 0;
        while at < bytes.len() {
            let from = at;
            if bytes[at].is_ascii_whitespace() {
                at += 1;
                continue;
            }
            // A minus is part of no name of ours, but stands between two terms.
            if is_word(bytes[at]) && bytes[at] != b'-' {
                while at < bytes.len() && is_word(bytes[at]) && bytes[at] != b'-' {
                    at += 1;
                }
            } else if text[at..].starts_with("<=") || text[at..].starts_with(">=") || text[at..].starts_with("<>") {
                at += 2;
            } else {
                at += 1;
            }
            words.push(&text[from..at]);
        }
        Self { words, at: 0 }
    }

    fn peek(&self) -> &'e str {
        self.words.get(self.at).copied().unwrap_or_default()
    }

    fn next(&mut self) -> &'e str {
        let word = self.peek();
        self.at += 1;
        word
    }

    fn is(&self, keyword: &str) -> bool {
        self.peek().eq_ignore_ascii_case(keyword)
    }

    fn take(&mut self, keyword: &str) -> bool {
        let is = self.is(keyword);
        self.at += usize::from(is);
        is
    }

    fn expect(&mut self, sign: &str) -> Result<(), Invalid> {
        if self.take(sign) { Ok(()) } else { Err(Invalid(format!("`{sign}` expected, `{}` found", self.peek()))) }
    }

    fn is_at_end(&self) -> bool {
        self.at >= self.words.len()
    }

    fn is_call(&self) -> bool {
        self.words.get(self.at + 1) == Some(&"(")
    }

    fn path(&mut self, placeholders: &mut Placeholders<'e>) -> Result<Path<'e>, Invalid> {
        let mut steps = vec![Step::Name(self.name(placeholders)?)];
        loop {
            if self.take(".") {
                steps.push(Step::Name(self.name(placeholders)?));
            } else if self.take("[") {
                let index = self.next().parse().map_err(|_| Invalid("an index is a number".to_owned()))?;
                steps.push(Step::Index(index));
                self.expect("]")?;
            } else {
                return Ok(Path(steps));
            }
        }
    }

    fn name(&mut self, placeholders: &mut Placeholders<'e>) -> Result<&'e str, Invalid> {
        let word = self.next();
        if !word.starts_with(|first: char| first.is_ascii_alphabetic() || first == '#' || first == '_') {
            return Err(Invalid(format!("a name expected, `{word}` found")));
        }
        placeholders.name(word)
    }

    fn operand(&mut self, placeholders: &mut Placeholders<'e>) -> Result<Operand<'e>, Invalid> {
        if self.peek().starts_with(':') {
            return Ok(Operand::Value(placeholders.value(self.next())?));
        }
        if self.is("size") && self.is_call() {
            self.at += 2;
            let path = self.path(placeholders)?;
            self.expect(")")?;
            return Ok(Operand::Size(path));
        }
        Ok(Operand::Path(self.path(placeholders)?))
    }

    fn or(&mut self, placeholders: &mut Placeholders<'e>) -> Result<Condition<'e>, Invalid> {
        let mut left = self.and(placeholders)?;
        while self.take("OR") {
            left = Condition::Or(left.into(), self.and(placeholders)?.into());
        }
        Ok(left)
    }

    fn and(&mut self, placeholders: &mut Placeholders<'e>) -> Result<Condition<'e>, Invalid> {
        let mut left = self.not(placeholders)?;
        while self.take("AND") {
            left = Condition::And(left.into(), self.not(placeholders)?.into());
        }
        Ok(left)
    }

    fn not(&mut self, placeholders: &mut Placeholders<'e>) -> Result<Condition<'e>, Invalid> {
        if self.take("NOT") {
            return Ok(Condition::Not(self.not(placeholders)?.into()));
        }
        if self.take("(") {
            let condition = self.or(placeholders)?;
            self.expect(")")?;
            return Ok(condition);
        }
        if self.is_call() && !self.is("size") {
            return self.function(placeholders);
        }
        let left = self.operand(placeholders)?;
        if self.take("BETWEEN") {
            let low = self.operand(placeholders)?;
            self.expect("AND")?;
            return Ok(Condition::Between(left, low, self.operand(placeholders)?));
        }
        if self.take("IN") {
            self.expect("(")?;
            let mut among = vec![self.operand(placeholders)?];
            while self.take(",") {
                among.push(self.operand(placeholders)?);
            }
            self.expect(")")?;
            return Ok(Condition::In(left, among));
        }
        let comparison = match self.next() {
            "=" => Comparison::Equal,
            "<>" => Comparison::NotEqual,
            "<" => Comparison::Less,
            "<=" => Comparison::LessOrEqual,
            ">" => Comparison::Greater,
            ">=" => Comparison::GreaterOrEqual,
            other => return Err(Invalid(format!("a comparison expected, `{other}` found"))),
        };
        Ok(Condition::Compare(left, comparison, self.operand(placeholders)?))
    }

    fn function(&mut self, placeholders: &mut Placeholders<'e>) -> Result<Condition<'e>, Invalid> {
        let name = self.next();
        self.expect("(")?;
        let condition = match name {
            "attribute_exists" => Condition::Exists(self.path(placeholders)?),
            "attribute_not_exists" => Condition::NotExists(self.path(placeholders)?),
            "attribute_type" | "begins_with" | "contains" => {
                let first = self.operand(placeholders)?;
                self.expect(",")?;
                let second = self.operand(placeholders)?;
                match (name, first) {
                    ("attribute_type", Operand::Path(path)) => Condition::HasType(path, second),
                    ("begins_with", first) => Condition::BeginsWith(first, second),
                    ("contains", first) => Condition::Contains(first, second),
                    _ => return Err(Invalid("attribute_type needs a path".to_owned())),
                }
            }
            other => return Err(Invalid(format!("unknown function `{other}`"))),
        };
        self.expect(")")?;
        Ok(condition)
    }

    fn sum(&mut self, placeholders: &mut Placeholders<'e>) -> Result<Expression<'e>, Invalid> {
        let left = self.term(placeholders)?;
        if self.take("+") {
            return Ok(Expression::Plus(left.into(), self.term(placeholders)?.into()));
        }
        if self.take("-") {
            return Ok(Expression::Minus(left.into(), self.term(placeholders)?.into()));
        }
        Ok(left)
    }

    fn term(&mut self, placeholders: &mut Placeholders<'e>) -> Result<Expression<'e>, Invalid> {
        if self.is_call() && !self.is("size") {
            let name = self.next();
            self.expect("(")?;
            let expression = match name {
                "if_not_exists" => {
                    let path = self.path(placeholders)?;
                    self.expect(",")?;
                    Expression::IfNotExists(path, self.term(placeholders)?.into())
                }
                "list_append" => {
                    let first = self.term(placeholders)?;
                    self.expect(",")?;
                    Expression::ListAppend(first.into(), self.term(placeholders)?.into())
                }
                other => return Err(Invalid(format!("unknown function `{other}`"))),
            };
            self.expect(")")?;
            return Ok(expression);
        }
        Ok(Expression::Operand(self.operand(placeholders)?))
    }
}

impl<'r> Condition<'r> {
    /// # Errors
    /// It is no condition, or names something that is not defined.
    pub fn read(text: &'r str, placeholders: &mut Placeholders<'r>) -> Result<Self, Invalid> {
        let mut reader = Reader::of(text);
        let condition = reader.or(placeholders)?;
        if reader.is_at_end() { Ok(condition) } else { Err(Invalid(format!("unexpected `{}`", reader.peek()))) }
    }

    pub fn holds(&self, item: &Item) -> bool {
        match self {
            Self::And(left, right) => left.holds(item) && right.holds(item),
            Self::Or(left, right) => left.holds(item) || right.holds(item),
            Self::Not(condition) => !condition.holds(item),
            Self::Compare(left, comparison, right) => match (left.value(item), right.value(item)) {
                (Some(left), Some(right)) => comparison.holds(&left, &right),
                // What is absent differs from everything.
                _ => matches!(comparison, Comparison::NotEqual),
            },
            Self::Between(operand, low, high) => {
                let [Some(value), Some(low), Some(high)] = [operand, low, high].map(|operand| operand.value(item))
                else {
                    return false;
                };
                Comparison::GreaterOrEqual.holds(&value, &low) && Comparison::LessOrEqual.holds(&value, &high)
            }
            Self::In(operand, among) => operand.value(item).is_some_and(|value| {
                among.iter().any(|other| other.value(item).is_some_and(|other| equal(&value, &other)))
            }),
            Self::Exists(path) => path.get(item).is_some(),
            Self::NotExists(path) => path.get(item).is_none(),
            Self::HasType(path, wanted) => {
                let wanted = wanted.value(item).and_then(|wanted| wanted["S"].as_str().map(str::to_owned));
                path.get(item).zip(wanted).is_some_and(|(value, wanted)| value.get(&wanted).is_some())
            }
            Self::BeginsWith(operand, prefix) => match (operand.value(item), prefix.value(item)) {
                (Some(value), Some(prefix)) => match (value["S"].as_str(), prefix["S"].as_str()) {
                    (Some(value), Some(prefix)) => value.starts_with(prefix),
                    _ => false,
                },
                _ => false,
            },
            Self::Contains(operand, part) => match (operand.value(item), part.value(item)) {
                (Some(value), Some(part)) => match (value["S"].as_str(), part["S"].as_str(), value["L"].as_array()) {
                    (Some(value), Some(part), _) => value.contains(part),
                    (_, _, Some(list)) => list.iter().any(|other| equal(other, &part)),
                    _ => false,
                },
                _ => false,
            },
        }
    }
}

impl Comparison {
    fn holds(self, left: &Value, right: &Value) -> bool {
        match self {
            Self::Equal => return equal(left, right),
            Self::NotEqual => return !equal(left, right),
            _ => {}
        }
        // Values of different types are in no order.
        let Some(order) = compare(left, right) else { return false };
        match self {
            Self::Less => order == Ordering::Less,
            Self::LessOrEqual => order != Ordering::Greater,
            Self::Greater => order == Ordering::Greater,
            _ => order != Ordering::Less,
        }
    }
}

impl Operand<'_> {
    fn value<'i>(&'i self, item: &'i Item) -> Option<Cow<'i, Value>> {
        match self {
            Self::Path(path) => path.get(item).map(Cow::Borrowed),
            Self::Value(value) => Some(Cow::Borrowed(value)),
            Self::Size(path) => Some(Cow::Owned(json!({ "N": size_of(path.get(item)?)?.to_string() }))),
        }
    }
}

impl<'r> Path<'r> {
    pub fn name(&self) -> &'r str {
        match &self.0[0] {
            Step::Name(name) => name,
            Step::Index(_) => "",
        }
    }

    fn get<'i>(&self, item: &'i Item) -> Option<&'i Value> {
        let mut value = item.get(self.name())?;
        for step in &self.0[1..] {
            value = match step {
                Step::Name(name) => value.get("M")?.get(name)?,
                Step::Index(index) => value.get("L")?.get(index)?,
            };
        }
        Some(value)
    }

    /// The value that this path's last step is in; `None` for a top-level attribute.
    fn parent<'i>(&self, item: &'i mut Item) -> Option<&'i mut Value> {
        let (_, inner) = self.0.split_last()?;
        let (_, inner) = inner.split_first()?;
        let mut value = item.get_mut(self.name())?;
        for step in inner {
            value = match step {
                Step::Name(name) => value.get_mut("M")?.get_mut(name)?,
                Step::Index(index) => value.get_mut("L")?.get_mut(*index)?,
            };
        }
        Some(value)
    }

    fn set(&self, item: &mut Item, value: Value) -> Result<(), Invalid> {
        if self.0.len() == 1 {
            item.insert(self.name().to_owned(), value);
            return Ok(());
        }
        let invalid = || Invalid("the document path is invalid for update".to_owned());
        let parent = self.parent(item).ok_or_else(invalid)?;
        match self.0.last() {
            Some(Step::Name(name)) => {
                parent
                    .get_mut("M")
                    .and_then(Value::as_object_mut)
                    .ok_or_else(invalid)?
                    .insert((*name).to_owned(), value);
            }
            Some(Step::Index(index)) => {
                let list = parent.get_mut("L").and_then(Value::as_array_mut).ok_or_else(invalid)?;
                match list.get_mut(*index) {
                    Some(held) => *held = value,
                    None => list.push(value),
                }
            }
            None => {}
        }
        Ok(())
    }

    fn remove(&self, item: &mut Item) -> Result<(), Invalid> {
        if self.0.len() == 1 {
            item.remove(self.name());
            return Ok(());
        }
        let invalid = || Invalid("the document path is invalid for update".to_owned());
        let parent = self.parent(item).ok_or_else(invalid)?;
        match self.0.last() {
            Some(Step::Name(name)) => {
                parent.get_mut("M").and_then(Value::as_object_mut).ok_or_else(invalid)?.remove(*name);
            }
            Some(Step::Index(index)) => {
                let list = parent.get_mut("L").and_then(Value::as_array_mut).ok_or_else(invalid)?;
                if *index < list.len() {
                    list.remove(*index);
                }
            }
            None => {}
        }
        Ok(())
    }

    fn overlaps(&self, other: &Self) -> bool {
        let shorter = self.0.len().min(other.0.len());
        self.0[..shorter] == other.0[..shorter]
    }
}

impl<'r> Action<'r> {
    /// The clauses of an update expression.
    ///
    /// # Errors
    /// It is no update, names something that is not defined, or changes one attribute twice.
    pub fn read_all(text: &'r str, placeholders: &mut Placeholders<'r>) -> Result<Vec<Self>, Invalid> {
        let mut reader = Reader::of(text);
        let mut actions: Vec<Self> = Vec::new();
        let mut seen = BTreeSet::new();
        while !reader.is_at_end() {
            let clause = reader.next().to_ascii_uppercase();
            if !seen.insert(clause.clone()) {
                return Err(Invalid(format!("`{clause}` twice")));
            }
            loop {
                let path = reader.path(placeholders)?;
                let action = match clause.as_str() {
                    "SET" => {
                        reader.expect("=")?;
                        Self::Set(path, reader.sum(placeholders)?)
                    }
                    "REMOVE" => Self::Remove(path),
                    "ADD" => match reader.operand(placeholders)? {
                        Operand::Value(value) => Self::Add(path, value),
                        _ => return Err(Invalid("ADD needs a value".to_owned())),
                    },
                    other => return Err(Invalid(format!("`{other}` is no clause of an update"))),
                };
                if actions.iter().any(|earlier| earlier.path().overlaps(action.path())) {
                    return Err(Invalid("two document paths overlap".to_owned()));
                }
                actions.push(action);
                if !reader.take(",") {
                    break;
                }
            }
        }
        if actions.is_empty() { Err(Invalid("an empty update".to_owned())) } else { Ok(actions) }
    }

    pub fn path(&self) -> &Path<'r> {
        match self {
            Self::Set(path, _) | Self::Remove(path) | Self::Add(path, _) => path,
        }
    }

    /// The item after all of them, each reading the item as it was before.
    ///
    /// # Errors
    /// An operand is absent or of the wrong type.
    pub fn apply_all(actions: &[Self], before: &Item) -> Result<Item, Invalid> {
        let mut after = before.clone();
        for action in actions {
            match action {
                Self::Set(path, expression) => path.set(&mut after, expression.value(before)?)?,
                Self::Remove(path) => path.remove(&mut after)?,
                Self::Add(path, value) => {
                    let sum = match path.get(before) {
                        Some(held) => add(held, value, 1)?,
                        None if value.get("N").is_some() => (*value).clone(),
                        None => return Err(Invalid("ADD takes a number here".to_owned())),
                    };
                    path.set(&mut after, sum)?;
                }
            }
        }
        Ok(after)
    }
}

impl Expression<'_> {
    fn value(&self, item: &Item) -> Result<Value, Invalid> {
        match self {
            Self::Operand(operand) => operand
                .value(item)
                .map(Cow::into_owned)
                .ok_or_else(|| Invalid("the expression refers to an attribute that does not exist".to_owned())),
            Self::IfNotExists(path, otherwise) => match path.get(item) {
                Some(value) => Ok(value.clone()),
                None => otherwise.value(item),
            },
            Self::ListAppend(first, second) => {
                let list = |value: Value| match value.get("L").and_then(Value::as_array) {
                    Some(list) => Ok(list.clone()),
                    None => Err(Invalid("list_append takes lists".to_owned())),
                };
                let mut joined = list(first.value(item)?)?;
                joined.extend(list(second.value(item)?)?);
                Ok(json!({ "L": joined }))
            }
            Self::Plus(left, right) => add(&left.value(item)?, &right.value(item)?, 1),
            Self::Minus(left, right) => add(&left.value(item)?, &right.value(item)?, -1),
        }
    }
}

/// The attributes that a projection names, of an item. Only whole attributes: the bridge names no others.
///
/// # Errors
/// It is no projection.
pub fn project<'r>(text: &'r str, placeholders: &mut Placeholders<'r>) -> Result<Vec<&'r str>, Invalid> {
    let mut reader = Reader::of(text);
    let mut names = vec![reader.path(placeholders)?.name()];
    while reader.take(",") {
        names.push(reader.path(placeholders)?.name());
    }
    if reader.is_at_end() { Ok(names) } else { Err(Invalid(format!("unexpected `{}`", reader.peek()))) }
}
