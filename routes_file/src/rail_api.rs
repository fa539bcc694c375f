//! What Rail's API answers about customers (`docs/contracts/rail.md`).

use shared::customer::provider_api::{Lookup, ProviderApi};

/// `customer_id` is the broker's own reference: the id that Rail was given when the customer was registered.
pub(crate) const API: ProviderApi = ProviderApi {
    secret_variable: "RAIL_API_SECRET_ID",
    scope: "accounts:read applications:read",
    lookups: &[
        Lookup { kind: "rail-account", path: "/v1/accounts/deposits/", answer: "/data/customer_id" },
        Lookup { kind: "rail-application", path: "/v1/applications/", answer: "/data/customer_id" },
    ],
};
