use crate::routes::{Known, Routes};

/// Every key of a routes file, and every form of its value.
const EVERYTHING: &str = r#"
[redact]
sample = ["/person", "/a~1b/0"]
other = ["/x"]

[sample.names]
account = ["/account", "/a/id"]
memo = "lookup:account:/data/memo"

[sample.lookups]
account = "/v1/accounts/{account}/last"

[sample.routes.c]
events = "PAID"
workflow = "w"
event_type = "e"
customer = "sample-account:account"
when = { account = "A-1" }
fields = ["account?", "memo"]

[[route]]
name = "a"
provider = "sample"
events = ["PAID", "BOOKED_*"]
workflow = "w"
event_type = "e"
customer = ["/customer", "link:sample-account:/account", "sample-form:/form"]
once_per = "customerId"
idempotency_field = "key"
when = [{ "/kind" = ["DEPOSIT", "é"] }, { "/kind" = ["X"], "/n" = ["1"] }]

[route.fields]
a = "/a"
b = ["/b/0", "/b"]
c = { const = "t" }
d = { const = 1.50 }
e = { const = true }
f = { customer = "email", optional = true }
g = { customer = "first_name" }
h = { customer = "last_name" }
i = { customer = "trading_accounts" }
j = { pointer = "/j", optional = true }

[[route]]
name = "b"
provider = "other"
events = ["*"]
incoming_webhook = "chat"
event_type = "f"
customer = "/customer"
"#;

#[test]
fn the_compiled_routes_are_those_of_the_file() {
    let routes = Routes::parse("routes.toml", EVERYTHING, Known::Anything).unwrap();
    let read = Routes::from_compiled(routes.compile().leak());
    // Nothing of a route is left out of this.
    assert_eq!(format!("{read:#?}"), format!("{routes:#?}"));
}

#[test]
#[should_panic = "the build wrote the routes"]
fn other_bytes_are_not_read_as_routes() {
    let routes = Routes::parse("routes.toml", EVERYTHING, Known::Anything).unwrap();
    Routes::from_compiled([routes.compile(), vec![0]].concat().leak());
}
