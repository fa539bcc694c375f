//! The routes of the simulation: few, and one of each kind.

/// Two workflows and an incoming webhook that fail apart from each other, and a third workflow that shares an event.
pub const DESTINATIONS: [&str; 4] = ["bonus", "deposit", "account", "incoming-webhook:kyc"];

pub const ROUTES: &str = r#"
[redact]
rillis = ["/data/identity"]

[rail.lookups]
payment = "/v1/payments/{/event_data/amount}"

[[route]]
name       = "first-deposit"
provider   = "rail"
events     = ["TRANSACTION_POSTED"]
workflow   = "bonus"
event_type = "deposit.first"
once_per   = "customerId"
customer   = ["/event_data/customer_id", "rail-account:/event_data/account_id"]

[route.fields]
amount = "/event_data/amount"
note   = "lookup:payment:/data/note"

[[route]]
name       = "deposit"
provider   = "rail"
events     = ["TRANSACTION_POSTED"]
workflow   = "deposit"
event_type = "deposit.posted"
customer   = ["/event_data/customer_id", "rail-account:/event_data/account_id"]

[route.fields]
amount = "/event_data/amount"
note   = { pointer = "lookup:payment:/data/note", optional = true }

[[route]]
name       = "account"
provider   = "rail"
events     = ["ACCOUNT_*"]
workflow   = "account"
event_type = "account.changed"
customer   = ["/event_data/customer_id"]

[route.fields]
status = { pointer = "/event_data/status", optional = true }

[[route]]
name       = "kyc"
provider   = "rillis"
events     = ["FLOW_COMPLETED"]
incoming_webhook = "kyc"
event_type = "kyc.approved"
customer   = ["link:rillis-user:/data/user_id"]

[route.fields]
flow = "/data/flow_id"

[[route]]
name       = "kyc-account"
provider   = "rillis"
events     = ["FLOW_COMPLETED"]
workflow   = "account"
event_type = "kyc.approved"
customer   = ["link:rillis-user:/data/user_id"]

[route.fields]
flow = "/data/flow_id"
"#;

/// The place of a route's destination in [`DESTINATIONS`].
pub fn destination_of(route: &str) -> Option<usize> {
    match route {
        "first-deposit" => Some(0),
        "deposit" => Some(1),
        "account" | "kyc-account" => Some(2),
        "kyc" => Some(3),
        _ => None,
    }
}

/// Whether a message of this route has what only the provider's API can say.
pub fn asks_the_api(route: &str) -> bool {
    ["first-deposit", "deposit"].contains(&route)
}

/// The destination whose pauses this key of the events table has.
pub fn destination_of_pauses(pk: &str) -> Option<usize> {
    let to = pk.strip_prefix("workflow#").map(str::to_owned);
    let to = to.or_else(|| Some(format!("incoming-webhook:{}", pk.strip_prefix("incoming-webhook#")?)))?;
    DESTINATIONS.iter().position(|name| *name == to)
}
