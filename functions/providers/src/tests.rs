use std::fs;
use std::path::Path;

use json::{Document, Pointer};
use route::routes::{CustomerSource, Fit, Known, Route};
use shared::clock::UnixMillis;
use shared::deliver::message;
use shared::deliver::resolver::{MessageCustomer, id_at};
use shared::record::event::{EventRecord, Fetched};
use shared::record::key;

use super::*;

#[test]
fn the_file_is_sound() {
    let routes = routes();
    assert!(!routes.all().is_empty());
    assert_eq!(routes.providers(), ALL.iter().map(|provider| provider.name).collect());
}

#[test]
fn the_build_knows_every_provider_and_all_that_their_apis_can_be_asked() {
    let Known::Only { providers, apis, kinds } = known::KNOWN else { panic!("{:?}", known::KNOWN) };
    assert_eq!(providers, ALL.iter().map(|provider| provider.name).collect::<Vec<_>>());
    let with_api = ALL.iter().filter(|provider| provider.api.is_some());
    assert_eq!(apis, with_api.map(|provider| provider.name).collect::<Vec<_>>());
    assert_eq!(kinds, lookups().map(|lookup| lookup.kind).collect::<Vec<_>>());
}

#[test]
fn no_provider_s_events_have_keys_that_other_items_have() {
    for provider in ALL {
        assert!(provider.name.bytes().all(|byte| byte.is_ascii_lowercase()), "{}", provider.name);
        assert!(!key::NO_PROVIDERS.contains(&provider.name), "{}", provider.name);
    }
}

#[test]
fn personal_data_of_rillis_is_cut_and_nothing_of_rail() {
    let routes = routes();
    let cut = |provider: &str| routes.redacted(provider).iter().map(Pointer::as_str).collect::<Vec<_>>();
    assert_eq!(cut("rillis"), ["/data/onboarding", "/data/identity"]);
    assert!(cut("rail").is_empty());
}

