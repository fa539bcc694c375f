//! What a provider promises, as data: where its signature is, what it is over, and where its envelope has what.
//!
//! The promise itself is written down in `docs/contracts/`. The same data reads deliveries, and writes the headers of those
//! that the tools sign.

use std::fmt;

use http::HeaderMap;
use json::{Kind, Value};

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
    /// How the text is made from the JSON that was received; the bytes as received when there is no such function.
    pub spell: Option<fn(Value<'_>) -> String>,
}

/// The members of an event that every provider has under some name.
#[derive(Debug)]
pub struct EnvelopeMembers {
    /// A text, or a number, whose digits are kept.
    pub event_id: &'static str,
    pub event_type: &'static str,
    pub occurred_at: &'static str,
    pub time: TimeFormat,
}

/// How a provider writes when something happened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TimeFormat {
    /// A text; without a zone it is UTC.
    Rfc3339,
    /// An integer.
    UnixMillis,
    /// An integer.
    UnixSeconds,
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
        let EnvelopeMembers { event_id, event_type, occurred_at, time } = self.envelope;
        Envelope {
            event_id: event.get(event_id).and_then(|id| match id.kind() {
                Kind::Number(digits) => Some(digits.to_owned()),
                _ => id.text().map(Into::into),
            }),
            event_type: event.get(event_type).and_then(Value::text).map(Into::into),
            occurred_at: event.get(occurred_at).and_then(|at| match (time, at.kind()) {
                (TimeFormat::Rfc3339, _) => UnixMillis::from_rfc3339(&at.text()?),
                (TimeFormat::UnixMillis, Kind::Number(digits)) => UnixMillis::from_millis_literal(digits),
                (TimeFormat::UnixSeconds, Kind::Number(digits)) => UnixMillis::from_seconds_literal(digits),
                _ => None,
            }),
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
mod tests {
    use super::*;

    const LISTED: Provider = Provider {
        name: "sample",
        signature: HeaderPart::Member { header: "x-sample", name: "v1" },
        signed_at: HeaderPart::Member { header: "x-sample", name: "t" },
        forms: &[Form { name: "raw", spell: None }],
        envelope: EnvelopeMembers {
            event_id: "id",
            event_type: "type",
            occurred_at: "at",
            time: TimeFormat::UnixSeconds,
        },
        api: None,
    };

    fn headers(values: &[&str]) -> HeaderMap {
        values.iter().map(|value| ("X-Sample".parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn headers_that_were_written_are_read_again() {
        let apart = Provider {
            signature: HeaderPart::Whole("x-signature"),
            signed_at: HeaderPart::Whole("x-timestamp"),
            ..LISTED
        };
        for (provider, expected) in [
            (&LISTED, &[("x-sample", "t=1747253577,v1=ab")][..]),
            (&apart, &[("x-signature", "ab"), ("x-timestamp", "1747253577")]),
        ] {
            let written = provider.headers(UnixSeconds(1_747_253_577), "ab");
            assert_eq!(written, expected.iter().map(|(name, value)| (*name, (*value).to_owned())).collect::<Vec<_>>());
            let headers =
                written.into_iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
            assert_eq!(provider.signed_at.values(&headers), ["1747253577"]);
            assert_eq!(provider.signature.values(&headers), ["ab"]);
        }
    }

    #[test]
    fn of_a_list_only_the_named_members_are_read_and_all_of_them() {
        for (values, expected) in [
            (&["v0=cd, v1=ab ,t=1,v1x=1,V1=ef"][..], &["ab"][..]),
            (&["t=1,v1=ab,t=1,v1=cd"], &["ab", "cd"]),
            (&["t=1,v1=ab", "v1=cd"], &["ab", "cd"]),
            (&["v1="], &[""]),
            (&["v1=a=b"], &["a=b"]),
            (&["", "v1", "t=1", ",,"], &[]),
            (&[], &[]),
        ] {
            assert_eq!(LISTED.signature.values(&headers(values)), expected, "{values:?}");
        }
    }

    #[test]
    fn a_path_is_the_provider_s_whatever_stands_before_it() {
        for (path, expected) in [
            ("/webhooks/sample", true),
            ("/prod/webhooks/sample", true),
            ("/webhooks/sample/", false),
            ("/webhooks/other", false),
            ("/webhooks/resample", false),
            ("webhooks/sample", false),
            ("sample", false),
            ("", false),
        ] {
            assert_eq!(LISTED.is_at(path), expected, "{path}");
        }
        assert!(LISTED.is_at(&LISTED.path()));
    }

    #[test]
    fn the_time_is_read_in_the_provider_s_own_format_and_no_other() {
        #[track_caller]
        fn check(time: TimeFormat, at: &str, expected: Option<u64>) {
            let provider = Provider { envelope: EnvelopeMembers { time, ..LISTED.envelope }, ..LISTED };
            let text = format!(r#"{{"id":7,"type":"PAID","at":{at}}}"#);
            let document = json::Document::parse(text.as_bytes()).unwrap();
            let envelope = provider.read_envelope(document.root());
            assert_eq!((envelope.event_id.as_deref(), envelope.event_type.as_deref()), (Some("7"), Some("PAID")));
            assert_eq!(envelope.occurred_at.map(|at| at.0), expected, "{time:?} {at}");
        }

        check(TimeFormat::UnixSeconds, "1747253577", Some(1_747_253_577_000));
        check(TimeFormat::UnixMillis, "1747253577000", Some(1_747_253_577_000));
        check(TimeFormat::Rfc3339, r#""2025-05-14T20:12:57Z""#, Some(1_747_253_577_000));
        for (time, at) in [
            (TimeFormat::UnixSeconds, r#""1747253577""#),
            (TimeFormat::UnixSeconds, "1747253577.5"),
            (TimeFormat::UnixSeconds, "-1"),
            (TimeFormat::UnixSeconds, "253402300800"),
            (TimeFormat::UnixSeconds, "18446744073709551615"),
            (TimeFormat::UnixMillis, r#""2025-05-14T20:12:57Z""#),
            (TimeFormat::Rfc3339, "1747253577"),
        ] {
            check(time, at, None);
        }
    }
}
