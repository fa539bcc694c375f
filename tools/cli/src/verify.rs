//! `bridge verify`: what the bridge would say to a captured delivery, and why.

use std::path::{Path, PathBuf};

use clap::Args;
use http::HeaderMap;
use local::delivery::{signed_message, spelled};
use local::stack::sample_key;
use operator::OperatorError;
use serde_json::Value;
use shared::clock::{Clock, UnixMillis};
use shared::receive::provider::Provider;
use shared::receive::verification::Refusal;

use crate::delivery::{header_map, provider_parser, read_file, verify};

mod explain;

use self::explain::{Capture, KeyOf, TriedKey, explain, others};

/// Check a captured delivery: accepted, or why not
///
/// A refused one is explained: what its headers lack, how far its time is off, and, found by trying, which other spelling of
/// the body, form of a key or layout the signature fits. What is only likely is said to be a guess.
#[derive(Args)]
#[command(after_help = EXAMPLES, after_long_help = EXAMPLES)]
pub(crate) struct Verify {
    #[arg(value_parser = provider_parser())]
    provider: &'static Provider,
    /// File with one `name: value` a line, as curl and proxies print them
    #[arg(long, value_name = "FILE")]
    headers: PathBuf,
    /// File with the body, byte for byte as received
    #[arg(long, value_name = "FILE")]
    body: PathBuf,
    /// Verify as of then (Unix seconds, or 2025-05-14T20:12:57Z); a capture is stale after five minutes
    #[arg(long, value_name = "TIME", value_parser = time)]
    at: Option<UnixMillis>,
    #[command(flatten)]
    keys: KeyFiles,
}

/// Where the keys are; they are never printed.
#[derive(Args)]
struct KeyFiles {
    /// File with a signing key, or with the JSON of the provider's secret; may be given several times. Without it, the sample
    /// key of `bridge dev`
    #[arg(long, value_name = "FILE")]
    key_file: Vec<PathBuf>,
    /// The same with keys of another provider, to see whether one of them fits
    #[arg(long, value_name = "FILE")]
    other_key_file: Vec<PathBuf>,
}

const EXAMPLES: &str = "Examples:
  bridge verify rail --headers headers.txt --body body.json
  bridge verify rillis --headers headers.txt --body body.json --key-file rillis.key --other-key-file rail.key
  bridge verify rail --headers headers.txt --body body.json --at 2025-05-14T20:12:57Z";

impl Verify {
    pub(crate) fn run(self) -> Result<(), OperatorError> {
        let headers = headers_of(&read_file(&self.headers)?);
        let body = read_file(&self.body)?;
        let keys = self.keys.read(self.provider)?;
        let now = self.at.unwrap_or_else(|| Clock::system().now());

        let own: Vec<&str> = keys.iter().filter(|key| key.of == KeyOf::Provider).map(|key| key.key.as_str()).collect();
        match verify(self.provider, &headers, &body, &own, now) {
            Ok(accepted) => {
                println!("accepted");
                println!("signed form: {}", accepted.form);
                println!("event id:    {}", accepted.event_id);
                println!("event type:  {}", accepted.event_type.as_deref().unwrap_or("unreadable: kept as dead"));
                println!("occurred at: {}", accepted.occurred_at);
                Ok(())
            }
            Err(refusal) => {
                println!("refused: {}", refusal.code());
                let capture =
                    Capture { provider: self.provider, headers: &headers, body: &body, now, as_of: self.at.is_some() };
                for finding in explain(&capture, &keys) {
                    println!("  {finding}");
                }
                if refusal == Refusal::SignatureMismatch {
                    self.print_signed_messages(&headers, &body);
                }
                Err(OperatorError::refused(refusal, hint(refusal)))
            }
        }
    }

    /// The bytes the HMAC is over, in every form that is tried: whoever signed can lay theirs beside them.
    fn print_signed_messages(&self, headers: &HeaderMap, body: &[u8]) {
        let signed_at = self.provider.signed_at.values(headers).first().copied().unwrap_or_default();
        for form in self.provider.forms {
            match spelled(form, body) {
                Ok(text) => {
                    let message = signed_message(signed_at, &text);
                    println!("signed message, {} ({} bytes):", form.name, message.len());
                    println!("{}", String::from_utf8_lossy(&message));
                }
                Err(_) => println!("signed message, {}: none, the body is not JSON", form.name),
            }
        }
    }
}

impl KeyFiles {
    /// All keys that are worth a try, those that the provider should sign with first.
    fn read(&self, provider: &'static Provider) -> Result<Vec<TriedKey>, OperatorError> {
        let mut keys = Vec::new();
        for (files, of) in [(&self.key_file, KeyOf::Provider), (&self.other_key_file, KeyOf::OtherProvider)] {
            for file in files {
                keys.extend(keys_in(file, of)?);
            }
        }
        let given = |of| keys.iter().any(|key: &TriedKey| key.of == of);
        let sample_of = |of| if given(of) { KeyOf::Sample } else { of };
        let (of_provider, of_others) = (sample_of(KeyOf::Provider), sample_of(KeyOf::OtherProvider));
        let signers = [(provider, of_provider)].into_iter().chain(others(provider).map(|other| (other, of_others)));
        keys.extend(signers.map(|(signer, of)| TriedKey {
            label: format!("the sample key of {}", signer.name),
            key: sample_key(signer.name),
            of,
        }));
        Ok(keys)
    }
}

