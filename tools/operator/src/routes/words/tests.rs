use super::*;

const ROUTES: &str = r#"
[rail.names]
customer = "/customer"
category = ["/event_data/category", "/category"]
amount   = "/amount"

[rail.lookups]
account = "/v1/accounts/{amount}"

[rail.routes.first]
events     = "POSTED"
when       = { category = "DEPOSIT" }
workflow   = "welcome"
event_type = "deposit.first"
once_per   = "customerId"
fields     = ["amount", { "note?" = ["/note", "lookup:account:/data/note"], "mail?" = { customer = "email" }, plan = { const = "gold" } }]

[rail.routes.every]
events           = ["POSTED", "ACCOUNT_*"]
when             = [{ category = ["A", "B"], "/s/0/state" = "X" }, { "/other" = "C" }]
incoming_webhook = "chat"
event_type       = "any"
"#;

#[test]
fn a_route_is_one_sentence() {
    let routes = providers::parse_routes("routes.toml", ROUTES).unwrap();
    let words: Vec<_> = routes.all().iter().map(in_words).collect();
    assert_eq!(
        words,
        [
            "first POSTED (category DEPOSIT) of each customer → workflow welcome, as deposit.first with amount, \
             mail? (customers table), note? (look-up account), plan = \"gold\"",
            "POSTED or ACCOUNT_* (state X and category A or B; or other C) → incoming webhook chat, as any",
        ]
    );
}

#[test]
fn the_first_deposit_reads_as_it_is_meant() {
    let routes = providers::routes();
    assert_eq!(
        in_words(routes.by_name("first-deposit").unwrap()),
        "first TRANSACTION_POSTED (category DEPOSIT) of each customer → workflow first-deposit, as deposit.first with \
         amount, currency?, status?, tradingAccount?, transactionId?"
    );
}
