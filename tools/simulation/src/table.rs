//! DynamoDB in memory, as far as the bridge uses it: its conditions, its sparse index that lags, its reads that may be old,
//! its TTL. It speaks the SDK's JSON and knows nothing of the bridge. A test holds it against the embedded DynamoDB.

pub mod expression;
pub mod value;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::table::expression::{Action, Condition, Placeholders, project};
use crate::table::value::{Invalid, Item, compare, number, stored_bytes};

/// All tables, by name.
#[derive(Debug, Default)]
pub struct Tables(BTreeMap<String, Table>);

/// One table with at most one index.
#[derive(Debug)]
pub struct Table {
    key: String,
    index: Option<Index>,
    rows: BTreeMap<String, Row>,
}

/// What an index has.
#[derive(Clone, Debug)]
pub struct IndexDefinition {
    pub name: String,
    pub hash: String,
    pub range: String,
    /// The attributes besides the keys.
    pub projects: Vec<String>,
}

#[derive(Debug)]
struct Index {
    definition: IndexDefinition,
    entries: BTreeMap<String, Item>,
    /// Changes that have not reached it yet, in the order they were made: when they do, the item's key, its entry.
    coming: Vec<(u64, String, Option<Item>)>,
}

#[derive(Debug, Default)]
struct Row {
    item: Option<Arc<Item>>,
    /// What a read that is not consistent may still find, until then.
    old: Option<(u64, Option<Arc<Item>>)>,
}

/// When a call is made, and how far what is read lags behind what is written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Moment {
    pub now_ms: u64,
    pub index_lag_ms: u64,
    pub read_lag_ms: u64,
    /// Whether a read that may be old is.
    pub reads_old: bool,
    /// How many keys a `BatchGetItem` answers at most.
    pub batch_answers: Option<usize>,
    /// A scan of the index ends its page before the first item, as at the border of two partitions.
    pub scan_stops: bool,
}

/// A write that took effect.
#[derive(Clone, Debug)]
pub struct Write {
    pub table: String,
    pub key: String,
    pub before: Option<Arc<Item>>,
    pub after: Option<Arc<Item>>,
}

type Attributes<'i> = BTreeMap<&'i str, &'i Value>;

/// What is said of a call that was carried out.
#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Answer<'i> {
    #[serde(skip_serializing_if = "Option::is_none")]
    attributes: Option<&'i Item>,
    #[serde(skip_serializing_if = "Option::is_none")]
    item: Option<Attributes<'i>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    items: Option<Vec<Attributes<'i>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scanned_count: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_evaluated_key: Option<Attributes<'i>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct BatchAnswer<'i> {
    responses: BTreeMap<&'i str, Vec<Attributes<'i>>>,
    unprocessed_keys: Map<String, Value>,
}

/// Why a call did nothing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Refusal {
    ConditionFailed(Option<Arc<Item>>),
    Invalid(String),
    NoTable,
}

/// A page of a query or scan ends with the item that reaches it.
const PAGE_BYTES: usize = 1024 * 1024;
const MAX_ITEM_BYTES: usize = 400 * 1024;
const MAX_BATCH: usize = 100;

/// The members of a request that scans the index.
const SCANS_INDEX_BY: [&str; 3] = ["TableName", "IndexName", "Limit"];

impl Tables {
    pub fn create(&mut self, name: &str, key: &str, index: Option<IndexDefinition>) {
        let index = index.map(|definition| Index { definition, entries: BTreeMap::new(), coming: Vec::new() });
        self.0.insert(name.to_owned(), Table { key: key.to_owned(), index, rows: BTreeMap::new() });
    }

    /// The item as it is, whatever a read would find.
    pub fn item(&self, table: &str, key: &str) -> Option<&Item> {
        self.0.get(table)?.rows.get(key)?.item.as_deref()
    }

    /// All items as they are, by key.
    pub fn items(&self, table: &str) -> impl Iterator<Item = (&str, &Item)> {
        let rows = self.0.get(table).into_iter().flat_map(|table| &table.rows);
        rows.filter_map(|(key, row)| Some((key.as_str(), row.item.as_deref()?)))
    }

    /// Deletes an item, as the TTL does.
    pub fn expire(&mut self, table: &str, key: &str, moment: Moment) -> Option<Write> {
        let before = self.0.get(table)?.rows.get(key)?.item.clone()?;
        self.0.get_mut(table)?.put(key, None, moment);
        Some(Write { table: table.to_owned(), key: key.to_owned(), before: Some(before), after: None })
    }

