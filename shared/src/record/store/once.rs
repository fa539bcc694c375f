//! `once_per`: one item for each route and customer, claimed once and kept for ever.

use aws_sdk_dynamodb::operation::put_item::PutItemError;

use crate::clock::UnixMillis;
use crate::record::key;
use crate::record::store::EventStore;
use crate::record::store::error::StoreError;
use crate::record::store::item::{number, string};

/// The outcome of claiming a route for a customer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ClaimOutcome {
    /// It is this owner's: claimed now, or by an earlier try of the same owner.
    Ours,
    /// Another owner was first.
    Taken,
}

impl EventStore {
    /// Claims a route for a customer, unless another owner has it: one conditional write of `once#{route}#{customer}`.
    ///
    /// An owner that asks again gets the same answer, however often it tries, provided that its claim was taken no earlier
    /// than `taken_from`: an older one under this key is that of an event whose record has expired since. `owner` is the key of
    /// an event, or `import`.
    /// The item has no `expires_at`, since a first time stays the first.
    ///
    /// # Errors
    /// When DynamoDB rejects it. The write may have taken effect all the same; asking again tells.
    pub async fn claim_once(
        &self,
        route: &str,
        customer: &str,
        owner: &str,
        taken_from: UnixMillis,
        now: UnixMillis,
    ) -> Result<ClaimOutcome, StoreError> {
        let result = self
            .client
            .put_item()
            .table_name(&self.table)
            .item("pk", string(key::claim(route, customer)))
            .item("owner", string(owner))
            .item("taken_at", number(now.0))
            .condition_expression("attribute_not_exists(pk) OR (#owner = :owner AND taken_at >= :from)")
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_values(":owner", string(owner))
            .expression_attribute_values(":from", number(taken_from.0))
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
