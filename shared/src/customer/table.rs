//! The one door to the customers table: which customer a provider's id belongs to, and what is known of that person.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};

use crate::clock::UnixMillis;
use crate::customer::reference::{Customer, CustomerRef};
use crate::record::store::error::StoreError;
use crate::record::store::item::{Item, string};

/// The customers table.
#[derive(Clone, Debug)]
pub struct Customers {
    client: Client,
    table: String,
    first_wait: Duration,
}

/// DynamoDB's limit of a `BatchWriteItem`, in items.
pub const MAX_BATCH: usize = 25;

/// How often unprocessed items of a batch are sent: with the waits between, for about 20 s, in which an on-demand table gains
/// capacity.
const BATCH_TRIES: u32 = 12;

/// The longest wait before the second try. It doubles with each try, up to 6.4 s, with full jitter.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const MOST_DOUBLINGS: u32 = 6;

impl Customers {
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table, first_wait: FIRST_WAIT }
    }

    /// The customer that this reference belongs to; `None` when it is not linked.
    ///
    /// The read is consistent: an event is tried again right after its link was imported, and missing the link would cost it
    /// another wait.
    ///
    /// # Errors
    /// When DynamoDB does not answer, or the item is malformed.
    pub async fn find(&self, reference: &CustomerRef) -> Result<Option<Customer>, StoreError> {
        let output = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("ref", string(reference.as_str()))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| self.unavailable(&error))?;
        output.item.map(|item| customer_of(reference, &item)).transpose()
    }

    /// Links this reference, unless it is linked already: an import wins.
    ///
    /// # Errors
    /// When DynamoDB rejects it.
    pub async fn remember(
        &self,
        reference: &CustomerRef,
        customer_id: &str,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        let customer = Customer::new(customer_id, now);
        let result = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item_of(reference, &customer)))
            .condition_expression("attribute_not_exists(#ref)")
            .expression_attribute_names("#ref", "ref")
            .send()
            .await;
        match result {
            Ok(_) => Ok(()),
            Err(error)
                if matches!(error.as_service_error(), Some(PutItemError::ConditionalCheckFailedException(_))) =>
            {
                Ok(())
            }
            Err(error) => Err(self.unavailable(&error)),
        }
    }

    /// Writes all that is known of a reference, in place of what was there.
    ///
    /// # Errors
    /// When DynamoDB rejects it.
    pub async fn put(&self, reference: &CustomerRef, customer: &Customer) -> Result<(), StoreError> {
        self.client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item_of(reference, customer)))
            .send()
            .await
            .map_err(|error| self.unavailable(&error))?;
        Ok(())
    }

    /// [`put`](Self::put) for up to [`MAX_BATCH`] distinct references in one call. Items that DynamoDB leaves unprocessed, or
    /// rejects because it is [busy](StoreError::is_busy), are sent again after a wait, up to 12 times in about 20 s.
    ///
    /// # Errors
    /// When DynamoDB does not take all items; some may be written then. Writing them again does no harm.
    pub async fn write_batch(&self, batch: &[(CustomerRef, Customer)]) -> Result<(), StoreError> {
        let mut left = Vec::with_capacity(batch.len());
        for (reference, customer) in batch {
            let put = PutRequest::builder().set_item(Some(item_of(reference, customer))).build();
            let put = put.map_err(|_| StoreError::Unreadable { pk: reference.to_string(), attribute: "ref" })?;
            left.push(WriteRequest::builder().put_request(put).build());
        }
        let mut tries = 0;
        while !left.is_empty() {
            let call = self.client.batch_write_item().request_items(&self.table, left.clone());
            let busy = match call.send().await.map_err(|error| self.unavailable(&error)) {
                Ok(output) => {
                    left = output.unprocessed_items.and_then(|mut items| items.remove(&self.table)).unwrap_or_default();
                    StoreError::Unavailable { table: self.table.clone(), reason: "answered in part".to_owned() }
                }
                Err(error) if error.is_busy() => error,
                Err(error) => return Err(error),
            };
            if left.is_empty() {
                break;
            }
            tries += 1;
            if tries == BATCH_TRIES {
                return Err(busy);
            }
            let longest = self.first_wait * (1 << (tries - 1).min(MOST_DOUBLINGS));
            tokio::time::sleep(longest.mul_f64(fastrand::f64())).await;
        }
        Ok(())
    }

    fn unavailable<E: ProvideErrorMetadata, R>(&self, error: &SdkError<E, R>) -> StoreError {
        StoreError::unavailable(&self.table, error)
    }
}

fn item_of(reference: &CustomerRef, customer: &Customer) -> Item {
    let logins = customer.trading_accounts.iter().map(string);
    let logins = (!customer.trading_accounts.is_empty()).then(|| AttributeValue::L(logins.collect()));
    let attributes = [
        ("ref", Some(string(reference.as_str()))),
        ("customer_id", Some(string(&customer.customer_id))),
        ("email", customer.email.as_ref().map(string)),
        ("first_name", customer.first_name.as_ref().map(string)),
        ("last_name", customer.last_name.as_ref().map(string)),
        ("trading_accounts", logins),
        ("updated_at", Some(AttributeValue::N(customer.updated_at.0.to_string()))),
    ];
    attributes.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// Reads an item back; the inverse of `item_of`.
fn customer_of(reference: &CustomerRef, item: &Item) -> Result<Customer, StoreError> {
    let unreadable = |attribute| StoreError::Unreadable { pk: reference.to_string(), attribute };
    let text = |name: &'static str| match item.get(name) {
        None => Ok(None),
        Some(value) => value.as_s().map(|text| Some(text.clone())).map_err(|_| unreadable(name)),
    };
    let logins = match item.get("trading_accounts") {
        None => Some(Vec::new()),
        Some(AttributeValue::L(list)) => list.iter().map(|login| login.as_s().ok().cloned()).collect(),
        Some(_) => None,
    };
    let updated_at = item.get("updated_at").and_then(|at| at.as_n().ok()?.parse().ok());
    Ok(Customer {
        customer_id: text("customer_id")?.filter(|id| !id.is_empty()).ok_or_else(|| unreadable("customer_id"))?,
        email: text("email")?,
        first_name: text("first_name")?,
        last_name: text("last_name")?,
        trading_accounts: logins.ok_or_else(|| unreadable("trading_accounts"))?,
        updated_at: updated_at.map(UnixMillis).ok_or_else(|| unreadable("updated_at"))?,
    })
}

#[cfg(test)]
mod tests;
