//! The table of the simulation answers as the embedded DynamoDB does.
#![expect(clippy::unwrap_used, reason = "a test that unwraps fails where it should")]

use std::fmt::Debug;

use dynoxide::{Database, DynoxideError};
use fastrand::Rng;
use local::dynamodb::{customers_table_definition, events_table_definition};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use simulation::table::{Moment, Refusal, Tables};
use simulation::tables;

/// What an answer comes to, in both.
#[derive(Debug, PartialEq)]
enum Said {
    Answer(Value),
    ConditionFailed(Option<Value>),
    Invalid,
}

struct Both {
    ours: Tables,
    theirs: Database,
}

impl Both {
    fn new() -> Self {
        let theirs = Database::memory().unwrap();
        for definition in [events_table_definition(tables::EVENTS), customers_table_definition(tables::CUSTOMERS)] {
            theirs.create_table(serde_json::from_value(definition).unwrap()).unwrap();
        }
        Self { ours: tables::empty(), theirs }
    }

    #[track_caller]
    fn check(&mut self, operation: &str, request: &Value) -> Said {
        let ours = match self.ours.call(operation, request, Moment::default()) {
            Ok((answer, _)) => Said::Answer(serde_json::from_str(&answer).unwrap()),
            Err(Refusal::ConditionFailed(item)) => Said::ConditionFailed(item.map(|item| json!(item))),
            Err(Refusal::Invalid(_) | Refusal::NoTable) => Said::Invalid,
        };
        let theirs = match operation {
            "PutItem" => asked(request, |request| self.theirs.put_item(request)),
            "UpdateItem" => asked(request, |request| self.theirs.update_item(request)),
            "GetItem" => asked(request, |request| self.theirs.get_item(request)),
            "BatchGetItem" => asked(request, |request| self.theirs.batch_get_item(request)),
            "Query" => asked(request, |request| self.theirs.query(request)),
            "Scan" => asked(request, |request| self.theirs.scan(request)),
            other => panic!("{other}"),
        };
        // The items of a whole index come in any order.
        let in_order = |said| match operation == "Scan" && request.get("IndexName").is_some() {
            true => sorted(normal(said), "/Items"),
            false => normal(said),
        };
        let ours = in_order(ours);
        assert_eq!(ours, in_order(theirs), "{operation} {request:#}");
        ours
    }
}

fn asked<R: DeserializeOwned, A: Serialize>(request: &Value, call: impl FnOnce(R) -> Result<A, DynoxideError>) -> Said {
    let Ok(request) = serde_json::from_value(request.clone()) else { return Said::Invalid };
    match call(request) {
        Ok(answer) => Said::Answer(serde_json::to_value(answer).unwrap()),
        Err(DynoxideError::ConditionalCheckFailedException(_, item)) => {
            Said::ConditionFailed(item.map(|item| serde_json::to_value(item).unwrap()))
        }
        Err(_) => Said::Invalid,
    }
}

/// Without what one of them leaves out when it is empty, and in one order where there is none.
fn normal(said: Said) -> Said {
    let Said::Answer(mut answer) = said else { return said };
    if let Some(answer) = answer.as_object_mut() {
        answer.retain(|name, value| {
            let empty = value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty);
            !empty && name != "ConsumedCapacity"
        });
    }
    sorted(Said::Answer(answer), "/Responses/events")
}

fn sorted(said: Said, at: &str) -> Said {
    let Said::Answer(mut answer) = said else { return said };
    if let Some(items) = answer.pointer_mut(at).and_then(Value::as_array_mut) {
        items.sort_by_key(Value::to_string);
    }
    Said::Answer(answer)
}

fn pick<'a>(rng: &mut Rng, of: &[&'a str]) -> &'a str {
    of[rng.usize(..of.len())]
}

const KEYS: [&str; 4] = ["rail#1", "rail#2", "once#a", "workflow#kyc"];
const NAMES: [&str; 8] =
    ["#state", "attempts", "due", "next_attempt_at", "taken_by", "deliveries", "history", "taken_at"];

/// A value, and whether it is a number.
fn value(rng: &mut Rng) -> Value {
    match rng.u8(..9) {
        0 => json!({ "S": pick(rng, &["pending", "dead", "p0", "d3", ""]) }),
        1..=4 => json!({ "N": rng.i32(-2..6).to_string() }),
        5 => json!({ "M": { "kyc": { "M": { "attempts": { "N": rng.u8(..3).to_string() } } } } }),
        6 => json!({ "L": [{ "N": rng.u8(..3).to_string() }] }),
        7 => json!({ "S": pick(rng, &["r/1", "r/2"]) }),
        _ => json!({ "B": pick(rng, &["", "AQ==", "AQI=", "AQID"]) }),
    }
}

