//! The one door to the customers table: whose customer a provider's id is, and what is known of that person.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};

use crate::clock::UnixMillis;
use crate::record::store::{StoreError, string};
use crate::route::routes::CustomerAttribute;

/// The customers table.
#[derive(Clone, Debug)]
pub struct Customers {
    client: Client,
    table: String,
    first_wait: Duration,
}

/// What a customer is known by: `KIND:value`, at most [`MAX_REF_BYTES`].
///
/// KIND says whose id the value is, in lower-case letters, digits and `-`; the value is that id, and may hold a `:`.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct CustomerRef(String);

/// The broker's customer that a reference belongs to. Everything but the id and the time is optional, and empty or `None` when
/// nobody has said it.
#[derive(Clone, Eq, PartialEq)]
pub struct Customer {
    /// The broker's own id: a message's `customerId`.
    pub customer_id: String,
    pub email: Option<String>,
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    /// Logins of trading platforms.
    pub trading_accounts: Vec<String>,
    /// When this was written.
    pub updated_at: UnixMillis,
}

/// Why a text is no reference. Does not repeat the text.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CustomerRefError {
    #[error("`KIND:value` expected, KIND of lower-case letters, digits and `-`")]
    Kind,
    #[error("a value is expected after `KIND:`, without control characters")]
    Value,
    #[error("longer than {MAX_REF_BYTES} bytes")]
    TooLong,
}

/// DynamoDB's limit of a hash key, in bytes.
pub const MAX_REF_BYTES: usize = 2048;

/// DynamoDB's limit of a `BatchWriteItem`, in items.
pub const MAX_BATCH: usize = 25;

/// The kind under which a customer's own record is, by the broker's id.
const OWN_KIND: &str = "customer";

/// How often what DynamoDB has left out of a batch is sent: with the waits between, for about 20 s, in which an on-demand table
/// finds more capacity.
const BATCH_TRIES: u32 = 12;

/// The longest wait before the second try. It doubles with each, up to 6.4 s, and full jitter is drawn.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const MOST_DOUBLINGS: u32 = 6;

impl Customers {
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table, first_wait: FIRST_WAIT }
    }

    /// The customer that this reference belongs to; `None` when nobody has said.
    ///
    /// Reads what was last written, not what a replica may still show: an event is tried again right after its link was
    /// imported, and missing it would cost that event another wait.
    ///
    /// # Errors
    /// When DynamoDB does not answer, or the item is not one of ours.
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

    /// Writes whose reference this is, unless the table says something of it already: what was imported wins.
    ///
    /// # Errors
    /// When DynamoDB does not take it.
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
    /// When DynamoDB does not take it.
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

    /// [`put`](Self::put) for up to [`MAX_BATCH`] distinct references in one call. What DynamoDB leaves out, or turns away
    /// because it is [busy](StoreError::is_busy), is sent again after a wait, 12 times altogether: for about 20 s of waits.
    ///
    /// # Errors
    /// When DynamoDB does not take all of it; some of it may be written then. Writing it once more does no harm.
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

impl CustomerRef {
    /// `{kind}:{value}`.
    ///
    /// # Errors
    /// `kind` or `value` is empty, too long, or has characters that it may not have.
    pub fn new(kind: &str, value: &str) -> Result<Self, CustomerRefError> {
        if !Self::is_kind(kind) {
            return Err(CustomerRefError::Kind);
        }
        if value.is_empty() || value.chars().any(char::is_control) {
            return Err(CustomerRefError::Value);
        }
        if kind.len() + 1 + value.len() > MAX_REF_BYTES {
            return Err(CustomerRefError::TooLong);
        }
        Ok(Self(format!("{kind}:{value}")))
    }

    /// A text that is a reference already.
    ///
    /// # Errors
    /// It is not.
    pub fn parse(text: &str) -> Result<Self, CustomerRefError> {
        let (kind, value) = text.split_once(':').ok_or(CustomerRefError::Kind)?;
        Self::new(kind, value)
    }

    /// A customer's own record: what is known of a person whose broker's id the event itself carries.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn of_customer(customer_id: &str) -> Result<Self, CustomerRefError> {
        Self::new(OWN_KIND, customer_id)
    }

    pub fn is_kind(text: &str) -> bool {
        let letter = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        !text.is_empty() && text.bytes().all(letter)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CustomerRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Customer {
    /// A customer of whom only the id is known.
    pub fn new(customer_id: &str, now: UnixMillis) -> Self {
        Self {
            customer_id: customer_id.to_owned(),
            email: None,
            first_name: None,
            last_name: None,
            trading_accounts: Vec::new(),
            updated_at: now,
        }
    }

    /// Whether this much is known of the person.
    pub fn says(&self, attribute: CustomerAttribute) -> bool {
        match attribute {
            CustomerAttribute::Email => self.email.is_some(),
            CustomerAttribute::FirstName => self.first_name.is_some(),
            CustomerAttribute::LastName => self.last_name.is_some(),
            CustomerAttribute::TradingAccounts => !self.trading_accounts.is_empty(),
        }
    }

    /// The same, and of `other` what this does not say.
    pub fn completed_by(self, other: Self) -> Self {
        let accounts = if self.trading_accounts.is_empty() { other.trading_accounts } else { self.trading_accounts };
        Self {
            email: self.email.or(other.email),
            first_name: self.first_name.or(other.first_name),
            last_name: self.last_name.or(other.last_name),
            trading_accounts: accounts,
            ..self
        }
    }
}

impl fmt::Debug for Customer {
    /// The id, which messages carry, and nothing of the person.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Customer").field("customer_id", &self.customer_id).finish_non_exhaustive()
    }
}

type Item = HashMap<String, AttributeValue>;

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
