//! Why a captured delivery is refused: what its headers lack, how far off its time is, and what its signature is over
//! instead, found by trying.
//!
//! Pure: a capture, keys and a time go in, findings come out. A signature that fits is proof; everything else that is said
//! is marked as a guess. No finding holds a key, nor a signature that was computed.

use std::collections::HashSet;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use sha2::Sha256;
use shared::clock::{UnixMillis, UnixSeconds};
use shared::receive::provider::{HeaderPart, Provider};
use shared::receive::verification::{TOLERANCE_S, hex, signature_bytes};

mod spellings;

use self::spellings::{Departure, Spelling};
use super::{CandidateKey, Capture, KeyOrigin, others};
use crate::copied_key::slips;

/// One thing that was found out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// Stable within this program: for tests.
    pub code: &'static str,
    pub text: String,
    pub is_guess: bool,
}

/// At most so much goes through SHA-256, about a second's worth.
const MAX_HASHED_BYTES: usize = 256 << 20;

/// Who signs in another way mostly differs in one thing, rarely in three.
const MAX_DEPARTURES: usize = 3;

pub fn explain(capture: &Capture<'_>, keys: &[CandidateKey]) -> Vec<Finding> {
    let provider = capture.provider;
    let mut findings = about_headers(capture);
    let first = |part: HeaderPart| part.values(capture.headers).first().copied().unwrap_or_default();
    let (signature, signed_at) = (first(provider.signature), first(provider.signed_at));
    findings.extend(about_time(signed_at, capture, provider.signed_at));
    if signature.is_empty() {
        return findings;
    }
    findings.extend(about_signature(signature, provider.signature));
    findings.extend(what_fits(signature, signed_at, capture, keys));
    if findings.iter().any(|finding| finding.code == "nothing_fits") {
        findings.extend(keys.iter().filter(|key| key.of != KeyOrigin::Sample).flat_map(about_key));
    }
    findings
}

impl Finding {
    fn sure(code: &'static str, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), is_guess: false }
    }

    fn guess(code: &'static str, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), is_guess: true }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_guess { "a guess: " } else { "" };
        write!(f, "{kind}{}", self.text)
    }
}

fn about_headers(capture: &Capture<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let parts = |provider: &Provider| [provider.signature, provider.signed_at];
    for part in parts(capture.provider) {
        let values = part.values(capture.headers);
        match values[..] {
            [] => {
                findings.push(Finding::sure("header_missing", format!("{part} is missing")));
                let name = part.header();
                let underscored = name.replace('-', "_");
                let renamed = [underscored.clone(), format!("http_{underscored}"), format!("x-amzn-remapped-{name}")];
                if let Some(other) = renamed.iter().find(|other| capture.headers.contains_key(other.as_str())) {
                    let text = format!("`{other}` may be it, renamed by a proxy");
                    findings.push(Finding::guess("header_renamed", text));
                }
            }
            [""] => {
                findings.push(Finding::sure("header_empty", format!("{part} is empty")));
            }
            [value] if value.contains(',') && !value.contains('=') && value.split(',').count() == 2 => {
                let text = format!("{part} holds a comma: two of that name may have been joined on the way");
                findings.push(Finding::guess("header_joined", text));
            }
            [_] => {}
            [first, ref others @ ..] => {
                let same =
                    if others.iter().all(|other| *other == first) { "the same value" } else { "different values" };
                let text = format!("{part} occurs {} times, with {same}", values.len());
                findings.push(Finding::sure("header_twice", text));
            }
        }
    }
    let has_none = |provider| parts(provider).iter().all(|part| part.values(capture.headers).is_empty());
    if has_none(capture.provider)
        && let Some(other) = others(capture.provider).find(|other| !has_none(other))
    {
        let name = other.name;
        let text = format!("its headers are those of {name}: a delivery of {name} that was sent to the wrong URL");
        findings.push(Finding::guess("headers_of_other_provider", text));
    }
    findings
}

