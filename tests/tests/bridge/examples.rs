//! Every body of `events/` becomes what `events/expected.toml` says.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use json::{Document, Pointer};

use crate::bridge::fixture::*;

#[tokio::test]
async fn every_example_ends_as_expected() {
    let expected = expectations();
    assert!(expected.len() >= 60, "{} examples", expected.len());
    let bridge = Bridge::start().await;
    bridge.import_sample_customers().await;
    for (file, expected) in &expected {
        let body = std::fs::read(folder().join(file)).unwrap();
        let (folder, _) = file.split_once('/').unwrap();
        let provider = providers::by_name(folder).unwrap();
        let answer = bridge.post(provider.name, body.clone()).await;
        bridge.settled().await;
        let status = expected["answer"].as_str().unwrap();
        assert_eq!(answer.told(), (200, format!(r#"{{"status":"{status}"}}"#).as_str()), "{file}");

        let document = Document::parse(&body).unwrap();
        let event_id = provider.read_envelope(document.root()).event_id.unwrap();
        let provider = provider.name;
        let item = bridge.item(&format!("{provider}#{event_id}"));
        assert_eq!(item["state"].as_str(), expected["state"].as_str(), "{file}: {item}");
        let skips = expected.get("skips").and_then(|routes| routes.as_array()).cloned().unwrap_or_default();
        let skips: Vec<_> = skips.iter().filter_map(|route| route.as_str()).collect();
        let deliveries = item["deliveries"].as_object().unwrap();
        let skipped = deliveries.iter().filter(|(_, delivery)| delivery["state"] == "skipped");
        assert_eq!(skipped.map(|(route, _)| route.as_str()).collect::<Vec<_>>(), skips, "{file}");
        let delivers = expected.get("delivers").and_then(|routes| routes.as_table()).cloned().unwrap_or_default();
        check_messages(&bridge, file, &format!("{provider}:{event_id}/"), &delivers);
    }
    assert_eq!(bridge.stack.returning_ai.violations(), []);
    assert_eq!(bridge.stack.dynamodb.items().len(), expected.len());
}

#[track_caller]
fn check_messages(bridge: &Bridge, file: &str, key: &str, delivers: &toml::Table) {
    let messages = bridge.stack.returning_ai.all_messages();
    let of_event = messages.iter().filter_map(|message| {
        let route = message.body["idempotencyKey"].as_str()?.strip_prefix(key)?;
        Some((route, message))
    });
    let by_route: Vec<_> = of_event.collect();
    let mut routes: Vec<_> = by_route.iter().map(|(route, _)| *route).collect();
    routes.sort_unstable();
    assert_eq!(routes, delivers.keys().map(String::as_str).collect::<Vec<_>>(), "{file}");
    for (route, message) in by_route {
        for (member, wanted) in delivers[route].as_table().unwrap() {
            let found = match member.as_str() {
                "workflow" => Some(message.workflow.clone()),
                member => as_sent(&message.raw, member),
            };
            assert_eq!(found.as_deref(), wanted.as_str(), "{file}: {member}");
        }
    }
}

/// A string's text, or a number's digits as they were sent.
fn as_sent(message: &[u8], member: &str) -> Option<String> {
    let document = Document::parse(message).unwrap();
    let value = document.root().at(&Pointer::parse(&format!("/{member}")).unwrap())?;
    value.text_or_digits().map(Cow::into_owned)
}

pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../events")
}

/// `expected.toml`: file and what it must end as.
pub(crate) fn expectations() -> BTreeMap<String, toml::Value> {
    toml::from_str(&std::fs::read_to_string(folder().join("expected.toml")).unwrap()).unwrap()
}