#[test]
fn each_documented_fact_goes_to_its_routes() {
    let routes = routes();
    for (provider, event_type, body, expected) in [
        ("rillis", "FLOW_COMPLETED", "{}", &["kyc-approved"][..]),
        ("rillis", "FLOW_REJECTED", "{}", &["kyc-rejected"]),
        ("rillis", "ONBOARDING_FORM_INDIVIDUAL_COMPLETED", "{}", &[]),
        ("rail", "FLOW_COMPLETED", "{}", &[]),
        (
            "rail",
            "TRANSACTION_POSTED",
            r#"{"event_data":{"category":"DEPOSIT"}}"#,
            &["first-deposit", "deposit-posted"],
        ),
        (
            "rail",
            "TRANSACTION_POSTED",
            r#"{"event_data":{"transaction":{"category":"DEPOSIT"}}}"#,
            &["first-deposit", "deposit-posted"],
        ),
        ("rail", "TRANSACTION_POSTED", r#"{"event_data":{"category":"WITHDRAWAL"}}"#, &[]),
        ("rail", "ACCOUNT_FROZEN_L2F", "{}", &["account-frozen"]),
    ] {
        let document = Document::parse(body.as_bytes()).unwrap();
        let names: Vec<_> =
            routes.matching(provider, event_type, document.root()).map(|route| route.name.as_str()).collect();
        assert_eq!(names, expected, "{provider} {event_type} {body}");
    }
}

#[test]
fn the_routes_make_these_messages() {
    let routes = routes();
    for (route, provider, event_type, body, expected) in [
        (
            "kyc-approved",
            "rillis",
            "FLOW_COMPLETED",
            r#"{"data":{"flow_id":"f1","metadata":{"customerId":"C-1001"},"user_id":"u1","status":"COMPLETED"}}"#,
            concat!(
                r#"{"eventType":"kyc.approved","customerId":"C-1001","occurredAt":"2025-02-05T19:37:51.042Z","#,
                r#""idempotencyKey":"rillis:evt_1/kyc-approved","source":"rillis","sourceEventType":"FLOW_COMPLETED","#,
                r#""flowId":"f1","rillisUserId":"u1","status":"COMPLETED"}"#
            ),
        ),
        (
            "deposit-posted",
            "rail",
            "TRANSACTION_POSTED",
            r#"{"event_data":{"transaction_id":"txn_1","account_id":"A-1","amount":1000.00,"asset_type_id":"USD"}}"#,
            concat!(
                r#"{"eventType":"deposit.posted","customerId":"C-1001","occurredAt":"2025-02-05T19:37:51.042Z","#,
                r#""idempotencyKey":"rail:evt_1/deposit-posted","source":"rail","sourceEventType":"TRANSACTION_POSTED","#,
                r#""amount":1000.00,"currency":"USD","tradingAccount":"A-1","transactionId":"txn_1"}"#
            ),
        ),
        (
            "first-deposit",
            "rail",
            "TRANSACTION_POSTED",
            r#"{"event_data":{"transaction":{"id":"txn_1","amount":"0.10"},"account":{"id":"A-1"}}}"#,
            concat!(
                r#"{"eventType":"deposit.first","customerId":"C-1001","occurredAt":"2025-02-05T19:37:51.042Z","#,
                r#""idempotencyKey":"rail:evt_1/first-deposit","source":"rail","sourceEventType":"TRANSACTION_POSTED","#,
                r#""amount":"0.10","tradingAccount":"A-1","transactionId":"txn_1"}"#
            ),
        ),
    ] {
        let event = EventRecord::received(
            provider,
            "evt_1".to_owned(),
            Some(event_type.to_owned()),
            UnixMillis(1_738_784_271_042),
            UnixMillis(1_747_253_577_000),
            body.to_owned(),
        );
        let document = Document::parse(body.as_bytes()).unwrap();
        let customer = MessageCustomer::of("C-1001".to_owned());
        let message =
            message::compose(&event, document.root(), routes.by_name(route).unwrap(), &customer, &Fetched::new());
        assert_eq!(message.as_deref(), Ok(expected));
    }
}

/// The same routes with every pointer written out, without names.
const IN_FULL: &str = include_str!("tests/routes_in_full.toml");

#[test]
fn the_names_of_the_routes_file_say_what_its_pointers_said() {
    let (old, new) = (parse_routes("routes_in_full.toml", IN_FULL).unwrap(), routes());
    let summary = |routes: &Routes| {
        let route = |it: &Route| {
            let fields: Vec<_> = it.fields.iter().map(|field| (field.name.clone(), field.optional)).collect();
            let patterns = format!("{} {} {} {}", it.name, it.provider, it.destination, it.event_type);
            (patterns, it.once_per_customer, it.idempotency_field.clone(), fields)
        };
        routes.all().iter().map(route).collect::<Vec<_>>()
    };
    assert_eq!(summary(&new), summary(&old));

    let mut messages = 0;
    for provider in ALL {
        assert_eq!(new.redacted(provider.name), old.redacted(provider.name));
        assert_eq!(new.patterns(provider.name), old.patterns(provider.name));
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events").join(provider.name);
        for file in fs::read_dir(folder).unwrap() {
            let file = file.unwrap().path();
            let text = fs::read_to_string(&file).unwrap();
            let event = event_of(provider, &text, &new);
            let body = Document::parse(event.body.as_bytes()).unwrap();
            for (old, new) in old.all().iter().zip(new.all()) {
                let made = |route: &Route| {
                    let event_type = event.event_type.as_deref().unwrap_or_default();
                    let matches = route.fit(provider.name, event_type, body.root()) == Fit::Matches;
                    let id =
                        |source: &CustomerSource| Some((source.to_string(), id_at(body.root(), source.pointer())?));
                    matches.then(|| {
                        let customer = route.customer.iter().find_map(id);
                        let known = MessageCustomer::of("C-1".to_owned());
                        (customer, message::compose(&event, body.root(), route, &known, &Fetched::new()))
                    })
                };
                assert_eq!(made(new), made(old), "{} {}", new.name, file.display());
                messages += usize::from(made(new).is_some());
            }
        }
    }
    assert!(messages > 20, "{messages} messages were compared");
}

fn event_of(provider: &Provider, body: &str, routes: &Routes) -> EventRecord {
    let document = Document::of(body).unwrap();
    let envelope = provider.read_envelope(document.root());
    EventRecord::received(
        provider.name,
        envelope.event_id.unwrap(),
        envelope.event_type,
        envelope.occurred_at.unwrap(),
        UnixMillis(1_747_253_577_000),
        document.without(routes.redacted(provider.name)).into_owned(),
    )
}
