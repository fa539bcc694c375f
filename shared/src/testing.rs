//! A small HTTP server on loopback for the tests of what calls others, a clock that tests set, and a reader of measurements.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use aws_credential_types::Credentials;

use crate::config::AwsConfig;
use crate::observe::metrics::{Entry, Measurements};

/// Answers every request with what a function says, on threads of its own, and remembers what was asked.
pub(crate) struct Loopback {
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// One request, as it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
    /// Which connection it came over, from 0.
    pub(crate) connection: usize,
}

/// What to do about a request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// Status, further header lines, body.
    Answer(u16, Vec<(&'static str, String)>, String),
    /// Closes the connection without a byte.
    HangUp,
    /// Closes it within the body of a 200.
    BreakOff,
    /// Sends nothing and keeps the connection.
    Silence,
}

impl Reply {
    pub(crate) fn json(status: u16, body: impl Into<String>) -> Self {
        Self::Answer(status, Vec::new(), body.into())
    }
}

impl Loopback {
    /// `answer` is given the number of earlier requests, too.
    pub(crate) fn start(answer: impl Fn(usize, &Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answer, log) = (Arc::new(answer), Arc::clone(&asked));
        thread::spawn(move || {
            for (connection, stream) in listener.incoming().enumerate() {
                let (answer, log) = (Arc::clone(&answer), Arc::clone(&log));
                let Ok(stream) = stream else { return };
                thread::spawn(move || serve(&stream, connection, &*answer, &log));
            }
        });
        Self { url, asked }
    }

    /// An address where nobody listens.
    pub(crate) fn nobody() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        Self { url: format!("http://{}", listener.local_addr().unwrap()), asked: Arc::default() }
    }

    /// What was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// How many requests came for `path`.
    pub(crate) fn count(&self, path: &str) -> usize {
        self.asked().iter().filter(|asked| asked.path == path).count()
    }

    /// AWS is here.
    pub(crate) fn aws(&self) -> AwsConfig {
        AwsConfig {
            region: "eu-west-1".to_owned(),
            credentials: Credentials::new("sample", "sample", None, None, "test"),
            dynamodb_url: Some(self.url.clone()),
            secrets_manager_url: Some(self.url.clone()),
        }
    }
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

fn serve(
    stream: &TcpStream,
    connection: usize,
    answer: &(impl Fn(usize, &Asked) -> Reply + Send + Sync),
    log: &Mutex<Vec<Asked>>,
) {
    let mut reader = BufReader::new(stream);
    while let Some(asked) = read(&mut reader, connection) {
        let earlier = {
            let mut log = log.lock().unwrap();
            log.push(asked.clone());
            log.len() - 1
        };
        match answer(earlier, &asked) {
            Reply::Answer(status, headers, body) => {
                let further: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
                let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n{further}\r\n", body.len());
                let mut stream = stream;
                if stream.write_all(format!("{head}{body}").as_bytes()).is_err() {
                    return;
                }
            }
            Reply::HangUp => return,
            Reply::BreakOff => {
                let mut stream = stream;
                let _ = stream.write_all(b"HTTP/1.1 200 X\r\ncontent-length: 9\r\n\r\n{");
                return;
            }
            Reply::Silence => {}
        }
    }
}

/// The next request; `None` once the client is gone.
fn read(reader: &mut BufReader<&TcpStream>, connection: usize) -> Option<Asked> {
    let mut line = || {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|bytes| *bytes > 0)?;
        Some(line.trim_end().to_owned())
    };
    let first = line()?;
    let mut words = first.split(' ').map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let mut headers = HashMap::new();
    loop {
        let line = line()?;
        let Some((name, value)) = line.split_once(": ") else { break };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let mut body = vec![0; headers.get("content-length").map_or(0, |length| length.parse().unwrap())];
    reader.read_exact(&mut body).ok()?;
    Some(Asked { method, path, headers, body: String::from_utf8(body).unwrap(), connection })
}

/// Every metric with its values, by name and label.
pub(crate) fn by_metric(measured: &Measurements) -> BTreeMap<String, Vec<f64>> {
    let name = |entry: &Entry| match &entry.label {
        Some(label) => format!("{} {label}", entry.metric.name),
        None => entry.metric.name.to_owned(),
    };
    measured.entries.iter().map(|entry| (name(entry), entry.values.clone())).collect()
}

/// A clock and the milliseconds that it shows, one of its own wherever this is written.
macro_rules! settable_clock {
    () => {{
        static NOW: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1_747_253_577_000);
        fn now() -> crate::clock::UnixMillis {
            crate::clock::UnixMillis(NOW.load(std::sync::atomic::Ordering::Relaxed))
        }
        (crate::clock::Clock::from_fn(now), &NOW)
    }};
}
pub(crate) use settable_clock;