/// An expression being written, with the values that it names.
struct Writer<'r> {
    rng: &'r mut Rng,
    values: serde_json::Map<String, Value>,
}

impl Writer<'_> {
    fn value(&mut self) -> String {
        let name = format!(":v{}", self.values.len());
        self.values.insert(name.clone(), value(self.rng));
        name
    }

    /// A term that may be a number: DynamoDB refuses what cannot be before it looks at the item.
    fn number(&mut self) -> String {
        self.values.insert(":one".to_owned(), json!({ "N": "1" }));
        let path = self.path();
        pick(self.rng, &[":one", &path, &format!("if_not_exists({path}, :one)")]).to_owned()
    }

    fn path(&mut self) -> String {
        match self.rng.u8(..8) {
            0 => "deliveries.kyc".to_owned(),
            1 => "deliveries.kyc.attempts".to_owned(),
            2 => "history[0]".to_owned(),
            _ => pick(self.rng, &NAMES).to_owned(),
        }
    }

    fn operand(&mut self) -> String {
        match self.rng.u8(..8) {
            0..=3 => self.path(),
            4 => format!("size({})", self.path()),
            _ => self.value(),
        }
    }

    fn condition(&mut self, depth: u8) -> String {
        match self.rng.u8(..if depth == 0 { 7 } else { 11 }) {
            0 => format!("attribute_exists({})", self.path()),
            1 => format!("attribute_not_exists({})", self.path()),
            2 => format!("{} IN ({}, {})", self.path(), self.value(), self.value()),
            3 => format!("{} BETWEEN {} AND {}", self.path(), self.path(), self.path()),
            4 | 5 => {
                let sign = pick(self.rng, &["=", "<>", "<", "<=", ">", ">="]);
                format!("{} {sign} {}", self.operand(), self.operand())
            }
            6 => {
                self.values.insert(":p".to_owned(), json!({ "S": "p" }));
                format!("begins_with({}, :p)", self.path())
            }
            7 => format!("NOT {}", self.condition(depth - 1)),
            // DynamoDB refuses a pair too many.
            8 => match self.condition(depth - 1) {
                condition if condition.starts_with('(') => condition,
                condition => format!("({condition})"),
            },
            9 => format!("{} OR {}", self.condition(depth - 1), self.condition(depth - 1)),
            _ => format!("{} AND {}", self.condition(depth - 1), self.condition(depth - 1)),
        }
    }

    fn term(&mut self) -> String {
        match self.rng.u8(..6) {
            0 => format!("if_not_exists({}, {})", self.path(), self.value()),
            1 => {
                self.values.insert(":l".to_owned(), json!({ "L": [{ "S": "x" }] }));
                "list_append(if_not_exists(history, :l), :l)".to_owned()
            }
            2 => self.path(),
            _ => self.value(),
        }
    }

    fn update(&mut self) -> String {
        let mut clauses = Vec::new();
        if self.rng.u8(..4) > 0 {
            let sets: Vec<_> = (0..self.rng.u8(1..4))
                .map(|_| {
                    let path = self.path();
                    match self.rng.u8(..4) {
                        0 => format!("{path} = {} {} {}", self.number(), pick(self.rng, &["+", "-"]), self.number()),
                        _ => format!("{path} = {}", self.term()),
                    }
                })
                .collect();
            clauses.push(format!("SET {}", sets.join(", ")));
        }
        if self.rng.bool() {
            clauses.push(format!("REMOVE {}", self.path()));
        }
        if self.rng.u8(..4) == 0 {
            self.values.insert(":n".to_owned(), json!({ "N": "1" }));
            clauses.push(format!("ADD {} :n", pick(self.rng, &["attempts", "unsettled", "next_attempt_at"])));
        }
        clauses.join(" ")
    }

    /// The request with the placeholders that its expressions use.
    fn finish(self, mut request: Value) -> Value {
        let text = request.to_string();
        if text.contains("#state") {
            request["ExpressionAttributeNames"] = json!({ "#state": "state" });
        }
        if !self.values.is_empty() {
            request["ExpressionAttributeValues"] = self.values.into();
        }
        request
    }
}