    /// Carries a call out: the answer's JSON, and the write, if one took effect.
    ///
    /// # Errors
    /// Nothing was done.
    pub fn call(
        &mut self,
        operation: &str,
        request: &Value,
        moment: Moment,
    ) -> Result<(String, Option<Write>), Refusal> {
        if operation == "BatchGetItem" {
            return self.batch_get(request, moment).map(|answer| (answer, None));
        }
        let name = request["TableName"].as_str().unwrap_or_default();
        let table = self.0.get_mut(name).ok_or(Refusal::NoTable)?;
        match operation {
            "GetItem" => Ok((table.get(request, moment)?, None)),
            "Query" => Ok((table.query(request, moment)?, None)),
            "Scan" => Ok((table.scan(request, moment)?, None)),
            "PutItem" | "UpdateItem" | "DeleteItem" => {
                let write = table.write(operation, name, request, moment)?;
                let attributes = match request["ReturnValues"].as_str() {
                    Some("ALL_NEW") => write.after.as_deref(),
                    Some("ALL_OLD") => write.before.as_deref(),
                    _ => None,
                };
                Ok((json_of(&Answer { attributes, ..Answer::default() }), Some(write)))
            }
            other => Err(Refusal::Invalid(format!("{other} is not simulated"))),
        }
    }

    fn batch_get(&self, request: &Value, moment: Moment) -> Result<String, Refusal> {
        let asked = request["RequestItems"].as_object().ok_or_else(|| invalid("no RequestItems"))?;
        let (mut responses, mut left) = (BTreeMap::new(), Map::new());
        for (name, asked) in asked {
            let table = self.0.get(name).ok_or(Refusal::NoTable)?;
            let mut placeholders = Placeholders::of(asked);
            let projection = projection(asked, &mut placeholders)?;
            placeholders.all_used()?;
            let mut keys = asked["Keys"].as_array().cloned().unwrap_or_default();
            // The order of the keys must not matter, and the SDK's is a hash map's.
            keys.sort_by_key(|key| key[&table.key]["S"].as_str().map(str::to_owned));
            let twice = keys.windows(2).any(|pair| pair[0] == pair[1]);
            if keys.is_empty() || keys.len() > MAX_BATCH || twice {
                return Err(invalid("a batch has 1 to 100 keys, each once"));
            }
            let consistent = asked["ConsistentRead"].as_bool() == Some(true);
            let mut found = Vec::new();
            let mut unprocessed = Vec::new();
            for (at, key) in keys.into_iter().enumerate() {
                if moment.batch_answers.is_some_and(|most| at >= most) {
                    unprocessed.push(key);
                    continue;
                }
                let key = key_of(&key, &table.key)?;
                found.extend(table.read(&key, consistent, moment).map(|item| projected(item, projection.as_deref())));
            }
            responses.insert(name.as_str(), found);
            if !unprocessed.is_empty() {
                let mut rest = asked.clone();
                rest["Keys"] = unprocessed.into();
                left.insert(name.clone(), rest);
            }
        }
        Ok(json_of(&BatchAnswer { responses, unprocessed_keys: left }))
    }
}

impl Table {
    fn read(&self, key: &str, consistent: bool, moment: Moment) -> Option<&Item> {
        let row = self.rows.get(key)?;
        match &row.old {
            Some((until, old)) if !consistent && moment.reads_old && moment.now_ms < *until => old.as_deref(),
            _ => row.item.as_deref(),
        }
    }

    fn get(&self, request: &Value, moment: Moment) -> Result<String, Refusal> {
        let mut placeholders = Placeholders::of(request);
        let projection = projection(request, &mut placeholders)?;
        placeholders.all_used()?;
        let key = key_of(&request["Key"], &self.key)?;
        let consistent = request["ConsistentRead"].as_bool() == Some(true);
        let item = self.read(&key, consistent, moment).map(|item| projected(item, projection.as_deref()));
        Ok(json_of(&Answer { item, ..Answer::default() }))
    }

