//! Customers: the references that identify them, and what the customers table knows of a person.

use std::fmt;

use route::customer::{CustomerAttribute, is_kind};

use crate::clock::UnixMillis;

/// Identifies a customer: `KIND:value`, at most [`MAX_REF_BYTES`].
///
/// KIND tells whose id the value is, in lower-case letters, digits and `-`; the value is that id, and may contain a `:`.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct CustomerRef(String);

/// The broker's customer that a reference belongs to. All but the id and the time is optional: `None` or empty when unknown.
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

/// Why a text is not a reference. Does not repeat the text.
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

/// The kind of a customer's own record, which is kept under the broker's id.
const OWN_KIND: &str = "customer";

impl CustomerRef {
    /// `{kind}:{value}`.
    ///
    /// # Errors
    /// `kind` or `value` is empty, too long, or has characters that it may not have.
    pub fn new(kind: &str, value: &str) -> Result<Self, CustomerRefError> {
        if !is_kind(kind) {
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

    /// Reads `{kind}:{value}`.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn parse(text: &str) -> Result<Self, CustomerRefError> {
        let (kind, value) = text.split_once(':').ok_or(CustomerRefError::Kind)?;
        Self::new(kind, value)
    }

    /// The reference of a customer's own record, for an event that carries the broker's id itself.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn of_customer(customer_id: &str) -> Result<Self, CustomerRefError> {
        Self::new(OWN_KIND, customer_id)
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

    /// Whether this attribute is known.
    pub fn says(&self, attribute: CustomerAttribute) -> bool {
        match attribute {
            CustomerAttribute::Email => self.email.is_some(),
            CustomerAttribute::FirstName => self.first_name.is_some(),
            CustomerAttribute::LastName => self.last_name.is_some(),
            CustomerAttribute::TradingAccounts => !self.trading_accounts.is_empty(),
        }
    }

    /// The same, with unknown attributes taken from `other`.
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
    /// Shows the id, which messages carry, and nothing personal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Customer").field("customer_id", &self.customer_id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
