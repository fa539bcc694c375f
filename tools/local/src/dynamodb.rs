//! An embedded DynamoDB: `dynoxide`, in memory or in a SQLite file, behind a front that counts calls and fails by script.

use std::collections::HashMap;
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use dynoxide::actions::delete_item::DeleteItemRequest;
use dynoxide::actions::get_item::GetItemRequest;
use dynoxide::actions::put_item::PutItemRequest;
use dynoxide::actions::query::QueryRequest;
use dynoxide::actions::scan::ScanRequest;
use dynoxide::actions::update_item::UpdateItemRequest;
use dynoxide::{AttributeValue, Database, DynoxideError, ImportOptions};
use http::Response;
use serde::Deserialize as _;
use serde_json::{Map, Number, Value, json};
use shared::record::event::pending_parts;
use shared::record::key;
use tokio::sync::broadcast;

use crate::aws::AwsFront;
use crate::front::{Front, Guests};

pub use self::writes::Write;
use self::writes::Writes;

mod engine;
mod writes;

/// The names of the bridge's tables on this machine.
pub const EVENTS_TABLE: &str = "events";
pub const CUSTOMERS_TABLE: &str = "customers";

/// `CreateTable` for the events table, as `template.yaml` deploys it.
pub fn events_table_definition(name: &str) -> Value {
    json!({
        "TableName": name,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [
            { "AttributeName": "pk", "AttributeType": "S" },
            { "AttributeName": "due", "AttributeType": "S" },
            { "AttributeName": "next_attempt_at", "AttributeType": "N" },
        ],
        "KeySchema": [{ "AttributeName": "pk", "KeyType": "HASH" }],
        "GlobalSecondaryIndexes": [{
            "IndexName": "due-index",
            "KeySchema": [
                { "AttributeName": "due", "KeyType": "HASH" },
                { "AttributeName": "next_attempt_at", "KeyType": "RANGE" },
            ],
            "Projection": {
                "ProjectionType": "INCLUDE",
                "NonKeyAttributes": ["received_at", "revived_at", "waits_for"],
            },
        }],
    })
}

/// `CreateTable` for the customers table.
pub fn customers_table_definition(name: &str) -> Value {
    json!({
        "TableName": name,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{ "AttributeName": "ref", "AttributeType": "S" }],
        "KeySchema": [{ "AttributeName": "ref", "KeyType": "HASH" }],
    })
}

/// `UpdateTimeToLive` for either table: items go when `expires_at` has passed.
pub fn time_to_live_definition(name: &str) -> Value {
    json!({
        "TableName": name,
        "TimeToLiveSpecification": { "AttributeName": "expires_at", "Enabled": true },
    })
}

/// A running DynamoDB. What counts calls and scripts faults is [`AwsFront`], reached through `Deref`.
///
/// Reading here ([`item`](Self::item), [`items`](Self::items)) goes past the front: it is not counted and cannot fail by
/// script. Dropping it closes the port.
pub struct DynamoDb {
    database: Database,
    aws: Arc<AwsFront>,
    writes: Writes,
    front: Front,
}