    fn write(&mut self, operation: &str, table: &str, request: &Value, moment: Moment) -> Result<Write, Refusal> {
        let mut placeholders = Placeholders::of(request);
        let condition = condition(request, "ConditionExpression", &mut placeholders)?;
        let update = match request["UpdateExpression"].as_str() {
            Some(text) => Action::read_all(text, &mut placeholders)?,
            None => Vec::new(),
        };
        placeholders.all_used()?;
        let key = key_of(if operation == "PutItem" { &request["Item"] } else { &request["Key"] }, &self.key)?;
        let before = self.rows.get(&key).and_then(|row| row.item.clone());
        if update.iter().any(|action| action.path().name() == self.key) {
            return Err(invalid("an update cannot change the key"));
        }

        let nothing = Item::new();
        if condition.is_some_and(|condition| !condition.holds(before.as_deref().unwrap_or(&nothing))) {
            let tells = request["ReturnValuesOnConditionCheckFailure"].as_str() == Some("ALL_OLD");
            return Err(Refusal::ConditionFailed(before.filter(|_| tells)));
        }
        let after = match operation {
            "PutItem" => Some(item_of(&request["Item"])),
            "UpdateItem" => {
                let mut after = Action::apply_all(&update, before.as_deref().unwrap_or(&nothing))?;
                after.insert(self.key.clone(), json!({ "S": key }));
                Some(after)
            }
            _ => None,
        };
        if after.as_ref().is_some_and(|after| stored_bytes(after) > MAX_ITEM_BYTES) {
            return Err(invalid("the item is too large"));
        }
        if let (Some(index), Some(after)) = (&self.index, &after) {
            let is_key = |name: &str, kind: &str| after.get(name).is_none_or(|value| value.get(kind).is_some());
            if !is_key(&index.definition.hash, "S") || !is_key(&index.definition.range, "N") {
                return Err(invalid("a key of the index has the wrong type"));
            }
        }
        let after = after.map(Arc::new);
        self.put(&key, after.clone(), moment);
        Ok(Write { table: table.to_owned(), key, before, after })
    }

    fn put(&mut self, key: &str, after: Option<Arc<Item>>, moment: Moment) {
        if let Some(index) = &mut self.index {
            // Changes arrive in the order they were made.
            let earliest = index.coming.last().map_or(0, |(at, ..)| *at);
            let entry = after.as_ref().and_then(|after| index.definition.entry(&self.key, after));
            index.coming.push(((moment.now_ms + moment.index_lag_ms).max(earliest), key.to_owned(), entry));
        }
        let row = self.rows.entry(key.to_owned()).or_default();
        row.old = Some((moment.now_ms + moment.read_lag_ms, row.item.take()));
        row.item = after;
    }

    fn query(&mut self, request: &Value, moment: Moment) -> Result<String, Refusal> {
        let Some(index) = self.index.as_mut().filter(|index| request["IndexName"] == index.definition.name.as_str())
        else {
            return Err(invalid("only the index is queried"));
        };
        index.arrive(moment);
        let mut placeholders = Placeholders::of(request);
        let wanted = condition(request, "KeyConditionExpression", &mut placeholders)?
            .ok_or_else(|| invalid("no key condition"))?;
        let filter = condition(request, "FilterExpression", &mut placeholders)?;
        let projection = projection(request, &mut placeholders)?;
        placeholders.all_used()?;
        let backwards = request["ScanIndexForward"].as_bool() == Some(false);
        let range = &index.definition.range;
        let order = |(one_key, one): &(&String, &Item), (other_key, other): &(&String, &Item)| {
            let by_range = compare(&one[range], &other[range]).unwrap_or(Ordering::Equal);
            let order = by_range.then_with(|| one_key.cmp(other_key));
            if backwards { order.reverse() } else { order }
        };
        let mut entries: Vec<_> = index.entries.iter().filter(|(_, entry)| wanted.holds(entry)).collect();
        entries.sort_by(order);
        if let Some(start) = request.get("ExclusiveStartKey").filter(|start| !start.is_null()) {
            let (key, start) = (key_of(start, &self.key)?, item_of(start));
            entries.retain(|entry| order(entry, &(&key, &start)) == Ordering::Greater);
        }
        let keys = [self.key.as_str(), &index.definition.hash, range];
        Ok(page(entries.into_iter().map(|(_, entry)| entry), &keys, filter.as_ref(), projection.as_deref(), request))
    }

    fn scan(&mut self, request: &Value, moment: Moment) -> Result<String, Refusal> {
        if let Some(name) = request["IndexName"].as_str() {
            let of_name = |index: &&mut Index| index.definition.name == name;
            let index = self.index.as_mut().filter(of_name).ok_or_else(|| invalid("no such index"))?;
            if request.as_object().is_some_and(|request| request.keys().any(|key| !SCANS_INDEX_BY.contains(&&**key))) {
                return Err(invalid("the index is scanned whole"));
            }
            index.arrive(moment);
            let keys = [self.key.as_str(), &index.definition.hash, &index.definition.range];
            if let Some((_, first)) = index.entries.first_key_value().filter(|_| moment.scan_stops) {
                return Ok(json_of(&Answer {
                    items: Some(Vec::new()),
                    count: Some(0),
                    scanned_count: Some(0),
                    last_evaluated_key: Some(projected(first, Some(&keys))),
                    ..Answer::default()
                }));
            }
            return Ok(page(index.entries.values(), &keys, None, None, request));
        }
        let mut placeholders = Placeholders::of(request);
        let filter = condition(request, "FilterExpression", &mut placeholders)?;
        let projection = projection(request, &mut placeholders)?;
        placeholders.all_used()?;
        let start = request.get("ExclusiveStartKey").filter(|start| !start.is_null());
        let start = start.map(|start| key_of(start, &self.key)).transpose()?;
        let items = self.rows.iter().filter(|(key, _)| start.as_ref().is_none_or(|start| *key > start));
        let items = items.filter_map(|(_, row)| row.item.as_deref());
        Ok(page(items, &[&self.key], filter.as_ref(), projection.as_deref(), request))
    }
}

