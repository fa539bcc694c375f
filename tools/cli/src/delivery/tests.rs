use local::secrets_manager::SecretsManager;
use local::stack::signing_secret;
use operator::Parts;
use rail::RAIL;
use serde_json::json;

use super::*;

fn running(secrets_manager_url: String) -> DevFile {
    DevFile {
        gateway_url: "http://127.0.0.1:9000".to_owned(),
        dynamodb_url: "http://127.0.0.1:1".to_owned(),
        secrets_manager_url,
        returning_ai_url: String::new(),
        rail_api_url: String::new(),
        webhook_port_url: Some("http://127.0.0.1:9100".to_owned()),
        real_secrets: [].into(),
        parts: Parts {
            signing_secrets: [(RAIL.name.to_owned(), signing_secret(RAIL.name))].into(),
            ..Parts::default()
        },
        pid: 0,
    }
}

#[tokio::test]
async fn a_delivery_is_signed_with_a_key_of_the_bridge_that_runs_here() {
    let secrets = SecretsManager::start_private().unwrap();
    let place = Place::local(&running(secrets.url()), http().unwrap());
    assert_eq!(key_at(&place, &RAIL).await, None, "no secret yet");
    secrets.put(&signing_secret(RAIL.name), &json!({ "keys": { "next": "REPLACE-ME", "now": "whsec_1" } })).unwrap();
    assert_eq!(key_at(&place, &RAIL).await.as_deref(), Some("whsec_1"));
    let put = place.secrets_manager.put_secret_value().secret_id(signing_secret(RAIL.name));
    put.secret_string("\u{feff}{\"keys\":{\"now\":\"whsec_2\"}}").send().await.unwrap();
    assert_eq!(key_at(&place, &RAIL).await.as_deref(), Some("whsec_2"), "as a file of Windows holds it");
}

#[test]
fn the_key_of_the_bridge_that_runs_here_is_for_its_own_urls() {
    let dev = running(String::new());
    for url in ["http://127.0.0.1:9000", "http://localhost:9000/", "http://127.0.0.1:9100/webhooks/rail"] {
        assert!(is_at(&dev, url), "{url}");
    }
    for url in ["http://127.0.0.1:90001", "https://127.0.0.1:9000", "https://bridge.example/http://127.0.0.1:9000"] {
        assert!(!is_at(&dev, url), "{url}");
    }
}
