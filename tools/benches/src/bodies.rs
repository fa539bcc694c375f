//! What the costliest bodies that a stranger can send take of a core before their 401 (`tools/benches/README.md`).

mod hostile;

use std::error::Error;
use std::hint::black_box;
use std::process::ExitCode;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use lambda_http::Request;
use nix::time::{ClockId, clock_gettime};
use serde_json::json;
use sha2::Sha256;
use shared::clock::{Clock, UnixMillis};
use shared::config::DEFAULT_MAX_BODY_BYTES;
use shared::receive::door::GatewayEvent;
use shared::receive::provider::Provider;
use shared::receive::receipt::Answer;
use shared::receive::signing_keys::{KeySet, MAX_KEYS};
use shared::receive::verification::{Delivery, Refusal, hex, signed_message, verify};

use crate::hostile::kinds;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// With more keys, forms of a long body are left out: these are where one form less is tried by Rail or by Rillis, and around.
const KEYS: [usize; 6] = [1, 2, 25, 38, 76, MAX_KEYS];

/// What a forged body may cost (`docs/threat-model.md`).
const BOUND: Duration = Duration::from_millis(40);

/// The least of as many is reported: whatever else the machine does only adds.
const TIMES: usize = 5;

fn main() -> Result<ExitCode> {
    let kinds = kinds(DEFAULT_MAX_BODY_BYTES);
    let mut worst = Duration::ZERO;
    println!("| provider | keys | honest | worst | × honest | of what |\n|---|---|---|---|---|---|");
    let mut of_kinds: Vec<Vec<Duration>> = kinds.iter().map(|_| Vec::new()).collect();
    for provider in providers::ALL {
        for keys in KEYS {
            let door = Door::new(provider, keys)?;
            let honest =
                door.cost(&door.event(honest(provider), &door.signature(honest(provider)), false), Answer::Accepted)?;
            for ((name, body), costs) in kinds.iter().zip(&mut of_kinds) {
                let cost = door.cost(&door.event(body, FORGED, false), Answer::Unauthorized);
                costs.push(cost.map_err(|error| format!("{name}: {error}"))?);
            }
            let costs = kinds.iter().zip(&of_kinds).filter_map(|((name, _), costs)| Some((*costs.last()?, *name)));
            let (cost, name) = costs.max().unwrap_or_default();
            let ratio = cost.as_secs_f64() / honest.as_secs_f64();
            println!("| {} | {keys} | {} | {} | {ratio:.0} | {name} |", provider.name, ms(honest), ms(cost));
            worst = worst.max(cost);
        }
    }
    let verdict = if worst <= BOUND { "reached" } else { "not reached" };
    println!("\nThe worst is {} of {}: {verdict}.\n", ms(worst), ms(BOUND));

    let columns: Vec<String> =
        providers::ALL.iter().flat_map(|provider| KEYS.map(|keys| format!("{} {keys}", provider.name))).collect();
    println!("| ms | {} |\n|---|{}", columns.join(" | "), "---|".repeat(columns.len()));
    for ((name, _), costs) in kinds.iter().zip(&of_kinds) {
        let costs: Vec<String> = costs.iter().map(|cost| format!("{:.1}", cost.as_secs_f64() * 1e3)).collect();
        println!("| {name} | {} |", costs.join(" | "));
    }
    println!();
    doors()?;
    Ok(if worst <= BOUND { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What the event around a body adds, for bodies up to what API Gateway takes.
fn doors() -> Result<()> {
    /// 6 MB of an event is what Lambda takes.
    const LARGEST_EVENT: usize = 5_900_000;

    let door = Door::new(providers::ALL[0], 1)?;
    let honest = honest(door.provider);
    println!("| the event alone, by the door | bytes | CPU |\n|---|---|---|");
    let tell = |name: &str, body: &str, is_base64: bool| -> Result<()> {
        let event = door.event(body, FORGED, is_base64);
        let cost = least(|| {
            let _ = black_box(request(door.provider, &event));
        });
        println!("| {name} | {} | {} |", event.len(), ms(cost));
        Ok(())
    };
    tell("an honest delivery", honest, false)?;
    tell("an honest delivery, base64", honest, true)?;
    let quotes = "\"".repeat(LARGEST_EVENT / 2);
    for (name, piece) in [("quotes", "\""), ("letters", "x"), ("é", "é"), ("control characters", "\u{1}")] {
        let body = piece.repeat(DEFAULT_MAX_BODY_BYTES / piece.len());
        tell(&format!("{name}, the largest body"), &body, false)?;
        tell(&format!("{name}, the largest body, base64"), &body, true)?;
    }
    tell("quotes, the largest event", &quotes, false)?;
    tell("letters, the largest event", &"x".repeat(LARGEST_EVENT), false)?;
    tell("letters, the largest event, base64", &"x".repeat(LARGEST_EVENT / 4 * 3), true)?;
    Ok(())
}

/// Well-formed, and of nothing.
const FORGED: &str = "00000000000000000000000000000000000000000000000000000000000000ff";

fn honest(provider: &Provider) -> &'static str {
    match provider.name {
        "rail" => include_str!("../../../events/rail/transaction_posted_deposit.json"),
        _ => include_str!("../../../events/rillis/onboarding_form_company_completed.json"),
    }
}

/// A provider's function from its event to its answer, without what it asks of others.
struct Door {
    provider: &'static Provider,
    keys: KeySet,
    now: UnixMillis,
}

impl Door {
    fn new(provider: &'static Provider, keys: usize) -> Result<Self> {
        let keys: serde_json::Map<_, _> = (0..keys).map(|n| (n.to_string(), json!(key(n)))).collect();
        let keys = KeySet::parse(&json!({ "keys": keys }).to_string())?;
        Ok(Self { provider, keys, now: Clock::system().now() })
    }

    /// By the last of the keys, over the body as it is: what every provider accepts.
    fn signature(&self, body: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(key(self.keys.tried_in_all() - 1).as_bytes())
            .expect("HMAC takes a key of any length");
        mac.update(&signed_message(&self.now.seconds().0.to_string(), body.as_bytes()));
        hex(&mac.finalize().into_bytes())
    }

    /// An HTTP API's event.
    fn event(&self, body: &str, signature: &str, is_base64: bool) -> Vec<u8> {
        let headers = self.provider.headers(self.now.seconds(), signature);
        let headers: serde_json::Map<_, _> =
            headers.into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect();
        let body = if is_base64 { STANDARD.encode(body) } else { body.to_owned() };
        let path = self.provider.path();
        let event = json!({
            "version": "2.0", "routeKey": format!("POST {path}"), "rawPath": path, "rawQueryString": "", "headers": headers,
            "requestContext": { "http": { "method": "POST", "path": path }, "stage": "$default" },
            "body": body, "isBase64Encoded": is_base64,
        });
        event.to_string().into_bytes()
    }

    fn answer(&self, event: &[u8]) -> Answer {
        let request = match request(self.provider, event) {
            Ok(request) => request,
            Err(answer) => return answer,
        };
        let delivery = Delivery { headers: request.headers(), body: request.body() };
        let answer = match verify(self.provider, delivery, &self.keys, self.now) {
            Ok(_) => Answer::Accepted,
            Err(Refusal::BodyNotAnObject) => Answer::BadRequest,
            Err(_) => Answer::Unauthorized,
        };
        black_box(answer.to_http());
        answer
    }

    fn cost(&self, event: &[u8], expected: Answer) -> Result<Duration> {
        let answer = self.answer(event);
        if answer != expected {
            return Err(format!("{answer:?} instead of {expected:?}").into());
        }
        Ok(least(|| {
            self.answer(event);
        }))
    }
}

fn key(n: usize) -> String {
    format!("whsec_{n:058}")
}

/// As the Lambda runtime and the function read an event.
fn request(provider: &Provider, event: &[u8]) -> std::result::Result<Request, Answer> {
    let event: GatewayEvent = serde_json::from_slice(event).map_err(|_| Answer::BadRequest)?;
    let (request, refusal) = event.admit(provider);
    refusal.map_or(Ok(Request::from(request)), Err)
}

/// CPU time of this thread for `work`.
fn least(work: impl Fn()) -> Duration {
    let cpu = || clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from).unwrap_or_default();
    let one = |_| {
        let before = cpu();
        work();
        cpu() - before
    };
    (0..TIMES).map(one).min().unwrap_or_default()
}

fn ms(cost: Duration) -> String {
    format!("{:.2} ms", cost.as_secs_f64() * 1e3)
}