fn write(rng: &mut Rng) -> (&'static str, Value) {
    let key = pick(rng, &KEYS);
    let returns = if rng.bool() { "ALL_OLD" } else { "NONE" };
    let mut writer = Writer { rng, values: serde_json::Map::new() };
    let mut request = json!({ "TableName": "events", "ReturnValuesOnConditionCheckFailure": returns });
    if writer.rng.bool() {
        request["ConditionExpression"] = writer.condition(2).into();
    }
    if writer.rng.bool() {
        let mut item = json!({ "pk": { "S": key } });
        for name in &NAMES {
            if writer.rng.bool() {
                continue;
            }
            let indexed = match *name {
                "due" => json!({ "S": pick(writer.rng, &["p0", "p1", "d0"]) }),
                "next_attempt_at" => json!({ "N": writer.rng.u8(..5).to_string() }),
                _ => value(writer.rng),
            };
            item[name.trim_start_matches('#')] = indexed;
        }
        request["Item"] = item;
        return ("PutItem", writer.finish(request));
    }
    request["Key"] = json!({ "pk": { "S": key } });
    request["UpdateExpression"] = writer.update().into();
    ("UpdateItem", writer.finish(request))
}

fn read(rng: &mut Rng) -> (&'static str, Value) {
    match rng.u8(..5) {
        0 => {
            let key = json!({ "pk": { "S": pick(rng, &KEYS) } });
            let mut request = json!({ "TableName": "events", "Key": key, "ConsistentRead": true });
            if rng.bool() {
                request["ProjectionExpression"] = "pk, #state, history".into();
                request["ExpressionAttributeNames"] = json!({ "#state": "state" });
            }
            ("GetItem", request)
        }
        1 => {
            let keys: Vec<_> = (0..rng.u8(1..4)).map(|_| json!({ "pk": { "S": pick(rng, &KEYS) } })).collect();
            ("BatchGetItem", json!({ "RequestItems": { "events": { "Keys": keys, "ConsistentRead": true } } }))
        }
        2 => {
            let mut request = json!({
                "TableName": "events",
                "IndexName": "due-index",
                "KeyConditionExpression": "due = :due AND next_attempt_at <= :by",
                "ExpressionAttributeValues": {
                    ":due": { "S": pick(rng, &["p0", "p1"]) },
                    ":by": { "N": rng.u8(1..6).to_string() },
                },
                "ScanIndexForward": rng.bool(),
            });
            if rng.bool() {
                request["Limit"] = rng.u8(1..4).into();
            }
            if rng.u8(..4) == 0 {
                request["Select"] = "COUNT".into();
            }
            ("Query", request)
        }
        3 => {
            let mut request = json!({ "TableName": "events", "IndexName": "due-index" });
            // More than there are keys: where a page of an index ends is not told.
            if rng.bool() {
                request["Limit"] = 10.into();
            }
            ("Scan", request)
        }
        _ => {
            let filter = "#state IN (:a, :b)";
            let values = json!({ ":a": { "S": "pending" }, ":b": { "N": "1" } });
            let names = json!({ "#state": "state" });
            let request = json!({ "TableName": "events", "FilterExpression": filter });
            let mut request = request;
            request["ExpressionAttributeValues"] = values;
            request["ExpressionAttributeNames"] = names;
            ("Scan", request)
        }
    }
}

#[test]
fn any_operations_are_answered_as_the_embedded_dynamodb_answers_them() {
    let (mut written, mut failed, mut invalid) = (0, 0, 0);
    for seed in 0..60 {
        let mut rng = Rng::with_seed(seed);
        let mut both = Both::new();
        for _ in 0..60 {
            let (operation, request) = if rng.u8(..3) > 0 { write(&mut rng) } else { read(&mut rng) };
            match both.check(operation, &request) {
                Said::Answer(_) => written += 1,
                Said::ConditionFailed(_) => failed += 1,
                Said::Invalid => invalid += 1,
            }
        }
        check_items(&both);
    }
    assert!(written > 1000 && failed > 200, "{written} answered, {failed} conditions failed, {invalid} refused");
}

#[track_caller]
fn check_items(both: &Both) {
    for (key, item) in both.ours.items("events") {
        let request = json!({ "TableName": "events", "Key": { "pk": { "S": key } } });
        let theirs = asked(&request, |request| both.theirs.get_item(request));
        assert_eq!(normal(Said::Answer(json!({ "Item": item }))), normal(theirs), "{key}");
    }
}

#[test]
fn the_tables_are_made_as_the_embedded_ones_are() {
    let definition = events_table_definition(tables::EVENTS);
    let index = &definition["GlobalSecondaryIndexes"][0];
    let ours = tables::due_index();
    assert_eq!(index["IndexName"], ours.name.as_str());
    assert_eq!(index["KeySchema"][0]["AttributeName"], ours.hash.as_str());
    assert_eq!(index["KeySchema"][1]["AttributeName"], ours.range.as_str());
    let projects = index["Projection"].get("NonKeyAttributes").cloned().unwrap_or_else(|| json!([]));
    assert_eq!(projects, json!(ours.projects));
}