fn about_time(signed_at: &str, capture: &Capture<'_>, part: HeaderPart) -> Vec<Finding> {
    let now = capture.now.seconds();
    let is_near = |at: UnixSeconds| at.0.abs_diff(now.0) < 10 * 365 * 86_400;
    let number = signed_at.parse::<u64>().ok().filter(|_| signed_at.bytes().all(|byte| byte.is_ascii_digit()));
    let Some(number) = number else {
        let date = UnixMillis::from_date_text(signed_at);
        return match (signed_at, date) {
            ("", _) => Vec::new(),
            (_, Some(_)) => {
                vec![Finding::sure("timestamp_is_a_date", format!("{part} is a date; a count of seconds is expected"))]
            }
            _ => vec![Finding::sure("timestamp_malformed", format!("{part} is not a count of seconds"))],
        };
    };
    if !is_near(UnixSeconds(number)) {
        for (per_second, unit) in [(1_000, "milliseconds"), (1_000_000, "microseconds"), (1_000_000_000, "nanoseconds")]
        {
            if is_near(UnixSeconds(number / per_second)) {
                let text = format!("{part} reads as a count of {unit}; seconds are expected");
                return vec![Finding::guess("timestamp_unit", text)];
            }
        }
    }
    let skew_s = number.abs_diff(now.0);
    if skew_s <= TOLERANCE_S {
        return Vec::new();
    }
    let side = if number < now.0 { "before" } else { "after" };
    let now = if capture.as_of { "the time of --at" } else { "now" };
    let text = format!("signed {skew_s} s {side} {now}; {TOLERANCE_S} s are allowed");
    let mut findings = vec![Finding::sure("clock", text)];
    if side == "after" && !capture.as_of {
        let text = "the signer's clock is fast, or this machine's is slow";
        findings.push(Finding::guess("clock_of_whom", text));
    }
    findings
}

/// What the form of the signature shows.
fn about_signature(signature: &str, part: HeaderPart) -> Vec<Finding> {
    let mut findings = Vec::new();
    if signature_bytes(signature).is_some() {
        if signature.bytes().any(|byte| byte.is_ascii_uppercase()) {
            let text = format!("{part} is in upper case, which is as good as lower case");
            findings.push(Finding::sure("signature_upper_case", text));
        }
        return findings;
    }
    let bare = without_prefix(signature).map_or(signature, |(_, rest)| rest);
    let is_hex = !bare.is_empty() && bare.bytes().all(|byte| byte.is_ascii_hexdigit());
    let hash = match bare.len() {
        32 => "an MD5",
        40 => "an HMAC-SHA1",
        96 => "an HMAC-SHA384",
        128 => "an HMAC-SHA512",
        _ => "",
    };
    if is_hex && !hash.is_empty() {
        let text = format!("{part} has the length of {hash}; HMAC-SHA256 has 64 hexadecimal digits");
        findings.push(Finding::guess("signature_other_hash", text));
    } else if claimed(signature).is_none() {
        let text = format!("{part} is neither 64 hexadecimal digits nor anything that holds 32 bytes");
        findings.push(Finding::sure("signature_malformed", text));
    }
    findings
}

/// What a key seems to have picked up.
fn about_key(key: &CandidateKey) -> impl Iterator<Item = Finding> {
    let slips = slips(&key.key).into_iter();
    slips.map(|slip| Finding::guess(slip.kind.code(), format!("{} {}", key.label, slip.kind.says())))
}

