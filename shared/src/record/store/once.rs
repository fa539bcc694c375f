//! Who was the first: one item for each route and customer, taken once and kept for ever.

use aws_sdk_dynamodb::operation::put_item::PutItemError;

use crate::clock::UnixMillis;
use crate::record::store::EventStore;
use crate::record::store::error::StoreError;
use crate::record::store::item::{number, string};

/// What claiming a route for a customer came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ClaimOutcome {
    /// It is this owner's: taken now, or by an earlier try of the same owner.
    Ours,
    /// Somebody else was first.
    Taken,
}

/// Claims share the table; no provider is called `once`.
const ONCE_PK_PREFIX: &str = "once#";

impl EventStore {
    /// Takes a route for a customer, unless somebody else has it: one conditional write of `once#{route}#{customer}`.
    ///
    /// An owner that asks again finds itself there, so whoever won stays the winner however often it is tried. `owner` is the
    /// key of an event, or `import`. The item has no `expires_at`: what happened once has happened.
    ///
    /// # Errors
    /// When DynamoDB does not take it. Whether the write took effect is not known then; asking again tells.
    pub async fn claim_once(
        &self,
        route: &str,
        customer: &str,
        owner: &str,
        now: UnixMillis,
    ) -> Result<ClaimOutcome, StoreError> {
        let result = self
            .client
            .put_item()
            .table_name(&self.table)
            .item("pk", string(once_pk(route, customer)))
            .item("owner", string(owner))
            .item("taken_at", number(now.0))
            .condition_expression("attribute_not_exists(pk) OR #owner = :owner")
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_values(":owner", string(owner))
            .send()
            .await;
        let Err(error) = result else {
            return Ok(ClaimOutcome::Ours);
        };
        match error.as_service_error() {
            Some(PutItemError::ConditionalCheckFailedException(_)) => Ok(ClaimOutcome::Taken),
            _ => Err(self.unavailable(&error)),
        }
    }
}

fn once_pk(route: &str, customer: &str) -> String {
    format!("{ONCE_PK_PREFIX}{route}#{customer}")
}
