//! What a route may say of a customer.

/// An attribute that the customers table may hold besides the id.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CustomerAttribute {
    Email,
    FirstName,
    LastName,
    /// MT4/MT5 logins, a list.
    TradingAccounts,
}

impl CustomerAttribute {
    pub const ALL: [Self; 4] = [Self::Email, Self::FirstName, Self::LastName, Self::TradingAccounts];

    /// As in the file and in the customers table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::FirstName => "first_name",
            Self::LastName => "last_name",
            Self::TradingAccounts => "trading_accounts",
        }
    }
}

/// Whether `text` can tell whose id a value is: lower-case letters, digits and `-`.
pub fn is_kind(text: &str) -> bool {
    let letter = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    !text.is_empty() && text.bytes().all(letter)
}