/// Tries keys, spellings, timestamps and layouts, what differs least first, until the signature fits.
fn what_fits(signature: &str, signed_at: &str, capture: &Capture<'_>, keys: &[CandidateKey]) -> Vec<Finding> {
    let Some((claimed, of_signature)) = claimed(signature) else {
        return Vec::new();
    };
    let keys: Vec<KeyForm> = keys.iter().flat_map(KeyForm::all).collect();
    let layouts = layouts(signed_at, capture.headers);
    let accepted = capture.provider.forms.iter().filter_map(|form| Some((form.name, form.text(capture.body).ok()?)));
    let accepted: Vec<(&str, Vec<u8>)> = accepted.collect();
    let mut spellings = spellings::of(capture.body);
    // What differs least first: of two with the same bytes the simpler one is reported.
    spellings.sort_by_key(|spelling| spelling.departures.len());

    let mut hashed = 0;
    let mut tried = 0_usize;
    for departures in 0..=MAX_DEPARTURES {
        let mut seen = HashSet::new();
        let as_accepted = accepted.iter().map(|(name, text)| (Some(*name), text.as_slice().into(), &[][..]));
        let others = spellings.iter().filter(|spelling| (1..=departures).contains(&spelling.departures.len()));
        let others = others.map(|spelling: &Spelling<'_>| (None, spelling.bytes(), &spelling.departures[..]));
        for (form, text, of_body) in as_accepted.chain(others) {
            let mut hasher = DefaultHasher::new();
            text.hash(&mut hasher);
            if !seen.insert(hasher.finish()) {
                continue;
            }
            for layout in &layouts {
                for key in &keys {
                    if of_body.len() + layout.departures.len() + key.departures.len() != departures {
                        continue;
                    }
                    if hashed > MAX_HASHED_BYTES {
                        let text = format!(
                            "no match after {tried} combinations of key, body spelling and layout; the body is too long to try all of them"
                        );
                        return vec![Finding::sure("nothing_fits", text)];
                    }
                    hashed += text.len() + 256;
                    tried += 1;
                    let mac = layout.parts.iter().fold(key.keyed.clone(), |mac, part| match part {
                        Part::Body => mac.chain_update(&text),
                        Part::Text(text) => mac.chain_update(text),
                    });
                    if mac.verify_slice(&claimed).is_err() {
                        continue;
                    }
                    let all = of_signature.iter().chain(&layout.departures).chain(&key.departures);
                    let mut findings = fitting(form, &key.label, of_body, all);
                    if form.is_none() {
                        let nearest = accepted.iter().rev().max_by_key(|(_, other)| common_prefix(&text, other));
                        findings.extend(nearest.map(|(name, other)| first_difference(&text, name, other)));
                        let text = "the body was parsed and printed again, or edited, between the signer and here";
                        findings.push(Finding::guess("body_changed", text));
                    }
                    return findings;
                }
            }
        }
    }
    vec![
        Finding::sure("nothing_fits", format!("no match after {tried} combinations of key, body spelling and layout")),
        Finding::guess("other_key_or_body", "signed with a key that is not here, or the body was changed"),
    ]
}

/// What is said of a signature that fits.
fn fitting<'d>(
    form: Option<&str>,
    label: &str,
    of_body: &[Departure],
    others: impl Iterator<Item = &'d Departure>,
) -> Vec<Finding> {
    let mut findings: Vec<Finding> = others.map(|it| Finding::sure(it.code, it.words.clone())).collect();
    for (at, departure) in of_body.iter().enumerate() {
        let before = if at == 0 { "the signature is over the body" } else { "and" };
        findings.push(Finding::sure(departure.code, format!("{before} {}", departure.words)));
    }
    if let (Some(form), true) = (form, findings.is_empty()) {
        let text = format!("the signature itself is right: form {form}, key {label}");
        findings.push(Finding::sure("signature_right", text));
    }
    findings
}

/// Where what was signed leaves the accepted form that it is nearest to: the person who prints it can look there.
fn first_difference(signed: &[u8], form: &str, accepted: &[u8]) -> Finding {
    let at = common_prefix(signed, accepted);
    let from = |text: &[u8]| {
        let rest = String::from_utf8_lossy(text.get(at..).unwrap_or_default());
        let shown = |c: char| if c.is_control() { c.escape_debug().to_string() } else { c.to_string() };
        let some: String = rest.chars().take(12).map(shown).collect();
        if some.is_empty() { "the end".to_owned() } else { format!("`{some}`") }
    };
    let text = format!(
        "from the form {form}, which is accepted, it first differs at byte {at}: {} was signed instead of {}",
        from(signed),
        from(accepted)
    );
    Finding::sure("first_difference", text)
}

fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// The 32 bytes that a signature may stand for, however it is written.
fn claimed(signature: &str) -> Option<([u8; 32], Vec<Departure>)> {
    if let Some(bytes) = signature_bytes(signature) {
        return Some((bytes, Vec::new()));
    }
    let mut departures = Vec::new();
    let mut rest = signature;
    if let Some((prefix, after)) = without_prefix(signature) {
        let words = format!("the signature is prefixed with `{prefix}`, which does not belong there");
        departures.push(Departure { code: "signature_prefix", words });
        rest = after;
    }
    if let Some(bytes) = signature_bytes(rest) {
        return Some((bytes, departures));
    }
    let decoded = [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD].iter().find_map(|way| way.decode(rest).ok());
    let bytes = <[u8; 32]>::try_from(decoded?).ok()?;
    let words = "the signature is in base64; hexadecimal is expected".to_owned();
    departures.push(Departure { code: "signature_base64", words });
    Some((bytes, departures))
}

/// A prefix that others' webhooks have, and what follows it.
fn without_prefix(signature: &str) -> Option<(&str, &str)> {
    let quoted = signature.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    if let Some(rest) = quoted {
        return Some(("\"", rest));
    }
    // `t=1747253577,v1=...`, as Stripe writes.
    let at = signature.rfind("v1=").map(|at| at + 3);
    let at = at.or_else(|| {
        ["sha256=", "SHA256=", "sha256:", "hmac-sha256=", "v1,", "v0=", "0x"]
            .iter()
            .find_map(|prefix| signature.starts_with(prefix).then_some(prefix.len()))
    })?;
    // The stamp before Stripe's is nobody's secret, but does not belong into the sentence.
    let prefix = signature[..at].rsplit(',').find(|part| !part.is_empty()).unwrap_or_default();
    Some((prefix, &signature[at..]))
}

/// What the HMAC is over, around the body.
struct Layout {
    parts: Vec<Part>,
    departures: Vec<Departure>,
}

enum Part {
    Body,
    Text(String),
}

fn layouts(signed_at: &str, headers: &HeaderMap) -> Vec<Layout> {
    let departure = |code, words: &str| Departure { code, words: words.to_owned() };
    let mut stamps = Vec::new();
    if !signed_at.is_empty() {
        stamps.push((signed_at.to_owned(), None));
    }
    if let Ok(number) = signed_at.parse::<u64>() {
        let seconds = departure(
            "signed_in_seconds",
            "the signature is over the timestamp in seconds; the header has milliseconds",
        );
        stamps.push(((number / 1000).to_string(), Some(seconds)));
        let millis = departure(
            "signed_in_milliseconds",
            "the signature is over the timestamp in milliseconds; the header has seconds",
        );
        stamps.push((format!("{number}000"), Some(millis)));
    }
    if let Some(date) = UnixMillis::from_date_text(signed_at) {
        let seconds =
            departure("signed_in_seconds", "the signature is over the timestamp in seconds; the header has a date");
        stamps.push((date.seconds().0.to_string(), Some(seconds)));
    }

    let mut layouts = Vec::new();
    for (stamp, of_stamp) in &stamps {
        let mut with = |parts: Vec<Part>, of_layout: Option<Departure>| {
            let departures = of_stamp.iter().cloned().chain(of_layout).collect();
            layouts.push(Layout { parts, departures });
        };
        let text = |text: &str| Part::Text(text.to_owned());
        with(vec![text(stamp), text("."), Part::Body], None);
        let separators = [
            ("", "nothing"),
            (":", "`:`"),
            (",", "`,`"),
            ("\n", "a line feed"),
            ("|", "`|`"),
            (" ", "a space"),
            ("-", "`-`"),
        ];
        for (separator, named) in separators {
            let words = format!("between timestamp and body {named} was signed; a full stop is expected");
            with(vec![text(stamp), text(separator), Part::Body], Some(departure("separator", &words)));
        }
        for (separator, named) in [(".", "a full stop")].into_iter().chain(separators) {
            let words = format!("the body was signed before the timestamp, with {named} between them");
            with(vec![Part::Body, text(separator), text(stamp)], Some(departure("body_first", &words)));
        }
        let slack = departure("version_first", "`v0:{timestamp}:{body}` was signed; `{timestamp}.{body}` is expected");
        with(vec![text("v0:"), text(stamp), text(":"), Part::Body], Some(slack));
        for name in ["webhook-id", "svix-id"] {
            if let Some(id) = headers.get(name).and_then(|id| id.to_str().ok()) {
                let words =
                    format!("`{{{name}}}.{{timestamp}}.{{body}}` was signed; `{{timestamp}}.{{body}}` is expected");
                let parts = vec![text(id), text("."), text(stamp), text("."), Part::Body];
                with(parts, Some(departure("id_first", &words)));
            }
        }
    }
    let alone = departure("no_timestamp", "the body alone was signed; the timestamp and a full stop belong before it");
    layouts.push(Layout { parts: vec![Part::Body], departures: vec![alone] });
    layouts
}

