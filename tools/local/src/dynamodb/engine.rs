//! The embedded engine, called by the names of DynamoDB's operations.

use bytes::Bytes;
use dynoxide::{Database, DynoxideError};
use http::{Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::aws::{AwsFront, Dialect};
use crate::front::text_response;

/// How DynamoDB spells things.
pub(super) const DYNAMODB: Dialect = Dialect {
    target_prefix: "DynamoDB_20120810.",
    content_type: "application/x-amz-json-1.0",
    exception_prefix: "com.amazonaws.dynamodb.v20120810#",
    throttle: "ProvisionedThroughputExceededException",
};

/// Does `operation` and gives its answer as DynamoDB does.
pub(super) fn call(database: &Database, aws: &AwsFront, operation: &str, request: &[u8]) -> Response<Bytes> {
    let answer = match operation {
        "BatchExecuteStatement" => run(request, |it| database.batch_execute_statement(it)),
        "BatchGetItem" => run(request, |it| database.batch_get_item(it)),
        "BatchWriteItem" => run(request, |it| database.batch_write_item(it)),
        "CreateTable" => run(request, |it| database.create_table(it)),
        "DeleteItem" => run(request, |it| database.delete_item(it)),
        "DeleteTable" => run(request, |it| database.delete_table(it)),
        "DescribeTable" => run(request, |it| database.describe_table(it)),
        "DescribeTimeToLive" => run(request, |it| database.describe_time_to_live(it)),
        "ExecuteStatement" => run(request, |it| database.execute_statement(it)),
        "ExecuteTransaction" => run(request, |it| database.execute_transaction(it)),
        "GetItem" => run(request, |it| database.get_item(it)),
        "ListTables" => run(request, |it| database.list_tables(it)),
        "ListTagsOfResource" => run(request, |it| database.list_tags_of_resource(it)),
        "PutItem" => run(request, |it| database.put_item(it)),
        "Query" => run(request, |it| database.query(it)),
        "Scan" => run(request, |it| database.scan(it)),
        "TagResource" => run(request, |it| database.tag_resource(it)),
        "TransactGetItems" => run(request, |it| database.transact_get_items(it)),
        "TransactWriteItems" => run(request, |it| database.transact_write_items(it)),
        "UntagResource" => run(request, |it| database.untag_resource(it)),
        "UpdateItem" => run(request, |it| database.update_item(it)),
        "UpdateTable" => run(request, |it| database.update_table(it)),
        "UpdateTimeToLive" => run(request, |it| database.update_time_to_live(it)),
        _ => return aws.unknown_operation(operation),
    };
    match answer {
        Ok(answer) => text_response(StatusCode::OK, DYNAMODB.content_type, answer),
        Err(error) => {
            let status = StatusCode::from_u16(error.status_code()).unwrap_or(StatusCode::BAD_REQUEST);
            text_response(status, DYNAMODB.content_type, error.to_json())
        }
    }
}

fn run<Q: DeserializeOwned, A: Serialize>(
    request: &[u8],
    operation: impl FnOnce(Q) -> Result<A, DynoxideError>,
) -> Result<String, DynoxideError> {
    let request =
        serde_json::from_slice(request).map_err(|error| DynoxideError::SerializationException(error.to_string()))?;
    let answer = operation(request)?;
    serde_json::to_string(&answer).map_err(|error| DynoxideError::InternalServerError(error.to_string()))
}
