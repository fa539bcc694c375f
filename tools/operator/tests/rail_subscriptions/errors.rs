//! What goes wrong at Rail, and that no word of it gives a secret away.

use std::time::Duration;

use local::aws::AwsFault;
use local::faults::When;
use local::rail_api::{At, Fault, SAMPLE_CLIENT_SECRET};
use operator::rail_subscriptions::plan::{compare, plan};
use operator::rail_subscriptions::{Cause, Error, Operation, RailApi, RailError};
use serde_json::json;

use crate::rail_subscriptions::fixture::{API, World};

const CREATING: &str = "ACCOUNT_OPEN";

fn rail(operation: Operation, cause: Cause) -> Error {
    RailError { operation, cause }.into()
}

fn listing(cause: Cause) -> Error {
    rail(Operation::List, cause)
}

/// One call fails so, always, and the run says this.
async fn check(at: At, fault: Fault, tries: usize, expected: Error) {
    let world = World::needing(&[CREATING]);
    world.rail.inject(Some(at), fault.clone(), When::UntilCleared);
    assert_eq!(world.sync().await.unwrap_err(), expected, "{fault:?}");
    assert_eq!(world.rail.count(at), tries, "{fault:?}");
    world.rail.clear_faults();
    world.sync().await.unwrap();
    world.check_in_step(&format!("after {fault:?}"));
}

#[tokio::test]
async fn every_status_says_what_it_means_and_only_what_may_pass_is_tried_again() {
    let creating = || Operation::Create(CREATING.to_owned());
    let throttled = |s| Cause::Throttled { retry_after: Some(Duration::from_secs(s)) };
    let after = |after: &str| Fault::RetryAfter { status: 429, after: after.to_owned() };
    for (at, fault, tries, expected) in [
        (At::ListSubscriptions, Fault::Status(401), 2, listing(Cause::Unauthorized)),
        (At::ListSubscriptions, Fault::Status(403), 1, listing(Cause::Forbidden)),
        (At::ListSubscriptions, Fault::Status(404), 1, listing(Cause::NotFound)),
        (At::ListSubscriptions, after("0"), 4, listing(throttled(0))),
        (At::ListSubscriptions, after("3600"), 1, listing(throttled(3600))),
        (At::ListSubscriptions, Fault::Status(500), 4, listing(Cause::ServerError(500))),
        (At::ListSubscriptions, Fault::Status(302), 1, listing(Cause::Unreadable)),
        (At::ListSubscriptions, Fault::GarbageBody, 1, listing(Cause::Unreadable)),
        (At::ListSubscriptions, Fault::WrongContentType, 1, listing(Cause::Unreadable)),
        (At::ListSubscriptions, Fault::Garbage, 4, listing(Cause::NoAnswer)),
        (At::CreateSubscription, Fault::Status(403), 1, rail(creating(), Cause::Forbidden)),
        (At::CreateSubscription, Fault::Status(404), 1, rail(creating(), Cause::NotFound)),
        (At::CreateSubscription, Fault::Status(503), 4, rail(creating(), Cause::ServerError(503))),
        (At::CreateSubscription, Fault::GarbageBody, 1, rail(creating(), Cause::Unreadable)),
        (At::Token, Fault::Status(401), 1, listing(Cause::LoginRejected(401))),
        (At::Token, Fault::Status(500), 4, listing(Cause::ServerError(500))),
    ] {
        check(at, fault, tries, expected).await;
    }
}