/// A key, or a text that was used in its place.
struct KeyForm {
    label: String,
    keyed: Hmac<Sha256>,
    departures: Vec<Departure>,
}

impl KeyForm {
    fn all(key: &CandidateKey) -> Vec<Self> {
        let CandidateKey { label, key, of } = key;
        let of_key = match of {
            KeyOrigin::Provider => None,
            KeyOrigin::OtherProvider => {
                Some(("key_of_other_provider", format!("{label}, a key of the other provider, matches")))
            }
            KeyOrigin::Sample => {
                Some(("key_is_the_sample", format!("{label} matches: the signer has no key of a real provider")))
            }
        };
        let bare = key.strip_prefix("whsec_");
        let decode = |text: &str| STANDARD.decode(text).or_else(|_| URL_SAFE_NO_PAD.decode(text)).ok();
        let text = |text: String| Some(text.into_bytes());
        let forms = [
            ("key_newline", "with a newline at its end", text(format!("{key}\n"))),
            ("key_newline", "with CR LF at its end", text(format!("{key}\r\n"))),
            ("key_quoted", "in double quotes", text(format!("\"{key}\""))),
            ("key_quoted", "in single quotes", text(format!("'{key}'"))),
            ("key_prefix_cut", "without its prefix `whsec_`", bare.map(|bare| bare.as_bytes().to_vec())),
            ("key_prefix_added", "with `whsec_` before it", text(format!("whsec_{key}"))),
            ("key_decoded_after_prefix", "without its prefix `whsec_` and decoded from base64", bare.and_then(decode)),
            ("key_decoded", "decoded from base64", decode(key)),
            ("key_encoded", "encoded in base64", text(STANDARD.encode(key))),
            ("key_encoded", "with a newline at its end, encoded in base64", text(STANDARD.encode(format!("{key}\n")))),
            ("key_hex_decoded", "decoded from hexadecimal", unhex(key)),
            ("key_hex_decoded", "without its prefix `whsec_` and decoded from hexadecimal", bare.and_then(unhex)),
            ("key_hex_encoded", "encoded in hexadecimal", text(hex(key.as_bytes()))),
            ("key_case", "in lower case", text(key.to_lowercase())),
            ("key_case", "in upper case", text(key.to_uppercase())),
        ];
        let forms = forms.map(|(code, words, bytes)| (code, words.to_owned(), bytes));
        let mut peeled = Vec::new();
        let copied = slips(key).into_iter().map(|slip| {
            peeled.push(slip.kind.without());
            (slip.kind.code(), peeled.join(", "), slip.rest.map(String::into_bytes))
        });
        let copied: Vec<_> = copied.collect();
        let as_it_is = [("", String::new(), Some(key.clone().into_bytes()))];
        let forms = as_it_is.into_iter().chain(copied).chain(forms).filter_map(|(code, words, bytes)| {
            let bytes = bytes.filter(|bytes| !bytes.is_empty() && (code.is_empty() || bytes != key.as_bytes()))?;
            let form = Departure { code, words: format!("{label} matches {words}, and not as it is") };
            let departures = of_key
                .iter()
                .map(|(code, words)| Departure { code, words: words.clone() })
                .chain((!code.is_empty()).then_some(form))
                .collect();
            Some(Self { label: label.clone(), keyed: Hmac::new_from_slice(&bytes).ok()?, departures })
        });
        forms.collect()
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if text.is_empty() || !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}

#[cfg(test)]
mod tests;
