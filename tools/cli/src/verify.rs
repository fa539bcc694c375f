//! `bridge verify`: what the bridge would say to a captured delivery, and why.

use std::path::{Path, PathBuf};

use clap::Args;
use local::stack::sample_key;
use operator::OperatorError;
use operator::verify::explain::explain;
use operator::verify::{CandidateKey, Capture, KeyOrigin, others, parse_headers, parse_keys, refused};
use shared::clock::{Clock, UnixMillis};
use shared::receive::provider::Provider;
use shared::receive::verification::Refusal;

use crate::delivery::{provider_parser, read_file};
use crate::terminal::out;

/// Check a captured delivery: accepted, or the reason of the refusal
///
/// For a refusal it says which headers are missing and how far the timestamp is off. It also tries other spellings of the body,
/// forms of the key and layouts, and says which one the signature fits. A likely reason is marked as a guess.
#[derive(Args)]
#[command(after_help = EXAMPLES, after_long_help = EXAMPLES)]
pub(crate) struct Verify {
    #[arg(value_parser = provider_parser())]
    provider: &'static Provider,
    /// File with one `name: value` per line, as curl and proxies print them
    #[arg(long, value_name = "FILE")]
    headers: PathBuf,
    /// File with the body, byte for byte as received
    #[arg(long, value_name = "FILE")]
    body: PathBuf,
    /// Verify as of this time (Unix seconds, or 2025-05-14T20:12:57Z); a capture is stale after five minutes
    #[arg(long, value_name = "TIME", value_parser = time)]
    at: Option<UnixMillis>,
    #[command(flatten)]
    keys: KeyFiles,
}

/// Where the keys are; they are never printed.
#[derive(Args)]
struct KeyFiles {
    /// File with a signing key, or with the JSON of the provider's secret; repeatable [default: the sample key of
    /// `bridge dev`]
    #[arg(long, value_name = "FILE")]
    key_file: Vec<PathBuf>,
    /// File with keys of another provider, to find out whether one of them fits
    #[arg(long, value_name = "FILE")]
    other_key_file: Vec<PathBuf>,
}

const EXAMPLES: &str = "Examples:
  bridge verify rail --headers headers.txt --body body.json
  bridge verify rillis --headers headers.txt --body body.json --key-file rillis.key --other-key-file rail.key
  bridge verify rail --headers headers.txt --body body.json --at 2025-05-14T20:12:57Z";

impl Verify {
    pub(crate) fn run(self) -> Result<(), OperatorError> {
        let headers = parse_headers(&read_file(&self.headers)?);
        let body = read_file(&self.body)?;
        let keys = self.keys.read(self.provider)?;
        let now = self.at.unwrap_or_else(|| Clock::system().now());

        let capture =
            Capture { provider: self.provider, headers: &headers, body: &body, now, as_of: self.at.is_some() };
        let own: Vec<&str> =
            keys.iter().filter(|key| key.of == KeyOrigin::Provider).map(|key| key.key.as_str()).collect();
        let refusal = match capture.check(&own) {
            Ok(accepted) => {
                out!("accepted");
                out!("signed form: {}", accepted.form);
                out!("event id:    {}", accepted.event_id);
                out!("event type:  {}", accepted.event_type.as_deref().unwrap_or("unreadable: kept as dead"));
                out!("occurred at: {}", accepted.occurred_at);
                return Ok(());
            }
            Err(refusal) => refusal,
        };
        out!("refused: {}", refusal.code());
        for finding in explain(&capture, &keys) {
            out!("  {finding}");
        }
        if matches!(refusal, Refusal::SignatureMismatch { .. }) {
            for (form, message) in capture.signed_messages() {
                match message {
                    Some(message) => {
                        out!("signed message, {form} ({} bytes):", message.len());
                        // On one line, with its line feeds as `\n`: its bytes are what it is about.
                        out!("{}", String::from_utf8_lossy(&message));
                    }
                    None => out!("signed message, {form}: none, the body is not JSON"),
                }
            }
        }
        Err(refused(refusal))
    }
}

impl KeyFiles {
    /// All keys that are worth a try, those that the provider should sign with first.
    fn read(&self, provider: &'static Provider) -> Result<Vec<CandidateKey>, OperatorError> {
        let mut keys = Vec::new();
        for (files, of) in [(&self.key_file, KeyOrigin::Provider), (&self.other_key_file, KeyOrigin::OtherProvider)] {
            for file in files {
                keys.extend(keys_in(file, of)?);
            }
        }
        let given = |of| keys.iter().any(|key: &CandidateKey| key.of == of);
        let sample_of = |of| if given(of) { KeyOrigin::Sample } else { of };
        let (of_provider, of_others) = (sample_of(KeyOrigin::Provider), sample_of(KeyOrigin::OtherProvider));
        let signers = [(provider, of_provider)].into_iter().chain(others(provider).map(|other| (other, of_others)));
        keys.extend(signers.map(|(signer, of)| CandidateKey {
            label: format!("the sample key of {}", signer.name),
            key: sample_key(signer.name),
            of,
        }));
        Ok(keys)
    }
}

/// The keys of a file that was named.
fn keys_in(file: &Path, of: KeyOrigin) -> Result<Vec<CandidateKey>, OperatorError> {
    parse_keys(&file.file_name().unwrap_or(file.as_os_str()).to_string_lossy(), &read_file(file)?, of)
}

fn time(text: &str) -> Result<UnixMillis, String> {
    let seconds = text.parse::<u64>().ok().map(|seconds| UnixMillis(seconds.saturating_mul(1000)));
    let at = seconds.or_else(|| UnixMillis::from_date_text(text));
    at.ok_or_else(|| "Unix seconds or a time such as 2025-05-14T20:12:57Z expected".to_owned())
}

#[cfg(test)]
mod tests;
