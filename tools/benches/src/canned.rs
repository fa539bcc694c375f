//! Canned answers of all that the function `rail` speaks to, the same in every run: so that what it does with them is, too.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use local::lambda_host::LOCAL_ACCOUNT;
use local::stack::{sample_key, signing_secret};
use serde_json::{Value, json};

/// The Runtime API, and everything else, each on a port of its own.
pub(crate) struct Canned {
    runtime_api: String,
    others: String,
    /// Connections to all but the Runtime API.
    opened: Arc<AtomicUsize>,
    events: SyncSender<Bytes>,
    asks: Receiver<()>,
}

/// One request.
struct Asked {
    path: String,
    /// `X-Amz-Target`, without the version of the API.
    operation: String,
    body: Bytes,
}

const RETURNING_AI_SECRET: &str = "bridge/returning-ai";

impl Canned {
    /// `workflows` are those of the routes.
    pub(crate) fn start(workflows: Vec<String>) -> io::Result<Self> {
        let [runtime_api, others] = [TcpListener::bind(("127.0.0.1", 0))?, TcpListener::bind(("127.0.0.1", 0))?];
        let [runtime_url, others_url] = [runtime_api.local_addr()?.to_string(), others.local_addr()?.to_string()];
        let (events, given) = sync_channel::<Bytes>(0);
        let (ask, asks) = sync_channel(0);
        thread::spawn(move || {
            // A function has one connection to its host. It ends with the process, or when no event comes any more.
            let Ok((stream, _)) = runtime_api.accept() else { return };
            let mut request_id = 0;
            let mut next = || {
                ask.send(()).ok()?;
                request_id += 1;
                given.recv().ok().map(|event| next_event(request_id, &event))
            };
            serve(&stream, |asked| match asked.path.ends_with("/invocation/next") {
                true => next(),
                false => Some(answer("202 Accepted", "", r#"{"status":"OK"}"#.as_bytes())),
            });
        });
        let opened = Arc::new(AtomicUsize::new(0));
        let (counted, url) = (Arc::clone(&opened), others_url.clone());
        thread::spawn(move || {
            for stream in others.incoming().map_while(Result::ok) {
                counted.fetch_add(1, Ordering::SeqCst);
                let (url, workflows) = (url.clone(), workflows.clone());
                thread::spawn(move || serve(&stream, |asked| Some(json_answer(&reply(asked, &url, &workflows)))));
            }
        });
        Ok(Self { runtime_api: runtime_url, others: others_url, opened, events, asks })
    }

    /// The environment of a deployed function that speaks to these.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        [
            ("AWS_LAMBDA_RUNTIME_API", self.runtime_api.clone()),
            ("AWS_LAMBDA_FUNCTION_NAME", "rail".to_owned()),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128".to_owned()),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
            ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/rail".to_owned()),
            ("AWS_LAMBDA_LOG_STREAM_NAME", "canned".to_owned()),
            ("AWS_SESSION_TOKEN", "t".repeat(800)),
            ("AWS_ENDPOINT_URL", format!("http://{}", self.others)),
            ("TABLE_NAME", "events".to_owned()),
            ("CUSTOMERS_TABLE_NAME", "customers".to_owned()),
            ("SIGNING_SECRET_ID", signing_secret("rail")),
            ("RETURNING_AI_SECRET_ID", RETURNING_AI_SECRET.to_owned()),
            ("LOG_LEVEL", "info".to_owned()),
        ]
        .into_iter()
        .chain(LOCAL_ACCOUNT.map(|(name, value)| (name, value.to_owned())))
        .collect()
    }

    /// Waits until the function asks for an event; `None` when it ends without.
    pub(crate) fn asked_for_event(&self) -> Option<()> {
        self.asks.recv_timeout(Duration::from_secs(60)).ok()
    }

    /// Gives the event that was asked for.
    pub(crate) fn give(&self, event: Bytes) {
        // It fails when the function has ended, which the next wait reports.
        let _ = self.events.send(event);
    }

    /// How many connections were opened, those to the Runtime API not counted.
    pub(crate) fn connections(&self) -> usize {
        self.opened.load(Ordering::SeqCst)
    }
}

/// What AWS and Returning.AI say.
fn reply(asked: &Asked, url: &str, workflows: &[String]) -> Value {
    match (asked.operation.as_str(), asked.path.as_str()) {
        ("GetSecretValue", _) => {
            let request: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
            let text = match request["SecretId"].as_str() {
                Some(RETURNING_AI_SECRET) => {
                    let entry = |name: &String| {
                        let [handshake, webhook] =
                            ["handshake", "message"].map(|to| format!("http://{url}/{to}/{name}"));
                        let entry =
                            json!({ "handshake_url": handshake, "webhook_url": webhook, "api_key": "k".repeat(32) });
                        (name.clone(), entry)
                    };
                    json!({ "workflows": workflows.iter().map(entry).collect::<serde_json::Map<_, _>>() })
                }
                _ => json!({ "keys": { "sub_1": sample_key("rail") } }),
            };
            json!({ "ARN": "arn:aws:secretsmanager:us-east-1:000000000000:secret:canned", "Name": "canned",
                "VersionId": "00000000-0000-0000-0000-000000000001", "SecretString": text.to_string(),
                "VersionStages": ["AWSCURRENT"], "CreatedDate": 1_747_253_577.0 })
        }
        ("BatchGetItem", _) => json!({ "Responses": { "events": [] }, "UnprocessedKeys": {} }),
        (_, path) if path.starts_with("/handshake/") => {
            json!({ "success": true, "data": { "sessionToken": "s".repeat(64), "expiresIn": 3600 } })
        }
        (_, path) if path.starts_with("/message/") => json!({ "success": true }),
        _ => json!({}),
    }
}

fn next_event(request_id: u64, event: &[u8]) -> Vec<u8> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let deadline_ms = (now + Duration::from_secs(30)).as_millis();
    let headers = format!(
        "lambda-runtime-aws-request-id: 00000000-0000-0000-0000-{request_id:012}\r\n\
         lambda-runtime-deadline-ms: {deadline_ms}\r\n\
         lambda-runtime-invoked-function-arn: arn:aws:lambda:us-east-1:000000000000:function:rail\r\n\
         lambda-runtime-trace-id: Root=1-00000000-000000000000000000000000;Sampled=0\r\n"
    );
    answer("200 OK", &headers, event)
}

fn json_answer(body: &Value) -> Vec<u8> {
    answer("200 OK", "", body.to_string().as_bytes())
}

/// The bytes of an answer; written at once, they are read at once.
fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n", body.len());
    [head.as_bytes(), headers.as_bytes(), b"\r\n", body].concat()
}

/// Answers the requests of a connection until it ends, or until there is no answer.
fn serve(stream: &TcpStream, mut answer: impl FnMut(&Asked) -> Option<Vec<u8>>) {
    let _ = stream.set_nodelay(true);
    let (mut reader, mut stream) = (BufReader::new(stream), stream);
    while let Some(asked) = read(&mut reader)
        && let Some(bytes) = answer(&asked)
        && stream.write_all(&bytes).is_ok()
    {}
}

fn read(reader: &mut impl BufRead) -> Option<Asked> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let (mut operation, mut length) = (String::new(), 0);
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "x-amz-target" => operation = value.rsplit('.').next()?.to_owned(),
            "content-length" => length = value.parse().ok()?,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Asked { path, operation, body: body.into() })
}
