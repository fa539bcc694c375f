//! Rail's deliveries, signed, as API Gateway hands them to the function.

use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use local::gateway::events::{HttpRequest, http_api_event};
use local::stack::sample_key;
use sha2::Sha256;

/// The outcome of an event.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fate {
    /// Recorded and acknowledged; no route wants it.
    Ignored,
    /// Recorded, acknowledged, delivered to one workflow and settled.
    Delivered,
}

/// Bodies as documented, and the event ids in them.
const IGNORED: (&str, &str) =
    (include_str!("../../../events/rail/account_dormant.json"), "ec9a72f2-4ea9-477a-b376-bc252e460a96");
const DELIVERED: (&str, &str) = (include_str!("../../../events/rail/account_open.json"), "evt_bhp5n40baqpa");

/// Makes events; each has an id of its own.
#[derive(Default)]
pub(crate) struct Events {
    made: u64,
}

impl Events {
    /// A new event, signed now, as API Gateway's payload format 2.0.
    pub(crate) fn next(&mut self, fate: Fate) -> Bytes {
        self.made += 1;
        let (template, its_id) = match fate {
            Fate::Ignored => IGNORED,
            Fate::Delivered => DELIVERED,
        };
        event(template.replace(its_id, &format!("evt_{:012}", self.made)))
    }
}

fn event(body: String) -> Bytes {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let signed_at = now.as_secs().to_string();
    let headers = [
        ("content-type", "application/json".to_owned()),
        ("host", "abcdefghij.execute-api.us-east-1.amazonaws.com".to_owned()),
        ("user-agent", "rail-webhooks/1.0".to_owned()),
        ("x-amzn-trace-id", "Root=1-67891233-abcdef012345678912345678".to_owned()),
        ("x-forwarded-for", "203.0.113.10".to_owned()),
        ("x-forwarded-port", "443".to_owned()),
        ("x-forwarded-proto", "https".to_owned()),
        ("x-rail-signature", signature(&signed_at, &body)),
        ("x-rail-timestamp", signed_at),
    ]
    .map(|(name, value)| (name.to_owned(), value));
    let request = HttpRequest::post("/webhooks/rail", headers.to_vec(), body);
    Bytes::from(http_api_event(&request).to_string())
}

fn signature(signed_at: &str, body: &str) -> String {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(sample_key("rail").as_bytes()).expect("HMAC takes a key of any length");
    mac.update(format!("{signed_at}.{body}").as_bytes());
    mac.finalize().into_bytes().iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
