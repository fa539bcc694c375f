use std::path::Path;

use super::*;

const ROUTES: &str = r#"
[redact]
rail = ["/event_data/form"]

[[route]]
name = "first"
provider = "rail"
events = ["POSTED"]
when = { "/event_data/kind" = ["DEPOSIT"] }
workflow = "welcome"
event_type = "deposit.first"
once_per = "customerId"
customer = ["/event_data/customer_id", "rail-account:/event_data/account_id", "link:crm:/event_data/account_id"]
fields = { amount = "/event_data/amount", mail = { customer = "email" } }

[[route]]
name = "every"
provider = "rail"
events = ["POST*"]
incoming_webhook = "chat"
event_type = "deposit.posted"
customer = "/event_data/account_id"
fields = { form = { pointer = "/event_data/formular", optional = true } }

[[route]]
name = "payouts"
provider = "rail"
events = ["POSTED"]
when = [{ "/event_data/kind" = ["PAYOUT", "REFUND"] }, { "/event_data/payout" = ["YES"] }]
workflow = "welcome"
event_type = "payout"
customer = "/event_data/account_id"

[[route]]
name = "kyc"
provider = "rillis"
events = ["*"]
workflow = "kyc"
event_type = "kyc"
customer = "/data/user_id"
"#;

fn printed(body: &str) -> String {
    let routes = providers::parse_routes("routes.toml", ROUTES).unwrap();
    let preview = preview::Preview::new(body.as_bytes(), Path::new("body.json"), None, &routes).unwrap();
    let mut out = Lines::default();
    write(&mut out, &preview).unwrap();
    out.0
}

#[track_caller]
fn check(body: &str, expected: &str) {
    assert_eq!(printed(body), expected.trim_start_matches('\n'));
}

#[test]
fn the_messages_are_printed_with_what_would_be_asked_and_why_the_others_are_silent() {
    check(
        r#"{"event_id":"evt_1","event_date":"2023-11-20T14:32:18.123Z","event_type":"POSTED",
            "event_data":{"kind":"DEPOSIT","account_id":"A-1","amount":1000.00,"form":{"name":"x"}}}"#,
        r#"
rail POSTED evt_1

first → welcome
  once per customer: skipped if another event was first
  customer rail-account:/event_data/account_id: rail-account:A-1 is looked up in the customers table, then GET /v1/accounts/deposits/A-1
  customer link:crm:/event_data/account_id: crm:A-1 is looked up in the customers table
  field amount: /event_data/amount
  field mail: email of the customers table
  { "eventType": "deposit.first",
    "customerId": "(the customer of rail-account:A-1)",
    "occurredAt": "2023-11-20T14:32:18.123Z",
    "idempotencyKey": "rail:evt_1/first",
    "source": "rail",
    "sourceEventType": "POSTED",
    "amount": 1000.00,
    "mail": "(email)" }

every → incoming-webhook:chat
  customer /event_data/account_id: A-1
  field form?: not in the body
  { "eventType": "deposit.posted",
    "customerId": "A-1",
    "occurredAt": "2023-11-20T14:32:18.123Z",
    "idempotencyKey": "rail:evt_1/every",
    "source": "rail",
    "sourceEventType": "POSTED" }

Routes that do not match:
  payouts  /event_data/kind is none of PAYOUT, REFUND; and /event_data/payout is none of YES
  kyc      for events of rillis
"#,
    );
}

#[test]
fn a_message_that_cannot_be_made_tells_why() {
    let missing =
        printed(r#"{"event_id":"evt_1","event_type":"POSTED","event_data":{"kind":"DEPOSIT","account_id":"A-1"}}"#);
    assert!(missing.contains("\n  no message: mapping_failed /event_data/amount\n"), "{missing}");
    let nobody = printed(r#"{"event_id":"evt_1","event_type":"POSTED","event_data":{"kind":"DEPOSIT","amount":1}}"#);
    assert!(nobody.contains("\n  no message: customer_unknown\n"), "{nobody}");
    let places = "/event_data/customer_id, rail-account:/event_data/account_id, link:crm:/event_data/account_id";
    assert!(nobody.contains(&format!("\n  customer not in the body: {places}\n")), "{nobody}");
}

#[test]
fn a_body_that_nobody_wants_says_so_and_prints_nothing_a_terminal_would_act_on() {
    check(
        r#"{"event_id":"evt_1\u001b[2J","event_date":"2023-11-20T14:32:18Z","event_type":"CLOSED"}"#,
        "
rail CLOSED evt_1\\u001b[2J

No route matches: the event would be recorded as `ignored`.

Routes that do not match:
  first    not for CLOSED
  every    not for CLOSED
  payouts  not for CLOSED
  kyc      for events of rillis
",
    );
}
