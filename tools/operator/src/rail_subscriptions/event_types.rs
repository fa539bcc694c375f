//! The event types that Rail's pages name (`docs/contracts/rail.md`), and those that routes need.

use std::collections::BTreeSet;

use route::routes::{EventPattern, Routes};

/// Which of Rail's pages names an event type.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Source {
    OpenApi,
    /// Not in the OpenAPI description, so Rail may refuse a subscription for it.
    GuideOnly,
    /// Neither. A routes file may know more than the pages.
    Neither,
}

/// The event types that routes need. Each needs a subscription.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RequiredTypes {
    pub types: BTreeSet<String>,
    /// Patterns of the file that no known type matches. They lead to no subscription.
    pub unmatched: Vec<String>,
}

/// Every type that Rail's pages name.
pub const EVENT_TYPES: [(&str, Source); 47] = {
    use Source::{GuideOnly, OpenApi};
    [
        ("ACCOUNT_EDD_L2F", OpenApi),
        ("ACCOUNT_FROZEN_L2F", OpenApi),
        ("ACCOUNT_PENDING_L2F", OpenApi),
        ("ACCOUNT_CLOSED", OpenApi),
        ("ACCOUNT_DORMANT", OpenApi),
        ("ACCOUNT_EDD", OpenApi),
        ("ACCOUNT_FROZEN", OpenApi),
        ("ACCOUNT_OPEN", OpenApi),
        ("ACCOUNT_PENDING", OpenApi),
        ("ACCOUNT_DEPOSIT_INSTRUCTIONS_UPDATE", OpenApi),
        ("APPLICATION_CHANGE_REQUESTED", OpenApi),
        ("APPLICATION_CHANGES_REQUESTED", GuideOnly),
        ("APPLICATION_READY_FOR_SUBMISSION", OpenApi),
        ("APPLICATION_APPROVED", OpenApi),
        ("APPLICATION_INCOMPLETE", OpenApi),
        ("APPLICATION_PROCESSING", OpenApi),
        ("APPLICATION_REJECTED", OpenApi),
        ("APPLICATION_SUBMITTED", OpenApi),
        ("COUNTERPARTY_EDD_L2F", OpenApi),
        ("COUNTERPARTY_FROZEN_L2F", OpenApi),
        ("COUNTERPARTY_PENDING_L2F", OpenApi),
        ("COUNTERPARTY_ACTIVE", OpenApi),
        ("COUNTERPARTY_CLOSED", OpenApi),
        ("COUNTERPARTY_EDD", OpenApi),
        ("COUNTERPARTY_FROZEN", OpenApi),
        ("COUNTERPARTY_PENDING", OpenApi),
        ("CUSTOMER_EDD_L2F", OpenApi),
        ("CUSTOMER_FROZEN_L2F", OpenApi),
        ("CUSTOMER_PENDING_L2F", OpenApi),
        ("CUSTOMER_ACTIVE", OpenApi),
        ("CUSTOMER_CLOSED", OpenApi),
        ("CUSTOMER_EDD", OpenApi),
        ("CUSTOMER_FROZEN", OpenApi),
        ("CUSTOMER_PENDING", OpenApi),
        ("DEPOSIT_ACCEPTED", GuideOnly),
        ("DEPOSIT_COMPLETED", GuideOnly),
        ("EXCHANGE_ACCEPTED", GuideOnly),
        ("EXCHANGE_COMPLETED", GuideOnly),
        ("TRANSACTION_AUTHORIZED", OpenApi),
        ("TRANSACTION_CANCELLED", OpenApi),
        ("TRANSACTION_PENDING", OpenApi),
        ("TRANSACTION_POSTED", OpenApi),
        ("WITHDRAWAL_CHANGES_REQUESTED", OpenApi),
        ("WITHDRAWAL_REQUESTED", GuideOnly),
        ("WITHDRAWAL_ACCEPTED", GuideOnly),
        ("WITHDRAWAL_COMPLETED", GuideOnly),
        ("WITHDRAWAL_CANCELLED", GuideOnly),
    ]
};

/// Which page names `event_type`.
pub fn source(event_type: &str) -> Source {
    let known = EVENT_TYPES.iter().find(|(name, _)| *name == event_type);
    known.map_or(Source::Neither, |(_, source)| *source)
}

impl RequiredTypes {
    /// What the routes of `provider` name: exact types as they are, prefixes as the known types that start with them.
    pub fn of(routes: &Routes, provider: &str) -> Self {
        let mut required = Self::default();
        for pattern in routes.patterns(provider) {
            match pattern {
                EventPattern::Exactly(name) => {
                    required.types.insert(name.clone());
                }
                EventPattern::Prefix(prefix) => {
                    let fitting = EVENT_TYPES.iter().map(|(name, _)| *name).filter(|name| pattern.fits(name));
                    let fitting: Vec<_> = fitting.map(str::to_owned).collect();
                    if fitting.is_empty() {
                        required.unmatched.push(format!("{prefix}*"));
                    }
                    required.types.extend(fitting);
                }
            }
        }
        required
    }
}

#[cfg(test)]
mod tests;
