//! The limit: the least code that verifies a signature and makes one conditional write, on hyper and aws-sigv4 alone.
//!
//! It has one connection to each side, opened before the first event. It reports no errors, repeats nothing and delivers nothing.

use std::borrow::Cow;
use std::env;
use std::error::Error;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderValue, Request, Response, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let aws = Aws {
        region: env::var("AWS_REGION")?,
        credentials: Credentials::new(
            env::var("AWS_ACCESS_KEY_ID")?,
            env::var("AWS_SECRET_ACCESS_KEY")?,
            env::var("AWS_SESSION_TOKEN").ok(),
            None,
            "environment",
        ),
    };
    let table = env::var("TABLE_NAME")?;
    let mut dynamodb = Connection::open(&env::var("AWS_ENDPOINT_URL_DYNAMODB")?).await?;
    let key = signing_key(&aws).await?;

    let runtime = env::var("AWS_LAMBDA_RUNTIME_API")?;
    let runtime = format!("http://{}", runtime.trim_start_matches("http://"));
    let invocation = format!("{}/2018-06-01/runtime/invocation", runtime.parse::<Uri>()?.path().trim_end_matches('/'));
    let mut lambda = Connection::open(&runtime).await?;
    loop {
        let (head, event) = lambda.call(Request::get(format!("{invocation}/next")), Bytes::new()).await?.into_parts();
        let request_id = head.headers["lambda-runtime-aws-request-id"].to_str()?;
        let (status, body) = receive(&aws, &mut dynamodb, &table, &key, &event).await?;
        let answer = json!({
            "statusCode": status, "headers": { "content-type": "application/json" }, "isBase64Encoded": false, "body": body,
        });
        let response = Request::post(format!("{invocation}/{request_id}/response"));
        lambda.call(response, Bytes::from(answer.to_string())).await?;
    }
}

/// API Gateway's event, what matters of it.
#[derive(Deserialize)]
struct Delivery<'a> {
    #[serde(borrow)]
    headers: Headers<'a>,
    #[serde(borrow)]
    body: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Headers<'a> {
    #[serde(rename = "x-rail-signature", borrow)]
    signature: Cow<'a, str>,
    #[serde(rename = "x-rail-timestamp", borrow)]
    signed_at: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    event_id: Cow<'a, str>,
    #[serde(borrow)]
    event_type: Cow<'a, str>,
    #[serde(borrow)]
    event_date: Cow<'a, str>,
}

