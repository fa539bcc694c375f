//! What one would write first: every crate as it comes, the key fetched by the event that needs it, one signed form, the
//! record written under the same condition as the bridge's, and the message sent before the answer.

use std::env;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use hmac::{Hmac, KeyInit, Mac};
use lambda_http::{Error, Request, Response, run, service_fn, tracing};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;

struct Clients {
    dynamodb: aws_sdk_dynamodb::Client,
    secrets_manager: aws_sdk_secretsmanager::Client,
    http: reqwest::Client,
    key: OnceCell<String>,
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    tracing::init_default_subscriber();
    let config = aws_config::load_from_env().await;
    let clients = Clients {
        dynamodb: aws_sdk_dynamodb::Client::new(&config),
        secrets_manager: aws_sdk_secretsmanager::Client::new(&config),
        http: reqwest::Client::new(),
        key: OnceCell::new(),
    };
    run(service_fn(|request| receive(&clients, request))).await
}

async fn receive(clients: &Clients, request: Request) -> Result<Response<String>, Error> {
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (signature, signed_at) = (header("x-rail-signature"), header("x-rail-timestamp"));
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    if signed_at.parse::<u64>().map_or(true, |at| at.abs_diff(now.as_secs()) > 300) {
        return answer(401, r#"{"error":"unauthorized"}"#);
    }
    let key = clients.key.get_or_try_init(|| fetch_key(clients)).await?;
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes())?;
    mac.update(format!("{signed_at}.").as_bytes());
    mac.update(request.body());
    if mac.verify_slice(&hex::decode(signature).unwrap_or_default()).is_err() {
        return answer(401, r#"{"error":"unauthorized"}"#);
    }

    let event: Value = serde_json::from_slice(request.body())?;
    let text = |name: &str| AttributeValue::S(event[name].as_str().unwrap_or_default().to_owned());
    let written = clients
        .dynamodb
        .put_item()
        .table_name(env::var("TABLE_NAME")?)
        .item("pk", AttributeValue::S(format!("rail#{}", event["event_id"].as_str().unwrap_or_default())))
        .item("provider", AttributeValue::S("rail".to_owned()))
        .item("event_type", text("event_type"))
        .item("occurred_at", text("event_date"))
        .item("received_at", AttributeValue::N(now.as_millis().to_string()))
        .item("state", AttributeValue::S("delivered".to_owned()))
        .item("body", AttributeValue::B(Blob::new(request.body().to_vec())))
        .item("body_sha256", AttributeValue::S(hex::encode(Sha256::digest(request.body()))))
        .item("expires_at", AttributeValue::N((now.as_secs() + 90 * 24 * 60 * 60).to_string()))
        .condition_expression("attribute_not_exists(pk)")
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
        .send()
        .await;
    match written.map_err(|error| error.into_service_error()) {
        Ok(_) => {}
        Err(PutItemError::ConditionalCheckFailedException(_)) => return answer(200, r#"{"status":"duplicate"}"#),
        Err(error) => return Err(error.into()),
    }
    // The bench leaves it unset: what is compared is the acknowledgement alone.
    if let Ok(url) = env::var("DELIVER_TO") {
        clients.http.post(url).body(request.body().to_vec()).send().await?.error_for_status()?;
    }
    answer(200, r#"{"status":"accepted"}"#)
}

async fn fetch_key(clients: &Clients) -> Result<String, Error> {
    let id = env::var("SIGNING_SECRET_ID")?;
    let secret = clients.secrets_manager.get_secret_value().secret_id(id).send().await?;
    let secret: Value = serde_json::from_str(secret.secret_string().unwrap_or_default())?;
    let mut keys = secret["keys"].as_object().into_iter().flat_map(|keys| keys.values());
    Ok(keys.next().and_then(Value::as_str).ok_or("the secret holds no key")?.to_owned())
}

fn answer(status: u16, body: &str) -> Result<Response<String>, Error> {
    Ok(Response::builder().status(status).header("content-type", "application/json").body(body.to_owned())?)
}
