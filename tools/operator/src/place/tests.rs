use std::collections::BTreeMap;

use super::*;

fn named(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// A bridge in AWS, with these names; nothing asks it.
fn deployed(stack: Option<Stack>, parts: Parts) -> Place {
    let dev = DevFile {
        gateway_url: "http://127.0.0.1:9".to_owned(),
        dynamodb_url: "http://127.0.0.1:9".to_owned(),
        secrets_manager_url: "http://127.0.0.1:9".to_owned(),
        returning_ai_url: "http://127.0.0.1:9".to_owned(),
        rail_api_url: "http://127.0.0.1:9".to_owned(),
        webhook_port_url: None,
        real_secrets: BTreeSet::new(),
        parts,
        pid: 1,
    };
    let config = SdkConfig::builder().behavior_version(BehaviorVersion::latest()).region(Region::new("eu-west-1"));
    let site = Site::Aws { config: Box::new(config.build()), stack, flags: String::new() };
    Place { site, ..Place::local(&dev, http().unwrap()) }
}

fn tables(events: Option<&str>, customers: Option<&str>) -> Parts {
    Parts { events_table: events.and_then(named), customers_table: customers.and_then(named), ..Parts::default() }
}

#[test]
fn a_place_is_named_by_what_was_named() {
    let signing_secrets = BTreeMap::from([("rail".to_owned(), "bridge/rail/signing".to_owned())]);
    for (stack, parts, expected) in [
        (None, tables(Some("events"), None), "table events in eu-west-1"),
        (None, tables(None, Some("customers")), "table customers in eu-west-1"),
        (None, tables(Some("events"), Some("customers")), "tables events and customers in eu-west-1"),
        (None, Parts { signing_secrets, ..Parts::default() }, "secret bridge/rail/signing in eu-west-1"),
        (Some(Stack::of("bridge", &[])), tables(Some("events"), None), "stack bridge in eu-west-1"),
    ] {
        assert_eq!(deployed(stack, parts).name(), expected);
    }
}

#[test]
fn a_part_without_a_name_is_told_with_its_flag_or_its_output() {
    let problems = |place: &Place| {
        let events = place.events().err().map(|error| error.problem().to_owned());
        [events, place.redrive_function().err().map(|error| error.problem().to_owned())]
    };
    let missing = [
        named("Missing `--table`: the name of the events table"),
        named("Missing `--function`: the name of the redrive function"),
    ];
    assert_eq!(problems(&deployed(None, Parts::default())), missing);
    let stack = Stack::of("bridge", &[("CustomersTableName", "c")]);
    let parts = stack.parts();
    let missing = [
        named("Stack bridge has no output `EventsTableName`"),
        named("Stack bridge has no output `RedriveFunctionName`"),
    ];
    assert_eq!(problems(&deployed(Some(stack), parts)), missing);
}

#[test]
fn what_aws_refuses_is_told_with_what_helps() {
    let place = deployed(None, tables(Some("events"), Some("customers")));
    let hint = |table: &str, reason: &str| {
        let error = StoreError::Unavailable { table: table.to_owned(), reason: reason.to_owned() };
        place.store_error(&error).hint().to_owned()
    };
    for (table, reason, expected) in [
        (
            "events",
            "AccessDeniedException",
            "requires permissions `dynamodb:GetItem`, `BatchGetItem`, `Query` (also on its index) and `Scan`, and for changes \
             `PutItem` and `UpdateItem`, on table `events`",
        ),
        (
            "customers",
            "AccessDeniedException",
            "requires permissions `dynamodb:GetItem`, and for changes `PutItem` and `BatchWriteItem`, on table `customers`",
        ),
        (
            "events",
            "ResourceNotFoundException",
            "no such table or index: check the table's name, `--region` and `--profile`",
        ),
        (
            "events",
            "ValidationException",
            "this table does not have the key schema and index of an events table: check its name",
        ),
        ("events", "ExpiredTokenException", "AWS rejected the credentials: log in again, or pass another `--profile`"),
        ("events", "no answer", "try again; check that AWS is reachable and the region is right"),
    ] {
        assert_eq!(hint(table, reason), expected);
    }
    let denied =
        SecretError::Unreachable { id: "rail".to_owned(), reason: "AccessDeniedException".to_owned(), may_pass: false };
    let expected =
        "requires permission `secretsmanager:GetSecretValue`, and for changes `PutSecretValue`, on secret `rail`";
    assert_eq!(place.secret_error(&denied).hint(), expected);
}