async fn receive(
    aws: &Aws,
    dynamodb: &mut Connection,
    table: &str,
    key: &[u8],
    event: &[u8],
) -> Result<(u16, &'static str)> {
    let Delivery { headers, body } = serde_json::from_slice(event)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let mut mac = Hmac::<Sha256>::new_from_slice(key)?;
    mac.update(format!("{}.", headers.signed_at).as_bytes());
    mac.update(body.as_bytes());
    let is_recent = headers.signed_at.parse::<u64>().is_ok_and(|at| at.abs_diff(now.as_secs()) <= 300);
    if !is_recent || mac.verify_slice(&hex::decode(headers.signature.as_bytes())?).is_err() {
        return Ok((401, r#"{"error":"unauthorized"}"#));
    }

    let Event { event_id, event_type, event_date } = serde_json::from_str(&body)?;
    let put_item = json!({
        "TableName": table,
        "Item": {
            "pk": { "S": format!("rail#{event_id}") },
            "provider": { "S": "rail" },
            "event_type": { "S": event_type },
            "occurred_at": { "S": event_date },
            "received_at": { "N": now.as_millis().to_string() },
            "state": { "S": "delivered" },
            "body": { "B": STANDARD.encode(body.as_bytes()) },
            "body_sha256": { "S": hex::encode(Sha256::digest(body.as_bytes())) },
            "expires_at": { "N": (now.as_secs() + 90 * 24 * 60 * 60).to_string() },
        },
        "ConditionExpression": "attribute_not_exists(pk)",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    });
    let written = aws.call(dynamodb, "dynamodb", "DynamoDB_20120810.PutItem", "application/x-amz-json-1.0", &put_item);
    match written.await? {
        answer if answer.status().is_success() => Ok((200, r#"{"status":"accepted"}"#)),
        answer if answer.body().windows(26).any(|part| part == b"ConditionalCheckFailedExce") => {
            Ok((200, r#"{"status":"duplicate"}"#))
        }
        answer => Err(format!("DynamoDB answered {}", answer.status()).into()),
    }
}

async fn signing_key(aws: &Aws) -> Result<Vec<u8>> {
    let mut secrets_manager = Connection::open(&env::var("AWS_ENDPOINT_URL_SECRETS_MANAGER")?).await?;
    let call = json!({ "SecretId": env::var("SIGNING_SECRET_ID")? });
    let (service, target) = ("secretsmanager", "secretsmanager.GetSecretValue");
    let answer = aws.call(&mut secrets_manager, service, target, "application/x-amz-json-1.1", &call).await?;
    let answer: Value = serde_json::from_slice(answer.body())?;
    let secret: Value = serde_json::from_str(answer["SecretString"].as_str().unwrap_or_default())?;
    let mut keys = secret["keys"].as_object().into_iter().flat_map(|keys| keys.values());
    let key = keys.next().and_then(Value::as_str).ok_or("the secret holds no key")?;
    Ok(key.as_bytes().to_vec())
}

/// Who signs the calls to AWS.
struct Aws {
    region: String,
    credentials: Credentials,
}

impl Aws {
    async fn call(
        &self,
        connection: &mut Connection,
        service: &str,
        target: &'static str,
        content_type: &'static str,
        call: &Value,
    ) -> Result<Response<Bytes>> {
        let body = Bytes::from(call.to_string());
        let headers = [("content-type", content_type), ("host", connection.host.to_str()?), ("x-amz-target", target)];
        let identity = self.credentials.clone().into();
        let parameters = SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(service)
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()?
            .into();
        let url = format!("https://{}/", connection.host.to_str()?);
        let signable = SignableRequest::new("POST", url, headers.into_iter(), SignableBody::Bytes(&body))?;
        let (signed, _) = sign(signable, &parameters)?.into_parts();
        let mut request = Request::post("/").header("content-type", content_type).header("x-amz-target", target);
        for (name, value) in signed.headers() {
            request = request.header(name, value);
        }
        connection.call(request, body).await
    }
}

/// One connection to one host.
struct Connection {
    host: HeaderValue,
    requests: SendRequest<Full<Bytes>>,
}

impl Connection {
    async fn open(url: &str) -> Result<Self> {
        let url: Uri = url.parse()?;
        let authority = url.authority().ok_or("the URL has no host")?;
        let is_tls = url.scheme_str() == Some("https");
        let port = authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let stream = TcpStream::connect((authority.host(), port)).await?;
        stream.set_nodelay(true)?;
        let requests = match is_tls {
            true => {
                let name = ServerName::try_from(authority.host().to_owned())?;
                let stream = tls()?.connect(name, stream).await?;
                let (requests, connection) = http1::handshake(TokioIo::new(stream)).await?;
                tokio::spawn(connection);
                requests
            }
            false => {
                let (requests, connection) = http1::handshake(TokioIo::new(stream)).await?;
                tokio::spawn(connection);
                requests
            }
        };
        Ok(Self { host: HeaderValue::from_str(authority.as_str())?, requests })
    }

    async fn call(&mut self, request: http::request::Builder, body: Bytes) -> Result<Response<Bytes>> {
        self.requests.ready().await?;
        let request = request.header(header::HOST, self.host.clone()).body(Full::new(body))?;
        let (head, body) = self.requests.send_request(request).await?.into_parts();
        Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
    }
}

fn tls() -> Result<TlsConnector> {
    let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
