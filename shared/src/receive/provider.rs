//! What a provider promises, as data: where its signature is, what it is over, and where its envelope has what.
//!
//! The promise itself is written down in `docs/contracts/`. The same data reads deliveries, and writes the headers of those
//! that the tools sign.

use std::fmt;

use http::HeaderMap;
use json::{Document, Kind, Order, SyntaxError, Value};

use crate::clock::{UnixMillis, UnixSeconds};
use crate::customer::provider_api::ProviderApi;

/// Who sends webhooks. Path, secret and resources of the stack are named after it.
#[derive(Debug)]
pub struct Provider {
    /// As in `routes.toml` and in the events table.
    pub name: &'static str,
    /// An HMAC-SHA256 in hexadecimal, over `{signed_at}.{text}`.
    pub signature: HeaderPart,
    /// When it was signed, in Unix seconds.
    pub signed_at: HeaderPart,
    /// What the signed text may be, in the order they are tried.
    pub forms: &'static [Form],
    pub envelope: EnvelopeMembers,
    /// The provider's own API, if it can say who a customer is.
    pub api: Option<ProviderApi>,
}

/// Where a value stands among the headers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HeaderPart {
    /// It is the header's value.
    Whole(&'static str),
    /// It is one of the members that a header lists: `t=1747253577,v1=7f3a..`.
    Member { header: &'static str, name: &'static str },
}

/// One way to spell the signed text.
#[derive(Debug)]
pub struct Form {
    /// Stable: it stands in log lines and metrics.
    pub name: &'static str,
    /// How the JSON that was received is printed; `None` for the bytes as received.
    pub spelling: Option<Order>,
}

/// The members of an event that every provider has under some name.
#[derive(Debug)]
pub struct EnvelopeMembers {
    /// A text, or a number, whose digits are kept.
    pub event_id: &'static str,
    pub event_type: &'static str,
    /// A date and time, or seconds or milliseconds since the epoch.
    pub occurred_at: &'static str,
}

/// What a provider's envelope says; what is absent or of the wrong kind is `None`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Envelope {
    pub event_id: Option<String>,
    pub event_type: Option<String>,
    pub occurred_at: Option<UnixMillis>,
}

impl Provider {
    /// Where its deliveries are posted.
    pub fn path(&self) -> String {
        format!("/webhooks/{}", self.name)
    }

    /// Whether a request's path is the provider's, whatever a stage or a custom domain puts before it.
    pub fn is_at(&self, path: &str) -> bool {
        path.strip_suffix(self.name).is_some_and(|before| before.ends_with("/webhooks/"))
    }

    /// The headers of a delivery with this signature.
    pub fn headers(&self, signed_at: UnixSeconds, signature: &str) -> Vec<(&'static str, String)> {
        let (header, signature) = (self.signature.header(), self.signature.text(signature));
        let (other_header, signed_at) = (self.signed_at.header(), self.signed_at.text(&signed_at.0.to_string()));
        if header == other_header {
            vec![(header, format!("{signed_at},{signature}"))]
        } else {
            vec![(header, signature), (other_header, signed_at)]
        }
    }

    /// The envelope of an event.
    pub fn read_envelope(&self, event: Value<'_>) -> Envelope {
        let EnvelopeMembers { event_id, event_type, occurred_at } = self.envelope;
        Envelope {
            event_id: event.get(event_id).and_then(Value::text_or_digits).map(Into::into),
            event_type: event.get(event_type).and_then(Value::text).map(Into::into),
            occurred_at: event.get(occurred_at).and_then(|at| match at.kind() {
                Kind::Number(digits) => UnixMillis::from_epoch_literal(digits),
                _ => {
                    let text = at.text()?;
                    UnixMillis::from_date_text(&text).or_else(|| UnixMillis::from_epoch_literal(&text))
                }
            }),
        }
    }
}

impl Form {
    /// A body as this form has it.
    ///
    /// # Errors
    /// It is not JSON, and the form is made of JSON.
    pub fn text(&self, body: &[u8]) -> Result<Vec<u8>, SyntaxError> {
        match self.spelling {
            Some(order) => Ok(Document::parse(body)?.root().print(order, usize::MAX).unwrap_or_default().into_bytes()),
            None => Ok(body.to_vec()),
        }
    }
}

impl HeaderPart {
    /// The header that it is in.
    pub fn header(self) -> &'static str {
        match self {
            Self::Whole(header) | Self::Member { header, .. } => header,
        }
    }

    /// A value as [`values`](Self::values) reads it.
    fn text(self, value: &str) -> String {
        match self {
            Self::Whole(_) => value.to_owned(),
            Self::Member { name, .. } => format!("{name}={value}"),
        }
    }

    /// Every value that the headers have here: one, in a sound delivery.
    pub fn values(self, headers: &HeaderMap) -> Vec<&str> {
        let values = headers.get_all(self.header()).into_iter();
        let values = values.map(|value| str::from_utf8(value.as_bytes()).unwrap_or_default());
        match self {
            Self::Whole(_) => values.collect(),
            Self::Member { name, .. } => {
                let members = values.flat_map(|value| value.split(','));
                members.filter_map(|member| member.trim_ascii().strip_prefix(name)?.strip_prefix('=')).collect()
            }
        }
    }
}

impl fmt::Display for HeaderPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(header) => write!(f, "header `{header}`"),
            Self::Member { header, name } => write!(f, "member `{name}` of header `{header}`"),
        }
    }
}

#[cfg(test)]
mod tests;