impl Index {
    /// What has reached it by now.
    fn arrive(&mut self, moment: Moment) {
        let arrived = self.coming.iter().take_while(|(at, ..)| *at <= moment.now_ms).count();
        for (_, key, entry) in self.coming.drain(..arrived) {
            match entry {
                Some(entry) => self.entries.insert(key, entry),
                None => self.entries.remove(&key),
            };
        }
    }
}

impl IndexDefinition {
    /// What the index has of an item; nothing unless the item has both keys.
    fn entry(&self, key: &str, item: &Item) -> Option<Item> {
        let keys = [key, &self.hash, &self.range];
        let has_both = keys.iter().all(|name| item.contains_key(*name));
        let names = keys.into_iter().chain(self.projects.iter().map(String::as_str));
        has_both.then(|| names.filter_map(|name| Some((name.to_owned(), item.get(name)?.clone()))).collect())
    }
}

impl From<Invalid> for Refusal {
    fn from(Invalid(text): Invalid) -> Self {
        Self::Invalid(text)
    }
}

fn invalid(text: &str) -> Refusal {
    Refusal::Invalid(text.to_owned())
}

fn condition<'r>(
    request: &'r Value,
    member: &str,
    placeholders: &mut Placeholders<'r>,
) -> Result<Option<Condition<'r>>, Invalid> {
    request[member].as_str().map(|text| Condition::read(text, placeholders)).transpose()
}

fn projection<'r>(request: &'r Value, placeholders: &mut Placeholders<'r>) -> Result<Option<Vec<&'r str>>, Invalid> {
    request["ProjectionExpression"].as_str().map(|text| project(text, placeholders)).transpose()
}

fn key_of(key: &Value, name: &str) -> Result<String, Refusal> {
    let text = key[name]["S"].as_str().filter(|text| !text.is_empty());
    text.map(str::to_owned).ok_or_else(|| invalid("the key is missing or of the wrong type"))
}

fn item_of(attributes: &Value) -> Item {
    attributes.as_object().cloned().unwrap_or_default()
}

fn projected<'i>(item: &'i Item, projection: Option<&[&str]>) -> Attributes<'i> {
    let wanted = |name: &str| projection.is_none_or(|names| names.contains(&name));
    item.iter().map(|(name, value)| (name.as_str(), value)).filter(|(name, _)| wanted(name)).collect()
}

fn json_of(answer: &impl Serialize) -> String {
    serde_json::to_string(answer).unwrap_or_default()
}

/// As many as the limit and a megabyte allow, before they are filtered.
fn page<'i>(
    items: impl Iterator<Item = &'i Item>,
    keys: &[&str],
    filter: Option<&Condition<'_>>,
    projection: Option<&[&str]>,
    request: &Value,
) -> String {
    let limit = request["Limit"].as_u64().map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let counts_only = request["Select"] == "COUNT";
    let (mut found, mut count, mut read, mut bytes) = (Vec::new(), 0, 0, 0);
    let mut last = None;
    let mut items = items.peekable();
    while let Some(item) = items.next() {
        read += 1;
        bytes += stored_bytes(item);
        if filter.is_none_or(|filter| filter.holds(item)) {
            count += 1;
            if !counts_only {
                found.push(projected(item, projection));
            }
        }
        // DynamoDB does not look whether more follow when the limit is reached.
        if read >= limit || (bytes >= PAGE_BYTES && items.peek().is_some()) {
            last = Some(projected(item, Some(keys)));
            break;
        }
    }
    json_of(&Answer {
        items: (!counts_only).then_some(found),
        count: Some(count),
        scanned_count: Some(read),
        last_evaluated_key: last,
        ..Answer::default()
    })
}

/// A number of an item.
pub fn integer(item: &Item, name: &str) -> Option<u64> {
    u64::try_from(number(item.get(name)?)?).ok()
}

/// A text of an item.
pub fn text<'i>(item: &'i Item, name: &str) -> Option<&'i str> {
    item.get(name)?.get("S")?.as_str()
}