/// Why there is no DynamoDB.
#[derive(Debug, thiserror::Error)]
pub enum DynamoDbError {
    #[error("the data folder {folder} cannot be created")]
    Folder {
        folder: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("no port on loopback")]
    Listen(#[from] io::Error),
    #[error("the embedded engine refused")]
    Engine(#[from] DynoxideError),
    #[error("not a DynamoDB request")]
    Request(#[from] serde_json::Error),
}

impl DynamoDb {
    /// Starts it with both tables made, in `folder`'s `dynamodb.sqlite` (kept from run to run) or in memory.
    ///
    /// # Errors
    /// The folder or the file in it cannot be used, or there is no port.
    pub async fn start(folder: Option<&Path>) -> Result<Self, DynamoDbError> {
        let database = open(folder)?;
        let aws = Arc::new(AwsFront::new(engine::DYNAMODB));
        let writes = Writes::default();
        let engine = Engine { aws: aws.clone(), database: database.clone(), writes: writes.clone() };
        let front = Front::start(
            0,
            MAX_REQUEST_BYTES,
            |_| Guests::Programs,
            move |request| {
                let engine = engine.clone();
                async move {
                    let aws = engine.aws.clone();
                    aws.answer(request, async |operation, request| engine.call(&operation, request.body())).await
                }
            },
        )?;
        let dynamodb = Self { database, aws, writes, front };
        dynamodb.create_table(events_table_definition(EVENTS_TABLE))?;
        dynamodb.create_table(customers_table_definition(CUSTOMERS_TABLE))?;
        Ok(dynamodb)
    }

    /// What `AWS_ENDPOINT_URL_DYNAMODB` is to be.
    pub fn url(&self) -> String {
        self.front.url()
    }

    /// Closes the connections that callers keep open, as idle ones are.
    pub async fn close_connections(&self) {
        self.front.close_connections().await;
    }

    /// From now on every write that takes effect, whatever its caller is answered.
    /// [`put_raw`](Self::put_raw) and what is [made due](crate::stack::Stack::make_due) go past the front and are announced, too; what
    /// expires is not.
    ///
    /// Nothing waits for a receiver: one that is more than 4096 writes behind gets `Lagged` and should read the tables again.
    pub fn subscribe_to_writes(&self) -> broadcast::Receiver<Write> {
        self.writes.subscribe()
    }

    /// Creates a table with its TTL attribute, unless it exists.
    ///
    /// # Errors
    /// The definition is not one of a table.
    pub fn create_table(&self, definition: Value) -> Result<(), DynamoDbError> {
        let name = definition["TableName"].as_str().unwrap_or_default();
        let time_to_live = time_to_live_definition(name);
        match self.database.create_table(serde_json::from_value(definition)?) {
            Ok(_) => {}
            Err(DynoxideError::ResourceInUseException(_)) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        self.database.update_time_to_live(serde_json::from_value(time_to_live)?)?;
        Ok(())
    }

    /// The event with this key as plain JSON: numbers with their digits, binary as base64.
    ///
    /// # Panics
    /// The engine cannot read its own table.
    pub fn item(&self, pk: &str) -> Option<Value> {
        self.item_of(EVENTS_TABLE, "pk", pk)
    }

    /// The item of any table by its hash key.
    ///
    /// # Panics
    /// The table does not exist, or the engine cannot read it.
    pub fn item_of(&self, table: &str, key: &str, value: &str) -> Option<Value> {
        let request = GetItemRequest {
            table_name: table.to_owned(),
            key: HashMap::from([(key.to_owned(), AttributeValue::S(value.to_owned()))]),
            consistent_read: Some(true),
            ..GetItemRequest::default()
        };
        let answer = self.database.get_item(request);
        let item = answer.expect("the engine reads its own table").item?;
        Some(plain(&AttributeValue::M(item)))
    }

    /// All events as plain JSON, ordered by key.
    ///
    /// # Panics
    /// The engine cannot read its own table.
    pub fn items(&self) -> Vec<Value> {
        let mut items = self.items_of(EVENTS_TABLE);
        items.retain(|item| {
            let parts = key::event_parts(item["pk"].as_str().unwrap_or_default());
            parts.is_none_or(|(provider, _)| !key::NO_PROVIDERS.contains(&provider))
        });
        items.sort_by(|a, b| a["pk"].as_str().cmp(&b["pk"].as_str()));
        items
    }

    /// All items of any table, in the engine's order.
    ///
    /// # Panics
    /// The table does not exist, or the engine cannot read it.
    pub fn items_of(&self, table: &str) -> Vec<Value> {
        let mut items = Vec::new();
        let mut start = None;
        loop {
            let page = self.database.scan(ScanRequest {
                table_name: table.to_owned(),
                exclusive_start_key: start,
                ..ScanRequest::default()
            });
            let page = page.expect("the engine reads its own table");
            let read = page.items.unwrap_or_default();
            items.extend(read.into_iter().map(|item| plain(&AttributeValue::M(item))));
            start = page.last_evaluated_key;
            if start.is_none() {
                return items;
            }
        }
    }

    /// The pending events: key, and when the next attempt is due or the lease ends (epoch seconds). Ordered by that.
    ///
    /// # Errors
    /// The engine cannot read its own table.
    pub fn pending(&self) -> Result<Vec<(String, u64)>, DynamoDbError> {
        let mut pending = Vec::new();
        for due in pending_parts() {
            let mut start = None;
            loop {
                let page = self.database.query(QueryRequest {
                    table_name: EVENTS_TABLE.to_owned(),
                    index_name: Some("due-index".to_owned()),
                    key_condition_expression: Some("due = :due".to_owned()),
                    expression_attribute_values: Some(HashMap::from([(":due".to_owned(), string(&due))])),
                    scan_index_forward: true,
                    exclusive_start_key: start,
                    ..QueryRequest::default()
                })?;
                let items = page.items.unwrap_or_default();
                pending.extend(items.iter().filter_map(|item| Some((text(item.get("pk")?)?, time(item)?))));
                start = page.last_evaluated_key;
                if start.is_none() {
                    break;
                }
            }
        }
        pending.sort_by_key(|(_, at)| *at);
        Ok(pending)
    }

    /// Makes an event and its pending routes due `now`, provided that it is pending with the time that was `seen`. False when
    /// it is not.
    ///
    /// # Errors
    /// The engine cannot write its own table.
    pub(crate) fn make_due(&self, pk: &str, seen: u64, now: u64) -> Result<bool, DynamoDbError> {
        let number = |seconds: u64| AttributeValue::N(seconds.to_string());
        let values = [(":pending", string("pending")), (":seen", number(seen)), (":now", number(now))];
        let item = self.item(pk).unwrap_or_default();
        let mut names = HashMap::from([("#state".to_owned(), "state".to_owned())]);
        let (mut set, mut remove) = ("SET next_attempt_at = :now".to_owned(), String::new());
        for (at, entry) in item["waits_for"].as_object().into_iter().flat_map(|it| it.keys()).enumerate() {
            set += &format!(", waits_for.#r{at} = :now");
            names.insert(format!("#r{at}"), entry.clone());
            if item["deliveries"].get(entry).is_some() {
                let verb = if remove.is_empty() { " REMOVE" } else { "," };
                remove += &format!("{verb} deliveries.#r{at}.next_attempt_at");
            }
        }
        let update = self.database.update_item(UpdateItemRequest {
            table_name: EVENTS_TABLE.to_owned(),
            key: HashMap::from([("pk".to_owned(), string(pk))]),
            update_expression: Some(set + &remove),
            condition_expression: Some("#state = :pending AND next_attempt_at = :seen".to_owned()),
            expression_attribute_names: Some(names),
            expression_attribute_values: Some(values.map(|(name, value)| (name.to_owned(), value)).into()),
            ..UpdateItemRequest::default()
        });
        match update {
            Ok(_) => {
                self.writes.tell(EVENTS_TABLE, pk);
                Ok(true)
            }
            Err(DynoxideError::ConditionalCheckFailedException(..)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes an item in DynamoDB's own JSON (`{"pk": {"S": "rail#evt_1"}, ...}`), and replaces an existing one.
    ///
    /// # Errors
    /// It is not such an item, or has no key.
    pub fn put_raw(&self, table: &str, item: &Value) -> Result<(), DynamoDbError> {
        let request = json!({ "TableName": table, "Item": item });
        self.database.put_item(PutItemRequest::deserialize(&request)?)?;
        self.writes.tell_one(&request["TableName"], &request);
        Ok(())
    }

    /// Deletes an event, as the time to live or a person would.
    ///
    /// # Errors
    /// The engine cannot write its own table.
    pub fn delete(&self, pk: &str) -> Result<(), DynamoDbError> {
        let request = json!({ "TableName": EVENTS_TABLE, "Key": { "pk": { "S": pk } } });
        self.database.delete_item(DeleteItemRequest::deserialize(&request)?)?;
        self.writes.tell(EVENTS_TABLE, pk);
        Ok(())
    }

    /// As [`put_raw`](Self::put_raw), all of them at once: for tests that need very many.
    ///
    /// # Errors
    /// One is not such an item, or has no key: then none is written.
    pub fn put_raw_all(&self, table: &str, items: &[Value]) -> Result<(), DynamoDbError> {
        let rows = items.iter().map(HashMap::deserialize).collect::<Result<_, _>>()?;
        self.database.import_items(table, rows, ImportOptions::default())?;
        for item in items {
            self.writes.tell_item(table, item);
        }
        Ok(())
    }
}

impl Deref for DynamoDb {
    type Target = AwsFront;

    fn deref(&self) -> &AwsFront {
        &self.aws
    }
}

/// In the folder that keeps the tables.
pub(crate) const TABLES_FILE: &str = "dynamodb.sqlite";

fn open(folder: Option<&Path>) -> Result<Database, DynamoDbError> {
    let Some(folder) = folder else {
        return Ok(Database::memory()?);
    };
    std::fs::create_dir_all(folder).map_err(|source| DynamoDbError::Folder { folder: folder.to_owned(), source })?;
    Ok(Database::new(&folder.join(TABLES_FILE).to_string_lossy())?)
}

/// The embedded engine as the front calls it.
#[derive(Clone)]
struct Engine {
    aws: Arc<AwsFront>,
    database: Database,
    writes: Writes,
}

impl Engine {
    /// In one go: what the engine has begun takes effect and is announced even if the caller disconnects.
    fn call(&self, operation: &str, request: &[u8]) -> Response<Bytes> {
        let response = engine::call(&self.database, &self.aws, operation, request);
        if response.status().is_success() && self.writes.somebody_listens() {
            self.writes.tell_call(operation, request);
        }
        response
    }
}

fn string(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn text(value: &AttributeValue) -> Option<String> {
    match value {
        AttributeValue::S(text) => Some(text.clone()),
        _ => None,
    }
}

fn time(item: &HashMap<String, AttributeValue>) -> Option<u64> {
    match item.get("next_attempt_at")? {
        AttributeValue::N(digits) => digits.parse().ok(),
        _ => None,
    }
}

fn plain(value: &AttributeValue) -> Value {
    match value {
        AttributeValue::S(text) => json!(text),
        AttributeValue::N(digits) => number(digits),
        AttributeValue::B(bytes) => json!(STANDARD.encode(bytes)),
        AttributeValue::BOOL(truth) => json!(truth),
        AttributeValue::NULL(_) => Value::Null,
        AttributeValue::SS(texts) => json!(texts),
        AttributeValue::NS(numbers) => numbers.iter().map(|digits| number(digits)).collect(),
        AttributeValue::BS(many) => many.iter().map(|bytes| json!(STANDARD.encode(bytes))).collect(),
        AttributeValue::L(list) => list.iter().map(plain).collect(),
        AttributeValue::M(map) => {
            let fields = map.iter().map(|(name, value)| (name.clone(), plain(value)));
            Value::Object(fields.collect::<Map<_, _>>())
        }
    }
}

/// A JSON number if it holds all digits, otherwise the digits as text.
fn number(digits: &str) -> Value {
    match digits.parse::<Number>() {
        Ok(number) if number.to_string() == digits => Value::Number(number),
        _ => json!(digits),
    }
}

/// DynamoDB's own limit of a request.
const MAX_REQUEST_BYTES: usize = 16 * 1024 * 1024;

#[cfg(test)]
mod tests;