/// The key that a file is, or all keys of the secret that it holds.
fn keys_in(file: &Path, of: KeyOf) -> Result<Vec<TriedKey>, OperatorError> {
    let text = String::from_utf8(read_file(file)?).map_err(|_| {
        OperatorError::usage(format!("{} is not text", file.display()), "a signing key is one line of text")
    })?;
    let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy();
    let secret = serde_json::from_str::<Value>(&text).ok();
    let keys: Vec<TriedKey> = match secret.as_ref().and_then(|secret| secret.get("keys")?.as_object()) {
        Some(keys) => keys
            .iter()
            .filter_map(|(label, key)| Some((label, key.as_str().filter(|key| !key.is_empty())?)))
            .map(|(label, key)| TriedKey { label: format!("{label} in {name}"), key: key.to_owned(), of })
            .collect(),
        // Without the newline that editors put at a file's end.
        None => {
            let key = text.trim_end_matches(['\r', '\n']).to_owned();
            if key.is_empty() { Vec::new() } else { vec![TriedKey { label: name.into_owned(), key, of }] }
        }
    };
    if keys.is_empty() {
        let hint = "put the signing key into it, or the secret: {\"keys\": {\"<label>\": \"<key>\"}}";
        return Err(OperatorError::usage(format!("{} holds no key", file.display()), hint));
    }
    Ok(keys)
}

fn time(text: &str) -> Result<UnixMillis, String> {
    let seconds = text.parse::<u64>().ok().map(|seconds| UnixMillis(seconds.saturating_mul(1000)));
    let at = seconds.or_else(|| UnixMillis::from_rfc3339(text));
    at.ok_or_else(|| "Unix seconds or a time such as 2025-05-14T20:12:57Z expected".to_owned())
}

fn hint(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::HeaderMissing(_) => "capture all headers; a proxy on the way may have dropped some",
        Refusal::HeaderMalformed { .. } => "the header must be there once, as the provider writes it",
        Refusal::OutsideTolerance { .. } => {
            "for an old capture give --at with the time it was received; else set the clock"
        }
        Refusal::SignatureMismatch => {
            "the lines above say what was found; more keys with --key-file and --other-key-file"
        }
        Refusal::BodyNotAnObject => "the signature is right; ask the provider what it sent",
    }
}

/// Reads `name: value` lines; tolerates curl's `> ` and `< `, and passes over the request line.
fn headers_of(text: &[u8]) -> HeaderMap {
    let text = String::from_utf8_lossy(text);
    let lines = text.lines().filter_map(|line| line.trim_start_matches(['>', '<', ' ']).split_once(':'));
    header_map(lines.map(|(name, value)| (name.trim(), value.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_curl_and_proxies_print_them() {
        let headers =
            headers_of(b"> POST /webhooks/rail HTTP/1.1\r\n> X-Rail-Timestamp: 1747253577\r\nx-a:b:c\r\n\r\n");
        assert_eq!(headers["x-rail-timestamp"], "1747253577");
        assert_eq!(headers["x-a"], "b:c");
    }

    #[test]
    fn a_time_is_unix_seconds_or_a_date() {
        assert_eq!(time("1747253577"), Ok(UnixMillis(1_747_253_577_000)));
        assert_eq!(time("2025-05-14T20:12:57Z"), Ok(UnixMillis(1_747_253_577_000)));
        assert_eq!(time("yesterday").unwrap_err(), "Unix seconds or a time such as 2025-05-14T20:12:57Z expected");
    }

    #[test]
    fn a_key_file_is_a_key_or_a_secret_with_several() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rail.key");
        let check = |text: &str, expected: &[(&str, &str)]| {
            std::fs::write(&file, text).unwrap();
            let keys = keys_in(&file, KeyOf::Provider).unwrap();
            assert_eq!(keys.iter().map(|key| (key.label.as_str(), key.key.as_str())).collect::<Vec<_>>(), expected);
        };
        check("sample_1\n", &[("rail.key", "sample_1")]);
        let two = [("sub_1 in rail.key", "sample_1"), ("sub_2 in rail.key", "sample_2\n")];
        check(r#"{"keys": {"sub_1": "sample_1", "sub_2": "sample_2\n"}}"#, &two);
        for nothing in ["\n", r#"{"keys": {}}"#, r#"{"keys": {"sub_1": 7}}"#] {
            std::fs::write(&file, nothing).unwrap();
            let failure = keys_in(&file, KeyOf::Provider).unwrap_err().to_string();
            assert!(failure.contains("rail.key holds no key\nhint: put the signing key into it"), "{failure}");
        }
    }
}
