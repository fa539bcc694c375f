//! `bridge verify`: what the bridge would say to a captured delivery, and why.

use std::path::PathBuf;

use clap::Args;
use shared::api_gateway::Headers;
use shared::clock::{Clock, UnixMillis};
use shared::verification::Refusal;

use crate::delivery::{KeySource, Sender, read_file, signed_message, spelled};
use crate::failure::Failure;

/// Check a captured delivery: accepted, or the refusal code and what was signed
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Verify {
    provider: Sender,
    /// File with one `name: value` a line, as curl and proxies print them
    #[arg(long, value_name = "FILE")]
    headers: PathBuf,
    /// File with the body, byte for byte as received
    #[arg(long, value_name = "FILE")]
    body: PathBuf,
    /// Verify as if it were this second (Unix time); a capture is stale after five minutes
    #[arg(long, value_name = "SECONDS")]
    at: Option<u64>,
    #[command(flatten)]
    key: KeySource,
}

const EXAMPLES: &str = "Examples:
  bridge verify rail --headers headers.txt --body body.json
  bridge verify rillis --headers headers.txt --body body.json --key-file rillis.key
  bridge verify rail --headers headers.txt --body body.json --at 1747253577";

impl Verify {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let headers = headers_of(&read_file(&self.headers)?);
        let body = read_file(&self.body)?;
        let key = self.key.read(self.provider)?;
        let now = self.at.map_or_else(|| Clock::system().now(), |seconds| UnixMillis(seconds.saturating_mul(1000)));

        match self.provider.verify(&headers, &body, &key, now) {
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
                if refusal == Refusal::SignatureMismatch {
                    self.print_signed_messages(&headers, &body);
                }
                Err(Failure::refused(refusal, hint(refusal)))
            }
        }
    }

    /// The bytes the HMAC is over, in every form that is tried: whoever signed can lay theirs beside them.
    fn print_signed_messages(&self, headers: &Headers, body: &[u8]) {
        let contract = self.provider.contract();
        let signed_at = headers.all(contract.timestamp_header).next().unwrap_or_default();
        for form in contract.forms {
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

fn hint(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::HeaderMissing(_) => "capture all headers; a proxy on the way may have dropped some",
        Refusal::HeaderMalformed { .. } => "the header must be there once, as the provider writes it",
        Refusal::OutsideTolerance { .. } => {
            "for an old capture give --at with the second it was received; else set the clock"
        }
        Refusal::SignatureMismatch => "another key (--key-file), or a body that was changed on the way",
        Refusal::BodyNotAnObject => "the signature is right; ask the provider what it sent",
    }
}

/// Reads `name: value` lines; tolerates curl's `> ` and `< `, and passes over the request line.
fn headers_of(text: &[u8]) -> Headers {
    String::from_utf8_lossy(text)
        .lines()
        .filter_map(|line| line.trim_start_matches(['>', '<', ' ']).split_once(':'))
        .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_curl_and_proxies_print_them() {
        let headers =
            headers_of(b"> POST /webhooks/rail HTTP/1.1\r\n> X-Rail-Timestamp: 1747253577\r\nx-a:b:c\r\n\r\n");
        assert_eq!(headers.all("x-rail-timestamp").collect::<Vec<_>>(), ["1747253577"]);
        assert_eq!(headers.all("x-a").collect::<Vec<_>>(), ["b:c"]);
    }
}