/// A page with this entry and this `next`.
fn page(entry: &str, next: &str) -> Fault {
    Fault::Body(format!(r#"{{"data":{{"subscriptions":[{entry}]}},"links":{{"next":{next}}}}}"#))
}

const ENTRY: &str = r#"{"id":"sub_1","event_type":"ACCOUNT_OPEN","callback_url":"https://example.com/webhooks/rail"}"#;

#[tokio::test]
async fn a_list_ends_where_no_page_follows_and_not_where_that_cannot_be_read() {
    let ends = |ends| if ends { Ok(1) } else { Err(listing(Cause::Unreadable)) };
    for (next, expected) in [
        ("null", ends(true)),
        (r#""""#, ends(true)),
        ("7", ends(false)),
        ("false", ends(false)),
        ("[]", ends(false)),
        (r#"{"href":"/v1/subscriptions?page=2"}"#, ends(false)),
        (r#""\ud800""#, ends(false)),
        (r#""/v1/subscriptions""#, ends(false)),
    ] {
        let world = World::needing(&[CREATING]);
        world.rail.inject(Some(At::ListSubscriptions), page(ENTRY, next), When::Next(1));
        assert_eq!(world.open().api.list().await.map(|all| all.len()), expected, "{next}");
    }
    for (links, expected) in [("", ends(true)), (r#","links":null"#, ends(true)), (r#","links":[]"#, ends(false))] {
        let world = World::needing(&[CREATING]);
        let body = format!(r#"{{"data":{{"subscriptions":[{ENTRY}]}}{links}}}"#);
        world.rail.inject(Some(At::ListSubscriptions), Fault::Body(body), When::Next(1));
        assert_eq!(world.open().api.list().await.map(|all| all.len()), expected, "{links}");
    }
    let world = World::needing(&[CREATING]);
    let next = r#""/v1/subscriptions?page=2""#;
    world.rail.inject(Some(At::ListSubscriptions), page(ENTRY, next), When::Next(1));
    world.rail.inject(Some(At::ListSubscriptions), page(ENTRY, "null"), When::Next(1));
    assert_eq!(world.open().api.list().await.map(|all| all.len()), Ok(2));
}

#[tokio::test]
async fn what_is_not_used_of_an_answer_spoils_nothing() {
    let world = World::needing(&[CREATING]);
    let deep = format!("{}{}", "[".repeat(300), "]".repeat(300));
    let odd = format!("\"note\":\"\\ud800\",\"n\":1e999,\"deep\":{deep},");
    let list =
        format!("\u{feff}{{{odd}\"data\":{{\"subscriptions\":[{}]}}}}", ENTRY.replacen('{', &format!("{{{odd}"), 1));
    world.rail.inject(Some(At::ListSubscriptions), Fault::Body(list), When::Next(1));
    let listed = world.open().api.list().await.unwrap();
    assert_eq!(listed.iter().map(|it| it.id.as_str()).collect::<Vec<_>>(), ["sub_1"]);

    let created = format!("{{{odd}\"data\":{{{odd}\"id\":\"sub_2\",\"signature_verification_key\":\"whsec_2\"}}}}");
    world.rail.inject(Some(At::CreateSubscription), Fault::Body(created), When::Next(1));
    assert_eq!(world.open().api.create(CREATING, &world.url, 1).await.unwrap().id, "sub_2");
}

#[tokio::test]
async fn what_passes_is_got_over() {
    let world = World::needing(&[CREATING, "ACCOUNT_CLOSED"]);
    let after = Fault::RetryAfter { status: 429, after: "0".to_owned() };
    for fault in [after, Fault::Status(500), Fault::ResetAfter, Fault::RevokeTokens] {
        world.rail.inject(Some(At::CreateSubscription), fault, When::Next(1));
    }
    world.rail.inject(Some(At::ListSubscriptions), Fault::Reset, When::Next(1));
    world.sync().await.unwrap();
    world.check_in_step("after all");
}

#[tokio::test]
async fn a_scope_that_the_client_lacks_is_told_apart_from_a_client_that_rail_does_not_know() {
    let world = World::needing(&[CREATING]);
    world.rail.set_scopes(&["subscriptions:read"]);
    assert_eq!(world.sync().await.unwrap_err(), listing(Cause::ScopeRejected));
    let reading = world.open_with(&RailApi::READING);
    assert_eq!(reading.snapshot().await.unwrap().subscriptions, []);
    let url = &world.url;
    let error = reading.api.create(CREATING, url, 1).await.unwrap_err();
    assert_eq!(error, rail(Operation::Create(CREATING.to_owned()), Cause::Forbidden));
    world.rail.set_client_secret("another");
    assert_eq!(world.sync().await.unwrap_err(), listing(Cause::LoginRejected(401)));
}

#[tokio::test]
async fn an_account_that_cannot_be_used_is_named() {
    let world = World::needing(&[CREATING]);
    world.secrets.put(API, &json!({ "base_url": "http://example.com/hunter2" })).unwrap();
    let error = world.open().api.check_account().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "secret `bridge/rail/api`: base_url: an https URL, or an http one on this machine expected"
    );
    assert_eq!(world.sync().await.unwrap_err(), listing(Cause::NoAccount));
}

/// The client secret, the tokens and the keys are marked: none is in anything that can be printed.
#[tokio::test]
async fn nothing_that_can_be_printed_holds_a_secret() {
    let mut printed = String::new();
    for (at, fault) in [
        (At::Token, Fault::Status(400)),
        (At::ListSubscriptions, Fault::Status(500)),
        (At::CreateSubscription, Fault::Status(403)),
        (At::CreateSubscription, Fault::GarbageBody),
        (At::DeleteSubscription, Fault::Status(500)),
    ] {
        for shown in [true, false] {
            let world = World::needing(&[CREATING]);
            world.rail.show_keys_in_list(shown);
            world.rail.add_subscription(CREATING, world.url.as_str());
            world.rail.inject(Some(at), fault.clone(), When::UntilCleared);
            let outcome = world.sync_with(true, |progress| printed += &format!("{progress:?}\n")).await;
            if let Err(error) = &outcome {
                printed += &format!("{error}\n");
            }
            printed += &format!("{outcome:?}\n");
            world.rail.clear_faults();
            world.secrets.inject(Some("PutSecretValue"), AwsFault::InternalError, When::Next(3));
            printed += &format!("{:?}\n", world.rotate(None).await);
            let snapshot = world.open().snapshot().await.unwrap();
            let steps = plan(&snapshot, &world.required, &world.url, true, &[].into());
            let rows = compare(&snapshot, &world.required, &world.url);
            printed += &format!("{snapshot:?}\n{steps:?}\n{rows:?}\n");
        }
    }
    assert!(printed.contains("ServerError(500)") && printed.contains("Key(..)"), "{printed}");
    for secret in ["whsec_", "rail_sample_token_", SAMPLE_CLIENT_SECRET, "Bearer", "Basic"] {
        assert!(!printed.contains(secret), "{secret} in {printed}");
    }
}
