//! What was written: the keys in the requests that took effect, for readers that follow the tables.

use serde_json::Value;
use tokio::sync::broadcast;

/// An item that was put, updated or deleted. Look it up to see what it is now.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Write {
    pub table: String,
    /// Its hash key.
    pub key: String,
}

/// Announces writes to the listeners; costs nothing while there are none.
#[derive(Clone, Debug)]
pub(super) struct Writes(broadcast::Sender<Write>);

impl Default for Writes {
    fn default() -> Self {
        Self(broadcast::Sender::new(REMEMBERED))
    }
}

impl Writes {
    pub(super) fn subscribe(&self) -> broadcast::Receiver<Write> {
        self.0.subscribe()
    }

    pub(super) fn somebody_listens(&self) -> bool {
        self.0.receiver_count() > 0
    }

    pub(super) fn tell(&self, table: &str, key: &str) {
        // There may be no listener any more.
        let _ = self.0.send(Write { table: table.to_owned(), key: key.to_owned() });
    }

    /// Announces what this call has written.
    pub(super) fn tell_call(&self, operation: &str, request: &[u8]) {
        let Ok(request) = serde_json::from_slice::<Value>(request) else {
            return;
        };
        match operation {
            "PutItem" | "UpdateItem" | "DeleteItem" => self.tell_one(&request["TableName"], &request),
            "BatchWriteItem" => {
                for (table, writes) in request["RequestItems"].as_object().into_iter().flatten() {
                    let writes = writes.as_array().into_iter().flatten();
                    for write in writes.filter_map(Value::as_object).flat_map(|write| write.values()) {
                        self.tell_one(&Value::from(table.as_str()), write);
                    }
                }
            }
            "TransactWriteItems" => {
                let actions = request["TransactItems"].as_array().into_iter().flatten();
                for (kind, action) in actions.filter_map(Value::as_object).flatten() {
                    if kind != "ConditionCheck" {
                        self.tell_one(&action["TableName"], action);
                    }
                }
            }
            _ => {}
        }
    }

    /// Announces the `Item` or the `Key` of one write.
    pub(super) fn tell_one(&self, table: &Value, write: &Value) {
        let Some(table) = table.as_str() else {
            return;
        };
        self.tell_item(table, write.get("Item").or(write.get("Key")).unwrap_or(&Value::Null));
    }

    /// Announces an item, or the key of one.
    pub(super) fn tell_item(&self, table: &str, item: &Value) {
        // The hash key is `pk` in the events table and `ref` in the customers table.
        if let Some(key) = item["pk"]["S"].as_str().or(item["ref"]["S"].as_str()) {
            self.tell(table, key);
        }
    }
}

/// Who listens learns that it has missed some when it is further behind. About 400 kB.
const REMEMBERED: usize = 4096;

#[cfg(test)]
mod tests;
